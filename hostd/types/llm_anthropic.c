/* Provider "anthropic": messages of Anthropic, and of whatever server speaks the same at config.base_url.
 * (https://docs.anthropic.com/en/api/messages) */
#include <stdio.h>
#include <string.h>

#include "llm_provider.h"

#define BASE_URL "https://api.anthropic.com/v1"
#define VERSION "anthropic-version: 2023-06-01"
#define DEFAULT_MAX_TOKENS 1024
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const passed[][2] = {
    {"model",       "model"         },
    {"temperature", "temperature"   },
    {"max_tokens",  "max_tokens"    },
    {"stop",        "stop_sequences"},
    {"top_p",       "top_p"         },
    {NULL,          NULL            }
};

/* ---- the request ---- */

static struct fm_value *block(struct fm_ctx *ctx, const char *type)
{
    struct fm_value *b = fm_map(ctx);
    fm_map_set(ctx, b, "type", fm_string(ctx, type));
    return b;
}

static void add_text(struct fm_ctx *ctx, struct fm_value *blocks, const struct fm_value *content)
{
    const char *text = llm_text(ctx, content);
    if (text[0] == '\0')
        return; /* the API refuses empty texts */
    struct fm_value *b = block(ctx, "text");
    fm_map_set(ctx, b, "text", fm_string(ctx, text));
    fm_list_add(ctx, blocks, b);
}

static void add_blocks(struct fm_ctx *ctx, struct fm_value *blocks, const struct fm_value *m)
{
    const struct fm_value *content = fm_value_get(m, "content"), *calls = fm_value_get(m, "tool_calls");
    const char *role = fm_value_string(fm_value_get(m, "role"), "user");
    if (strcmp(role, "tool") == 0) {
        struct fm_value *b = block(ctx, "tool_result");
        fm_map_set(ctx, b, "tool_use_id", fm_value_get(m, "call_id"));
        fm_map_set(ctx, b, "content", fm_string(ctx, llm_text(ctx, content)));
        fm_list_add(ctx, blocks, b);
        return;
    }
    if (fm_value_kind(content) == FM_LIST && strcmp(role, "user") == 0)
        for (size_t i = 0; i < fm_value_size(content); i++)
            fm_list_add(ctx, blocks, fm_value_at(content, i));
    else
        add_text(ctx, blocks, content);
    for (size_t i = 0; i < fm_value_size(calls); i++) {
        const struct fm_value *c = fm_value_at(calls, i);
        struct fm_value *b = block(ctx, "tool_use");
        fm_map_set(ctx, b, "id", fm_value_get(c, "id"));
        fm_map_set(ctx, b, "name", fm_value_get(c, "name"));
        fm_map_set(ctx, b, "input", fm_value_get(c, "arguments"));
        fm_list_add(ctx, blocks, b);
    }
}

/* Messages of one side that follow each other become one: the sides must take turns. */
static const struct fm_value *messages_of(struct fm_ctx *ctx, const struct llm_request *q,
                                          struct llm_str *system)
{
    struct fm_value *list = fm_list(ctx), *blocks = NULL;
    const char *side = "";
    for (size_t i = 0; i < fm_value_size(q->messages); i++) {
        const struct fm_value *m = fm_value_at(q->messages, i);
        const char *role = fm_value_string(fm_value_get(m, "role"), "user");
        if (strcmp(role, "system") == 0) {
            const char *text = llm_text(ctx, fm_value_get(m, "content"));
            llm_add(ctx, system, "\n\n", system->n > 0 ? 2 : 0);
            llm_add(ctx, system, text, strlen(text));
            continue;
        }
        const char *now = strcmp(role, "assistant") == 0 ? "assistant" : "user";
        if (strcmp(now, side) != 0) {
            struct fm_value *out = fm_map(ctx);
            blocks = fm_list(ctx);
            fm_map_set(ctx, out, "role", fm_string(ctx, now));
            fm_map_set(ctx, out, "content", blocks);
            fm_list_add(ctx, list, out);
            side = now;
        }
        add_blocks(ctx, blocks, m);
    }
    return list;
}

static const struct fm_value *tools_of(struct fm_ctx *ctx, const struct fm_value *tools)
{
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < fm_value_size(tools); i++) {
        const struct fm_value *t = fm_value_at(tools, i);
        struct fm_value *tool = fm_map(ctx);
        fm_map_set(ctx, tool, "name", fm_value_get(t, "name"));
        fm_map_set(ctx, tool, "description", fm_value_get(t, "description"));
        fm_map_set(ctx, tool, "input_schema", fm_value_get(t, "parameters"));
        fm_list_add(ctx, list, tool);
    }
    return list;
}

static const struct fm_value *body_of(struct fm_ctx *ctx, const struct llm_request *q, bool streams)
{
    struct fm_value *body = fm_map(ctx);
    struct llm_str system = {0};
    fm_map_set(ctx, body, "max_tokens", fm_number(ctx, DEFAULT_MAX_TOKENS)); /* the API wants one */
    llm_pass(ctx, q->config, body, passed);
    fm_map_set(ctx, body, "messages", messages_of(ctx, q, &system));
    if (system.n > 0)
        fm_map_set(ctx, body, "system", fm_string(ctx, system.p));
    if (fm_value_size(q->tools) > 0)
        fm_map_set(ctx, body, "tools", tools_of(ctx, q->tools));
    if (streams)
        fm_map_set(ctx, body, "stream", fm_bool(ctx, true));
    return body;
}

/* ---- the reply ---- */

/* Tokens that were read from the cache, or written to it, are counted beside input_tokens. */
static void take_usage(struct llm_reply *reply, const struct fm_value *usage)
{
    uint64_t cached = llm_count(usage, "cache_read_input_tokens");
    if (fm_value_get(usage, "input_tokens") != NULL) {
        reply->input_tokens =
            llm_count(usage, "input_tokens") + cached + llm_count(usage, "cache_creation_input_tokens");
        reply->cached_tokens = cached;
    }
    if (fm_value_get(usage, "output_tokens") != NULL)
        reply->output_tokens = llm_count(usage, "output_tokens");
}

static int on_end(struct fm_ctx *ctx, struct llm_http *h, const struct fm_value *json)
{
    if (json == NULL) {
        h->reply->text = h->text.p;
        h->reply->tool_calls = h->n_calls > 0 ? llm_stream_calls(ctx, h) : NULL;
        return h->n_calls > 0 && h->reply->tool_calls == NULL ? -1 : 0;
    }
    const struct fm_value *content = fm_value_get(json, "content");
    struct fm_value *calls = fm_list(ctx);
    if (fm_value_kind(content) != FM_LIST)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE,
                           "the model's reply is malformed: it has no list \"content\"");
    for (size_t i = 0; i < fm_value_size(content); i++) {
        const struct fm_value *b = fm_value_at(content, i);
        const char *type = fm_value_string(fm_value_get(b, "type"), ""),
                   *text = fm_value_string(fm_value_get(b, "text"), "");
        if (strcmp(type, "text") == 0)
            llm_add(ctx, &h->text, text, strlen(text));
        if (strcmp(type, "tool_use") != 0)
            continue;
        struct fm_value *call = fm_map(ctx);
        fm_map_set(ctx, call, "id", fm_value_get(b, "id"));
        fm_map_set(ctx, call, "name", fm_value_get(b, "name"));
        fm_map_set(ctx, call, "arguments", fm_value_get(b, "input"));
        fm_list_add(ctx, calls, call);
    }
    take_usage(h->reply, fm_value_get(json, "usage"));
    h->reply->text = h->text.p;
    h->reply->tool_calls = calls;
    h->reply->stop = fm_value_string(fm_value_get(json, "stop_reason"), "");
    return 0;
}

/* The tool call of a block of the stream: blocks are numbered together with texts, calls are not. */
static void start_block(struct fm_ctx *ctx, struct llm_http *h, const struct fm_value *b)
{
    (void)ctx;
    if (strcmp(fm_value_string(fm_value_get(b, "type"), ""), "tool_use") != 0 ||
        h->n_calls == COUNT(h->calls))
        return;
    h->calls[h->n_calls].id = fm_value_string(fm_value_get(b, "id"), "");
    h->calls[h->n_calls].name = fm_value_string(fm_value_get(b, "name"), "");
    h->n_calls++;
}

static int on_event(struct fm_ctx *ctx, struct llm_http *h, const char *event, const struct fm_value *data)
{
    const char *type = fm_value_string(fm_value_get(data, "type"), event);
    if (strcmp(type, "error") == 0)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "the model's stream failed: %.400s",
                           fm_value_string(fm_value_get(data, "error.message"), "it does not say why"));
    if (strcmp(type, "message_start") == 0)
        take_usage(h->reply, fm_value_get(data, "message.usage"));
    else if (strcmp(type, "content_block_start") == 0)
        start_block(ctx, h, fm_value_get(data, "content_block"));
    else if (strcmp(type, "content_block_delta") == 0) {
        const char *text = fm_value_string(fm_value_get(data, "delta.text"), ""),
                   *json = fm_value_string(fm_value_get(data, "delta.partial_json"), "");
        llm_add(ctx, &h->text, text, strlen(text));
        if (text[0] != '\0')
            fm_ctx_progress(ctx, h->text.p);
        if (h->n_calls > 0) /* blocks come one after the other: it is the last one's */
            llm_add(ctx, &h->calls[h->n_calls - 1].arguments, json, strlen(json));
    } else if (strcmp(type, "message_delta") == 0) {
        take_usage(h->reply, fm_value_get(data, "usage"));
        h->reply->stop = fm_value_string(fm_value_get(data, "delta.stop_reason"), h->reply->stop);
    } else if (strcmp(type, "message_stop") == 0) {
        h->complete = true;
    }
    return 0;
}

static int call(struct fm_ctx *ctx, const struct llm_request *q, struct llm_reply *reply, fm_callback done,
                void *arg)
{
    struct llm_http *h = fm_ctx_alloc(ctx, sizeof(*h));
    h->q = q;
    h->reply = reply;
    h->done = done;
    h->arg = arg;
    h->on_event = on_event;
    h->on_end = on_end;
    h->streams = fm_value_bool(fm_value_get(q->config, "stream"), false);
    h->request_id_header = "request-id";
    return llm_http_post(ctx, h, BASE_URL, "/messages", llm_auth(ctx, q->config, "x-api-key: "), VERSION,
                         body_of(ctx, q, h->streams));
}

const struct llm_provider llm_anthropic = {"anthropic", call};
