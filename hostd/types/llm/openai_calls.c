/* Pieces of calls. See openai_calls.h. */
#include "openai_calls.h"

#include <string.h>

#include "reasoning.h"

struct piece {
    const char *id, *name; /* NULL: none */
    double index;          /* negative: none */
    const char *arguments;
};

/* ---- arguments ---- */

/* Follows the arguments, so that it is known when they are complete. */
static void follow(struct openai_call *c, const char *text)
{
    for (; *text != '\0'; text++) {
        if (c->in_string) {
            bool ends = *text == '"' && !c->escaped;
            c->escaped = *text == '\\' && !c->escaped;
            c->in_string = !ends;
        } else if (*text == '"') {
            c->in_string = true;
        } else if (*text == '{' || *text == '[') {
            c->began = true;
            c->depth++;
        } else if ((*text == '}' || *text == ']') && c->depth > 0) {
            c->depth--;
        }
    }
}

static bool are_complete(const struct openai_call *c)
{
    return c->began && c->depth == 0 && !c->in_string;
}

/* A piece of arguments; some servers send all of them at once, as an object. */
static const char *arguments_of(struct fm_ctx *ctx, const struct fm_value *v)
{
    if (v == NULL || fm_value_kind(v) == FM_NULL)
        return "";
    return fm_value_string(v, fm_value_string(llm_json_text(ctx, v), ""));
}

/* ---- whose a piece is ---- */

static bool same_id(const struct openai_call *c, const struct piece *p)
{
    return p->id != NULL && c->id != NULL && strcmp(c->id, p->id) == 0;
}

/* The last call that the piece, which has a name, goes on with; NULL: it begins one. */
static struct openai_call *named(struct openai_calls *calls, const struct piece *p)
{
    for (size_t i = calls->n; i > 0; i--) {
        struct openai_call *c = &calls->list[i - 1];
        bool index = p->index >= 0 && c->index >= 0, same_index = index && c->index == p->index;
        if (same_id(c, p) && (same_index || !index))
            return are_complete(c) && p->arguments[0] != '\0' && !same_index ? NULL : c;
        if (same_index && (p->id == NULL || c->id == NULL))
            return are_complete(c) && p->arguments[0] != '\0' ? NULL : c;
    }
    return NULL;
}

static struct openai_call *unnamed(struct openai_calls *calls, const struct piece *p)
{
    for (size_t i = calls->n; i > 0; i--)
        if (same_id(&calls->list[i - 1], p))
            return &calls->list[i - 1];
    for (size_t i = calls->n; i > 0 && p->index >= 0; i--)
        if (calls->list[i - 1].index == p->index)
            return &calls->list[i - 1];
    return p->index < 0 && p->id == NULL && calls->n > 0 ? &calls->list[calls->n - 1] : NULL;
}

int openai_calls_add(struct fm_ctx *ctx, struct openai_calls *calls, const struct fm_value *piece)
{
    const char *id = fm_value_string(fm_value_get(piece, "id"), ""),
               *name = fm_value_string(fm_value_get(piece, "function.name"), "");
    const struct piece p = {.id = id[0] != '\0' ? id : NULL,
                            .name = name[0] != '\0' ? name : NULL,
                            .index = fm_value_number(fm_value_get(piece, "index"), -1),
                            .arguments = arguments_of(ctx, fm_value_get(piece, "function.arguments"))};
    struct openai_call *c = p.name != NULL ? named(calls, &p) : unnamed(calls, &p);
    if (c == NULL && p.name == NULL && p.id == NULL && p.arguments[0] == '\0')
        return 0; /* it says nothing */
    if (c == NULL && calls->n == LLM_MAX_STREAMED_CALLS) {
        (void)fm_ctx_fail(ctx, FM_FAIL_RESOURCE_EXHAUSTED,
                          "the model called more than %d tools in one streamed reply",
                          LLM_MAX_STREAMED_CALLS);
        fm_ctx_fail_permanent(ctx);
        return -1;
    }
    if (c == NULL) {
        c = &calls->list[calls->n++];
        c->index = p.index;
    }
    if (p.id != NULL && c->id == NULL)
        c->id = llm_keep(ctx, p.id, strlen(p.id));
    if (p.name != NULL && c->name == NULL)
        c->name = llm_keep(ctx, p.name, strlen(p.name));
    const struct fm_value *thoughts = reasoning_of_call(ctx, piece);
    c->thoughts = thoughts != NULL ? thoughts : c->thoughts;
    follow(c, p.arguments);
    llm_add(ctx, &c->arguments, p.arguments, strlen(p.arguments));
    return 0;
}
