/* The context functions of the routine API (fermata/routine.h): what a handler sees and does. Changes of
 * state are made at once, so that later reads see them, and remembered with what was there before, so that
 * they can be taken back. */
#include "engine_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "fermata/v1/types.pb.h"
#include "json_value.h"
#include "log.h"
#include "mem.h"
#include "own_types.h"
#include "value.h"
#include "wire.h"

/* ---- changes of state ---- */

/* The routine's state, or the shared data for "". */
static struct kv *state_of(struct hjob *job, const char *routine)
{
    return routine[0] == '\0' ? &job->shared : &hjob_routine_state(job, routine)->kv;
}

static void make_change(struct kv *kv, const struct change *c)
{
    struct fm_bytes value = {c->value.p, c->value.n};
    size_t n = strlen(c->key);
    if (c->kind == fermata_v1_StateChangeKind_STATE_CHANGE_KIND_REMOVE)
        kv_remove(kv, c->key, n);
    else if (c->kind == fermata_v1_StateChangeKind_STATE_CHANGE_KIND_APPEND)
        kv_append(kv, c->key, n, value);
    else
        kv_set(kv, c->key, n, value);
}

/* ---- life ---- */

void ctx_apply_changes(struct fm_ctx *ctx)
{
    struct change *c;
    DL_FOREACH (ctx->changes, c)
        make_change(state_of(ctx->job, c->routine), c);
}

static void free_emissions(struct emission *list)
{
    struct emission *e;
    DL_FOREACH (list, e)
        fm_buf_done(&e->data);
}

/* All changes, or all but those that stay when the step fails. */
static void drop_changes(struct fm_ctx *ctx, bool but_kept)
{
    struct change *c, *tmp;
    DL_FOREACH_SAFE (ctx->changes, c, tmp) {
        if (but_kept && c->kept)
            continue;
        DL_DELETE(ctx->changes, c);
        fm_buf_done(&c->value);
    }
}

void ctx_reset(struct fm_ctx *ctx)
{
    drop_changes(ctx, ctx->failed);
    struct child *k;
    DL_FOREACH (ctx->children, k)
        fm_buf_done(&k->body);
    free_emissions(ctx->emissions);
    free_emissions(ctx->defers);
    for (size_t i = 0; i < ctx->n_log; i++)
        fm_buf_done(&ctx->log[i]);
    for (size_t i = 0; i < ctx->n_pauses; i++)
        fm_buf_done(&ctx->pauses[i]);
    ctx->children = NULL;
    ctx->emissions = ctx->defers = NULL;
    ctx->n_log = ctx->n_pauses = ctx->n_unscheduled = 0;
}

void ctx_clear(struct fm_ctx *ctx)
{
    ctx_reset(ctx);
    drop_changes(ctx, false);
    free(ctx->log);
    free(ctx->pauses);
    free(ctx->unscheduled);
    fm_arena_done(&ctx->arena);
    fm_arena_done(&ctx->scratch);
}

void ctx_free(struct fm_ctx *ctx)
{
    calls_cancel(ctx);
    ctx_clear(ctx);
    blocking_free(ctx->work);
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

/* The next attempt would need as much. */
static void fail_too_large(struct fm_ctx *ctx)
{
    if (ctx->failed)
        return;
    (void)fm_ctx_fail(ctx, FM_FAIL_RESOURCE_EXHAUSTED, "the step needs more than %zu bytes of memory",
                      ctx->arena.limit);
    fm_ctx_fail_permanent(ctx);
}

/* Memory of the step. When the bound is reached the step fails; the handler gets ordinary zeroed memory all
 * the same, so that it need not check. */
void *fm_ctx_alloc(struct fm_ctx *ctx, size_t n)
{
    void *p = fm_arena_zalloc(&ctx->arena, 1, n);
    if (p != NULL)
        return p;
    fail_too_large(ctx);
    ctx->arena.limit += n + 4096;
    p = fm_arena_zalloc(&ctx->arena, 1, n);
    if (p == NULL)
        fm_abort_oom(n);
    return p;
}

struct fm_arena *fm_ctx_arena(struct fm_ctx *ctx)
{
    return &ctx->arena;
}

struct fm_arena *fm_ctx_scratch(struct fm_ctx *ctx)
{
    if (ctx->scratch.limit == 0)
        fm_arena_init(&ctx->scratch, ctx->arena.limit);
    fm_arena_reset(&ctx->scratch);
    return &ctx->scratch;
}

/* ---- builders ---- */

static struct fm_value *made(struct fm_ctx *ctx, struct fm_value *v)
{
    if (v != NULL)
        return v;
    fail_too_large(ctx);
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

int64_t fm_ctx_now_ms(const struct fm_ctx *ctx)
{
    const struct hjob *job = ctx->job;
    return job->engine == NULL ? job->clock_ms : job->engine->now_ms + job->clock_ms;
}

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
    return ctx->task->failed_attempts + 1;
}

uint32_t fm_ctx_step(const struct fm_ctx *ctx)
{
    return ctx->job->last_step + 1;
}

const char *fm_ctx_pause_id(const struct fm_ctx *ctx)
{
    return ctx->task->pause_id;
}

const char *fm_ctx_call_id(struct fm_ctx *ctx)
{
    return ctx->task->call_id;
}

const struct fm_value *fm_ctx_config(struct fm_ctx *ctx)
{
    struct fm_err err = {0};
    if (ctx->config != NULL)
        return ctx->config;
    struct routine *r = ctx->routine;
    if (r->decoded == NULL) /* once for the job */
        r->decoded = value_decode_struct(r->config, &ctx->job->flow->arena, &err);
    ctx->config = r->decoded;
    if (ctx->config == NULL)
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "the configuration of the routine: %s", err.msg);
    fm_err_done(&err);
    return ctx->config;
}

const struct fm_value *fm_ctx_data(struct fm_ctx *ctx)
{
    return ctx->data;
}

bool fm_ctx_may_be_dropped(const struct fm_ctx *ctx)
{
    return policy_may_drop(&ctx->routine->policy);
}

/* ---- state ---- */

static bool changes_key(const struct change *c, const char *routine, const char *key)
{
    return strcmp(c->key, key) == 0 && strcmp(c->routine, routine) == 0;
}

/* The value as the handler sees it: the state's, with its own changes. */
static const struct fm_value *get(struct fm_ctx *ctx, bool shared, const char *key)
{
    const char *routine = shared ? "" : ctx->task->routine;
    size_t n = strlen(key);
    struct kv_value kept;
    bool found = kv_get(state_of(ctx->job, routine), key, n, &kept);
    struct kv seen = {0}; /* only for a key that the handler has changed */
    struct change *c;
    DL_FOREACH (ctx->changes, c) {
        if (!changes_key(c, routine, key))
            continue;
        if (seen.entries == NULL && found && c->kind == fermata_v1_StateChangeKind_STATE_CHANGE_KIND_APPEND)
            kv_set_kept(&seen, key, n, kept);
        make_change(&seen, c);
        found = false;
    }
    found = found || kv_get(&seen, key, n, &kept);
    const struct fm_value *v = NULL;
    if (found) {
        struct fm_buf b = {0};
        struct fm_err err = {0};
        kv_put_value(kept, &b);
        v = value_decode((struct fm_bytes){b.p, b.n}, &ctx->arena, &err);
        fm_buf_done(&b);
        if (v == NULL)
            (void)fm_ctx_fail(ctx, (enum fm_failure)err.code, "key \"%.64s\" of the state: %s", key, err.msg);
    }
    kv_done(&seen);
    return v;
}

static char *keep_text(struct fm_ctx *ctx, const char *s)
{
    char *copy = fm_ctx_alloc(ctx, strlen(s) + 1);
    memcpy(copy, s, strlen(s));
    return copy;
}

#define VALUE_LIST_TAG 0x32 /* field 6 of google.protobuf.Value: list_value */

/* Whether the key holds a list, or nothing, for the handler. */
static bool may_append(struct fm_ctx *ctx, const char *routine, const char *key)
{
    struct change *c;
    for (c = ctx->changes == NULL ? NULL : ctx->changes->prev; c != NULL;
         c = c == ctx->changes ? NULL : c->prev)
        if (changes_key(c, routine, key))
            return c->kind != fermata_v1_StateChangeKind_STATE_CHANGE_KIND_SET ||
                   (c->value.n > 0 && c->value.p[0] == VALUE_LIST_TAG);
    struct kv_value kept;
    return !kv_get(state_of(ctx->job, routine), key, strlen(key), &kept) || kept.is_list;
}

static void change(struct fm_ctx *ctx, bool shared, const char *key, int kind, const struct fm_value *v,
                   bool kept)
{
    size_t n = strlen(key);
    const char *routine = shared ? "" : ctx->task->routine;
    bool append = kind == fermata_v1_StateChangeKind_STATE_CHANGE_KIND_APPEND;
    struct fm_err err = {0};
    if (ctx->failed && !kept)
        return;
    if (n == 0 || n > MAX_KEY_BYTES || !wire_text_ok((const uint8_t *)key, n)) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                          "a key of the state has %zu bytes; it must have 1 to %d, valid UTF-8", n,
                          MAX_KEY_BYTES);
        return;
    }
    if (append && !may_append(ctx, routine, key)) {
        (void)fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION, "key \"%.64s\" holds no list to append to", key);
        return;
    }
    struct change *c = fm_ctx_alloc(ctx, sizeof(*c));
    c->routine = routine;
    c->key = keep_text(ctx, key);
    c->kind = kind;
    c->kept = kept;
    if (kind != fermata_v1_StateChangeKind_STATE_CHANGE_KIND_REMOVE &&
        value_encode(v, append ? 3 : 1, &c->value, &err) < 0) {
        fm_buf_done(&c->value);
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "key \"%.64s\": %s", key, err.msg);
        return;
    }
    DL_APPEND(ctx->changes, c);
}

static const struct fm_value *get_all(struct fm_ctx *ctx, const char *routine)
{
    struct fm_buf b = {0};
    struct fm_err err = {0};
    kv_put_struct(state_of(ctx->job, routine), &b);
    const struct fm_value *v = value_decode_struct((struct fm_bytes){b.p, b.n}, &ctx->arena, &err);
    if (v == NULL)
        (void)fm_ctx_fail(ctx, (enum fm_failure)err.code, "the state: %s", err.msg);
    fm_buf_done(&b);
    fm_err_done(&err);
    return v;
}

const struct fm_value *fm_ctx_state_all(struct fm_ctx *ctx)
{
    return get_all(ctx, ctx->task->routine);
}

const struct fm_value *fm_ctx_shared_all(struct fm_ctx *ctx)
{
    return get_all(ctx, "");
}

const struct fm_value *fm_ctx_state_get(struct fm_ctx *ctx, const char *key)
{
    return get(ctx, false, key);
}

void fm_ctx_state_set(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, false, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_SET, v, false);
}

void fm_ctx_state_keep(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, false, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_SET, v, true);
}

void fm_ctx_state_append(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, false, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_APPEND, v, false);
}

void fm_ctx_state_remove(struct fm_ctx *ctx, const char *key)
{
    change(ctx, false, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_REMOVE, NULL, false);
}

const struct fm_value *fm_ctx_shared_get(struct fm_ctx *ctx, const char *key)
{
    return get(ctx, true, key);
}

void fm_ctx_shared_set(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, true, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_SET, v, false);
}

void fm_ctx_shared_append(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, true, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_APPEND, v, false);
}

void fm_ctx_shared_remove(struct fm_ctx *ctx, const char *key)
{
    change(ctx, true, key, fermata_v1_StateChangeKind_STATE_CHANGE_KIND_REMOVE, NULL, false);
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

void fm_ctx_progress(struct fm_ctx *ctx, const char *text)
{
    if (ctx->failed || ctx->on_worker)
        return;
    struct engine *e = ctx->job->engine;
    if (e->now_ms >= ctx->next_progress_ms && session_progress(e, ctx, text))
        ctx->next_progress_ms = e->now_ms + PROGRESS_MS;
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

void fm_ctx_schedule(struct fm_ctx *ctx, const char *slot, const struct fm_value *data, uint64_t ms,
                     const char *key)
{
    if (key != NULL && strlen(key) > MAX_KEY_BYTES) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "a schedule's key has more than %d bytes",
                          MAX_KEY_BYTES);
        return;
    }
    if (key != NULL)
        fm_ctx_unschedule(ctx, key);
    struct emission *last = ctx->emissions == NULL ? NULL : ctx->emissions->prev;
    fm_ctx_enqueue(ctx, slot, data);
    struct emission *e = ctx->emissions == NULL ? NULL : ctx->emissions->prev;
    if (e == last)
        return; /* it failed */
    e->delay_ms = ms;
    e->key = key == NULL ? "" : keep_text(ctx, key);
}

void fm_ctx_unschedule(struct fm_ctx *ctx, const char *key)
{
    if (ctx->failed)
        return;
    struct emission *e, *tmp;
    DL_FOREACH_SAFE (ctx->emissions, e, tmp) {
        if (e->event != NULL || e->delay_ms == 0 || strcmp(e->key, key) != 0)
            continue;
        fm_buf_done(&e->data);
        DL_DELETE(ctx->emissions, e);
    }
    const struct task *t = hjob_find_scheduled(ctx->job, ctx->task->routine, key);
    if (t == NULL)
        return;
    for (size_t i = 0; i < ctx->n_unscheduled; i++)
        if (strcmp(ctx->unscheduled[i], t->id) == 0)
            return;
    ctx->unscheduled = fm_xrealloc(ctx->unscheduled, (ctx->n_unscheduled + 1) * sizeof(*ctx->unscheduled));
    ctx->unscheduled[ctx->n_unscheduled++] = keep_text(ctx, t->id);
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
