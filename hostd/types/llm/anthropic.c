/* Provider "anthropic": messages of Anthropic, and of whatever server speaks the same at
 * config.base_url. (https://docs.anthropic.com/en/api/messages)
 *
 * A reply is a list of blocks. Texts and tool calls are kept in the conversation's own form; when
 * there are others (thinking, redacted_thinking, those of the provider's own tools), a message also
 * has "blocks": all of the reply as it was, which the API wants back unchanged, but with {"type":
 * "tool_use"} in the place of each call. */
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "own_types.h"
#include "stop.h"
#include "tool_calls.h"
#include "value.h"

#define BASE_URL "https://api.anthropic.com/v1"
#define VERSION "anthropic-version: 2023-06-01"
#define DEFAULT_MAX_TOKENS 1024
#define MAX_BLOCKS 1024 /* of one streamed reply */

static const char *const passed[][2] = {
    {"model",       "model"      },
    {"temperature", "temperature"},
    {"max_tokens",  "max_tokens" },
    {"top_p",       "top_p"      },
    {NULL,          NULL         }
};

/* ---- the request ---- */

static struct fm_value *block(struct fm_ctx *ctx, const char *type)
{
    struct fm_value *b = fm_map(ctx);
    fm_map_set(ctx, b, "type", fm_string(ctx, type));
    return b;
}

/* The API refuses texts of nothing but white space. */
static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

static void add_text(struct fm_ctx *ctx, struct fm_value *blocks, const struct fm_value *content)
{
    const char *text = llm_text(ctx, content);
    if (is_blank(text))
        return;
    struct fm_value *b = block(ctx, "text");
    fm_map_set(ctx, b, "text", fm_string(ctx, text));
    fm_list_add(ctx, blocks, b);
}

static void add_call(struct fm_ctx *ctx, struct fm_value *blocks, const struct fm_value *call)
{
    const struct fm_value *arguments = fm_value_get(call, "arguments");
    struct fm_value *b = block(ctx, "tool_use");
    fm_map_set(ctx, b, "id", fm_value_get(call, "id"));
    fm_map_set(ctx, b, "name", llm_tool_name(ctx, call));
    fm_map_set(ctx, b, "input", fm_value_kind(arguments) == FM_MAP ? arguments : fm_map(ctx));
    fm_list_add(ctx, blocks, b);
}

/* A reply that had more than texts and calls, as it was. */
static void add_kept(struct fm_ctx *ctx, struct fm_value *blocks, const struct fm_value *kept,
                     const struct fm_value *calls)
{
    size_t call = 0;
    for (size_t i = 0; i < fm_value_size(kept); i++) {
        const struct fm_value *b = fm_value_at(kept, i);
        const char *type = fm_value_string(fm_value_get(b, "type"), "");
        if (strcmp(type, "tool_use") == 0)
            add_call(ctx, blocks, fm_value_at(calls, call++));
        else if (strcmp(type, "text") != 0 || !is_blank(fm_value_string(fm_value_get(b, "text"), "")))
            fm_list_add(ctx, blocks, b);
    }
}

static const struct fm_value *parts_of(struct fm_ctx *ctx, const struct fm_value *parts)
{
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < fm_value_size(parts); i++)
        fm_list_add(ctx, list, llm_part_for_messages(ctx, fm_value_at(parts, i)));
    return list;
}

static void add_blocks(struct fm_ctx *ctx, struct fm_value *blocks, const struct fm_value *m)
{
    const struct fm_value *content = fm_value_get(m, "content"), *calls = fm_value_get(m, "tool_calls"),
                          *kept = fm_value_get(m, "blocks");
    const char *role = fm_value_string(fm_value_get(m, "role"), "user");
    if (strcmp(role, "tool") == 0) {
        struct fm_value *b = block(ctx, "tool_result");
        fm_map_set(ctx, b, "tool_use_id", fm_value_get(m, "call_id"));
        const struct fm_value *parts = llm_result_parts(content);
        fm_map_set(ctx, b, "content",
                   parts != NULL ? parts_of(ctx, parts) : fm_string(ctx, llm_text(ctx, content)));
        if (fm_value_bool(fm_value_get(m, "error"), false))
            fm_map_set(ctx, b, "is_error", fm_bool(ctx, true));
        fm_list_add(ctx, blocks, b);
        return;
    }
    if (fm_value_size(kept) > 0) {
        add_kept(ctx, blocks, kept, calls);
        return;
    }
    if (fm_value_kind(content) == FM_LIST && strcmp(role, "user") == 0)
        for (size_t i = 0; i < fm_value_size(content); i++)
            fm_list_add(ctx, blocks, llm_part_for_messages(ctx, fm_value_at(content, i)));
    else
        add_text(ctx, blocks, content);
    for (size_t i = 0; i < fm_value_size(calls); i++)
        add_call(ctx, blocks, fm_value_at(calls, i));
}

/* A text, or a list of blocks. */
static void add_system(struct fm_ctx *ctx, struct fm_value *system, const struct fm_value *content)
{
    for (size_t i = 0; fm_value_kind(content) == FM_LIST && i < fm_value_size(content); i++)
        fm_list_add(ctx, system, fm_value_at(content, i));
    if (fm_value_kind(content) != FM_LIST)
        fm_list_add(ctx, system, fm_string(ctx, llm_text(ctx, content)));
}

/* Messages of one side that follow each other become one: the sides must take turns. One without
 * content is left out. */
static const struct fm_value *messages_of(struct fm_ctx *ctx, const struct llm_request *q,
                                          struct fm_value *system)
{
    struct fm_value *list = fm_list(ctx), *blocks = NULL;
    const char *side = "";
    for (size_t i = 0; i < fm_value_size(q->messages); i++) {
        const struct fm_value *m = fm_value_at(q->messages, i);
        const char *role = fm_value_string(fm_value_get(m, "role"), "user");
        if (strcmp(role, "system") == 0) {
            add_system(ctx, system, fm_value_get(m, "content"));
            continue;
        }
        const char *now = strcmp(role, "assistant") == 0 ? "assistant" : "user";
        struct fm_value *to = strcmp(now, side) == 0 ? blocks : fm_list(ctx);
        add_blocks(ctx, to, m);
        if (to == blocks || fm_value_size(to) == 0)
            continue;
        struct fm_value *out = fm_map(ctx);
        fm_map_set(ctx, out, "role", fm_string(ctx, now));
        fm_map_set(ctx, out, "content", to);
        fm_list_add(ctx, list, out);
        blocks = to;
        side = now;
    }
    return list;
}

static struct fm_value *tools_of(struct fm_ctx *ctx, const struct fm_value *tools)
{
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < fm_value_size(tools); i++) {
        const struct fm_value *t = fm_value_at(tools, i);
        struct fm_value *tool = llm_without(ctx, t, "parameters");
        fm_map_set(ctx, tool, "input_schema", fm_value_get(t, "parameters"));
        fm_list_add(ctx, list, tool);
    }
    return list;
}

/* The system message, and after it what config.params says: one text when all are texts, else blocks. */
static void put_system(struct fm_ctx *ctx, struct fm_value *body, struct fm_value *own)
{
    const struct fm_value *more = llm_member(body, "system");
    struct llm_str text = {0};
    struct fm_value *blocks = fm_list(ctx);
    bool plain = true;
    if (fm_value_size(own) == 0)
        return;
    if (more != NULL && fm_value_kind(more) != FM_NULL && fm_value_string(more, "-")[0] != '\0')
        add_system(ctx, own, more);
    for (size_t i = 0; i < fm_value_size(own); i++) {
        const struct fm_value *v = fm_value_at(own, i);
        const char *said = fm_value_string(v, NULL);
        plain = plain && said != NULL;
        if (said == NULL) {
            fm_list_add(ctx, blocks, v);
            continue;
        }
        llm_add(ctx, &text, "\n\n", text.n > 0 ? 2 : 0);
        llm_add(ctx, &text, said, strlen(said));
        struct fm_value *b = block(ctx, "text");
        fm_map_set(ctx, b, "text", v);
        fm_list_add(ctx, blocks, b);
    }
    fm_map_set(ctx, body, "system", plain ? fm_string(ctx, text.p) : blocks);
}

/* config.stop: one text, or several; the API wants a list. */
static void put_stop(struct fm_ctx *ctx, struct fm_value *body, const struct fm_value *stop)
{
    struct fm_value *list = fm_list(ctx);
    if (fm_value_kind(stop) == FM_STRING)
        fm_list_add(ctx, list, stop);
    if (stop != NULL && fm_value_kind(stop) != FM_NULL)
        fm_map_set(ctx, body, "stop_sequences", fm_value_kind(stop) == FM_LIST ? stop : list);
}

/* config.response_format, which is written as OpenAI does, as output_config.format. -1 after
 * fm_ctx_fail. */
static int put_format(struct fm_ctx *ctx, struct fm_value *body, const struct fm_value *wanted)
{
    const char *type = fm_value_string(fm_value_get(wanted, "type"), "");
    const struct fm_value *schema = fm_value_get(wanted, "json_schema.schema");
    if (wanted == NULL || strcmp(type, "text") == 0)
        return 0;
    if (schema == NULL)
        schema = fm_value_get(wanted, "schema");
    schema = llm_schema(ctx, schema);
    if (strcmp(type, "json_schema") != 0 ||
        (fm_value_kind(schema) != FM_MAP && value_is_raw_json(schema) == NULL)) {
        (void)fm_ctx_fail(
            ctx, FM_FAIL_INVALID_ARGUMENT,
            "config.response_format: anthropic knows {\"type\": \"json_schema\", \"json_schema\": "
            "{\"schema\": …}} and {\"type\": \"text\"}; the type is \"%.64s\"",
            type);
        fm_ctx_fail_permanent(ctx);
        return -1;
    }
    struct fm_value *format = block(ctx, "json_schema"),
                    *output = fm_map_copy(ctx, fm_value_get(body, "output_config"));
    fm_map_set(ctx, format, "schema", schema);
    fm_map_set(ctx, output, "format", format);
    fm_map_set(ctx, body, "output_config", output);
    return 0;
}

/* tool_choice and parallel_tool_calls, which are written as chat completions do, in the API's form. */
static void put_choice(struct fm_ctx *ctx, const struct llm_request *q, struct fm_value *body)
{
    const struct fm_value *given = fm_value_get(q->config, "tool_choice"),
                          *parallel = fm_value_get(q->config, "parallel_tool_calls"),
                          *name = fm_value_get(llm_tool_choice(ctx, q->config), "function.name");
    const char *word = fm_value_string(given, "");
    struct fm_value *choice = NULL;
    if (name != NULL) {
        choice = block(ctx, "tool");
        fm_map_set(ctx, choice, "name", name);
    } else if (word[0] != '\0') {
        choice = block(ctx, strcmp(word, "required") == 0 ? "any" : word);
    } else if (given != NULL) {
        choice = fm_map_copy(ctx, given);
    }
    if (parallel != NULL && !fm_value_bool(parallel, true)) {
        choice = choice != NULL ? choice : block(ctx, "auto");
        fm_map_set(ctx, choice, "disable_parallel_tool_use", fm_bool(ctx, true));
    }
    if (choice != NULL && (fm_value_size(q->tools) > 0 || given != NULL))
        fm_map_set(ctx, body, "tool_choice", choice);
}

/* A choice that makes the model call a tool holds for the first call of a turn. */
static void relax_choice(struct fm_ctx *ctx, const struct llm_request *q, struct fm_value *body)
{
    const struct fm_value *choice = llm_member(body, "tool_choice");
    const char *type = fm_value_string(fm_value_get(choice, "type"), "");
    if (!llm_goes_on(q) || (strcmp(type, "any") != 0 && strcmp(type, "tool") != 0))
        return;
    struct fm_value *relaxed = llm_without(ctx, choice, "name");
    fm_map_set(ctx, relaxed, "type", fm_string(ctx, "auto"));
    fm_map_set(ctx, body, "tool_choice", relaxed);
}

/* NULL after fm_ctx_fail. */
static struct fm_value *body_of(struct fm_ctx *ctx, const struct llm_request *q)
{
    struct fm_value *body = fm_map(ctx);
    struct fm_value *system = fm_list(ctx);
    fm_map_set(ctx, body, "max_tokens", fm_number(ctx, DEFAULT_MAX_TOKENS)); /* the API wants one */
    put_stop(ctx, body, fm_value_get(q->config, "stop"));
    llm_pass(ctx, q->config, body, passed);
    put_choice(ctx, q, body);
    relax_choice(ctx, q, body);
    if (put_format(ctx, body, fm_value_get(q->config, "response_format")) < 0)
        return NULL;
    fm_map_set(ctx, body, "messages", messages_of(ctx, q, system));
    put_system(ctx, body, system);
    llm_put_tools(ctx, body, tools_of(ctx, q->tools));
    if (fm_value_bool(fm_value_get(q->config, "stream"), false))
        fm_map_set(ctx, body, "stream", fm_bool(ctx, true));
    return body;
}

static struct llm_cap cap_of(const struct fm_value *config)
{
    (void)config;
    return (struct llm_cap){"max_tokens", DEFAULT_MAX_TOKENS};
}

/* ---- the reply ---- */

/* A count that is given anew: null and 0, which some servers send at the end, take nothing back. */
static void take_count(const struct fm_value *usage, const char *key, uint64_t *count)
{
    uint64_t n = llm_count(usage, key);
    if (n > 0)
        *count = n;
}

/* Tokens that were read from the cache, or written to it, are counted beside input_tokens. */
static void take_usage(struct llm_reply *r, const struct fm_value *usage)
{
    take_count(usage, "input_tokens", &r->fresh_tokens);
    take_count(usage, "cache_read_input_tokens", &r->cached_tokens);
    take_count(usage, "cache_creation_input_tokens", &r->cache_write_tokens);
    take_count(usage, "output_tokens", &r->output_tokens);
    r->input_tokens = r->fresh_tokens + r->cached_tokens + r->cache_write_tokens;
}

static const struct fm_value *call_of(struct fm_ctx *ctx, const struct llm_reply *r, const struct fm_value *b)
{
    const struct fm_value *input = fm_value_get(b, "input");
    const struct fm_value *c = llm_call_of(ctx, fm_value_string(fm_value_get(b, "id"), NULL),
                                           fm_value_string(fm_value_get(b, "name"), NULL), input);
    return input != NULL || llm_stop_of(r->stop) != LLM_STOP_NONE
               ? c
               : llm_not_run(ctx, c,
                             "error: your reply broke off before the arguments, so the tool was not called");
}

/* What the reply's blocks say. */
static void take_blocks(struct fm_ctx *ctx, struct llm_http *h, const struct fm_value *content)
{
    struct fm_value *calls = fm_list(ctx), *kept = fm_list(ctx);
    struct llm_str said = {0};
    bool others = false;
    for (size_t i = 0; i < fm_value_size(content); i++) {
        const struct fm_value *b = fm_value_at(content, i);
        const char *type = fm_value_string(fm_value_get(b, "type"), ""),
                   *text = fm_value_string(fm_value_get(b, "text"), "");
        bool is_call = strcmp(type, "tool_use") == 0, is_text = strcmp(type, "text") == 0;
        if (is_text)
            llm_add(ctx, &said, text, strlen(text));
        if (is_call)
            fm_list_add(ctx, calls, call_of(ctx, h->reply, b));
        h->reply->last_call_ended = !is_call;
        fm_list_add(ctx, kept, is_call ? block(ctx, type) : b);
        others = others || (!is_call && !is_text);
    }
    h->reply->text = said.p;
    h->reply->tool_calls = calls;
    h->reply->blocks = others ? kept : NULL;
    h->reply->goes_on = strcmp(h->reply->stop != NULL ? h->reply->stop : "", "pause_turn") == 0;
}

/* ---- streams ---- */

/* A block of which pieces come. */
struct part {
    const struct fm_value *start;
    double index; /* of the block; negative: none was given */
    struct llm_str text, json, thinking, signature;
    struct fm_value *citations; /* NULL: none */
};

struct stream {
    struct llm_http h; /* first: callbacks get it */
    struct part *parts;
    size_t n, cap, calls;
};

static int too_many(struct fm_ctx *ctx, const char *does, int limit, const char *what)
{
    (void)fm_ctx_fail(ctx, FM_FAIL_RESOURCE_EXHAUSTED, "the model %s more than %d %s in one streamed reply",
                      does, limit, what);
    fm_ctx_fail_permanent(ctx);
    return -1;
}

static int start_part(struct fm_ctx *ctx, struct stream *s, const struct fm_value *b, double index)
{
    fm_auto(fm_err) err = {0};
    if (strcmp(fm_value_string(fm_value_get(b, "type"), ""), "tool_use") == 0 &&
        s->calls++ == LLM_MAX_STREAMED_CALLS)
        return too_many(ctx, "calls", LLM_MAX_STREAMED_CALLS, "tools");
    if (s->n == MAX_BLOCKS)
        return too_many(ctx, "sends", MAX_BLOCKS, "blocks");
    if (s->n == s->cap) {
        struct part *more = fm_ctx_alloc(ctx, (2 * s->cap + 8) * sizeof(*more));
        if (s->n > 0)
            memcpy(more, s->parts, s->n * sizeof(*more));
        s->parts = more;
        s->cap = 2 * s->cap + 8;
    }
    const char *text = fm_value_string(llm_json_text(ctx, b), ""); /* the event's memory will be gone */
    const struct fm_value *start = ctx_json(ctx, text, strlen(text), &err);
    s->parts[s->n++] = (struct part){.start = start != NULL ? start : fm_map(ctx), .index = index};
    return 0;
}

static void add(struct fm_ctx *ctx, struct llm_str *s, const struct fm_value *delta, const char *key)
{
    const char *piece = fm_value_string(fm_value_get(delta, key), "");
    if (piece[0] != '\0')
        llm_add(ctx, s, piece, strlen(piece));
}

/* The block with this index; without one, the last. NULL: there is none. */
static struct part *part_of(struct stream *s, double index)
{
    for (size_t i = s->n; i > 0; i--)
        if (index < 0 || s->parts[i - 1].index == index || s->parts[i - 1].index < 0)
            return &s->parts[i - 1];
    return NULL;
}

/* -1 after fm_ctx_fail. Blocks may come at the same time. */
static int add_delta(struct fm_ctx *ctx, struct stream *s, const struct fm_value *delta, double index)
{
    const struct fm_value *citation = fm_value_get(delta, "citation");
    fm_auto(fm_err) err = {0};
    struct part *p = part_of(s, index);
    if (p == NULL && fm_value_get(delta, "text") == NULL)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE,
                           "the model's stream is malformed: a piece belongs to no block that has begun");
    if (p == NULL) { /* some servers do not say that a text begins */
        if (start_part(ctx, s, block(ctx, "text"), index) < 0)
            return -1;
        p = &s->parts[s->n - 1];
    }
    add(ctx, &p->text, delta, "text");
    add(ctx, &p->json, delta, "partial_json");
    add(ctx, &p->thinking, delta, "thinking");
    add(ctx, &p->signature, delta, "signature");
    llm_say(ctx, &s->h, fm_value_string(fm_value_get(delta, "text"), ""));
    if (citation == NULL)
        return 0;
    const char *text = fm_value_string(llm_json_text(ctx, citation), "");
    p->citations = p->citations != NULL ? p->citations : fm_list(ctx);
    citation = ctx_json(ctx, text, strlen(text), &err);
    if (citation != NULL)
        fm_list_add(ctx, p->citations, citation);
    return 0;
}

static void put_piece(struct fm_ctx *ctx, struct fm_value *b, const char *key, const struct llm_str *s)
{
    if (s->n > 0)
        fm_map_set(ctx, b, key, fm_string(ctx, s->p));
}

/* The blocks as they would have come without a stream, but a call's input is the text that came, or
 * missing when none did. */
static const struct fm_value *put_together(struct fm_ctx *ctx, struct stream *s)
{
    struct fm_value *content = fm_list(ctx);
    for (size_t i = 0; i < s->n; i++) {
        const struct part *p = &s->parts[i];
        const struct fm_value *input = fm_value_get(p->start, "input");
        bool bare = strcmp(fm_value_string(fm_value_get(p->start, "type"), ""), "tool_use") == 0 &&
                    fm_value_size(input) == 0;
        struct fm_value *b = bare ? llm_without(ctx, p->start, "input") : fm_map_copy(ctx, p->start);
        put_piece(ctx, b, "text", &p->text);
        put_piece(ctx, b, "thinking", &p->thinking);
        put_piece(ctx, b, "signature", &p->signature);
        if (p->citations != NULL)
            fm_map_set(ctx, b, "citations", p->citations);
        put_piece(ctx, b, "input", &p->json);
        fm_list_add(ctx, content, b);
    }
    return content;
}

static int on_event(struct fm_ctx *ctx, struct llm_http *h, const char *event, const struct fm_value *data)
{
    struct stream *s = (struct stream *)h;
    const char *type = fm_value_string(fm_value_get(data, "type"), event);
    double index = fm_value_number(fm_value_get(data, "index"), -1);
    if (strcmp(type, "content_block_start") == 0)
        return start_part(ctx, s, fm_value_get(data, "content_block"), index);
    if (strcmp(type, "message_start") == 0) {
        take_usage(h->reply, fm_value_get(data, "message.usage"));
    } else if (strcmp(type, "content_block_delta") == 0) {
        return add_delta(ctx, s, fm_value_get(data, "delta"), index);
    } else if (strcmp(type, "message_delta") == 0) {
        const char *stop = fm_value_string(fm_value_get(data, "delta.stop_reason"), NULL);
        take_usage(h->reply, fm_value_get(data, "usage"));
        if (stop != NULL)
            h->reply->stop = llm_keep(ctx, stop, strlen(stop));
    } else if (strcmp(type, "message_stop") == 0) {
        h->complete = true;
    }
    return 0;
}

static int on_end(struct fm_ctx *ctx, struct llm_http *h, const struct fm_value *json)
{
    const struct fm_value *content;
    if (json == NULL) {
        content = put_together(ctx, (struct stream *)h);
    } else {
        take_usage(h->reply, fm_value_get(json, "usage"));
        content = fm_value_get(json, "content");
        h->reply->stop = fm_value_string(fm_value_get(json, "stop_reason"), "");
    }
    if (fm_value_kind(content) != FM_LIST)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE,
                           "the model's reply is malformed: it has no list \"content\"");
    take_blocks(ctx, h, content);
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
    h->request_id_header = "request-id";
    return llm_http_post(ctx, h, BASE_URL, "/messages", llm_auth(ctx, q->config, "x-api-key: "),
                         llm_has_header(q->config, "anthropic-version") ? NULL : VERSION);
}

const struct llm_provider llm_anthropic = {"anthropic", body_of, cap_of, call};
