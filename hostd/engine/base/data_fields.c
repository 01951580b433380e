/* Fields by their names. See data_fields.h. */
#include "data_fields.h"

#include <stdlib.h>
#include <string.h>

#include "kv.h"
#include "mem.h"
#include "wire.h"

static int compare(struct fm_bytes a, struct fm_bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int rc = n == 0 ? 0 : memcmp(a.p, b.p, n);
    return rc != 0 ? rc : (a.n > b.n) - (a.n < b.n);
}

static int by_name(const void *a, const void *b)
{
    const struct data_field *x = a, *y = b;
    int rc = compare(x->name, y->name);
    return rc != 0 ? rc : (x->at > y->at) - (x->at < y->at);
}

/* Adds a field; false when the Struct is malformed. */
static bool add(struct data_fields *f, size_t *room, struct fm_bytes pair)
{
    if (f->n == *room) {
        *room = *room == 0 ? 16 : *room * 2;
        f->items = fm_xrealloc(f->items, *room * sizeof(*f->items));
    }
    struct data_field *item = &f->items[f->n];
    item->at = f->n++;
    return kv_read_pair(pair, &item->name, &item->value) == 0;
}

void data_fields_read(struct data_fields *f, struct fm_bytes data)
{
    struct wire_reader r = wire_reader(data);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes pair;
    size_t room = 0, n = 0;
    int got;
    *f = (struct data_fields){.data = data};
    while ((got = wire_next(&r, &field, &type, &val, &pair)) > 0)
        if (field == 1 && type == WIRE_TYPE_LEN && !add(f, &room, pair))
            break;
    f->is_malformed = got != 0;
    if (f->n > 1)
        qsort(f->items, f->n, sizeof(*f->items), by_name);
    for (size_t i = 0; i < f->n; i++)
        if (i + 1 == f->n || compare(f->items[i].name, f->items[i + 1].name) != 0)
            f->items[n++] = f->items[i];
    f->n = n;
}

void data_fields_done(struct data_fields *f)
{
    free(f->items);
    *f = (struct data_fields){0};
}

static int of_name(const void *name, const void *item)
{
    return compare(*(const struct fm_bytes *)name, ((const struct data_field *)item)->name);
}

struct data_field *data_fields_find(const struct data_fields *f, struct fm_bytes name)
{
    return f->n == 0 ? NULL : bsearch(&name, f->items, f->n, sizeof(*f->items), of_name);
}
