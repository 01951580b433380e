/* Changes of state. Part of the routine API (fermata/routine.h). While a handler is at work its
 * changes are only gathered, and reading overlays them on what is there; they are made when its
 * step is. */
#include "changes.h"

#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "ctx.h"
#include "fermata/v1/types.pb.h"
#include "hjob.h"
#include "mem.h"
#include "own_types.h"
#include "value.h"
#include "wire.h"

#define SHARED ""           /* stands for a routine's id where the shared data are meant */
#define DEPTH_IN_LIST 3     /* see value_encode */
#define VALUE_LIST_TAG 0x32 /* field 6 of google.protobuf.Value: list_value */

/* The state of a routine, or the shared data. */
static struct kv *state_of(struct hjob *job, const char *routine)
{
    return routine[0] == '\0' ? &job->shared : &hjob_routine_state(job, routine)->kv;
}

static void make_change(struct kv *kv, const struct change *c)
{
    struct fm_bytes value = {c->value.p, c->value.n};
    size_t n = strlen(c->key);
    if (c->kind == CHANGE_REMOVE)
        kv_remove(kv, c->key, n);
    else if (c->kind == CHANGE_APPEND)
        kv_append(kv, c->key, n, value);
    else
        kv_set(kv, c->key, n, value);
}

void ctx_apply_changes(struct fm_ctx *ctx)
{
    struct change *c;
    DL_FOREACH (ctx->out.changes, c)
        make_change(state_of(ctx->job, c->routine), c);
}

/* ---- reading ---- */

static bool changes_key(const struct change *c, const char *routine, const char *key)
{
    return strcmp(c->key, key) == 0 && strcmp(c->routine, routine) == 0;
}

static const char *own(const struct fm_ctx *ctx)
{
    return ctx->task->routine;
}

static const struct fm_value *decode(struct fm_ctx *ctx, struct kv_value kept, const char *key)
{
    fm_auto(fm_buf) b = {0};
    fm_auto(fm_err) err = {0};
    kv_put_value(kept, &b);
    const struct fm_value *v = value_decode(fm_buf_bytes(&b), &ctx->arena, &err);
    if (v == NULL)
        (void)fm_ctx_fail(ctx, (enum fm_failure)err.code, "key \"%.64s\" of the state: %s", key, err.msg);
    return v;
}

/* The value as the handler sees it: the state's, with its own changes. */
static const struct fm_value *get(struct fm_ctx *ctx, const char *routine, const char *key)
{
    size_t n = strlen(key);
    struct kv_value kept;
    bool found = kv_get(state_of(ctx->job, routine), key, n, &kept);
    struct kv seen = {0}; /* only for a key that the handler has changed */
    struct change *c;
    DL_FOREACH (ctx->out.changes, c) {
        if (!changes_key(c, routine, key))
            continue;
        if (seen.entries == NULL && found && c->kind == CHANGE_APPEND)
            kv_set_kept(&seen, key, n, kept);
        make_change(&seen, c);
        found = false;
    }
    found = found || kv_get(&seen, key, n, &kept);
    const struct fm_value *v = found ? decode(ctx, kept, key) : NULL;
    kv_done(&seen);
    return v;
}

static const struct fm_value *get_all(struct fm_ctx *ctx, const char *routine)
{
    fm_auto(fm_buf) b = {0};
    fm_auto(fm_err) err = {0};
    kv_put_struct(state_of(ctx->job, routine), &b);
    const struct fm_value *v = value_decode_struct(fm_buf_bytes(&b), &ctx->arena, &err);
    if (v == NULL)
        (void)fm_ctx_fail(ctx, (enum fm_failure)err.code, "the state: %s", err.msg);
    return v;
}

const struct fm_value *fm_ctx_state_get(struct fm_ctx *ctx, const char *key)
{
    return get(ctx, own(ctx), key);
}

const struct fm_value *fm_ctx_state_all(struct fm_ctx *ctx)
{
    return get_all(ctx, own(ctx));
}

const struct fm_value *fm_ctx_shared_get(struct fm_ctx *ctx, const char *key)
{
    return get(ctx, SHARED, key);
}

const struct fm_value *fm_ctx_shared_all(struct fm_ctx *ctx)
{
    return get_all(ctx, SHARED);
}

/* ---- changing ---- */

/* Whether the key holds a list, or nothing, for the handler. */
static bool may_append(struct fm_ctx *ctx, const char *routine, const char *key)
{
    struct change *c;
    for (c = ctx->out.changes == NULL ? NULL : ctx->out.changes->prev; c != NULL;
         c = c == ctx->out.changes ? NULL : c->prev)
        if (changes_key(c, routine, key))
            return c->kind != CHANGE_SET || (c->value.n > 0 && c->value.p[0] == VALUE_LIST_TAG);
    struct kv_value kept;
    return !kv_get(state_of(ctx->job, routine), key, strlen(key), &kept) || kept.is_list;
}

/* NULL after fm_ctx_fail. */
static struct change *add(struct fm_ctx *ctx, const char *routine, enum change_kind kind, const char *key,
                          const struct fm_value *v)
{
    size_t n = strlen(key);
    fm_auto(fm_err) err = {0};
    if (n == 0 || n > FM_MAX_KEY_BYTES || !wire_text_ok((const uint8_t *)key, n)) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                          "a key of the state has %zu bytes; it must have 1 to %d bytes of valid UTF-8", n,
                          FM_MAX_KEY_BYTES);
        return NULL;
    }
    if (kind == CHANGE_APPEND && !may_append(ctx, routine, key)) {
        (void)fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION, "key \"%.64s\" holds no list to append to", key);
        return NULL;
    }
    struct change *c = fm_ctx_alloc(ctx, sizeof(*c));
    c->routine = routine;
    c->key = ctx_keep_text(ctx, key);
    c->kind = kind;
    if (kind != CHANGE_REMOVE &&
        value_encode(v, kind == CHANGE_APPEND ? DEPTH_IN_LIST : 1, &c->value, &err) < 0) {
        fm_buf_done(&c->value);
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "key \"%.64s\": %s", key, err.msg);
        return NULL;
    }
    DL_APPEND(ctx->out.changes, c);
    return c;
}

/* A change that is dropped when the step fails. */
static void change(struct fm_ctx *ctx, const char *routine, enum change_kind kind, const char *key,
                   const struct fm_value *v)
{
    if (!ctx->out.failed)
        (void)add(ctx, routine, kind, key, v);
}

void ctx_keep_state(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    struct change *c = add(ctx, own(ctx), CHANGE_SET, key, v);
    if (c != NULL)
        c->kept = true;
}

void fm_ctx_state_set(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, own(ctx), CHANGE_SET, key, v);
}

void fm_ctx_state_append(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, own(ctx), CHANGE_APPEND, key, v);
}

void fm_ctx_state_remove(struct fm_ctx *ctx, const char *key)
{
    change(ctx, own(ctx), CHANGE_REMOVE, key, NULL);
}

void fm_ctx_shared_set(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, SHARED, CHANGE_SET, key, v);
}

void fm_ctx_shared_append(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    change(ctx, SHARED, CHANGE_APPEND, key, v);
}

void fm_ctx_shared_remove(struct fm_ctx *ctx, const char *key)
{
    change(ctx, SHARED, CHANGE_REMOVE, key, NULL);
}
