/* Provider "openai": chat completions of OpenAI, and of whatever server speaks the same at
 * config.base_url. (https://platform.openai.com/docs/api-reference/chat) */
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "openai_calls.h"
#include "own_types.h"
#include "reasoning.h"
#include "stop.h"
#include "tool_calls.h"

#define BASE_URL "https://api.openai.com/v1"

/* A streamed reply: its tool calls come in pieces. */
struct stream {
    struct llm_http h; /* first: callbacks get it */
    struct openai_calls calls;
    struct reasoning thoughts;
    struct fm_value *others; /* parts of the content that are no texts; NULL: none */
    bool refuses;
};

static const char *const passed[][2] = {
    {"model",               "model"              },
    {"temperature",         "temperature"        },
    {"max_tokens",          "max_tokens"         },
    {"stop",                "stop"               },
    {"response_format",     "response_format"    },
    {"top_p",               "top_p"              },
    {"seed",                "seed"               },
    {"parallel_tool_calls", "parallel_tool_calls"},
    {NULL,                  NULL                 }
};

/* ---- the request ---- */

static const struct fm_value *calls_of(struct fm_ctx *ctx, const struct fm_value *calls)
{
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < fm_value_size(calls); i++) {
        const struct fm_value *c = fm_value_at(calls, i);
        struct fm_value *call = fm_map(ctx), *function = fm_map(ctx);
        fm_map_set(ctx, function, "name", llm_tool_name(ctx, c));
        fm_map_set(ctx, function, "arguments", llm_json_text(ctx, fm_value_get(c, "arguments")));
        fm_map_set(ctx, call, "id", fm_value_get(c, "id"));
        fm_map_set(ctx, call, "type", fm_string(ctx, "function"));
        fm_map_set(ctx, call, "function", function);
        reasoning_put(ctx, call, fm_value_get(c, "thoughts"), true);
        fm_list_add(ctx, list, call);
    }
    return list;
}

static const struct fm_value *parts_of(struct fm_ctx *ctx, const struct fm_value *parts)
{
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < fm_value_size(parts); i++)
        fm_list_add(ctx, list, llm_part_for_chat(ctx, fm_value_at(parts, i)));
    return list;
}

/* The texts of a tool's result; the rest, which a message of a tool cannot have, goes to `rest`. */
static const char *result_text(struct fm_ctx *ctx, const struct fm_value *parts, struct fm_value *rest)
{
    struct llm_str said = {0};
    for (size_t i = 0; i < fm_value_size(parts); i++) {
        const struct fm_value *p = fm_value_at(parts, i);
        const char *text = fm_value_string(fm_value_get(p, "text"), NULL);
        if (text == NULL) {
            fm_list_add(ctx, rest, llm_part_for_chat(ctx, p));
            text = "(what follows in the next message)";
        }
        llm_add(ctx, &said, "\n", said.n > 0 ? 1 : 0);
        llm_add(ctx, &said, text, strlen(text));
    }
    return said.n > 0 ? said.p : "";
}

static const struct fm_value *message_of(struct fm_ctx *ctx, const struct fm_value *m, bool in_turn,
                                         struct fm_value *rest)
{
    const char *role = fm_value_string(fm_value_get(m, "role"), "user");
    const struct fm_value *content = fm_value_get(m, "content"), *calls = fm_value_get(m, "tool_calls");
    struct fm_value *out = fm_map(ctx);
    bool parts =
        fm_value_kind(content) == FM_LIST && (strcmp(role, "user") == 0 || strcmp(role, "system") == 0);
    const struct fm_value *result = strcmp(role, "tool") == 0 ? llm_result_parts(content) : NULL;
    fm_map_set(ctx, out, "role", fm_string(ctx, role));
    const struct fm_value *kept = fm_value_get(m, "blocks");
    if (fm_value_kind(kept) == FM_LIST)
        fm_map_set(ctx, out, "content", kept); /* as it came */
    else if (result != NULL)
        fm_map_set(ctx, out, "content", fm_string(ctx, result_text(ctx, result, rest)));
    else
        fm_map_set(ctx, out, "content",
                   parts ? parts_of(ctx, content) : fm_string(ctx, llm_text(ctx, content)));
    if (strcmp(role, "tool") == 0)
        fm_map_set(ctx, out, "tool_call_id", fm_value_get(m, "call_id"));
    if (fm_value_size(calls) > 0)
        fm_map_set(ctx, out, "tool_calls", calls_of(ctx, calls));
    reasoning_put(ctx, out, fm_value_get(m, "thoughts"), in_turn);
    return out;
}

/* What is the function's own stands in it; what else a tool has, beside it. */
static struct fm_value *tools_of(struct fm_ctx *ctx, const struct fm_value *tools)
{
    static const char *const own[] = {"name", "description", "parameters", "strict"};
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < fm_value_size(tools); i++) {
        const struct fm_value *t = fm_value_at(tools, i);
        struct fm_value *tool = fm_map(ctx), *function = fm_map(ctx);
        for (size_t k = 0; k < fm_value_size(t); k++) {
            bool inside = false;
            for (size_t o = 0; o < sizeof(own) / sizeof(own[0]); o++)
                inside = inside || strcmp(fm_value_key(t, k), own[o]) == 0;
            fm_map_set(ctx, inside ? function : tool, fm_value_key(t, k), fm_value_at(t, k));
        }
        fm_map_set(ctx, tool, "type", fm_string(ctx, "function"));
        fm_map_set(ctx, tool, "function", function);
        fm_list_add(ctx, list, tool);
    }
    return list;
}

/* The schema of a reply may be given as text. */
static void put_format(struct fm_ctx *ctx, struct fm_value *body)
{
    const struct fm_value *format = llm_member(body, "response_format"),
                          *wanted = fm_value_get(format, "json_schema"),
                          *schema = fm_value_get(wanted, "schema");
    if (fm_value_kind(schema) != FM_STRING)
        return;
    struct fm_value *own = fm_map_copy(ctx, wanted), *all = fm_map_copy(ctx, format);
    fm_map_set(ctx, own, "schema", llm_schema(ctx, schema));
    fm_map_set(ctx, all, "json_schema", own);
    fm_map_set(ctx, body, "response_format", all);
}

/* Streams are to end with the usage, unless the configuration has it otherwise: null leaves the key
 * out, for servers that do not know it. Returns the body. */
static struct fm_value *put_stream(struct fm_ctx *ctx, struct fm_value *body)
{
    const struct fm_value *given = llm_member(body, "stream_options");
    fm_map_set(ctx, body, "stream", fm_bool(ctx, true));
    if (given != NULL && fm_value_kind(given) != FM_MAP)
        return fm_value_kind(given) == FM_NULL ? llm_without(ctx, body, "stream_options") : body;
    struct fm_value *options = fm_map_copy(ctx, given);
    if (llm_member(given, "include_usage") == NULL)
        fm_map_set(ctx, options, "include_usage", fm_bool(ctx, true));
    fm_map_set(ctx, body, "stream_options", options);
    return body;
}

/* Whether a tool_choice makes the model call a tool. */
static bool wants_call(const struct fm_value *choice)
{
    return strcmp(fm_value_string(choice, ""), "required") == 0 ||
           strcmp(fm_value_string(choice, ""), "any") == 0 ||
           strcmp(fm_value_string(fm_value_get(choice, "type"), ""), "function") == 0;
}

static struct fm_value *body_of(struct fm_ctx *ctx, const struct llm_request *q)
{
    struct fm_value *body = fm_map(ctx), *messages = fm_list(ctx);
    llm_pass(ctx, q->config, body, passed);
    put_format(ctx, body);
    const struct fm_value *choice = llm_tool_choice(ctx, q->config);
    if (choice != NULL)
        fm_map_set(ctx, body, "tool_choice", choice);
    if (llm_goes_on(q) && wants_call(llm_member(body, "tool_choice")))
        fm_map_set(ctx, body, "tool_choice", fm_string(ctx, "auto"));
    size_t turn = fm_value_size(q->messages); /* where the last one begins */
    while (turn > 0 &&
           strcmp(fm_value_string(fm_value_get(fm_value_at(q->messages, turn - 1), "role"), ""), "user") != 0)
        turn--;
    struct fm_value *rest = fm_list(ctx); /* of results: after all of a reply's, for these must follow it */
    size_t n = fm_value_size(q->messages);
    for (size_t i = 0; i < n; i++) {
        fm_list_add(ctx, messages, message_of(ctx, fm_value_at(q->messages, i), i >= turn, rest));
        const char *next =
            i + 1 < n ? fm_value_string(fm_value_get(fm_value_at(q->messages, i + 1), "role"), "") : "";
        if (fm_value_size(rest) == 0 || strcmp(next, "tool") == 0)
            continue;
        struct fm_value *m = fm_map(ctx);
        fm_map_set(ctx, m, "role", fm_string(ctx, "user"));
        fm_map_set(ctx, m, "content", rest);
        fm_list_add(ctx, messages, m);
        rest = fm_list(ctx);
    }
    fm_map_set(ctx, body, "messages", messages);
    llm_put_tools(ctx, body, tools_of(ctx, q->tools));
    return fm_value_bool(fm_value_get(q->config, "stream"), false) ? put_stream(ctx, body) : body;
}

/* OpenAI itself wants max_completion_tokens, and its reasoning models, whose thoughts count, take
 * nothing else; other servers know max_tokens. */
static struct llm_cap cap_of(const struct fm_value *config)
{
    static const char *const reasoning[] = {"o1", "o3", "o4", "gpt-5"};
    const char *model = fm_value_string(fm_value_get(config, "model"), "");
    bool reasons = false;
    for (size_t i = 0; i < sizeof(reasoning) / sizeof(reasoning[0]); i++)
        reasons = reasons || strncmp(model, reasoning[i], strlen(reasoning[i])) == 0;
    return (struct llm_cap){reasons || fm_value_get(config, "base_url") == NULL ? "max_completion_tokens"
                                                                                : "max_tokens",
                            reasons ? 32768 : 4096};
}

/* ---- the reply ---- */

/* Counts that come again are totals; null and 0 take nothing back. */
static void take_usage(struct llm_reply *reply, const struct fm_value *v)
{
    const struct fm_value *usage = fm_value_get(v, "usage");
    uint64_t in = llm_count(usage, "prompt_tokens"), out = llm_count(usage, "completion_tokens"),
             cached = llm_count(usage, "prompt_tokens_details.cached_tokens");
    if (cached == 0)
        cached = llm_count(usage, "prompt_cache_hit_tokens"); /* DeepSeek's */
    reply->input_tokens = in > 0 ? in : reply->input_tokens;
    reply->output_tokens = out > 0 ? out : reply->output_tokens;
    reply->cached_tokens = cached > 0 ? cached : reply->cached_tokens;
}

/* The text of a part of the content; NULL: it is something else. */
static const char *part_text(const struct fm_value *part)
{
    if (fm_value_kind(part) == FM_STRING)
        return fm_value_string(part, "");
    const char *type = fm_value_string(fm_value_get(part, "type"), "text");
    bool is_text = strcmp(type, "text") == 0 || strcmp(type, "output_text") == 0;
    return is_text ? fm_value_string(fm_value_get(part, "text"), NULL) : NULL;
}

/* Content is a text, or a list of parts: texts are joined, and when there are others all is kept as it
 * came. */
static void take_content(struct fm_ctx *ctx, struct llm_reply *reply, const struct fm_value *content)
{
    struct llm_str said = {0};
    reply->text = fm_value_string(content, NULL);
    for (size_t i = 0; fm_value_kind(content) == FM_LIST && i < fm_value_size(content); i++) {
        const char *text = part_text(fm_value_at(content, i));
        if (text == NULL)
            reply->blocks = content;
        else
            llm_add(ctx, &said, text, strlen(text));
    }
    if (said.n > 0)
        reply->text = said.p;
}

/* A refusal stands in a field of its own, beside an ordinary finish_reason. */
static void take_refusal(struct llm_reply *reply, const char *refusal)
{
    if (refusal[0] == '\0')
        return;
    reply->stop = "refusal";
    if (reply->text == NULL || reply->text[0] == '\0')
        reply->text = refusal;
}

/* Of a stream that does not say why it ended, a call without arguments may be the beginning of
 * one. */
static void take_stream(struct fm_ctx *ctx, struct stream *s)
{
    struct fm_value *list = fm_list(ctx);
    bool unsure = llm_stop_of(s->h.reply->stop) == LLM_STOP_NONE;
    for (size_t i = 0; i < s->calls.n; i++) {
        const struct openai_call *call = &s->calls.list[i];
        const struct llm_str *text = &call->arguments;
        const struct fm_value *c =
            llm_call_of(ctx, call->id, call->name, text->n > 0 ? fm_string(ctx, text->p) : NULL);
        c = llm_with_thoughts(ctx, c, call->thoughts);
        if (unsure && text->n == 0)
            c = llm_not_run(ctx, c,
                            "error: your reply broke off before the arguments, so the tool was not called");
        fm_list_add(ctx, list, c);
    }
    s->h.reply->text = s->h.text.p;
    if (s->others != NULL && s->h.text.n > 0) {
        struct fm_value *said = fm_map(ctx);
        fm_map_set(ctx, said, "type", fm_string(ctx, "text"));
        fm_map_set(ctx, said, "text", fm_string(ctx, s->h.text.p));
        fm_list_add(ctx, s->others, said);
    }
    s->h.reply->blocks = s->others;
    s->h.reply->thoughts = reasoning_of(ctx, &s->thoughts);
    if (s->refuses)
        s->h.reply->stop = "refusal";
    s->h.reply->tool_calls = list;
}

static int on_end(struct fm_ctx *ctx, struct llm_http *h, const struct fm_value *json)
{
    if (json == NULL) {
        take_stream(ctx, (struct stream *)h);
        return 0;
    }
    const struct fm_value *choice = fm_value_at(fm_value_get(json, "choices"), 0),
                          *calls = fm_value_get(choice, "message.tool_calls");
    struct fm_value *list = fm_list(ctx);
    take_usage(h->reply, json);
    if (fm_value_kind(fm_value_get(choice, "message")) != FM_MAP)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE,
                           "the model's reply is malformed: it has no choices[0].message");
    struct reasoning thoughts = {0};
    reasoning_add(ctx, &thoughts, fm_value_get(choice, "message"));
    h->reply->thoughts = reasoning_of(ctx, &thoughts);
    take_content(ctx, h->reply, fm_value_get(choice, "message.content"));
    h->reply->stop = fm_value_string(fm_value_get(choice, "finish_reason"), "");
    take_refusal(h->reply, fm_value_string(fm_value_get(choice, "message.refusal"), ""));
    for (size_t i = 0; fm_value_kind(calls) == FM_LIST && i < fm_value_size(calls); i++) {
        const struct fm_value *c = fm_value_at(calls, i);
        const struct fm_value *call = llm_call_of(ctx, fm_value_string(fm_value_get(c, "id"), NULL),
                                                  fm_value_string(fm_value_get(c, "function.name"), NULL),
                                                  fm_value_get(c, "function.arguments"));
        fm_list_add(ctx, list, llm_with_thoughts(ctx, call, reasoning_of_call(ctx, c)));
    }
    h->reply->tool_calls = list;
    return 0;
}

/* The text of a delta, and parts that are none: copied, for the event's memory will be gone. */
static void add_content(struct fm_ctx *ctx, struct stream *s, const struct fm_value *content)
{
    llm_say(ctx, &s->h, fm_value_string(content, ""));
    for (size_t i = 0; fm_value_kind(content) == FM_LIST && i < fm_value_size(content); i++) {
        const struct fm_value *part = fm_value_at(content, i);
        fm_auto(fm_err) err = {0};
        const char *text = part_text(part);
        if (text != NULL) {
            llm_say(ctx, &s->h, text);
            continue;
        }
        text = fm_value_string(llm_json_text(ctx, part), "");
        part = ctx_json(ctx, text, strlen(text), &err);
        s->others = s->others != NULL ? s->others : fm_list(ctx);
        if (part != NULL)
            fm_list_add(ctx, s->others, part);
    }
}

static int on_event(struct fm_ctx *ctx, struct llm_http *h, const char *event, const struct fm_value *data)
{
    (void)event;
    const struct fm_value *choice = fm_value_at(fm_value_get(data, "choices"), 0),
                          *delta = fm_value_get(choice, "delta");
    const char *refusal = fm_value_string(fm_value_get(delta, "refusal"), ""),
               *stop = fm_value_string(fm_value_get(choice, "finish_reason"), NULL);
    take_usage(h->reply, data);
    reasoning_add(ctx, &((struct stream *)h)->thoughts, delta);
    add_content(ctx, (struct stream *)h, fm_value_get(delta, "content"));
    if (refusal[0] != '\0') {
        ((struct stream *)h)->refuses = true;
        llm_say(ctx, h, refusal);
    }
    if (stop != NULL)
        h->reply->stop = llm_keep(ctx, stop, strlen(stop));
    const struct fm_value *pieces = fm_value_get(delta, "tool_calls");
    for (size_t i = 0; fm_value_kind(pieces) == FM_LIST && i < fm_value_size(pieces); i++)
        if (openai_calls_add(ctx, &((struct stream *)h)->calls, fm_value_at(pieces, i)) < 0)
            return -1;
    return 0;
}

static int call(struct fm_ctx *ctx, const struct llm_request *q, struct llm_reply *reply, fm_callback done,
                void *arg)
{
    struct stream *s = fm_ctx_alloc(ctx, sizeof(*s));
    struct llm_http *h = &s->h;
    llm_http_init(ctx, h, q, reply, done, arg);
    h->on_event = on_event;
    h->on_end = on_end;
    h->request_id_header = "x-request-id";
    return llm_http_post(ctx, h, BASE_URL, "/chat/completions",
                         llm_auth(ctx, q->config, "Authorization: Bearer "), NULL);
}

const struct llm_provider llm_openai = {"openai", body_of, cap_of, call};
