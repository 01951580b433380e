/* Tools of an agent: what is offered to the model, and what becomes of its calls. See
 * agent.h. */
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "catalog.h"
#include "json_schema.h"
#include "mem.h"
#include "own_types.h"

#define MAX_ID_BYTES 128
#define MAX_CHOICES 1000
#define WHY_BYTES 300

static const struct fm_value *text(struct fm_ctx *ctx, const char *s)
{
    return fm_string(ctx, s);
}

static const struct fm_value *tool_of(struct fm_ctx *ctx, const char *name)
{
    const struct fm_value *tools = fm_value_get(fm_ctx_config(ctx), "tools");
    for (size_t i = 0; i < fm_value_size(tools); i++)
        if (strcmp(fm_value_string(fm_value_get(fm_value_at(tools, i), "name"), ""), name) == 0)
            return fm_value_at(tools, i);
    return NULL;
}

/* ---- what is offered ---- */

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
                    *choices = schema(ctx, "array", "answers to choose from, if any");
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

/* A tool without parameters has none to give: providers want to read that. */
static const struct fm_value *parameters_of(struct fm_ctx *ctx, const struct fm_value *tool)
{
    const struct fm_value *given = fm_value_get(tool, "parameters");
    if (fm_value_kind(given) == FM_STRING)
        return llm_schema(ctx, given);
    struct fm_value *out = fm_map_copy(ctx, given);
    if (given == NULL)
        fm_map_set(ctx, out, "type", text(ctx, "object"));
    else if (strcmp(fm_value_string(fm_value_get(given, "type"), ""), "object") != 0)
        return given;
    if (llm_member(given, "properties") == NULL)
        fm_map_set(ctx, out, "properties", fm_map(ctx));
    return out;
}

static bool is_own(const char *key)
{
    static const char *const own[] = {"approval", "external", "timeout_ms", "result_schema"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (strcmp(own[i], key) == 0)
            return true;
    return false;
}

/* What providers may be told of a tool: not what is the agent's own, nor a key of a flow that was
 * stored when keys were not checked. */
static struct fm_value *told_of(struct fm_ctx *ctx, const struct fm_value *tool)
{
    const struct fm_value *known =
        fm_value_get(type_catalog_find("llm_agent")->config, "properties.tools.items.properties");
    struct fm_value *m = fm_map(ctx);
    for (size_t i = 0; i < fm_value_size(tool); i++)
        if (!is_own(fm_value_key(tool, i)) && llm_member(known, fm_value_key(tool, i)) != NULL)
            fm_map_set(ctx, m, fm_value_key(tool, i), fm_value_at(tool, i));
    return m;
}

const struct fm_value *llm_offered_tools(struct fm_ctx *ctx)
{
    const struct fm_value *tools = fm_value_get(fm_ctx_config(ctx), "tools");
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < fm_value_size(tools); i++) {
        const struct fm_value *t = fm_value_at(tools, i);
        struct fm_value *tool = told_of(ctx, t);
        fm_map_set(ctx, tool, "description", text(ctx, fm_value_string(fm_value_get(t, "description"), "")));
        fm_map_set(ctx, tool, "parameters", parameters_of(ctx, t));
        fm_list_add(ctx, list, tool);
    }
    if (fm_value_bool(fm_value_get(fm_ctx_config(ctx), "ask"), true) && tool_of(ctx, "ask_user") == NULL)
        fm_list_add(ctx, list, ask_user_tool(ctx));
    return list;
}

/* ---- ids ---- */

static bool has_id(const struct fm_value *calls, const char *id)
{
    for (size_t i = 0; i < fm_value_size(calls); i++)
        if (strcmp(fm_value_string(fm_value_get(fm_value_at(calls, i), "id"), ""), id) == 0)
            return true;
    return false;
}

static bool is_used(const struct fm_value *messages, const struct fm_value *others, const char *id)
{
    for (size_t i = 0; i < fm_value_size(messages); i++)
        if (has_id(fm_value_get(fm_value_at(messages, i), "tool_calls"), id))
            return true;
    return has_id(others, id);
}

const struct fm_value *llm_distinct_ids(struct fm_ctx *ctx, const struct fm_value *calls)
{
    const struct fm_value *messages = fm_ctx_state_get(ctx, "messages");
    struct fm_value *list = fm_list(ctx);
    unsigned turn = (unsigned)llm_counter(ctx, "calls");
    for (size_t i = 0; i < fm_value_size(calls); i++) {
        const struct fm_value *call = fm_value_at(calls, i);
        const char *id = fm_value_string(fm_value_get(call, "id"), "");
        struct fm_value *own = fm_map_copy(ctx, call);
        char made[64];
        size_t n = strlen(id);
        for (unsigned again = 0; n == 0 || n > MAX_ID_BYTES || is_used(messages, list, id); again++) {
            (void)snprintf(made, sizeof(made), again == 0 ? "call_%u_%zu" : "call_%u_%zu_%u", turn, i, again);
            id = made;
            n = strlen(id);
        }
        fm_map_set(ctx, own, "id", text(ctx, id));
        fm_list_add(ctx, list, own);
    }
    return list;
}

/* ---- questions ---- */

void llm_remember_question(struct fm_ctx *ctx, const char *pause_id, const char *kind,
                           const struct fm_value *call)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "for", text(ctx, kind));
    if (call != NULL)
        fm_map_set(ctx, m, "call", call);
    llm_put(ctx, "asked", pause_id, m);
}

/* Whether this is a schema that can be checked: models write some that say more. Then any answer is
 * accepted. -1, with why: it is one, but takes too much work. All checks of a call share the work, which
 * is done on the engine's thread. */
static int is_schema(const struct fm_value *v, struct json_schema_work *work, char why[WHY_BYTES])
{
    fm_auto(fm_err) err = {0};
    int rc = fm_value_kind(v) == FM_MAP ? json_schema_check_within(v, NULL, work, NULL, NULL, &err) : -1;
    if (err.code != FM_RESOURCE_EXHAUSTED)
        return rc >= 0;
    (void)snprintf(why, WHY_BYTES, "error: answer_schema cannot be used: %.200s", err.msg);
    return -1;
}

/* Returns 1 or 0; -1, with why: it takes too much work to find out. */
static int meets(const struct fm_value *v, const struct fm_value *schema, struct json_schema_work *work,
                 char why[WHY_BYTES])
{
    fm_auto(fm_err) err = {0};
    int rc = json_schema_check_within(schema, v, work, NULL, NULL, &err);
    if (err.code != FM_RESOURCE_EXHAUSTED)
        return rc == 0;
    (void)snprintf(why, WHY_BYTES, "error: choices cannot be checked against answer_schema: %.160s", err.msg);
    return -1;
}

/* A choice as a person sees it and answers with it: text as it is, anything else as JSON. */
static const char *choice_text(struct fm_ctx *ctx, const struct fm_value *choice)
{
    return fm_value_kind(choice) == FM_STRING ? fm_value_string(choice, "")
                                              : fm_value_string(llm_json_text(ctx, choice), "");
}

/* The choices as texts, each once; false, with why, when nobody could answer with them. *ret stays
 * NULL without choices. A choice must meet the schema, too: there must be an answer. */
static bool choices_of(struct fm_ctx *ctx, const struct fm_value *choices, const struct fm_value *schema,
                       struct json_schema_work *work, const struct fm_value **ret, char why[WHY_BYTES])
{
    struct fm_value *list = fm_list(ctx);
    if (choices == NULL || fm_value_kind(choices) == FM_NULL)
        return true;
    if (fm_value_kind(choices) != FM_LIST || fm_value_size(choices) > MAX_CHOICES) {
        (void)snprintf(why, WHY_BYTES, "error: choices must be a list of at most %d answers", MAX_CHOICES);
        return false;
    }
    for (size_t i = 0; i < fm_value_size(choices); i++) {
        const char *shown = choice_text(ctx, fm_value_at(choices, i));
        bool known = false;
        int ok = schema == NULL ? 1 : meets(fm_value_at(choices, i), schema, work, why);
        if (ok == 0)
            (void)snprintf(why, WHY_BYTES, "error: choices[%zu], %.100s, does not meet answer_schema", i,
                           shown);
        if (ok <= 0)
            return false;
        for (size_t k = 0; k < fm_value_size(list) && !known; k++)
            known = strcmp(fm_value_string(fm_value_at(list, k), ""), shown) == 0;
        if (!known)
            fm_list_add(ctx, list, text(ctx, shown));
    }
    *ret = fm_value_size(list) > 0 ? list : NULL;
    return true;
}

/* Asks; false, with why, when the call does not make a question that can be answered. */
static bool ask_user(struct fm_ctx *ctx, const struct fm_value *call, char why[WHY_BYTES])
{
    const struct fm_value *arguments = fm_value_get(call, "arguments"),
                          *wanted = fm_value_get(arguments, "answer_schema"), *choices = NULL;
    struct fm_value *shown = fm_map(ctx), *deferred = fm_map(ctx);
    const char *question = fm_value_string(fm_value_get(arguments, "question"), "");
    struct json_schema_work work = {.most = JSON_SCHEMA_BRIEF_WORK};
    int checkable = is_schema(wanted, &work, why);
    if (checkable < 0)
        return false;
    wanted = checkable > 0 ? wanted : NULL;
    if (question[0] == '\0') {
        (void)snprintf(why, WHY_BYTES, "error: question must be a string and not empty");
        return false;
    }
    if (!choices_of(ctx, fm_value_get(arguments, "choices"), wanted, &work, &choices, why))
        return false;
    fm_map_set(ctx, shown, "task", fm_ctx_state_get(ctx, "task"));
    fm_map_set(ctx, shown, "call_id", fm_value_get(call, "id"));
    const struct fm_question q = {.question = question,
                                  .slot = "user_input",
                                  .data = shown,
                                  .choices = choices,
                                  .answer_schema = choices == NULL ? wanted : NULL};
    fm_map_set(ctx, deferred, "question", text(ctx, question));
    fm_ctx_defer(ctx, "question", deferred);
    llm_remember_question(ctx, fm_ctx_ask(ctx, &q), "ask_user", call);
    llm_share(ctx, "asked", "question", question);
    return true;
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
    llm_remember_question(ctx, fm_ctx_ask(ctx, &q), "approval", call);
    llm_share(ctx, "asked", "question", question);
}

/* ---- calls ---- */

/* To whoever is connected; without one, and when the tool is external, to whoever is outside. */
static void emit_call(struct fm_ctx *ctx, const struct fm_value *call)
{
    const struct fm_value *tool = tool_of(ctx, fm_value_string(fm_value_get(call, "name"), ""));
    struct fm_value *data = fm_map(ctx);
    fm_map_set(ctx, data, "call_id", fm_value_get(call, "id"));
    fm_map_set(ctx, data, "name", fm_value_get(call, "name"));
    fm_map_set(ctx, data, "arguments", fm_value_get(call, "arguments"));
    if (fm_value_bool(fm_value_get(tool, "external"), false) || !ctx_is_taken(ctx, "tool_call", data))
        llm_wait_outside(ctx, call, tool);
    else
        fm_ctx_emit(ctx, "tool_call", data);
}

void llm_start_call(struct fm_ctx *ctx, const struct fm_value *call)
{
    const char *id = fm_value_string(fm_value_get(call, "id"), ""),
               *name = fm_value_string(fm_value_get(call, "name"), "");
    const struct fm_value *tool = tool_of(ctx, name);
    const char *not_run = fm_value_string(fm_value_get(call, "not_run"), NULL);
    if (not_run != NULL) {
        llm_append_result(ctx, id, name, text(ctx, not_run));
        return;
    }
    char why[WHY_BYTES] = "";
    bool asks = tool == NULL && strcmp(name, "ask_user") == 0;
    if (tool == NULL && !asks)
        (void)snprintf(why, sizeof(why), "error: there is no tool %.128s", name);
    else if (fm_value_kind(fm_value_get(call, "arguments")) != FM_MAP)
        (void)snprintf(why, sizeof(why), "error: the arguments must be an object");
    if (why[0] != '\0' || (asks && !ask_user(ctx, call, why))) {
        llm_append_result(ctx, id, name, text(ctx, why));
        return;
    }
    llm_put(ctx, "waiting", id, text(ctx, name));
    if (asks)
        return;
    if (strcmp(fm_value_string(fm_value_get(tool, "approval"), ""), "required") == 0)
        ask_approval(ctx, call);
    else
        emit_call(ctx, call);
}

bool llm_is_asked(struct fm_ctx *ctx, const char *call_id)
{
    const struct fm_value *asked = fm_ctx_state_get(ctx, "asked");
    for (size_t i = 0; i < fm_value_size(asked); i++)
        if (strcmp(fm_value_string(fm_value_get(fm_value_at(asked, i), "call.id"), ""), call_id) == 0 &&
            call_id[0] != '\0')
            return true;
    return false;
}

/* Whether the answer is the choice that was shown so: its text, or the value that the text stands
 * for. */
static bool answers_with(struct fm_ctx *ctx, const struct fm_value *answer, const char *shown,
                         struct json_schema_work *work)
{
    if (fm_value_kind(answer) == FM_STRING)
        return strcmp(shown, fm_value_string(answer, "")) == 0;
    fm_auto(fm_err) err = {0};
    const struct fm_value *v = ctx_json(ctx, shown, strlen(shown), &err);
    struct fm_value *same = fm_map(ctx);
    fm_map_set(ctx, same, "const", v);
    char why[WHY_BYTES];
    return v != NULL && meets(answer, same, work, why) == 1;
}

void llm_take_answer(struct fm_ctx *ctx, const struct fm_value *call, const struct fm_value *answer)
{
    const char *id = fm_value_string(fm_value_get(call, "id"), "");
    const struct fm_value *choices = fm_value_get(call, "arguments.choices");
    struct json_schema_work work = {.most = JSON_SCHEMA_BRIEF_WORK};
    for (size_t i = 0; i < fm_value_size(choices); i++) {
        if (!answers_with(ctx, answer, choice_text(ctx, fm_value_at(choices, i)), &work))
            continue;
        answer = fm_value_at(choices, i); /* what the model has offered, not how it was shown */
        break;
    }
    if (llm_take(ctx, "waiting", id) != NULL)
        llm_append_result(ctx, id, "ask_user", answer);
}

void llm_take_approval(struct fm_ctx *ctx, const struct fm_value *call, const struct fm_value *answer)
{
    const char *id = fm_value_string(fm_value_get(call, "id"), ""),
               *name = fm_value_string(fm_value_get(call, "name"), "");
    if (llm_member(fm_ctx_state_get(ctx, "waiting"), id) == NULL)
        return;
    if (strcmp(fm_value_string(answer, ""), "approve") == 0) {
        emit_call(ctx, call);
        return;
    }
    (void)llm_take(ctx, "waiting", id);
    llm_append_result(ctx, id, name, text(ctx, "error: a person denied this call"));
}
