/* Errors of a model's server. See errors.h. */
#define _GNU_SOURCE
#include "errors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "http_header.h"
#include "lenient.h"
#include "mem.h"
#include "own_types.h"

#define MAX_RETRY_AFTER_MS (3600ull * 1000)
#define MAX_SHOWN 400

/* ---- what an error says ---- */

/* No other attempt will get another answer. */
static const char *const for_good[] = {
    "invalid_request_error", "invalid_request",         "authentication_error", "permission_error",
    "not_found_error",       "request_too_large",       "billing_error",        "insufficient_quota",
    "invalid_api_key",       "context_length_exceeded", "model_not_found",      "content_policy_violation",
    "invalid_prompt",        "BadRequestError",         "NotFoundError",        "exceed_context_size_error",
    "INVALID_ARGUMENT",      "PERMISSION_DENIED",       "UNAUTHENTICATED",      "NOT_FOUND",
    "FAILED_PRECONDITION"};
/* Of these, the status 429 says that there were too many requests, but waiting does not help. */
static const char *const spent[] = {"insufficient_quota", "billing_error", "billing_hard_limit_reached"};

static bool is_one_of(const char *s, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcasecmp(names[i], s) == 0)
            return true;
    return false;
}

/* The error itself: of an object that has it under "error", or is it. */
static const struct fm_value *error_of(const struct fm_value *v)
{
    const struct fm_value *e = fm_value_get(v, "error"), *of_choice = fm_value_get(v, "choices[0].error");
    bool has = e != NULL && fm_value_kind(e) != FM_NULL;
    return has ? e : of_choice != NULL && fm_value_kind(of_choice) != FM_NULL ? of_choice : v;
}

/* Whether its kind or its code, which are texts, is one of these. */
static bool is_kind(const struct fm_value *error, const char *const *names, size_t n)
{
    static const char *const keys[] = {"type", "code", "status"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (is_one_of(fm_value_string(fm_value_get(error, keys[i]), ""), names, n))
            return true;
    return false;
}

bool llm_is_error(const struct fm_value *v)
{
    const struct fm_value *e = error_of(v);
    if (fm_value_kind(v) != FM_MAP)
        return false;
    if (e != v)
        return fm_value_kind(e) == FM_MAP || fm_value_kind(e) == FM_LIST ||
               (fm_value_kind(e) == FM_STRING && fm_value_string(e, "")[0] != '\0') ||
               fm_value_bool(e, false);
    return strcmp(fm_value_string(fm_value_get(v, "object"), ""), "error") == 0 ||
           strcmp(fm_value_string(fm_value_get(v, "type"), ""), "error") == 0;
}

static bool is_later(double status)
{
    return status == 408 || status == 409 || status == 425 || status == 429 || status >= 500;
}

/* Its words; NULL: it has none. */
static const char *words_of(struct fm_ctx *ctx, const struct fm_value *v)
{
    const struct fm_value *e = error_of(v);
    const char *text = fm_value_string(fm_value_get(e, "message"), NULL);
    if (text == NULL && fm_value_kind(e) == FM_STRING)
        text = fm_value_string(e, NULL);
    if (text == NULL && e != NULL && e != v)
        text = fm_value_string(llm_json_text(ctx, e), NULL);
    return text;
}

const char *llm_shown(struct fm_ctx *ctx, const char *text)
{
    const char *hidden = llm_hidden(ctx, text);
    return llm_keep(ctx, hidden, fm_utf8_cut(hidden, MAX_SHOWN));
}

int llm_fail_in_reply(struct fm_ctx *ctx, const char *what, const struct fm_value *v, const char *text)
{
    const struct fm_value *e = error_of(v);
    double code = fm_value_number(fm_value_get(e, "code"), 0);
    const char *words = words_of(ctx, v);
    if (words == NULL)
        words = text != NULL && text[0] != '\0' ? text : "it does not say why";
    (void)fm_ctx_fail(ctx, code == 429 ? FM_FAIL_RESOURCE_EXHAUSTED : FM_FAIL_UNAVAILABLE, "%s: %s", what,
                      llm_shown(ctx, words));
    if ((code >= 400 && !is_later(code)) || is_kind(e, for_good, sizeof(for_good) / sizeof(for_good[0])))
        fm_ctx_fail_permanent(ctx);
    return -1;
}

/* ---- by the response ---- */

int llm_fail_without_response(struct fm_ctx *ctx, const struct fm_http_response *r)
{
    if (r->refused || r->too_large) {
        (void)fm_ctx_fail(ctx, r->too_large ? FM_FAIL_RESOURCE_EXHAUSTED : FM_FAIL_FAILED_PRECONDITION,
                          "the model call failed: %s", r->error);
        fm_ctx_fail_permanent(ctx);
        return -1;
    }
    return fm_ctx_fail(ctx, r->timed_out ? FM_FAIL_DEADLINE_EXCEEDED : FM_FAIL_UNAVAILABLE,
                       "the model call failed: %s", r->error);
}

static uint64_t retry_after_ms(struct fm_ctx *ctx, const struct fm_http_response *r)
{
    char text[64];
    if (fm_http_header(r, "retry-after-ms", text, sizeof(text)))
        return http_wait_ms(strtod(text, NULL), MAX_RETRY_AFTER_MS);
    return http_retry_after_ms(r, fm_ctx_now_ms(ctx), MAX_RETRY_AFTER_MS);
}

/* Whether to try again; some servers say so themselves. */
static bool may_try_again(const struct fm_http_response *r, const struct fm_value *body)
{
    char says[16];
    if (fm_http_header(r, "x-should-retry", says, sizeof(says)))
        return strncasecmp(says, "true", 4) == 0;
    return is_later(r->status) &&
           !(r->status == 429 && is_kind(error_of(body), spent, sizeof(spent) / sizeof(spent[0])));
}

/* Providers say it in a code, or only in words; these are those of OpenAI, Azure, Anthropic, Gemini,
 * DeepSeek, Mistral, vLLM, llama.cpp and Ollama. */
const char *llm_too_long(struct fm_ctx *ctx, const struct fm_http_response *r)
{
    static const char *const kinds[] = {"context_length_exceeded", "exceed_context_size_error",
                                        "model_context_window_exceeded", "context_window_exceeded"},
                             *const said[] = {"maximum context length",
                                              "context length exceeded",
                                              "context window",
                                              "prompt is too long",
                                              "prompt too long",
                                              "input is too long",
                                              "exceeds the available context",
                                              "exceeds the maximum number of tokens",
                                              "exceed context limit",
                                              "too large for model with",
                                              "exceeds context size",
                                              "max_model_len"};
    fm_auto(fm_err) err = {0};
    if (r->status != 400 && r->status != 413 && r->status != 422)
        return NULL;
    const struct fm_value *body = lenient_read(r->body, r->body_bytes, ctx_arena(ctx), &err);
    const struct fm_value *e = error_of(fm_value_kind(body) == FM_LIST ? fm_value_at(body, 0) : body);
    const char *words = words_of(ctx, body);
    if (words == NULL)
        words = fm_value_string(fm_value_get(e, "message"), r->body);
    bool is = is_kind(e, kinds, sizeof(kinds) / sizeof(kinds[0]));
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]) && !is; i++)
        is = strcasestr(words, said[i]) != NULL;
    return is ? llm_shown(ctx, words) : NULL;
}

int llm_fail_by_status(struct fm_ctx *ctx, const struct llm_http *h, const struct fm_http_response *r)
{
    fm_auto(fm_err) err = {0};
    const struct fm_value *body = lenient_read(r->body, r->body_bytes, ctx_arena(ctx), &err);
    const char *words = words_of(ctx, body), *id = h->reply->request_id != NULL ? h->reply->request_id : "";
    bool again = may_try_again(r, body);
    enum fm_failure code = r->status == 429                       ? FM_FAIL_RESOURCE_EXHAUSTED
                           : again || r->status >= 500            ? FM_FAIL_UNAVAILABLE
                           : r->status == 401 || r->status == 403 ? FM_FAIL_FAILED_PRECONDITION
                                                                  : FM_FAIL_INVALID_ARGUMENT;
    if (words == NULL)
        words = llm_keep(ctx, r->body, r->body_bytes < MAX_SHOWN ? r->body_bytes : MAX_SHOWN);
    (void)fm_ctx_fail(ctx, code, "the model call failed with status %d: %s%s%s%s", r->status,
                      llm_shown(ctx, words), id[0] != '\0' ? " (request " : "", id, id[0] != '\0' ? ")" : "");
    if (!again)
        fm_ctx_fail_permanent(ctx);
    uint64_t after = retry_after_ms(ctx, r);
    if (after > 0)
        fm_ctx_retry_after(ctx, after);
    return -1;
}
