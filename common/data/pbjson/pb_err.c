/* See pb_err.h. */
#include "pb_err.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"

int pb_err_below(struct fm_err *err, int rc, const char *name, size_t at)
{
    char index[24] = "";
    char path[64 + sizeof(index) + 1 + sizeof(err->field)];
    if (rc >= 0 || err == NULL)
        return rc;
    if (at != PB_NO_INDEX)
        snprintf(index, sizeof(index), "[%zu]", at);
    const char *rest = err->field;
    snprintf(path, sizeof(path), "%.*s%s%s%s", (int)fm_utf8_cut(name, 64), name, index,
             rest[0] != '\0' && rest[0] != '[' ? "." : "", rest);
    size_t n = fm_utf8_cut(path, sizeof(err->field) - 1);
    memcpy(err->field, path, n);
    err->field[n] = '\0';
    return rc;
}
