/* Texts of requests and replies: how they are put together, and what is blanked out of them. See
 * provider.h. */
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "name.h"
#include "own_types.h"
#include "provider.h"
#include "secrets.h"

void llm_add(struct fm_ctx *ctx, struct llm_str *s, const char *bytes, size_t n)
{
    if (s->n + n + 1 > s->cap) {
        s->cap = 2 * (s->n + n + 1) + 64;
        char *more = fm_ctx_alloc(ctx, s->cap);
        if (s->n > 0)
            memcpy(more, s->p, s->n);
        s->p = more;
    }
    memcpy(s->p + s->n, bytes, n);
    s->n += n;
    s->p[s->n] = '\0';
}

uint64_t llm_count(const struct fm_value *v, const char *path)
{
    double n = fm_value_number(fm_value_get(v, path), 0);
    return n > 0 && n < 1e15 ? (uint64_t)n : 0;
}

const char *llm_keep(struct fm_ctx *ctx, const char *text, size_t n)
{
    char *copy = fm_ctx_alloc(ctx, n + 1);
    memcpy(copy, text, n);
    return copy;
}

const char *llm_text(struct fm_ctx *ctx, const struct fm_value *content)
{
    if (content == NULL || fm_value_kind(content) == FM_NULL)
        return "";
    if (fm_value_kind(content) == FM_STRING)
        return fm_value_string(content, "");
    fm_auto(fm_buf) b = {0};
    json_value_write(content, &b);
    const char *text = llm_keep(ctx, (const char *)b.p, b.n);
    return text;
}

const struct fm_value *llm_json_text(struct fm_ctx *ctx, const struct fm_value *v)
{
    fm_auto(fm_buf) b = {0};
    json_value_write(v, &b);
    fm_buf_append(&b, "", 1);
    const struct fm_value *text = fm_string(ctx, (const char *)b.p);
    return text;
}

/* ---- secrets that come back ----
 *
 * http.c blanks them out in the bytes of a response. A server may still give one back in parts, or
 * escaped: what was put together or decoded is looked at again. */

/* Blanks out the secret that this text refers to, and returns what secrets_tail says of it. */
static bool hide_referred(const char *reference, char *text, size_t n, size_t *tail)
{
    bool found = false;
    const char *at = reference;
    while ((at = strstr(at, SECRETS_OPEN)) != NULL) {
        char name[FM_MAX_NAME_BYTES + 1];
        size_t held;
        at += strlen(SECRETS_OPEN);
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "}"), at);
        found = secrets_hide(name, text, n, &held) || found;
        *tail = held > *tail ? held : *tail;
    }
    return found;
}

/* Blanks out the secrets of this agent's requests: others' are none here. `ret_tail` may be NULL. */
static bool hide(struct fm_ctx *ctx, char *text, size_t n, size_t *ret_tail)
{
    const struct fm_value *config = fm_ctx_config(ctx), *headers = fm_value_get(config, "headers");
    size_t tail = 0;
    bool found = secrets_hide(fm_value_string(fm_value_get(config, "api_key"), ""), text, n, &tail);
    for (size_t i = 0; fm_value_kind(headers) == FM_MAP && i < fm_value_size(headers); i++)
        found = hide_referred(fm_value_string(fm_value_at(headers, i), ""), text, n, &tail) || found;
    if (ret_tail != NULL)
        *ret_tail = tail;
    return found;
}

const char *llm_hidden(struct fm_ctx *ctx, const char *text)
{
    if (text == NULL)
        return NULL;
    size_t n = strlen(text);
    char *copy = fm_ctx_alloc(ctx, n + 1);
    memcpy(copy, text, n);
    (void)hide(ctx, copy, n, NULL);
    return copy;
}

const struct fm_value *llm_hidden_value(struct fm_ctx *ctx, const struct fm_value *v)
{
    fm_auto(fm_buf) b = {0};
    fm_auto(fm_err) err = {0};
    if (v == NULL)
        return NULL;
    json_value_write(v, &b);
    if (hide(ctx, (char *)b.p, b.n, NULL))
        v = ctx_json(ctx, (const char *)b.p, b.n, &err);
    if (v == NULL) /* nothing but text was replaced by stars: only memory can be short */
        (void)fm_ctx_fail(ctx, FM_FAIL_RESOURCE_EXHAUSTED, "the model's reply: %s", err.msg);
    return v;
}

void llm_say(struct fm_ctx *ctx, struct llm_http *h, const char *piece)
{
    size_t from = h->text.n - h->held, n = strlen(piece);
    llm_add(ctx, &h->text, piece, n);
    (void)hide(ctx, h->text.p + from, h->text.n - from, &h->held);
    size_t shown = h->text.n - h->held;
    if (n == 0 || shown == 0)
        return;
    char last = h->text.p[shown];
    h->text.p[shown] = '\0';
    fm_ctx_progress(ctx, h->text.p);
    h->text.p[shown] = last;
}
