/* Running one task: the handler is called, and when it and all its callbacks have returned, the
 * step is built, applied to the host's copy of the state and sent. What a failed handler did is
 * dropped; the policy of its routine says what its step becomes. See step.h. */
#include "step.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "asked.h"
#include "blocking.h"
#include "build.h"
#include "changes.h"
#include "continue.h"
#include "emit.h"
#include "engine_state.h"
#include "fermata/v1/host_agent.pb.h"
#include "hjob.h"
#include "hsession.h"
#include "log.h"
#include "mem.h"
#include "merge.h"
#include "value.h"

/* ---- failures ---- */

static const struct fm_value *describe_failure(struct fm_ctx *ctx)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "code", fm_string(ctx, fm_code_name(ctx->out.failure.code)));
    fm_map_set(ctx, m, "message", fm_string(ctx, ctx->out.fail_message));
    fm_map_set(ctx, m, "routine", fm_string(ctx, ctx->task->routine));
    fm_map_set(ctx, m, "slot", fm_string(ctx, ctx->task->slot));
    if (ctx->out.fail_reason != NULL)
        fm_map_set(ctx, m, "reason", fm_string(ctx, ctx->out.fail_reason));
    fm_map_set(ctx, m, "task_id", fm_string(ctx, ctx->task->id));
    fm_map_set(ctx, m, "attempt", fm_number(ctx, ctx->task->failed_attempts + 1));
    return m;
}

/* The event "error", in place of whatever the handler did. */
static void emit_error(struct fm_ctx *ctx)
{
    struct fm_value *m = fm_map_copy(ctx, describe_failure(ctx));
    fm_map_set(ctx, m, "data", ctx->datum != NULL ? ctx->datum : ctx->data); /* left out when too deep */
    ctx_emit_own(ctx, "error", m);
}

/* That it is not tried again is for want of time: the error says so. */
static void say_timeout(struct fm_ctx *ctx, uint64_t spent_ms)
{
    const struct policy *p = &ctx->routine->policy;
    if (!policy_out_of_time(p, &ctx->out.failure, ctx->task->failed_attempts + 1, spent_ms))
        return;
    char why[128], *text = ctx->out.fail_message;
    int n = snprintf(why, sizeof(why), " (not tried again: its timeout_ms, %llu ms, would be over before)",
                     (unsigned long long)p->timeout_ms);
    size_t room = sizeof(ctx->out.fail_message) - 1 - (size_t)n;
    size_t had = strlen(text) <= room ? strlen(text) : fm_utf8_cut(text, room);
    memcpy(text + had, why, (size_t)n + 1);
}

/* Decides what the step of a failed attempt becomes. */
static void judge(struct fm_ctx *ctx)
{
    const struct policy *p = &ctx->routine->policy;
    struct engine *e = ctx->job->engine;
    uint64_t spent = ctx->task->spent_ms + ctx_took_us(ctx) / 1000;
    double random = (double)fm_rng_below(&e->rng, 1u << 20) / (double)(1u << 20);
    ctx_reset(ctx);
    if (policy_retry(p, &ctx->out.failure, ctx->task->failed_attempts + 1, spent, random,
                     &ctx->retry_delay_ms)) {
        ctx->verdict = OUTCOME_RETRY;
        return;
    }
    say_timeout(ctx, spent);
    switch (p->on_error) {
    case ON_ERROR_CONTINUE:
        ctx_log(ctx, "task failed", describe_failure(ctx));
        break;
    case ON_ERROR_ROUTE:
        emit_error(ctx);
        break;
    case ON_ERROR_SKIP:
        break;
    default:
        ctx->verdict = OUTCOME_FAIL;
        break;
    }
}

/* ---- finishing ---- */

static void forget_task(struct hjob *job, struct task *t)
{
    hjob_unmark(job, t);
    job->n_tasks--;
    free(t);
}

/* Whether the step drops this task of another routine. */
static bool drops(const struct fm_ctx *ctx, const struct task *t)
{
    struct unscheduled *u;
    HASH_FIND_STR(ctx->out.dropped, t->id, u);
    return u != NULL;
}

/* Timers of other routines, and attempts that wait for their time. */
static void drop_others(struct fm_ctx *ctx)
{
    struct hjob *job = ctx->job;
    if (ctx->out.dropped == NULL)
        return;
    struct task **gone = fm_xcalloc(job->scheduled.n + 1, sizeof(struct task *));
    size_t n = 0;
    for (size_t i = 0; i < job->scheduled.n; i++)
        if (drops(ctx, job->scheduled.heap[i]))
            gone[n++] = job->scheduled.heap[i];
    while (n-- > 0) {
        schedule_remove(&job->scheduled, gone[n]);
        forget_task(job, gone[n]);
    }
    free(gone);
    for (size_t i = 0; i < job->flow->n_routines; i++) {
        struct routine *r = &job->flow->routines[i];
        struct task *t = r->held_until_ms != 0 ? r->queue : NULL;
        if (t == NULL || !drops(ctx, t))
            continue;
        DL_DELETE(r->queue, t);
        r->held_until_ms = 0;
        forget_task(job, t);
    }
}

/* The questions that it has asked are open, those that it withdraws are not. */
static void apply_questions(struct fm_ctx *ctx)
{
    struct hjob *job = ctx->job;
    struct asked *a;
    struct withdrawn *w;
    DL_FOREACH (ctx->out.withdrawn, w) {
        (void)asked_remove(&job->asked, w->pause_id);
        if (w->has_state)
            kv_remove(&hjob_routine_state(job, w->routine)->kv, w->pause_id, strlen(w->pause_id));
    }
    if (ctx->out.withdrawn != NULL && job->asked == NULL)
        hjob_end_halt(job);
    DL_FOREACH (ctx->out.asked, a) {
        struct asked own = *a;
        own.routine = ctx->task->routine;
        asked_add(&job->asked, &own);
    }
}

static void drop_unscheduled(struct fm_ctx *ctx)
{
    struct hjob *job = ctx->job;
    for (const struct unscheduled *u = ctx->out.unscheduled; u != NULL; u = u->hh.next) {
        struct task *t = schedule_find(&job->scheduled, ctx->task->routine, u->key);
        if (t == NULL || strcmp(t->id, u->id) != 0)
            continue; /* it has become due in the meantime */
        schedule_remove(&job->scheduled, t);
        forget_task(job, t);
    }
}

/* The step is made: the job becomes what it says. */
static void apply(struct fm_ctx *ctx, struct result *r, enum step_outcome outcome)
{
    struct hjob *job = ctx->job;
    struct task *own = ctx->task, *t, *ttmp;
    struct deferred *d, *dtmp;
    hjob_unmark(job, own);
    drop_unscheduled(ctx);
    drop_others(ctx);
    apply_questions(ctx);
    ctx_apply_changes(ctx); /* they name the task's routine: it must still be there */
    ctx->task = NULL;
    if (outcome == OUTCOME_RETRY) {
        own->failed_attempts++;
        own->spent_ms += ctx_took_us(ctx) / 1000 + ctx->retry_delay_ms;
        own->due_ms = job->engine->now_ms + (int64_t)ctx->retry_delay_ms;
        own->to->held_until_ms = ctx->retry_delay_ms > 0 ? own->due_ms : 0;
        hjob_return_task(own);
    } else {
        job->n_tasks--;
        free(own);
    }
    DL_FOREACH_SAFE (r->new_tasks, t, ttmp) {
        DL_DELETE(r->new_tasks, t);
        hjob_add_task(job, t);
    }
    DL_FOREACH_SAFE (r->new_deferred, d, dtmp) {
        DL_DELETE(r->new_deferred, d);
        DL_APPEND(job->deferred, d);
    }
}

static void tell_end(struct fm_ctx *ctx)
{
    const struct engine_io *io = &ctx->job->engine->io;
    if (ctx->begun)
        io->task_ends(io->arg, ctx->begun_as);
    ctx->begun = false;
}

static void leave(struct fm_ctx *ctx)
{
    tell_end(ctx);
    struct engine_work *work = ctx->work;
    ctx->routine->run = NULL;
    ctx->job->n_running--;
    ctx_free(ctx);
    blocking_free(work);
}

static int check_routing(const struct fm_ctx *ctx, const struct routing *r, const char *events,
                         struct fm_err *err)
{
    switch (r->excess) {
    case WITHIN_LIMITS:
        return 0;
    case TOO_MANY_TASKS:
        return fm_err_set(err, FM_RESOURCE_EXHAUSTED, "step.new_tasks",
                          "step.new_tasks: it makes more than %d tasks, which is the limit of a step",
                          FM_MAX_STEP_ITEMS);
    case TOO_MANY_CONNECTIONS:
        return fm_err_set(err, FM_RESOURCE_EXHAUSTED, events,
                          "%s: its events meet more than %d connections together, which is the limit of a "
                          "step",
                          events, FM_MAX_STEP_ROUTES);
    case TOO_MANY_BYTES:
        return fm_err_set(err, FM_RESOURCE_EXHAUSTED, "step.new_tasks",
                          "step.new_tasks: the connections of its events make more than the %u bytes that a "
                          "step may have",
                          ctx->job->session->max_step_bytes);
    }
    return 0;
}

/* What one event makes is not known before the step is built; nor what other tasks of the job have asked in
 * the meantime. */
static int check_sizes(const struct fm_ctx *ctx, const struct result *r, struct fm_err *err)
{
    const struct asked *a;
    size_t open = 0, asked = ctx->out.n_pauses;
    if (asked > 0)
        DL_COUNT(ctx->job->asked, a, open);
    if (open + asked > FM_MAX_OPEN_QUESTIONS)
        return fm_err_set(
            err, FM_RESOURCE_EXHAUSTED, "step.pauses",
            "step.pauses: %zu questions of the job are open, and it asks %zu more; the limit is "
            "%d: some must be answered first",
            open, asked, FM_MAX_OPEN_QUESTIONS);
    int rc = check_routing(ctx, &r->routing, "step.emissions", err);
    return rc != 0 ? rc : check_routing(ctx, &r->deferred_routing, "step.deferred_events", err);
}

/* Builds the step; one that the coordinator would refuse becomes a failure. Returns its outcome. */
static enum step_outcome make(struct fm_ctx *ctx, struct result *r, struct fm_buf *step)
{
    fm_auto(fm_err) err = {0};
    if (ctx->out.failed)
        judge(ctx);
    if (ctx->verdict == OUTCOME_NONE)
        merge_handled(ctx);
    enum step_outcome outcome = build_step(ctx, r, step);
    if (continue_check(ctx, &err) == 0 && check_sizes(ctx, r, &err) == 0 &&
        session_check_step(ctx->job->session, step, &err) == 0)
        return outcome;
    result_done(r);
    *r = (struct result){0};
    fm_buf_reset(step);
    ctx->out.failed = ctx->out.failure.permanent = true;
    ctx->out.failure.code = (int)err.code;
    snprintf(ctx->out.fail_message, sizeof(ctx->out.fail_message), "the step is not acceptable: %.400s",
             err.msg);
    ctx->verdict = OUTCOME_NONE;
    judge(ctx);
    if (ctx->verdict == OUTCOME_NONE)
        merge_handled(ctx);
    return build_step(ctx, r, step);
}

static void finish(struct fm_ctx *ctx)
{
    struct hjob *job = ctx->job;
    fm_auto(fm_buf) step = {0};
    struct result r = {0};
    calls_cancel(&ctx->waits);
    enum step_outcome outcome = make(ctx, &r, &step);
    FM_LOG(DEBUG, EXECUTION, "step made", FM_STR("job", job->id), FM_U64("epoch", job->epoch),
           FM_U64("step", job->last_step + 1), FM_STR("routine", ctx->task->routine),
           FM_STR("slot", ctx->task->slot), FM_U64("attempt", ctx->task->failed_attempts + 1),
           FM_STR("failed", ctx->out.failed ? ctx->out.fail_message : "no"));
    hjob_send_step(job, &step);
    hjob_clear_prelude(job);
    bool halts = outcome == OUTCOME_CONTINUE && ctx->out.n_pauses > 0 && job->flow->parallelism <= 1;
    apply(ctx, &r, outcome);
    if (halts)
        hjob_begin_halt(job);
    result_done(&r);
    if (ctx->out.continues && !ctx->out.failed)
        job->interrupt = INTERRUPT_DRAIN; /* what it has made waits for the new generation */
    leave(ctx);
    if (outcome != OUTCOME_CONTINUE && outcome != OUTCOME_RETRY) { /* the host's work on the job is over */
        step_abort_all(job);
        job->phase = PHASE_STOPPED;
    }
}

bool step_returned(struct fm_ctx *ctx, int rc)
{
    if (rc != 0 && !ctx->out.failed)
        (void)fm_ctx_fail(ctx, FM_FAIL_UNKNOWN, "the handler failed without saying why");
    if (ctx->waits.n > 0 && !ctx->out.failed)
        return false;
    finish(ctx);
    return true;
}

void step_timed_out(struct fm_ctx *ctx)
{
    ctx->waits.timeout = 0;
    const struct policy *p = &ctx->routine->policy;
    uint64_t ms = policy_attempt_ms(p, ctx->task->spent_ms);
    if (ms == p->attempt_timeout_ms)
        (void)fm_ctx_fail(ctx, FM_FAIL_DEADLINE_EXCEEDED, "the attempt took longer than %llu ms",
                          (unsigned long long)ms);
    else
        (void)fm_ctx_fail(ctx, FM_FAIL_DEADLINE_EXCEEDED,
                          "all attempts and the delays between them took longer than timeout_ms, %llu ms",
                          (unsigned long long)p->timeout_ms);
    finish(ctx);
}

void step_abort(struct fm_ctx *ctx)
{
    if (ctx->at_work || (ctx->handed != NULL && blocking_has_begun(ctx->handed)))
        hjob_note_aborted(ctx->job, ctx->task);
    hjob_return_task(ctx->task);
    leave(ctx);
}

void step_abort_all(struct hjob *job)
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

/* ---- starting ---- */

static void tell_begin(struct fm_ctx *ctx)
{
    const struct engine_io *io = &ctx->job->engine->io;
    if (io->task_begins == NULL)
        return;
    ctx->begun_as =
        io->task_begins(io->arg, ctx->job->id, ctx->job->epoch, ctx->task->id, ctx->task->routine);
    ctx->begun = true;
}

static bool prepare(struct fm_ctx *ctx)
{
    fm_auto(fm_err) err = {0};
    if (ctx->routine->type == NULL) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "the flow has no routine \"%.64s\"",
                          ctx->task->routine);
        return false;
    }
    ctx->data = value_decode_struct(ctx->task->data, &ctx->arena, &err);
    if (ctx->task->lost_reason != NULL) {
        (void)fm_ctx_fail(ctx, FM_FAIL_ABORTED, "%s", ctx->task->lost_reason);
        fm_ctx_fail_permanent(ctx);
        return false;
    }
    if (ctx->data == NULL)
        (void)fm_ctx_fail(ctx, (enum fm_failure)err.code, "the data of the task: %s", err.msg);
    return ctx->data != NULL;
}

/* Nobody has answered a question in time, and the flow does not want the default answer. */
static int take_timeout(struct fm_ctx *ctx, fm_handler handler)
{
    if (ctx->task->timed_out == FM_TIMEOUT_FAIL) {
        (void)fm_ctx_fail(ctx, FM_FAIL_DEADLINE_EXCEEDED,
                          "nobody has answered the question \"%.200s\" (pause %.64s) before its deadline; "
                          "EditTask gives it an answer after all",
                          fm_value_string(fm_value_get(ctx->data, "question"), ""), ctx->task->pause_id);
        fm_ctx_fail_permanent(ctx);
        return -1;
    }
    ctx_emit_own(ctx, "timeout", ctx->data);
    bool sees = (ctx->routine->type->flags & FM_SEES_TIMEOUTS) != 0;
    return sees ? handler(ctx, ctx->data) : 0;
}

static int run_handler(struct fm_ctx *ctx)
{
    const struct merge *merge = merge_find(ctx->routine, ctx->task->slot);
    int taken = merge != NULL && !ctx->task->merged ? merge_take(ctx, merge) : 0;
    if (taken != 0)
        return taken < 0 ? taken : 0;
    fm_handler handler = registry_handler(ctx->routine->type, ctx->task->slot);
    if (handler == NULL)
        return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "routine type %s has no slot \"%.64s\"",
                           ctx->routine->type->name, ctx->task->slot);
    if (ctx->task->timed_out == FM_TIMEOUT_EVENT || ctx->task->timed_out == FM_TIMEOUT_FAIL)
        return take_timeout(ctx, handler);
    bool blocks = (ctx->routine->type->flags & FM_BLOCKING) != 0;
    if (blocks && ctx->job->engine->io.start_work != NULL)
        return blocking_start(ctx, handler);
    return handler(ctx, ctx->data);
}

struct fm_ctx *step_new(struct hjob *job, struct task *t)
{
    struct fm_ctx *ctx = ctx_new(job, t);
    t->to->run = ctx;
    job->n_running++;
    return ctx;
}

bool step_go(struct fm_ctx *ctx)
{
    ctx->waits_for_intent = ctx->task->announced = false;
    ctx_start_clock(ctx);
    uint64_t limit = policy_attempt_ms(&ctx->routine->policy, ctx->task->spent_ms);
    if (limit > 0)
        call_timeout(&ctx->waits, limit);
    if (!prepare(ctx))
        return step_returned(ctx, -1);
    tell_begin(ctx);
    ctx->at_work = true;
    return step_returned(ctx, run_handler(ctx));
}
