/* Names. See name.h. */
#include "name.h"

#include <string.h>

size_t fm_name_span(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
}

bool fm_name_ok(const char *text)
{
    size_t n = text == NULL ? 0 : fm_name_span(text);
    return n > 0 && n <= FM_MAX_NAME_BYTES && text[n] == '\0';
}

int fm_name_check(const char *field, const char *value, struct fm_err *err)
{
    size_t n = strlen(value), good = fm_name_span(value);
    if (n == 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, field, "%s is missing", field);
    if (n > FM_MAX_NAME_BYTES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, field, "%s has %zu bytes; the limit is %d", field, n,
                          FM_MAX_NAME_BYTES);
    if (good < n)
        return fm_err_set(err, FM_INVALID_ARGUMENT, field,
                          "%s may have only the characters A-Z a-z 0-9 _ . - ; byte %zu is another", field,
                          good);
    return 0;
}
