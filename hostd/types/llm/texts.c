/* Texts of requests and replies: how they are put together, and what is blanked out of them. See
 * provider.h. */
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "name.h"
#include "own_types.h"
#include "provider.h"
#include "secrets.h"
#include "value.h"

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

const struct fm_value *llm_schema(struct fm_ctx *ctx, const struct fm_value *schema)
{
    fm_auto(fm_err) none = {0};
    const char *text = fm_value_string(schema, NULL);
    if (text == NULL || ctx_json(ctx, text, fm_value_size(schema), &none) == NULL)
        return schema;
    const struct fm_value *raw = value_raw_json(ctx_arena(ctx), text, fm_value_size(schema));
    return raw != NULL ? raw : schema;
}

const struct fm_value *llm_json_text(struct fm_ctx *ctx, const struct fm_value *v)
{
    fm_auto(fm_buf) b = {0};
    json_value_write(v, &b);
    fm_buf_append(&b, "", 1);
    const struct fm_value *text = fm_string(ctx, (const char *)b.p);
    return text;
}

/* ---- parts of a content: texts, images, files ----
 *
 * Each provider has a form of its own; those of both, and MCP's, are taken for either. What is none of
 * them goes out as it is. */

static bool is_type(const struct fm_value *part, const char *type)
{
    return strcmp(fm_value_string(fm_value_get(part, "type"), ""), type) == 0;
}

static bool is_part(const struct fm_value *v)
{
    static const char *const types[] = {"text", "image", "image_url", "document", "file", "input_audio"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (is_type(v, types[i]))
            return true;
    return false;
}

const struct fm_value *llm_result_parts(const struct fm_value *result)
{
    const struct fm_value *list = fm_value_kind(result) == FM_MAP ? fm_value_get(result, "content") : result;
    bool wrapped = list != result, others = false;
    if (fm_value_kind(list) != FM_LIST || fm_value_size(list) == 0)
        return NULL;
    for (size_t i = 0; i < fm_value_size(list); i++) {
        if (!is_part(fm_value_at(list, i)))
            return NULL;
        others = others || !is_type(fm_value_at(list, i), "text");
    }
    return wrapped || others ? list : NULL;
}

static const char *joined(struct fm_ctx *ctx, const char *a, const char *b, const char *c, const char *d)
{
    struct llm_str s = {0};
    const char *const all[] = {a, b, c, d};
    for (size_t i = 0; i < 4; i++)
        llm_add(ctx, &s, all[i], strlen(all[i]));
    return s.p;
}

static struct fm_value *one(struct fm_ctx *ctx, const char *type, const char *key, const struct fm_value *v)
{
    struct fm_value *m = fm_map(ctx);
    if (type != NULL)
        fm_map_set(ctx, m, "type", fm_string(ctx, type));
    fm_map_set(ctx, m, key, v);
    return m;
}

/* {"type": "base64", "media_type", "data"} of "data:TYPE;base64,DATA", or {"type": "url", "url"}. */
static const struct fm_value *source_of(struct fm_ctx *ctx, const char *url)
{
    const char *comma = strchr(url, ','), *semi = strchr(url, ';');
    if (strncmp(url, "data:", 5) != 0 || comma == NULL || semi == NULL || semi > comma)
        return one(ctx, "url", "url", fm_string(ctx, url));
    struct fm_value *m = one(ctx, "base64", "data", fm_string(ctx, comma + 1));
    fm_map_set(ctx, m, "media_type", fm_string(ctx, llm_keep(ctx, url + 5, (size_t)(semi - url) - 5)));
    return m;
}

/* The URL of a source, of either form, or of MCP's data; NULL: it has none. */
static const char *url_of(struct fm_ctx *ctx, const struct fm_value *part)
{
    const struct fm_value *data = fm_value_get(part, "source.data"),
                          *type = fm_value_get(part, "source.media_type");
    if (data == NULL) {
        data = fm_value_get(part, "data");
        type = fm_value_get(part, "mimeType");
    }
    if (fm_value_kind(data) == FM_STRING)
        return joined(ctx, "data:", fm_value_string(type, "application/octet-stream"), ";base64,",
                      fm_value_string(data, ""));
    return fm_value_string(fm_value_get(part, "source.url"), NULL);
}

const struct fm_value *llm_part_for_chat(struct fm_ctx *ctx, const struct fm_value *part)
{
    const char *url = is_type(part, "image") || is_type(part, "document") ? url_of(ctx, part) : NULL;
    if (url == NULL)
        return part;
    if (is_type(part, "image"))
        return one(ctx, "image_url", "image_url", one(ctx, NULL, "url", fm_string(ctx, url)));
    struct fm_value *file = one(ctx, NULL, "file_data", fm_string(ctx, url));
    fm_map_set(ctx, file, "filename",
               fm_string(ctx, fm_value_string(fm_value_get(part, "title"), "document.pdf")));
    return one(ctx, "file", "file", file);
}

const struct fm_value *llm_part_for_messages(struct fm_ctx *ctx, const struct fm_value *part)
{
    const char *url = NULL, *type = "image";
    if (is_type(part, "image_url"))
        url = fm_value_string(fm_value_get(part, "image_url.url"),
                              fm_value_string(fm_value_get(part, "image_url"), NULL));
    else if (is_type(part, "image") && fm_value_get(part, "source") == NULL)
        url = url_of(ctx, part);
    else if (is_type(part, "file")) {
        type = "document";
        url = fm_value_string(fm_value_get(part, "file.file_data"), NULL);
    }
    return url == NULL ? part : one(ctx, type, "source", source_of(ctx, url));
}

/* ---- secrets that come back ----
 *
 * http.c blanks them out in the bytes of a response. A server may still give one back in parts, or
 * escaped: what was put together or decoded is looked at again. */

/* Blanks out the secret that this text refers to, and returns what secrets_tail says of it. */
static bool hide_referred(const char *reference, bool json, char *text, size_t n, size_t *tail)
{
    bool found = false;
    const char *at = reference;
    while ((at = strstr(at, SECRETS_OPEN)) != NULL) {
        char name[FM_MAX_NAME_BYTES + 1];
        size_t held;
        at += strlen(SECRETS_OPEN);
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "}"), at);
        found = secrets_hide(name, json, text, n, &held) || found;
        *tail = held > *tail ? held : *tail;
    }
    return found;
}

/* Blanks out the secrets of this agent's requests: others' are none here. `ret_tail` may be NULL. */
static bool hide(struct fm_ctx *ctx, bool json, char *text, size_t n, size_t *ret_tail)
{
    const struct fm_value *config = fm_ctx_config(ctx), *headers = fm_value_get(config, "headers");
    size_t tail = 0;
    bool found = secrets_hide(fm_value_string(fm_value_get(config, "api_key"), ""), json, text, n, &tail);
    for (size_t i = 0; fm_value_kind(headers) == FM_MAP && i < fm_value_size(headers); i++)
        found = hide_referred(fm_value_string(fm_value_at(headers, i), ""), json, text, n, &tail) || found;
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
    (void)hide(ctx, false, copy, n, NULL);
    return copy;
}

const struct fm_value *llm_hidden_value(struct fm_ctx *ctx, const struct fm_value *v)
{
    fm_auto(fm_buf) b = {0};
    fm_auto(fm_err) err = {0};
    if (v == NULL)
        return NULL;
    json_value_write(v, &b);
    if (hide(ctx, true, (char *)b.p, b.n, NULL))
        v = ctx_json(ctx, (const char *)b.p, b.n, &err);
    if (v == NULL) /* nothing but text was replaced by stars: only memory can be short */
        (void)fm_ctx_fail(ctx, FM_FAIL_RESOURCE_EXHAUSTED, "the model's reply: %s", err.msg);
    return v;
}

void llm_say(struct fm_ctx *ctx, struct llm_http *h, const char *piece)
{
    size_t from = h->text.n - h->held, n = strlen(piece);
    llm_add(ctx, &h->text, piece, n);
    (void)hide(ctx, false, h->text.p + from, h->text.n - from, &h->held);
    size_t shown = h->text.n - h->held;
    if (n == 0 || shown == 0)
        return;
    char last = h->text.p[shown];
    h->text.p[shown] = '\0';
    fm_ctx_progress(ctx, h->text.p);
    h->text.p[shown] = last;
}
