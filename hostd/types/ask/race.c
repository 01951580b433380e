/* Routine type "race" (common/catalog/types/race.json): the first of its slots that gets data wins. The
 * questions and timers of the others are taken back; what comes from them all the same is late. The state
 * has the winner by the race's key, with a letter before it. */
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "own_types.h"

static bool is_source(const struct fm_value *sources, const char *slot)
{
    for (size_t i = 0; i < fm_value_size(sources); i++)
        if (strcmp(fm_value_string(fm_value_at(sources, i), ""), slot) == 0)
            return true;
    return false;
}

/* The key of the race that the data belong to, as a key of the state; NULL after fm_ctx_fail. */
static const char *state_key(struct fm_ctx *ctx, const struct fm_value *data, const char *path)
{
    const char *key = path == NULL ? "" : ctx_key_text(ctx, fm_value_get(data, path));
    char *of = fm_ctx_alloc(ctx, strlen(key) + 2);
    if ((path == NULL || key[0] != '\0') && strlen(key) < 250) {
        (void)snprintf(of, strlen(key) + 2, "r%s", key);
        return of;
    }
    (void)fm_ctx_fail(
        ctx, FM_FAIL_INVALID_ARGUMENT,
        "at \"%.128s\" (key_path) in the data there is no text of 1 to 249 bytes, and no number", path);
    fm_ctx_fail_permanent(ctx);
    return NULL;
}

static int on_late(struct fm_ctx *ctx, const struct fm_value *data, const char *winner)
{
    struct fm_value *late = fm_map(ctx);
    fm_map_set(ctx, late, "slot", fm_string(ctx, fm_ctx_slot(ctx)));
    fm_map_set(ctx, late, "winner", fm_string(ctx, winner));
    fm_map_set(ctx, late, "data", data);
    fm_ctx_emit(ctx, "late", late);
    return 0;
}

static int on_any(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *config = fm_ctx_config(ctx), *sources = fm_value_get(config, "sources");
    const char *slot = fm_ctx_slot(ctx), *path = fm_value_string(fm_value_get(config, "key_path"), NULL);
    const char *key = state_key(ctx, data, path);
    if (key == NULL)
        return -1;
    if (strcmp(slot, "reset") == 0) {
        if (fm_ctx_state_get(ctx, key) != NULL)
            fm_ctx_state_remove(ctx, key);
        return 0;
    }
    if (!is_source(sources, slot)) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "slot \"%.64s\" is none of config.sources", slot);
        fm_ctx_fail_permanent(ctx);
        return -1;
    }
    const char *winner = fm_value_string(fm_ctx_state_get(ctx, key), NULL);
    if (winner != NULL)
        return on_late(ctx, data, winner);
    char reason[300];
    (void)snprintf(reason, sizeof(reason), "race \"%.100s\" was decided by slot \"%.100s\"",
                   fm_ctx_routine_id(ctx), slot);
    fm_ctx_state_set(ctx, key, fm_string(ctx, slot));
    const struct own_race race = {.winner = slot,
                                  .slots = sources,
                                  .routines = fm_value_get(config, "withdraw"),
                                  .key_path = path,
                                  .key = key + 1,
                                  .reason = reason};
    ctx_end_race(ctx, &race);
    struct fm_value *out = fm_map_copy(ctx, data);
    fm_map_set(ctx, out, "winner", fm_string(ctx, slot));
    fm_ctx_emit(ctx, "output", out);
    return 0;
}

static const struct fm_slot slots[] = {
    {"*", on_any}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type race_type = {
    .abi = FM_ROUTINE_ABI, .name = "race", .slots = slots, .n_slots = 1};
