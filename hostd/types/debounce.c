/* Routine type "debounce" (common/catalog/types/debounce.json): of data that come in a burst only
 * the last one passes. The wait is a durable timer. */
#include <stdio.h>

#include "builtin.h"
#include "collect.h"
#include "times.h"

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    char key[COLLECT_KEY_BYTES];
    struct collect g;
    double wait = fm_value_number(fm_value_get(fm_ctx_config(ctx), "wait_ms"), 0);
    if (collect_begin(&g, ctx, data) < 0)
        return -1;
    snprintf(key, sizeof(key), "d:%s", g.name);
    fm_ctx_schedule(ctx, "_due", data, fm_count_from(wait), key);
    return 0;
}

static int on_due(struct fm_ctx *ctx, const struct fm_value *data)
{
    fm_ctx_emit(ctx, "output", data);
    return 0;
}

static const struct fm_slot slots[] = {
    {"input", on_input},
    {"_due",  on_due  }
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type debounce_type = {
    .abi = FM_ROUTINE_ABI, .name = "debounce", .slots = slots, .n_slots = 2};
