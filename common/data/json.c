/* JSON text and values. Reading is jansson's; so is the check of UTF-8, NULs and depth. See
 * json.h. */
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "value.h"

#define MAX_DEPTH VALUE_MAX_DEPTH /* deeper values could be neither stored nor sent */

/* ---- reading ---- */

static struct fm_value *convert(json_t *j, unsigned depth, struct fm_arena *a, struct fm_err *err);

static struct fm_value *full(struct fm_err *err)
{
    (void)fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL, "the JSON needs more memory than is allowed");
    return NULL;
}

static struct fm_value *convert_object(json_t *j, unsigned depth, struct fm_arena *a, struct fm_err *err)
{
    struct fm_value *map = value_map(a);
    const char *key;
    json_t *item;
    if (map == NULL)
        return full(err);
    json_object_foreach(j, key, item)
    {
        struct fm_value *v = convert(item, depth + 1, a, err);
        if (v == NULL)
            return NULL;
        if (value_map_add(a, map, key, v) < 0)
            return full(err);
    }
    return map;
}

static struct fm_value *convert_array(json_t *j, unsigned depth, struct fm_arena *a, struct fm_err *err)
{
    struct fm_value *list = value_list(a);
    json_t *item;
    size_t i;
    if (list == NULL)
        return full(err);
    json_array_foreach(j, i, item)
    {
        struct fm_value *v = convert(item, depth + 1, a, err);
        if (v == NULL)
            return NULL;
        if (value_list_add(a, list, v) < 0)
            return full(err);
    }
    return list;
}

static struct fm_value *convert(json_t *j, unsigned depth, struct fm_arena *a, struct fm_err *err)
{
    struct fm_value *v;
    if (depth > MAX_DEPTH) {
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "the JSON is nested deeper than %d levels",
                         MAX_DEPTH);
        return NULL;
    }
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return convert_object(j, depth, a, err);
    case JSON_ARRAY:
        return convert_array(j, depth, a, err);
    case JSON_STRING:
        v = value_string(a, json_string_value(j), json_string_length(j));
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        v = value_number(a, json_number_value(j));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        v = value_bool(a, json_is_true(j));
        break;
    default:
        v = value_null(a);
        break;
    }
    return v != NULL ? v : full(err);
}

static struct fm_value *read_text(const char *text, size_t n, size_t flags, struct fm_arena *a,
                                  struct fm_err *err)
{
    json_error_t fault;
    json_t *j = json_loadb(text, n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | flags, &fault);
    if (j == NULL) {
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "%s%s (line %d, column %d)",
                         json_error_code(&fault) == json_error_duplicate_key ? "" : "not JSON: ", fault.text,
                         fault.line, fault.column);
        return NULL;
    }
    struct fm_value *v = convert(j, 1, a, err);
    json_decref(j);
    return v;
}

struct fm_value *json_value_read(const char *text, size_t n, struct fm_arena *a, struct fm_err *err)
{
    return read_text(text, n, 0, a, err);
}

struct fm_value *json_value_read_unique(const char *text, size_t n, struct fm_arena *a, struct fm_err *err)
{
    return read_text(text, n, JSON_REJECT_DUPLICATES, a, err);
}

/* ---- writing ---- */

static void put(struct fm_buf *out, const char *s)
{
    fm_buf_append(out, s, strlen(s));
}

void json_string_write(const char *s, size_t n, struct fm_buf *out)
{
    const char *end = s + n;
    put(out, "\"");
    while (s < end) {
        const char *plain = s;
        while (s < end && (unsigned char)*s >= 0x20 && *s != '"' && *s != '\\')
            s++;
        fm_buf_append(out, plain, (size_t)(s - plain));
        if (s == end)
            break;
        char escaped[8];
        if (*s == '"' || *s == '\\')
            snprintf(escaped, sizeof(escaped), "\\%c", *s);
        else if (*s == '\n')
            snprintf(escaped, sizeof(escaped), "\\n");
        else
            snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned)(unsigned char)*s);
        put(out, escaped);
        s++;
    }
    put(out, "\"");
}

void json_number_write(double n, struct fm_buf *out)
{
    char text[40];
    if (n == floor(n) && fabs(n) < 1e15) {
        snprintf(text, sizeof(text), "%.0f", n == 0 ? 0 : n); /* no -0 */
    } else {
        int digits = 15;
        do
            snprintf(text, sizeof(text), "%.*g", digits, n);
        while (strtod(text, NULL) != n && ++digits <= 17);
    }
    put(out, text);
}

void json_value_write(const struct fm_value *v, struct fm_buf *out)
{
    switch (fm_value_kind(v)) {
    case FM_NULL:
        put(out, "null");
        return;
    case FM_BOOL:
        put(out, fm_value_bool(v, false) ? "true" : "false");
        return;
    case FM_NUMBER:
        json_number_write(fm_value_number(v, 0), out);
        return;
    case FM_STRING:
        json_string_write(fm_value_string(v, ""), fm_value_size(v), out);
        return;
    case FM_LIST:
        put(out, "[");
        for (size_t i = 0; i < fm_value_size(v); i++) {
            put(out, i > 0 ? "," : "");
            json_value_write(fm_value_at(v, i), out);
        }
        put(out, "]");
        return;
    case FM_MAP:
        put(out, "{");
        for (size_t i = 0; i < fm_value_size(v); i++) {
            put(out, i > 0 ? "," : "");
            json_string_write(fm_value_key(v, i), strlen(fm_value_key(v, i)), out);
            put(out, ":");
            json_value_write(fm_value_at(v, i), out);
        }
        put(out, "}");
        return;
    }
}
