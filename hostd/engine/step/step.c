/* Running one task: the handler is called, and when it and all its callbacks have returned, the step is
 * built, applied to the host's copy of the state and sent. What a failed handler did is dropped; the policy
 * of its routine says what its step becomes. See engine_int.h. */
#include "engine_int.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "fermata/v1/host_agent.pb.h"
#include "json_value.h"
#include "log.h"
#include "mem.h"
#include "value.h"
#include "wire_nano.h"

static int64_t now_us(const struct engine *e)
{
    return e->io.now_us == NULL ? 0 : e->io.now_us(e->io.arg);
}

/* ---- building the step ---- */

/* Encoded elements of a repeated field. */
struct list {
    struct fm_buf *bufs;
    size_t n, cap;
};

static struct fm_buf *list_add(struct list *l)
{
    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 8 : l->cap * 2;
        l->bufs = fm_xrealloc(l->bufs, l->cap * sizeof(*l->bufs));
    }
    l->bufs[l->n] = (struct fm_buf){0};
    return &l->bufs[l->n++];
}

static void list_done(struct list *l)
{
    for (size_t i = 0; i < l->n; i++)
        fm_buf_done(&l->bufs[i]);
    free(l->bufs);
}

static struct pb_var views(const struct fm_buf *bufs, size_t n)
{
    struct fm_bytes *items = fm_xcalloc(n + 1, sizeof(*items));
    for (size_t i = 0; i < n; i++)
        items[i] = (struct fm_bytes){bufs[i].p, bufs[i].n};
    return pb_var_list(items, n);
}

static void pack(const pb_msgdesc_t *desc, const void *msg, struct fm_buf *out)
{
    struct fm_err err = {0};
    if (pb_var_encode(desc, msg, out, &err) < 0)
        fm_abort(err.msg);
}

/* What becomes of the job's state with the step, gathered while it is built: nothing changes before it is
 * known to be acceptable. */
struct result {
    struct list tasks, emissions, changes, deferred, log;
    struct task *new_tasks;
    struct deferred *new_deferred;
};

static void result_done(struct result *r)
{
    list_done(&r->tasks);
    list_done(&r->emissions);
    list_done(&r->changes);
    list_done(&r->deferred);
    list_done(&r->log);
    struct task *t, *ttmp;
    DL_FOREACH_SAFE (r->new_tasks, t, ttmp)
        free(t);
    struct deferred *d, *dtmp;
    DL_FOREACH_SAFE (r->new_deferred, d, dtmp)
        free(d);
}

/* A task that the step makes; its id, delay and what it inherits are filled in here. */
static void add_new_task(struct fm_ctx *ctx, struct result *r, struct task *t, uint64_t delay_ms,
                         const char *event)
{
    struct hjob *job = ctx->job;
    char id[48];
    snprintf(id, sizeof(id), "s%u.%zu", job->last_step + 1, r->tasks.n);
    t->id = id;
    t->pause_id = "";
    if (t->key == NULL)
        t->key = "";
    if (t->call_id == NULL)
        t->call_id = ctx->task->call_id;
    t->due_ms = delay_ms > 0 ? job->engine->now_ms + (int64_t)delay_ms : 0;
    fermata_v1_Task m;
    memset(&m, 0, sizeof(m));
    m.task_id = pb_var_str(id);
    m.routine = pb_var_str(t->routine);
    m.slot = pb_var_str(t->slot);
    m.data = pb_var_bytes(t->data.p, t->data.n);
    m.from_routine = pb_var_str(ctx->task->routine);
    m.from_event = pb_var_str(event);
    m.delay_ms = delay_ms;
    m.schedule_key = pb_var_str(t->key);
    m.call_id = pb_var_str(t->call_id);
    m.connection = t->connection;
    m.merged = t->merged;
    pack(fermata_v1_Task_fields, &m, list_add(&r->tasks));
    struct task *copy = task_new(t);
    DL_APPEND(r->new_tasks, copy);
}

/* The call id in the data of a tool call: what descends from it carries it. */
static const char *call_id_of(struct fm_ctx *ctx, const char *event, struct fm_bytes data)
{
    struct fm_err err = {0};
    if (strcmp(event, "tool_call") != 0)
        return NULL;
    const struct fm_value *v = value_decode_struct(data, &ctx->arena, &err);
    const char *id = fm_value_string(fm_value_get(v, "call_id"), "");
    return id[0] == '\0' ? NULL : id;
}

static void route(struct fm_ctx *ctx, const struct emission *m, struct result *r)
{
    const struct routine *from = ctx->routine;
    struct fm_bytes data = {m->data.p, m->data.n};
    if (m->event == NULL) {
        struct task t = {.routine = ctx->task->routine,
                         .slot = m->slot,
                         .data = data,
                         .key = m->key,
                         .merged = m->merged,
                         .connection = m->merged ? ctx->task->connection : 0};
        add_new_task(ctx, r, &t, m->delay_ms, "");
        return;
    }
    const char *call_id = call_id_of(ctx, m->event, data);
    uint32_t taken = 0;
    for (size_t i = 0; i < from->n_out; i++) {
        const struct connection *c = from->out[i];
        struct fm_buf mapped = {0};
        if (!connection_takes(c, m->event, data))
            continue;
        if (mapping_apply(c, data, &mapped) == 0) {
            struct task t = {
                .routine = c->to_routine,
                .slot = c->slot,
                .data = {mapped.p, mapped.n},
                .call_id = call_id,
                .connection = c->number
            };
            add_new_task(ctx, r, &t, 0, m->event);
            taken++;
        }
        fm_buf_done(&mapped);
    }
    fermata_v1_Emission e;
    memset(&e, 0, sizeof(e));
    e.event = pb_var_str(m->event);
    e.tasks = taken;
    if (taken == 0)
        e.data = pb_var_bytes(data.p, data.n);
    pack(fermata_v1_Emission_fields, &e, list_add(&r->emissions));
}

static void put_changes(struct fm_ctx *ctx, struct list *out)
{
    struct change *c;
    DL_FOREACH (ctx->changes, c) {
        fermata_v1_StateChange m;
        memset(&m, 0, sizeof(m));
        m.routine = pb_var_str(c->routine);
        m.key = pb_var_str(c->key);
        m.kind = (fermata_v1_StateChangeKind)c->kind;
        if (c->kind != fermata_v1_StateChangeKind_STATE_CHANGE_KIND_REMOVE)
            m.value = pb_var_bytes(c->value.p, c->value.n);
        pack(fermata_v1_StateChange_fields, &m, list_add(out));
    }
}

static void put_deferred(struct fm_ctx *ctx, struct result *r)
{
    struct emission *d;
    DL_FOREACH (ctx->defers, d) {
        fermata_v1_DeferredEvent m;
        struct fm_bytes data = {d->data.p, d->data.n};
        memset(&m, 0, sizeof(m));
        m.routine = pb_var_str(ctx->task->routine);
        m.event = pb_var_str(d->event);
        m.data = pb_var_bytes(data.p, data.n);
        pack(fermata_v1_DeferredEvent_fields, &m, list_add(&r->deferred));
        struct deferred *kept = deferred_new(ctx->task->routine, d->event, data);
        DL_APPEND(r->new_deferred, kept);
    }
}

/* What the job has left to do after this step, apart from other handlers at work. */
static bool nothing_left(const struct fm_ctx *ctx, const struct result *r)
{
    return ctx->job->n_tasks == 1 && r->new_tasks == NULL;
}

/* Whether the host stops working on the job with this step. */
static bool stops(const struct fm_ctx *ctx, int outcome)
{
    (void)ctx;
    return outcome != fermata_v1_StepOutcome_STEP_OUTCOME_CONTINUE &&
           outcome != fermata_v1_StepOutcome_STEP_OUTCOME_RETRY;
}

static int outcome_of(const struct fm_ctx *ctx, const struct result *r)
{
    if (ctx->failed && ctx->verdict != 0)
        return ctx->verdict;
    bool left = !nothing_left(ctx, r);
    if (ctx->n_pauses > 0 && (!left || ctx->job->flow->parallelism <= 1))
        return fermata_v1_StepOutcome_STEP_OUTCOME_PAUSE;
    return left ? fermata_v1_StepOutcome_STEP_OUTCOME_CONTINUE : fermata_v1_StepOutcome_STEP_OUTCOME_COMPLETE;
}

static void put_error(const struct fm_ctx *ctx, fermata_v1_Step *m)
{
    if (!ctx->failed)
        return;
    m->has_error = true;
    m->error.code = pb_var_str(fm_code_name(ctx->fail_code));
    m->error.message = pb_var_str(ctx->fail_message);
    m->error.routine = pb_var_str(ctx->task->routine);
    m->error.task_id = pb_var_str(ctx->task->id);
}

static uint64_t took_us(const struct fm_ctx *ctx)
{
    int64_t took = now_us(ctx->job->engine) - ctx->started_us;
    return took > 0 ? (uint64_t)took : 0;
}

static void put_header(const struct fm_ctx *ctx, fermata_v1_Step *m)
{
    const struct hjob *job = ctx->job;
    m->number = job->last_step + 1;
    m->epoch = job->epoch;
    m->task_id = pb_var_str(ctx->task->id);
    m->routine = pb_var_str(ctx->task->routine);
    m->slot = pb_var_str(ctx->task->slot);
    m->inputs_through = job->inputs_through;
    m->deferred_emitted = job->prelude_deferred;
    m->attempt = ctx->task->failed_attempts + 1;
    m->duration_us = took_us(ctx);
    m->retry_delay_ms = ctx->retry_delay_ms;
    if (ctx->has_usage) { /* also of a failed attempt: what was used was used */
        m->has_usage = true;
        m->usage.input_tokens = ctx->usage_in;
        m->usage.output_tokens = ctx->usage_out;
        m->usage.cached_tokens = ctx->usage_cached;
        m->usage.cost = ctx->usage_cost;
        m->usage.calls = ctx->usage_calls;
    }
}

static struct pb_var text_views(const char *const *texts, size_t n)
{
    struct fm_bytes *items = fm_xcalloc(n + 1, sizeof(*items));
    for (size_t i = 0; i < n; i++)
        items[i] = (struct fm_bytes){(const uint8_t *)texts[i], strlen(texts[i])};
    return pb_var_list(items, n);
}

static struct pb_var child_views(const struct fm_ctx *ctx)
{
    size_t n = 0;
    struct child *c;
    DL_FOREACH (ctx->children, c)
        n++;
    struct fm_bytes *items = fm_xcalloc(n + 1, sizeof(*items));
    n = 0;
    DL_FOREACH (ctx->children, c)
        items[n++] = (struct fm_bytes){c->body.p, c->body.n};
    return pb_var_list(items, n);
}

/* Encodes the step; the job does not change. Returns its outcome. */
static int build(struct fm_ctx *ctx, struct result *r, struct fm_buf *out)
{
    struct hjob *job = ctx->job;
    struct emission *e;
    DL_FOREACH (ctx->emissions, e)
        route(ctx, e, r);
    put_changes(ctx, &r->changes);
    put_deferred(ctx, r);
    fermata_v1_Step m;
    memset(&m, 0, sizeof(m));
    put_header(ctx, &m);
    put_error(ctx, &m);
    m.outcome = (fermata_v1_StepOutcome)outcome_of(ctx, r);
    struct pb_var *lists[] = {
        &m.deferred_tasks,  &m.new_tasks, &m.emissions,   &m.changes,  &m.log,
        &m.deferred_events, &m.pauses,    &m.unscheduled, &m.children, &m.deferred_outputs};
    m.deferred_tasks = views(job->prelude_tasks, job->n_prelude_tasks);
    m.deferred_outputs = views(job->prelude_outputs, job->n_prelude_outputs);
    m.new_tasks = views(r->tasks.bufs, r->tasks.n);
    m.emissions = views(r->emissions.bufs, r->emissions.n);
    m.changes = views(r->changes.bufs, r->changes.n);
    m.log = views(ctx->log, ctx->n_log);
    m.deferred_events = views(r->deferred.bufs, r->deferred.n);
    m.pauses = views(ctx->pauses, ctx->n_pauses);
    m.unscheduled = text_views(ctx->unscheduled, ctx->n_unscheduled);
    m.children = child_views(ctx);
    pack(fermata_v1_Step_fields, &m, out);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        free(lists[i]->items);
    return (int)m.outcome;
}

/* ---- failures ---- */

static const struct fm_value *describe_failure(struct fm_ctx *ctx)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "code", fm_string(ctx, fm_code_name(ctx->fail_code)));
    fm_map_set(ctx, m, "message", fm_string(ctx, ctx->fail_message));
    fm_map_set(ctx, m, "routine", fm_string(ctx, ctx->task->routine));
    fm_map_set(ctx, m, "slot", fm_string(ctx, ctx->task->slot));
    fm_map_set(ctx, m, "task_id", fm_string(ctx, ctx->task->id));
    fm_map_set(ctx, m, "attempt", fm_number(ctx, ctx->task->failed_attempts + 1));
    return m;
}

/* The event "error" in place of whatever the handler did, whether the type has such an event or not. */
static void emit_error(struct fm_ctx *ctx)
{
    struct fm_err err = {0};
    struct fm_value *m = fm_map_copy(ctx, describe_failure(ctx));
    fm_map_set(ctx, m, "data", ctx->data);
    struct emission *e = fm_ctx_alloc(ctx, sizeof(*e));
    e->event = "error";
    if (value_encode_struct(m, &e->data, &err) < 0)
        fm_buf_reset(&e->data); /* data nested too deeply to be wrapped once more */
    DL_APPEND(ctx->emissions, e);
}

/* Decides what the step of a failed attempt becomes. */
static void judge(struct fm_ctx *ctx)
{
    const struct policy *p = &ctx->routine->policy;
    struct engine *e = ctx->job->engine;
    uint64_t spent = ctx->task->spent_ms + took_us(ctx) / 1000;
    double random = (double)fm_rng_below(&e->rng, 1u << 20) / (double)(1u << 20);
    ctx_reset(ctx);
    if (policy_retry(p, ctx->fail_code, ctx->fail_permanent, ctx->task->failed_attempts + 1, spent,
                     ctx->retry_after_ms, random, &ctx->retry_delay_ms)) {
        ctx->verdict = fermata_v1_StepOutcome_STEP_OUTCOME_RETRY;
        return;
    }
    ctx->failed = false; /* for what follows; put_error wants it again */
    switch (p->on_error) {
    case fermata_v1_ErrorPolicy_ERROR_POLICY_CONTINUE:
        fm_ctx_log(ctx, "task failed", describe_failure(ctx));
        break;
    case fermata_v1_ErrorPolicy_ERROR_POLICY_ROUTE:
        emit_error(ctx);
        break;
    case fermata_v1_ErrorPolicy_ERROR_POLICY_SKIP:
        break;
    default:
        ctx->verdict = fermata_v1_StepOutcome_STEP_OUTCOME_FAIL;
        break;
    }
    ctx->failed = true;
}

/* ---- finishing ---- */

static void remember(struct hjob *job, const struct fm_buf *step)
{
    struct sent_step *s = fm_xmalloc(sizeof(*s) + step->n);
    memset(s, 0, sizeof(*s));
    memcpy(s + 1, step->p, step->n);
    s->number = ++job->last_step;
    s->body = (struct fm_bytes){(uint8_t *)(s + 1), step->n};
    DL_APPEND(job->sent, s);
    job->sent_bytes += step->n;
    job->n_sent++;
    session_add_step(job->engine, job, s->body);
}

void step_clear_prelude(struct hjob *job)
{
    for (size_t i = 0; i < job->n_prelude_tasks; i++)
        fm_buf_done(&job->prelude_tasks[i]);
    for (size_t i = 0; i < job->n_prelude_outputs; i++)
        fm_buf_done(&job->prelude_outputs[i]);
    job->n_prelude_tasks = job->n_prelude_outputs = 0;
    job->prelude_deferred = 0;
}

/* The coordinator would end the stream over a step that its guard refuses, and get it again after the next
 * Welcome, for ever: the same limits are applied here, where only the step fails. */
static bool acceptable(const struct engine *e, const struct fm_buf *step, struct fm_err *err)
{
    const struct wire_limits limits = {e->max_step_bytes, MAX_STEP_DEPTH, MAX_STEP_ELEMENTS};
    return wire_check(wire_msg_of_nano(fermata_v1_Step_fields, "Step"), (struct fm_bytes){step->p, step->n},
                      &limits, err) == 0;
}

static void drop_unscheduled(struct fm_ctx *ctx)
{
    struct hjob *job = ctx->job;
    struct task *t, *tmp;
    for (size_t i = 0; i < ctx->n_unscheduled; i++)
        DL_FOREACH_SAFE (job->scheduled, t, tmp) {
            if (strcmp(t->id, ctx->unscheduled[i]) != 0)
                continue;
            DL_DELETE(job->scheduled, t);
            job->n_tasks--;
            free(t);
        }
}

/* The step is made: the job becomes what it says. */
static void apply(struct fm_ctx *ctx, struct result *r, int outcome)
{
    struct hjob *job = ctx->job;
    struct task *own = ctx->task, *t, *ttmp;
    struct deferred *d, *dtmp;
    drop_unscheduled(ctx);
    ctx_apply_changes(ctx); /* they name the task's routine: it must still be there */
    ctx->task = NULL;
    if (outcome == fermata_v1_StepOutcome_STEP_OUTCOME_RETRY) {
        own->failed_attempts++;
        own->spent_ms += took_us(ctx) / 1000 + ctx->retry_delay_ms;
        own->due_ms = job->engine->now_ms + (int64_t)ctx->retry_delay_ms;
        own->to->held_until_ms = ctx->retry_delay_ms > 0 ? own->due_ms : 0;
        hjob_return_task(job, own);
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

static void leave(struct fm_ctx *ctx)
{
    ctx->routine->run = NULL;
    ctx->job->n_running--;
    ctx_free(ctx);
}

static void finish(struct fm_ctx *ctx)
{
    struct hjob *job = ctx->job;
    struct fm_buf step = {0};
    struct fm_err err = {0};
    struct result r = {0};
    calls_cancel(ctx);
    if (ctx->failed)
        judge(ctx);
    int outcome = build(ctx, &r, &step);
    if (!acceptable(job->engine, &step, &err)) {
        result_done(&r);
        r = (struct result){0};
        ctx->failed = ctx->fail_permanent = true;
        ctx->verdict = 0;
        ctx->fail_code = (int)err.code;
        snprintf(ctx->fail_message, sizeof(ctx->fail_message), "the step is not acceptable: %.400s", err.msg);
        judge(ctx);
        fm_buf_reset(&step);
        outcome = build(ctx, &r, &step);
    }
    FM_LOG(DEBUG, EXECUTION, "step made", FM_STR("job", job->id), FM_U64("epoch", job->epoch),
           FM_U64("step", job->last_step + 1), FM_STR("routine", ctx->task->routine),
           FM_STR("slot", ctx->task->slot), FM_U64("attempt", ctx->task->failed_attempts + 1),
           FM_STR("failed", ctx->failed ? ctx->fail_message : "no"));
    remember(job, &step);
    fm_buf_done(&step);
    step_clear_prelude(job);
    apply(ctx, &r, outcome);
    result_done(&r);
    bool last = stops(ctx, outcome);
    leave(ctx);
    if (last) {
        hjob_abort_runs(job);
        job->phase = PHASE_STOPPED;
    } else {
        hjob_wake(job);
    }
}

void step_returned(struct fm_ctx *ctx, int rc)
{
    if (rc != 0 && !ctx->failed)
        (void)fm_ctx_fail(ctx, FM_FAIL_UNKNOWN, "the handler failed and did not say why");
    if (ctx->open_calls > 0 && !ctx->failed)
        return;
    finish(ctx);
}

void step_timed_out(struct fm_ctx *ctx)
{
    (void)fm_ctx_fail(ctx, FM_FAIL_DEADLINE_EXCEEDED, "the attempt took longer than %llu ms",
                      (unsigned long long)policy_attempt_ms(&ctx->routine->policy, ctx->task->spent_ms));
    finish(ctx);
}

/* ---- starting ---- */

static bool prepare(struct fm_ctx *ctx)
{
    struct fm_err err = {0};
    if (ctx->routine->type == NULL) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "the flow has no routine \"%.64s\"",
                          ctx->task->routine);
        return false;
    }
    ctx->data = value_decode_struct(ctx->task->data, &ctx->arena, &err);
    if (ctx->task->lost) {
        fm_err_done(&err);
        (void)fm_ctx_fail(ctx, FM_FAIL_ABORTED,
                          "the host was lost while it handled the task; what it has done is not known");
        fm_ctx_fail_permanent(ctx);
        return false;
    }
    if (ctx->data == NULL) {
        (void)fm_ctx_fail(ctx, (enum fm_failure)err.code, "the data of the task: %s", err.msg);
        return false;
    }
    return true;
}

static int run_handler(struct fm_ctx *ctx)
{
    const struct merge *merge = merge_find(ctx->routine, ctx->task->slot);
    if (merge != NULL && !ctx->task->merged)
        return merge_take(ctx, merge);
    fm_handler handler = registry_handler(ctx->routine->type, ctx->task->slot);
    if (handler == NULL)
        return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "routine type %s has no slot \"%.64s\"",
                           ctx->routine->type->name, ctx->task->slot);
    bool blocks = (ctx->routine->type->flags & FM_BLOCKING) != 0;
    if (blocks && ctx->job->engine->io.start_work != NULL)
        return blocking_start(ctx, handler);
    return handler(ctx, ctx->data);
}

void step_go(struct fm_ctx *ctx)
{
    ctx->waits_for_intent = ctx->task->announced = false;
    ctx->started_us = now_us(ctx->job->engine);
    uint64_t limit = policy_attempt_ms(&ctx->routine->policy, ctx->task->spent_ms);
    if (limit > 0)
        call_timeout(ctx, limit);
    step_returned(ctx, prepare(ctx) ? run_handler(ctx) : -1);
}

/* A condition that cannot be put to the data holds: rather a task too many is held than one too few. */
static bool condition_holds(const struct hjob *job, const struct breakpoint *b, const struct task *t)
{
    const struct engine *e = job->engine;
    if (b->condition[0] == '\0' || e->io.condition == NULL)
        return true;
    struct fm_arena arena;
    struct fm_err err = {0};
    struct fm_buf json = {0};
    fm_arena_init(&arena, RUN_MEMORY_BYTES);
    const struct fm_value *data = value_decode_struct(t->data, &arena, &err);
    bool holds = true;
    if (data != NULL) {
        json_value_write(data, &json);
        holds = e->io.condition(e->io.arg, b->condition, (struct fm_bytes){json.p, json.n});
    }
    fm_buf_done(&json);
    fm_arena_done(&arena);
    return holds;
}

/* The breakpoint that holds the task; NULL: none. */
static const struct breakpoint *breakpoint_for(const struct hjob *job, const struct task *t)
{
    if (strcmp(job->released_task, t->id) == 0)
        return NULL;
    for (const struct breakpoint *b = job->breakpoints; b != NULL; b = b->next)
        if ((strcmp(b->routine, "*") == 0 || strcmp(b->routine, t->routine) == 0) &&
            (b->slot[0] == '\0' || strcmp(b->slot, t->slot) == 0) && condition_holds(job, b, t))
            return b;
    return NULL;
}

bool step_make_prelude(struct hjob *job)
{
    fermata_v1_Step m;
    struct fm_buf step = {0};
    struct fm_err err = {0};
    memset(&m, 0, sizeof(m));
    m.number = job->last_step + 1;
    m.epoch = job->epoch;
    m.inputs_through = job->inputs_through;
    m.deferred_emitted = job->prelude_deferred;
    m.deferred_tasks = views(job->prelude_tasks, job->n_prelude_tasks);
    m.deferred_outputs = views(job->prelude_outputs, job->n_prelude_outputs);
    m.outcome = fermata_v1_StepOutcome_STEP_OUTCOME_CONTINUE;
    pack(fermata_v1_Step_fields, &m, &step);
    free(m.deferred_tasks.items);
    free(m.deferred_outputs.items);
    bool good = acceptable(job->engine, &step, &err);
    if (good) {
        remember(job, &step);
        step_clear_prelude(job);
    }
    fm_buf_done(&step);
    fm_err_done(&err);
    return good;
}

/* Whether the task's attempt is announced, and so its loss noticed. */
static bool is_announced(const struct task *t)
{
    return t->to->policy.on_lost > fermata_v1_LostPolicy_LOST_POLICY_RETRY && !t->lost;
}

bool step_start(struct hjob *job)
{
    struct task *t = hjob_take_task(job);
    if (t == NULL)
        return false;
    if (breakpoint_for(job, t) != NULL) {
        hjob_return_task(job, t);
        hjob_break(job, t);
        return false;
    }
    if (is_announced(t) && job->prelude_deferred > 0 && step_make_prelude(job)) {
        hjob_return_task(job, t); /* it begins when that step is on disk */
        hjob_wake(job);
        return true;
    }
    struct fm_ctx *ctx = fm_xcalloc(1, sizeof(*ctx));
    ctx->job = job;
    ctx->task = t;
    ctx->routine = t->to;
    fm_arena_init(&ctx->arena, RUN_MEMORY_BYTES);
    t->to->run = ctx;
    job->n_running++;
    if (job->flow->parallelism > 1)
        hjob_wake(job); /* another one may run beside it */
    if (is_announced(t)) {
        ctx->waits_for_intent = t->announced = true;
        session_intent(job->engine, job, t->id);
        return true;
    }
    step_go(ctx);
    return true;
}

void step_abort(struct fm_ctx *ctx)
{
    hjob_return_task(ctx->job, ctx->task);
    leave(ctx);
}
