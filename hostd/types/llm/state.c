/* The agent's state: its conversation, and small maps. See agent.c for the keys. */
#include "agent.h"

#include <string.h>

struct fm_value *llm_message(struct fm_ctx *ctx, const char *role, const struct fm_value *content)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "role", fm_string(ctx, role));
    fm_map_set(ctx, m, "content", content);
    return m;
}

void llm_append_message(struct fm_ctx *ctx, const char *role, const struct fm_value *content)
{
    fm_ctx_state_append(ctx, "messages", llm_message(ctx, role, content));
}

void llm_append_result(struct fm_ctx *ctx, const char *call_id, const char *name,
                       const struct fm_value *result)
{
    struct fm_value *m = llm_message(ctx, "tool", result);
    fm_map_set(ctx, m, "call_id", fm_string(ctx, call_id));
    fm_map_set(ctx, m, "name", fm_string(ctx, name));
    fm_ctx_state_append(ctx, "messages", m);
}

double llm_counter(struct fm_ctx *ctx, const char *key)
{
    return fm_value_number(fm_ctx_state_get(ctx, key), 0);
}

/* ---- small maps in the state ---- */

void llm_put(struct fm_ctx *ctx, const char *map, const char *key, const struct fm_value *v)
{
    struct fm_value *m = fm_map_copy(ctx, fm_ctx_state_get(ctx, map));
    fm_map_set(ctx, m, key, v);
    fm_ctx_state_set(ctx, map, m);
}

const struct fm_value *llm_take(struct fm_ctx *ctx, const char *map, const char *key)
{
    const struct fm_value *old = fm_ctx_state_get(ctx, map), *v = llm_member(old, key);
    if (v != NULL)
        fm_ctx_state_set(ctx, map, llm_without(ctx, old, key));
    return v;
}

size_t llm_size(struct fm_ctx *ctx, const char *map)
{
    return fm_value_size(fm_ctx_state_get(ctx, map));
}

/* ---- what others see ---- */

void llm_share(struct fm_ctx *ctx, const char *status, const char *key, const char *value)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "task", fm_ctx_state_get(ctx, "task"));
    fm_map_set(ctx, m, "status", fm_string(ctx, status));
    fm_map_set(ctx, m, "calls", fm_number(ctx, llm_counter(ctx, "calls")));
    fm_map_set(ctx, m, key, fm_string(ctx, value));
    fm_ctx_shared_set(ctx, fm_ctx_routine_id(ctx), m);
}

/* ---- input at the wrong moment ---- */

bool llm_is_busy(struct fm_ctx *ctx)
{
    return llm_size(ctx, "waiting") > 0 || llm_size(ctx, "asked") > 0;
}

void llm_hold(struct fm_ctx *ctx, const char *slot, const struct fm_value *content)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "slot", fm_string(ctx, slot));
    fm_map_set(ctx, m, "content", content);
    fm_ctx_state_append(ctx, "held", m);
}

void llm_append_input(struct fm_ctx *ctx, const char *slot, const struct fm_value *content)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    if (strcmp(slot, "trigger") == 0) {
        fm_ctx_state_set(ctx, "task", content);
        if (fm_value_get(config, "limits.max_time_ms") != NULL)
            fm_ctx_state_set(ctx, "started_ms", fm_number(ctx, (double)fm_ctx_now_ms(ctx)));
    }
    llm_append_message(ctx, "user", content);
}

void llm_append_held(struct fm_ctx *ctx)
{
    const struct fm_value *held = fm_ctx_state_get(ctx, "held");
    for (size_t i = 0; i < fm_value_size(held); i++) {
        const struct fm_value *m = fm_value_at(held, i);
        llm_append_input(ctx, fm_value_string(fm_value_get(m, "slot"), ""), fm_value_get(m, "content"));
    }
    if (held != NULL)
        fm_ctx_state_remove(ctx, "held");
}
