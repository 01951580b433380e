/* Routine type "aggregate" (common/catalog/types/aggregate.json): waits for data that belong
 * together. Every slot is an input; with sources its name says where the data come from. "items"
 * are in the order of arrival; "missing" of a timeout are the names of sources, or how many
 * data. */
#include <stdio.h>
#include <string.h>

#include "builtin.h"
#include "collect.h"
#include "times.h"

#define MAX_COUNT 10000

/* What came, by source. */
static struct fm_value *by_source(struct fm_ctx *ctx, const struct fm_value *items)
{
    struct fm_value *map = fm_map(ctx);
    for (size_t i = 0; i < fm_value_size(items); i++) {
        const struct fm_value *item = fm_value_at(items, i);
        fm_map_set(ctx, map, fm_value_string(fm_value_get(item, "source"), ""), fm_value_get(item, "data"));
    }
    return map;
}

static bool has_key(const struct fm_value *map, const char *key)
{
    for (size_t i = 0; i < fm_value_size(map); i++)
        if (strcmp(fm_value_key(map, i), key) == 0)
            return true;
    return false;
}

static struct fm_value *missing_of(struct fm_ctx *ctx, const struct fm_value *sources,
                                   const struct fm_value *have)
{
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < fm_value_size(sources); i++)
        if (!has_key(have, fm_value_string(fm_value_at(sources, i), "")))
            fm_list_add(ctx, list, fm_value_at(sources, i));
    return list;
}

static void go_on(struct collect *g, const char *event)
{
    struct fm_ctx *ctx = g->ctx;
    const struct fm_value *config = fm_ctx_config(ctx), *sources = fm_value_get(config, "sources");
    double expected = g->expected;
    const struct fm_value *key = collect_key(g);
    const struct fm_value *items = collect_take(g);
    struct fm_value *out = fm_map(ctx), *have = fm_map(ctx), *list = fm_list(ctx);
    for (size_t i = 0; i < fm_value_size(items); i++)
        fm_list_add(ctx, list, fm_value_get(fm_value_at(items, i), "data"));
    fm_map_set(ctx, out, "items", list);
    fm_map_set(ctx, out, "count", fm_number(ctx, (double)fm_value_size(items)));
    if (fm_value_get(config, "key") != NULL)
        fm_map_set(ctx, out, "key", key);
    if (sources != NULL) {
        have = by_source(ctx, items);
        fm_map_set(ctx, out, "sources", have);
    }
    if (strcmp(event, "timeout") == 0 && sources != NULL)
        fm_map_set(ctx, out, "missing", missing_of(ctx, sources, have));
    else if (strcmp(event, "timeout") == 0 && expected > 0)
        fm_map_set(ctx, out, "missing", fm_number(ctx, expected - (double)fm_value_size(items)));
    fm_ctx_emit(ctx, event, out);
}

static bool is_source(const struct fm_value *sources, const char *slot)
{
    for (size_t i = 0; i < fm_value_size(sources); i++)
        if (strcmp(fm_value_string(fm_value_at(sources, i), ""), slot) == 0)
            return true;
    return false;
}

/* Whether every source has brought something. Kept apart from the data, so that these are read once
 * a set. */
static bool sources_complete(struct collect *g, const struct fm_value *sources, const char *slot)
{
    char key[COLLECT_KEY_BYTES];
    struct fm_ctx *ctx = g->ctx;
    snprintf(key, sizeof(key), "s:%s", g->name);
    const struct fm_value *seen = g->n > 1 ? fm_ctx_state_get(ctx, key) : NULL;
    struct fm_value *now = fm_map_copy(ctx, seen);
    fm_map_set(ctx, now, slot, fm_bool(ctx, true));
    bool complete = fm_value_size(missing_of(ctx, sources, now)) == 0;
    if (complete)
        fm_ctx_state_remove(ctx, key);
    else
        fm_ctx_state_set(ctx, key, now);
    return complete;
}

/* How many data make the set: 0 while that is not known; -1 after a fault. */
static int expected_count(struct collect *g, const struct fm_value *data)
{
    const struct fm_value *config = fm_ctx_config(g->ctx);
    const char *path = fm_value_string(fm_value_get(config, "count_path"), NULL);
    if (path == NULL)
        g->expected = fm_value_number(fm_value_get(config, "count"), 0);
    else if (g->expected == 0) {
        const struct fm_value *count = fm_value_get(data, path);
        double n = fm_value_number(count, 0);
        g->is_empty = g->n == 0 && fm_value_kind(count) == FM_NUMBER && n == 0;
        if (n < 0 || n > MAX_COUNT || n != (double)(int)n)
            return fm_ctx_fail(g->ctx, FM_FAIL_INVALID_ARGUMENT,
                               "\"%.128s\" in the data is %.15g; expected a whole number from 0 to %d", path,
                               n, MAX_COUNT);
        g->expected = n;
    }
    return 0;
}

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *config = fm_ctx_config(ctx), *sources = fm_value_get(config, "sources");
    const char *slot = fm_ctx_slot(ctx);
    struct collect g;
    if (sources != NULL && !is_source(sources, slot))
        return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "slot \"%.128s\" is not one of the sources", slot);
    if (collect_begin(&g, ctx, data) < 0 || (sources == NULL && expected_count(&g, data) < 0))
        return -1;
    if (g.is_empty) { /* what says that nothing comes is no part of the set */
        go_on(&g, "output");
        return 0;
    }
    struct fm_value *item = fm_map(ctx);
    fm_map_set(ctx, item, "data", data);
    if (sources != NULL)
        fm_map_set(ctx, item, "source", fm_string(ctx, slot));
    collect_add(&g, item, "_timeout", fm_count_from(fm_value_number(fm_value_get(config, "timeout_ms"), 0)));
    bool complete =
        sources != NULL ? sources_complete(&g, sources, slot) : g.expected > 0 && (double)g.n >= g.expected;
    if (complete)
        go_on(&g, "output");
    return 0;
}

static int on_timeout(struct fm_ctx *ctx, const struct fm_value *data)
{
    char key[COLLECT_KEY_BYTES];
    struct collect g;
    if (!collect_of_timer(&g, ctx, data))
        return 0;
    snprintf(key, sizeof(key), "s:%s", g.name);
    fm_ctx_state_remove(ctx, key);
    go_on(&g, "timeout");
    return 0;
}

static const struct fm_slot slots[] = {
    {"*",        on_input  },
    {"_timeout", on_timeout}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type aggregate_type = {
    .abi = FM_ROUTINE_ABI, .name = "aggregate", .slots = slots, .n_slots = 2};
