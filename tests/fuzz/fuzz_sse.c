/* Fuzzes the parser of server-sent events: the same events, whole or in pieces. And the mending of JSON: what
 * is JSON stays as it is, and what is mended is no worse. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "lenient.h"
#include "mem.h"
#include "sse.h"

#define MOST 5000

static struct fm_arena arena;

static void *alloc(void *owner, size_t n)
{
    void *p = fm_arena_alloc(owner, n);
    if (p == NULL)
        abort();
    return p;
}

static int note(void *arg, const char *name, const char *data, size_t n)
{
    struct fm_buf *seen = arg;
    if (n > MOST || data[n] != '\0')
        abort();
    fm_buf_append(seen, name, strlen(name) + 1);
    fm_buf_append(seen, data, n + 1);
    return 0;
}

static int feed(const char *bytes, size_t n, size_t step, struct fm_buf *seen)
{
    int rc = 0;
    fm_arena_init(&arena, 64u << 20);
    struct sse s = {.alloc = alloc, .owner = &arena, .max_bytes = MOST};
    for (size_t i = 0; i < n && rc == 0; i += step)
        rc = sse_push(&s, bytes + i, n - i < step ? n - i : step, note, seen);
    if (rc == 0)
        rc = sse_end(&s, note, seen);
    fm_arena_done(&arena);
    return rc;
}

static void mend(const char *bytes, size_t n)
{
    fm_auto(fm_buf) once = {0};
    fm_auto(fm_buf) twice = {0};
    fm_auto(fm_err) err = {0};
    fm_arena_init(&arena, 64u << 20);
    bool is_json = json_value_read(bytes, n, &arena, &err) != NULL;
    lenient_mend(bytes, n, &once);
    if (once.n > 6 * n || (is_json && (once.n != n || memcmp(once.p, bytes, n) != 0)))
        abort();
    lenient_mend((const char *)once.p, once.n, &twice);
    if (twice.n != once.n || (once.n > 0 && memcmp(once.p, twice.p, once.n) != 0))
        abort();
    fm_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 20000)
        return 0;
    size_t step = data[0] % 16 + 1;
    const char *bytes = (const char *)data + 1;
    size--;
    fm_auto(fm_buf) whole = {0};
    fm_auto(fm_buf) pieces = {0};
    int rc = feed(bytes, size, size + 1, &whole);
    if (rc != feed(bytes, size, step, &pieces) || whole.n != pieces.n ||
        (whole.n > 0 && memcmp(whole.p, pieces.p, whole.n) != 0))
        abort();
    mend(bytes, size);
    return 0;
}
