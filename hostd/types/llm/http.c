/* What providers over HTTP share: sending, errors, streams of server-sent events. See
 * provider.h. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "errors.h"
#include "http_header.h"
#include "lenient.h"
#include "mem.h"
#include "own_types.h"
#include "provider.h"
#include "stop.h"
#include "tool_calls.h"

#define MAX_RESPONSE_BYTES (16u * 1024 * 1024)
#define MAX_EVENT_BYTES (4u * 1024 * 1024)
#define TOTAL_MS (600ull * 1000) /* for a call, where config says nothing */

static int hide_in_reply(struct fm_ctx *ctx, struct llm_reply *r, bool redacted)
{
    const struct fm_value **const values[] = {&r->blocks, &r->thoughts};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        const struct fm_value *v = llm_hidden_value(ctx, *values[i]);
        if (v == NULL && *values[i] != NULL)
            return -1;
        *values[i] = v;
    }
    if (r->tool_calls != NULL && (r->tool_calls = llm_hidden_calls(ctx, r->tool_calls, redacted)) == NULL)
        return -1;
    r->text = llm_hidden(ctx, r->text);
    return 0;
}

/* ---- streams ---- */

struct arrival {
    struct fm_ctx *ctx;
    struct llm_http *h;
};

static int take_event(const struct arrival *a, const char *name, const char *data, size_t n)
{
    struct fm_ctx *ctx = a->ctx;
    struct llm_http *h = a->h;
    fm_auto(fm_err) err = {0};
    bool is_error = strcmp(name, "error") == 0;
    const struct fm_value *v = lenient_read(data, n, ctx_scratch(ctx), &err);
    if (is_error || llm_is_error(v))
        return llm_fail_in_reply(ctx, "the model's stream failed", v, is_error ? llm_keep(ctx, data, n) : "");
    if (v != NULL)
        return h->on_event(ctx, h, name, v);
    (void)fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "the model's stream is malformed: %s", err.msg);
    return -1;
}

static int on_sse(void *arg, const char *name, const char *data, size_t n);

/* Some servers send no blank lines between events: then each line is one. */
static int each_line(const struct arrival *a, const char *name, const char *data, size_t n)
{
    int rc = 0;
    while (n > 0 && rc == 0) {
        const char *end = memchr(data, '\n', n);
        size_t length = end == NULL ? n : (size_t)(end - data);
        rc = on_sse((void *)(uintptr_t)a, name, data, length);
        data += length + (end != NULL);
        n -= length + (end != NULL);
    }
    return rc;
}

static int on_sse(void *arg, const char *name, const char *data, size_t n)
{
    const struct arrival *a = arg;
    fm_auto(fm_err) err = {0};
    while (n > 0 && strchr(" \t\n", data[n - 1]) != NULL)
        n--;
    if (n == 0 || a->h->complete)
        return 0; /* to keep the connection alive, or after the end */
    a->h->had_event = true;
    if (n == 6 && memcmp(data, "[DONE]", 6) == 0) {
        a->h->complete = true;
        return 0;
    }
    if (memchr(data, '\n', n) != NULL && lenient_read(data, n, ctx_scratch(a->ctx), &err) == NULL)
        return each_line(a, name, data, n);
    return take_event(a, name, data, n);
}

/* Some servers answer with plain JSON, although a stream was asked for. No stream begins with a
 * brace. */
static bool is_plain(struct llm_http *h, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n && !h->began; i++) {
        h->began = bytes[i] != '\0' && strchr(" \t\r\n\xef\xbb\xbf", bytes[i]) == NULL;
        h->plain = bytes[i] == '{';
    }
    return h->plain;
}

/* What sse.c has returned: -1 after fm_ctx_fail, or 0. */
static int after_sse(struct fm_ctx *ctx, struct llm_http *h, int rc)
{
    h->failed = h->failed || rc != 0;
    if (rc == SSE_TOO_LARGE) {
        (void)fm_ctx_fail(ctx, FM_FAIL_RESOURCE_EXHAUSTED,
                          "an event of the model's stream has more than %u bytes", MAX_EVENT_BYTES);
        fm_ctx_fail_permanent(ctx);
    }
    return rc == 0 ? 0 : -1;
}

static int on_chunk(struct fm_ctx *ctx, void *arg, const char *bytes, size_t n)
{
    struct llm_http *h = arg;
    struct arrival a = {ctx, h};
    if (is_plain(h, bytes, n))
        return 0; /* on_response has it whole */
    if (after_sse(ctx, h, sse_push(&h->sse, bytes, n, on_sse, &a)) < 0)
        return -1;
    return h->had_event ? 1 : 0; /* what is no stream may be an error: it is wanted whole */
}

/* ---- the call ---- */

/* Whether the type of the response's content has this in it. */
static bool says(const struct fm_http_response *r, const char *what)
{
    char type[64];
    return fm_http_header(r, "content-type", type, sizeof(type)) && strstr(type, what) != NULL;
}

/* What is neither a stream nor JSON, such as the page of a proxy, is shown, not called a broken one. */
static int no_reply(struct fm_ctx *ctx, const struct fm_http_response *r, const char *wanted)
{
    char type[64] = "";
    (void)fm_http_header(r, "content-type", type, sizeof(type));
    return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE,
                       "the model's server answered with %s in the place of %s (is base_url right?): %s",
                       type[0] != '\0' ? type : "a text of no type", wanted, llm_shown(ctx, r->body));
}

/* What is complete is taken: the reason for the end says so, whether or not the stream's own end has
 * come. */
static int take_stream(struct fm_ctx *ctx, struct llm_http *h, const struct fm_http_response *r)
{
    struct arrival a = {ctx, h};
    if (after_sse(ctx, h, sse_end(&h->sse, on_sse, &a)) < 0)
        return -1;
    if (!h->had_event && r->body_bytes > 0 && !says(r, "event-stream"))
        return no_reply(ctx, r, "a stream");
    if (!h->complete && llm_stop_of(h->reply->stop) == LLM_STOP_NONE)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "the model's stream broke off");
    return h->on_end(ctx, h, NULL);
}

static int take_json(struct fm_ctx *ctx, struct llm_http *h, const struct fm_http_response *r)
{
    fm_auto(fm_err) err = {0};
    const struct fm_value *json = lenient_read(r->body, r->body_bytes, ctx_arena(ctx), &err);
    if (json == NULL && says(r, "html"))
        return no_reply(ctx, r, "JSON");
    if (json == NULL) {
        (void)fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "the model's reply is malformed: %s", err.msg);
        return -1;
    }
    if (llm_is_error(json))
        return llm_fail_in_reply(ctx, "the model call failed", json, NULL);
    return h->on_end(ctx, h, json);
}

/* A reply whose end tells that it is none, or not whole, is no success. -1 after fm_ctx_fail. */
static int check_end(struct fm_ctx *ctx, struct llm_reply *r)
{
    enum llm_stop stop = llm_stop_of(r->stop);
    bool calls = fm_value_size(r->tool_calls) > 0, says = r->text != NULL && r->text[0] != '\0';
    if (stop == LLM_STOP_FAILED)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE,
                           "the model's reply failed: it ended with the reason \"%.64s\"", r->stop);
    if (stop == LLM_STOP_CALLS && !calls)
        return fm_ctx_fail(
            ctx, FM_FAIL_UNAVAILABLE,
            "the model's reply is malformed: it ended with the reason \"%.64s\", but has no call", r->stop);
    if (stop == LLM_STOP_NONE && !calls && !says)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE,
                           "the model's reply is malformed: it is empty, and does not say why it ended");
    if (stop == LLM_STOP_SHORT && calls && !r->last_call_ended)
        r->tool_calls = llm_cut_off(ctx, r->tool_calls, r->stop);
    return 0;
}

static int take_response(struct fm_ctx *ctx, struct llm_http *h, const struct fm_http_response *r)
{
    char id[128] = "";
    if (fm_http_header(r, h->request_id_header, id, sizeof(id)))
        h->reply->request_id = llm_keep(ctx, id, strlen(id));
    h->reply->latency_ms = r->duration_ms;
    bool ended = h->had_event && !h->failed && llm_stop_of(h->reply->stop) != LLM_STOP_NONE && !r->refused &&
                 !r->too_large;
    if (r->status == 0 && !ended)
        return llm_fail_without_response(ctx, r);
    if (r->status != 0 && (r->status < 200 || r->status >= 300)) {
        h->reply->too_long = llm_too_long(ctx, r);
        return h->reply->too_long != NULL ? 0 : llm_fail_by_status(ctx, h, r);
    }
    bool plain = !h->streams || h->plain || (!h->had_event && says(r, "json"));
    int rc = plain ? take_json(ctx, h, r) : take_stream(ctx, h, r);
    return rc < 0 || check_end(ctx, h->reply) < 0 ? -1 : hide_in_reply(ctx, h->reply, r->redacted);
}

/* What the server has not counted is estimated by its bytes: it is paid for all the same. `whole`: the
 * reply was of use, so what it says is known. */
static void estimate_usage(const struct llm_http *h, const struct fm_http_response *r, bool whole)
{
    struct llm_reply *reply = h->reply;
    fm_auto(fm_buf) b = {0};
    if ((r->status < 200 || r->status >= 300) && !h->had_event)
        return; /* it has not come to a reply */
    if (reply->tool_calls != NULL)
        json_value_write(reply->tool_calls, &b);
    if (reply->blocks != NULL)
        json_value_write(reply->blocks, &b);
    if (reply->thoughts != NULL)
        json_value_write(reply->thoughts, &b);
    size_t said = whole ? (reply->text != NULL ? strlen(reply->text) : 0) + (b.n > 2 ? b.n : 0)
                        : h->text.n + r->body_bytes;
    bool no_input = reply->input_tokens == 0, no_output = reply->output_tokens == 0 && said > 0;
    if (no_input)
        reply->input_tokens = (h->request_bytes + 3) / 4;
    if (no_output)
        reply->output_tokens = (said + 3) / 4;
    reply->estimated = no_input || no_output;
}

static int on_response(struct fm_ctx *ctx, void *arg, const struct fm_http_response *r)
{
    struct llm_http *h = arg;
    bool whole = take_response(ctx, h, r) == 0;
    estimate_usage(h, r, whole);
    if (whole)
        return h->done(ctx, h->arg);
    h->q->charge_failed(ctx, h->q, h->reply); /* a reply that is of no use is paid for all the same */
    return -1;
}

static void digest(const struct fm_buf *body, char hex[65])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    hex[0] = '\0';
    if (EVP_Digest(body->p, body->n, sum, &n, EVP_sha256(), NULL) == 1)
        fm_hex(sum, n, hex);
}

static uint64_t timeout(const struct fm_value *config, const char *name)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "timeouts.%s", name);
    return llm_count(config, path);
}

static void *sse_alloc(void *owner, size_t n)
{
    return fm_ctx_alloc(owner, n);
}

void llm_http_init(struct fm_ctx *ctx, struct llm_http *h, const struct llm_request *q,
                   struct llm_reply *reply, fm_callback done, void *arg)
{
    h->q = q;
    h->reply = reply;
    h->done = done;
    h->arg = arg;
    h->sse = (struct sse){.alloc = sse_alloc, .owner = ctx, .max_bytes = MAX_EVENT_BYTES};
    h->streams = fm_value_bool(fm_value_get(q->config, "stream"), false);
}

int llm_http_post(struct fm_ctx *ctx, struct llm_http *h, const char *default_base, const char *path,
                  const char *auth, const char *more_header)
{
    const struct fm_value *config = h->q->config;
    fm_auto(fm_buf) json = {0};
    size_t n = 0, n_more;
    const char *const *more = llm_headers(ctx, config, &n_more);
    const char **headers = fm_ctx_alloc(ctx, (n_more + 4) * sizeof(*headers));
    uint64_t total = timeout(config, "total_ms"), first = timeout(config, "first_byte_ms");
    total = total > 0 ? total : TOTAL_MS;
    if (first == 0 && !h->streams)
        first = total; /* nothing comes before the model has thought and written it all */
    char key[160];
    if (h->q->cap > 0)
        fm_map_set(ctx, h->q->body, h->q->provider->cap(config).key, fm_number(ctx, (double)h->q->cap));
    json_value_write(h->q->body, &json);
    h->request_bytes = json.n;
    digest(&json, h->reply->digest);
    (void)snprintf(key, sizeof(key), "Idempotency-Key: %s", fm_ctx_idempotency_key(ctx));
    headers[n++] = "Content-Type: application/json";
    headers[n++] = key;
    if (auth != NULL)
        headers[n++] = auth;
    if (more_header != NULL)
        headers[n++] = more_header;
    for (size_t i = 0; i < n_more; i++)
        headers[n++] = more[i];
    const struct fm_http_request r = {.method = "POST",
                                      .url = llm_url(ctx, config, default_base, path),
                                      .headers = headers,
                                      .n_headers = n,
                                      .body = json.p,
                                      .body_bytes = json.n,
                                      .connect_timeout_ms = timeout(config, "connect_ms"),
                                      .first_byte_timeout_ms = first,
                                      .timeout_ms = total,
                                      .max_response_bytes = MAX_RESPONSE_BYTES};
    const struct http_request call = {.request = &r,
                                      .idle_timeout_ms = h->streams ? timeout(config, "idle_ms") : 0};
    ctx_http(ctx, &call, h->streams ? on_chunk : NULL, on_response, h);
    return 0;
}
