/* The context functions of the routine API (fermata/routine.h): what a handler sees and does. Changes of
 * state are made at once, so that later reads see them, and remembered with what was there before, so that
 * they can be taken back. */
#include "engine_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "fermata/v1/types.pb.h"
#include "log.h"
#include "mem.h"
#include "value.h"
#include "wire.h"

/* ---- life ---- */

void ctx_undo(struct fm_ctx *ctx)
{
    while (ctx->changes != NULL) {
        struct change *c = ctx->changes->prev; /* the last one first */
        size_t n_key = strlen(c->key);
        DL_DELETE(ctx->changes, c);
        if (!c->had_old)
            kv_remove(c->kv, c->key, n_key);
        else if (c->kind == fermata_v1_StateChangeKind_STATE_CHANGE_KIND_APPEND)
            kv_truncate(c->kv, c->key, n_key, c->old.body.n);
        else
            kv_set_kept(c->kv, c->key, n_key, c->old);
        fm_buf_done(&c->value);
    }
}

static void free_emissions(struct emission *list)
{
    struct emission *e;
    DL_FOREACH (list, e)
        fm_buf_done(&e->data);
}

void ctx_free(struct fm_ctx *ctx)
{
    calls_cancel(ctx);
    struct change *c;
    DL_FOREACH (ctx->changes, c)
        fm_buf_done(&c->value);
    free_emissions(ctx->emissions);
    free_emissions(ctx->defers);
    for (size_t i = 0; i < ctx->n_log; i++)
        fm_buf_done(&ctx->log[i]);
    for (size_t i = 0; i < ctx->n_pauses; i++)
        fm_buf_done(&ctx->pauses[i]);
    free(ctx->log);
    free(ctx->pauses);
    fm_arena_done(&ctx->arena);
    free(ctx);
}

int fm_ctx_fail(struct fm_ctx *ctx, enum fm_failure code, const char *fmt, ...)
{
    if (ctx->failed)
        return -1; /* the first fault is the one that counts */
    va_list ap;
    ctx->failed = true;
    ctx->fail_code = (int)code;
    va_start(ap, fmt);
    (void)vsnprintf(ctx->fail_message, sizeof(ctx->fail_message), fmt, ap);
    va_end(ap);
    return -1;
}

void fm_ctx_fail_permanent(struct fm_ctx *ctx)
{
    ctx->fail_permanent = true;
}

void fm_ctx_retry_after(struct fm_ctx *ctx, uint64_t ms)
{
    ctx->retry_after_ms = ms;
}

/* Memory of the step. When the bound is reached the step fails; the handler gets ordinary zeroed memory all
 * the same, so that it need not check. */
void *fm_ctx_alloc(struct fm_ctx *ctx, size_t n)
{
    void *p = fm_arena_zalloc(&ctx->arena, 1, n);
    if (p != NULL)
        return p;
    (void)fm_ctx_fail(ctx, FM_FAIL_RESOURCE_EXHAUSTED, "the step needs more than %zu bytes of memory",
                      ctx->arena.limit);
    ctx->arena.limit += n + 4096;
    p = fm_arena_zalloc(&ctx->arena, 1, n);
    if (p == NULL)
        fm_abort_oom(n);
    return p;
}

/* ---- builders ---- */

static struct fm_value *made(struct fm_ctx *ctx, struct fm_value *v)
{
    if (v != NULL)
        return v;
    (void)fm_ctx_fail(ctx, FM_FAIL_RESOURCE_EXHAUSTED, "the step needs more than %zu bytes of memory",
                      ctx->arena.limit);
    ctx->arena.limit += 4096;
    v = value_null(&ctx->arena);
    if (v == NULL)
        fm_abort_oom(4096);
    return v;
}

struct fm_value *fm_null(struct fm_ctx *ctx)
{
    return made(ctx, value_null(&ctx->arena));
}

struct fm_value *fm_bool(struct fm_ctx *ctx, bool b)
{
    return made(ctx, value_bool(&ctx->arena, b));
}

struct fm_value *fm_number(struct fm_ctx *ctx, double n)
{
    return made(ctx, value_number(&ctx->arena, n));
}

struct fm_value *fm_string(struct fm_ctx *ctx, const char *text)
{
    return made(ctx, value_string(&ctx->arena, text, strlen(text)));
}

struct fm_value *fm_list(struct fm_ctx *ctx)
{
    return made(ctx, value_list(&ctx->arena));
}

struct fm_value *fm_map(struct fm_ctx *ctx)
{
    return made(ctx, value_map(&ctx->arena));
}

struct fm_value *fm_map_copy(struct fm_ctx *ctx, const struct fm_value *map)
{
    return made(ctx, value_map_copy(&ctx->arena, map));
}

void fm_list_add(struct fm_ctx *ctx, struct fm_value *list, const struct fm_value *v)
{
    if (value_list_add(&ctx->arena, list, v) < 0)
        (void)fm_ctx_fail(ctx, FM_FAIL_INTERNAL, "a value was added to what is no list, or memory ran out");
}

void fm_map_set(struct fm_ctx *ctx, struct fm_value *map, const char *key, const struct fm_value *v)
{
    if (value_map_set(&ctx->arena, map, key, v) < 0)
        (void)fm_ctx_fail(ctx, FM_FAIL_INTERNAL, "key \"%.64s\" was set in what is no map, or memory ran out",
                          key);
}

/* ---- what a handler knows ---- */

const char *fm_ctx_job_id(const struct fm_ctx *ctx)
{
    return ctx->job->id;
}

const char *fm_ctx_routine_id(const struct fm_ctx *ctx)
{
    return ctx->task->routine;
}

const char *fm_ctx_task_id(const struct fm_ctx *ctx)
{
    return ctx->task->id;
}

const char *fm_ctx_slot(const struct fm_ctx *ctx)
{
    return ctx->task->slot;
}

const char *fm_ctx_idempotency_key(struct fm_ctx *ctx)
{
    snprintf(ctx->key, sizeof(ctx->key), "%s/%.64s", ctx->job->id, ctx->task->id);
    return ctx->key;
}

uint32_t fm_ctx_epoch(const struct fm_ctx *ctx)
{
    return ctx->job->epoch;
}

uint32_t fm_ctx_attempt(const struct fm_ctx *ctx)
{
    (void)ctx;
    return 1;
}

uint32_t fm_ctx_step(const struct fm_ctx *ctx)
{
    return ctx->job->last_step + 1;
}

const char *fm_ctx_pause_id(const struct fm_ctx *ctx)
{
    return ctx->task->pause_id;
}

const struct fm_value *fm_ctx_config(struct fm_ctx *ctx)
{
    struct fm_err err = {0};
    if (ctx->config == NULL) {
        ctx->config = value_decode_struct(ctx->routine->config, &ctx->arena, &err);
        if (ctx->config == NULL)
            (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "the configuration of the routine: %s", err.msg);
    }
    return ctx->config;
}

const struct fm_value *fm_ctx_data(struct fm_ctx *ctx)
{
    return ctx->data;
}

/* ---- state ---- */

static struct kv *state_of(struct fm_ctx *ctx, bool shared)
{
    return shared ? &ctx->job->shared : &hjob_routine_state(ctx->job, ctx->task->routine)->kv;
}

static const struct fm_value *get(struct fm_ctx *ctx, bool shared, const char *key)
{
    struct kv_value kept;
    if (!kv_get(state_of(ctx, shared), key, strlen(key), &kept))
        return NULL;
    struct fm_buf b = {0};
    struct fm_err err = {0};
    kv_put_value(kept, &b);
    const struct fm_value *v = value_decode((struct fm_bytes){b.p, b.n}, &ctx->arena, &err);
    fm_buf_done(&b);
    if (v == NULL)
        (void)fm_ctx_fail(ctx, (enum fm_failure)err.code, "key \"%.64s\" of the state: %s", key, err.msg);
    return v;
}

static char *keep_text(struct fm_ctx *ctx, const char *s)
{
    char *copy = fm_ctx_alloc(ctx, strlen(s) + 1);
    memcpy(copy, s, strlen(s));
    return copy;
}

/* Notes a change and what was there before. */
static struct change *note(struct fm_ctx *ctx, bool shared, const char *key, int kind)
{
    size_t n = strlen(key);
    if (n == 0 || n > MAX_KEY_BYTES || !wire_text_ok((const uint8_t *)key, n)) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                          "a key of the state has %zu bytes; it must have 1 to %d, valid UTF-8", n,
                          MAX_KEY_BYTES);
        return NULL;
    }
    struct change *c = fm_ctx_alloc(ctx, sizeof(*c));
    c->kv = state_of(ctx, shared);
    c->routine = shared ? "" : ctx->task->routine;
    c->key = keep_text(ctx, key);
    c->kind = kind;
    c->had_old = kv_get(c->kv, key, n, &c->old);
    if (c->had_old && kind != fermata_v1_StateChangeKind_STATE_CHANGE_KIND_APPEND && c->old.body.n > 0) {
        uint8_t *copy = fm_ctx_alloc(ctx, c->old.body.n);
        memcpy(copy, c->old.body.p, c->old.body.n);
        c->old.body.p = copy;
    }
    return c;
}

static void change(struct fm_ctx *ctx, bool shared, const char *key, int kind, const struct fm_value *v)
{
    if (ctx->failed)
        return;
    struct change *c = note(ctx, shared, key, kind);
    if (c == NULL)
        return;
    bool append = kind == fermata_v1_StateChangeKind_STATE_CHANGE_KIND_APPEND;
    struct fm_err err = {0};
    if (append && c->had_old && !c->old.is_list) {
        (void)fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION, "key \"%.64s\" holds no list to append to", key);
        return;
    }
    if (kind == fermata_v1_StateChangeKind_STATE_CHANGE_KIND_REMOVE) {
        kv_remove(c->kv, key, strlen(key));
    } else if (value_encode(v, append ? 3 : 1, &c->value, &err) < 0) {
        fm_buf_done(&c->value);
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "key \"%.64s\": %s", key, err.msg);
        return;
    } else if (append) {
        kv_append(c->kv, key, strlen(key), (struct fm_bytes){c->value.p, c->value.n});
    } else {
        kv_set(c->kv, key, strlen(key), (struct fm_bytes){c->value.p, c->value.n});
    }
    DL_APPEND(ctx->changes, c);
}

const struct fm_value *fm_ctx_state_get(struct fm_ctx *ctx, const char *key)
{
    return get(ctx, false, key);
}

void fm_ctx_state_set(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, false, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_SET, v);
}

void fm_ctx_state_append(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, false, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_APPEND, v);
}

void fm_ctx_state_remove(struct fm_ctx *ctx, const char *key)
{
    change(ctx, false, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_REMOVE, NULL);
}

const struct fm_value *fm_ctx_shared_get(struct fm_ctx *ctx, const char *key)
{
    return get(ctx, true, key);
}

void fm_ctx_shared_set(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, true, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_SET, v);
}

void fm_ctx_shared_append(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, true, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_APPEND, v);
}

void fm_ctx_shared_remove(struct fm_ctx *ctx, const char *key)
{
    change(ctx, true, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_REMOVE, NULL);
}

/* ---- what a handler may do ---- */

/* Encodes data (a map or NULL); false after a fault. */
static bool encode_data(struct fm_ctx *ctx, const char *what, const struct fm_value *data, struct fm_buf *out)
{
    struct fm_err err = {0};
    if (value_encode_struct(data, out, &err) == 0)
        return true;
    fm_buf_done(out);
    (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "%s: %s", what, err.msg);
    return false;
}

/* The text with bytes that are not UTF-8 as '?'. */
static const char *clean(struct fm_ctx *ctx, const char *s)
{
    return fm_value_string(fm_string(ctx, s), "");
}

void fm_ctx_log(struct fm_ctx *ctx, const char *message, const struct fm_value *data)
{
    struct fm_buf encoded = {0};
    if (ctx->failed || !encode_data(ctx, "the data of a log entry", data, &encoded))
        return;
    fermata_v1_LogEntry m;
    struct fm_err err = {0};
    memset(&m, 0, sizeof(m));
    m.message = pb_var_str(clean(ctx, message));
    if (data != NULL)
        m.data = pb_var_bytes(encoded.p, encoded.n);
    ctx->log = fm_xrealloc(ctx->log, (ctx->n_log + 1) * sizeof(*ctx->log));
    ctx->log[ctx->n_log] = (struct fm_buf){0};
    if (pb_var_encode(fermata_v1_LogEntry_fields, &m, &ctx->log[ctx->n_log++], &err) < 0)
        (void)fm_ctx_fail(ctx, FM_FAIL_INTERNAL, "%s", err.msg);
    fm_buf_done(&encoded);
}

static struct emission *new_emission(struct fm_ctx *ctx, const char *what, const struct fm_value *data)
{
    struct emission *e = fm_ctx_alloc(ctx, sizeof(*e));
    return !ctx->failed && encode_data(ctx, what, data, &e->data) ? e : NULL;
}

static bool has_event(struct fm_ctx *ctx, const char *event)
{
    if (ctx->failed)
        return false;
    if (registry_has_event(ctx->routine->type, event))
        return true;
    (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "routine type %s has no event \"%.64s\"",
                      ctx->routine->type->name, event);
    return false;
}

void fm_ctx_emit(struct fm_ctx *ctx, const char *event, const struct fm_value *data)
{
    if (!has_event(ctx, event))
        return;
    struct emission *e = new_emission(ctx, "the data of an event", data);
    if (e == NULL)
        return;
    e->event = keep_text(ctx, event);
    DL_APPEND(ctx->emissions, e);
}

void fm_ctx_defer(struct fm_ctx *ctx, const char *event, const struct fm_value *data)
{
    if (!has_event(ctx, event))
        return;
    struct emission *e = new_emission(ctx, "the data of a deferred event", data);
    if (e == NULL)
        return;
    e->event = keep_text(ctx, event);
    DL_APPEND(ctx->defers, e);
}

void fm_ctx_enqueue(struct fm_ctx *ctx, const char *slot, const struct fm_value *data)
{
    if (ctx->failed)
        return;
    if (registry_handler(ctx->routine->type, slot) == NULL) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "routine type %s has no slot \"%.64s\"",
                          ctx->routine->type->name, slot);
        return;
    }
    struct emission *e = new_emission(ctx, "the data of a task", data);
    if (e == NULL)
        return;
    e->slot = keep_text(ctx, slot);
    DL_APPEND(ctx->emissions, e);
}

static struct pb_var choice_views(struct fm_ctx *ctx, const struct fm_value *choices)
{
    size_t n = fm_value_kind(choices) == FM_LIST ? fm_value_size(choices) : 0;
    struct fm_bytes *items = fm_ctx_alloc(ctx, (n + 1) * sizeof(*items));
    for (size_t i = 0; i < n; i++) {
        const char *s = fm_value_string(fm_value_at(choices, i), "");
        items[i] = (struct fm_bytes){(const uint8_t *)s, strlen(s)};
    }
    return pb_var_list(items, n);
}

const char *fm_ctx_pause(struct fm_ctx *ctx, const char *question, const char *slot,
                         const struct fm_value *data, const struct fm_value *choices)
{
    struct fm_buf encoded = {0};
    snprintf(ctx->pause_id, sizeof(ctx->pause_id), "p%u.%zu", fm_ctx_step(ctx), ctx->n_pauses);
    if (!ctx->failed && registry_handler(ctx->routine->type, slot) == NULL)
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                          "routine type %s has no slot \"%.64s\" for the answer", ctx->routine->type->name,
                          slot);
    if (ctx->failed || !encode_data(ctx, "the data of a question", data, &encoded))
        return ctx->pause_id;
    fermata_v1_Pause m;
    struct fm_err err = {0};
    memset(&m, 0, sizeof(m));
    m.pause_id = pb_var_str(ctx->pause_id);
    m.reason = fermata_v1_PauseReason_PAUSE_REASON_QUESTION;
    m.question = pb_var_str(clean(ctx, question));
    m.slot = pb_var_str(slot);
    m.choices = choice_views(ctx, choices);
    if (data != NULL)
        m.data = pb_var_bytes(encoded.p, encoded.n);
    ctx->pauses = fm_xrealloc(ctx->pauses, (ctx->n_pauses + 1) * sizeof(*ctx->pauses));
    ctx->pauses[ctx->n_pauses] = (struct fm_buf){0};
    if (pb_var_encode(fermata_v1_Pause_fields, &m, &ctx->pauses[ctx->n_pauses++], &err) < 0)
        (void)fm_ctx_fail(ctx, FM_FAIL_INTERNAL, "%s", err.msg);
    fm_buf_done(&encoded);
    return keep_text(ctx, ctx->pause_id);
}

void fm_ctx_usage(struct fm_ctx *ctx, uint64_t input_tokens, uint64_t output_tokens, uint64_t cached_tokens,
                  double cost)
{
    ctx->has_usage = true;
    ctx->usage_in += input_tokens;
    ctx->usage_out += output_tokens;
    ctx->usage_cached += cached_tokens;
    ctx->usage_cost += cost;
    ctx->usage_calls++;
}
