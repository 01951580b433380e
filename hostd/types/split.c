/* Routine type "split" (common/catalog/types/split.json): makes of a list one event per element. A
 * list that is not there, or no list, fails with INVALID_ARGUMENT. */
#include "builtin.h"

/* The fields named by "with", for an event. */
static struct fm_value *event_data(struct fm_ctx *ctx, const struct fm_value *data,
                                   const struct fm_value *with)
{
    struct fm_value *out = fm_map(ctx);
    for (size_t i = 0; i < fm_value_size(with); i++) {
        const char *name = fm_value_string(fm_value_at(with, i), "");
        const struct fm_value *v = fm_value_get(data, name);
        if (v != NULL)
            fm_map_set(ctx, out, name, v);
    }
    return out;
}

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    const char *path = fm_value_string(fm_value_get(config, "path"), "items");
    const struct fm_value *with = fm_value_get(config, "with"), *list = fm_value_get(data, path);
    enum fm_value_kind kind = fm_value_kind(list);
    if (kind != FM_LIST && kind != FM_MAP)
        return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "there is no list at \"%.128s\" in the data", path);
    const struct fm_value *total = fm_number(ctx, (double)fm_value_size(list));
    for (size_t i = 0; i < fm_value_size(list); i++) {
        struct fm_value *out = event_data(ctx, data, with);
        fm_map_set(ctx, out, "item", fm_value_at(list, i));
        fm_map_set(ctx, out, "index", fm_number(ctx, (double)i));
        fm_map_set(ctx, out, "total", total);
        if (kind == FM_MAP)
            fm_map_set(ctx, out, "key", fm_string(ctx, fm_value_key(list, i)));
        fm_ctx_emit(ctx, "item", out);
    }
    struct fm_value *done = event_data(ctx, data, with);
    fm_map_set(ctx, done, "total", total);
    fm_ctx_emit(ctx, "done", done);
    return 0;
}

static const struct fm_slot slots[] = {
    {"input", on_input}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type split_type = {
    .abi = FM_ROUTINE_ABI, .name = "split", .slots = slots, .n_slots = 1};
