/* Routine type "batch" (common/catalog/types/batch.json): gathers data into lists of a certain
 * size. The wait is a durable timer, so nothing is left behind when the job has nothing else to
 * do. */
#include "builtin.h"
#include "collect.h"
#include "times.h"

static void go_on(struct collect *g)
{
    struct fm_ctx *ctx = g->ctx;
    const struct fm_value *items = collect_take(g);
    struct fm_value *out = fm_map(ctx);
    fm_map_set(ctx, out, "items", items);
    fm_map_set(ctx, out, "count", fm_number(ctx, (double)fm_value_size(items)));
    if (fm_value_get(fm_ctx_config(ctx), "key") != NULL)
        fm_map_set(ctx, out, "key", collect_key(g));
    fm_ctx_emit(ctx, "output", out);
}

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    double size = fm_value_number(fm_value_get(config, "size"), 100);
    double wait = fm_value_number(fm_value_get(config, "max_wait_ms"), 1000);
    struct collect g;
    if (collect_begin(&g, ctx, data) < 0)
        return -1;
    collect_add(&g, data, "_due", fm_count_from(wait));
    if ((double)g.n >= size)
        go_on(&g);
    return 0;
}

static int on_flush(struct fm_ctx *ctx, const struct fm_value *data)
{
    struct collect g;
    if (collect_begin(&g, ctx, data) < 0)
        return -1;
    if (g.n > 0)
        go_on(&g);
    return 0;
}

static int on_due(struct fm_ctx *ctx, const struct fm_value *data)
{
    struct collect g;
    if (collect_of_timer(&g, ctx, data))
        go_on(&g);
    return 0;
}

static const struct fm_slot slots[] = {
    {"input", on_input},
    {"flush", on_flush},
    {"_due",  on_due  }
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type batch_type = {
    .abi = FM_ROUTINE_ABI, .name = "batch", .slots = slots, .n_slots = 3};
