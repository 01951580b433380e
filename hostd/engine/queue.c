/* The tasks of a job that wait on this host: which may run now, which wait for their time, what to do when
 * none can run. Each routine has a queue of tasks that are due; a failed task that is tried again stays first
 * in its queue and holds those behind it, so that the order within a routine is kept. See engine_int.h. */
#include "engine_int.h"

#include <string.h>

#include <utlist.h>

#include "fermata/v1/host_agent.pb.h"
#include "log.h"
#include "mem.h"

/* ---- adding ---- */

static void enqueue(struct hjob *job, struct task *t)
{
    t->scheduled = false;
    t->seq = ++job->next_seq;
    DL_APPEND(t->to->queue, t);
}

/* For insertion: a new one goes behind those that are due at the same time. */
static int by_due(const struct task *there, const struct task *added)
{
    return there->due_ms > added->due_ms ? 1 : -1;
}

void hjob_add_task(struct hjob *job, struct task *t)
{
    job->n_tasks++;
    t->to = flow_routine(job->flow, t->routine);
    if (t->due_ms != 0 && t->failed_attempts == 0) {
        t->scheduled = true;
        DL_INSERT_INORDER(job->scheduled, t, by_due);
        return;
    }
    if (t->due_ms != 0 && t->to->queue == NULL)
        t->to->held_until_ms = t->due_ms; /* a next attempt: it holds its routine */
    enqueue(job, t);
}

void hjob_return_task(struct hjob *job, struct task *t)
{
    DL_PREPEND(t->to->queue, t);
    (void)job;
}

struct task *hjob_find_scheduled(struct hjob *job, const char *routine, const char *key)
{
    struct task *t;
    DL_FOREACH (job->scheduled, t)
        if (strcmp(t->routine, routine) == 0 && strcmp(t->key, key) == 0)
            return t;
    return NULL;
}

/* Scheduled tasks that are due now go into their queues; routines that were held are free. */
static void release_due(struct hjob *job)
{
    int64_t now = job->engine->now_ms;
    while (job->scheduled != NULL && job->scheduled->due_ms <= now) {
        struct task *t = job->scheduled;
        DL_DELETE(job->scheduled, t);
        t->due_ms = 0;
        enqueue(job, t);
    }
    for (size_t i = 0; i < job->flow->n_routines; i++) {
        struct routine *r = &job->flow->routines[i];
        if (r->held_until_ms != 0 && r->held_until_ms <= now)
            r->held_until_ms = 0;
    }
}

/* ---- choosing ---- */

static bool may_run(const struct hjob *job, const struct routine *r)
{
    if (r->queue == NULL || r->run != NULL || r->held_until_ms != 0)
        return false;
    /* an effect never rests on a step that could still vanish */
    bool effects = r->type != NULL && (r->type->flags & FM_EFFECTS) != 0;
    bool intent = r->policy.on_lost > fermata_v1_LostPolicy_LOST_POLICY_RETRY;
    return !((effects || intent) && job->n_sent > 0);
}

/* Of the first tasks of all queues the one that comes first; without parallelism it must be the very first
 * one, or none. */
static struct routine *choose(const struct hjob *job)
{
    struct flow *f = job->flow;
    if (job->n_running >= f->parallelism)
        return NULL;
    struct routine *best = NULL;
    for (size_t i = 0; i <= f->n_routines; i++) {
        struct routine *r = i < f->n_routines ? &f->routines[i] : &f->unknown;
        if (r->queue == NULL || r->held_until_ms != 0 || (f->parallelism > 1 && !may_run(job, r)))
            continue;
        if (best == NULL || r->priority > best->priority ||
            (r->priority == best->priority && r->queue->seq < best->queue->seq))
            best = r;
    }
    return best != NULL && may_run(job, best) ? best : NULL;
}

struct task *hjob_take_task(struct hjob *job)
{
    if (job->phase == PHASE_STOPPED || job->interrupt != 0 || job->break_task != NULL)
        return NULL;
    if (job->n_sent >= MAX_AHEAD_STEPS || job->sent_bytes >= MAX_AHEAD_BYTES)
        return NULL;
    release_due(job);
    struct routine *r = choose(job);
    if (r == NULL)
        return NULL;
    struct task *t = r->queue;
    DL_DELETE(r->queue, t);
    return t;
}

/* ---- nothing to run ---- */

/* When the next task is due; -1: none waits for its time. */
static int64_t next_due(const struct hjob *job)
{
    int64_t at = job->scheduled != NULL ? job->scheduled->due_ms : -1;
    for (size_t i = 0; i < job->flow->n_routines; i++) {
        const struct routine *r = &job->flow->routines[i];
        if (r->queue != NULL && r->held_until_ms != 0 && (at < 0 || r->held_until_ms < at))
            at = r->held_until_ms;
    }
    return at;
}

static void set_alarm(struct hjob *job, int64_t at)
{
    if (job->alarm != 0 && job->alarm_ms <= at)
        return;
    if (job->alarm != 0)
        call_cancel(job->engine, job->alarm);
    int64_t wait = at - job->engine->now_ms;
    job->alarm_ms = at;
    job->alarm = call_alarm(job, wait > 0 ? (uint64_t)wait : 0);
}

void hjob_alarm(struct hjob *job)
{
    job->alarm = 0;
    hjob_wake(job);
}

static int release_reason(int interrupt)
{
    return interrupt == fermata_v1_InterruptKind_INTERRUPT_KIND_PAUSE
               ? fermata_v1_ReleaseReason_RELEASE_REASON_PAUSED
               : fermata_v1_ReleaseReason_RELEASE_REASON_DRAINING;
}

/* Gives the job back. What it has sent stands before the release in the stream. */
static void give_back(struct hjob *job, int reason)
{
    struct engine *e = job->engine;
    if (!e->welcomed)
        return; /* after the next Welcome */
    session_release(e, job, reason, "", job->break_task != NULL ? job->break_task : "");
    hjob_drop(job);
}

void hjob_break(struct hjob *job, const struct task *t)
{
    FM_LOG(INFO, EXECUTION, "a task has reached a breakpoint", FM_STR("job", job->id), FM_STR("task", t->id),
           FM_STR("routine", t->routine));
    free(job->break_task);
    job->break_task = fm_xstrdup(t->id);
    hjob_wake(job);
}

/* No task is due and no handler at work: waits here for a short time; for a long one the job leaves. */
static void idle(struct hjob *job)
{
    int64_t at = next_due(job);
    bool short_wait = at >= 0 && at - job->engine->now_ms <= SLEEP_MS;
    if (at >= 0)
        set_alarm(job, at);
    if (job->prelude_deferred > 0 && !short_wait && step_make_prelude(job))
        return; /* no task will carry it; the job leaves when that step is on disk */
    if (short_wait || job->n_sent > 0)
        return;
    give_back(job, job->n_tasks == 0 ? fermata_v1_ReleaseReason_RELEASE_REASON_IDLE
                                     : fermata_v1_ReleaseReason_RELEASE_REASON_SLEEPING);
}

void hjob_wake(struct hjob *job)
{
    struct engine *e = job->engine;
    if (job->is_ready || job->phase == PHASE_STOPPED)
        return;
    if (job->interrupt != 0) {
        if (job->n_running == 0)
            give_back(job, release_reason(job->interrupt));
        return;
    }
    if (job->break_task != NULL) {
        if (job->n_running == 0)
            give_back(job, fermata_v1_ReleaseReason_RELEASE_REASON_BREAKPOINT);
        return;
    }
    release_due(job);
    if (job->n_sent >= MAX_AHEAD_STEPS || job->sent_bytes >= MAX_AHEAD_BYTES)
        return;
    if (choose(job) != NULL) {
        job->is_ready = true;
        DL_APPEND2(e->ready, job, ready_prev, ready_next);
        return;
    }
    bool queued = job->flow->unknown.queue != NULL;
    for (size_t i = 0; i < job->flow->n_routines && !queued; i++)
        queued = job->flow->routines[i].queue != NULL && job->flow->routines[i].held_until_ms == 0;
    if (job->n_running == 0 && !queued)
        idle(job);
    else if (next_due(job) >= 0)
        set_alarm(job, next_due(job));
}

/* ---- handlers at work ---- */

void hjob_abort_runs(struct hjob *job)
{
    job->interrupt_at_ms = 0;
    if (job->flow == NULL)
        return;
    for (size_t i = 0; i <= job->flow->n_routines; i++) {
        struct routine *r = i < job->flow->n_routines ? &job->flow->routines[i] : &job->flow->unknown;
        if (r->run != NULL)
            step_abort(r->run);
    }
}

void hjob_intent_ack(struct hjob *job, struct pb_var task_id)
{
    for (size_t i = 0; i < job->flow->n_routines; i++) {
        struct fm_ctx *run = job->flow->routines[i].run;
        if (run == NULL || !run->waits_for_intent || !pb_var_eq(task_id, run->task->id))
            continue;
        step_go(run);
        return;
    }
}
