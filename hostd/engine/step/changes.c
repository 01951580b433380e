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
    else if (c->kind == CHANGE_DROP)
        kv_drop(kv, c->key, n, c->count);
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

static struct changed_key **table_of(struct fm_ctx *ctx, const char *routine)
{
    return routine[0] == '\0' ? &ctx->out.changed_shared : &ctx->out.changed_own;
}

static void index_change(struct fm_ctx *ctx, struct change *c)
{
    struct changed_key **table = table_of(ctx, c->routine), *k;
    c->next_same = NULL;
    HASH_FIND_STR(*table, c->key, k);
    if (k != NULL) {
        k->last->next_same = c;
        k->last = c;
        return;
    }
    k = fm_ctx_alloc(ctx, sizeof(*k));
    k->first = k->last = c;
    HASH_ADD_KEYPTR(hh, *table, c->key, strlen(c->key), k);
}

/* The handler's changes of a key; NULL: none. */
static const struct changed_key *changed(struct fm_ctx *ctx, const char *routine, const char *key)
{
    struct changed_key *k;
    struct change *c;
    if (!ctx->out.indexed)
        DL_FOREACH (ctx->out.changes, c)
            index_change(ctx, c);
    ctx->out.indexed = true;
    HASH_FIND_STR(*table_of(ctx, routine), key, k);
    return k;
}

/* The value as the handler sees it: the state's, with its own changes. */
static const struct fm_value *get(struct fm_ctx *ctx, const char *routine, const char *key)
{
    size_t n = strlen(key);
    struct kv_value kept;
    bool found = kv_get(state_of(ctx->job, routine), key, n, &kept);
    struct kv seen = {0}; /* only for a key that the handler has changed */
    const struct changed_key *k = changed(ctx, routine, key);
    for (const struct change *c = k == NULL ? NULL : k->first; c != NULL; c = c->next_same) {
        if (seen.entries == NULL && found && (c->kind == CHANGE_APPEND || c->kind == CHANGE_DROP))
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
    const struct changed_key *k = changed(ctx, routine, key);
    if (k != NULL)
        return k->last->kind != CHANGE_SET || (k->last->value.n > 0 && k->last->value.p[0] == VALUE_LIST_TAG);
    struct kv_value kept;
    return !kv_get(state_of(ctx->job, routine), key, strlen(key), &kept) || kept.is_list;
}

/* NULL after fm_ctx_fail. */
static struct change *add(struct fm_ctx *ctx, const char *routine, enum change_kind kind, const char *key,
                          const struct fm_value *v)
{
    size_t n = strlen(key);
    fm_auto(fm_err) err = {0};
    if (!ctx_has_room(ctx, "changes of state", ctx->out.n_changes, FM_MAX_STEP_ITEMS))
        return NULL;
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
    if ((kind == CHANGE_SET || kind == CHANGE_APPEND) &&
        value_encode(v, kind == CHANGE_APPEND ? DEPTH_IN_LIST : 1, &c->value, &err) < 0) {
        fm_buf_done(&c->value);
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "key \"%.64s\": %s", key, err.msg);
        return NULL;
    }
    DL_APPEND(ctx->out.changes, c);
    ctx->out.n_changes++;
    if (ctx->out.indexed)
        index_change(ctx, c);
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

void ctx_append_state(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    (void)add(ctx, own(ctx), CHANGE_APPEND, key, v);
}

void ctx_drop_state(struct fm_ctx *ctx, const char *key, uint32_t n)
{
    struct change *c = add(ctx, own(ctx), CHANGE_DROP, key, NULL);
    if (c != NULL)
        c->count = n;
}

struct kv_value ctx_kept(struct fm_ctx *ctx, const char *key)
{
    struct kv_value v = {0};
    (void)kv_get(state_of(ctx->job, own(ctx)), key, strlen(key), &v);
    return v;
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
