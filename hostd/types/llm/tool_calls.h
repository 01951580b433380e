/* Calls of tools in a model's reply: {"id", "name", "arguments"}, and of one that must not be run
 * "not_run", which says why: the model is told. */
#ifndef FM_LLM_TOOL_CALLS_H
#define FM_LLM_TOOL_CALLS_H

#include "provider.h"

/* A call; id and name may be NULL. Its arguments as the provider gives them: an object, or a text
 * that describes one; nothing is an empty object. A text that describes nothing makes a call that is
 * not run. */
const struct fm_value *llm_call_of(struct fm_ctx *ctx, const char *id, const char *name,
                                   const struct fm_value *arguments);
/* The call with what goes back with it (reasoning.h), as "thoughts"; NULL: nothing. */
const struct fm_value *llm_with_thoughts(struct fm_ctx *ctx, const struct fm_value *call,
                                         const struct fm_value *thoughts);
/* The call, which must not be run, because of `why` (printf). */
const struct fm_value *llm_not_run(struct fm_ctx *ctx, const struct fm_value *call, const char *why, ...)
    __attribute__((format(printf, 3, 4)));
/* The calls of a reply without secrets; those that had one in their arguments are not run. `redacted`: some
 * may have been blanked out already. NULL after fm_ctx_fail. */
const struct fm_value *llm_hidden_calls(struct fm_ctx *ctx, const struct fm_value *calls, bool redacted);
/* The calls of a reply that was cut off, where its last call was the last that came: it is not run. */
const struct fm_value *llm_cut_off(struct fm_ctx *ctx, const struct fm_value *calls, const char *stop);

#endif
