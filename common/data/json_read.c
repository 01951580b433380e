/* JSON text into values (RFC 8259), strictly. No library that is at hand keeps the text of numbers and
 * refuses half surrogates; so this is our own, and jansson its judge (tests/fuzz/fuzz_json.c). It recurses as
 * deep as values may be nested. See json.h. */
#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "number.h"
#include "value.h"
#include "wire.h"

#define MAX_DEPTH VALUE_MAX_DEPTH /* deeper values could be neither stored nor sent */
#define SHOWN 40                  /* bytes of a number in a message */

struct reading {
    const char *start, *p, *end;
    struct fm_arena *a;
    struct fm_err *err;
    bool unique;
    unsigned depth;
};

static struct fm_value *read_value(struct reading *r);

/* ---- faults ---- */

static void *at_place(struct reading *r, const char *at, const char *fmt, ...) FM_PRINTF(3, 4);
static void *at_place(struct reading *r, const char *at, const char *fmt, ...)
{
    char what[256];
    unsigned line = 1, column = 1;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    for (const char *p = r->start; p < at; p++) {
        line += *p == '\n';
        column = *p == '\n' ? 1 : column + (((unsigned char)*p & 0xC0) != 0x80);
    }
    (void)fm_err_set(r->err, FM_INVALID_ARGUMENT, NULL, "%s (line %u, column %u)", what, line, column);
    return NULL;
}

static void *not_json(struct reading *r, const char *what)
{
    return r->p == r->end ? at_place(r, r->p, "not JSON: the text ends too early: %s", what)
                          : at_place(r, r->p, "not JSON: %s", what);
}

static void *full(struct reading *r)
{
    (void)fm_err_set(r->err, FM_RESOURCE_EXHAUSTED, NULL, "the JSON needs more memory than is allowed");
    return NULL;
}

static struct fm_value *kept(struct reading *r, struct fm_value *v)
{
    return v != NULL ? v : full(r);
}

/* ---- tokens ---- */

static void skip_space(struct reading *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

/* Whether the next character is this one; it is taken. */
static bool take(struct reading *r, char c)
{
    skip_space(r);
    if (r->p == r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

static bool is_digit(const struct reading *r)
{
    return r->p < r->end && *r->p >= '0' && *r->p <= '9';
}

/* At least one. */
static bool take_digits(struct reading *r)
{
    if (!is_digit(r))
        return false;
    while (is_digit(r))
        r->p++;
    return true;
}

static bool take_grammar(struct reading *r)
{
    if (*r->p == '-')
        r->p++;
    if (is_digit(r) && *r->p == '0')
        r->p++;
    else if (!take_digits(r))
        return false;
    if (r->p < r->end && *r->p == '.') {
        r->p++;
        if (!take_digits(r))
            return false;
    }
    if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
        r->p++;
        if (r->p < r->end && (*r->p == '+' || *r->p == '-'))
            r->p++;
        return take_digits(r);
    }
    return true;
}

static struct fm_value *read_number(struct reading *r)
{
    const char *first = r->p;
    struct number n;
    if (!take_grammar(r))
        return not_json(r, "a number is incomplete");
    size_t len = (size_t)(r->p - first);
    const char *why = number_read(first, len, &n);
    if (why != NULL)
        return at_place(r, first, "not JSON: the number %.*s%s %s", (int)(len < SHOWN ? len : SHOWN), first,
                        len > SHOWN ? "…" : "", why);
    return kept(r, value_number_of(r->a, n));
}

static struct fm_value *read_word(struct reading *r, const char *word, struct fm_value *v)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
        return not_json(r, "a value is expected here");
    r->p += n;
    return kept(r, v);
}

/* ---- strings ---- */

/* Four hexadecimal digits; -1 when they are none. */
static long read_hex(struct reading *r)
{
    long code = 0;
    for (int i = 0; i < 4; i++, r->p++) {
        char c = r->p < r->end ? *r->p : 'x';
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

static char *put_utf8(char *out, unsigned long c)
{
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (char)(0xC0 | (c >> 6));
    } else {
        if (c < 0x10000) {
            *out++ = (char)(0xE0 | (c >> 12));
        } else {
            *out++ = (char)(0xF0 | (c >> 18));
            *out++ = (char)(0x80 | ((c >> 12) & 0x3F));
        }
        *out++ = (char)(0x80 | ((c >> 6) & 0x3F));
    }
    *out++ = (char)(0x80 | (c & 0x3F));
    return out;
}

/* What follows \u: one character, which may be two of these. NULL after a fault. */
static char *read_unicode(struct reading *r, char *out)
{
    long c = read_hex(r), low;
    if (c < 0)
        return not_json(r, "\\u needs four hexadecimal digits");
    if (c == 0)
        return not_json(r, "\\u0000 is not allowed in a string");
    if (c >= 0xD800 && c <= 0xDBFF) {
        if (r->end - r->p < 2 || r->p[0] != '\\' || r->p[1] != 'u')
            return not_json(r, "half of a surrogate pair");
        r->p += 2;
        low = read_hex(r);
        if (low < 0xDC00 || low > 0xDFFF)
            return not_json(r, "half of a surrogate pair");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    } else if (c >= 0xDC00 && c <= 0xDFFF) {
        return not_json(r, "half of a surrogate pair");
    }
    return put_utf8(out, (unsigned long)c);
}

static char *read_escape(struct reading *r, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    r->p++;
    const char *found = r->p < r->end && *r->p != '\0' ? strchr(from, *r->p) : NULL;
    if (found != NULL) {
        r->p++;
        *out++ = to[found - from];
        return out;
    }
    if (r->p == r->end || *r->p != 'u')
        return not_json(r, "an escape that JSON does not have");
    r->p++;
    return read_unicode(r, out);
}

/* The end of the string that begins at p, behind its quotation mark; NULL when there is none. */
static const char *find_end(const char *p, const char *end)
{
    for (; p < end && *p != '"'; p++)
        if (*p == '\\' && ++p == end)
            return NULL;
    return p < end ? p : NULL;
}

/* Behind the first quotation mark; in the arena, ended by NUL. NULL after a fault. */
static const char *read_text(struct reading *r, size_t *ret_n)
{
    const char *last = find_end(r->p, r->end);
    if (last == NULL) {
        r->p = r->end;
        return not_json(r, "a string has no end");
    }
    char *text = fm_arena_alloc(r->a, (size_t)(last - r->p) + 1), *out = text;
    if (text == NULL)
        return full(r);
    while (r->p < last) {
        const char *from = r->p;
        while (r->p < last && *r->p != '\\' && (unsigned char)*r->p >= 0x20)
            r->p++;
        size_t n = (size_t)(r->p - from);
        memcpy(out, from, n);
        out += n;
        if (!wire_text_ok((const uint8_t *)from, n))
            return at_place(r, from, "not JSON: a string is not valid UTF-8");
        if (r->p == last)
            break;
        if (*r->p != '\\')
            return not_json(r, "a control character in a string must be escaped");
        out = read_escape(r, out);
        if (out == NULL)
            return NULL;
    }
    r->p = last + 1;
    *out = '\0';
    *ret_n = (size_t)(out - text);
    return text;
}

/* ---- lists and maps ---- */

static struct fm_value *read_list(struct reading *r)
{
    struct fm_value *list = kept(r, value_list(r->a));
    if (list == NULL || take(r, ']'))
        return list;
    for (;;) {
        struct fm_value *v = read_value(r);
        if (v == NULL)
            return NULL;
        if (value_list_add(r->a, list, v) < 0)
            return full(r);
        if (take(r, ']'))
            return list;
        if (!take(r, ','))
            return not_json(r, "a list goes on with , or ends with ]");
    }
}

static int read_member(struct reading *r, struct fm_value *map)
{
    size_t n;
    if (!take(r, '"')) {
        (void)not_json(r, "a key in quotation marks is expected here");
        return -1;
    }
    const char *key = read_text(r, &n);
    if (key == NULL)
        return -1;
    if (!take(r, ':')) {
        (void)not_json(r, "a : is expected after a key");
        return -1;
    }
    const struct fm_value *v = read_value(r);
    if (v == NULL)
        return -1;
    if (value_map_add_text(r->a, map, key, v) < 0) {
        (void)full(r);
        return -1;
    }
    return 0;
}

static struct fm_value *unified(struct reading *r, struct fm_value *map, const char *first)
{
    const char *twice;
    if (value_map_unify(r->a, map, &twice) < 0)
        return full(r);
    if (twice != NULL && r->unique)
        return at_place(r, first, "the key \"%.64s\" occurs twice in an object", twice);
    return map;
}

static struct fm_value *read_map(struct reading *r)
{
    const char *first = r->p;
    struct fm_value *map = kept(r, value_map(r->a));
    if (map == NULL || take(r, '}'))
        return map;
    for (;;) {
        if (read_member(r, map) < 0)
            return NULL;
        if (take(r, '}'))
            return unified(r, map, first);
        if (!take(r, ','))
            return not_json(r, "an object goes on with , or ends with }");
    }
}

static struct fm_value *read_nested(struct reading *r, struct fm_value *(*read)(struct reading *r))
{
    r->p++;
    if (++r->depth > MAX_DEPTH)
        return at_place(r, r->p, "the JSON is nested deeper than %d levels", MAX_DEPTH);
    struct fm_value *v = read(r);
    r->depth--;
    return v;
}

static struct fm_value *read_value(struct reading *r)
{
    skip_space(r);
    size_t n;
    const char *text;
    switch (r->p < r->end ? *r->p : '\0') {
    case '{':
        return read_nested(r, read_map);
    case '[':
        return read_nested(r, read_list);
    case '"':
        r->p++;
        text = read_text(r, &n);
        return text == NULL ? NULL : kept(r, value_text(r->a, text, n));
    case 't':
        return read_word(r, "true", value_bool(r->a, true));
    case 'f':
        return read_word(r, "false", value_bool(r->a, false));
    case 'n':
        return read_word(r, "null", value_null(r->a));
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return read_number(r);
    default:
        return not_json(r, "a value is expected here");
    }
}

static struct fm_value *read_all(const char *text, size_t n, bool unique, struct fm_arena *a,
                                 struct fm_err *err)
{
    if (n == 0)
        text = ""; /* it may be NULL */
    struct reading r = {.start = text, .p = text, .end = text + n, .a = a, .err = err, .unique = unique};
    struct fm_value *v = read_value(&r);
    skip_space(&r);
    return v != NULL && r.p < r.end ? not_json(&r, "the text goes on after its value") : v;
}

struct fm_value *json_value_read(const char *text, size_t n, struct fm_arena *a, struct fm_err *err)
{
    return read_all(text, n, false, a, err);
}

struct fm_value *json_value_read_unique(const char *text, size_t n, struct fm_arena *a, struct fm_err *err)
{
    return read_all(text, n, true, a, err);
}
