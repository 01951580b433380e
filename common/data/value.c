/* Values. See value.h; the wire format is that of google/protobuf/struct.proto. */
#include "value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "struct_fields.h"
#include "wire.h"

struct member {
    const char *key;
    const struct fm_value *value;
};

struct fm_value {
    enum fm_value_kind kind;
    size_t n; /* of strings, lists, maps */
    union {
        size_t cap;       /* of lists, maps */
        uint64_t integer; /* of a number that is exact beyond its double; else 0 */
        bool raw;         /* of a string: it is JSON */
    };
    union {
        bool b;
        double number;
        const char *text;
        const struct fm_value **items;
        struct member *members;
    } u;
};

/* ---- accessors ---- */

enum fm_value_kind fm_value_kind(const struct fm_value *v)
{
    return v == NULL ? FM_NULL : v->kind;
}

bool fm_value_bool(const struct fm_value *v, bool fallback)
{
    return fm_value_kind(v) == FM_BOOL ? v->u.b : fallback;
}

double fm_value_number(const struct fm_value *v, double fallback)
{
    return fm_value_kind(v) == FM_NUMBER ? v->u.number : fallback;
}

struct number value_as_number(const struct fm_value *v)
{
    if (fm_value_kind(v) != FM_NUMBER)
        return number_of_double(0);
    return (struct number){.near = v->u.number, .exact = v->integer != 0, .bits = v->integer};
}

bool fm_value_int64(const struct fm_value *v, int64_t *ret)
{
    return fm_value_kind(v) == FM_NUMBER && number_is_int64(value_as_number(v), ret);
}

bool fm_value_uint64(const struct fm_value *v, uint64_t *ret)
{
    return fm_value_kind(v) == FM_NUMBER && number_is_uint64(value_as_number(v), ret);
}

const char *fm_value_string(const struct fm_value *v, const char *fallback)
{
    return fm_value_kind(v) == FM_STRING ? v->u.text : fallback;
}

size_t fm_value_size(const struct fm_value *v)
{
    return v == NULL ? 0 : v->n;
}

const struct fm_value *fm_value_at(const struct fm_value *v, size_t i)
{
    if (v == NULL || i >= v->n)
        return NULL;
    if (v->kind == FM_LIST)
        return v->u.items[i];
    return v->kind == FM_MAP ? v->u.members[i].value : NULL;
}

const char *fm_value_key(const struct fm_value *v, size_t i)
{
    return fm_value_kind(v) == FM_MAP && i < v->n ? v->u.members[i].key : NULL;
}

/* Of a key that came twice over the wire the last one counts. */
static const struct fm_value *find_key(const struct fm_value *v, const char *key, size_t n)
{
    if (fm_value_kind(v) != FM_MAP)
        return NULL;
    for (size_t i = v->n; i-- > 0;)
        if (strncmp(v->u.members[i].key, key, n) == 0 && v->u.members[i].key[n] == '\0')
            return v->u.members[i].value;
    return NULL;
}

const struct fm_value *fm_value_get(const struct fm_value *v, const char *path)
{
    while (v != NULL && *path != '\0') {
        if (*path == '[') {
            char *end;
            unsigned long i = strtoul(path + 1, &end, 10);
            if (*end != ']' || end == path + 1 || fm_value_kind(v) != FM_LIST)
                return NULL;
            v = fm_value_at(v, i);
            path = end + 1;
        } else {
            size_t n = strcspn(path, ".[");
            v = find_key(v, path, n);
            path += n;
        }
        if (*path == '.')
            path++;
    }
    return v;
}

/* ---- builders ---- */

static struct fm_value *make(struct fm_arena *a, enum fm_value_kind kind)
{
    struct fm_value *v = fm_arena_zalloc(a, 1, sizeof(*v));
    if (v != NULL)
        v->kind = kind;
    return v;
}

struct fm_value *value_null(struct fm_arena *a)
{
    return make(a, FM_NULL);
}

struct fm_value *value_bool(struct fm_arena *a, bool b)
{
    struct fm_value *v = make(a, FM_BOOL);
    if (v != NULL)
        v->u.b = b;
    return v;
}

struct fm_value *value_number(struct fm_arena *a, double n)
{
    struct fm_value *v = make(a, isfinite(n) ? FM_NUMBER : FM_NULL);
    if (v != NULL && v->kind == FM_NUMBER)
        v->u.number = n;
    return v;
}

struct fm_value *value_number_of(struct fm_arena *a, struct number n)
{
    struct fm_value *v = make(a, FM_NUMBER);
    if (v == NULL)
        return NULL;
    v->u.number = n.near;
    v->integer = n.exact ? n.bits : 0;
    return v;
}

struct fm_value *value_string(struct fm_arena *a, const char *s, size_t n)
{
    struct fm_value *v = make(a, FM_STRING);
    char *copy = v == NULL ? NULL : fm_arena_strndup(a, s, n);
    if (copy == NULL)
        return NULL;
    if (!wire_text_ok((const uint8_t *)copy, n))
        fm_utf8_mend(copy, n);
    v->u.text = copy;
    v->n = n;
    return v;
}

struct fm_value *value_text(struct fm_arena *a, const char *s, size_t n)
{
    struct fm_value *v = make(a, FM_STRING);
    if (v == NULL)
        return NULL;
    v->u.text = s;
    v->n = n;
    return v;
}

struct fm_value *value_raw_json(struct fm_arena *a, const char *json, size_t n)
{
    struct fm_value *v = value_text(a, json, n);
    if (v != NULL)
        v->raw = true;
    return v;
}

const char *value_is_raw_json(const struct fm_value *v)
{
    return fm_value_kind(v) == FM_STRING && v->raw ? v->u.text : NULL;
}

struct fm_value *value_list(struct fm_arena *a)
{
    return make(a, FM_LIST);
}

struct fm_value *value_map(struct fm_arena *a)
{
    return make(a, FM_MAP);
}

/* Room for one more element of `size` bytes; the old array stays in the arena. */
static int grow(struct fm_arena *a, struct fm_value *v, size_t size)
{
    if (v->n < v->cap)
        return 0;
    size_t cap = v->cap == 0 ? 4 : v->cap * 2;
    void *items = fm_arena_alloc(a, cap * size);
    if (items == NULL)
        return -1;
    if (v->n > 0)
        memcpy(items, v->kind == FM_LIST ? (void *)v->u.items : (void *)v->u.members, v->n * size);
    if (v->kind == FM_LIST)
        v->u.items = items;
    else
        v->u.members = items;
    v->cap = cap;
    return 0;
}

int value_list_add(struct fm_arena *a, struct fm_value *list, const struct fm_value *v)
{
    if (fm_value_kind(list) != FM_LIST || grow(a, list, sizeof(*list->u.items)) < 0)
        return -1;
    list->u.items[list->n++] = v;
    return 0;
}

/* Appends without looking for the key: decoding takes time in proportion to the size. */
static int add_member(struct fm_arena *a, struct fm_value *map, struct fm_bytes key, const struct fm_value *v)
{
    char *copy = fm_arena_strndup(a, key.p, key.n);
    if (copy == NULL || grow(a, map, sizeof(*map->u.members)) < 0)
        return -1;
    map->u.members[map->n++] = (struct member){copy, v};
    return 0;
}

int value_map_add(struct fm_arena *a, struct fm_value *map, const char *key, const struct fm_value *v)
{
    if (fm_value_kind(map) != FM_MAP)
        return -1;
    return add_member(a, map, fm_bytes_of(key), v);
}

int value_map_add_text(struct fm_arena *a, struct fm_value *map, const char *key, const struct fm_value *v)
{
    if (fm_value_kind(map) != FM_MAP || grow(a, map, sizeof(*map->u.members)) < 0)
        return -1;
    map->u.members[map->n++] = (struct member){key, v};
    return 0;
}

int value_map_set(struct fm_arena *a, struct fm_value *map, const char *key, const struct fm_value *v)
{
    if (fm_value_kind(map) != FM_MAP)
        return -1;
    for (size_t i = map->n; i-- > 0;) {
        if (strcmp(map->u.members[i].key, key) == 0) {
            map->u.members[i].value = v;
            return 0;
        }
    }
    return add_member(a, map, fm_bytes_of(key), v);
}

/* ---- keys that came twice ---- */

#define FEW 8 /* so many are compared with each other */

/* By key; of equal ones the first comes first. */
static int by_key(const void *a, const void *b)
{
    const struct member *x = *(const struct member *const *)a, *y = *(const struct member *const *)b;
    int order = strcmp(x->key, y->key);
    return order != 0 ? order : (x > y) - (x < y);
}

/* Of equal keys the first gets the last value, and the others are marked by having no key. */
static const char *mark_twice(struct member **sorted, size_t n)
{
    const char *twice = NULL;
    for (size_t i = 0; i < n;) {
        size_t same = 1;
        while (i + same < n && strcmp(sorted[i]->key, sorted[i + same]->key) == 0)
            same++;
        sorted[i]->value = sorted[i + same - 1]->value;
        if (same > 1)
            twice = sorted[i]->key;
        for (size_t k = 1; k < same; k++)
            sorted[i + k]->key = NULL;
        i += same;
    }
    return twice;
}

static bool has_twice(const struct fm_value *map)
{
    for (size_t i = 1; i < map->n; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(map->u.members[i].key, map->u.members[k].key) == 0)
                return true;
    return false;
}

int value_map_unify(struct fm_arena *a, struct fm_value *map, const char **ret_twice)
{
    const char *twice = NULL;
    size_t n = fm_value_kind(map) == FM_MAP ? map->n : 0, kept = 0;
    if (n > FEW || (n > 1 && has_twice(map))) {
        struct member **sorted = fm_arena_alloc(a, n * sizeof(struct member *));
        if (sorted == NULL)
            return -1;
        for (size_t i = 0; i < n; i++)
            sorted[i] = &map->u.members[i];
        qsort(sorted, n, sizeof(struct member *), by_key);
        twice = mark_twice(sorted, n);
    }
    for (size_t i = 0; twice != NULL && i < n; i++)
        if (map->u.members[i].key != NULL)
            map->u.members[kept++] = map->u.members[i];
    if (twice != NULL)
        map->n = kept;
    if (ret_twice != NULL)
        *ret_twice = twice;
    return 0;
}

struct fm_value *value_map_copy(struct fm_arena *a, const struct fm_value *map)
{
    struct fm_value *copy = value_map(a);
    size_t n = fm_value_kind(map) == FM_MAP ? map->n : 0;
    if (copy == NULL || n == 0)
        return copy;
    copy->u.members = fm_arena_alloc(a, n * sizeof(*copy->u.members));
    if (copy->u.members == NULL)
        return NULL;
    memcpy(copy->u.members, map->u.members, n * sizeof(*copy->u.members));
    copy->n = copy->cap = n;
    return copy;
}

/* ---- decoding ---- */

struct decoding {
    struct fm_arena *a;
    struct fm_err *err;
};

static struct fm_value *malformed(struct decoding *d, const char *what)
{
    (void)fm_err_set(d->err, FM_INVALID_ARGUMENT, "data", "%s", what);
    return NULL;
}

static struct fm_value *full(struct decoding *d, struct fm_value *v)
{
    if (v == NULL)
        (void)fm_err_set(d->err, FM_RESOURCE_EXHAUSTED, "data",
                         "the data is too large for this step's memory (%zu bytes)", d->a->limit);
    return v;
}

static struct fm_value *decode(struct decoding *d, struct fm_bytes b, unsigned depth);

static struct fm_value *decode_list(struct decoding *d, struct fm_bytes b, unsigned depth)
{
    struct wire_reader r = wire_reader(b);
    struct fm_value *list = full(d, value_list(d->a));
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    int got = 1;
    while (list != NULL && (got = wire_next(&r, &field, &type, &val, &len)) > 0) {
        if (field != LIST_VALUES || type != WIRE_TYPE_LEN)
            continue;
        struct fm_value *item = decode(d, len, depth + 1);
        if (item == NULL)
            return NULL;
        if (value_list_add(d->a, list, item) < 0)
            return full(d, NULL);
    }
    return got < 0 ? malformed(d, "a list is malformed") : list;
}

static int decode_member(struct decoding *d, struct fm_value *map, struct fm_bytes pair, unsigned depth)
{
    struct wire_reader r = wire_reader(pair);
    struct fm_bytes key = {(const uint8_t *)"", 0}, value = {(const uint8_t *)"", 0}, len;
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    int got;
    while ((got = wire_next(&r, &field, &type, &val, &len)) > 0) {
        if (type == WIRE_TYPE_LEN && field == ENTRY_KEY)
            key = len;
        else if (type == WIRE_TYPE_LEN && field == ENTRY_VALUE)
            value = len;
    }
    if (got < 0 || !wire_text_ok(key.p, key.n)) {
        (void)malformed(d, "a map is malformed");
        return -1;
    }
    struct fm_value *v = decode(d, value, depth + 2);
    if (v == NULL)
        return -1;
    if (add_member(d->a, map, key, v) < 0) {
        (void)full(d, NULL);
        return -1;
    }
    return 0;
}

static struct fm_value *decode_map(struct decoding *d, struct fm_bytes b, unsigned depth)
{
    struct wire_reader r = wire_reader(b);
    struct fm_value *map = full(d, value_map(d->a));
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    int got = 1;
    if (depth > VALUE_MAX_DEPTH)
        return malformed(d, "values are nested too deeply");
    while (map != NULL && (got = wire_next(&r, &field, &type, &val, &len)) > 0)
        if (field == STRUCT_FIELDS && type == WIRE_TYPE_LEN && decode_member(d, map, len, depth) < 0)
            return NULL;
    return got < 0 ? malformed(d, "a map is malformed") : map;
}

static struct fm_value *decode(struct decoding *d, struct fm_bytes b, unsigned depth)
{
    struct wire_reader r = wire_reader(b);
    uint32_t field, kind = VALUE_NULL;
    enum wire_type type, kind_type = WIRE_TYPE_VARINT;
    uint64_t val, bits = 0, integer = 0;
    struct fm_bytes len, body = {(const uint8_t *)"", 0};
    bool exact = false;
    int got;
    if (depth > VALUE_MAX_DEPTH)
        return malformed(d, "values are nested too deeply");
    while ((got = wire_next(&r, &field, &type, &val, &len)) > 0) { /* of a oneof the last one counts */
        if (field == VALUE_INTEGER && type == WIRE_TYPE_VARINT) {
            exact = true;
            integer = val;
        }
        if (field < VALUE_NULL || field > VALUE_LIST)
            continue;
        kind = field;
        kind_type = type;
        bits = val;
        body = len;
    }
    enum wire_type want = kind == VALUE_NUMBER                       ? WIRE_TYPE_FIXED64
                          : kind == VALUE_NULL || kind == VALUE_BOOL ? WIRE_TYPE_VARINT
                                                                     : WIRE_TYPE_LEN;
    if (got < 0 || kind_type != want)
        return malformed(d, "a value is malformed");
    double near;
    struct number number;
    switch (kind) {
    case VALUE_NUMBER:
        memcpy(&near, &bits, sizeof(near));
        number = number_of_double(near);
        if (!isfinite(near) || (exact && !number_join(near, integer, &number)))
            return malformed(d, exact ? "an integer is not that of its number" : "a number is not finite");
        return full(d, value_number_of(d->a, number));
    case VALUE_STRING:
        return wire_text_ok(body.p, body.n) ? full(d, value_string(d->a, (const char *)body.p, body.n))
                                            : malformed(d, "a string is not valid UTF-8");
    case VALUE_BOOL:
        return full(d, value_bool(d->a, bits != 0));
    case VALUE_STRUCT:
        return decode_map(d, body, depth + 1);
    case VALUE_LIST:
        return decode_list(d, body, depth + 1);
    default:
        return full(d, value_null(d->a));
    }
}

struct fm_value *value_decode(struct fm_bytes value, struct fm_arena *a, struct fm_err *err)
{
    struct decoding d = {a, err};
    return decode(&d, value, 1);
}

struct fm_value *value_decode_struct(struct fm_bytes fields, struct fm_arena *a, struct fm_err *err)
{
    struct decoding d = {a, err};
    return decode_map(&d, fields, 1);
}

bool value_encoded_number(struct fm_bytes value, struct number *ret)
{
    struct wire_reader r = wire_reader(value);
    uint32_t field;
    enum wire_type type;
    uint64_t val, integer = 0;
    struct fm_bytes len;
    double near;
    bool number = false;
    while (wire_next(&r, &field, &type, &val, &len) > 0) {
        if (field == VALUE_INTEGER && type == WIRE_TYPE_VARINT)
            integer = val;
        if (field < VALUE_NULL || field > VALUE_LIST)
            continue;
        number = field == VALUE_NUMBER && type == WIRE_TYPE_FIXED64;
        memcpy(&near, &val, sizeof(near));
    }
    if (!number)
        return false;
    *ret = number_of_double(near);
    return integer == 0 || number_join(near, integer, ret);
}

const char *value_strange_field(uint32_t number, struct fm_bytes value)
{
    struct number n;
    fm_auto(fm_buf) again = {0};
    if (number != VALUE_INTEGER)
        return NULL;
    if (value_encoded_number(value, &n) && n.exact) {
        fm_buf_put_double(&again, VALUE_NUMBER, n.near);
        fm_buf_put_tag_varint(&again, VALUE_INTEGER, n.bits);
    }
    return again.n > 0 && fm_bytes_eq(value, fm_buf_bytes(&again))
               ? NULL
               : "an integer (field 1001) stands behind its number_value and is beyond 2^53";
}

/* ---- encoding ---- */

/* Opens a length-delimited field: one byte is kept for the length, which nearly always suffices.
 * Returns where the body starts. */
static size_t open_field(struct fm_buf *out, uint32_t field)
{
    fm_buf_put_len_header(out, field, 0);
    return out->n;
}

/* Writes the length; a body of 128 bytes or more moves to make room for it. */
static void close_field(struct fm_buf *out, size_t start)
{
    size_t n = out->n - start, extra = fm_varint_size(n) - 1;
    fm_buf_reserve(out, extra);
    uint8_t *at = out->p + start - 1;
    if (extra > 0)
        memmove(out->p + start + extra, out->p + start, n);
    out->n += extra;
    for (; n >= 0x80; n >>= 7)
        *at++ = (uint8_t)(n | 0x80);
    *at = (uint8_t)n;
}

static int encode_value(const struct fm_value *v, struct fm_buf *out, unsigned depth);

static int encode_list(const struct fm_value *v, struct fm_buf *out, unsigned depth)
{
    int rc = 0;
    for (size_t i = 0; i < v->n && rc == 0; i++) {
        size_t item = open_field(out, LIST_VALUES);
        rc = encode_value(v->u.items[i], out, depth + 1);
        close_field(out, item);
    }
    return rc;
}

static int encode_members(const struct fm_value *v, struct fm_buf *out, unsigned depth)
{
    int rc = 0;
    for (size_t i = 0; i < fm_value_size(v) && rc == 0; i++) {
        size_t pair = open_field(out, STRUCT_FIELDS);
        fm_buf_put_string(out, ENTRY_KEY, v->u.members[i].key);
        size_t value = open_field(out, ENTRY_VALUE);
        rc = encode_value(v->u.members[i].value, out, depth + 2);
        close_field(out, value);
        close_field(out, pair);
    }
    return rc;
}

static int encode_value(const struct fm_value *v, struct fm_buf *out, unsigned depth)
{
    size_t body;
    int rc;
    if (depth > VALUE_MAX_DEPTH)
        return -1;
    switch (fm_value_kind(v)) {
    case FM_NULL:
        fm_buf_put_tag_varint(out, VALUE_NULL, 0);
        return 0;
    case FM_BOOL:
        fm_buf_put_tag_varint(out, VALUE_BOOL, v->u.b);
        return 0;
    case FM_NUMBER:
        fm_buf_put_double(out, VALUE_NUMBER, v->u.number);
        if (v->integer != 0)
            fm_buf_put_tag_varint(out, VALUE_INTEGER, v->integer);
        return 0;
    case FM_STRING:
        fm_buf_put_len_delim(out, VALUE_STRING, v->u.text, v->n);
        return 0;
    case FM_LIST:
    case FM_MAP:
        body = open_field(out, v->kind == FM_LIST ? VALUE_LIST : VALUE_STRUCT);
        rc = v->kind == FM_LIST ? encode_list(v, out, depth + 1) : encode_members(v, out, depth + 1);
        close_field(out, body);
        return rc;
    }
    return 0;
}

/* What was written of a value that is too deep is taken back. */
static int ended(int rc, struct fm_buf *out, size_t before, struct fm_err *err)
{
    if (rc == 0)
        return 0;
    out->n = before;
    return fm_err_set(err, FM_INVALID_ARGUMENT, "data", "the value is nested deeper than %d levels",
                      VALUE_MAX_DEPTH);
}

int value_encode(const struct fm_value *v, unsigned depth, struct fm_buf *out, struct fm_err *err)
{
    size_t before = out->n;
    return ended(encode_value(v, out, depth), out, before, err);
}

int value_encode_struct(const struct fm_value *map, struct fm_buf *out, struct fm_err *err)
{
    size_t before = out->n;
    if (map != NULL && map->kind != FM_MAP)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "data", "the data must be a map");
    return ended(encode_members(map, out, 1), out, before, err);
}
