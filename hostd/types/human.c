/* Routine type "human" (common/catalog/types/human.json): asks a person and emits the answer. The
 * question and the input are kept in the state by the pause's id until the answer comes. */
#include "builtin.h"

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    const char *question = fm_value_string(fm_value_get(data, "question"),
                                           fm_value_string(fm_value_get(config, "question"), "Go on?"));
    const struct fm_value *shown = fm_value_size(data) > 0 ? data : NULL;
    const char *pause_id = fm_ctx_pause(ctx, question, "answer", shown, fm_value_get(config, "choices"));
    struct fm_value *asked = fm_map(ctx);
    fm_map_set(ctx, asked, "question", fm_string(ctx, question));
    fm_map_set(ctx, asked, "input", data);
    fm_ctx_state_set(ctx, pause_id, asked);
    return 0;
}

static int on_answer(struct fm_ctx *ctx, const struct fm_value *data)
{
    const char *pause_id = fm_ctx_pause_id(ctx);
    const struct fm_value *asked = pause_id[0] != '\0' ? fm_ctx_state_get(ctx, pause_id) : NULL;
    const struct fm_value *input = fm_value_get(asked, "input");
    struct fm_value *out = fm_map_copy(ctx, input);
    const struct fm_value *question = fm_value_get(asked, "question");
    if (question != NULL)
        fm_map_set(ctx, out, "question", question);
    fm_map_set(ctx, out, "answer", fm_value_get(data, "answer"));
    if (asked != NULL)
        fm_ctx_state_remove(ctx, pause_id);
    fm_ctx_emit(ctx, "output", out);
    return 0;
}

static const struct fm_slot slots[] = {
    {"input",  on_input },
    {"answer", on_answer}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type human_type = {
    .abi = FM_ROUTINE_ABI, .name = "human", .slots = slots, .n_slots = 2};
