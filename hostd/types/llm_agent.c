/* Routine type "llm_agent": a conversation with a model that may ask a person.
 *
 * trigger → model call. The model either says something (event "output") or asks: then the question is
 * deferred as event "question", the conversation stays in the routine's state and the job pauses; the answer
 * comes to "user_input" and leads to the next model call. When the model has ended: event "completed". Each
 * model call is one step; between two calls of one turn the agent goes on by a task at its own slot
 * "continue".
 *
 * State: messages (append-only list of {role, content}), calls, task. Shared data under the routine's id:
 * {task, status, calls, text or question}. */
#include "llm_provider.h"
#include "log.h"
#include "registry.h"

/* What waits for the model's reply. */
struct turn {
    const struct llm_provider *provider;
    struct llm_reply reply;
};

static const struct fm_value *text(struct fm_ctx *ctx, const char *s)
{
    return fm_string(ctx, s);
}

static void append_message(struct fm_ctx *ctx, const char *role, const struct fm_value *content)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "role", text(ctx, role));
    fm_map_set(ctx, m, "content", content);
    fm_ctx_state_append(ctx, "messages", m);
}

static uint32_t calls_made(struct fm_ctx *ctx)
{
    return (uint32_t)fm_value_number(fm_ctx_state_get(ctx, "calls"), 0);
}

/* The state of the agent as the rest of the job sees it. */
static void share(struct fm_ctx *ctx, const char *status, const char *key, const char *value, uint32_t calls)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "task", fm_ctx_state_get(ctx, "task"));
    fm_map_set(ctx, m, "status", text(ctx, status));
    fm_map_set(ctx, m, "calls", fm_number(ctx, calls));
    fm_map_set(ctx, m, key, text(ctx, value));
    fm_ctx_shared_set(ctx, fm_ctx_routine_id(ctx), m);
}

static void log_call(struct fm_ctx *ctx, const struct turn *t, const char *what, uint32_t call)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "call", fm_number(ctx, call));
    fm_map_set(ctx, m, "provider", text(ctx, t->provider->name));
    fm_map_set(ctx, m, "result", text(ctx, what));
    fm_ctx_log(ctx, "model call", m);
    const char *job = fm_ctx_job_id(ctx), *routine = fm_ctx_routine_id(ctx);
    FM_LOG(DEBUG, LLM, "model call", FM_STR("job", job), FM_STR("routine", routine), FM_U64("call", call),
           FM_STR("provider", t->provider->name), FM_STR("result", what));
}

static int asks(struct fm_ctx *ctx, struct turn *t, uint32_t call)
{
    const struct fm_value *question = text(ctx, t->reply.ask);
    struct fm_value *data = fm_map(ctx);
    append_message(ctx, "assistant", question);
    log_call(ctx, t, "ask", call);
    share(ctx, "asked", "question", t->reply.ask, call);
    fm_map_set(ctx, data, "question", question);
    fm_ctx_defer(ctx, "question", data);
    struct fm_value *shown = fm_map(ctx);
    fm_map_set(ctx, shown, "task", fm_ctx_state_get(ctx, "task"));
    fm_map_set(ctx, shown, "call", fm_number(ctx, call));
    (void)fm_ctx_pause(ctx, t->reply.ask, "user_input", shown, t->reply.choices);
    return 0;
}

static int says(struct fm_ctx *ctx, struct turn *t, uint32_t call)
{
    const struct fm_value *said = text(ctx, t->reply.say);
    struct fm_value *data = fm_map(ctx);
    append_message(ctx, "assistant", said);
    log_call(ctx, t, "say", call);
    fm_map_set(ctx, data, "text", said);
    fm_ctx_emit(ctx, "output", data);
    if (t->reply.goes_on) {
        share(ctx, "working", "text", t->reply.say, call);
        fm_ctx_enqueue(ctx, "continue", NULL);
        return 0;
    }
    share(ctx, "completed", "text", t->reply.say, call);
    struct fm_value *end = fm_map(ctx);
    fm_map_set(ctx, end, "text", said);
    fm_map_set(ctx, end, "calls", fm_number(ctx, call));
    fm_ctx_emit(ctx, "completed", end);
    return 0;
}

static int on_reply(struct fm_ctx *ctx, void *arg)
{
    struct turn *t = arg;
    uint32_t call = calls_made(ctx) + 1;
    fm_ctx_state_set(ctx, "calls", fm_number(ctx, call));
    fm_ctx_usage(ctx, t->reply.input_tokens, t->reply.output_tokens, 0, 0);
    if (t->reply.fail != NULL)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "the model call failed: %s", t->reply.fail);
    return t->reply.ask != NULL ? asks(ctx, t, call) : says(ctx, t, call);
}

static int call_model(struct fm_ctx *ctx)
{
    const char *name = fm_value_string(fm_value_get(fm_ctx_config(ctx), "provider"), "");
    struct turn *t = fm_ctx_alloc(ctx, sizeof(*t));
    t->provider = llm_provider_find(name);
    if (t->provider == NULL)
        return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "config.provider is \"%.64s\"; this host has: mock",
                           name);
    return t->provider->call(ctx, calls_made(ctx), &t->reply, on_reply, t);
}

static int on_trigger(struct fm_ctx *ctx, const struct fm_value *data)
{
    const char *system = fm_value_string(fm_value_get(fm_ctx_config(ctx), "system"), "");
    if (system[0] != '\0' && fm_ctx_state_get(ctx, "messages") == NULL)
        append_message(ctx, "system", text(ctx, system));
    const struct fm_value *task = fm_value_get(data, "task");
    fm_ctx_state_set(ctx, "task", task != NULL ? task : data);
    append_message(ctx, "user", task != NULL ? task : data);
    return call_model(ctx);
}

static int on_user_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *answer = fm_value_get(data, "answer");
    append_message(ctx, "user", answer != NULL ? answer : data);
    return call_model(ctx);
}

static int on_continue(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    return call_model(ctx);
}

static int on_tool_result(struct fm_ctx *ctx, const struct fm_value *data)
{
    append_message(ctx, "tool", data);
    return call_model(ctx);
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
                                               .version = 1,
                                               .flags = FM_EFFECTS,
                                               .slots = slots,
                                               .n_slots = 4,
                                               .events = events,
                                               .n_events = 4};
