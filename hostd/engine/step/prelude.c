/* The prelude of a step: what the job's deferred events have become since the step before. See
 * prelude.h. */
#include "prelude.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "build.h"
#include "fermata/v1/host_agent.pb.h"
#include "hsession.h"
#include "mem.h"

/* ---- deferred events ---- */

static void encode_task(const struct task *t, const char *from_routine, const char *from_event,
                        struct fm_buf *out)
{
    fermata_v1_Task m;
    memset(&m, 0, sizeof(m));
    m.task_id = pb_var_str(t->id);
    m.routine = pb_var_str(t->routine);
    m.slot = pb_var_str(t->slot);
    m.data = pb_var_bytes(t->data.p, t->data.n);
    m.from_routine = pb_var_str(from_routine);
    m.from_event = pb_var_str(from_event);
    m.connection = t->connection;
    pb_var_pack(fermata_v1_Task_fields, &m, out);
}

static struct fm_buf *add_buf(struct fm_buf **list, size_t *n)
{
    *list = fm_xgrow(*list, *n, sizeof(**list));
    (*list)[*n] = (struct fm_buf){0};
    return &(*list)[(*n)++];
}

/* No connection takes it. */
static void put_deferred_output(struct hjob *job, const struct deferred *d)
{
    fermata_v1_Output m;
    memset(&m, 0, sizeof(m));
    m.routine = pb_var_str(d->routine);
    m.event = pb_var_str(d->event);
    m.data = pb_var_bytes(d->data.p, d->data.n);
    pb_var_pack(fermata_v1_Output_fields, &m, add_buf(&job->prelude_outputs, &job->n_prelude_outputs));
}

/* A notice beside the pause, which shows the same: nobody misses it. */
static bool is_notice(const struct routine *from, const char *event)
{
    return from->type != NULL && (registry_event_flags(from->type, event) & FM_EVENT_NOTICE) != 0;
}

static void emit_one_deferred(struct hjob *job, const struct deferred *d)
{
    bool taken = false;
    const struct routine *from = flow_routine(job->flow, d->routine);
    struct data_fields fields;
    data_fields_read(&fields, d->data);
    struct out out = routine_out(from, d->event);
    for (size_t i = 0; i < out.n; i++) {
        const struct connection *c = out.first[i];
        char id[48];
        fm_auto(fm_buf) data = {0};
        if (!connection_takes(c, &fields))
            continue;
        snprintf(id, sizeof(id), "d%u.%zu", job->last_step + 1, job->n_prelude_tasks);
        if (mapping_apply(c, &fields, &data) == 0) {
            const struct task t = {
                .id = id,
                .routine = c->to_routine,
                .slot = c->slot,
                .pause_id = "",
                .key = "",
                .call_id = "",
                .connection = c->number,
                .data = {data.p, data.n}
            };
            encode_task(&t, d->routine, d->event, add_buf(&job->prelude_tasks, &job->n_prelude_tasks));
            hjob_add_task(job, task_new(&t));
            taken = true;
        }
    }
    data_fields_done(&fields);
    if (!taken && !is_notice(from, d->event))
        put_deferred_output(job, d);
}

void prelude_emit_deferred(struct hjob *job)
{
    struct deferred *d, *tmp;
    DL_FOREACH_SAFE (job->deferred, d, tmp) {
        emit_one_deferred(job, d);
        DL_DELETE(job->deferred, d);
        job->prelude_deferred++;
        free(d);
    }
}

/* ---- a step of its own ---- */

bool prelude_make_step(struct hjob *job)
{
    fermata_v1_Step m;
    fm_auto(fm_buf) step = {0};
    fm_auto(fm_err) err = {0};
    memset(&m, 0, sizeof(m));
    m.number = job->last_step + 1;
    m.epoch = job->epoch;
    m.inputs_through = job->inputs_through;
    m.deferred_emitted = job->prelude_deferred;
    m.deferred_tasks = build_views(job->prelude_tasks, job->n_prelude_tasks);
    m.deferred_outputs = build_views(job->prelude_outputs, job->n_prelude_outputs);
    m.outcome = (fermata_v1_StepOutcome)OUTCOME_CONTINUE;
    pb_var_pack(fermata_v1_Step_fields, &m, &step);
    free(m.deferred_tasks.items);
    free(m.deferred_outputs.items);
    bool good = session_check_step(job->session, &step, &err) == 0;
    if (good) {
        hjob_send_step(job, &step);
        hjob_clear_prelude(job);
    }
    return good;
}
