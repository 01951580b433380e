/* From protobuf's wire format to JSON. A message is read once: what occurs of each field is kept as a list,
 * then the fields are written as they are declared, so that elements of a list that lie apart, and messages
 * in pieces, come together (https://protobuf.dev/programming-guides/encoding/#last-one-wins). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "json.h"
#include "mem.h"
#include "pb_err.h"
#include "pb_json.h"
#include "pb_text.h"
#include "wire.h"

/* Sets the error; -FM_INVALID_ARGUMENT. */
#define FAIL(who, ...) fm_err_set((who)->err, FM_INVALID_ARGUMENT, NULL, __VA_ARGS__)

struct writer {
    const struct pb_pool *pool;
    struct fm_buf *out;
    struct fm_err *err;
};

/* One occurrence of a field. */
struct part {
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    size_t next; /* of the same field, plus 1; 0: the last */
};

/* The occurrences of a message's fields. */
struct parts {
    struct part *all;
    size_t n;
    size_t *first, *last;             /* by field: index plus 1 */
    const struct pb_field **of_oneof; /* which of a oneof came last */
};

static void parts_done(struct parts *p)
{
    free(p->all);
    free(p->first);
    free(p->last);
    free((void *)p->of_oneof);
}

static void put(struct writer *w, const char *s)
{
    fm_buf_append(w->out, s, strlen(s));
}

/* ---- reading the message ---- */

static enum wire_type wire_type_of(enum pb_type t)
{
    switch (t) {
    case PB_DOUBLE:
    case PB_FIXED64:
    case PB_SFIXED64:
        return WIRE_TYPE_FIXED64;
    case PB_FLOAT:
    case PB_FIXED32:
    case PB_SFIXED32:
        return WIRE_TYPE_FIXED32;
    case PB_STRING:
    case PB_BYTES:
    case PB_MESSAGE:
    case PB_GROUP:
        return WIRE_TYPE_LEN;
    default:
        return WIRE_TYPE_VARINT;
    }
}

static void note(struct parts *p, const struct pb_message *m, const struct pb_field *f,
                 const struct part *part)
{
    size_t i = (size_t)(f - m->fields);
    p->all = fm_xgrow(p->all, p->n, sizeof(*p->all));
    p->all[p->n] = *part;
    p->all[p->n++].next = 0;
    if (p->first[i] == 0)
        p->first[i] = p->n;
    else
        p->all[p->last[i] - 1].next = p->n;
    p->last[i] = p->n;
    if (f->oneof >= 0)
        p->of_oneof[f->oneof] = f;
}

static bool packed(const struct pb_field *f, enum wire_type type)
{
    return f->repeated && type == WIRE_TYPE_LEN && wire_type_of(f->type) != WIRE_TYPE_LEN;
}

/* The numbers of a packed field as parts of their own. */
static int note_packed(struct writer *w, struct parts *p, const struct pb_message *m,
                       const struct pb_field *f, struct fm_bytes b)
{
    struct wire_reader r = wire_reader(b);
    struct part part = {.type = wire_type_of(f->type)};
    int got;
    while ((got = wire_next_packed(&r, part.type, &part.val)) > 0)
        note(p, m, f, &part);
    return got < 0 ? FAIL(w, "malformed: a packed field is cut off") : 0;
}

static int gather(struct writer *w, const struct pb_message *m, struct fm_bytes bytes, struct parts *p)
{
    struct wire_reader r = wire_reader(bytes);
    struct part part = {0};
    uint32_t number;
    int got;
    p->first = fm_xcalloc(m->n_fields, sizeof(*p->first));
    p->last = fm_xcalloc(m->n_fields, sizeof(*p->last));
    p->of_oneof = fm_xcalloc(m->n_oneofs, sizeof(*p->of_oneof));
    while ((got = wire_next(&r, &number, &part.type, &part.val, &part.len)) > 0) {
        const struct pb_field *f = pb_field_by_number(m, number);
        if (f == NULL)
            continue;
        if (packed(f, part.type)) {
            int rc = note_packed(w, p, m, f, part.len);
            if (rc < 0)
                return pb_err_below(w->err, rc, f->name, PB_NO_INDEX);
        } else if (part.type != wire_type_of(f->type)) {
            return pb_err_below(w->err, FAIL(w, "malformed: a field of the wrong wire type"), f->name,
                                PB_NO_INDEX);
        } else {
            note(p, m, f, &part);
        }
    }
    return got < 0 ? FAIL(w, "malformed: not an encoded %s", m->name) : 0;
}

/* The last occurrence of the field of this number; NULL: none. */
static const struct part *last_of(const struct parts *p, const struct pb_message *m, uint32_t number)
{
    const struct pb_field *f = pb_field_by_number(m, number);
    size_t at = f == NULL ? 0 : p->last[f - m->fields];
    return at == 0 ? NULL : &p->all[at - 1];
}

/* ---- single values ---- */

static int put_text(struct writer *w, struct fm_bytes b)
{
    if (!wire_text_ok(b.p, b.n))
        return FAIL(w, "text that is not UTF-8, or has a NUL");
    json_string_write(b.n == 0 ? "" : (const char *)b.p, b.n, w->out);
    return 0;
}

static void put_float(struct writer *w, double n, bool single)
{
    char text[40];
    if (isnan(n) || isinf(n)) {
        put(w, isnan(n) ? "\"NaN\"" : n > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    if (n == 0 && signbit(n)) {
        put(w, "-0");
        return;
    }
    if (!single &&
        fabs(n) < 9223372036854775808.0) { /* from 2^63 on, plain digits are not read as a double */
        json_number_write(n, w->out);
        return;
    }
    int digits = 6;
    do
        snprintf(text, sizeof(text), "%.*g", digits, n);
    while ((single ? (double)strtof(text, NULL) : strtod(text, NULL)) != n && ++digits <= 17);
    put(w, text);
}

static double double_of(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof(d));
    return d;
}

static double float_of(uint64_t bits)
{
    uint32_t b = (uint32_t)bits;
    float f;
    memcpy(&f, &b, sizeof(f));
    return (double)f;
}

static int64_t zigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static void put_enum(struct writer *w, const struct pb_enum *e, int32_t number)
{
    char text[16];
    const char *name = pb_enum_name(e, number);
    if (e->is_null) {
        put(w, "null");
    } else if (name != NULL) {
        put(w, "\"");
        put(w, name);
        put(w, "\"");
    } else {
        snprintf(text, sizeof(text), "%" PRId32, number);
        put(w, text);
    }
}

static int write_message(struct writer *w, const struct pb_message *m, struct fm_bytes bytes, unsigned depth);

/* One element; as the key of a map, in quotes. */
static int put_value(struct writer *w, const struct pb_field *f, const struct part *part, bool as_key,
                     unsigned depth)
{
    char text[32];
    const char *quote = as_key ? "\"" : "";
    switch (f->type) {
    case PB_STRING:
        return put_text(w, part->len);
    case PB_BYTES:
        put(w, "\"");
        fm_base64_put(w->out, part->len);
        put(w, "\"");
        return 0;
    case PB_MESSAGE:
        return write_message(w, f->message, part->len, depth + 1);
    case PB_ENUM:
        put_enum(w, f->enumeration, (int32_t)part->val);
        return 0;
    case PB_DOUBLE:
        put_float(w, double_of(part->val), false);
        return 0;
    case PB_FLOAT:
        put_float(w, float_of(part->val), true);
        return 0;
    case PB_BOOL:
        snprintf(text, sizeof(text), "%s%s%s", quote, part->val != 0 ? "true" : "false", quote);
        break;
    case PB_INT32:
    case PB_SFIXED32:
        snprintf(text, sizeof(text), "%s%" PRId32 "%s", quote, (int32_t)part->val, quote);
        break;
    case PB_SINT32:
        snprintf(text, sizeof(text), "%s%" PRId32 "%s", quote, (int32_t)zigzag((uint32_t)part->val), quote);
        break;
    case PB_UINT32:
    case PB_FIXED32:
        snprintf(text, sizeof(text), "%s%" PRIu32 "%s", quote, (uint32_t)part->val, quote);
        break;
    case PB_INT64:
    case PB_SFIXED64:
        snprintf(text, sizeof(text), "\"%" PRId64 "\"", (int64_t)part->val);
        break;
    case PB_SINT64:
        snprintf(text, sizeof(text), "\"%" PRId64 "\"", zigzag(part->val));
        break;
    case PB_UINT64:
    case PB_FIXED64:
        snprintf(text, sizeof(text), "\"%" PRIu64 "\"", part->val);
        break;
    default:
        return FAIL(w, "%s cannot be shown as JSON", f->name);
    }
    put(w, text);
    return 0;
}

static bool is_default(const struct pb_field *f, const struct part *part)
{
    switch (wire_type_of(f->type)) {
    case WIRE_TYPE_LEN:
        return part->len.n == 0;
    case WIRE_TYPE_VARINT:
        return f->type == PB_ENUM || f->type == PB_INT32 || f->type == PB_UINT32 ? (uint32_t)part->val == 0
                                                                                 : part->val == 0;
    default:
        return part->val == 0;
    }
}

/* ---- fields ---- */

static int put_list(struct writer *w, const struct parts *p, const struct pb_field *f, size_t first,
                    unsigned depth)
{
    size_t i = 0;
    put(w, "[");
    for (size_t at = first; at != 0; at = p->all[at - 1].next, i++) {
        put(w, i > 0 ? "," : "");
        int rc = put_value(w, f, &p->all[at - 1], false, depth);
        if (rc < 0)
            return pb_err_below(w->err, rc, f->name, i);
    }
    put(w, "]");
    return 0;
}

/* An entry of a map: where its key stands in the text `keys`, and its value. */
struct entry {
    size_t key, key_n, order;
    struct part value;
    const char *keys;
};

static int by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    size_t n = x->key_n < y->key_n ? x->key_n : y->key_n;
    int c = memcmp(x->keys + x->key, y->keys + y->key, n);
    if (c != 0)
        return c;
    if (x->key_n != y->key_n)
        return x->key_n < y->key_n ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int read_entry(struct writer *w, const struct pb_field *f, struct fm_bytes b, struct fm_buf *keys,
                      struct entry *e)
{
    const struct pb_message *m = f->message;
    struct parts p = {0};
    struct part none = {.len = FM_NO_BYTES};
    int rc = gather(w, m, b, &p);
    if (rc == 0) {
        const struct part *key = last_of(&p, m, 1), *value = last_of(&p, m, 2);
        struct writer into = *w;
        into.out = keys;
        e->key = keys->n;
        e->value = value == NULL ? none : *value;
        rc = put_value(&into, pb_field_by_number(m, 1), key == NULL ? &none : key, true, 0);
        e->key_n = keys->n - e->key;
    }
    parts_done(&p);
    return rc;
}

/* Ordered by key; of equal keys the last one counts. */
static int put_map(struct writer *w, const struct parts *p, const struct pb_field *f, size_t first,
                   unsigned depth)
{
    fm_auto(fm_buf) keys = {0};
    fm_autofree struct entry *all = NULL;
    const struct pb_field *value = pb_field_by_number(f->message, 2);
    size_t n = 0;
    int rc = 0;
    for (size_t at = first; rc == 0 && at != 0; at = p->all[at - 1].next) {
        all = fm_xgrow(all, n, sizeof(*all));
        all[n] = (struct entry){.order = n};
        rc = read_entry(w, f, p->all[at - 1].len, &keys, &all[n++]);
    }
    for (size_t i = 0; i < n; i++)
        all[i].keys = (const char *)keys.p;
    if (rc == 0 && n > 0)
        qsort(all, n, sizeof(*all), by_key);
    put(w, "{");
    bool some = false;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct entry *e = &all[i];
        if (i + 1 < n && e->key_n == all[i + 1].key_n &&
            memcmp(keys.p + e->key, keys.p + all[i + 1].key, e->key_n) == 0)
            continue;
        put(w, some ? "," : "");
        some = true;
        fm_buf_append(w->out, keys.p + e->key, e->key_n);
        put(w, ":");
        rc = put_value(w, value, &e->value, false, depth + 1);
    }
    put(w, "}");
    return pb_err_below(w->err, rc, f->name, PB_NO_INDEX);
}

/* A message in pieces is their concatenation. */
static int put_single(struct writer *w, const struct parts *p, const struct pb_field *f, size_t first,
                      size_t last, unsigned depth)
{
    if (first == last || f->type != PB_MESSAGE)
        return pb_err_below(w->err, put_value(w, f, &p->all[last - 1], false, depth), f->name, PB_NO_INDEX);
    fm_auto(fm_buf) whole = {0};
    for (size_t at = first; at != 0; at = p->all[at - 1].next)
        fm_buf_append(&whole, p->all[at - 1].len.p, p->all[at - 1].len.n);
    struct part part = {.type = WIRE_TYPE_LEN, .len = fm_buf_bytes(&whole)};
    return pb_err_below(w->err, put_value(w, f, &part, false, depth), f->name, PB_NO_INDEX);
}

static bool shown(const struct parts *p, const struct pb_field *f, size_t last)
{
    if (last == 0 || (f->oneof >= 0 && p->of_oneof[f->oneof] != f))
        return false;
    return f->repeated || f->presence || !is_default(f, &p->all[last - 1]);
}

/* The fields, each after a comma when `some`. */
static int put_fields(struct writer *w, const struct pb_message *m, struct fm_bytes bytes, bool some,
                      unsigned depth)
{
    struct parts p = {0};
    int rc = gather(w, m, bytes, &p);
    for (size_t i = 0; rc == 0 && i < m->n_fields; i++) {
        const struct pb_field *f = &m->fields[i];
        if (!shown(&p, f, p.last[i]))
            continue;
        put(w, some ? ",\"" : "\"");
        put(w, f->json_name);
        put(w, "\":");
        some = true;
        rc = f->is_map     ? put_map(w, &p, f, p.first[i], depth)
             : f->repeated ? put_list(w, &p, f, p.first[i], depth)
                           : put_single(w, &p, f, p.first[i], p.last[i], depth);
    }
    parts_done(&p);
    return rc;
}

/* ---- messages with a form of their own ---- */

static int put_time(struct writer *w, const struct pb_message *m, struct fm_bytes bytes)
{
    struct parts p = {0};
    int rc = gather(w, m, bytes, &p);
    if (rc == 0) {
        const struct part *s = last_of(&p, m, 1), *n = last_of(&p, m, 2);
        int64_t seconds = s == NULL ? 0 : (int64_t)s->val;
        int32_t nanos = n == NULL ? 0 : (int32_t)n->val;
        put(w, "\"");
        if (!(m->known == PB_TIMESTAMP ? pb_timestamp_put : pb_duration_put)(w->out, seconds, nanos))
            rc = FAIL(w, "a %s out of its range", m->name);
        put(w, "\"");
    }
    parts_done(&p);
    return rc;
}

static int put_mask(struct writer *w, const struct pb_message *m, struct fm_bytes bytes)
{
    struct parts p = {0};
    int rc = gather(w, m, bytes, &p);
    put(w, "\"");
    for (size_t i = 0; rc == 0 && i < p.n; i++) {
        put(w, i > 0 ? "," : "");
        if (!pb_mask_path_put(w->out, p.all[i].len))
            rc = FAIL(w, "a path of a %s that has no form in JSON", m->name);
    }
    put(w, "\"");
    parts_done(&p);
    return rc;
}

/* The value inside, also when it is the default. */
static int put_wrapped(struct writer *w, const struct pb_message *m, struct fm_bytes bytes, unsigned depth)
{
    struct parts p = {0};
    struct part none = {.len = FM_NO_BYTES};
    int rc = gather(w, m, bytes, &p);
    if (rc == 0) {
        const struct part *value = last_of(&p, m, 1);
        rc = put_value(w, pb_field_by_number(m, 1), value == NULL ? &none : value, false, depth);
    }
    parts_done(&p);
    return rc;
}

/* What a Value is; one without a kind is null. */
static int put_json_value(struct writer *w, const struct pb_message *m, struct fm_bytes bytes, unsigned depth)
{
    struct parts p = {0};
    int rc = gather(w, m, bytes, &p);
    const struct pb_field *kind = rc == 0 ? p.of_oneof[0] : NULL;
    if (rc == 0 && kind == NULL)
        put(w, "null");
    if (kind != NULL && kind->type == PB_DOUBLE &&
        !isfinite(double_of(p.all[p.last[kind - m->fields] - 1].val)))
        rc = FAIL(w, "a number that JSON does not have");
    else if (kind != NULL)
        rc = put_single(w, &p, kind, p.first[kind - m->fields], p.last[kind - m->fields], depth);
    parts_done(&p);
    if (rc < 0 && w->err != NULL)
        w->err->field[0] = '\0'; /* "structValue" is nothing that a reader of JSON knows */
    return rc;
}

/* Struct and ListValue: their one field. */
static int put_json_fields(struct writer *w, const struct pb_message *m, struct fm_bytes bytes,
                           unsigned depth)
{
    const struct pb_field *f = &m->fields[0];
    struct parts p = {0};
    int rc = gather(w, m, bytes, &p);
    if (rc == 0)
        rc = f->is_map ? put_map(w, &p, f, p.first[0], depth) : put_list(w, &p, f, p.first[0], depth);
    parts_done(&p);
    return rc;
}

static int put_any(struct writer *w, const struct pb_message *m, struct fm_bytes bytes, unsigned depth)
{
    struct parts p = {0};
    int rc = gather(w, m, bytes, &p);
    if (rc == 0) {
        const struct part *url = last_of(&p, m, 1), *value = last_of(&p, m, 2);
        fm_autofree char *name = url == NULL ? fm_xstrdup("") : strndup((const char *)url->len.p, url->len.n);
        const char *slash = name == NULL ? NULL : strrchr(name, '/');
        const struct pb_message *inner = slash == NULL ? NULL : pb_pool_message(w->pool, slash + 1);
        struct fm_bytes content = value == NULL ? FM_NO_BYTES : value->len;
        put(w, "{");
        if (inner == NULL && (url != NULL || content.n > 0)) {
            rc = FAIL(w, "an Any of the type '%.200s', which is not known here", name == NULL ? "" : name);
        } else if (inner != NULL) {
            put(w, "\"@type\":");
            rc = put_text(w, url->len);
            if (rc == 0 && inner->known != PB_PLAIN) {
                put(w, ",\"value\":");
                rc = write_message(w, inner, content, depth + 1);
            } else if (rc == 0) {
                rc = put_fields(w, inner, content, true, depth + 1);
            }
        }
        put(w, "}");
    }
    parts_done(&p);
    return rc;
}

static int write_message(struct writer *w, const struct pb_message *m, struct fm_bytes bytes, unsigned depth)
{
    if (depth > PB_JSON_MAX_DEPTH)
        return FAIL(w, "nested too deeply for JSON");
    switch (m->known) {
    case PB_TIMESTAMP:
    case PB_DURATION:
        return put_time(w, m, bytes);
    case PB_FIELD_MASK:
        return put_mask(w, m, bytes);
    case PB_WRAPPER:
        return put_wrapped(w, m, bytes, depth);
    case PB_VALUE:
        return put_json_value(w, m, bytes, depth);
    case PB_STRUCT:
    case PB_LIST_VALUE:
        return put_json_fields(w, m, bytes, depth);
    case PB_ANY:
        return put_any(w, m, bytes, depth);
    case PB_PLAIN:
        break;
    }
    put(w, "{");
    int rc = put_fields(w, m, bytes, false, depth);
    put(w, "}");
    return rc;
}

int pb_json_write(const struct pb_pool *pool, const struct pb_message *m, struct fm_bytes bytes,
                  struct fm_buf *out, struct fm_err *err)
{
    struct writer w = {pool, out, err};
    size_t before = out->n;
    int rc = write_message(&w, m, bytes, 1);
    if (rc < 0)
        out->n = before;
    return rc;
}

/* ---- layout ---- */

static void new_line(struct fm_buf *out, size_t level)
{
    fm_buf_append(out, "\n", 1);
    for (size_t i = 0; i < level; i++)
        fm_buf_append(out, "  ", 2);
}

/* Where the string that begins at p ends. */
static size_t string_span(const char *p, size_t n)
{
    size_t i = 1;
    while (i < n && p[i] != '"')
        i += p[i] == '\\' ? 2 : 1;
    return i < n ? i + 1 : n;
}

void pb_json_indent(const char *json, size_t n, struct fm_buf *out)
{
    size_t level = 0;
    for (size_t i = 0; i < n;) {
        char c = json[i];
        size_t take = c == '"' ? string_span(json + i, n - i) : 1;
        if ((c == '}' || c == ']') && level > 0)
            new_line(out, --level);
        fm_buf_append(out, json + i, take);
        i += take;
        if ((c == '{' || c == '[') && i < n && json[i] == (c == '{' ? '}' : ']'))
            fm_buf_append(out, json + i++, 1);
        else if (c == '{' || c == '[')
            new_line(out, ++level);
        else if (c == ',')
            new_line(out, level);
        else if (c == ':')
            fm_buf_append(out, " ", 1);
    }
}
