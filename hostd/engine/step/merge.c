/* Merging of inputs: a slot with a merge mode collects the data that come to it in the routine's
 * state, one step a datum, and makes a task of what belongs together. So what waits is durable, and
 * moves with the job. What waits is a list that is appended to at its end and dropped from at its
 * beginning: a step carries what is new and what goes, however much waits, and only the elements
 * that are taken are decoded.
 */
#include "merge.h"

#include <stdio.h>
#include <string.h>

#include "changes.h"
#include "emit.h"
#include "err.h"
#include "fermata/v1/types.pb.h"
#include "hflow.h"
#include "hjob.h"
#include "hsession.h"
#include "kv.h"
#include "mem.h"
#include "own_types.h"
#include "value.h"

#define KEY_BYTES 200

const struct merge *merge_find(const struct routine *r, const char *slot)
{
    for (size_t i = 0; i < r->n_merges; i++)
        if (strcmp(r->merges[i].slot, slot) == 0)
            return &r->merges[i];
    return NULL;
}

static void make(struct fm_ctx *ctx, const char *slot, const struct fm_value *data)
{
    struct emission *e = ctx_enqueue(ctx, slot, data);
    if (e != NULL)
        e->merged = true;
}

/* What waits under the key, with this datum behind it. */
static struct fm_value *items_of(struct fm_ctx *ctx, const char *key)
{
    struct fm_value *data = fm_map(ctx), *items = fm_list(ctx);
    const struct fm_value *kept = fm_ctx_state_get(ctx, key);
    for (size_t i = 0; i < fm_value_size(kept); i++)
        fm_list_add(ctx, items, fm_value_at(kept, i));
    fm_list_add(ctx, items, ctx->data);
    fm_map_set(ctx, data, "items", items);
    return data;
}

/* N_OF_M: the n-th datum completes the set. */
static void take_some(struct fm_ctx *ctx, const struct merge *m, const char *key)
{
    size_t waiting = ctx_kept(ctx, key).n_items;
    if (waiting + 1 < m->n) {
        fm_ctx_state_append(ctx, key, ctx->data);
        return;
    }
    make(ctx, m->slot, items_of(ctx, key));
    if (waiting > 0)
        fm_ctx_state_remove(ctx, key);
}

/* ---- ALL ---- */

static bool leads_here(const struct fm_ctx *ctx, const struct merge *m, const struct connection *c)
{
    return strcmp(c->to_routine, ctx->routine->id) == 0 && strcmp(c->slot, m->slot) == 0;
}

static void key_of(char key[KEY_BYTES], const struct merge *m, uint32_t connection)
{
    snprintf(key, KEY_BYTES, "_merge.%.128s.%u", m->slot, connection);
}

/* Whether every other connection of the slot has brought something. */
static bool complete(struct fm_ctx *ctx, const struct merge *m)
{
    const struct flow *f = ctx->job->flow;
    char key[KEY_BYTES];
    for (size_t i = 0; i < f->n_connections; i++) {
        const struct connection *c = &f->connections[i];
        if (!leads_here(ctx, m, c) || c->number == ctx->task->connection)
            continue;
        key_of(key, m, c->number);
        if (ctx_kept(ctx, key).n_items == 0)
            return false;
    }
    return true;
}

/* All but the first, for a coordinator of before 0.4 that cannot drop. */
static void set_rest(struct fm_ctx *ctx, const char *key)
{
    const struct fm_value *list = fm_ctx_state_get(ctx, key);
    struct fm_value *rest = fm_list(ctx);
    for (size_t i = 1; i < fm_value_size(list); i++)
        fm_list_add(ctx, rest, fm_value_at(list, i));
    fm_ctx_state_set(ctx, key, rest);
}

/* Takes the first datum that waits under the key off. */
static const struct fm_value *take_waiting(struct fm_ctx *ctx, const char *key)
{
    struct kv_value list = ctx_kept(ctx, key), rest;
    struct fm_bytes first = FM_NO_BYTES;
    fm_auto(fm_err) err = {0};
    const struct fm_value *v =
        kv_first(list, &first, &rest) ? value_decode(first, ctx_arena(ctx), &err) : NULL;
    if (v == NULL)
        (void)fm_ctx_fail(ctx, err.code != FM_OK ? (enum fm_failure)err.code : FM_FAIL_INTERNAL,
                          "what waits under key \"%.64s\" of the state: %s", key, err.msg);
    if (list.n_items <= 1)
        fm_ctx_state_remove(ctx, key);
    else if (ctx->job->session->takes_drop)
        ctx_drop_state(ctx, key, 1);
    else
        set_rest(ctx, key);
    return v;
}

/* The first datum of a connection; of the one that brought this datum it is this one, unless others wait. */
static const struct fm_value *take_first(struct fm_ctx *ctx, const char *key, bool own)
{
    if (own && ctx_kept(ctx, key).n_items == 0)
        return ctx->data;
    const struct fm_value *first = take_waiting(ctx, key);
    if (own)
        fm_ctx_state_append(ctx, key, ctx->data);
    return first;
}

/* One datum of each connection. What came from outside stands for a connection of its own (number 0) and
 * completes nothing. */
static void take_all(struct fm_ctx *ctx, const struct merge *m)
{
    const struct flow *f = ctx->job->flow;
    char key[KEY_BYTES];
    if (ctx->task->connection == 0) {
        make(ctx, m->slot, ctx->data);
        return;
    }
    if (!complete(ctx, m)) {
        key_of(key, m, ctx->task->connection);
        fm_ctx_state_append(ctx, key, ctx->data);
        return;
    }
    struct fm_value *all = fm_map(ctx);
    for (size_t i = 0; i < f->n_connections; i++) {
        const struct connection *c = &f->connections[i];
        if (!leads_here(ctx, m, c))
            continue;
        key_of(key, m, c->number);
        const struct fm_value *first = take_first(ctx, key, c->number == ctx->task->connection);
        for (size_t k = 0; k < fm_value_size(first); k++)
            fm_map_set(ctx, all, fm_value_key(first, k), fm_value_at(first, k));
    }
    make(ctx, m->slot, all);
}

/* ---- */

void merge_handled(struct fm_ctx *ctx)
{
    char key[KEY_BYTES];
    if (ctx->datum == NULL)
        return;
    snprintf(key, sizeof(key), "_merge.%.128s", ctx->task->slot);
    ctx_append_state(ctx, key, ctx->datum);
}

int merge_take(struct fm_ctx *ctx, const struct merge *m)
{
    char key[KEY_BYTES];
    snprintf(key, sizeof(key), "_merge.%.128s", m->slot);
    switch (m->mode) {
    case MERGE_ALL:
        take_all(ctx, m);
        break;
    case MERGE_N_OF_M:
        take_some(ctx, m, key);
        break;
    default: /* the list need not go into a task: it is in the state already */
        ctx->datum = ctx->data;
        ctx->data = items_of(ctx, key);
        return ctx->out.failed ? -1 : 0;
    }
    return ctx->out.failed ? -1 : 1;
}
