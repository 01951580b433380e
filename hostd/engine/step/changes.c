/* Changes of state. Part of the routine API (fermata/routine.h). While a handler is at work its changes are
 * only gathered, and reading overlays them on what is there; they are made when its step is. */
#include "changes.h"

#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "ctx.h"
#include "fermata/v1/types.pb.h"
#include "hjob.h"
#include "own_types.h"
#include "value.h"
#include "wire.h"

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

/* The value as the handler sees it: the state's, with its own changes. */
static const struct fm_value *get(struct fm_ctx *ctx, bool shared, const char *key)
{
    const char *routine = shared ? "" : ctx->task->routine;
    size_t n = strlen(key);
    struct kv_value kept;
    bool found = kv_get(state_of(ctx->job, routine), key, n, &kept);
    struct kv seen = {0}; /* only for a key that the handler has changed */
    struct change *c;
    DL_FOREACH (ctx->out.changes, c) {
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

#define VALUE_LIST_TAG 0x32 /* field 6 of google.protobuf.Value: list_value */

/* Whether the key holds a list, or nothing, for the handler. */
static bool may_append(struct fm_ctx *ctx, const char *routine, const char *key)
{
    struct change *c;
    for (c = ctx->out.changes == NULL ? NULL : ctx->out.changes->prev; c != NULL;
         c = c == ctx->out.changes ? NULL : c->prev)
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
    if (ctx->out.failed && !kept)
        return;
    if (n == 0 || n > FM_MAX_KEY_BYTES || !wire_text_ok((const uint8_t *)key, n)) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                          "a key of the state has %zu bytes; it must have 1 to %d, valid UTF-8", n,
                          FM_MAX_KEY_BYTES);
        return;
    }
    if (append && !may_append(ctx, routine, key)) {
        (void)fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION, "key \"%.64s\" holds no list to append to", key);
        return;
    }
    struct change *c = fm_ctx_alloc(ctx, sizeof(*c));
    c->routine = routine;
    c->key = ctx_keep_text(ctx, key);
    c->kind = kind;
    c->kept = kept;
    if (kind != fermata_v1_StateChangeKind_STATE_CHANGE_KIND_REMOVE &&
        value_encode(v, append ? 3 : 1, &c->value, &err) < 0) {
        fm_buf_done(&c->value);
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "key \"%.64s\": %s", key, err.msg);
        return;
    }
    DL_APPEND(ctx->out.changes, c);
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
