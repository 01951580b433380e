/* Values as JSON text. See json.h; json_read.c reads it. */
#include "json.h"

#include <stdio.h>
#include <string.h>

#include "number.h"
#include "value.h"

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

static void put_number(struct fm_buf *out, struct number n)
{
    char text[NUMBER_TEXT_BYTES];
    fm_buf_append(out, text, number_print(n, text));
}

void json_number_write(double n, struct fm_buf *out)
{
    put_number(out, number_of_double(n));
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
        put_number(out, value_as_number(v));
        return;
    case FM_STRING:
        if (value_is_raw_json(v) != NULL) {
            put(out, value_is_raw_json(v));
            return;
        }
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
