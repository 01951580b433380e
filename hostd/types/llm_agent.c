/* Routine type "llm_agent": a conversation with a model that uses tools and may ask a person.
 *
 * trigger {"task"} → model call. What the model says goes out at event "output". When it calls tools, each
 * call goes out at event "tool_call" {"call_id", "name", "arguments"}, and whoever is connected answers at
 * slot "tool_result"
 * {"call_id", "result"}; when all calls of one reply are answered, the model is called again. The tool
 * ask_user is built in: the job pauses with its question, and the answer comes to "user_input". A tool with
 * "approval": "required" pauses first and shows what will be done. When the model has nothing more to do:
 * event "completed" {"text", "calls"}. Each model call is one step; between two calls of one turn the agent
 * goes on by a task at its own slot "continue".
 *
 * State: messages (append-only list, see llm_provider.h), calls, tokens, cost, task, waiting ({call id:
 * what}: tool calls without a result), asked ({pause id: what the answer is for}), limits (raised ones),
 * started_ms. Shared data under the routine's id: {task, status, calls, text or question}. */
#include <stdio.h>
#include <string.h>

#include "json_schema.h"
#include "json_value.h"
#include "llm_provider.h"
#include "log.h"
#include "prices.h"
#include "registry.h"

#define ATTEMPTS 5 /* at a model call, where the flow's policies say nothing */
#define DEFAULT_MAX_TOKENS 1024
#define MAX_TOOL_CALLS 128

/* What waits for the model's reply. */
struct turn {
    const struct llm_provider *provider;
    struct llm_request request;
    struct llm_reply reply;
};

static int call_model(struct fm_ctx *ctx);

static const struct fm_value *text(struct fm_ctx *ctx, const char *s)
{
    return fm_string(ctx, s);
}

static struct fm_value *message(struct fm_ctx *ctx, const char *role, const struct fm_value *content)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "role", text(ctx, role));
    fm_map_set(ctx, m, "content", content);
    return m;
}

static void append_message(struct fm_ctx *ctx, const char *role, const struct fm_value *content)
{
    fm_ctx_state_append(ctx, "messages", message(ctx, role, content));
}

static void append_result(struct fm_ctx *ctx, const char *call_id, const char *name,
                          const struct fm_value *result)
{
    struct fm_value *m = message(ctx, "tool", result);
    fm_map_set(ctx, m, "call_id", text(ctx, call_id));
    fm_map_set(ctx, m, "name", text(ctx, name));
    fm_ctx_state_append(ctx, "messages", m);
}

static double counter(struct fm_ctx *ctx, const char *key)
{
    return fm_value_number(fm_ctx_state_get(ctx, key), 0);
}

/* ---- small maps in the state ---- */

static void put(struct fm_ctx *ctx, const char *map, const char *key, const struct fm_value *v)
{
    struct fm_value *m = fm_map_copy(ctx, fm_ctx_state_get(ctx, map));
    fm_map_set(ctx, m, key, v);
    fm_ctx_state_set(ctx, map, m);
}

static const struct fm_value *find(const struct fm_value *map, const char *key)
{
    for (size_t i = 0; fm_value_kind(map) == FM_MAP && i < fm_value_size(map); i++)
        if (strcmp(fm_value_key(map, i), key) == 0)
            return fm_value_at(map, i);
    return NULL;
}

/* Takes an entry out; NULL when it is not there. */
static const struct fm_value *take(struct fm_ctx *ctx, const char *map, const char *key)
{
    const struct fm_value *old = fm_ctx_state_get(ctx, map), *v = find(old, key);
    if (v == NULL)
        return NULL;
    struct fm_value *m = fm_map(ctx);
    for (size_t i = 0; i < fm_value_size(old); i++)
        if (strcmp(fm_value_key(old, i), key) != 0)
            fm_map_set(ctx, m, fm_value_key(old, i), fm_value_at(old, i));
    fm_ctx_state_set(ctx, map, m);
    return v;
}

static size_t count(struct fm_ctx *ctx, const char *map)
{
    return fm_value_size(fm_ctx_state_get(ctx, map));
}

/* ---- what others see ---- */

/* The state of the agent as the rest of the job sees it. */
static void share(struct fm_ctx *ctx, const char *status, const char *key, const char *value)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "task", fm_ctx_state_get(ctx, "task"));
    fm_map_set(ctx, m, "status", text(ctx, status));
    fm_map_set(ctx, m, "calls", fm_number(ctx, counter(ctx, "calls")));
    fm_map_set(ctx, m, key, text(ctx, value));
    fm_ctx_shared_set(ctx, fm_ctx_routine_id(ctx), m);
}

static const char *model_of(const struct turn *t)
{
    return fm_value_string(fm_value_get(t->request.config, "model"), "");
}

/* What the configuration says of how the model is to answer. */
static struct fm_value *parameters_of(struct fm_ctx *ctx, const struct turn *t)
{
    static const char *const names[] = {"temperature", "top_p",           "seed",  "max_tokens",
                                        "stop",        "response_format", "params"};
    struct fm_value *m = fm_map(ctx);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct fm_value *v = fm_value_get(t->request.config, names[i]);
        if (v != NULL)
            fm_map_set(ctx, m, names[i], v);
    }
    return m;
}

/* One entry of the shared log for each call: what must be known of it later. Attempt, host and time are the
 * step's. */
static void log_call(struct fm_ctx *ctx, const struct turn *t, const char *result, double cost)
{
    const struct llm_reply *r = &t->reply;
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "call", fm_number(ctx, counter(ctx, "calls")));
    fm_map_set(ctx, m, "provider", text(ctx, t->provider->name));
    fm_map_set(ctx, m, "result", text(ctx, result));
    if (r->digest[0] != '\0') {
        fm_map_set(ctx, m, "model", text(ctx, model_of(t)));
        fm_map_set(ctx, m, "parameters", parameters_of(ctx, t));
        fm_map_set(ctx, m, "request_sha256", text(ctx, r->digest));
        fm_map_set(ctx, m, "request_id", text(ctx, r->request_id != NULL ? r->request_id : ""));
        fm_map_set(ctx, m, "latency_ms", fm_number(ctx, (double)r->latency_ms));
        fm_map_set(ctx, m, "stop", text(ctx, r->stop != NULL ? r->stop : ""));
    }
    fm_map_set(ctx, m, "input_tokens", fm_number(ctx, (double)r->input_tokens));
    fm_map_set(ctx, m, "output_tokens", fm_number(ctx, (double)r->output_tokens));
    if (r->cached_tokens > 0)
        fm_map_set(ctx, m, "cached_tokens", fm_number(ctx, (double)r->cached_tokens));
    if (cost > 0)
        fm_map_set(ctx, m, "cost", fm_number(ctx, cost));
    fm_ctx_log(ctx, "model call", m);
    const char *job = fm_ctx_job_id(ctx), *routine = fm_ctx_routine_id(ctx);
    FM_LOG(DEBUG, LLM, "model call", FM_STR("job", job), FM_STR("routine", routine),
           FM_STR("provider", t->provider->name), FM_STR("result", result), FM_U64("ms", r->latency_ms));
}

static int complete(struct fm_ctx *ctx, const char *said, const char *stopped)
{
    struct fm_value *end = fm_map(ctx);
    share(ctx, "completed", "text", said);
    fm_map_set(ctx, end, "text", text(ctx, said));
    fm_map_set(ctx, end, "calls", fm_number(ctx, counter(ctx, "calls")));
    if (stopped[0] != '\0')
        fm_map_set(ctx, end, "stopped", text(ctx, stopped));
    fm_ctx_emit(ctx, "completed", end);
    return 0;
}

/* ---- tools ---- */

static const struct fm_value *tool_of(struct fm_ctx *ctx, const char *name)
{
    const struct fm_value *tools = fm_value_get(fm_ctx_config(ctx), "tools");
    for (size_t i = 0; i < fm_value_size(tools); i++)
        if (strcmp(fm_value_string(fm_value_get(fm_value_at(tools, i), "name"), ""), name) == 0)
            return fm_value_at(tools, i);
    return NULL;
}

static struct fm_value *schema(struct fm_ctx *ctx, const char *type, const char *description)
{
    struct fm_value *s = fm_map(ctx);
    fm_map_set(ctx, s, "type", text(ctx, type));
    if (description != NULL)
        fm_map_set(ctx, s, "description", text(ctx, description));
    return s;
}

static const struct fm_value *ask_user_tool(struct fm_ctx *ctx)
{
    struct fm_value *tool = fm_map(ctx), *parameters = schema(ctx, "object", NULL), *properties = fm_map(ctx),
                    *required = fm_list(ctx),
                    *choices = schema(ctx, "array", "answers to choose from, if there are such");
    fm_map_set(ctx, choices, "items", schema(ctx, "string", NULL));
    fm_map_set(ctx, properties, "question", schema(ctx, "string", "what the person is asked"));
    fm_map_set(ctx, properties, "choices", choices);
    fm_map_set(ctx, properties, "answer_schema",
               schema(ctx, "object", "a JSON Schema that the answer must meet"));
    fm_list_add(ctx, required, text(ctx, "question"));
    fm_map_set(ctx, parameters, "properties", properties);
    fm_map_set(ctx, parameters, "required", required);
    fm_map_set(ctx, tool, "name", text(ctx, "ask_user"));
    fm_map_set(ctx, tool, "description",
               text(ctx, "Asks the person for whom you work, and returns the answer."));
    fm_map_set(ctx, tool, "parameters", parameters);
    return tool;
}

/* The tools as the provider gets them. */
static const struct fm_value *offered_tools(struct fm_ctx *ctx)
{
    const struct fm_value *tools = fm_value_get(fm_ctx_config(ctx), "tools");
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < fm_value_size(tools); i++) {
        const struct fm_value *t = fm_value_at(tools, i), *parameters = fm_value_get(t, "parameters");
        struct fm_value *tool = fm_map(ctx);
        fm_map_set(ctx, tool, "name", fm_value_get(t, "name"));
        fm_map_set(ctx, tool, "description", text(ctx, fm_value_string(fm_value_get(t, "description"), "")));
        fm_map_set(ctx, tool, "parameters", parameters != NULL ? parameters : schema(ctx, "object", NULL));
        fm_list_add(ctx, list, tool);
    }
    if (fm_value_bool(fm_value_get(fm_ctx_config(ctx), "ask"), true) && tool_of(ctx, "ask_user") == NULL)
        fm_list_add(ctx, list, ask_user_tool(ctx));
    return list;
}

static void emit_call(struct fm_ctx *ctx, const char *id, const char *name, const struct fm_value *arguments)
{
    struct fm_value *data = fm_map(ctx);
    fm_map_set(ctx, data, "call_id", text(ctx, id));
    fm_map_set(ctx, data, "name", text(ctx, name));
    fm_map_set(ctx, data, "arguments", arguments);
    fm_ctx_emit(ctx, "tool_call", data);
}

/* Remembers what the answer to a pause is for. */
static void remember_question(struct fm_ctx *ctx, const char *pause_id, const char *kind,
                              const struct fm_value *call)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "for", text(ctx, kind));
    if (call != NULL)
        fm_map_set(ctx, m, "call", call);
    put(ctx, "asked", pause_id, m);
}

/* Models write schemas that say more than can be checked; then any answer is accepted. */
static bool is_schema(const struct fm_value *v)
{
    struct fm_err err = {0};
    bool ok = fm_value_kind(v) == FM_MAP && json_schema_check(v, NULL, NULL, NULL, &err) >= 0;
    fm_err_done(&err);
    return ok;
}

static void ask_user(struct fm_ctx *ctx, const struct fm_value *call)
{
    const struct fm_value *arguments = fm_value_get(call, "arguments");
    struct fm_value *shown = fm_map(ctx), *deferred = fm_map(ctx);
    const char *question =
        fm_value_string(fm_value_get(arguments, "question"), "The agent asks, but does not say what.");
    const struct fm_value *choices = fm_value_get(arguments, "choices"),
                          *wanted = fm_value_get(arguments, "answer_schema");
    fm_map_set(ctx, shown, "task", fm_ctx_state_get(ctx, "task"));
    fm_map_set(ctx, shown, "call_id", fm_value_get(call, "id"));
    const struct fm_question q = {.question = question,
                                  .slot = "user_input",
                                  .data = shown,
                                  .choices = fm_value_size(choices) > 0 ? choices : NULL,
                                  .answer_schema = is_schema(wanted) ? wanted : NULL};
    fm_map_set(ctx, deferred, "question", text(ctx, question));
    fm_ctx_defer(ctx, "question", deferred);
    remember_question(ctx, fm_ctx_ask(ctx, &q), "ask_user", call);
    share(ctx, "asked", "question", question);
}

static void ask_approval(struct fm_ctx *ctx, const struct fm_value *call)
{
    const char *name = fm_value_string(fm_value_get(call, "name"), "");
    char question[300];
    (void)snprintf(question, sizeof(question), "May the agent call the tool %.128s with these arguments?",
                   name);
    struct fm_value *shown = fm_map(ctx), *choices = fm_list(ctx);
    fm_map_set(ctx, shown, "tool", text(ctx, name));
    fm_map_set(ctx, shown, "arguments", fm_value_get(call, "arguments"));
    fm_map_set(ctx, shown, "call_id", fm_value_get(call, "id"));
    fm_list_add(ctx, choices, text(ctx, "approve"));
    fm_list_add(ctx, choices, text(ctx, "deny"));
    const struct fm_question q = {
        .question = question, .slot = "user_input", .data = shown, .choices = choices};
    remember_question(ctx, fm_ctx_ask(ctx, &q), "approval", call);
    share(ctx, "asked", "question", question);
}

/* Starts one call of the model. A tool that the flow does not have is answered at once. */
static void start_call(struct fm_ctx *ctx, const struct fm_value *call)
{
    const char *id = fm_value_string(fm_value_get(call, "id"), ""),
               *name = fm_value_string(fm_value_get(call, "name"), "");
    const struct fm_value *tool = tool_of(ctx, name);
    if (tool == NULL && strcmp(name, "ask_user") != 0) {
        char why[200];
        (void)snprintf(why, sizeof(why), "error: there is no tool %.128s", name);
        append_result(ctx, id, name, text(ctx, why));
        return;
    }
    put(ctx, "waiting", id, text(ctx, name));
    if (tool == NULL)
        ask_user(ctx, call);
    else if (strcmp(fm_value_string(fm_value_get(tool, "approval"), ""), "required") == 0)
        ask_approval(ctx, call);
    else
        emit_call(ctx, id, name, fm_value_get(call, "arguments"));
}

/* ---- the model's reply ---- */

static int take_calls(struct fm_ctx *ctx, const struct turn *t)
{
    const struct fm_value *calls = t->reply.tool_calls;
    size_t n = fm_value_size(calls);
    if (n > MAX_TOOL_CALLS)
        return fm_ctx_fail(ctx, FM_FAIL_RESOURCE_EXHAUSTED,
                           "the model calls %zu tools at once; the limit is %d", n, MAX_TOOL_CALLS);
    struct fm_value *m = message(ctx, "assistant", text(ctx, t->reply.text != NULL ? t->reply.text : ""));
    fm_map_set(ctx, m, "tool_calls", calls);
    fm_ctx_state_append(ctx, "messages", m);
    share(ctx, "working", "text", t->reply.text != NULL ? t->reply.text : "");
    for (size_t i = 0; i < n; i++)
        start_call(ctx, fm_value_at(calls, i));
    if (count(ctx, "waiting") == 0)
        fm_ctx_enqueue(ctx, "continue", NULL);
    return 0;
}

/* The mock's question. */
static int ask_plainly(struct fm_ctx *ctx, const struct turn *t)
{
    const struct fm_value *question = text(ctx, t->reply.ask);
    struct fm_value *data = fm_map(ctx), *shown = fm_map(ctx);
    append_message(ctx, "assistant", question);
    share(ctx, "asked", "question", t->reply.ask);
    fm_map_set(ctx, data, "question", question);
    fm_ctx_defer(ctx, "question", data);
    fm_map_set(ctx, shown, "task", fm_ctx_state_get(ctx, "task"));
    fm_map_set(ctx, shown, "call", fm_number(ctx, counter(ctx, "calls")));
    (void)fm_ctx_pause(ctx, t->reply.ask, "user_input", shown, t->reply.choices);
    return 0;
}

static void emit_text(struct fm_ctx *ctx, const char *said)
{
    struct fm_value *data = fm_map(ctx);
    fm_map_set(ctx, data, "text", text(ctx, said));
    fm_ctx_emit(ctx, "output", data);
}

static int take_text(struct fm_ctx *ctx, const struct turn *t)
{
    const char *said = t->reply.text != NULL ? t->reply.text : "";
    append_message(ctx, "assistant", text(ctx, said));
    emit_text(ctx, said);
    if (!t->reply.goes_on)
        return complete(ctx, said, "");
    share(ctx, "working", "text", said);
    fm_ctx_enqueue(ctx, "continue", NULL);
    return 0;
}

static int on_reply(struct fm_ctx *ctx, void *arg)
{
    struct turn *t = arg;
    const struct llm_reply *r = &t->reply;
    bool known, calls = fm_value_size(r->tool_calls) > 0;
    double cost = prices_cost(t->provider->name, model_of(t), r->input_tokens, r->output_tokens,
                              r->cached_tokens, &known);
    fm_ctx_state_set(ctx, "calls", fm_number(ctx, counter(ctx, "calls") + 1));
    fm_ctx_usage(ctx, r->input_tokens, r->output_tokens, r->cached_tokens, cost);
    if (fm_value_get(fm_ctx_config(ctx), "limits") != NULL) {
        double tokens = (double)(r->input_tokens + r->output_tokens);
        fm_ctx_state_set(ctx, "tokens", fm_number(ctx, counter(ctx, "tokens") + tokens));
        fm_ctx_state_set(ctx, "cost", fm_number(ctx, counter(ctx, "cost") + cost));
    }
    log_call(ctx, t, calls ? "tool_calls" : r->ask != NULL ? "ask" : "say", cost);
    if (calls) {
        if (r->text != NULL && r->text[0] != '\0')
            emit_text(ctx, r->text);
        return take_calls(ctx, t);
    }
    return r->ask != NULL ? ask_plainly(ctx, t) : take_text(ctx, t);
}

/* ---- limits ---- */

/* A limit as it is now: a raised one, or the configured one; negative: none. */
static double limit(struct fm_ctx *ctx, const char *name)
{
    const struct fm_value *raised = find(fm_ctx_state_get(ctx, "limits"), name),
                          *set = find(fm_value_get(fm_ctx_config(ctx), "limits"), name);
    return fm_value_number(raised, fm_value_number(set, -1));
}

/* What the next call may use at most: four bytes of the conversation are about one token. */
static void estimate(const struct turn *t, double *ret_in, double *ret_out)
{
    struct fm_buf b = {0};
    json_value_write(t->request.messages, &b);
    *ret_in = (double)b.n / 4;
    *ret_out = fm_value_number(fm_value_get(t->request.config, "max_tokens"), DEFAULT_MAX_TOKENS);
    fm_buf_done(&b);
}

static int ask_budget(struct fm_ctx *ctx, const char *name, double used, double next, double most)
{
    char question[400];
    (void)snprintf(
        question, sizeof(question),
        "The agent has used %.6g of %s %.6g, and its next model call may use %.6g. Raise the limit with "
        "{\"%s\": N}, or answer \"stop\".",
        used, name, most, next, name);
    struct fm_value *shown = fm_map(ctx);
    fm_map_set(ctx, shown, "limit", text(ctx, name));
    fm_map_set(ctx, shown, "used", fm_number(ctx, used));
    fm_map_set(ctx, shown, "next_call", fm_number(ctx, next));
    fm_map_set(ctx, shown, "most", fm_number(ctx, most));
    const struct fm_question q = {.question = question, .slot = "user_input", .data = shown, .budget = true};
    remember_question(ctx, fm_ctx_ask(ctx, &q), "budget", NULL);
    share(ctx, "asked", "question", question);
    return 0;
}

/* Whether the next call stays within the limits. When it might not, the job pauses or the agent ends, and
 * *ret_rc is what the handler returns. */
static bool within_limits(struct fm_ctx *ctx, const struct turn *t, int *ret_rc)
{
    double turns = limit(ctx, "max_turns"), tokens = limit(ctx, "max_tokens"), cost = limit(ctx, "max_cost"),
           time_ms = limit(ctx, "max_time_ms"), in, out;
    bool known;
    const char *said = "";
    *ret_rc = 0;
    if (turns >= 0 && counter(ctx, "calls") >= turns) {
        *ret_rc = complete(ctx, said, "max_turns");
        return false;
    }
    if (time_ms >= 0 && (double)fm_ctx_now_ms(ctx) - counter(ctx, "started_ms") > time_ms) {
        *ret_rc = complete(ctx, said, "max_time_ms");
        return false;
    }
    if (tokens < 0 && cost < 0)
        return true;
    estimate(t, &in, &out);
    if (tokens >= 0 && counter(ctx, "tokens") + in + out > tokens) {
        *ret_rc = ask_budget(ctx, "max_tokens", counter(ctx, "tokens"), in + out, tokens);
        return false;
    }
    double next = prices_cost(t->provider->name, model_of(t), (uint64_t)in, (uint64_t)out, 0, &known);
    if (cost >= 0 && !known) {
        (void)fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION,
                          "limits.max_cost is set, but this host has no price for %s/%.128s (--prices)",
                          t->provider->name, model_of(t));
        fm_ctx_fail_permanent(ctx);
        *ret_rc = -1;
        return false;
    }
    if (cost >= 0 && counter(ctx, "cost") + next > cost) {
        *ret_rc = ask_budget(ctx, "max_cost", counter(ctx, "cost"), next, cost);
        return false;
    }
    return true;
}

static int call_model(struct fm_ctx *ctx)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    const char *name = fm_value_string(fm_value_get(config, "provider"), "");
    struct turn *t = fm_ctx_alloc(ctx, sizeof(*t));
    int rc;
    t->provider = llm_provider_find(name);
    if (t->provider == NULL) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                          "config.provider is \"%.64s\"; this host has: mock, openai, anthropic", name);
        fm_ctx_fail_permanent(ctx);
        return -1;
    }
    t->request = (struct llm_request){.config = config,
                                      .messages = fm_ctx_state_get(ctx, "messages"),
                                      .calls_before = (uint32_t)counter(ctx, "calls")};
    if (fm_value_get(config, "limits") != NULL && !within_limits(ctx, t, &rc))
        return rc;
    if (t->provider != &llm_mock)
        t->request.tools = offered_tools(ctx);
    return t->provider->call(ctx, &t->request, &t->reply, on_reply, t);
}

/* ---- the slots ---- */

static int on_trigger(struct fm_ctx *ctx, const struct fm_value *data)
{
    const char *system = fm_value_string(fm_value_get(fm_ctx_config(ctx), "system"), "");
    if (system[0] != '\0' && fm_ctx_state_get(ctx, "messages") == NULL)
        append_message(ctx, "system", text(ctx, system));
    const struct fm_value *task = fm_value_get(data, "task");
    fm_ctx_state_set(ctx, "task", task != NULL ? task : data);
    if (fm_value_get(fm_ctx_config(ctx), "limits.max_time_ms") != NULL)
        fm_ctx_state_set(ctx, "started_ms", fm_number(ctx, (double)fm_ctx_now_ms(ctx)));
    append_message(ctx, "user", task != NULL ? task : data);
    return call_model(ctx);
}

/* A result is there: when it was the last one, the model is called again. */
static int go_on(struct fm_ctx *ctx)
{
    return count(ctx, "waiting") > 0 ? 0 : call_model(ctx);
}

static int take_approval(struct fm_ctx *ctx, const struct fm_value *call, const struct fm_value *answer)
{
    const char *id = fm_value_string(fm_value_get(call, "id"), ""),
               *name = fm_value_string(fm_value_get(call, "name"), "");
    if (strcmp(fm_value_string(answer, ""), "approve") == 0) {
        emit_call(ctx, id, name, fm_value_get(call, "arguments"));
        return 0;
    }
    (void)take(ctx, "waiting", id);
    append_result(ctx, id, name, text(ctx, "error: a person has denied this call"));
    return go_on(ctx);
}

static int take_budget(struct fm_ctx *ctx, const struct fm_value *answer)
{
    bool raised = false;
    static const char *const names[] = {"max_tokens", "max_cost", "max_turns", "max_time_ms"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct fm_value *v = find(answer, names[i]);
        if (fm_value_kind(v) != FM_NUMBER)
            continue;
        put(ctx, "limits", names[i], v);
        raised = true;
    }
    return raised ? call_model(ctx) : complete(ctx, "", "budget");
}

static int on_user_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *answer = fm_value_get(data, "answer"), *asked = NULL;
    const char *pause_id = fm_ctx_pause_id(ctx);
    if (pause_id[0] != '\0')
        asked = take(ctx, "asked", pause_id);
    const char *kind = fm_value_string(fm_value_get(asked, "for"), "");
    const struct fm_value *call = fm_value_get(asked, "call");
    if (strcmp(kind, "approval") == 0)
        return take_approval(ctx, call, answer);
    if (strcmp(kind, "budget") == 0)
        return take_budget(ctx, answer);
    if (strcmp(kind, "ask_user") == 0) {
        const char *id = fm_value_string(fm_value_get(call, "id"), "");
        (void)take(ctx, "waiting", id);
        append_result(ctx, id, "ask_user", answer);
        return go_on(ctx);
    }
    append_message(ctx, "user", answer != NULL ? answer : data);
    return go_on(ctx);
}

static int on_continue(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    return call_model(ctx);
}

static int on_tool_result(struct fm_ctx *ctx, const struct fm_value *data)
{
    const char *id = fm_value_string(fm_value_get(data, "call_id"), fm_ctx_call_id(ctx));
    const struct fm_value *result = fm_value_get(data, "result"), *name = take(ctx, "waiting", id);
    if (id[0] != '\0' && name == NULL) {
        struct fm_value *m = fm_map(ctx);
        fm_map_set(ctx, m, "call_id", text(ctx, id));
        fm_ctx_log(ctx, "a tool's result came for a call that does not wait for one; it is ignored", m);
        return 0;
    }
    append_result(ctx, id, fm_value_string(name, ""), result != NULL ? result : data);
    return go_on(ctx);
}

static const struct fm_slot slots[] = {
    {"trigger",     on_trigger    },
    {"user_input",  on_user_input },
    {"continue",    on_continue   },
    {"tool_result", on_tool_result}
};
static const char *const events[] = {"output", "question", "tool_call", "completed"};

const struct fm_routine_type llm_agent_type = {.abi = FM_ROUTINE_ABI,
                                               .name = "llm_agent",
                                               .version = 2,
                                               .flags = FM_EFFECTS,
                                               .slots = slots,
                                               .n_slots = 4,
                                               .events = events,
                                               .n_events = 4,
                                               .default_attempts = ATTEMPTS};
