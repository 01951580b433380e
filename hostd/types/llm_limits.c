/* Limits of an agent and the money that its calls cost. See llm_agent.h.
 *
 * max_turns and max_time_ms end the agent. Before a call that might exceed max_tokens or max_cost a person is
 * asked. A model without a price cannot be held to max_cost: then another limit must bound its calls
 * (max_turns or max_tokens), and the job's log says so once; without one no call is made. */
#include <stdio.h>
#include <string.h>

#include "json_value.h"
#include "llm_agent.h"
#include "log.h"
#include "own_types.h"
#include "prices.h"

#define DEFAULT_MAX_TOKENS 1024

static const char *model_of(const struct llm_request *q)
{
    return fm_value_string(fm_value_get(q->config, "model"), "");
}

double llm_charge(struct fm_ctx *ctx, const struct llm_request *q, const struct llm_reply *r)
{
    bool known;
    double cost = prices_cost(q->provider->name, model_of(q), r->input_tokens, r->output_tokens,
                              r->cached_tokens, &known);
    fm_ctx_usage(ctx, r->input_tokens, r->output_tokens, r->cached_tokens, cost);
    return cost;
}

/* Also of a step that fails: what was used was used. */
void llm_count_usage(struct fm_ctx *ctx, const struct llm_reply *r, double cost)
{
    if (fm_value_get(fm_ctx_config(ctx), "limits") == NULL)
        return;
    double tokens = (double)(r->input_tokens + r->output_tokens);
    fm_ctx_state_keep(ctx, "tokens", fm_number(ctx, llm_counter(ctx, "tokens") + tokens));
    fm_ctx_state_keep(ctx, "cost", fm_number(ctx, llm_counter(ctx, "cost") + cost));
}

/* A limit as it is now: a raised one, or the configured one; negative: none. */
static double limit(struct fm_ctx *ctx, const char *name)
{
    const struct fm_value *raised = llm_find(fm_ctx_state_get(ctx, "limits"), name),
                          *set = llm_find(fm_value_get(fm_ctx_config(ctx), "limits"), name);
    return fm_value_number(raised, fm_value_number(set, -1));
}

void llm_charge_failed(struct fm_ctx *ctx, const struct llm_request *q, const struct llm_reply *r)
{
    if (r->input_tokens + r->output_tokens > 0)
        llm_count_usage(ctx, r, llm_charge(ctx, q, r));
}

/* What the next call may use at most: four bytes of the conversation are about one token. */
static void estimate(const struct turn *t, double *ret_in, double *ret_out)
{
    struct fm_buf b = {0};
    json_value_write(t->request.messages, &b);
    *ret_in = (double)((b.n + 3) / 4);
    *ret_out = fm_value_number(fm_value_get(t->request.config, "max_tokens"), DEFAULT_MAX_TOKENS);
    fm_buf_done(&b);
}

static enum llm_verdict ask_budget(struct fm_ctx *ctx, const char *name, double used, double next,
                                   double most)
{
    char question[400];
    (void)snprintf(
        question, sizeof(question),
        "The agent has used %.6g of %s %.6g, and its next model call may use %.6g. Raise the limit with "
        "{\"%s\": N}, or answer \"stop\".",
        used, name, most, next, name);
    struct fm_value *shown = fm_map(ctx);
    fm_map_set(ctx, shown, "limit", fm_string(ctx, name));
    fm_map_set(ctx, shown, "used", fm_number(ctx, used));
    fm_map_set(ctx, shown, "next_call", fm_number(ctx, next));
    fm_map_set(ctx, shown, "most", fm_number(ctx, most));
    const struct fm_question q = {.question = question, .slot = "user_input", .data = shown, .budget = true};
    llm_remember_question(ctx, fm_ctx_ask(ctx, &q), "budget", fm_string(ctx, name));
    llm_share(ctx, "asked", "question", question);
    return LLM_ASKED;
}

/* max_cost is set, but nobody knows what the call costs. */
static enum llm_verdict without_price(struct fm_ctx *ctx, const struct turn *t)
{
    if (limit(ctx, "max_turns") < 0 && limit(ctx, "max_tokens") < 0) {
        (void)fm_ctx_fail(
            ctx, FM_FAIL_FAILED_PRECONDITION,
            "limits.max_cost is set, but this host has no price for %s/%.128s: give it one (hostd "
            "--prices), or set limits.max_tokens or limits.max_turns, too",
            t->provider->name, model_of(&t->request));
        fm_ctx_fail_permanent(ctx);
        return LLM_FAILED;
    }
    if (fm_ctx_state_get(ctx, "unpriced") != NULL)
        return LLM_WITHIN;
    struct fm_value *m = fm_map(ctx);
    const char *job = fm_ctx_job_id(ctx);
    fm_map_set(ctx, m, "provider", fm_string(ctx, t->provider->name));
    fm_map_set(ctx, m, "model", fm_string(ctx, model_of(&t->request)));
    fm_ctx_log(ctx,
               "limits.max_cost is not checked: this host has no price for the model; the other limits hold",
               m);
    fm_ctx_state_set(ctx, "unpriced", fm_bool(ctx, true));
    FM_LOG(WARN, LLM, "no price for a model that has limits.max_cost, only its other limits hold",
           FM_STR("job", job), FM_STR("provider", t->provider->name), FM_STR("model", model_of(&t->request)));
    return LLM_WITHIN;
}

enum llm_verdict llm_check_limits(struct fm_ctx *ctx, const struct turn *t, const char **ret_limit)
{
    if (fm_value_get(t->request.config, "limits") == NULL)
        return LLM_WITHIN;
    double turns = limit(ctx, "max_turns"), tokens = limit(ctx, "max_tokens"), cost = limit(ctx, "max_cost"),
           time_ms = limit(ctx, "max_time_ms"), in, out;
    bool known;
    *ret_limit = turns >= 0 && llm_counter(ctx, "calls") >= turns ? "max_turns" : "max_time_ms";
    if (turns >= 0 && llm_counter(ctx, "calls") >= turns)
        return LLM_ENDED;
    if (time_ms >= 0 && (double)fm_ctx_now_ms(ctx) - llm_counter(ctx, "started_ms") > time_ms)
        return LLM_ENDED;
    if (tokens < 0 && cost < 0)
        return LLM_WITHIN;
    estimate(t, &in, &out);
    if (tokens >= 0 && llm_counter(ctx, "tokens") + in + out > tokens)
        return ask_budget(ctx, "max_tokens", llm_counter(ctx, "tokens"), in + out, tokens);
    double next =
        prices_cost(t->provider->name, model_of(&t->request), (uint64_t)in, (uint64_t)out, 0, &known);
    if (cost >= 0 && !known)
        return without_price(ctx, t);
    if (cost >= 0 && llm_counter(ctx, "cost") + next > cost)
        return ask_budget(ctx, "max_cost", llm_counter(ctx, "cost"), next, cost);
    return LLM_WITHIN;
}

bool llm_raise_limits(struct fm_ctx *ctx, const char *asked, const struct fm_value *answer)
{
    bool raised = false;
    if (fm_value_kind(answer) == FM_NUMBER && asked[0] != '\0') { /* a number is what was asked for */
        llm_put(ctx, "limits", asked, answer);
        return true;
    }
    if (llm_find(answer, "limits") != NULL) /* as the configuration has them */
        answer = llm_find(answer, "limits");
    static const char *const names[] = {"max_tokens", "max_cost", "max_turns", "max_time_ms"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct fm_value *v = llm_find(answer, names[i]);
        if (fm_value_kind(v) != FM_NUMBER)
            continue;
        llm_put(ctx, "limits", names[i], v);
        raised = true;
    }
    return raised;
}
