/* Calls of tools that nobody in the flow carries out: the job waits until the result comes from outside,
 * as the answer to a pause with the reason TOOL. Nothing is kept of it but the call among those that
 * wait, so results may come in any order. See agent.h. */
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "own_types.h"
#include "times.h"

/* The schema of an answer: a result, or an error. NULL: any is accepted. */
static const struct fm_value *answer_schema(struct fm_ctx *ctx, const struct fm_value *result)
{
    if (result == NULL)
        return NULL;
    struct fm_value *error = fm_map(ctx), *properties = fm_map(ctx), *required = fm_list(ctx),
                    *text = fm_map(ctx), *both = fm_list(ctx), *out = fm_map(ctx);
    fm_map_set(ctx, text, "type", fm_string(ctx, "string"));
    fm_map_set(ctx, properties, "error", text);
    fm_list_add(ctx, required, fm_string(ctx, "error"));
    fm_map_set(ctx, error, "type", fm_string(ctx, "object"));
    fm_map_set(ctx, error, "properties", properties);
    fm_map_set(ctx, error, "required", required);
    fm_map_set(ctx, error, "additionalProperties", fm_bool(ctx, false));
    fm_list_add(ctx, both, result);
    fm_list_add(ctx, both, error);
    fm_map_set(ctx, out, "anyOf", both);
    return out;
}

static const struct fm_value *too_late(struct fm_ctx *ctx, double ms)
{
    char why[100];
    struct fm_value *m = fm_map(ctx);
    (void)snprintf(why, sizeof(why), "no result came within %.15g ms", ms);
    fm_map_set(ctx, m, "error", fm_string(ctx, why));
    return m;
}

void llm_wait_outside(struct fm_ctx *ctx, const struct fm_value *call, const struct fm_value *tool)
{
    static const char *const shown_keys[] = {"description", "parameters"};
    const char *name = fm_value_string(fm_value_get(call, "name"), "");
    double timeout_ms = fm_value_number(fm_value_get(tool, "timeout_ms"), 0);
    struct fm_value *shown = fm_map(ctx);
    char question[200];
    fm_map_set(ctx, shown, "tool", fm_value_get(call, "name"));
    fm_map_set(ctx, shown, "arguments", fm_value_get(call, "arguments"));
    fm_map_set(ctx, shown, "call_id", fm_value_get(call, "id"));
    for (size_t i = 0; i < 2; i++)
        if (fm_value_get(tool, shown_keys[i]) != NULL)
            fm_map_set(ctx, shown, shown_keys[i], fm_value_get(tool, shown_keys[i]));
    (void)snprintf(question, sizeof(question), "The agent waits for the result of the tool %.128s.", name);
    const struct fm_question q = {.question = question,
                                  .slot = "tool_result",
                                  .data = shown,
                                  .answer_schema = answer_schema(ctx, fm_value_get(tool, "result_schema")),
                                  .timeout_ms = fm_count_from(timeout_ms),
                                  .default_answer = timeout_ms > 0 ? too_late(ctx, timeout_ms) : NULL};
    (void)ctx_ask(ctx, &q, ASK_TOOL);
    llm_share(ctx, "waiting", "tool", name);
}

/* ---- a conversation that stays open ---- */

void llm_stay_open(struct fm_ctx *ctx)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    if (!fm_value_bool(fm_value_get(config, "keep_open"), false) || fm_ctx_state_get(ctx, "open") != NULL)
        return;
    const struct fm_question q = {
        .question = "",
        .slot = "user_input",
        .timeout_ms = fm_count_from(fm_value_number(fm_value_get(config, "keep_open_ms"), 0))};
    fm_ctx_state_set(ctx, "open", fm_string(ctx, ctx_ask(ctx, &q, ASK_INPUT)));
}

bool llm_was_open(struct fm_ctx *ctx)
{
    const char *open = fm_value_string(fm_ctx_state_get(ctx, "open"), ""), *pause = fm_ctx_pause_id(ctx);
    if (open[0] == '\0' || strcmp(open, pause) != 0)
        return false;
    fm_ctx_state_remove(ctx, "open");
    return true;
}
