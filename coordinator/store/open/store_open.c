/* The kinds of store. See store_open.h. */
#include "store_open.h"

#include <string.h>

#include "buf.h"
#include "mem.h"
#include "sqlite.h"

static const struct store_kind *const kinds[] = {&sqlite_kind};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))
#define SCHEME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789+-."

static int unknown(const char *url, size_t n, struct fm_err *err)
{
    fm_auto(fm_buf) allowed = {0};
    for (size_t i = 0; i < N_KINDS; i++) {
        const char *const parts[] = {i > 0 ? ", " : "", kinds[i]->scheme, ":", kinds[i]->rest};
        for (size_t k = 0; k < 4; k++)
            fm_buf_append(&allowed, parts[k], strlen(parts[k]));
    }
    fm_buf_append(&allowed, "", 1);
    return fm_err_set(
        err, FM_INVALID_ARGUMENT, "data",
        "there is no kind of store \"%.*s\"; allowed are %s, and DIR for sqlite:DIR (a directory "
        "with a colon in its name is written ./%s)",
        (int)n, url, (const char *)allowed.p, url);
}

const struct store_kind *store_kind_of(const char *url, const char **ret_rest, struct fm_err *err)
{
    size_t n = strspn(url, SCHEME_LETTERS);
    if (n == 0 || url[n] != ':') {
        *ret_rest = url;
        return &sqlite_kind;
    }
    *ret_rest = url + n + 1;
    for (size_t i = 0; i < N_KINDS; i++) {
        if (strlen(kinds[i]->scheme) != n || memcmp(kinds[i]->scheme, url, n) != 0)
            continue;
        if (**ret_rest != '\0')
            return kinds[i];
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, "data", "--data %s names no store; %s:%s is expected", url,
                         kinds[i]->scheme, kinds[i]->rest);
        return NULL;
    }
    (void)unknown(url, n, err);
    return NULL;
}

struct store *store_open(const char *url, const struct store_events *events, struct fm_err *err)
{
    const char *rest;
    const struct store_kind *kind = store_kind_of(url, &rest, err);
    return kind == NULL ? NULL : kind->open(rest, events, err);
}
