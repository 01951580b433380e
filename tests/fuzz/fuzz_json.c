/* JSON: what is read is written, read again and the same. Up to a zero byte it is a JSON Schema, what follows
 * is checked against it. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "json.h"
#include "json_schema.h"

#define LIMIT (16u * 1024 * 1024)

static void on_fault(void *arg, const struct json_schema_fault *f)
{
    (void)arg;
    if (f->path == NULL || f->object == NULL || f->message[0] == '\0')
        abort();
}

static struct fm_value *read_value(const uint8_t *data, size_t size, struct fm_arena *a)
{
    struct fm_err err = {0};
    struct fm_value *v = json_value_read((const char *)data, size, a, &err);
    if (v == NULL && err.msg[0] == '\0')
        abort();
    fm_err_done(&err);
    return v;
}

/* Whoever writes it and reads it has the same again. */
static void round_trip(const struct fm_value *v, struct fm_arena *a)
{
    struct fm_buf once = {0}, twice = {0};
    json_value_write(v, &once);
    const struct fm_value *again = read_value(once.p, once.n, a);
    if (again == NULL)
        abort();
    json_value_write(again, &twice);
    if (once.n != twice.n || memcmp(once.p, twice.p, once.n) != 0)
        abort();
    fm_buf_done(&once);
    fm_buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_arena arena;
    struct fm_err err = {0};
    const uint8_t *zero = size == 0 ? NULL : memchr(data, 0, size);
    size_t n = zero == NULL ? size : (size_t)(zero - data);
    fm_arena_init(&arena, LIMIT);
    const struct fm_value *first = read_value(data, n, &arena);
    if (first != NULL)
        round_trip(first, &arena);
    if (first != NULL && zero != NULL) {
        const struct fm_value *v = read_value(zero + 1, size - n - 1, &arena);
        if (v != NULL && json_schema_check(first, v, on_fault, NULL, &err) < 0 && err.msg[0] == '\0')
            abort();
    }
    fm_err_done(&err);
    fm_arena_done(&arena);
    return 0;
}
