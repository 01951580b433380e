/* Keys and encoded values. See kv.h; the wire format is that of google/protobuf/struct.proto. */
#include "kv.h"

#include <string.h>

#include <uthash.h>

#include "mem.h"
#include "struct_fields.h"
#include "wire.h"

struct kv_entry {
    UT_hash_handle hh;
    bool is_list;
    size_t n_items;     /* of a list */
    size_t skip;        /* bytes of elements that were dropped, at the beginning of `body` */
    struct fm_buf body; /* see view */
    size_t n_key;
    char key[];
};

static struct kv_entry *find(const struct kv *kv, const char *key, size_t n_key)
{
    struct kv_entry *e;
    HASH_FIND(hh, kv->entries, key, n_key, e);
    return e;
}

static struct kv_entry *get(struct kv *kv, const char *key, size_t n_key)
{
    struct kv_entry *e = find(kv, key, n_key);
    if (e != NULL)
        return e;
    e = fm_xcalloc(1, sizeof(*e) + n_key + 1);
    memcpy(e->key, key, n_key);
    e->n_key = n_key;
    HASH_ADD_KEYPTR(hh, kv->entries, e->key, n_key, e);
    kv->bytes += n_key;
    return e;
}

static struct fm_bytes view(const struct kv_entry *e)
{
    return (struct fm_bytes){e->skip == 0 ? e->body.p : e->body.p + e->skip, e->body.n - e->skip};
}

static struct kv_value value_of(const struct kv_entry *e)
{
    return (struct kv_value){e->is_list, e->n_items, view(e)};
}

static void drop(struct kv *kv, struct kv_entry *e)
{
    HASH_DEL(kv->entries, e);
    kv->bytes -= view(e).n + e->n_key;
    fm_buf_done(&e->body);
    free(e);
}

void kv_done(struct kv *kv)
{
    struct kv_entry *e, *tmp;
    HASH_ITER (hh, kv->entries, e, tmp)
        drop(kv, e);
}

void kv_set_kept(struct kv *kv, const char *key, size_t n_key, struct kv_value value)
{
    struct kv_entry *e = get(kv, key, n_key);
    kv->bytes -= view(e).n;
    fm_buf_reset(&e->body);
    e->skip = 0;
    e->is_list = value.is_list;
    e->n_items = value.n_items;
    fm_buf_append(&e->body, value.body.p, value.body.n);
    kv->bytes += e->body.n;
}

bool kv_first(struct kv_value list, struct fm_bytes *ret_item, struct kv_value *rest)
{
    struct wire_reader r = wire_reader(list.body);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    do {
        if (wire_next(&r, &field, &type, &val, ret_item) <= 0)
            return false;
    } while (field != LIST_VALUES || type != WIRE_TYPE_LEN);
    *rest = (struct kv_value){
        true, list.n_items > 0 ? list.n_items - 1 : 0, {r.p, (size_t)(r.end - r.p)}
    };
    return true;
}

static size_t count_items(struct fm_bytes body)
{
    struct kv_value list = {.is_list = true, .body = body};
    struct fm_bytes item;
    size_t n = 0;
    while (kv_first(list, &item, &list))
        n++;
    return n;
}

void kv_set(struct kv *kv, const char *key, size_t n_key, struct fm_bytes value)
{
    struct wire_reader r = wire_reader(value);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    bool list = wire_next(&r, &field, &type, &val, &len) > 0 && field == VALUE_LIST &&
                type == WIRE_TYPE_LEN && r.p == r.end;
    kv_set_kept(kv, key, n_key, (struct kv_value){list, list ? count_items(len) : 0, list ? len : value});
}

void kv_append(struct kv *kv, const char *key, size_t n_key, struct fm_bytes value)
{
    struct kv_entry *e = get(kv, key, n_key);
    size_t before = e->body.n;
    e->is_list = true;
    e->n_items++;
    fm_buf_put_len_delim(&e->body, LIST_VALUES, value.p, value.n);
    kv->bytes += e->body.n - before;
}

void kv_remove(struct kv *kv, const char *key, size_t n_key)
{
    struct kv_entry *e = find(kv, key, n_key);
    if (e != NULL)
        drop(kv, e);
}

/* What was dropped is given back when it is most of what is kept: so each byte moves twice at most. */
static void tidy(struct kv_entry *e)
{
    if (e->skip <= e->body.n / 2)
        return;
    struct fm_buf kept = {0};
    struct fm_bytes rest = view(e);
    fm_buf_append(&kept, rest.p, rest.n);
    fm_buf_done(&e->body);
    e->body = kept;
    e->skip = 0;
}

void kv_drop(struct kv *kv, const char *key, size_t n_key, size_t n)
{
    struct kv_entry *e = find(kv, key, n_key);
    struct fm_bytes item;
    if (e == NULL || !e->is_list)
        return;
    struct kv_value had = value_of(e), rest = had;
    for (size_t i = 0; i < n && kv_first(rest, &item, &rest);)
        i++;
    if (n >= had.n_items) {
        drop(kv, e);
        return;
    }
    e->skip += had.body.n - rest.body.n;
    e->n_items = rest.n_items;
    kv->bytes -= had.body.n - rest.body.n;
    tidy(e);
}

bool kv_get(const struct kv *kv, const char *key, size_t n_key, struct kv_value *ret)
{
    const struct kv_entry *e = find(kv, key, n_key);
    if (e == NULL)
        return false;
    *ret = value_of(e);
    return true;
}

void kv_put_value(struct kv_value value, struct fm_buf *out)
{
    if (value.is_list)
        fm_buf_put_len_header(out, VALUE_LIST, value.body.n);
    fm_buf_append(out, value.body.p, value.body.n);
}

static size_t value_size(const struct kv_entry *e)
{
    size_t n = view(e).n;
    return e->is_list ? 1 + fm_varint_size(n) + n : n;
}

static size_t entry_size(const struct kv_entry *e)
{
    size_t value = value_size(e);
    return 1 + fm_varint_size(e->n_key) + e->n_key + 1 + fm_varint_size(value) + value;
}

size_t kv_struct_size(const struct kv *kv)
{
    size_t n = 0;
    for (const struct kv_entry *e = kv->entries; e != NULL; e = e->hh.next) {
        size_t size = entry_size(e);
        n += 1 + fm_varint_size(size) + size;
    }
    return n;
}

void kv_put_struct(const struct kv *kv, struct fm_buf *out)
{
    for (const struct kv_entry *e = kv->entries; e != NULL; e = e->hh.next) {
        fm_buf_put_len_header(out, STRUCT_FIELDS, entry_size(e));
        fm_buf_put_len_delim(out, ENTRY_KEY, e->key, e->n_key);
        fm_buf_put_len_header(out, ENTRY_VALUE, value_size(e));
        kv_put_value(value_of(e), out);
    }
}

int kv_read_pair(struct fm_bytes pair, struct fm_bytes *ret_key, struct fm_bytes *ret_value)
{
    struct wire_reader r = wire_reader(pair);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    int got;
    *ret_key = *ret_value = fm_bytes_of("");
    while ((got = wire_next(&r, &field, &type, &val, &len)) > 0) {
        if (type == WIRE_TYPE_LEN && field == ENTRY_KEY)
            *ret_key = len;
        else if (type == WIRE_TYPE_LEN && field == ENTRY_VALUE)
            *ret_value = len;
    }
    return got;
}

int kv_read_struct(struct kv *kv, struct fm_bytes encoded)
{
    struct wire_reader r = wire_reader(encoded);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes pair, key, value;
    int got;
    while ((got = wire_next(&r, &field, &type, &val, &pair)) > 0) {
        if (field != STRUCT_FIELDS || type != WIRE_TYPE_LEN)
            continue;
        if (kv_read_pair(pair, &key, &value) < 0)
            return -1;
        kv_set(kv, (const char *)key.p, key.n, value);
    }
    return got;
}
