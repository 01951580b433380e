/* Limits of an agent and the money that its calls cost. See agent.h.
 *
 * max_turns and max_time_ms end the agent. Where max_turns is not set, a person is asked after USUAL_TURNS
 * calls whether it may go on (the coordinator makes it a pause with reason LIMIT); 0 is no limit. Before a
 * call that might exceed max_tokens or max_cost a person is asked; the pause's answer schema lets only "stop"
 * and a limit that is high enough pass. A model without a price cannot be held to max_cost: then another
 * limit must bound its calls (max_turns or max_tokens), and the job's log says so once; without one no call
 * is made. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "log.h"
#include "mem.h"
#include "own_types.h"
#include "prices.h"
#include "times.h"

#define USUAL_TURNS 50
#define LEAST_CAP 1024      /* tokens that a reply is given at least, where nothing is configured */
#define MAX_NUMBER_BYTES 24 /* of a limit in a text */

static const char *const limit_names[] = {"max_tokens", "max_cost", "max_turns", "max_time_ms"};
#define N_LIMITS (sizeof(limit_names) / sizeof(limit_names[0]))

static const char *model_of(const struct llm_request *q)
{
    return fm_value_string(fm_value_get(q->config, "model"), "");
}

double llm_charge(struct fm_ctx *ctx, const struct llm_request *q, const struct llm_reply *r)
{
    bool known;
    const struct prices_use use = {.input_tokens = r->input_tokens,
                                   .output_tokens = r->output_tokens,
                                   .cached_tokens = r->cached_tokens,
                                   .cache_write_tokens = r->cache_write_tokens};
    double cost = prices_cost(q->provider->name, model_of(q), &use, &known);
    fm_ctx_usage(ctx, r->input_tokens, r->output_tokens, r->cached_tokens, cost);
    return cost;
}

/* Also of a step that fails: what was used was used. */
void llm_count_usage(struct fm_ctx *ctx, const struct llm_reply *r, double cost)
{
    if (fm_value_get(fm_ctx_config(ctx), "limits") == NULL)
        return;
    double tokens = (double)(r->input_tokens + r->output_tokens);
    ctx_keep_state(ctx, "tokens", fm_number(ctx, llm_counter(ctx, "tokens") + tokens));
    cost = round((llm_counter(ctx, "cost") + cost) * 1e9) / 1e9; /* no sum of roundings */
    ctx_keep_state(ctx, "cost", fm_number(ctx, cost));
}

/* A limit as it is now: a raised one, or the configured one; negative: none. */
static double limit(struct fm_ctx *ctx, const char *name)
{
    const struct fm_value *raised = llm_member(fm_ctx_state_get(ctx, "limits"), name),
                          *set = llm_member(fm_value_get(fm_ctx_config(ctx), "limits"), name);
    return fm_value_number(raised, fm_value_number(set, -1));
}

void llm_charge_failed(struct fm_ctx *ctx, const struct llm_request *q, const struct llm_reply *r)
{
    if (r->input_tokens + r->output_tokens > 0)
        llm_count_usage(ctx, r, llm_charge(ctx, q, r));
}

/* How many tokens the configuration lets the reply have; 0: it does not say. Of two numbers, which stored
 * flows may have, the greater one. */
static double configured_cap(const struct turn *t)
{
    static const char *const keys[] = {"max_tokens", "max_completion_tokens"};
    const struct fm_value *from = t->request.body != NULL ? t->request.body : t->request.config;
    double most = 0;
    for (size_t i = 0; i < 2; i++) {
        double n = fm_value_number(llm_member(from, keys[i]), 0);
        most = n > most ? n : most;
    }
    return most;
}

static double cost_of(const struct turn *t, double in, double out, bool *ret_known)
{
    const struct prices_use use = {.input_tokens = fm_count_from(in), .output_tokens = fm_count_from(out)};
    return prices_cost(t->provider->name, model_of(&t->request), &use, ret_known);
}

/* What the next call may use at most: four bytes of the request are about one token. */
static void estimate(const struct turn *t, double *ret_in, double *ret_out)
{
    fm_auto(fm_buf) b = {0};
    double cap = configured_cap(t);
    json_value_write(t->request.body != NULL ? t->request.body : t->request.messages, &b);
    *ret_in = (double)((b.n + 3) / 4);
    *ret_out = cap > 0 ? cap : LEAST_CAP;
}

/* A reply that nothing else bounds gets what the limits leave, so that they hold, but not more than any
 * model can give; `tokens` and `money` are what is left after the request. Negative: there is no such
 * limit. */
static void set_cap(struct turn *t, double tokens, double money)
{
    bool known;
    if (t->request.body == NULL || configured_cap(t) > 0)
        return;
    double cap = (double)t->provider->cap(t->request.config).most, million = cost_of(t, 0, 1000000, &known);
    if (tokens >= 0 && tokens < cap)
        cap = tokens;
    if (money >= 0 && known && money < cap * million / 1e6)
        cap = money * 1e6 / million;
    t->request.cap = cap < LEAST_CAP ? LEAST_CAP : fm_count_from(cap);
}

/* ---- questions ---- */

static struct fm_value *schema_with(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, key, v);
    return m;
}

static struct fm_value *any_of(struct fm_ctx *ctx, const struct fm_value *const *schemas, size_t n)
{
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < n; i++)
        fm_list_add(ctx, list, schemas[i]);
    return schema_with(ctx, "anyOf", list);
}

/* A number within the bound ("minimum" or "exclusiveMinimum"), or any number in a text, whose value
 * no schema can check: one that is too low changes nothing. */
static struct fm_value *amount_schema(struct fm_ctx *ctx, const char *bound, double n)
{
    struct fm_value *number = schema_with(ctx, "type", fm_string(ctx, "number")),
                    *in_text = schema_with(ctx, "type", fm_string(ctx, "string"));
    fm_map_set(ctx, number, bound, fm_number(ctx, n));
    fm_map_set(ctx, in_text, "pattern", fm_string(ctx, "^[0-9]+([.][0-9]+)?$"));
    fm_map_set(ctx, in_text, "maxLength", fm_number(ctx, MAX_NUMBER_BYTES));
    const struct fm_value *const both[] = {number, in_text};
    return any_of(ctx, both, 2);
}

/* Limits by their names: `asked` must be among them, others may be raised beside it. */
static struct fm_value *limits_schema(struct fm_ctx *ctx, const char *asked, const struct fm_value *amount)
{
    struct fm_value *properties = fm_map(ctx), *required = fm_list(ctx),
                    *out = schema_with(ctx, "type", fm_string(ctx, "object"));
    for (size_t i = 0; i < N_LIMITS; i++) {
        double now = limit(ctx, limit_names[i]);
        bool is_asked = strcmp(limit_names[i], asked) == 0;
        fm_map_set(ctx, properties, limit_names[i],
                   is_asked ? amount : amount_schema(ctx, "exclusiveMinimum", now > 0 ? now : 0));
    }
    fm_list_add(ctx, required, fm_string(ctx, asked));
    fm_map_set(ctx, out, "properties", properties);
    fm_map_set(ctx, out, "required", required);
    fm_map_set(ctx, out, "additionalProperties", fm_bool(ctx, false));
    return out;
}

/* What a person may answer when `name` must become `least` for the next call. */
static const struct fm_value *budget_schema(struct fm_ctx *ctx, const char *name, double least)
{
    char allowed[200];
    (void)snprintf(allowed, sizeof(allowed),
                   "\"stop\", or the new limit, at least %.15g: the number, {\"%s\": N}, or "
                   "{\"limits\": {\"%s\": N}}",
                   least, name, name);
    const struct fm_value *amount = amount_schema(ctx, "minimum", least);
    struct fm_value *named = limits_schema(ctx, name, amount),
                    *nested = schema_with(ctx, "type", fm_string(ctx, "object")), *required = fm_list(ctx);
    fm_list_add(ctx, required, fm_string(ctx, "limits"));
    fm_map_set(ctx, nested, "properties", schema_with(ctx, "limits", named));
    fm_map_set(ctx, nested, "required", required);
    fm_map_set(ctx, nested, "additionalProperties", fm_bool(ctx, false));
    const struct fm_value *const all[] = {schema_with(ctx, "const", fm_string(ctx, "stop")), amount, named,
                                          nested};
    struct fm_value *out = any_of(ctx, all, sizeof(all) / sizeof(all[0]));
    fm_map_set(ctx, out, "description", fm_string(ctx, allowed));
    return out;
}

static enum llm_verdict ask_budget(struct fm_ctx *ctx, const char *name, double used, double next,
                                   double most)
{
    char question[400];
    double least = ceil((used + next) * 1e6 - 1e-3) / 1e6; /* as it is shown, and never too low */
    if (least < used + next)
        least = used + next;
    (void)snprintf(
        question, sizeof(question),
        "The agent has used %.6g of %s %.6g, and its next model call may use %.6g. Raise the limit with "
        "{\"%s\": N}, N at least %.15g, or answer \"stop\".",
        used, name, most, next, name, least);
    struct fm_value *shown = fm_map(ctx);
    fm_map_set(ctx, shown, "limit", fm_string(ctx, name));
    fm_map_set(ctx, shown, "used", fm_number(ctx, used));
    fm_map_set(ctx, shown, "next_call", fm_number(ctx, next));
    fm_map_set(ctx, shown, "most", fm_number(ctx, most));
    fm_map_set(ctx, shown, "at_least", fm_number(ctx, least));
    const struct fm_question q = {.question = question,
                                  .slot = "user_input",
                                  .data = shown,
                                  .answer_schema = budget_schema(ctx, name, least),
                                  .budget = true};
    llm_remember_question(ctx, fm_ctx_ask(ctx, &q), "budget", fm_string(ctx, name));
    llm_share(ctx, "asked", "question", question);
    return LLM_ASKED;
}

/* Nobody has said how many calls it may make, and it has made many. */
static enum llm_verdict ask_turns(struct fm_ctx *ctx, double calls)
{
    char question[300];
    (void)snprintf(
        question, sizeof(question),
        "The agent has made %.0f calls of its model, and its flow sets no limits.max_turns. Let it go on "
        "with {\"max_turns\": N}, N at least %.0f, or answer \"stop\".",
        calls, calls + 1);
    struct fm_value *shown = fm_map(ctx);
    fm_map_set(ctx, shown, "limit", fm_string(ctx, "max_turns"));
    fm_map_set(ctx, shown, "used", fm_number(ctx, calls));
    fm_map_set(ctx, shown, "at_least", fm_number(ctx, calls + 1));
    fm_map_set(ctx, shown, "usual_limit", fm_bool(ctx, true));
    const struct fm_question q = {.question = question,
                                  .slot = "user_input",
                                  .data = shown,
                                  .answer_schema = budget_schema(ctx, "max_turns", calls + 1),
                                  .budget = true};
    llm_remember_question(ctx, fm_ctx_ask(ctx, &q), "budget", fm_string(ctx, "max_turns"));
    llm_share(ctx, "asked", "question", question);
    return LLM_ASKED;
}

/* WITHIN, or what follows from the number of calls. */
static enum llm_verdict check_turns(struct fm_ctx *ctx, const struct turn *t)
{
    double set = fm_value_number(llm_member(fm_value_get(t->request.config, "limits"), "max_turns"), -1),
           turns = limit(ctx, "max_turns"), calls = llm_counter(ctx, "calls");
    if (set < 0)
        return calls >= (turns < 0 ? USUAL_TURNS : turns) ? ask_turns(ctx, calls) : LLM_WITHIN;
    return turns > 0 && calls >= turns ? LLM_ENDED : LLM_WITHIN;
}

/* max_cost is set, but nobody knows what the call costs. */
static enum llm_verdict without_price(struct fm_ctx *ctx, const struct turn *t)
{
    if (limit(ctx, "max_turns") <= 0 && limit(ctx, "max_tokens") < 0) {
        (void)fm_ctx_fail(
            ctx, FM_FAIL_FAILED_PRECONDITION,
            "limits.max_cost is set, but this host has no price for %s/%.128s: give it one (hostd "
            "--prices), or also set limits.max_tokens or limits.max_turns",
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
               "limits.max_cost is not checked: this host has no price for the model; the other limits apply",
               m);
    fm_ctx_state_set(ctx, "unpriced", fm_bool(ctx, true));
    FM_LOG(WARN, LLM, "no price for a model whose agent has limits.max_cost; only its other limits apply",
           FM_STR("job", job), FM_STR("provider", t->provider->name), FM_STR("model", model_of(&t->request)));
    return LLM_WITHIN;
}

enum llm_verdict llm_check_limits(struct fm_ctx *ctx, struct turn *t, const char **ret_limit)
{
    enum llm_verdict turns = check_turns(ctx, t);
    *ret_limit = turns == LLM_ENDED ? "max_turns" : "max_time_ms";
    if (turns != LLM_WITHIN || fm_value_get(t->request.config, "limits") == NULL)
        return turns;
    double tokens = limit(ctx, "max_tokens"), cost = limit(ctx, "max_cost"),
           time_ms = limit(ctx, "max_time_ms"), in, out;
    bool known;
    if (time_ms >= 0 && (double)fm_ctx_now_ms(ctx) - llm_counter(ctx, "started_ms") > time_ms)
        return LLM_ENDED;
    if (tokens < 0 && cost < 0)
        return LLM_WITHIN;
    estimate(t, &in, &out);
    double used = llm_counter(ctx, "tokens"), spent = llm_counter(ctx, "cost");
    if (tokens >= 0 && used + in + out > tokens)
        return ask_budget(ctx, "max_tokens", used, in + out, tokens);
    double next = cost_of(t, in, out, &known);
    bool is_cost = cost >= 0 && known;
    if (is_cost && spent + next > cost)
        return ask_budget(ctx, "max_cost", spent, next, cost);
    double sent = cost_of(t, in, 0, &known);
    set_cap(t, tokens >= 0 ? tokens - used - in : -1, is_cost ? cost - spent - sent : -1);
    return cost >= 0 && !known ? without_price(ctx, t) : LLM_WITHIN;
}

/* ---- answers ---- */

/* The number, or the number in the text; NAN: neither. */
static double amount_of(const struct fm_value *v)
{
    const char *in_text = fm_value_string(v, "");
    char *end = NULL;
    double n = fm_value_number(v, NAN);
    if (fm_value_kind(v) == FM_STRING && in_text[0] != '\0') {
        n = strtod(in_text, &end);
        n = *end == '\0' ? n : NAN;
    }
    return isfinite(n) ? n : NAN;
}

static void raise_limit(struct fm_ctx *ctx, const char *name, const struct fm_value *v)
{
    double n = amount_of(v);
    if (n > 0 && n > limit(ctx, name))
        llm_put(ctx, "limits", name, fm_number(ctx, n));
}

bool llm_raise_limits(struct fm_ctx *ctx, const char *asked, const struct fm_value *answer)
{
    if (fm_value_kind(answer) == FM_STRING && strcmp(fm_value_string(answer, ""), "stop") == 0)
        return false;
    if (fm_value_kind(answer) != FM_MAP) { /* a number is what was asked for */
        raise_limit(ctx, asked, answer);
        return true;
    }
    if (llm_member(answer, "limits") != NULL) /* as the configuration has them */
        answer = llm_member(answer, "limits");
    for (size_t i = 0; i < N_LIMITS; i++)
        raise_limit(ctx, limit_names[i], llm_member(answer, limit_names[i]));
    return true;
}
