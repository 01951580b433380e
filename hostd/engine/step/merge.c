/* Merging of inputs: a slot with a merge mode collects the data that come to it in the routine's
 * state, one step a datum, and makes a task of what belongs together. So what waits is durable, and
 * moves with the job.
 */
#include "merge.h"

#include <stdio.h>
#include <string.h>

#include "emit.h"
#include "fermata/v1/types.pb.h"
#include "hflow.h"
#include "hjob.h"

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

static struct fm_value *items_of(struct fm_ctx *ctx, const struct fm_value *list)
{
    struct fm_value *data = fm_map(ctx);
    fm_map_set(ctx, data, "items", list);
    return data;
}

/* N_OF_M: the n-th datum completes the set. */
static void take_some(struct fm_ctx *ctx, const struct merge *m, const char *key)
{
    fm_ctx_state_append(ctx, key, ctx->data);
    const struct fm_value *list = fm_ctx_state_get(ctx, key);
    if (fm_value_size(list) < m->n)
        return;
    make(ctx, m->slot, items_of(ctx, list));
    fm_ctx_state_remove(ctx, key);
}

/* Whether every connection of the slot has brought something. */
static bool complete(struct fm_ctx *ctx, const struct merge *m)
{
    const struct flow *f = ctx->job->flow;
    char key[KEY_BYTES];
    for (size_t i = 0; i < f->n_connections; i++) {
        const struct connection *c = &f->connections[i];
        if (strcmp(c->to_routine, ctx->routine->id) != 0 || strcmp(c->slot, m->slot) != 0)
            continue;
        snprintf(key, sizeof(key), "_merge.%.128s.%u", m->slot, c->number);
        if (fm_value_size(fm_ctx_state_get(ctx, key)) == 0)
            return false;
    }
    return true;
}

/* Takes the first datum of a connection off and adds its fields. */
static void take_first(struct fm_ctx *ctx, const char *key, struct fm_value *into)
{
    const struct fm_value *list = fm_ctx_state_get(ctx, key), *first = fm_value_at(list, 0);
    for (size_t i = 0; i < fm_value_size(first); i++)
        fm_map_set(ctx, into, fm_value_key(first, i), fm_value_at(first, i));
    if (fm_value_size(list) <= 1) {
        fm_ctx_state_remove(ctx, key);
        return;
    }
    struct fm_value *rest = fm_list(ctx);
    for (size_t i = 1; i < fm_value_size(list); i++)
        fm_list_add(ctx, rest, fm_value_at(list, i));
    fm_ctx_state_set(ctx, key, rest);
}

/* ALL: one datum of each connection. What came from outside stands for a connection of its own
 * (number 0) and completes nothing. */
static void take_all(struct fm_ctx *ctx, const struct merge *m)
{
    const struct flow *f = ctx->job->flow;
    char key[KEY_BYTES];
    if (ctx->task->connection == 0) {
        make(ctx, m->slot, ctx->data);
        return;
    }
    snprintf(key, sizeof(key), "_merge.%.128s.%u", m->slot, ctx->task->connection);
    fm_ctx_state_append(ctx, key, ctx->data);
    if (!complete(ctx, m))
        return;
    struct fm_value *all = fm_map(ctx);
    for (size_t i = 0; i < f->n_connections; i++) {
        const struct connection *c = &f->connections[i];
        if (strcmp(c->to_routine, ctx->routine->id) != 0 || strcmp(c->slot, m->slot) != 0)
            continue;
        snprintf(key, sizeof(key), "_merge.%.128s.%u", m->slot, c->number);
        take_first(ctx, key, all);
    }
    make(ctx, m->slot, all);
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
    default:
        fm_ctx_state_append(ctx, key, ctx->data);
        make(ctx, m->slot, items_of(ctx, fm_ctx_state_get(ctx, key)));
        break;
    }
    return ctx->out.failed ? -1 : 0;
}
