/* What the parts of the routine type "llm_agent" share: the slots and the loop (agent.c), its
 * state (state.c), tools and questions (tools.c), limits and money (limits.c). */
#ifndef FM_LLM_AGENT_H
#define FM_LLM_AGENT_H

#include "provider.h"

extern const struct fm_routine_type llm_agent_type;

/* What waits for the model's reply. */
struct turn {
    const struct llm_provider *provider;
    struct llm_request request;
    struct llm_reply reply;
};

/* ---- state.c ---- */

struct fm_value *llm_message(struct fm_ctx *ctx, const char *role, const struct fm_value *content);
void llm_append_message(struct fm_ctx *ctx, const char *role, const struct fm_value *content);
/* The result of a tool call; {"error": text} is an error. */
void llm_append_result(struct fm_ctx *ctx, const char *call_id, const char *name,
                       const struct fm_value *result);
/* A history from outside in the agent's own form (provider.h), which is also read as chat completions write
 * it; NULL after fm_ctx_fail: it is none, or cannot go on. */
const struct fm_value *llm_read_history(struct fm_ctx *ctx, const struct fm_value *messages);
/* A number of the state; 0 when it is not there. */
double llm_counter(struct fm_ctx *ctx, const char *key);
/* Small maps in the state: sets a key; takes one out (NULL when it is not there); counts. */
void llm_put(struct fm_ctx *ctx, const char *map, const char *key, const struct fm_value *v);
const struct fm_value *llm_take(struct fm_ctx *ctx, const char *map, const char *key);
size_t llm_size(struct fm_ctx *ctx, const char *map);
/* The state of the agent as the rest of the job sees it. */
void llm_share(struct fm_ctx *ctx, const char *status, const char *key, const char *value);
/* True while a tool is at work or a question is open: the conversation must go on with their
 * results. */
bool llm_is_busy(struct fm_ctx *ctx);
/* What has come to `slot`: a history (may be NULL), and after it a task, or what a person says (NULL: nothing
 * after the history). */
struct llm_input {
    const char *slot;
    const struct fm_value *content, *messages;
};
/* Keeps it until the agent is not busy any more. */
void llm_hold(struct fm_ctx *ctx, const struct llm_input *in);
/* Puts it into the conversation. */
void llm_append_input(struct fm_ctx *ctx, const struct llm_input *in);
/* Puts what was kept into the conversation, in the order in which it came. */
void llm_append_held(struct fm_ctx *ctx);

/* ---- tools.c ---- */

/* The tools as the provider gets them. */
const struct fm_value *llm_offered_tools(struct fm_ctx *ctx);
/* The calls of a reply with ids that no other call of the conversation has. */
const struct fm_value *llm_distinct_ids(struct fm_ctx *ctx, const struct fm_value *calls);
/* Starts one call of the model: an event, a question, or at once a result that says what is wrong
 * with it. */
void llm_start_call(struct fm_ctx *ctx, const struct fm_value *call);
/* Remembers what the answer to a pause is for; `call` may be NULL. */
void llm_remember_question(struct fm_ctx *ctx, const char *pause_id, const char *kind,
                           const struct fm_value *call);
/* Whether the call waits for a person: for an approval, or for the answer to ask_user. */
bool llm_is_asked(struct fm_ctx *ctx, const char *call_id);
/* Answers to ask_user and to a call that needs approval. */
void llm_take_answer(struct fm_ctx *ctx, const struct fm_value *call, const struct fm_value *answer);
void llm_take_approval(struct fm_ctx *ctx, const struct fm_value *call, const struct fm_value *answer);

/* ---- structured.c ---- */

enum llm_fit {
    LLM_FIT,        /* it has the form that is wanted, or none is; *ret_value: what it says, if one is */
    LLM_FIT_REPAIR, /* it has not, and the model is told: it is to be called again */
    LLM_FIT_FAILED  /* it has not, a second time; after fm_ctx_fail */
};
/* Looks at a reply that ends a turn. It is already part of the conversation. */
enum llm_fit llm_check_output(struct fm_ctx *ctx, const char *said, const struct fm_value **ret_value);

/* ---- external.c ---- */

/* The call waits until its result comes from outside. `tool` may be NULL. */
void llm_wait_outside(struct fm_ctx *ctx, const struct fm_value *call, const struct fm_value *tool);
/* With config.keep_open, waits for what is said next, unless it does so already. */
void llm_stay_open(struct fm_ctx *ctx);
/* Whether the task has ended such a wait. */
bool llm_was_open(struct fm_ctx *ctx);

/* ---- limits.c ---- */

enum llm_verdict {
    LLM_WITHIN, /* the next call may be made */
    LLM_ASKED,  /* it might exceed a limit: a person is asked */
    LLM_ENDED,  /* the agent ends; *ret_limit says by which limit */
    LLM_FAILED  /* after fm_ctx_fail */
};
/* Also sets the request's cap, where a limit needs one. */
enum llm_verdict llm_check_limits(struct fm_ctx *ctx, struct turn *t, const char **ret_limit);
/* Counts what a call has used, whether its reply was of use or not; returns what it costs. */
double llm_charge(struct fm_ctx *ctx, const struct llm_request *q, const struct llm_reply *reply);
/* The same of an attempt that has failed, after fm_ctx_fail; what it has used counts for the
 * limits, which are looked at before the next one. */
void llm_charge_failed(struct fm_ctx *ctx, const struct llm_request *q, const struct llm_reply *reply);
/* Adds what a call has used to what the limits are compared with. */
void llm_count_usage(struct fm_ctx *ctx, const struct llm_reply *r, double cost);
/* Raises limits as an answer to the question about the limit `asked` says; never lowers one: then
 * the question comes again before the next call. False: the answer is "stop". */
bool llm_raise_limits(struct fm_ctx *ctx, const char *asked, const struct fm_value *answer);

#endif
