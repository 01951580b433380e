/* Routine type "continue" (common/catalog/types/continue.json): passes the data on, and lets the job start
 * its journal over. What its event makes waits, so it is carried over into the new generation. */
#include "builtin.h"
#include "how.h"

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    double every = fm_value_number(fm_value_get(config, "every"), 1);
    double n = fm_value_number(fm_ctx_state_get(ctx, "n"), 0) + 1;
    bool due = n >= every;
    fm_ctx_emit(ctx, "output", data);
    if (every > 1)
        fm_ctx_state_set(ctx, "n", fm_number(ctx, due ? 0 : n));
    struct fm_continue how = {0};
    const char *why = NULL;
    if (!how_keeps(config, &how, &why))
        return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "%s", why);
    if (due)
        fm_ctx_continue(ctx, &how);
    return 0;
}

static const struct fm_slot slots[] = {
    {"input", on_input}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type continue_type = {
    .abi = FM_ROUTINE_ABI, .name = "continue", .slots = slots, .n_slots = 1};
