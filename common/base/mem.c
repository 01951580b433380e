/* Memory. See mem.h. */
#include "mem.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

_Noreturn void fm_abort(const char *what)
{
    fprintf(stderr, "fatal: %s\n", what);
    abort();
}

_Noreturn void fm_abort_oom(size_t bytes)
{
    fprintf(stderr, "fatal: out of memory (%zu bytes)\n", bytes);
    abort();
}

/* Not inline: seeing malloc and memset the compiler would make a calloc of them. */
__attribute__((noinline)) void *fm_xmalloc(size_t n)
{
    void *p = malloc(n > 0 ? n : 1);
    if (p == NULL)
        fm_abort_oom(n);
    return p;
}

/* What glibc keeps for each thread. Its calloc takes nothing from there, before version 2.41. */
#define CACHED_BYTES 1024

void *fm_xcalloc(size_t n, size_t size)
{
    if (n <= CACHED_BYTES && size <= CACHED_BYTES && n * size <= CACHED_BYTES) {
        void *small = fm_xmalloc(n * size);
        return memset(small, 0, n * size);
    }
    void *p = calloc(n > 0 ? n : 1, size > 0 ? size : 1);
    if (p == NULL)
        fm_abort_oom(n * size);
    return p;
}

void *fm_xrealloc(void *p, size_t n)
{
    void *q = realloc(p, n > 0 ? n : 1);
    if (q == NULL)
        fm_abort_oom(n);
    return q;
}

void *fm_xgrow(void *p, size_t n, size_t size)
{
    if ((n & (n - 1)) != 0)
        return p;
    if (n > SIZE_MAX / 2 / size)
        fm_abort_oom(n);
    return fm_xrealloc(p, (n == 0 ? 1 : 2 * n) * size);
}

char *fm_xstrdup(const char *s)
{
    return fm_xmemdup(s, strlen(s) + 1);
}

void *fm_xmemdup(const void *p, size_t n)
{
    void *q = fm_xmalloc(n);
    if (n > 0)
        memcpy(q, p, n);
    return q;
}

void fm_autofree_cleanup(void *p)
{
    free(*(void **)p);
}

void fm_autoclose_cleanup(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

void *fm_take_from(void *pointer)
{
    void **from = pointer, *p = *from;
    *from = NULL;
    return p;
}
