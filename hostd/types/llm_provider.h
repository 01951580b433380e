/* Where models come from. A provider makes one call and says what came of it. */
#ifndef FM_LLM_PROVIDER_H
#define FM_LLM_PROVIDER_H

#include <fermata/routine.h>

/* A model's reply: exactly one of say, ask and fail. */
struct llm_reply {
    const char *say, *ask, *fail;
    bool goes_on;                   /* after say: the model wants to be called again */
    const struct fm_value *choices; /* with ask; a list, or NULL */
    uint64_t input_tokens, output_tokens;
};

struct llm_provider {
    const char *name;
    /* Makes call number `calls_before` + 1 with the conversation in the routine's state; fills *reply and
     * calls done(ctx, arg), now or later. Returns as a handler does. */
    int (*call)(struct fm_ctx *ctx, uint32_t calls_before, struct llm_reply *reply, fm_callback done,
                void *arg);
};

/* The provider of this name, or NULL. */
const struct llm_provider *llm_provider_find(const char *name);

extern const struct llm_provider llm_mock;

#endif
