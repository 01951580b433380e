/* Routine type "human" (common/catalog/types/human.json): asks a person and emits the answer. The
 * question and the input are kept in the state by the pause's id until the answer comes. */
#include <string.h>

#include "ask.h"
#include "own_types.h"

/* The configuration, with what it takes from the data; NULL after fm_ctx_fail. */
static const struct fm_value *settings_of(struct fm_ctx *ctx, const struct fm_value *config,
                                          const struct fm_value *data)
{
    static const struct {
        const char *path, *setting;
    } from[] = {
        {"deadline_path", "deadline_at"},
        {"assignee_path", "assignee"   },
        {"key_path",      "key"        }
    };
    struct fm_value *m = fm_map_copy(ctx, config);
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        const char *path = fm_value_string(fm_value_get(config, from[i].path), NULL);
        const struct fm_value *v = path == NULL ? NULL : fm_value_get(data, path);
        if (path != NULL && v == NULL) {
            (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                              "at \"%.128s\" (%s) in the data there is nothing for the question's %s", path,
                              from[i].path, from[i].setting);
            fm_ctx_fail_permanent(ctx);
            return NULL;
        }
        if (v != NULL && strcmp(from[i].setting, "key") == 0)
            v = fm_string(ctx, ctx_key_text(ctx, v));
        if (v != NULL)
            fm_map_set(ctx, m, from[i].setting, v);
    }
    return m;
}

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    const char *question = fm_value_string(fm_value_get(data, "question"),
                                           fm_value_string(fm_value_get(config, "question"), "Go on?"));
    struct fm_question q = {
        .question = question, .slot = "answer", .data = fm_value_size(data) > 0 ? data : NULL};
    const struct fm_value *settings = settings_of(ctx, config, data);
    if (settings == NULL || !ctx_read_question(ctx, settings, &q))
        return -1;
    const char *pause_id = fm_ctx_ask(ctx, &q);
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
    if (asked != NULL)
        fm_ctx_state_remove(ctx, pause_id);
    if (fm_ctx_timed_out(ctx) == FM_TIMEOUT_EVENT)
        return 0; /* the step has said so */
    fm_map_set(ctx, out, "answer", fm_value_get(data, "answer"));
    if (fm_value_bool(fm_value_get(data, "expired"), false))
        fm_map_set(ctx, out, "expired", fm_bool(ctx, true));
    fm_ctx_emit(ctx, "output", out);
    return 0;
}

static const struct fm_slot slots[] = {
    {"input",  on_input },
    {"answer", on_answer}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type human_type = {
    .abi = FM_ROUTINE_ABI, .name = "human", .flags = FM_SEES_TIMEOUTS, .slots = slots, .n_slots = 2};
