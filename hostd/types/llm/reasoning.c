/* Thoughts that go back. See reasoning.h. */
#include "reasoning.h"

#include <string.h>

#include "mem.h"
#include "own_types.h"

static const struct fm_value *copy(struct fm_ctx *ctx, const struct fm_value *v)
{
    fm_auto(fm_err) err = {0};
    const char *text = fm_value_string(llm_json_text(ctx, v), "");
    const struct fm_value *out = ctx_json(ctx, text, strlen(text), &err);
    return out;
}

static void add_text(struct fm_ctx *ctx, struct llm_str *s, const struct fm_value *v)
{
    const char *text = fm_value_string(v, "");
    if (text[0] != '\0')
        llm_add(ctx, s, text, strlen(text));
}

void reasoning_add(struct fm_ctx *ctx, struct reasoning *r, const struct fm_value *message)
{
    const struct fm_value *details = fm_value_get(message, "reasoning_details"),
                          *blocks = fm_value_get(message, "thinking_blocks"),
                          *more = fm_value_get(message, "extra_content");
    add_text(ctx, &r->content, fm_value_get(message, "reasoning_content"));
    add_text(ctx, &r->plain, fm_value_get(message, "reasoning"));
    for (size_t i = 0; fm_value_kind(details) == FM_LIST && i < fm_value_size(details); i++) {
        const struct fm_value *d = copy(ctx, fm_value_at(details, i));
        r->details = r->details != NULL ? r->details : fm_list(ctx);
        if (d != NULL)
            fm_list_add(ctx, r->details, d);
    }
    if (fm_value_kind(blocks) == FM_LIST && fm_value_size(blocks) > 0)
        r->thinking_blocks = copy(ctx, blocks);
    if (fm_value_kind(more) == FM_MAP && fm_value_size(more) > 0)
        r->more = copy(ctx, more);
}

static void set(struct fm_ctx *ctx, struct fm_value *m, const char *key, const struct fm_value *v)
{
    if (v != NULL)
        fm_map_set(ctx, m, key, v);
}

const struct fm_value *reasoning_of(struct fm_ctx *ctx, const struct reasoning *r)
{
    struct fm_value *m = fm_map(ctx);
    if (r->content.n > 0)
        fm_map_set(ctx, m, "reasoning_content", fm_string(ctx, r->content.p));
    if (r->plain.n > 0 && r->details == NULL) /* the details say the same */
        fm_map_set(ctx, m, "reasoning", fm_string(ctx, r->plain.p));
    set(ctx, m, "reasoning_details", r->details);
    set(ctx, m, "thinking_blocks", r->thinking_blocks);
    set(ctx, m, "extra_content", r->more);
    return fm_value_size(m) > 0 ? m : NULL;
}

void reasoning_put(struct fm_ctx *ctx, struct fm_value *message, const struct fm_value *kept, bool in_turn)
{
    for (size_t i = 0; fm_value_kind(kept) == FM_MAP && i < fm_value_size(kept); i++) {
        const char *key = fm_value_key(kept, i);
        bool is_thought = strcmp(key, "reasoning_content") == 0 || strcmp(key, "reasoning") == 0;
        if (in_turn || !is_thought)
            fm_map_set(ctx, message, key, fm_value_at(kept, i));
    }
}

const struct fm_value *reasoning_of_call(struct fm_ctx *ctx, const struct fm_value *call)
{
    static const char *const keys[] = {"extra_content", "provider_specific_fields"};
    struct fm_value *m = fm_map(ctx);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const struct fm_value *v = fm_value_get(call, keys[i]);
        if (fm_value_kind(v) == FM_MAP && fm_value_size(v) > 0)
            set(ctx, m, keys[i], copy(ctx, v));
    }
    return fm_value_size(m) > 0 ? m : NULL;
}
