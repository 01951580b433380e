/* How a job leaves this host: given back, refused, dropped. See release.h. */
#include "release.h"

#include <string.h>

#include <utlist.h>

#include "calls.h"
#include "engine_state.h"
#include "fermata/v1/host_agent.pb.h"
#include "hold.h"
#include "hsession.h"
#include "mem.h"
#include "step.h"

static void add_unstarted(struct pb_var *list, const struct task *t)
{
    struct fm_bytes *items = fm_xgrow(list->items, list->n, sizeof(*items));
    items[list->n] = fm_bytes_of(t->id);
    *list = pb_var_list(items, list->n + 1);
}

static void say_release(const struct hjob *job, enum release_reason reason, const char *message,
                        struct pb_var unstarted_tasks)
{
    fermata_v1_Release m;
    memset(&m, 0, sizeof(m));
    m.unstarted_tasks = unstarted_tasks;
    m.aborted_tasks = job->aborted;
    m.job_id = pb_var_str(job->id);
    m.epoch = job->epoch;
    m.last_step = job->last_step;
    m.reason = (fermata_v1_ReleaseReason)reason;
    m.message = pb_var_str(message);
    m.task_id = pb_var_str(job->break_task);
    session_say(job->session, fermata_v1_HostMessage_release_tag, fermata_v1_Release_fields, &m);
}

/* The tasks whose intents were sent and whose handlers have not begun; free the items. */
static struct pb_var unstarted(const struct hjob *job)
{
    struct pb_var list = {0};
    for (size_t i = 0; job->flow != NULL && i < job->flow->n_routines; i++) {
        const struct routine *r = &job->flow->routines[i];
        const struct task *t;
        if (r->run != NULL && r->run->task->announced)
            add_unstarted(&list, r->run->task);
        DL_FOREACH (r->queue, t)
            if (t->announced)
                add_unstarted(&list, t);
    }
    return list;
}

void hjob_drop(struct hjob *job)
{
    struct engine *e = job->engine;
    hold_forget(job);
    step_abort_all(job);
    if (job->alarm != 0)
        call_cancel(e, job->alarm);
    if (job->is_ready)
        DL_DELETE2(e->ready, job, ready_prev, ready_next);
    HASH_DEL(e->jobs, job);
    e->held_bytes -= job->bytes;
    hjob_free(job);
}

void hjob_end(struct hjob *job)
{
    step_abort_all(job);
    if (job->aborted.n > 0 && job->session->welcomed)
        say_release(job, RELEASE_ABORTED, "", (struct pb_var){0});
    hjob_drop(job);
}

void hjob_release(struct hjob *job, enum release_reason reason, const char *message)
{
    struct pb_var not_begun = unstarted(job);
    step_abort_all(job);
    if (job->session->welcomed) {
        session_flush(job->session);
        say_release(job, reason, message, not_begun);
    }
    free(not_begun.items);
    hjob_drop(job);
}
