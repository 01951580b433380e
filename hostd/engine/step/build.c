/* Building a step. See build.h. */
#include "build.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "ctx.h"
#include "engine_state.h"
#include "fermata/v1/host_agent.pb.h"
#include "hjob.h"
#include "hsession.h"
#include "log.h"
#include "mem.h"
#include "value.h"

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

struct pb_var build_views(const struct fm_buf *bufs, size_t n)
{
    struct fm_bytes *items = fm_xcalloc(n + 1, sizeof(*items));
    for (size_t i = 0; i < n; i++)
        items[i] = fm_buf_bytes(&bufs[i]);
    return pb_var_list(items, n);
}

void result_done(struct result *r)
{
    list_done(&r->tasks);
    list_done(&r->emissions);
    list_done(&r->changes);
    list_done(&r->withdrawals);
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
    if (r->tasks.n >= FM_MAX_STEP_ITEMS) {
        r->routing.excess = TOO_MANY_TASKS;
        return;
    }
    snprintf(id, sizeof(id), "s%u.%zu", job->last_step + 1, r->tasks.n);
    t->id = id;
    t->pause_id = "";
    if (t->key == NULL)
        t->key = "";
    if (t->call_id == NULL)
        t->call_id = ctx->task->call_id;
    t->due_ms = delay_ms > 0 ? job->engine->now_ms + (int64_t)delay_ms : 0;
    t->timed = delay_ms > 0;
    t->beside = job->halted_at != 0 && (ctx->task->timed || ctx->task->beside);
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
    m.beside = t->beside;
    pb_var_pack(fermata_v1_Task_fields, &m, list_add(&r->tasks));
    struct task *copy = task_new(t);
    DL_APPEND(r->new_tasks, copy);
}

/* The call id in the data of a tool call: what descends from it carries it. */
static const char *call_id_of(struct fm_ctx *ctx, const char *event, struct fm_bytes data)
{
    fm_auto(fm_err) err = {0};
    if (ctx->routine->type == NULL || (registry_event_flags(ctx->routine->type, event) & FM_EVENT_CALL) == 0)
        return NULL;
    const struct fm_value *v = value_decode_struct(data, &ctx->arena, &err);
    const char *id = fm_value_string(fm_value_get(v, "call_id"), "");
    return id[0] == '\0' ? NULL : id;
}

/* An event on its way. */
struct routed {
    struct fm_ctx *ctx;
    struct result *r;
    const char *event, *call_id;
};

static void add_routed_task(void *arg, const struct connection *c, struct fm_bytes data)
{
    const struct routed *way = arg;
    struct task t = {.routine = c->to_routine,
                     .slot = c->slot,
                     .data = data,
                     .call_id = way->call_id,
                     .connection = c->number};
    add_new_task(way->ctx, way->r, &t, 0, way->event);
}

static void route(struct fm_ctx *ctx, const struct emission *m, struct result *r)
{
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
    struct routed way = {ctx, r, m->event, call_id_of(ctx, m->event, data)};
    uint32_t taken = routing_event(&r->routing, ctx->job->session->max_step_bytes, ctx->routine, m->event,
                                   data, add_routed_task, &way);
    fermata_v1_Emission e;
    memset(&e, 0, sizeof(e));
    e.event = pb_var_str(m->event);
    e.tasks = taken;
    if (taken == 0)
        e.data = pb_var_bytes(data.p, data.n);
    FM_LOG(DEBUG, EVENT, "event", FM_STR("job", ctx->job->id), FM_U64("epoch", ctx->job->epoch),
           FM_U64("step", ctx->job->last_step + 1), FM_STR("routine", ctx->task->routine),
           FM_STR("event", m->event), FM_U64("tasks", taken));
    pb_var_pack(fermata_v1_Emission_fields, &e, list_add(&r->emissions));
}

static void put_remove(struct list *out, const char *routine, const char *key)
{
    fermata_v1_StateChange m;
    memset(&m, 0, sizeof(m));
    m.routine = pb_var_str(routine);
    m.key = pb_var_str(key);
    m.kind = (fermata_v1_StateChangeKind)CHANGE_REMOVE;
    pb_var_pack(fermata_v1_StateChange_fields, &m, list_add(out));
}

static void put_withdrawals(struct fm_ctx *ctx, struct result *r)
{
    struct withdrawn *w;
    DL_FOREACH (ctx->out.withdrawn, w) {
        fermata_v1_Withdrawal m;
        memset(&m, 0, sizeof(m));
        m.pause_id = pb_var_str(w->pause_id);
        m.reason = pb_var_str(w->reason);
        pb_var_pack(fermata_v1_Withdrawal_fields, &m, list_add(&r->withdrawals));
        if (w->has_state)
            put_remove(&r->changes, w->routine, w->pause_id);
    }
}

static void put_changes(struct fm_ctx *ctx, struct list *out)
{
    struct change *c;
    DL_FOREACH (ctx->out.changes, c) {
        fermata_v1_StateChange m;
        memset(&m, 0, sizeof(m));
        m.routine = pb_var_str(c->routine);
        m.key = pb_var_str(c->key);
        m.kind = (fermata_v1_StateChangeKind)c->kind;
        m.count = c->count;
        if (c->kind == CHANGE_SET || c->kind == CHANGE_APPEND)
            m.value = pb_var_bytes(c->value.p, c->value.n);
        pb_var_pack(fermata_v1_StateChange_fields, &m, list_add(out));
    }
}

static void put_deferred(struct fm_ctx *ctx, struct result *r)
{
    struct emission *d;
    DL_FOREACH (ctx->out.defers, d) {
        fermata_v1_DeferredEvent m;
        struct fm_bytes data = {d->data.p, d->data.n};
        memset(&m, 0, sizeof(m));
        m.routine = pb_var_str(ctx->task->routine);
        m.event = pb_var_str(d->event);
        m.data = pb_var_bytes(data.p, data.n);
        pb_var_pack(fermata_v1_DeferredEvent_fields, &m, list_add(&r->deferred));
        /* Its tasks will be part of one step, too; then nobody would be there to fail. */
        (void)routing_event(&r->deferred_routing, ctx->job->session->max_step_bytes, ctx->routine, d->event,
                            data, NULL, NULL);
        struct deferred *kept = deferred_new(ctx->task->routine, d->event, data);
        DL_APPEND(r->new_deferred, kept);
    }
}

/* What the job has left to do after this step, apart from other handlers at work. */
static bool nothing_left(const struct fm_ctx *ctx, const struct result *r)
{
    return ctx->job->n_tasks == 1 && r->new_tasks == NULL;
}

static bool goes_beside(const struct routine *r)
{
    return r->type != NULL && (r->type->flags & FM_BESIDE) != 0;
}

/* Whether tasks wait that run though the step asks, in a flow without parallelism. */
static bool runs_beside(const struct fm_ctx *ctx, const struct result *r)
{
    struct flow *f = ctx->job->flow;
    const struct task *t;
    for (size_t i = 0; i < f->n_routines; i++)
        if (f->routines[i].queue != NULL && f->routines[i].held_until_ms == 0 && goes_beside(&f->routines[i]))
            return true;
    DL_FOREACH (r->new_tasks, t)
        if (t->due_ms == 0 && goes_beside(flow_routine(f, t->routine)))
            return true;
    return false;
}

static enum step_outcome outcome_of(const struct fm_ctx *ctx, const struct result *r)
{
    if (ctx->out.failed && ctx->verdict != OUTCOME_NONE)
        return ctx->verdict;
    bool left = !nothing_left(ctx, r);
    if (ctx->out.n_pauses > 0 && (!left || (ctx->job->flow->parallelism <= 1 && !runs_beside(ctx, r))))
        return OUTCOME_PAUSE;
    return left ? OUTCOME_CONTINUE : OUTCOME_COMPLETE;
}

static void put_error(const struct fm_ctx *ctx, fermata_v1_Step *m)
{
    if (!ctx->out.failed)
        return;
    m->has_error = true;
    m->error.code = pb_var_str(fm_code_name(ctx->out.failure.code));
    m->error.message = pb_var_str(ctx->out.fail_message);
    m->error.routine = pb_var_str(ctx->task->routine);
    m->error.task_id = pb_var_str(ctx->task->id);
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
    m->duration_us = ctx_took_us(ctx);
    m->retry_delay_ms = ctx->retry_delay_ms;
    if (ctx->out.has_usage) { /* also of a failed attempt: what was used was used */
        m->has_usage = true;
        m->usage.input_tokens = ctx->out.usage_in;
        m->usage.output_tokens = ctx->out.usage_out;
        m->usage.cached_tokens = ctx->out.usage_cached;
        m->usage.cost = ctx->out.usage_cost;
        m->usage.calls = ctx->out.usage_calls;
    }
}

static struct pb_var unscheduled_views(const struct outcome *out)
{
    struct fm_bytes *items =
        fm_xcalloc(HASH_COUNT(out->unscheduled) + HASH_COUNT(out->dropped) + 1, sizeof(*items));
    size_t n = 0;
    for (const struct unscheduled *u = out->unscheduled; u != NULL; u = u->hh.next)
        items[n++] = fm_bytes_of(u->id);
    for (const struct unscheduled *u = out->dropped; u != NULL; u = u->hh.next)
        items[n++] = fm_bytes_of(u->id);
    return pb_var_list(items, n);
}

static struct pb_var child_views(const struct fm_ctx *ctx)
{
    size_t n = 0;
    struct child *c;
    DL_FOREACH (ctx->out.children, c)
        n++;
    struct fm_bytes *items = fm_xcalloc(n + 1, sizeof(*items));
    n = 0;
    DL_FOREACH (ctx->out.children, c)
        items[n++] = fm_buf_bytes(&c->body);
    return pb_var_list(items, n);
}

enum step_outcome build_step(struct fm_ctx *ctx, struct result *r, struct fm_buf *out)
{
    struct hjob *job = ctx->job;
    struct emission *e;
    DL_FOREACH (ctx->out.emissions, e)
        route(ctx, e, r);
    put_withdrawals(ctx, r);
    put_changes(ctx, &r->changes);
    put_deferred(ctx, r);
    fermata_v1_Step m;
    memset(&m, 0, sizeof(m));
    put_header(ctx, &m);
    put_error(ctx, &m);
    enum step_outcome outcome = outcome_of(ctx, r);
    m.outcome = (fermata_v1_StepOutcome)outcome;
    struct pb_var *lists[] = {&m.deferred_tasks,   &m.new_tasks,   &m.emissions,
                              &m.changes,          &m.log,         &m.deferred_events,
                              &m.pauses,           &m.unscheduled, &m.children,
                              &m.deferred_outputs, &m.withdrawals};
    m.deferred_tasks = build_views(job->prelude_tasks, job->n_prelude_tasks);
    m.deferred_outputs = build_views(job->prelude_outputs, job->n_prelude_outputs);
    m.new_tasks = build_views(r->tasks.bufs, r->tasks.n);
    m.emissions = build_views(r->emissions.bufs, r->emissions.n);
    m.changes = build_views(r->changes.bufs, r->changes.n);
    m.log = build_views(ctx->out.log, ctx->out.n_log);
    m.deferred_events = build_views(r->deferred.bufs, r->deferred.n);
    m.pauses = build_views(ctx->out.pauses, ctx->out.n_pauses);
    m.unscheduled = unscheduled_views(&ctx->out);
    m.children = child_views(ctx);
    if (ctx->out.continues && !ctx->out.failed)
        m.continue_as = pb_var_bytes(ctx->out.continue_as.p, ctx->out.continue_as.n);
    m.withdrawals = build_views(r->withdrawals.bufs, r->withdrawals.n);
    pb_var_pack(fermata_v1_Step_fields, &m, out);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        free(lists[i]->items);
    return outcome;
}
