/* See base64.h. */
#include "base64.h"

#include <string.h>

void fm_base64_put(struct fm_buf *out, struct fm_bytes bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    fm_buf_reserve(out, (bytes.n + 2) / 3 * 4);
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t have = bytes.n - i < 3 ? bytes.n - i : 3;
        unsigned v = (unsigned)bytes.p[i] << 16;
        v |= have > 1 ? (unsigned)bytes.p[i + 1] << 8 : 0;
        v |= have > 2 ? bytes.p[i + 2] : 0;
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], have > 1 ? digits[v >> 6 & 63] : '=',
                        have > 2 ? digits[v & 63] : '='};
        fm_buf_append(out, four, sizeof(four));
    }
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool fm_base64_get(struct fm_buf *out, const char *text, size_t n)
{
    size_t before = out->n, padding = 0;
    while (padding < 2 && padding < n && text[n - padding - 1] == '=')
        padding++;
    if (padding > 0 && n % 4 != 0)
        return false;
    n -= padding;
    if (n % 4 == 1)
        return false;
    fm_buf_reserve(out, n / 4 * 3 + 3);
    unsigned v = 0;
    for (size_t i = 0; i < n; i++) {
        int d = digit(text[i]);
        if (d < 0) {
            out->n = before;
            return false;
        }
        v = v << 6 | (unsigned)d;
        if (i % 4 != 0) {
            uint8_t byte = (uint8_t)(v >> (6 - 2 * (i % 4)));
            fm_buf_append(out, &byte, 1);
        }
    }
    return true;
}
