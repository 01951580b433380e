/* Bytes. See buf.h. */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

struct fm_bytes fm_bytes_of(const char *text)
{
    return (struct fm_bytes){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

bool fm_bytes_eq(struct fm_bytes a, struct fm_bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool fm_bytes_eq_str(struct fm_bytes a, const char *s)
{
    return fm_bytes_eq(a, fm_bytes_of(s));
}

size_t fm_utf8_sequence(const uint8_t *p, size_t n)
{
    uint8_t b = p[0];
    if (b < 0x80)
        return 1;
    size_t len = b >= 0xc2 && b < 0xe0 ? 2 : b >= 0xe0 && b < 0xf0 ? 3 : b >= 0xf0 && b < 0xf5 ? 4 : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (b == 0xe0 && p[1] < 0xa0) || (b == 0xf0 && p[1] < 0x90);
    bool surrogate = b == 0xed && p[1] > 0x9f, beyond = b == 0xf4 && p[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : len;
}

size_t fm_utf8_cut(const char *text, size_t most)
{
    size_t n = strnlen(text, most);
    bool cut = n == most && text[n] != '\0';
    while (cut && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    return n;
}

void fm_utf8_mend(char *text, size_t n)
{
    while (n > 0) {
        size_t len = fm_utf8_sequence((const uint8_t *)text, n);
        if (len == 0 || *text == '\0') {
            *text = '?';
            len = 1;
        }
        text += len;
        n -= len;
    }
}

void fm_utf8_format(char *out, size_t n, const char *fmt, va_list ap)
{
    int len = vsnprintf(out, n, fmt, ap);
    if (len < 0)
        (void)snprintf(out, n, "(message could not be formatted)");
    size_t end = n - 4; /* of what is kept of a text that is too long */
    for (int i = 0; i < 3 && end > 0 && ((unsigned char)out[end] & 0xc0) == 0x80; i++)
        end--;
    if (len >= 0 && (size_t)len >= n)
        memcpy(out + end, "...", 4);
    fm_utf8_mend(out, strlen(out));
}

void fm_buf_reserve(struct fm_buf *b, size_t n)
{
    if (b->p != NULL && b->cap - b->n >= n)
        return;
    size_t need = b->n + n, cap = b->cap < 64 ? 64 : b->cap;
    if (need < n)
        fm_abort_oom(n);
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    b->p = fm_xrealloc(b->p, cap);
    b->cap = cap;
}

void fm_buf_append(struct fm_buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    fm_buf_reserve(b, n);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void fm_buf_reset(struct fm_buf *b)
{
    b->n = 0;
}

void fm_buf_done(struct fm_buf *b)
{
    free(b->p);
    *b = (struct fm_buf){0};
}

struct fm_buf fm_buf_take(struct fm_buf *b)
{
    struct fm_buf taken = *b;
    *b = (struct fm_buf){0};
    return taken;
}

void fm_hex(const void *p, size_t n, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = p;
    for (size_t i = 0; i < n; i++) {
        *ret++ = digits[bytes[i] >> 4];
        *ret++ = digits[bytes[i] & 15];
    }
    *ret = '\0';
}

size_t fm_varint_size(uint64_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

void fm_buf_put_varint(struct fm_buf *b, uint64_t v)
{
    fm_buf_reserve(b, 10);
    for (; v >= 0x80; v >>= 7)
        b->p[b->n++] = (uint8_t)(v | 0x80);
    b->p[b->n++] = (uint8_t)v;
}

void fm_buf_put_tag_varint(struct fm_buf *b, uint32_t field, uint64_t v)
{
    fm_buf_put_varint(b, (uint64_t)field << 3);
    fm_buf_put_varint(b, v);
}

void fm_buf_put_len_header(struct fm_buf *b, uint32_t field, size_t n)
{
    fm_buf_put_varint(b, (uint64_t)field << 3 | 2);
    fm_buf_put_varint(b, n);
}

#define HEADER_BYTES 20u /* two varints at most */

void fm_buf_put_len_delim(struct fm_buf *b, uint32_t field, const void *p, size_t n)
{
    if (n < SIZE_MAX - HEADER_BYTES)
        fm_buf_reserve(b, n + HEADER_BYTES); /* at once, not as the parts come */
    fm_buf_put_len_header(b, field, n);
    fm_buf_append(b, p, n);
}

void fm_buf_put_string(struct fm_buf *b, uint32_t field, const char *s)
{
    fm_buf_put_len_delim(b, field, s, strlen(s));
}

void fm_buf_put_double(struct fm_buf *b, uint32_t field, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    fm_buf_put_varint(b, (uint64_t)field << 3 | 1);
    fm_buf_reserve(b, 8);
    for (int i = 0; i < 8; i++)
        b->p[b->n++] = (uint8_t)(bits >> (8 * i));
}
