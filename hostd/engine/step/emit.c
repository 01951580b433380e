/* What a handler sends on. Part of the routine API (fermata/routine.h). */
#include "emit.h"

#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "data_fields.h"
#include "engine_state.h"
#include "fermata/v1/types.pb.h"
#include "hjob.h"
#include "hsession.h"
#include "mem.h"
#include "own_types.h"
#include "registry.h"
#include "value.h"

/* The text with bytes that are not UTF-8 as '?'. */
static const char *clean(struct fm_ctx *ctx, const char *s)
{
    return fm_value_string(fm_string(ctx, s), "");
}

void ctx_log(struct fm_ctx *ctx, const char *message, const struct fm_value *data)
{
    fm_auto(fm_buf) encoded = {0};
    if (!ctx_has_room(ctx, "entries of the log", ctx->out.n_log, FM_MAX_STEP_ITEMS) ||
        !ctx_encode(ctx, "the data of a log entry", data, &encoded))
        return;
    fermata_v1_LogEntry m;
    memset(&m, 0, sizeof(m));
    m.message = pb_var_str(clean(ctx, message));
    if (data != NULL)
        m.data = pb_var_bytes(encoded.p, encoded.n);
    ctx->out.log = fm_xgrow(ctx->out.log, ctx->out.n_log, sizeof(*ctx->out.log));
    ctx->out.log[ctx->out.n_log] = (struct fm_buf){0};
    pb_var_pack(fermata_v1_LogEntry_fields, &m, &ctx->out.log[ctx->out.n_log++]);
}

void fm_ctx_log(struct fm_ctx *ctx, const char *message, const struct fm_value *data)
{
    if (!ctx->out.failed)
        ctx_log(ctx, message, data);
}

void fm_ctx_progress(struct fm_ctx *ctx, const char *text)
{
    if (ctx->out.failed || ctx->on_worker)
        return;
    const struct hjob *job = ctx->job;
    const struct progress p = {job->id, job->epoch, ctx->task->id, ctx->task->routine, text};
    int64_t now_ms = job->engine->now_ms;
    if (now_ms >= ctx->next_progress_ms && session_progress(job->session, &p))
        ctx->next_progress_ms = now_ms + PROGRESS_MS;
}

static struct emission *new_emission(struct fm_ctx *ctx, const char *what, const struct fm_value *data)
{
    if (ctx->out.failed || !ctx_has_room(ctx, "events", ctx->out.n_emissions, FM_MAX_STEP_ITEMS))
        return NULL;
    struct emission *e = fm_ctx_alloc(ctx, sizeof(*e));
    if (ctx->out.failed || !ctx_encode(ctx, what, data, &e->data))
        return NULL;
    ctx->out.n_emissions++;
    return e;
}

static bool has_event(struct fm_ctx *ctx, const char *event)
{
    if (ctx->out.failed)
        return false;
    if (registry_has_event(ctx->routine->type, event))
        return true;
    (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "routine type %s has no event \"%.64s\"",
                      ctx->routine->type->name, event);
    return false;
}

bool ctx_is_taken(struct fm_ctx *ctx, const char *event, const struct fm_value *data)
{
    fm_auto(fm_buf) encoded = {0};
    struct data_fields fields;
    bool taken = false;
    if (ctx->out.failed || !ctx_encode(ctx, "the data of an event", data, &encoded))
        return false;
    data_fields_read(&fields, fm_buf_bytes(&encoded));
    const struct out out = routine_out(ctx->routine, event);
    for (size_t i = 0; i < out.n && !taken; i++)
        taken = connection_takes(out.first[i], &fields);
    data_fields_done(&fields);
    return taken;
}

void fm_ctx_emit(struct fm_ctx *ctx, const char *event, const struct fm_value *data)
{
    if (!has_event(ctx, event))
        return;
    struct emission *e = new_emission(ctx, "the data of an event", data);
    if (e == NULL)
        return;
    e->event = ctx_keep_text(ctx, event);
    DL_APPEND(ctx->out.emissions, e);
}

void ctx_emit_own(struct fm_ctx *ctx, const char *event, const struct fm_value *data)
{
    fm_auto(fm_err) err = {0};
    struct emission *e = fm_ctx_alloc(ctx, sizeof(*e));
    e->event = event;
    if (value_encode_struct(data, &e->data, &err) < 0)
        fm_buf_reset(&e->data);
    DL_APPEND(ctx->out.emissions, e);
}

void fm_ctx_defer(struct fm_ctx *ctx, const char *event, const struct fm_value *data)
{
    if (!has_event(ctx, event))
        return;
    struct emission *e = new_emission(ctx, "the data of a deferred event", data);
    if (e == NULL)
        return;
    e->event = ctx_keep_text(ctx, event);
    DL_APPEND(ctx->out.defers, e);
}

struct emission *ctx_enqueue(struct fm_ctx *ctx, const char *slot, const struct fm_value *data)
{
    if (ctx->out.failed)
        return NULL;
    if (registry_handler(ctx->routine->type, slot) == NULL) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "routine type %s has no slot \"%.64s\"",
                          ctx->routine->type->name, slot);
        return NULL;
    }
    struct emission *e = new_emission(ctx, "the data of a task", data);
    if (e == NULL)
        return NULL;
    e->slot = ctx_keep_text(ctx, slot);
    DL_APPEND(ctx->out.emissions, e);
    return e;
}

void fm_ctx_enqueue(struct fm_ctx *ctx, const char *slot, const struct fm_value *data)
{
    (void)ctx_enqueue(ctx, slot, data);
}

void fm_ctx_schedule(struct fm_ctx *ctx, const char *slot, const struct fm_value *data, uint64_t ms,
                     const char *key)
{
    if (key != NULL && strlen(key) > FM_MAX_KEY_BYTES) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "a schedule's key has more than %d bytes",
                          FM_MAX_KEY_BYTES);
        return;
    }
    if (ms > FM_MAX_AHEAD_MS) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                          "a task is scheduled %llu ms ahead; the limit is %llu", (unsigned long long)ms,
                          (unsigned long long)FM_MAX_AHEAD_MS);
        return;
    }
    if (key != NULL)
        fm_ctx_unschedule(ctx, key);
    struct emission *e = ctx_enqueue(ctx, slot, data);
    if (e == NULL)
        return;
    e->delay_ms = ms;
    e->key = key == NULL ? "" : ctx_keep_text(ctx, key);
    if (ms > 0 && e->key[0] != '\0')
        HASH_ADD_KEYPTR(hh, ctx->out.scheduled, e->key, strlen(e->key), e);
}

void fm_ctx_unschedule(struct fm_ctx *ctx, const char *key)
{
    if (ctx->out.failed)
        return;
    struct emission *e;
    HASH_FIND_STR(ctx->out.scheduled, key, e);
    if (e != NULL) { /* of this very step */
        HASH_DELETE(hh, ctx->out.scheduled, e);
        fm_buf_done(&e->data);
        DL_DELETE(ctx->out.emissions, e);
        ctx->out.n_emissions--;
    }
    const struct task *t = schedule_find(&ctx->job->scheduled, ctx->task->routine, key);
    struct unscheduled *u;
    HASH_FIND_STR(ctx->out.unscheduled, key, u);
    if (t == NULL || u != NULL ||
        !ctx_has_room(ctx, "dropped tasks", HASH_COUNT(ctx->out.unscheduled), FM_MAX_STEP_ITEMS))
        return;
    u = fm_ctx_alloc(ctx, sizeof(*u));
    u->key = ctx_keep_text(ctx, key);
    u->id = ctx_keep_text(ctx, t->id);
    HASH_ADD_KEYPTR(hh, ctx->out.unscheduled, u->key, strlen(u->key), u);
}

/* What a model's server or a plugin says may be anything; the coordinator takes no more than so much. */
static uint64_t add_tokens(uint64_t sum, uint64_t n)
{
    return n < FM_MAX_STEP_TOKENS - sum ? sum + n : FM_MAX_STEP_TOKENS;
}

void fm_ctx_usage(struct fm_ctx *ctx, uint64_t input_tokens, uint64_t output_tokens, uint64_t cached_tokens,
                  double cost)
{
    struct outcome *out = &ctx->out;
    out->has_usage = true;
    out->usage_in = add_tokens(out->usage_in, input_tokens);
    out->usage_out = add_tokens(out->usage_out, output_tokens);
    out->usage_cached = add_tokens(out->usage_cached, cached_tokens);
    out->usage_cost = out->usage_cost + (cost > 0 ? cost : 0); /* nor is NaN */
    if (out->usage_cost > FM_MAX_STEP_COST)
        out->usage_cost = FM_MAX_STEP_COST;
    if (out->usage_calls < FM_MAX_STEP_CALLS)
        out->usage_calls++;
}
