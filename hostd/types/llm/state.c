/* The agent's state: its conversation, and small maps. See agent.c for the keys. */
#include "agent.h"

#include <string.h>

#include "buf.h"
#include "mem.h"
#include "own_types.h"

#define MAX_SHARED 65536 /* bytes of a text in the shared data */

struct fm_value *llm_message(struct fm_ctx *ctx, const char *role, const struct fm_value *content)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "role", fm_string(ctx, role));
    fm_map_set(ctx, m, "content", content);
    return m;
}

void llm_append_message(struct fm_ctx *ctx, const char *role, const struct fm_value *content)
{
    fm_ctx_state_append(ctx, "messages", llm_message(ctx, role, content));
}

void llm_append_result(struct fm_ctx *ctx, const char *call_id, const char *name,
                       const struct fm_value *result)
{
    const char *error =
        fm_value_size(result) == 1 ? fm_value_string(llm_member(result, "error"), NULL) : NULL;
    struct fm_value *m = llm_message(ctx, "tool", error != NULL ? fm_string(ctx, error) : result);
    if (error != NULL)
        fm_map_set(ctx, m, "error", fm_bool(ctx, true));
    fm_map_set(ctx, m, "call_id", fm_string(ctx, call_id));
    fm_map_set(ctx, m, "name", fm_string(ctx, name));
    fm_ctx_state_append(ctx, "messages", m);
}

double llm_counter(struct fm_ctx *ctx, const char *key)
{
    return fm_value_number(fm_ctx_state_get(ctx, key), 0);
}

/* ---- small maps in the state ---- */

void llm_put(struct fm_ctx *ctx, const char *map, const char *key, const struct fm_value *v)
{
    struct fm_value *m = fm_map_copy(ctx, fm_ctx_state_get(ctx, map));
    fm_map_set(ctx, m, key, v);
    fm_ctx_state_set(ctx, map, m);
}

const struct fm_value *llm_take(struct fm_ctx *ctx, const char *map, const char *key)
{
    const struct fm_value *old = fm_ctx_state_get(ctx, map), *v = llm_member(old, key);
    if (v != NULL)
        fm_ctx_state_set(ctx, map, llm_without(ctx, old, key));
    return v;
}

size_t llm_size(struct fm_ctx *ctx, const char *map)
{
    return fm_value_size(fm_ctx_state_get(ctx, map));
}

/* ---- what others see ---- */

void llm_share(struct fm_ctx *ctx, const char *status, const char *key, const char *value)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "task", fm_ctx_state_get(ctx, "task"));
    fm_map_set(ctx, m, "status", fm_string(ctx, status));
    fm_map_set(ctx, m, "calls", fm_number(ctx, llm_counter(ctx, "calls")));
    size_t n = strlen(value), shown = fm_utf8_cut(value, MAX_SHARED);
    fm_map_set(ctx, m, key, fm_string(ctx, shown < n ? llm_keep(ctx, value, shown) : value));
    if (shown < n) /* all of it is in the conversation, and in the events: not once more here */
        fm_map_set(ctx, m, "cut_bytes", fm_number(ctx, (double)(n - shown)));
    fm_ctx_shared_set(ctx, fm_ctx_routine_id(ctx), m);
}

/* ---- input at the wrong moment ---- */

bool llm_is_busy(struct fm_ctx *ctx)
{
    return llm_size(ctx, "waiting") > 0 || llm_size(ctx, "asked") > 0;
}

void llm_hold(struct fm_ctx *ctx, const struct llm_input *in)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "slot", fm_string(ctx, in->slot));
    if (in->content != NULL)
        fm_map_set(ctx, m, "content", in->content);
    if (in->messages != NULL)
        fm_map_set(ctx, m, "messages", in->messages);
    fm_ctx_state_append(ctx, "held", m);
}

/* What the history is about: what the person has said last. */
static const struct fm_value *task_of(struct fm_ctx *ctx, const struct fm_value *messages)
{
    for (size_t i = fm_value_size(messages); i > 0; i--) {
        const struct fm_value *m = fm_value_at(messages, i - 1);
        if (strcmp(fm_value_string(fm_value_get(m, "role"), ""), "user") == 0)
            return fm_value_get(m, "content");
    }
    return fm_null(ctx);
}

static void append_history(struct fm_ctx *ctx, const struct fm_value *messages)
{
    bool began = fm_value_size(fm_ctx_state_get(ctx, "messages")) > 0;
    for (size_t i = 0; i < fm_value_size(messages); i++) {
        const struct fm_value *m = fm_value_at(messages, i);
        bool system = strcmp(fm_value_string(fm_value_get(m, "role"), ""), "system") == 0;
        if (!began || !system) /* a conversation has its own */
            fm_ctx_state_append(ctx, "messages", m);
    }
}

void llm_append_input(struct fm_ctx *ctx, const struct llm_input *in)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    if (strcmp(in->slot, "trigger") == 0) {
        fm_ctx_state_set(ctx, "task", in->content != NULL ? in->content : task_of(ctx, in->messages));
        if (fm_value_get(config, "limits.max_time_ms") != NULL)
            fm_ctx_state_set(ctx, "started_ms", fm_number(ctx, (double)fm_ctx_now_ms(ctx)));
    }
    append_history(ctx, in->messages);
    if (in->content != NULL)
        llm_append_message(ctx, "user", in->content);
}

void llm_append_held(struct fm_ctx *ctx)
{
    const struct fm_value *held = fm_ctx_state_get(ctx, "held");
    for (size_t i = 0; i < fm_value_size(held); i++) {
        const struct fm_value *m = fm_value_at(held, i);
        const struct llm_input in = {fm_value_string(fm_value_get(m, "slot"), ""), fm_value_get(m, "content"),
                                     fm_value_get(m, "messages")};
        llm_append_input(ctx, &in);
    }
    if (held != NULL)
        fm_ctx_state_remove(ctx, "held");
}

/* ---- a history from outside ---- */

struct history {
    struct fm_ctx *ctx;
    struct fm_value *out;
    struct fm_value *open; /* {id: name} of calls without a result */
    size_t at;
};

static const struct fm_value *refuse(const struct history *h, const char *what, const char *why)
{
    (void)fm_ctx_fail(h->ctx, FM_FAIL_INVALID_ARGUMENT, "messages[%zu]%s %s", h->at, what, why);
    fm_ctx_fail_permanent(h->ctx);
    return NULL;
}

static bool keys_known(const struct history *h, const struct fm_value *m)
{
    static const char *const known[] = {"role",   "content",  "tool_calls", "call_id", "tool_call_id", "name",
                                        "blocks", "thoughts", "error",      "refusal", "annotations"};
    for (size_t i = 0; i < fm_value_size(m); i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
            found = found || strcmp(known[k], fm_value_key(m, i)) == 0;
        if (!found) {
            (void)fm_ctx_fail(h->ctx, FM_FAIL_INVALID_ARGUMENT,
                              "messages[%zu] has the unknown key \"%.64s\"; a message has role, content, "
                              "tool_calls, call_id, name",
                              h->at, fm_value_key(m, i));
            fm_ctx_fail_permanent(h->ctx);
            return false;
        }
    }
    return true;
}

/* A call in the agent's own form; NULL after fm_ctx_fail. */
static const struct fm_value *read_call(struct history *h, const struct fm_value *c)
{
    struct fm_ctx *ctx = h->ctx;
    const struct fm_value *function = fm_value_get(c, "function"),
                          *arguments = fm_value_get(function != NULL ? function : c, "arguments");
    const char *id = fm_value_string(fm_value_get(c, "id"), ""),
               *name = fm_value_string(fm_value_get(function != NULL ? function : c, "name"), "");
    fm_auto(fm_err) err = {0};
    if (fm_value_kind(arguments) == FM_STRING) {
        const char *text = fm_value_string(arguments, "");
        arguments = text[0] == '\0' ? fm_map(ctx) : ctx_json(ctx, text, strlen(text), &err);
    }
    if (id[0] == '\0' || name[0] == '\0' || fm_value_kind(arguments) != FM_MAP)
        return refuse(h, ".tool_calls", "must be a list of {\"id\", \"name\", \"arguments\": {…}}");
    if (llm_member(h->open, id) != NULL)
        return refuse(h, ".tool_calls", "has two calls with one id");
    fm_map_set(ctx, h->open, id, fm_string(ctx, name));
    struct fm_value *call = fm_map_copy(ctx, function != NULL ? NULL : c);
    fm_map_set(ctx, call, "id", fm_string(ctx, id));
    fm_map_set(ctx, call, "name", fm_string(ctx, name));
    fm_map_set(ctx, call, "arguments", arguments);
    return call;
}

static const struct fm_value *read_calls(struct history *h, const struct fm_value *given)
{
    struct fm_value *calls = fm_list(h->ctx);
    if (fm_value_kind(given) != FM_LIST)
        return refuse(h, ".tool_calls", "must be a list");
    for (size_t i = 0; i < fm_value_size(given); i++) {
        const struct fm_value *c = read_call(h, fm_value_at(given, i));
        if (c == NULL)
            return NULL;
        fm_list_add(h->ctx, calls, c);
    }
    return calls;
}

static const struct fm_value *read_result(struct history *h, const struct fm_value *m,
                                          const struct fm_value *content)
{
    const struct fm_value *id = fm_value_get(m, "call_id");
    id = id != NULL ? id : fm_value_get(m, "tool_call_id");
    const struct fm_value *name = llm_member(h->open, fm_value_string(id, ""));
    if (name == NULL)
        return refuse(h, ".call_id", "names no call before it that has no result yet");
    h->open = llm_without(h->ctx, h->open, fm_value_string(id, ""));
    struct fm_value *out = llm_message(h->ctx, "tool", content);
    fm_map_set(h->ctx, out, "call_id", id);
    fm_map_set(h->ctx, out, "name", name);
    if (fm_value_bool(fm_value_get(m, "error"), false))
        fm_map_set(h->ctx, out, "error", fm_bool(h->ctx, true));
    return out;
}

static const struct fm_value *read_message(struct history *h, const struct fm_value *m)
{
    const char *role = fm_value_string(fm_value_get(m, "role"), "");
    const struct fm_value *content = fm_value_get(m, "content"), *calls = fm_value_get(m, "tool_calls");
    bool assistant = strcmp(role, "assistant") == 0, tool = strcmp(role, "tool") == 0;
    if (fm_value_kind(m) != FM_MAP)
        return refuse(h, "", "must be an object");
    if (!keys_known(h, m))
        return NULL;
    if (strcmp(role, "developer") == 0)
        role = "system";
    if (!assistant && !tool && strcmp(role, "user") != 0 && strcmp(role, "system") != 0)
        return refuse(h, ".role", "must be system, user, assistant or tool");
    if (!tool && fm_value_size(h->open) > 0)
        return refuse(h, "", "stands before the results of the calls before it");
    if (content == NULL || fm_value_kind(content) == FM_NULL)
        content = assistant ? fm_string(h->ctx, "") : content;
    bool text = fm_value_kind(content) == FM_STRING,
         parts = fm_value_kind(content) == FM_LIST && strcmp(role, "user") == 0;
    if (content == NULL || (!tool && !text && !parts))
        return refuse(h, ".content", "must be a string; of a user it may be a list of parts");
    if (tool)
        return read_result(h, m, content);
    struct fm_value *out = llm_message(h->ctx, role, content);
    if (calls != NULL && !assistant)
        return refuse(h, ".tool_calls", "is only for assistant");
    if (fm_value_size(calls) > 0 && (calls = read_calls(h, calls)) == NULL)
        return NULL;
    if (fm_value_size(calls) > 0)
        fm_map_set(h->ctx, out, "tool_calls", calls);
    static const char *const kept[] = {"blocks", "thoughts"};
    for (size_t i = 0; assistant && i < 2; i++)
        if (fm_value_get(m, kept[i]) != NULL)
            fm_map_set(h->ctx, out, kept[i], fm_value_get(m, kept[i]));
    return out;
}

const struct fm_value *llm_read_history(struct fm_ctx *ctx, const struct fm_value *messages)
{
    struct history h = {.ctx = ctx, .out = fm_list(ctx), .open = fm_map(ctx)};
    if (fm_value_kind(messages) != FM_LIST || fm_value_size(messages) == 0) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                          "messages must be a list of messages, and not empty");
        fm_ctx_fail_permanent(ctx);
        return NULL;
    }
    for (h.at = 0; h.at < fm_value_size(messages); h.at++) {
        const struct fm_value *m = read_message(&h, fm_value_at(messages, h.at));
        if (m == NULL)
            return NULL;
        fm_list_add(ctx, h.out, m);
    }
    h.at--;
    return fm_value_size(h.open) > 0 ? refuse(&h, "", "is the last one, but calls have no result") : h.out;
}
