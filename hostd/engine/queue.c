/* Which task of a job runs when. Each routine has a queue of tasks that are due; a failed task that
 * is tried again stays first in its queue and holds those behind it, so that the order within a
 * routine is kept. See queue.h. */
#include "queue.h"

#include <string.h>

#include <utlist.h>

#include "calls.h"
#include "engine_state.h"
#include "fermata/v1/host_agent.pb.h"
#include "hold.h"
#include "hsession.h"
#include "log.h"
#include "mem.h"
#include "prelude.h"
#include "release.h"
#include "step.h"

/* How far the host works ahead of what is on disk. */
#define MAX_AHEAD_STEPS 64
#define MAX_AHEAD_BYTES (1024u * 1024)
#define SLEEP_MS 1000 /* a job with nothing to do for longer leaves the host */

/* ---- choosing ---- */

/* Scheduled tasks that are due now go into their queues; routines that were held are free. */
static void release_due(struct hjob *job)
{
    int64_t now = job->engine->now_ms;
    struct task *t;
    while ((t = schedule_first(&job->scheduled)) != NULL && t->due_ms <= now) {
        schedule_remove(&job->scheduled, t);
        t->due_ms = 0;
        hjob_enqueue(job, t);
    }
    for (size_t i = 0; i < job->flow->n_routines; i++) {
        struct routine *r = &job->flow->routines[i];
        if (r->held_until_ms != 0 && r->held_until_ms <= now)
            r->held_until_ms = 0;
    }
}

static bool may_run(const struct hjob *job, const struct routine *r)
{
    if (r->queue == NULL || r->run != NULL || r->held_until_ms != 0 || r->asking != 0)
        return false;
    /* an effect never rests on a step that could still vanish */
    bool effects = r->type != NULL && (r->type->flags & FM_EFFECTS) != 0;
    return !((effects || policy_announces(&r->policy)) && job->n_sent > 0);
}

/* Of the first tasks of all queues the one that comes first; without parallelism it must be the
 * very first one, or none. */
static struct routine *choose(const struct hjob *job)
{
    struct flow *f = job->flow;
    if (job->n_running >= (job->n_suspects > 0 ? 1 : f->parallelism))
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

/* Whether the job is as far ahead of what is on disk as it may be. */
static bool is_far_ahead(const struct hjob *job)
{
    return job->n_sent >= MAX_AHEAD_STEPS || job->sent_bytes >= MAX_AHEAD_BYTES;
}

/* Takes the next task that may run out of its queue; NULL: none may now. */
static struct task *take_task(struct hjob *job)
{
    if (job->phase == PHASE_STOPPED || job->interrupt != INTERRUPT_NONE || job->break_task != NULL ||
        is_far_ahead(job))
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
    const struct task *first = schedule_first(&job->scheduled);
    int64_t at = first != NULL ? first->due_ms : -1;
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
    job->alarm = call_alarm(job->engine, job, wait > 0 ? (uint64_t)wait : 0);
}

void hjob_alarm(struct hjob *job)
{
    job->alarm = 0;
    hjob_wake(job);
}

static enum release_reason release_reason(enum interrupt_kind interrupt)
{
    return interrupt == INTERRUPT_PAUSE ? RELEASE_PAUSED : RELEASE_DRAINING;
}

static void give_back(struct hjob *job, enum release_reason reason)
{
    if (job->session->welcomed) /* else it is given back after the next Welcome */
        hjob_release(job, reason,
                     job->break_why != NULL && reason == RELEASE_BREAKPOINT ? job->break_why : "");
}

/* No task is due and no handler at work: waits here for a short time; for a long one the job
 * leaves. */
static void idle(struct hjob *job)
{
    int64_t at = next_due(job);
    bool short_wait = at >= 0 && at - job->engine->now_ms <= SLEEP_MS;
    if (at >= 0)
        set_alarm(job, at);
    if (job->prelude_deferred > 0 && !short_wait && prelude_make_step(job))
        return; /* no task will carry it; the job leaves when that step is on disk */
    if (short_wait || job->n_sent > 0)
        return;
    give_back(job, job->n_tasks == 0 ? RELEASE_IDLE : RELEASE_SLEEPING);
}

void hjob_wake(struct hjob *job)
{
    struct engine *e = job->engine;
    if (job->is_ready || job->phase == PHASE_STOPPED)
        return;
    if (job->interrupt != INTERRUPT_NONE) {
        if (job->n_running == 0)
            give_back(job, release_reason(job->interrupt));
        return;
    }
    if (job->break_task != NULL) {
        if (job->n_running == 0)
            give_back(job, RELEASE_BREAKPOINT);
        return;
    }
    release_due(job);
    if (is_far_ahead(job))
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

/* ---- breakpoints ---- */

/* A task has reached a breakpoint: the job is given back when its handlers have ended. */
static void hold_at_breakpoint(struct hjob *job, struct task *t)
{
    FM_LOG(INFO, EXECUTION, "a task has reached a breakpoint", FM_STR("job", job->id), FM_STR("task", t->id),
           FM_STR("routine", t->routine));
    free(job->break_task);
    free(job->break_why);
    job->break_task = fm_xstrdup(t->id);
    job->break_why = t->to->hold_why;
    t->to->hold_why = NULL;
    hjob_return_task(t);
    hjob_wake(job);
}

/* ---- running ---- */

/* Whether the task's attempt is announced, and so its loss noticed. */
static bool is_announced(const struct task *t)
{
    return policy_announces(&t->to->policy) && t->lost_reason == NULL;
}

void hjob_run_next(struct hjob *job)
{
    struct task *t = take_task(job);
    if (t == NULL)
        return;
    enum held held = hold_task(job, t);
    if (held == HELD_ASKING) {
        hjob_return_task(t);
        hjob_wake(job);
        return;
    }
    /* The coordinator knows a task of a deferred event only by the step that makes it. */
    if (held == HELD && (job->prelude_deferred == 0 || prelude_make_step(job))) {
        hold_at_breakpoint(job, t);
        return;
    }
    if (is_announced(t) && job->prelude_deferred > 0 && prelude_make_step(job)) {
        hjob_return_task(t); /* it begins when that step is on disk */
        hjob_wake(job);
        return;
    }
    struct fm_ctx *ctx = step_new(job, t);
    if (job->flow->parallelism > 1)
        hjob_wake(job); /* another one may run beside it */
    if (is_announced(t)) {
        ctx->waits_for_intent = t->announced = true;
        ctx->intent_seq = session_intent(job->session, job->id, job->epoch, t->id);
    } else if (step_go(ctx)) {
        hjob_wake(job);
    }
}

void hjob_returned(struct fm_ctx *ctx, int rc)
{
    struct hjob *job = ctx->job;
    if (step_returned(ctx, rc))
        hjob_wake(job);
}

void hjob_timed_out(struct fm_ctx *ctx)
{
    struct hjob *job = ctx->job;
    step_timed_out(ctx);
    hjob_wake(job);
}

void hjob_intent_ack(struct hjob *job, struct pb_var task_id, uint64_t heard)
{
    for (size_t i = 0; i < job->flow->n_routines; i++) {
        struct fm_ctx *run = job->flow->routines[i].run;
        if (run == NULL || !run->waits_for_intent || !pb_var_eq(task_id, run->task->id) ||
            run->intent_seq > heard) /* or it is about an earlier attempt */
            continue;
        if (step_go(run))
            hjob_wake(job);
        return;
    }
}
