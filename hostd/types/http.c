/* Routine type "http" (common/catalog/types/http.json): one HTTP request for each task. The _expr
 * of the configuration are jq programs with the task's data as input, with 100 ms of processor time
 * each (see the type jq); what headers_expr yields is added to headers. Values of secret_headers
 * are known to the host only, and go to their origins only (secrets.h).
 *
 * No response, 408, 425, 429 and 5xx fail so that they are tried again (three attempts where the
 * flow says nothing, not before Retry-After, which may be a day at most); other failures are for
 * good. Requests other than GET, HEAD and OPTIONS carry the task's idempotency key in
 * Idempotency-Key, the same for every attempt.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base64.h"
#include "buf.h"
#include "builtin.h"
#include "expr.h"
#include "http_field.h"
#include "http_header.h"
#include "mem.h"
#include "own_types.h"
#include "secrets.h"
#include "times.h"
#include "wire.h"

#define MAX_RETRY_AFTER_MS (24ull * 3600 * 1000)
#define MAX_URL_BYTES 8192
#define MAX_HEADERS 64
#define MAX_SHOWN 300 /* bytes of a response, in an error */
#define MAX_HEADER_BYTES 8192

/* The settings that may be jq programs, in the order in which they are run. */
enum { URL, HEADERS, BODY, N_SETTINGS };
static const char *const settings[N_SETTINGS] = {"url", "headers", "body"}, *const programs[N_SETTINGS] = {
                                                                                "url_expr", "headers_expr",
                                                                                "body_expr"};

struct request {
    const char *method, *url;
    const char *headers[MAX_HEADERS];
    size_t n_headers;
    const char *body; /* NULL: none */
    size_t body_bytes;
    const struct fm_value *made[N_SETTINGS]; /* what the programs have put out; NULL: nothing */
};

/* A fault that no retry mends. */
static int wrong(struct fm_ctx *ctx, const char *what, const char *why)
{
    (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "%s: %s", what, why);
    fm_ctx_fail_permanent(ctx);
    return -1;
}

/* ---- what the configuration says ---- */

/* The value of a setting, or what the program beside it has made; NULL: neither is there. */
static const struct fm_value *setting(struct fm_ctx *ctx, const struct request *r, int which)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    return fm_value_get(config, programs[which]) != NULL ? r->made[which]
                                                         : fm_value_get(config, settings[which]);
}

static bool has_control(const char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    return false;
}

static int read_url(struct fm_ctx *ctx, struct request *r)
{
    const struct fm_value *v = setting(ctx, r, URL);
    r->url = fm_value_string(v, "");
    if (strncasecmp(r->url, "http://", 7) != 0 && strncasecmp(r->url, "https://", 8) != 0)
        return wrong(ctx, "url", "it must be a string that begins with http:// or https://");
    if (strlen(r->url) > MAX_URL_BYTES || has_control(r->url) || strchr(r->url, ' ') != NULL)
        return wrong(ctx, "url", "it has more than 8192 bytes, or spaces or control characters");
    return 0;
}

static bool has_header(const struct request *r, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < r->n_headers; i++)
        if (strncasecmp(r->headers[i], name, n) == 0 && r->headers[i][n] == ':')
            return true;
    return false;
}

/* Messages never show a value: it may be a secret. */
static int add_header(struct fm_ctx *ctx, struct request *r, const char *name, const char *value)
{
    const char *why = value == NULL ? "must have text as its value" : fm_http_name_fault(name, strlen(name));
    if (why == NULL)
        why = strlen(value) > MAX_HEADER_BYTES ? "has more than 8192 bytes"
                                               : fm_http_value_fault(value, strlen(value));
    if (why != NULL) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "headers: the header %.*s %s",
                          (int)fm_utf8_cut(name, 100), name, why);
        fm_ctx_fail_permanent(ctx);
        return -1;
    }
    if (has_header(r, name))
        return wrong(ctx, "headers", "a header is set twice");
    if (r->n_headers == MAX_HEADERS)
        return wrong(ctx, "headers", "there are more than 64");
    size_t n = strlen(name) + strlen(value) + 3;
    char *line = fm_ctx_alloc(ctx, n);
    snprintf(line, n, "%s: %s", name, value);
    r->headers[r->n_headers++] = line;
    return 0;
}

/* Of the flow, or of data: they may not name a secret of the host and so send it to wherever they
 * like. */
static int add_headers(struct fm_ctx *ctx, struct request *r, const struct fm_value *map)
{
    if (map != NULL && fm_value_kind(map) != FM_MAP)
        return wrong(ctx, "headers", "they must be an object of strings");
    for (size_t i = 0; i < fm_value_size(map); i++) {
        const char *value = fm_value_string(fm_value_at(map, i), NULL);
        if (value != NULL && strstr(value, SECRETS_OPEN) != NULL)
            return wrong(ctx, "headers", "a header cannot refer to a secret; secret_headers can");
        if (add_header(ctx, r, fm_value_key(map, i), value) < 0)
            return -1;
    }
    return 0;
}

/* ---- secrets ---- */

/* The value goes in as the request leaves, if it is for the request's origin, and is blanked out in what
 * comes back (secrets.h). */
static int add_secret(struct fm_ctx *ctx, struct request *r, const char *header, const char *name)
{
    char reference[160];
    size_t n = strlen(name);
    if (n == 0 || n > 128 ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != n)
        return wrong(ctx, "secret_headers", "a secret's name has 1 to 128 of A-Z a-z 0-9 _ . -");
    snprintf(reference, sizeof(reference), SECRETS_OPEN "%s}", name);
    return add_header(ctx, r, header, reference);
}

static int add_secrets(struct fm_ctx *ctx, struct request *r)
{
    const struct fm_value *map = fm_value_get(fm_ctx_config(ctx), "secret_headers");
    for (size_t i = 0; i < fm_value_size(map); i++)
        if (add_secret(ctx, r, fm_value_key(map, i), fm_value_string(fm_value_at(map, i), "")) < 0)
            return -1;
    return 0;
}

/* ---- the request ---- */

static int read_body(struct fm_ctx *ctx, struct request *r)
{
    const struct fm_value *v = setting(ctx, r, BODY);
    if (v == NULL)
        return 0;
    if (fm_value_kind(v) == FM_STRING) {
        r->body = fm_value_string(v, "");
        r->body_bytes = fm_value_size(v);
        return has_header(r, "Content-Type")
                   ? 0
                   : add_header(ctx, r, "Content-Type", "text/plain; charset=utf-8");
    }
    fm_auto(fm_buf) json = {0};
    json_value_write(v, &json);
    char *copy = fm_ctx_alloc(ctx, json.n + 1);
    memcpy(copy, json.p, json.n);
    r->body = copy;
    r->body_bytes = json.n;
    return has_header(r, "Content-Type") ? 0 : add_header(ctx, r, "Content-Type", "application/json");
}

static int read_request(struct fm_ctx *ctx, struct request *r)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    if (read_url(ctx, r) < 0 || add_headers(ctx, r, fm_value_get(config, "headers")) < 0)
        return -1;
    if (add_headers(ctx, r, r->made[HEADERS]) < 0)
        return -1;
    if (add_secrets(ctx, r) < 0 || read_body(ctx, r) < 0)
        return -1;
    r->method = fm_value_string(fm_value_get(config, "method"), r->body != NULL ? "POST" : "GET");
    bool safe =
        strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0 || strcmp(r->method, "OPTIONS") == 0;
    if (!safe && !has_header(r, "Idempotency-Key"))
        return add_header(ctx, r, "Idempotency-Key", fm_ctx_idempotency_key(ctx));
    return 0;
}

/* ---- the response ---- */

/* "GET https://example.com/a": what follows may be a secret. */
static void describe(const struct request *r, char out[300])
{
    const char *scheme = strstr(r->url, "://") + 3, *authority = scheme;
    size_t n = strcspn(authority, "/?#");
    const char *at = memchr(authority, '@', n); /* not the name and password of a URL */
    if (at != NULL)
        authority = at + 1;
    snprintf(out, 300, "%s %.*s%.*s", r->method, (int)(scheme - r->url), r->url,
             (int)strcspn(authority, "?#"), authority);
}

static int fail_without_response(struct fm_ctx *ctx, const struct request *q,
                                 const struct fm_http_response *r)
{
    char what[300];
    describe(q, what);
    if (r->too_large || r->refused) {
        (void)fm_ctx_fail(ctx, r->too_large ? FM_FAIL_RESOURCE_EXHAUSTED : FM_FAIL_FAILED_PRECONDITION,
                          "%s: %s%s", what, r->too_large ? "the response is too large: " : "", r->error);
        fm_ctx_fail_permanent(ctx);
        return -1;
    }
    return fm_ctx_fail(ctx, r->timed_out ? FM_FAIL_DEADLINE_EXCEEDED : FM_FAIL_UNAVAILABLE, "%s: %s", what,
                       r->error);
}

/* Whether the body can be shown: it is text, and does not repeat the URL's query, which may be a secret. */
static bool is_showable(const struct request *q, const struct fm_http_response *r)
{
    const char *query = strchr(q->url, '?');
    size_t n = query == NULL ? 0 : strcspn(query + 1, "#");
    return r->body_bytes > 0 && wire_text_ok((const uint8_t *)r->body, r->body_bytes) &&
           (n == 0 || memmem(r->body, r->body_bytes, query + 1, n) == NULL);
}

static int fail_by_status(struct fm_ctx *ctx, const struct request *q, const struct fm_http_response *r)
{
    char what[300];
    describe(q, what);
    bool later = r->status == 408 || r->status == 425 || r->status == 429 || r->status >= 500;
    enum fm_failure code = r->status == 429   ? FM_FAIL_RESOURCE_EXHAUSTED
                           : r->status == 408 ? FM_FAIL_DEADLINE_EXCEEDED
                           : later            ? FM_FAIL_UNAVAILABLE
                                              : FM_FAIL_FAILED_PRECONDITION;
    bool is_text = is_showable(q, r);
    (void)fm_ctx_fail(ctx, code, "%s: the server answered with status %d%s%.*s", what, r->status,
                      is_text ? ": " : "", is_text ? (int)fm_utf8_cut(r->body, MAX_SHOWN) : 0, r->body);
    if (later)
        fm_ctx_retry_after(ctx, http_retry_after_ms(r, fm_ctx_now_ms(ctx), MAX_RETRY_AFTER_MS));
    else
        fm_ctx_fail_permanent(ctx);
    return -1;
}

static bool fails(struct fm_ctx *ctx, int status)
{
    const char *on = fm_value_string(fm_value_get(fm_ctx_config(ctx), "fail_on"), "4xx");
    if (strcmp(on, "never") == 0)
        return false;
    return status >= 500 || status == 429 || (status >= 400 && strcmp(on, "4xx") == 0);
}

/* Lines "name: value\n" as a map; values of a name that comes again are joined by ", ". */
static struct fm_value *headers_of(struct fm_ctx *ctx, const struct fm_http_response *r)
{
    struct fm_value *map = fm_map(ctx);
    for (const char *line = r->headers; line != NULL && *line != '\0';) {
        size_t length = strcspn(line, "\n"), n = strcspn(line, ":");
        if (n > 0 && n < length) {
            char *name = fm_ctx_alloc(ctx, n + 1), *value = fm_ctx_alloc(ctx, length - n + 1);
            for (size_t i = 0; i < n; i++)
                name[i] = (char)tolower((unsigned char)line[i]);
            memcpy(value, line + n + 1, length - n - 1);
            value += strspn(value, " \t");
            const struct fm_value *before = NULL;
            for (size_t i = 0; i < fm_value_size(map); i++)
                if (strcmp(fm_value_key(map, i), name) == 0)
                    before = fm_value_at(map, i);
            if (before != NULL) {
                size_t joined = fm_value_size(before) + strlen(value) + 3;
                char *both = fm_ctx_alloc(ctx, joined);
                snprintf(both, joined, "%s, %s", fm_value_string(before, ""), value);
                value = both;
            }
            fm_map_set(ctx, map, name, fm_string(ctx, value));
        }
        line += length + (line[length] == '\n');
    }
    return map;
}

static bool is_json(const struct fm_http_response *r)
{
    char type[128];
    if (!fm_http_header(r, "content-type", type, sizeof(type)))
        return false;
    size_t n = strcspn(type, "; ");
    return (n == 16 && strncasecmp(type, "application/json", 16) == 0) ||
           (n > 5 && strncasecmp(type + n - 5, "+json", 5) == 0);
}

static const struct fm_value *base64(struct fm_ctx *ctx, const char *bytes, size_t n)
{
    fm_auto(fm_buf) out = {0};
    fm_base64_put(&out, (struct fm_bytes){(const uint8_t *)bytes, n});
    fm_buf_append(&out, "", 1);
    return fm_string(ctx, (const char *)out.p);
}

static void put_body(struct fm_ctx *ctx, struct fm_value *out, const struct fm_http_response *r)
{
    fm_auto(fm_err) err = {0};
    const struct fm_value *json = NULL;
    if (is_json(r) && r->body_bytes > 0)
        json = ctx_json(ctx, r->body, r->body_bytes, &err);
    if (json != NULL)
        fm_map_set(ctx, out, "body", json);
    else if (wire_text_ok((const uint8_t *)r->body, r->body_bytes))
        fm_map_set(ctx, out, "body", fm_string(ctx, r->body));
    else
        fm_map_set(ctx, out, "body_base64", base64(ctx, r->body, r->body_bytes));
    if (err.code != FM_OK)
        fm_map_set(ctx, out, "body_error", fm_string(ctx, err.msg));
}

static int on_response(struct fm_ctx *ctx, void *arg, const struct fm_http_response *r)
{
    const struct request *q = arg;
    if (r->status == 0)
        return fail_without_response(ctx, q, r);
    if (fails(ctx, r->status))
        return fail_by_status(ctx, q, r);
    const struct fm_value *with = fm_value_get(fm_ctx_config(ctx), "with");
    struct fm_value *out = fm_map(ctx);
    for (size_t i = 0; i < fm_value_size(with); i++) {
        const char *name = fm_value_string(fm_value_at(with, i), "");
        const struct fm_value *v = fm_value_get(fm_ctx_data(ctx), name);
        if (v != NULL)
            fm_map_set(ctx, out, name, v);
    }
    fm_map_set(ctx, out, "status", fm_number(ctx, r->status));
    fm_map_set(ctx, out, "headers", headers_of(ctx, r));
    put_body(ctx, out, r);
    fm_map_set(ctx, out, "duration_ms", fm_number(ctx, (double)r->duration_ms));
    fm_ctx_emit(ctx, "response", out);
    return 0;
}

static int send(struct fm_ctx *ctx, struct request *r)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    if (read_request(ctx, r) < 0)
        return -1;
    struct fm_http_request request = {
        .method = r->method,
        .url = r->url,
        .headers = r->headers,
        .n_headers = r->n_headers,
        .body = r->body,
        .body_bytes = r->body_bytes,
        .timeout_ms = fm_count_from(fm_value_number(fm_value_get(config, "timeout_ms"), 30000)),
        .max_response_bytes =
            (size_t)fm_count_from(fm_value_number(fm_value_get(config, "max_response_bytes"), 1 << 20))};
    request.first_byte_timeout_ms = request.timeout_ms;
    fm_ctx_http(ctx, &request, NULL, on_response, r);
    return 0;
}

static int on_programs(struct fm_ctx *ctx, void *arg, const struct eval_result *e)
{
    struct request *r = arg;
    return expr_take(ctx, programs, N_SETTINGS, e, r->made) < 0 ? -1 : send(ctx, r);
}

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    struct request *r = fm_ctx_alloc(ctx, sizeof(*r));
    return expr_run(ctx, programs, N_SETTINGS, on_programs, r) ? 0 : send(ctx, r);
}

static const struct fm_slot slots[] = {
    {"input", on_input}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type http_type = {
    .abi = FM_ROUTINE_ABI, .name = "http", .slots = slots, .n_slots = 1, .default_attempts = 3};
