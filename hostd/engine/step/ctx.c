/* The context of a handler: its life, its memory, failing, the builders of values, and what a
 * handler knows. Part of the routine API (fermata/routine.h). */
#include "ctx.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "engine_state.h"
#include "hjob.h"
#include "mem.h"
#include "own_types.h"
#include "value.h"

/* ---- life ---- */

struct fm_ctx *ctx_new(struct hjob *job, struct task *t)
{
    struct fm_ctx *ctx = fm_xcalloc(1, sizeof(*ctx));
    ctx->job = job;
    ctx->task = t;
    ctx->routine = t->to;
    ctx->waits.engine = job->engine;
    ctx->waits.ctx = ctx;
    fm_arena_init(&ctx->arena, RUN_MEMORY_BYTES);
    return ctx;
}

static void free_emissions(struct emission *list)
{
    struct emission *e;
    DL_FOREACH (list, e)
        fm_buf_done(&e->data);
}

enum dropped { DROP_ALL, DROP_BUT_KEPT };

static void drop_changes(struct fm_ctx *ctx, enum dropped which)
{
    struct change *c, *tmp;
    DL_FOREACH_SAFE (ctx->out.changes, c, tmp) {
        if (which == DROP_BUT_KEPT && c->kept)
            continue;
        DL_DELETE(ctx->out.changes, c);
        ctx->out.n_changes--;
        fm_buf_done(&c->value);
    }
    HASH_CLEAR(hh, ctx->out.changed_own);
    HASH_CLEAR(hh, ctx->out.changed_shared);
    ctx->out.indexed = false;
}

void ctx_reset(struct fm_ctx *ctx)
{
    drop_changes(ctx, ctx->out.failed ? DROP_BUT_KEPT : DROP_ALL);
    struct child *k;
    DL_FOREACH (ctx->out.children, k)
        fm_buf_done(&k->body);
    HASH_CLEAR(hh, ctx->out.scheduled);
    HASH_CLEAR(hh, ctx->out.unscheduled);
    HASH_CLEAR(hh, ctx->out.dropped);
    free_emissions(ctx->out.emissions);
    free_emissions(ctx->out.defers);
    for (size_t i = 0; i < ctx->out.n_log; i++)
        fm_buf_done(&ctx->out.log[i]);
    for (size_t i = 0; i < ctx->out.n_pauses; i++)
        fm_buf_done(&ctx->out.pauses[i]);
    fm_buf_done(&ctx->out.continue_as);
    ctx->out.continues = false;
    ctx->out.n_continue_to = 0;
    ctx->out.children = NULL;
    ctx->out.asked = NULL;
    ctx->out.withdrawn = NULL;
    ctx->out.n_withdrawn = 0;
    ctx->out.emissions = ctx->out.defers = NULL;
    ctx->out.n_log = ctx->out.n_pauses = ctx->out.n_emissions = 0;
}

void ctx_clear(struct fm_ctx *ctx)
{
    ctx_reset(ctx);
    drop_changes(ctx, DROP_ALL);
    free(ctx->out.log);
    free(ctx->out.pauses);
    fm_arena_done(&ctx->arena);
    fm_arena_done(&ctx->scratch);
}

void ctx_free(struct fm_ctx *ctx)
{
    calls_cancel(&ctx->waits);
    ctx_clear(ctx);
    free(ctx);
}

int fm_ctx_fail(struct fm_ctx *ctx, enum fm_failure code, const char *fmt, ...)
{
    if (ctx->out.failed)
        return -1; /* the first fault is the one that counts */
    va_list ap;
    ctx->out.failed = true;
    ctx->out.failure.code = (int)code;
    va_start(ap, fmt);
    fm_utf8_format(ctx->out.fail_message, sizeof(ctx->out.fail_message), fmt, ap);
    va_end(ap);
    return -1;
}

void ctx_fail_reason(struct fm_ctx *ctx, const char *reason)
{
    ctx->out.fail_reason = reason;
}

void fm_ctx_fail_permanent(struct fm_ctx *ctx)
{
    ctx->out.failure.permanent = true;
}

void fm_ctx_retry_after(struct fm_ctx *ctx, uint64_t ms)
{
    ctx->out.failure.retry_after_ms = ms < FM_MAX_AHEAD_MS ? ms : FM_MAX_AHEAD_MS;
}

/* The next attempt would need as much. */
static void fail_too_large(struct fm_ctx *ctx)
{
    if (ctx->out.failed)
        return;
    (void)fm_ctx_fail(ctx, FM_FAIL_RESOURCE_EXHAUSTED, "the step needs more than %zu bytes of memory",
                      ctx->arena.limit);
    fm_ctx_fail_permanent(ctx);
}

bool ctx_has_room(struct fm_ctx *ctx, const char *what, size_t n, size_t limit)
{
    if (n < limit)
        return true;
    if (!ctx->out.failed) {
        (void)fm_ctx_fail(ctx, FM_FAIL_RESOURCE_EXHAUSTED,
                          "the step has more than %zu %s, which is the limit", limit, what);
        fm_ctx_fail_permanent(ctx);
    }
    return false;
}

/* Memory of the step. When the bound is reached the step fails; the handler gets ordinary zeroed
 * memory all the same, so that it need not check. */
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

struct fm_arena *ctx_arena(struct fm_ctx *ctx)
{
    return &ctx->arena;
}

struct fm_arena *ctx_scratch(struct fm_ctx *ctx)
{
    if (ctx->scratch.limit == 0)
        fm_arena_init(&ctx->scratch, ctx->arena.limit);
    fm_arena_reset(&ctx->scratch);
    return &ctx->scratch;
}

char *ctx_keep_text(struct fm_ctx *ctx, const char *s)
{
    char *copy = fm_ctx_alloc(ctx, strlen(s) + 1);
    memcpy(copy, s, strlen(s));
    return copy;
}

bool ctx_encode(struct fm_ctx *ctx, const char *what, const struct fm_value *data, struct fm_buf *out)
{
    fm_auto(fm_err) err = {0};
    if (value_encode_struct(data, out, &err) == 0)
        return true;
    fm_buf_done(out);
    (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "%s: %s", what, err.msg);
    return false;
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

struct fm_value *fm_int64(struct fm_ctx *ctx, int64_t n)
{
    return made(ctx, value_number_of(&ctx->arena, number_of_int64(n)));
}

struct fm_value *fm_uint64(struct fm_ctx *ctx, uint64_t n)
{
    return made(ctx, value_number_of(&ctx->arena, number_of_uint64(n)));
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
        (void)fm_ctx_fail(ctx, FM_FAIL_INTERNAL,
                          "a value was added to something that is not a list, or memory ran out");
}

void fm_map_set(struct fm_ctx *ctx, struct fm_value *map, const char *key, const struct fm_value *v)
{
    if (value_map_set(&ctx->arena, map, key, v) < 0)
        (void)fm_ctx_fail(ctx, FM_FAIL_INTERNAL,
                          "key \"%.64s\" was set in something that is not a map, or memory ran out", key);
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

enum fm_on_timeout fm_ctx_timed_out(const struct fm_ctx *ctx)
{
    return ctx->task->timed_out;
}

const char *fm_ctx_call_id(struct fm_ctx *ctx)
{
    return ctx->task->call_id;
}

const struct fm_value *fm_ctx_config(struct fm_ctx *ctx)
{
    fm_auto(fm_err) err = {0};
    if (ctx->config != NULL)
        return ctx->config;
    struct routine *r = ctx->routine;
    if (r->decoded == NULL) /* once for the job */
        r->decoded = value_decode_struct(r->config, &ctx->job->flow->arena, &err);
    ctx->config = r->decoded;
    if (ctx->config == NULL)
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "the configuration of the routine: %s", err.msg);
    return ctx->config;
}

const struct fm_value *fm_ctx_data(struct fm_ctx *ctx)
{
    return ctx->data;
}

bool ctx_may_be_dropped(const struct fm_ctx *ctx)
{
    return policy_may_drop(&ctx->routine->policy);
}

/* ---- time ---- */

static int64_t now_us(const struct engine *e)
{
    return e->io.now_us == NULL ? 0 : e->io.now_us(e->io.arg);
}

void ctx_start_clock(struct fm_ctx *ctx)
{
    ctx->started_us = now_us(ctx->job->engine);
}

uint64_t ctx_took_us(const struct fm_ctx *ctx)
{
    int64_t took = now_us(ctx->job->engine) - ctx->started_us;
    return took > 0 ? (uint64_t)took : 0;
}
