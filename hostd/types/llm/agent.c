/* Routine type "llm_agent" (common/catalog/types/llm_agent.json): a conversation with a model that
 * uses tools and may ask a person.
 *
 * trigger {"task"} → model call. What the model says goes out at event "output". When it calls
 * tools, each call goes out at event "tool_call" {"call_id", "name", "arguments"}, and whoever is
 * connected answers at slot "tool_result"
 * {"call_id", "result"}; when all calls of one reply are answered, the model is called again. The
 * tool ask_user is built in: the job pauses with its question, and the answer comes to
 * "user_input". A tool with "approval": "required" pauses first and shows what will be done. When
 * the model has nothing more to do: event "completed" {"text", "calls", "stop_reason", "stopped"}.
 * Each model call is one step; between two calls of one turn the agent goes on by a task at its own
 * slot "continue", and also between an answer or a result and the next call when the flow's
 * policies let the job go on without a call that has failed.
 *
 * What comes to "trigger" or "user_input" while tools are at work or a question is open is held:
 * providers want the results of calls right after the calls.
 *
 * State: messages (append-only list, see provider.h), calls, tokens, cost, task, waiting ({call
 * id: tool}: calls without a result; open: id of the pause for what is said next), asked ({pause id: what the
 * answer is for}), held (list of {slot, content}), limits (raised ones), unusable (replies in a row with
 * calls that cannot be run), unpriced (the log says so), started_ms. Shared data under the routine's id:
 * {task, status, calls, text or question}.
 */
#include <string.h>
#include <strings.h>

#include "agent.h"
#include "log.h"
#include "own_types.h"
#include "stop.h"
#include "times.h"

#define ATTEMPTS 5 /* at a model call, where the flow's policies say nothing */
#define MAX_TOOL_CALLS 128
#define MAX_UNUSABLE 3 /* replies in a row whose calls cannot be run */

static const struct fm_value *text(struct fm_ctx *ctx, const char *s)
{
    return fm_string(ctx, s);
}

/* What the configuration says of how the model is to answer. */
static struct fm_value *parameters_of(struct fm_ctx *ctx, const struct fm_value *config)
{
    static const char *const names[] = {"temperature", "top_p",       "seed",
                                        "max_tokens",  "stop",        "response_format",
                                        "params",      "tool_choice", "parallel_tool_calls"};
    struct fm_value *m = fm_map(ctx);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct fm_value *v = fm_value_get(config, names[i]);
        if (v != NULL)
            fm_map_set(ctx, m, names[i], v);
    }
    for (size_t i = 0; fm_value_kind(config) == FM_MAP && i < fm_value_size(config); i++)
        if (llm_is_provider_s(fm_value_key(config, i)))
            fm_map_set(ctx, m, fm_value_key(config, i), fm_value_at(config, i));
    return m;
}

/* One entry of the shared log for each call: what must be known of it later. Attempt, host and time
 * are the step's. */
static void log_call(struct fm_ctx *ctx, const struct turn *t, const char *result, double cost)
{
    const struct llm_reply *r = &t->reply;
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "call", fm_number(ctx, llm_counter(ctx, "calls")));
    fm_map_set(ctx, m, "provider", text(ctx, t->provider->name));
    fm_map_set(ctx, m, "result", text(ctx, result));
    if (r->digest[0] != '\0') {
        fm_map_set(ctx, m, "model", text(ctx, fm_value_string(fm_value_get(t->request.config, "model"), "")));
        fm_map_set(ctx, m, "parameters", parameters_of(ctx, t->request.config));
        fm_map_set(ctx, m, "request_sha256", text(ctx, r->digest));
        fm_map_set(ctx, m, "request_id", text(ctx, r->request_id != NULL ? r->request_id : ""));
        fm_map_set(ctx, m, "latency_ms", fm_number(ctx, (double)r->latency_ms));
        fm_map_set(ctx, m, "stop", text(ctx, r->stop != NULL ? r->stop : ""));
    }
    fm_map_set(ctx, m, "input_tokens", fm_number(ctx, (double)r->input_tokens));
    fm_map_set(ctx, m, "output_tokens", fm_number(ctx, (double)r->output_tokens));
    if (r->cached_tokens > 0)
        fm_map_set(ctx, m, "cached_tokens", fm_number(ctx, (double)r->cached_tokens));
    if (r->cache_write_tokens > 0)
        fm_map_set(ctx, m, "cache_write_tokens", fm_number(ctx, (double)r->cache_write_tokens));
    if (r->estimated)
        fm_map_set(ctx, m, "estimated", fm_bool(ctx, true));
    if (cost > 0)
        fm_map_set(ctx, m, "cost", fm_number(ctx, cost));
    fm_ctx_log(ctx, "model call", m);
    const char *job = fm_ctx_job_id(ctx), *routine = fm_ctx_routine_id(ctx);
    FM_LOG(DEBUG, LLM, "model call", FM_STR("job", job), FM_STR("routine", routine),
           FM_STR("provider", t->provider->name), FM_STR("result", result), FM_U64("ms", r->latency_ms));
}

/* Why the reply may not be what the model would have said at length, in the provider's words; "none"
 * when it does not say why it ended, "" when nothing is wrong. */
static const char *why_short(const struct llm_reply *r)
{
    if (llm_stop_warning(r->stop) == NULL)
        return "";
    return llm_stop_of(r->stop) == LLM_STOP_NONE ? "none" : r->stop;
}

static void warn_of_end(struct fm_ctx *ctx, const char *warning, const char *stop)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "call", fm_number(ctx, llm_counter(ctx, "calls")));
    fm_map_set(ctx, m, "stop_reason", text(ctx, stop));
    fm_ctx_log(ctx, warning, m);
}

/* `stop`: why the last reply is short; `stopped`: the limit that has ended the agent; "" each: it
 * is not so.
 */
static int complete(struct fm_ctx *ctx, const char *said, const struct fm_value *value, const char *stop,
                    const char *stopped)
{
    struct fm_value *end = fm_map(ctx);
    llm_share(ctx, "completed", "text", said);
    fm_map_set(ctx, end, "text", text(ctx, said));
    if (value != NULL)
        fm_map_set(ctx, end, "value", value);
    fm_map_set(ctx, end, "calls", fm_number(ctx, llm_counter(ctx, "calls")));
    if (stop[0] != '\0')
        fm_map_set(ctx, end, "stop_reason", text(ctx, stop));
    if (stopped[0] != '\0')
        fm_map_set(ctx, end, "stopped", text(ctx, stopped));
    fm_ctx_emit(ctx, "completed", end);
    if (stopped[0] == '\0')
        llm_stay_open(ctx);
    return 0;
}

/* ---- the model's reply ---- */

/* After this step the model is to be called again, unless something else has it called before. */
static void go_on_later(struct fm_ctx *ctx)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "calls", fm_number(ctx, llm_counter(ctx, "calls")));
    fm_ctx_enqueue(ctx, "continue", m);
}

static struct fm_value *reply_message(struct fm_ctx *ctx, const struct turn *t)
{
    struct fm_value *m = llm_message(ctx, "assistant", text(ctx, t->reply.text != NULL ? t->reply.text : ""));
    if (t->reply.blocks != NULL)
        fm_map_set(ctx, m, "blocks", t->reply.blocks);
    if (t->reply.thoughts != NULL)
        fm_map_set(ctx, m, "thoughts", t->reply.thoughts);
    return m;
}

/* Calls that cannot be run are told to the model; not for ever, for each such reply is paid for.
 * -1 after fm_ctx_fail. */
static int count_unusable(struct fm_ctx *ctx, const struct fm_value *calls)
{
    const char *why = NULL;
    for (size_t i = 0; i < fm_value_size(calls) && why == NULL; i++)
        why = fm_value_string(fm_value_get(fm_value_at(calls, i), "not_run"), NULL);
    double times = llm_counter(ctx, "unusable") + 1;
    if (why == NULL) {
        if (fm_ctx_state_get(ctx, "unusable") != NULL)
            fm_ctx_state_remove(ctx, "unusable");
        return 0;
    }
    if (times < MAX_UNUSABLE) {
        fm_ctx_state_set(ctx, "unusable", fm_number(ctx, times));
        return 0;
    }
    (void)fm_ctx_fail(
        ctx, FM_FAIL_FAILED_PRECONDITION,
        "%d replies of the model in a row had calls that cannot be run (see config.max_tokens); the "
        "model was told: %.300s",
        MAX_UNUSABLE, why);
    fm_ctx_fail_permanent(ctx);
    return -1;
}

static int take_calls(struct fm_ctx *ctx, const struct turn *t)
{
    size_t n = fm_value_size(t->reply.tool_calls);
    if (n > MAX_TOOL_CALLS) {
        (void)fm_ctx_fail(ctx, FM_FAIL_RESOURCE_EXHAUSTED,
                          "the model called %zu tools at once; the limit is %d", n, MAX_TOOL_CALLS);
        fm_ctx_fail_permanent(ctx);
        return -1;
    }
    const struct fm_value *calls = llm_distinct_ids(ctx, t->reply.tool_calls);
    if (count_unusable(ctx, calls) < 0)
        return -1;
    struct fm_value *m = reply_message(ctx, t);
    fm_map_set(ctx, m, "tool_calls", calls);
    fm_ctx_state_append(ctx, "messages", m);
    llm_share(ctx, "working", "text", t->reply.text != NULL ? t->reply.text : "");
    for (size_t i = 0; i < n; i++)
        llm_start_call(ctx, fm_value_at(calls, i));
    if (!llm_is_busy(ctx))
        go_on_later(ctx);
    return 0;
}

/* The mock's question. */
static int ask_plainly(struct fm_ctx *ctx, const struct turn *t)
{
    const struct fm_value *question = text(ctx, t->reply.ask);
    struct fm_value *data = fm_map(ctx), *shown = fm_map(ctx);
    llm_append_message(ctx, "assistant", question);
    llm_share(ctx, "asked", "question", t->reply.ask);
    fm_map_set(ctx, data, "question", question);
    fm_ctx_defer(ctx, "question", data);
    fm_map_set(ctx, shown, "task", fm_ctx_state_get(ctx, "task"));
    fm_map_set(ctx, shown, "call", fm_number(ctx, llm_counter(ctx, "calls")));
    const char *id = fm_ctx_pause(ctx, t->reply.ask, "user_input", shown, t->reply.choices);
    llm_remember_question(ctx, id, "question", NULL);
    return 0;
}

static void emit_text(struct fm_ctx *ctx, const char *said, const struct fm_value *value)
{
    struct fm_value *data = fm_map(ctx);
    fm_map_set(ctx, data, "text", text(ctx, said));
    if (value != NULL)
        fm_map_set(ctx, data, "value", value);
    fm_ctx_emit(ctx, "output", data);
}

static int take_text(struct fm_ctx *ctx, struct turn *t)
{
    const char *stop = why_short(&t->reply);
    if ((t->reply.text == NULL || t->reply.text[0] == '\0') && strcasecmp(stop, "refusal") == 0)
        t->reply.text = "(The model has refused to answer.)"; /* providers want no empty message back */
    const char *said = t->reply.text != NULL ? t->reply.text : "";
    fm_ctx_state_append(ctx, "messages", reply_message(ctx, t));
    const struct fm_value *value = NULL;
    if (!t->reply.goes_on && strcasecmp(stop, "refusal") != 0) {
        enum llm_fit fit = llm_check_output(ctx, said, &value);
        if (fit == LLM_FIT_FAILED)
            return -1;
        if (fit == LLM_FIT_REPAIR) {
            go_on_later(ctx);
            return 0;
        }
    }
    emit_text(ctx, said, value);
    if (!t->reply.goes_on)
        return complete(ctx, said, value, stop, "");
    llm_share(ctx, "working", "text", said);
    go_on_later(ctx);
    return 0;
}

/* The conversation is longer than the model takes. Only the flow knows what may be left out of it. */
static int context_exceeded(struct fm_ctx *ctx, const struct turn *t)
{
    if (strcmp(fm_value_string(fm_value_get(t->request.config, "on_context"), ""), "event") == 0) {
        struct fm_value *m = fm_map(ctx);
        fm_map_set(ctx, m, "messages", t->request.messages);
        fm_map_set(ctx, m, "calls", fm_number(ctx, llm_counter(ctx, "calls")));
        fm_map_set(ctx, m, "error", text(ctx, t->reply.too_long));
        llm_share(ctx, "stopped", "text", t->reply.too_long);
        fm_ctx_emit(ctx, "context_exceeded", m);
        return 0;
    }
    (void)fm_ctx_fail(ctx, FM_FAIL_OUT_OF_RANGE, "the conversation is too long for the model: %s",
                      t->reply.too_long);
    ctx_fail_reason(ctx, "CONTEXT");
    fm_ctx_fail_permanent(ctx);
    return -1;
}

static int on_reply(struct fm_ctx *ctx, void *arg)
{
    struct turn *t = arg;
    const struct llm_reply *r = &t->reply;
    if (r->too_long != NULL)
        return context_exceeded(ctx, t);
    bool calls = fm_value_size(r->tool_calls) > 0;
    fm_ctx_state_set(ctx, "calls", fm_number(ctx, llm_counter(ctx, "calls") + 1));
    double cost = llm_charge(ctx, &t->request, r);
    llm_count_usage(ctx, r, cost);
    log_call(ctx, t, calls ? "tool_calls" : r->ask != NULL ? "ask" : "say", cost);
    if (why_short(r)[0] != '\0')
        warn_of_end(ctx, llm_stop_warning(r->stop), why_short(r));
    else if (!calls && r->ask == NULL && (r->text == NULL || r->text[0] == '\0'))
        warn_of_end(ctx, "warning: the model said nothing", r->stop);
    if (calls) {
        if (r->text != NULL && r->text[0] != '\0')
            emit_text(ctx, r->text, NULL);
        return take_calls(ctx, t);
    }
    return r->ask != NULL ? ask_plainly(ctx, t) : take_text(ctx, t);
}

const struct llm_provider *llm_provider_find(const char *name)
{
    static const struct llm_provider *const providers[] = {&llm_mock, &llm_openai, &llm_anthropic};
    for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++)
        if (strcmp(providers[i]->name, name) == 0)
            return providers[i];
    return NULL;
}

static int call_model(struct fm_ctx *ctx)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    const char *name = fm_value_string(fm_value_get(config, "provider"), ""), *ended = "";
    struct turn *t = fm_ctx_alloc(ctx, sizeof(*t));
    t->provider = llm_provider_find(name);
    if (t->provider == NULL) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                          "config.provider is \"%.64s\"; this host has: mock, openai, anthropic", name);
        fm_ctx_fail_permanent(ctx);
        return -1;
    }
    t->request = (struct llm_request){.provider = t->provider,
                                      .config = config,
                                      .messages = fm_ctx_state_get(ctx, "messages"),
                                      .calls_before = fm_count32_from(llm_counter(ctx, "calls")),
                                      .charge_failed = llm_charge_failed};
    if (t->provider->body != NULL) {
        t->request.tools = llm_offered_tools(ctx);
        t->request.body = t->provider->body(ctx, &t->request);
        if (t->request.body == NULL)
            return -1;
    }
    switch (llm_check_limits(ctx, t, &ended)) {
    case LLM_WITHIN:
        break;
    case LLM_ASKED:
        return 0;
    case LLM_ENDED:
        return complete(ctx, "", NULL, "", ended);
    case LLM_FAILED:
        return -1;
    }
    return t->provider->call(ctx, &t->request, &t->reply, on_reply, t);
}

/* ---- the slots ---- */

/* After an answer or a result. When nothing is awaited any more, what was held comes into the
 * conversation, and the model is called again: in the same step, which is quicker, unless the job
 * may go on without it. Then the answer would be lost with a call that fails, and the agent would
 * await it for ever. */
static int go_on(struct fm_ctx *ctx)
{
    if (llm_is_busy(ctx))
        return 0;
    llm_append_held(ctx);
    if (!ctx_may_be_dropped(ctx))
        return call_model(ctx);
    go_on_later(ctx);
    return 0;
}

static int take_input(struct fm_ctx *ctx, const struct llm_input *in)
{
    if (llm_is_busy(ctx)) {
        llm_hold(ctx, in);
        return 0;
    }
    llm_append_input(ctx, in);
    return call_model(ctx);
}

/* A history, and perhaps a task after it. One that ends with what the model has said has nothing to be
 * answered: the agent waits for what is said next, if it may. */
static int take_history(struct fm_ctx *ctx, const struct fm_value *messages, const struct fm_value *task)
{
    const struct llm_input in = {"trigger", task, llm_read_history(ctx, messages)};
    if (in.messages == NULL)
        return -1;
    const struct fm_value *last = fm_value_at(in.messages, fm_value_size(in.messages) - 1);
    const char *role = fm_value_string(fm_value_get(last, "role"), "");
    if (task != NULL || strcmp(role, "user") == 0 || strcmp(role, "tool") == 0)
        return take_input(ctx, &in);
    if (fm_value_bool(fm_value_get(fm_ctx_config(ctx), "keep_open"), false) && !llm_is_busy(ctx)) {
        llm_append_input(ctx, &in);
        llm_stay_open(ctx);
        return 0;
    }
    (void)fm_ctx_fail(
        ctx, FM_FAIL_INVALID_ARGUMENT,
        "messages end with the role %.16s: give a task, which is said next, or keep the agent open "
        "(config.keep_open)",
        role);
    fm_ctx_fail_permanent(ctx);
    return -1;
}

static int on_trigger(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *system = fm_value_get(fm_ctx_config(ctx), "system");
    const struct fm_value *task = fm_value_get(data, "task"), *messages = fm_value_get(data, "messages");
    const char *first = fm_value_string(fm_value_get(fm_value_at(messages, 0), "role"), "");
    bool has_own = strcmp(first, "system") == 0 || strcmp(first, "developer") == 0;
    bool has_system = fm_value_size(system) > 0; /* of a text, its bytes */
    if (has_system && !has_own && fm_ctx_state_get(ctx, "messages") == NULL)
        llm_append_message(ctx, "system", system);
    (void)llm_was_open(ctx);
    if (messages != NULL)
        return take_history(ctx, messages, task);
    const struct llm_input in = {"trigger", task != NULL ? task : data, NULL};
    return take_input(ctx, &in);
}

static int take_budget(struct fm_ctx *ctx, const char *limit, const struct fm_value *answer)
{
    if (llm_raise_limits(ctx, limit, answer))
        return go_on(ctx);
    llm_append_held(ctx); /* for whoever gives the agent another task */
    return complete(ctx, "", NULL, "", "budget");
}

static int on_user_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *answer = fm_value_get(data, "answer"), *said = fm_value_get(data, "text"),
                          *asked = NULL;
    const char *pause_id = fm_ctx_pause_id(ctx);
    bool was_open = llm_was_open(ctx);
    if (was_open && (fm_value_bool(fm_value_get(data, "expired"), false) ||
                     fm_value_bool(fm_value_get(answer, "end"), false) ||
                     fm_value_bool(fm_value_get(data, "end"), false)))
        return 0; /* the conversation ends */
    if (pause_id[0] != '\0')
        asked = llm_take(ctx, "asked", pause_id);
    const char *kind = fm_value_string(fm_value_get(asked, "for"), "");
    const struct fm_value *call = fm_value_get(asked, "call");
    if (strcmp(kind, "budget") == 0)
        return take_budget(ctx, fm_value_string(call, ""), answer);
    const struct llm_input in = {"user_input", answer != NULL ? answer : said != NULL ? said : data, NULL};
    if (asked == NULL)
        return take_input(ctx, &in);
    if (strcmp(kind, "approval") == 0)
        llm_take_approval(ctx, call, answer);
    else if (strcmp(kind, "ask_user") == 0)
        llm_take_answer(ctx, call, answer);
    else
        llm_append_message(ctx, "user", answer);
    return go_on(ctx);
}

static int on_continue(struct fm_ctx *ctx, const struct fm_value *data)
{
    double then = fm_value_number(fm_value_get(data, "calls"), llm_counter(ctx, "calls"));
    if (then != llm_counter(ctx, "calls") || llm_is_busy(ctx))
        return 0; /* an input came first, and the model has been called with it */
    return call_model(ctx);
}

/* The call that a result without an id belongs to: the only one that waits for a tool. NULL:
 * none. */
static const char *only_waiting(struct fm_ctx *ctx)
{
    const struct fm_value *waiting = fm_ctx_state_get(ctx, "waiting");
    return fm_value_size(waiting) == 1 && llm_size(ctx, "asked") == 0 ? fm_value_key(waiting, 0) : "";
}

static int on_tool_result(struct fm_ctx *ctx, const struct fm_value *data)
{
    const char *id = fm_value_string(fm_value_get(data, "call_id"), fm_ctx_call_id(ctx));
    if (id[0] == '\0')
        id = only_waiting(ctx);
    bool is_asked = llm_is_asked(ctx, id);
    const struct fm_value *result = fm_value_get(data, fm_ctx_pause_id(ctx)[0] != '\0' ? "answer" : "result"),
                          *name = is_asked ? NULL : llm_take(ctx, "waiting", id);
    if (name == NULL) {
        struct fm_value *m = fm_map(ctx);
        fm_map_set(ctx, m, "call_id", text(ctx, id));
        fm_ctx_log(ctx,
                   is_asked ? "a tool's result came for a call that waits for a person; it is ignored"
                            : "a tool's result came for a call that does not wait for one; it is ignored",
                   m);
        return 0;
    }
    llm_append_result(ctx, id, fm_value_string(name, ""), result != NULL ? result : data);
    return go_on(ctx);
}

static const struct fm_slot slots[] = {
    {"trigger",     on_trigger    },
    {"user_input",  on_user_input },
    {"continue",    on_continue   },
    {"tool_result", on_tool_result}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type llm_agent_type = {
    .abi = FM_ROUTINE_ABI, .name = "llm_agent", .slots = slots, .n_slots = 4, .default_attempts = ATTEMPTS};
