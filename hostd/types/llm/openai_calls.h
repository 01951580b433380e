/* Tool calls of a streamed chat completion, put together from their pieces. */
#ifndef FM_LLM_OPENAI_CALLS_H
#define FM_LLM_OPENAI_CALLS_H

#include "provider.h"

struct openai_call {
    const char *id, *name;           /* NULL: none has come */
    double index;                    /* negative: none was given */
    const struct fm_value *thoughts; /* NULL: none */
    struct llm_str arguments;
    unsigned depth; /* of the arguments so far: braces and brackets that are open */
    bool began, in_string, escaped;
};

struct openai_calls {
    struct openai_call list[LLM_MAX_STREAMED_CALLS];
    size_t n;
};

/* Takes a piece. Whose it is: pieces with a name belong to the call of the same id and index, those
 * without to that of the id, or else of the index, or else to the last one. What fits none begins a call,
 * and so does a second name after complete arguments. -1 after fm_ctx_fail: there are too many. */
int openai_calls_add(struct fm_ctx *ctx, struct openai_calls *calls, const struct fm_value *piece);

#endif
