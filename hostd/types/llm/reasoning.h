/* What models want back with the next request besides what they said: their thoughts, and signatures of
 * them, which nobody else understands. Chat completions have no common place for them: these are the keys
 * of servers that are known. */
#ifndef FM_LLM_REASONING_H
#define FM_LLM_REASONING_H

#include "provider.h"

struct reasoning {
    struct llm_str content, plain;                 /* "reasoning_content", "reasoning" */
    struct fm_value *details;                      /* "reasoning_details"; NULL: none */
    const struct fm_value *thinking_blocks, *more; /* "thinking_blocks", "extra_content"; NULL: none */
};

/* Takes what a message, or a piece of one, has of these; what it keeps is copied. */
void reasoning_add(struct fm_ctx *ctx, struct reasoning *r, const struct fm_value *message);
/* All of it as a map, for the conversation; NULL: there is none. */
const struct fm_value *reasoning_of(struct fm_ctx *ctx, const struct reasoning *r);
/* Puts it into a message that goes back. Thoughts of turns that have ended (`in_turn` false) are left
 * out: servers refuse, or do not need them. Signatures and details go back for good. */
void reasoning_put(struct fm_ctx *ctx, struct fm_value *message, const struct fm_value *kept, bool in_turn);

/* What a call of a tool has beside id, name and arguments ("extra_content": a signature), copied; NULL:
 * nothing. */
const struct fm_value *reasoning_of_call(struct fm_ctx *ctx, const struct fm_value *call);

#endif
