/* Running one task: the handler is called, and when it and all its callbacks have returned, the step is
 * built, applied to the host's copy of the state and sent. A failed handler's changes are taken back first.
 * See engine_int.h. */
#include "engine_int.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "fermata/v1/host_agent.pb.h"
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

/* A task that the step makes: into the step and into the job. */
static void add_new_task(struct fm_ctx *ctx, struct list *tasks, const char *routine, const char *slot,
                         struct fm_bytes data, const char *event)
{
    struct hjob *job = ctx->job;
    char id[48];
    snprintf(id, sizeof(id), "s%u.%zu", job->last_step + 1, tasks->n);
    fermata_v1_Task m;
    memset(&m, 0, sizeof(m));
    m.task_id = pb_var_str(id);
    m.routine = pb_var_str(routine);
    m.slot = pb_var_str(slot);
    m.data = pb_var_bytes(data.p, data.n);
    m.from_routine = pb_var_str(ctx->routine->id);
    m.from_event = pb_var_str(event);
    pack(fermata_v1_Task_fields, &m, list_add(tasks));
    hjob_add_task(job, task_new(id, routine, slot, "", data, 0));
}

static void route(struct fm_ctx *ctx, const struct emission *m, struct list *tasks, struct list *emissions)
{
    const struct flow *f = ctx->job->flow;
    struct fm_bytes data = {m->data.p, m->data.n};
    if (m->event == NULL) {
        add_new_task(ctx, tasks, ctx->routine->id, m->slot, data, "");
        return;
    }
    uint32_t taken = 0;
    for (size_t i = 0; i < f->n_connections; i++) {
        const struct connection *c = &f->connections[i];
        if (strcmp(c->from_routine, ctx->routine->id) != 0 || strcmp(c->event, m->event) != 0)
            continue;
        struct fm_buf mapped = {0};
        if (mapping_apply(c, data, &mapped) == 0) {
            add_new_task(ctx, tasks, c->to_routine, c->slot, (struct fm_bytes){mapped.p, mapped.n}, m->event);
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
    pack(fermata_v1_Emission_fields, &e, list_add(emissions));
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

static void put_deferred(struct fm_ctx *ctx, struct list *out)
{
    struct emission *d;
    DL_FOREACH (ctx->defers, d) {
        fermata_v1_DeferredEvent m;
        memset(&m, 0, sizeof(m));
        m.routine = pb_var_str(ctx->routine->id);
        m.event = pb_var_str(d->event);
        m.data = pb_var_bytes(d->data.p, d->data.n);
        pack(fermata_v1_DeferredEvent_fields, &m, list_add(out));
        struct deferred *kept =
            deferred_new(ctx->routine->id, d->event, (struct fm_bytes){d->data.p, d->data.n});
        DL_APPEND(ctx->job->deferred, kept);
    }
}

static void put_outcome(const struct fm_ctx *ctx, const char *code, fermata_v1_Step *m)
{
    if (ctx->failed) {
        m->outcome = fermata_v1_StepOutcome_STEP_OUTCOME_FAIL;
        m->has_error = true;
        m->error.code = pb_var_str(code);
        m->error.message = pb_var_str(ctx->fail_message);
        m->error.routine = pb_var_str(ctx->routine != NULL ? ctx->routine->id : ctx->task->routine);
        m->error.task_id = pb_var_str(ctx->task->id);
    } else if (ctx->n_pauses > 0) {
        m->outcome = fermata_v1_StepOutcome_STEP_OUTCOME_PAUSE;
    } else if (ctx->job->n_tasks == 0) {
        m->outcome = fermata_v1_StepOutcome_STEP_OUTCOME_COMPLETE;
    } else {
        m->outcome = fermata_v1_StepOutcome_STEP_OUTCOME_CONTINUE;
    }
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
    m->attempt = 1;
    int64_t took = now_us(job->engine) - ctx->started_us;
    m->duration_us = took > 0 ? (uint64_t)took : 0;
    if (ctx->has_usage && !ctx->failed) {
        m->has_usage = true;
        m->usage.input_tokens = ctx->usage_in;
        m->usage.output_tokens = ctx->usage_out;
        m->usage.cached_tokens = ctx->usage_cached;
        m->usage.cost = ctx->usage_cost;
        m->usage.calls = ctx->usage_calls;
    }
}

/* Encodes the step. Tasks and deferred events that it makes are in the job from here on. */
static void build(struct fm_ctx *ctx, struct fm_buf *out)
{
    struct hjob *job = ctx->job;
    struct list tasks = {0}, emissions = {0}, changes = {0}, deferred = {0};
    struct emission *e;
    if (!ctx->failed) {
        DL_FOREACH (ctx->emissions, e)
            route(ctx, e, &tasks, &emissions);
        put_changes(ctx, &changes);
        put_deferred(ctx, &deferred);
    }
    fermata_v1_Step m;
    memset(&m, 0, sizeof(m));
    put_header(ctx, &m);
    put_outcome(ctx, fm_code_name(ctx->fail_code), &m);
    struct pb_var *lists[] = {&m.deferred_tasks,  &m.new_tasks, &m.emissions, &m.changes, &m.log,
                              &m.deferred_events, &m.pauses};
    m.deferred_tasks = views(job->prelude_tasks, job->n_prelude_tasks);
    m.new_tasks = views(tasks.bufs, tasks.n);
    m.emissions = views(emissions.bufs, emissions.n);
    m.changes = views(changes.bufs, changes.n);
    m.log = views(ctx->log, ctx->failed ? 0 : ctx->n_log);
    m.deferred_events = views(deferred.bufs, deferred.n);
    m.pauses = views(ctx->pauses, ctx->failed ? 0 : ctx->n_pauses);
    pack(fermata_v1_Step_fields, &m, out);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        free(lists[i]->items);
    list_done(&tasks);
    list_done(&emissions);
    list_done(&changes);
    list_done(&deferred);
}

/* ---- finishing ---- */

/* Drops what the step would have added, from the first of its tasks and deferred events on: it is replaced by
 * a failing one. */
static void take_back(struct fm_ctx *ctx, const struct task *last_task, const struct deferred *last_deferred)
{
    struct hjob *job = ctx->job;
    while (job->tasks != NULL && job->tasks->prev != last_task) {
        struct task *t = job->tasks->prev;
        DL_DELETE(job->tasks, t);
        job->n_tasks--;
        free(t);
    }
    while (job->deferred != NULL && job->deferred->prev != last_deferred) {
        struct deferred *d = job->deferred->prev;
        DL_DELETE(job->deferred, d);
        free(d);
    }
    ctx_undo(ctx);
}

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

static void clear_prelude(struct hjob *job)
{
    for (size_t i = 0; i < job->n_prelude_tasks; i++)
        fm_buf_done(&job->prelude_tasks[i]);
    job->n_prelude_tasks = 0;
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

static void finish(struct fm_ctx *ctx)
{
    struct hjob *job = ctx->job;
    struct engine *e = job->engine;
    struct fm_buf step = {0};
    struct fm_err err = {0};
    if (ctx->failed)
        ctx_undo(ctx);
    const struct task *last_task = job->tasks == NULL ? NULL : job->tasks->prev;
    const struct deferred *last_deferred = job->deferred == NULL ? NULL : job->deferred->prev;
    build(ctx, &step);
    if (!ctx->failed && !acceptable(e, &step, &err)) {
        take_back(ctx, last_task, last_deferred);
        ctx->failed = true;
        ctx->fail_code = (int)err.code;
        snprintf(ctx->fail_message, sizeof(ctx->fail_message), "the step is not acceptable: %.400s", err.msg);
        fm_buf_reset(&step);
        build(ctx, &step);
    }
    bool stops = ctx->failed || ctx->n_pauses > 0 || job->n_tasks == 0;
    FM_LOG(DEBUG, EXECUTION, "step made", FM_STR("job", job->id), FM_U64("epoch", job->epoch),
           FM_U64("step", job->last_step + 1), FM_STR("routine", ctx->task->routine),
           FM_STR("slot", ctx->task->slot), FM_STR("failed", ctx->failed ? ctx->fail_message : "no"));
    remember(job, &step);
    fm_buf_done(&step);
    clear_prelude(job);
    job->run = NULL;
    free(ctx->task);
    ctx_free(ctx);
    if (stops)
        job->phase = PHASE_STOPPED;
    else
        hjob_wake(job);
}

void step_returned(struct fm_ctx *ctx, int rc)
{
    if (rc != 0 && !ctx->failed)
        (void)fm_ctx_fail(ctx, FM_FAIL_UNKNOWN, "the handler failed and did not say why");
    if (ctx->open_calls > 0 && !ctx->failed)
        return;
    finish(ctx);
}

/* ---- starting ---- */

static bool prepare(struct fm_ctx *ctx)
{
    struct fm_err err = {0};
    if (ctx->routine == NULL) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "the flow has no routine \"%.64s\"",
                          ctx->task->routine);
        return false;
    }
    ctx->data = value_decode_struct(ctx->task->data, &ctx->arena, &err);
    if (ctx->data == NULL) {
        (void)fm_ctx_fail(ctx, (enum fm_failure)err.code, "the data of the task: %s", err.msg);
        return false;
    }
    return true;
}

bool step_start(struct hjob *job)
{
    struct task *t = job->tasks;
    if (t == NULL || job->run != NULL || job->phase == PHASE_STOPPED)
        return false;
    struct fm_ctx *ctx = fm_xcalloc(1, sizeof(*ctx));
    DL_DELETE(job->tasks, t);
    job->n_tasks--;
    ctx->job = job;
    ctx->task = t;
    ctx->routine = flow_routine(job->flow, t->routine);
    ctx->started_us = now_us(job->engine);
    fm_arena_init(&ctx->arena, RUN_MEMORY_BYTES);
    job->run = ctx;
    int rc = -1;
    if (prepare(ctx)) {
        fm_handler handler = registry_handler(ctx->routine->type, t->slot);
        ctx->in_handler = true;
        if (handler == NULL)
            rc = fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "routine type %s has no slot \"%.64s\"",
                             ctx->routine->type->name, t->slot);
        else
            rc = handler(ctx, ctx->data);
        ctx->in_handler = false;
    }
    step_returned(ctx, rc);
    return true;
}

void step_abort(struct hjob *job)
{
    struct fm_ctx *ctx = job->run;
    job->interrupt_at_ms = 0;
    if (ctx == NULL)
        return;
    ctx_undo(ctx);
    job->run = NULL;
    DL_PREPEND(job->tasks, ctx->task);
    job->n_tasks++;
    ctx_free(ctx);
}
