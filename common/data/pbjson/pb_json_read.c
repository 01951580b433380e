/* From JSON to protobuf's wire format. The text is read by jansson (which checks UTF-8 and depth);
 * then the tree is walked along the descriptor. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base64.h"
#include "mem.h"
#include "nearest.h"
#include "pb_err.h"
#include "pb_json.h"
#include "pb_text.h"
#include "wire.h"

/* Sets the error; -FM_INVALID_ARGUMENT. */
#define FAIL(who, ...) fm_err_set((who)->err, FM_INVALID_ARGUMENT, NULL, __VA_ARGS__)

#define FLOAT_END 3.4028235677973366e38 /* what is less is rounded to a float */
#define EXACT 9007199254740992.0        /* 2^53: up to here a double has every whole number */

struct reader {
    const struct pb_pool *pool;
    bool ignore_unknown;
    struct fm_err *err;
};

static const char *kind_of(json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    default:
        return "null";
    }
}

static int wrong(struct reader *r, const char *wanted, json_t *j)
{
    return fm_err_set(r->err, FM_INVALID_ARGUMENT, NULL, "must be %s, not %s", wanted, kind_of(j));
}

/* ---- numbers ---- */

/* A whole number, of which `negative` numbers are the magnitude's opposite. */
struct whole {
    uint64_t magnitude;
    bool negative;
};

static bool whole_of_double(double d, struct whole *w)
{
    if (!(fabs(d) <= EXACT) || d != floor(d))
        return false;
    w->negative = d < 0;
    w->magnitude = (uint64_t)fabs(d);
    return true;
}

static bool whole_of_text(const char *s, struct whole *w)
{
    char *end;
    const char *number = s + (s[0] == '-');
    if (number[0] < '0' || number[0] > '9' || (number[0] == '0' && number[1] >= '0' && number[1] <= '9'))
        return false;
    errno = 0;
    unsigned long long v = strtoull(number, &end, 10);
    if (*end == '\0') {
        w->negative = number != s;
        w->magnitude = v;
        return errno == 0;
    }
    if (strspn(end, "0123456789.eE+-") != strlen(end))
        return false;
    double d = strtod(s, &end);
    return *end == '\0' && whole_of_double(d, w);
}

static bool whole_of(json_t *j, struct whole *w)
{
    if (json_is_integer(j)) {
        json_int_t i = json_integer_value(j);
        w->negative = i < 0;
        w->magnitude = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
        return true;
    }
    if (json_is_real(j))
        return whole_of_double(json_real_value(j), w);
    return json_is_string(j) && strlen(json_string_value(j)) == json_string_length(j) &&
           whole_of_text(json_string_value(j), w);
}

static bool is_signed(enum pb_type t)
{
    return t == PB_INT32 || t == PB_INT64 || t == PB_SINT32 || t == PB_SINT64 || t == PB_SFIXED32 ||
           t == PB_SFIXED64;
}

static bool is_long(enum pb_type t)
{
    return t == PB_INT64 || t == PB_UINT64 || t == PB_SINT64 || t == PB_FIXED64 || t == PB_SFIXED64;
}

static const char *range_of(enum pb_type t)
{
    if (is_signed(t))
        return is_long(t) ? "a whole number of 64 bits with sign" : "a whole number of 32 bits with sign";
    return is_long(t) ? "a whole number of 64 bits, not negative" : "a whole number of 32 bits, not negative";
}

static int read_whole(struct reader *r, enum pb_type t, json_t *j, uint64_t *bits)
{
    struct whole w;
    uint64_t most = is_long(t) ? UINT64_MAX : UINT32_MAX;
    if (!json_is_number(j) && !json_is_string(j))
        return wrong(r, range_of(t), j);
    if (!whole_of(j, &w))
        return FAIL(r, "must be %s", range_of(t));
    if (is_signed(t))
        most = most / 2 + (w.negative ? 1 : 0);
    else if (w.negative)
        most = 0;
    if (w.magnitude > most)
        return FAIL(r, "must be %s", range_of(t));
    *bits = w.negative ? 0 - w.magnitude : w.magnitude;
    return 0;
}

static int read_double(struct reader *r, json_t *j, bool single, double *d)
{
    const char *text = json_string_value(j);
    char *end;
    if (json_is_number(j)) {
        *d = json_number_value(j);
    } else if (text == NULL) {
        return wrong(r, "a number", j);
    } else if (strcmp(text, "NaN") == 0) {
        *d = (double)NAN;
    } else if (strcmp(text, "Infinity") == 0 || strcmp(text, "-Infinity") == 0) {
        *d = text[0] == '-' ? -(double)INFINITY : (double)INFINITY;
    } else {
        if (text[0] == '\0' || strspn(text, "0123456789.eE+-") != strlen(text) || text[0] == '+')
            return FAIL(r, "must be a number, or one of the strings NaN, Infinity and -Infinity");
        *d = strtod(text, &end);
        if (*end != '\0' || isinf(*d))
            return FAIL(r, "must be a number that a double can hold");
    }
    if (single && !isinf(*d) && fabs(*d) >= FLOAT_END)
        return FAIL(r, "must be a number that a float of 32 bits can hold");
    return 0;
}

/* ---- single values ---- */

static void put_fixed(struct fm_buf *out, uint64_t bits, size_t n)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(bits >> (8 * i));
    fm_buf_append(out, bytes, n);
}

static void put_tag(struct fm_buf *out, uint32_t number, enum wire_type type)
{
    fm_buf_put_varint(out, (uint64_t)number << 3 | (uint64_t)type);
}

static int read_enum(struct reader *r, const struct pb_enum *e, json_t *j, bool *known, uint64_t *bits)
{
    struct whole w;
    *known = true;
    if (e->is_null && json_is_null(j)) {
        *bits = 0;
        return 0;
    }
    if (json_is_number(j)) {
        if (!whole_of(j, &w) || w.magnitude > (uint64_t)INT32_MAX + w.negative)
            return FAIL(r, "must be the name or the number of a value");
        *bits = w.negative ? 0 - w.magnitude : w.magnitude;
        return 0;
    }
    if (!json_is_string(j))
        return wrong(r, "the name or the number of a value", j);
    const struct pb_enum_value *v = pb_enum_by_name(e, json_string_value(j));
    if (v != NULL) {
        *bits = (uint64_t)(int64_t)v->number;
        return 0;
    }
    *known = false;
    if (r->ignore_unknown)
        return 0;
    struct nearest near = nearest_to(json_string_value(j));
    for (size_t i = 0; i < e->n_values; i++)
        (void)nearest_try(&near, e->values[i].name);
    return fm_err_set(r->err, FM_INVALID_ARGUMENT, NULL, "'%.64s' is no value of %s%s%s%s",
                      json_string_value(j), e->name, near.found != NULL ? "; did you mean '" : "",
                      near.found != NULL ? near.found : "", near.found != NULL ? "'?" : "");
}

static int read_message(struct reader *r, const struct pb_message *m, json_t *j, unsigned depth,
                        struct fm_buf *out);

static int put_number(struct reader *r, const struct pb_field *f, json_t *j, struct fm_buf *out)
{
    uint64_t bits = 0;
    double d;
    float single;
    bool known = true;
    int rc = 0;
    switch (f->type) {
    case PB_DOUBLE:
        if ((rc = read_double(r, j, false, &d)) < 0)
            return rc;
        put_tag(out, f->number, WIRE_TYPE_FIXED64);
        memcpy(&bits, &d, sizeof(d));
        put_fixed(out, bits, 8);
        return 0;
    case PB_FLOAT:
        if ((rc = read_double(r, j, true, &d)) < 0)
            return rc;
        put_tag(out, f->number, WIRE_TYPE_FIXED32);
        single = (float)d;
        memcpy(&bits, &single, sizeof(single)); /* the low half, on the machines that Debian has gRPC for */
        put_fixed(out, bits, 4);
        return 0;
    case PB_BOOL:
        if (!json_is_boolean(j))
            return wrong(r, "true or false", j);
        fm_buf_put_tag_varint(out, f->number, json_is_true(j));
        return 0;
    case PB_ENUM:
        if ((rc = read_enum(r, f->enumeration, j, &known, &bits)) == 0 && known)
            fm_buf_put_tag_varint(out, f->number, bits);
        return rc;
    default:
        break;
    }
    if ((rc = read_whole(r, f->type, j, &bits)) < 0)
        return rc;
    switch (f->type) {
    case PB_FIXED64:
    case PB_SFIXED64:
        put_tag(out, f->number, WIRE_TYPE_FIXED64);
        put_fixed(out, bits, 8);
        return 0;
    case PB_FIXED32:
    case PB_SFIXED32:
        put_tag(out, f->number, WIRE_TYPE_FIXED32);
        put_fixed(out, bits, 4);
        return 0;
    case PB_SINT32:
    case PB_SINT64:
        bits = (bits << 1) ^ (0 - (bits >> 63));
        break;
    default:
        break;
    }
    fm_buf_put_tag_varint(out, f->number, bits);
    return 0;
}

/* One element with its tag. */
static int put_element(struct reader *r, const struct pb_field *f, json_t *j, unsigned depth,
                       struct fm_buf *out)
{
    fm_auto(fm_buf) inner = {0};
    switch (f->type) {
    case PB_STRING:
        if (!json_is_string(j))
            return wrong(r, "a string", j);
        fm_buf_put_len_delim(out, f->number, json_string_value(j), json_string_length(j));
        return 0;
    case PB_BYTES:
        if (!json_is_string(j))
            return wrong(r, "bytes as a base64 string", j);
        if (!fm_base64_get(&inner, json_string_value(j), json_string_length(j)))
            return FAIL(r, "must be bytes as a base64 string");
        fm_buf_put_len_delim(out, f->number, inner.p, inner.n);
        return 0;
    case PB_MESSAGE: {
        int rc = read_message(r, f->message, j, depth + 1, &inner);
        if (rc == 0)
            fm_buf_put_len_delim(out, f->number, inner.p, inner.n);
        return rc;
    }
    case PB_GROUP:
        return FAIL(r, "%s cannot be given as JSON", f->name);
    default:
        return put_number(r, f, j, out);
    }
}

/* ---- fields ---- */

/* null is a value of its own there. */
static bool takes_null(const struct pb_field *f)
{
    return (f->type == PB_MESSAGE && f->message->known == PB_VALUE) ||
           (f->type == PB_ENUM && f->enumeration->is_null);
}

static int read_list(struct reader *r, const struct pb_field *f, json_t *j, unsigned depth,
                     struct fm_buf *out)
{
    json_t *item;
    size_t i;
    if (!json_is_array(j))
        return wrong(r, "a list", j);
    json_array_foreach(j, i, item)
    {
        int rc = json_is_null(item) && !takes_null(f) ? FAIL(r, "must not be null")
                                                      : put_element(r, f, item, depth, out);
        if (rc < 0)
            return pb_err_below(r->err, rc, "", i);
    }
    return 0;
}

/* A key of a map, which JSON has as text. */
static int put_key(struct reader *r, const struct pb_field *f, const char *key, struct fm_buf *out)
{
    json_t *j = NULL;
    if (f->type == PB_BOOL && (strcmp(key, "true") == 0 || strcmp(key, "false") == 0))
        j = json_boolean(key[0] == 't');
    else if (f->type == PB_BOOL)
        return FAIL(r, "the key must be true or false");
    else
        j = json_string(key);
    int rc = put_element(r, f, j, 0, out);
    json_decref(j);
    return rc;
}

static int read_map(struct reader *r, const struct pb_field *f, json_t *j, unsigned depth, struct fm_buf *out)
{
    const struct pb_field *key_field = pb_field_by_number(f->message, 1);
    const struct pb_field *value_field = pb_field_by_number(f->message, 2);
    fm_auto(fm_buf) entry = {0};
    const char *key;
    json_t *item;
    if (!json_is_object(j))
        return wrong(r, "an object", j);
    json_object_foreach(j, key, item)
    {
        entry.n = 0;
        int rc = put_key(r, key_field, key, &entry);
        if (rc == 0)
            rc = json_is_null(item) && !takes_null(value_field)
                     ? FAIL(r, "must not be null")
                     : put_element(r, value_field, item, depth + 1, &entry);
        if (rc < 0)
            return pb_err_below(r->err, rc, key, PB_NO_INDEX);
        fm_buf_put_len_delim(out, f->number, entry.p, entry.n);
    }
    return 0;
}

static int unknown(struct reader *r, const struct pb_message *m, const char *key)
{
    struct nearest near = nearest_to(key);
    const struct pb_field *f = NULL;
    for (size_t i = 0; i < m->n_fields; i++) {
        (void)nearest_try(&near, m->fields[i].json_name);
        (void)nearest_try(&near, m->fields[i].name);
    }
    if (near.found != NULL)
        f = pb_field_by_name(m, near.found);
    (void)fm_err_set(r->err, FM_INVALID_ARGUMENT, NULL, "is no field of %s%s%s%s", m->name,
                     f != NULL ? "; did you mean '" : "", f != NULL ? f->json_name : "",
                     f != NULL ? "'?" : "");
    return pb_err_below(r->err, -FM_INVALID_ARGUMENT, key, PB_NO_INDEX);
}

/* Which fields and oneofs were given. */
struct given {
    bool *fields;
    const struct pb_field **oneofs;
};

static int read_field(struct reader *r, const struct pb_message *m, const struct pb_field *f, json_t *j,
                      struct given *given, unsigned depth, struct fm_buf *out)
{
    size_t at = (size_t)(f - m->fields);
    if (given->fields[at])
        return FAIL(r, "is given twice");
    given->fields[at] = true;
    if (json_is_null(j) && (f->repeated || !takes_null(f)))
        return 0;
    if (f->oneof >= 0) {
        if (given->oneofs[f->oneof] != NULL)
            return FAIL(r, "cannot be given together with '%s'", given->oneofs[f->oneof]->json_name);
        given->oneofs[f->oneof] = f;
    }
    return f->is_map     ? read_map(r, f, j, depth, out)
           : f->repeated ? read_list(r, f, j, depth, out)
                         : put_element(r, f, j, depth, out);
}

/* An object's keys but for `@type` where `any`. */
static int read_fields(struct reader *r, const struct pb_message *m, json_t *j, bool any, unsigned depth,
                       struct fm_buf *out)
{
    const char *key;
    json_t *item;
    int rc = 0;
    if (!json_is_object(j))
        return wrong(r, "an object", j);
    fm_autofree bool *fields = fm_xcalloc(m->n_fields, sizeof(*fields));
    const struct pb_field **oneofs = fm_xcalloc(m->n_oneofs, sizeof(*oneofs));
    struct given given = {fields, oneofs};
    json_object_foreach(j, key, item)
    {
        const struct pb_field *f = pb_field_by_name(m, key);
        if (any && strcmp(key, "@type") == 0)
            continue;
        if (f == NULL && r->ignore_unknown)
            continue;
        rc = f == NULL ? unknown(r, m, key)
                       : pb_err_below(r->err, read_field(r, m, f, item, &given, depth, out), f->json_name,
                                      PB_NO_INDEX);
        if (rc < 0)
            break;
    }
    free((void *)oneofs);
    return rc;
}

/* ---- messages with a form of their own ---- */

static int read_time(struct reader *r, const struct pb_message *m, json_t *j, struct fm_buf *out)
{
    bool stamp = m->known == PB_TIMESTAMP;
    const char *wanted = stamp ? "a time such as \"2026-01-31T12:00:00Z\", of the years 1 to 9999"
                               : "a time span in seconds such as \"1.5s\", of at most 10,000 years";
    int64_t seconds;
    int32_t nanos;
    if (!json_is_string(j))
        return wrong(r, wanted, j);
    if (!(stamp ? pb_timestamp_get : pb_duration_get)(json_string_value(j), json_string_length(j), &seconds,
                                                      &nanos))
        return FAIL(r, "must be %s", wanted);
    if (seconds != 0)
        fm_buf_put_tag_varint(out, 1, (uint64_t)seconds);
    if (nanos != 0)
        fm_buf_put_tag_varint(out, 2, (uint64_t)(int64_t)nanos);
    return 0;
}

static int read_mask(struct reader *r, json_t *j, struct fm_buf *out)
{
    fm_auto(fm_buf) path = {0};
    if (!json_is_string(j))
        return wrong(r, "paths with commas between them", j);
    const char *p = json_string_value(j), *end = p + json_string_length(j);
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        size_t n = (size_t)((comma == NULL ? end : comma) - p);
        path.n = 0;
        if (!pb_mask_path_get(&path, p, n))
            return FAIL(r, "must be paths in camelCase with commas between them");
        fm_buf_put_len_delim(out, 1, path.p, path.n);
        p += n + 1;
    }
    return 0;
}

static int read_value(struct reader *r, json_t *j, unsigned depth, struct fm_buf *out);

static int read_struct(struct reader *r, json_t *j, unsigned depth, struct fm_buf *out)
{
    fm_auto(fm_buf) entry = {0};
    fm_auto(fm_buf) value = {0};
    const char *key;
    json_t *item;
    if (!json_is_object(j))
        return wrong(r, "an object", j);
    json_object_foreach(j, key, item)
    {
        entry.n = value.n = 0;
        int rc = read_value(r, item, depth + 2, &value);
        if (rc < 0)
            return pb_err_below(r->err, rc, key, PB_NO_INDEX);
        fm_buf_put_string(&entry, 1, key);
        fm_buf_put_len_delim(&entry, 2, value.p, value.n);
        fm_buf_put_len_delim(out, 1, entry.p, entry.n);
    }
    return 0;
}

static int read_list_value(struct reader *r, json_t *j, unsigned depth, struct fm_buf *out)
{
    fm_auto(fm_buf) value = {0};
    json_t *item;
    size_t i;
    if (!json_is_array(j))
        return wrong(r, "a list", j);
    json_array_foreach(j, i, item)
    {
        value.n = 0;
        int rc = read_value(r, item, depth + 1, &value);
        if (rc < 0)
            return pb_err_below(r->err, rc, "", i);
        fm_buf_put_len_delim(out, 1, value.p, value.n);
    }
    return 0;
}

static bool double_has(json_int_t i)
{
    double d = (double)i; /* 2^63 would not come back */
    return d < 9223372036854775808.0 && (json_int_t)d == i;
}

/* google.protobuf.Value: its kinds by their numbers in struct.proto. */
static int read_value(struct reader *r, json_t *j, unsigned depth, struct fm_buf *out)
{
    fm_auto(fm_buf) inner = {0};
    int rc = 0;
    if (depth > PB_JSON_MAX_DEPTH)
        return FAIL(r, "is nested too deeply");
    switch (json_typeof(j)) {
    case JSON_NULL:
        fm_buf_put_tag_varint(out, 1, 0);
        return 0;
    case JSON_INTEGER:
        if (!double_has(json_integer_value(j)))
            return FAIL(r, "a double would change this whole number: give it as a string");
        fm_buf_put_double(out, 2, (double)json_integer_value(j));
        return 0;
    case JSON_REAL:
        fm_buf_put_double(out, 2, json_real_value(j));
        return 0;
    case JSON_STRING:
        fm_buf_put_len_delim(out, 3, json_string_value(j), json_string_length(j));
        return 0;
    case JSON_TRUE:
    case JSON_FALSE:
        fm_buf_put_tag_varint(out, 4, json_is_true(j));
        return 0;
    case JSON_OBJECT:
        if ((rc = read_struct(r, j, depth + 1, &inner)) == 0)
            fm_buf_put_len_delim(out, 5, inner.p, inner.n);
        return rc;
    case JSON_ARRAY:
        if ((rc = read_list_value(r, j, depth + 1, &inner)) == 0)
            fm_buf_put_len_delim(out, 6, inner.p, inner.n);
        return rc;
    }
    return rc;
}

static int read_any(struct reader *r, json_t *j, unsigned depth, struct fm_buf *out)
{
    fm_auto(fm_buf) inner = {0};
    json_t *url = json_object_get(j, "@type");
    if (!json_is_object(j))
        return wrong(r, "an object with \"@type\"", j);
    if (json_object_size(j) == 0)
        return 0;
    const char *slash = json_is_string(url) ? strrchr(json_string_value(url), '/') : NULL;
    const struct pb_message *m = slash == NULL ? NULL : pb_pool_message(r->pool, slash + 1);
    if (m == NULL)
        return pb_err_below(r->err, FAIL(r, "must be the URL of a type that is known here"), "@type",
                            PB_NO_INDEX);
    int rc = 0;
    if (m->known == PB_PLAIN) {
        rc = read_fields(r, m, j, true, depth + 1, &inner);
    } else {
        json_t *value = json_object_get(j, "value");
        rc = value == NULL ? FAIL(r, "is missing") : read_message(r, m, value, depth + 1, &inner);
        if (rc == 0 && json_object_size(j) > 2 && !r->ignore_unknown)
            return FAIL(r, "an Any of %s has \"@type\" and \"value\" only", m->name);
        rc = pb_err_below(r->err, rc, "value", PB_NO_INDEX);
    }
    if (rc == 0) {
        fm_buf_put_len_delim(out, 1, json_string_value(url), json_string_length(url));
        fm_buf_put_len_delim(out, 2, inner.p, inner.n);
    }
    return rc;
}

static int read_message(struct reader *r, const struct pb_message *m, json_t *j, unsigned depth,
                        struct fm_buf *out)
{
    if (depth > PB_JSON_MAX_DEPTH)
        return FAIL(r, "is nested too deeply");
    switch (m->known) {
    case PB_TIMESTAMP:
    case PB_DURATION:
        return read_time(r, m, j, out);
    case PB_FIELD_MASK:
        return read_mask(r, j, out);
    case PB_WRAPPER:
        return put_element(r, pb_field_by_number(m, 1), j, depth, out);
    case PB_STRUCT:
        return read_struct(r, j, depth, out);
    case PB_VALUE:
        return read_value(r, j, depth, out);
    case PB_LIST_VALUE:
        return read_list_value(r, j, depth, out);
    case PB_ANY:
        return read_any(r, j, depth, out);
    case PB_PLAIN:
        break;
    }
    return read_fields(r, m, j, false, depth, out);
}

int pb_json_read(const struct pb_pool *pool, const struct pb_message *m, const char *json, size_t n,
                 bool ignore_unknown, struct fm_buf *out, struct fm_err *err)
{
    struct reader r = {pool, ignore_unknown, err};
    json_error_t fault;
    json_t *j = json_loadb(json, n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &fault);
    if (j == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "not JSON: %s (line %d, column %d)", fault.text,
                          fault.line, fault.column);
    size_t before = out->n;
    int rc = read_message(&r, m, j, 1, out);
    if (rc < 0)
        out->n = before;
    json_decref(j);
    return rc;
}
