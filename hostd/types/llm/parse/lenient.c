/* JSON that is not quite. See lenient.h. */
#include "lenient.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define UNKNOWN "\\ufffd"
#define MAX_NUMBER 400 /* bytes of a number that are looked at */

/* Bytes of the character that begins here; 0: it is none. (RFC 3629) */
static size_t character(const unsigned char *p, size_t n)
{
    size_t k = p[0] < 0x80                   ? 1
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
               : (p[0] & 0xf0) == 0xe0       ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;
    if (k == 0 || k > n)
        return 0;
    for (size_t i = 1; i < k; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] >= 0x90))
        return 0;
    return k;
}

/* The code of "\uXXXX"; -1: it is none. */
static int code_of(const char *p, size_t n)
{
    int code = 0;
    if (n < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (size_t i = 2; i < 6; i++) {
        const char *digits = "0123456789abcdefABCDEF", *at = p[i] == '\0' ? NULL : strchr(digits, p[i]);
        if (at == NULL)
            return -1;
        int d = (int)(at - digits);
        code = code * 16 + (d > 15 ? d - 6 : d);
    }
    return code;
}

static void put(struct fm_buf *out, const char *text)
{
    fm_buf_append(out, text, strlen(text));
}

/* An escape; returns how many bytes it has. */
static size_t escape(const char *p, size_t n, struct fm_buf *out)
{
    int code = code_of(p, n);
    if (code >= 0) {
        int low = code >= 0xd800 && code < 0xdc00 ? code_of(p + 6, n - 6) : -1;
        bool pair = low >= 0xdc00 && low < 0xe000, lone = code >= 0xd800 && code < 0xe000 && !pair;
        if (code == 0 || lone)
            put(out, UNKNOWN);
        else
            fm_buf_append(out, p, pair ? 12 : 6);
        return pair ? 12 : 6;
    }
    if (n >= 2 && p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) != NULL) {
        fm_buf_append(out, p, 2);
        return 2;
    }
    return 1; /* the backslash says nothing */
}

/* What stands in a string at p; returns how many bytes it has. */
static size_t in_string(const char *p, size_t n, struct fm_buf *out)
{
    unsigned char c = (unsigned char)*p;
    char text[8];
    if (c == '\\')
        return escape(p, n, out);
    if (c < 0x20) {
        (void)snprintf(text, sizeof(text), "\\u%04x", c == 0 ? 0xfffdu : c);
        put(out, text);
        return 1;
    }
    size_t k = character((const unsigned char *)p, n);
    if (k == 0)
        put(out, UNKNOWN);
    else
        fm_buf_append(out, p, k);
    return k == 0 ? 1 : k;
}

/* A number, or a word that stands for one; returns how many bytes it has, 0: it is neither. */
static size_t number(const char *p, size_t n, struct fm_buf *out)
{
    static const char *const words[] = {"NaN", "-Infinity", "Infinity", "+Infinity", "-NaN"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (n >= strlen(words[i]) && memcmp(p, words[i], strlen(words[i])) == 0) {
            put(out, "null");
            return strlen(words[i]);
        }
    size_t k = 0;
    char text[MAX_NUMBER + 1];
    while (k < n && p[k] != '\0' && strchr("-+0123456789.eE", p[k]) != NULL)
        k++;
    if (k == 0 || p[0] == 'e' || p[0] == 'E')
        return 0;
    (void)snprintf(text, sizeof(text), "%.*s", (int)(k < MAX_NUMBER ? k : MAX_NUMBER), p);
    if (isfinite(strtod(text, NULL)))
        fm_buf_append(out, p, k);
    else
        put(out, "null");
    return k;
}

void lenient_mend(const char *text, size_t n, struct fm_buf *out)
{
    bool inside = false;
    size_t i = 0;
    while (n - i >= 3 && memcmp(text + i, "\xef\xbb\xbf", 3) == 0)
        i += 3;
    while (i < n) {
        if (text[i] == '"') {
            inside = !inside;
            fm_buf_append(out, text + i++, 1);
            continue;
        }
        size_t k = inside ? in_string(text + i, n - i, out) : number(text + i, n - i, out);
        if (k == 0) {
            fm_buf_append(out, text + i, 1);
            k = 1;
        }
        i += k;
    }
}

const struct fm_value *lenient_read(const char *text, size_t n, struct fm_arena *a, struct fm_err *err)
{
    fm_auto(fm_err) second = {0};
    fm_auto(fm_buf) mended = {0};
    const struct fm_value *v = json_value_read(text, n, a, err);
    if (v != NULL || err->code != FM_INVALID_ARGUMENT)
        return v;
    lenient_mend(text, n, &mended);
    v = json_value_read((const char *)mended.p, mended.n, a, &second);
    if (v != NULL)
        fm_err_done(err);
    return v;
}
