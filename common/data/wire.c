/* The wire guard. It recurses as deep as the limit allows and no deeper. See wire.h. */
#include "wire.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_FIELD 536870911u /* protobuf's largest field number */

/* One level of the walk; linked upwards so that a fault can name its path. */
struct level {
    const struct level *up;
    const struct wire_msg *msg;
    const struct wire_field *field; /* the one at hand, NULL for an unknown one */
    const uint8_t *start, *at;      /* of the message, of the field at hand */
    uint32_t depth;
};

struct walk {
    const struct wire_limits *limits;
    size_t elements;
    struct fm_err *err;
};

struct wire_limits wire_limits_for(size_t max_bytes)
{
    size_t elements = max_bytes / 2;
    return (struct wire_limits){max_bytes, 100, elements < 2000000 ? elements : 2000000};
}

/* ---- reading ---- */

static int read_varint(struct wire_reader *r, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (r->p == r->end)
            return -1;
        uint8_t b = *r->p++;
        if (shift == 63 && b > 1)
            return -1;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *ret = v;
            return 0;
        }
    }
    return -1;
}

static int read_fixed(struct wire_reader *r, size_t n, uint64_t *ret)
{
    if ((size_t)(r->end - r->p) < n)
        return -1;
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)r->p[i] << (8 * i);
    r->p += n;
    *ret = v;
    return 0;
}

const struct wire_field *wire_find_field(const struct wire_msg *m, uint32_t number)
{
    if (number - 1 < m->n_fields && m->fields[number - 1].number == number)
        return &m->fields[number - 1];
    size_t lo = 0, hi = m->n_fields;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (m->fields[mid].number == number)
            return &m->fields[mid];
        if (m->fields[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

int wire_next_packed(struct wire_reader *r, enum wire_type type, uint64_t *val)
{
    if (r->p == r->end)
        return 0;
    int rc = type == WIRE_TYPE_VARINT ? read_varint(r, val)
                                      : read_fixed(r, type == WIRE_TYPE_FIXED32 ? 4 : 8, val);
    return rc < 0 ? -1 : 1;
}

int wire_next(struct wire_reader *r, uint32_t *field, enum wire_type *type, uint64_t *val,
              struct fm_bytes *len)
{
    if (r->p == r->end)
        return 0;
    uint64_t tag;
    if (read_varint(r, &tag) < 0 || tag >> 3 == 0 || tag >> 3 > MAX_FIELD)
        return -1;
    *field = (uint32_t)(tag >> 3);
    *val = 0;
    *len = FM_NO_BYTES;
    switch (tag & 7) {
    case 0:
        *type = WIRE_TYPE_VARINT;
        return read_varint(r, val) < 0 ? -1 : 1;
    case 1:
        *type = WIRE_TYPE_FIXED64;
        return read_fixed(r, 8, val) < 0 ? -1 : 1;
    case 2:
        *type = WIRE_TYPE_LEN;
        if (read_varint(r, val) < 0 || *val > (uint64_t)(r->end - r->p))
            return -1;
        *len = (struct fm_bytes){r->p, (size_t)*val};
        r->p += *val;
        return 1;
    case 5:
        *type = WIRE_TYPE_FIXED32;
        return read_fixed(r, 4, val) < 0 ? -1 : 1;
    default:
        return -1; /* proto3 has no groups */
    }
}

bool wire_text_ok(const uint8_t *p, size_t n)
{
    while (n > 0) {
        uint64_t eight;
        if (n >= sizeof(eight)) { /* eight ASCII characters at a time: nearly all text is */
            memcpy(&eight, p, sizeof(eight));
            if (((eight | (eight - 0x0101010101010101u)) & 0x8080808080808080u) == 0) {
                p += sizeof(eight);
                n -= sizeof(eight);
                continue;
            }
        }
        size_t len = fm_utf8_sequence(p, n);
        if (len == 0 || p[0] == '\0')
            return false;
        p += len;
        n -= len;
    }
    return true;
}

/* ---- faults ---- */

/* How often the field at hand has occurred before. Only faults ask, so nobody counts on the way. */
static size_t index_of(const struct level *l)
{
    struct wire_reader r = {l->start, l->at};
    uint32_t number;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    size_t n = 0;
    while (wire_next(&r, &number, &type, &val, &len) > 0)
        n += number == l->field->number;
    return n;
}

static void put_path(const struct level *l, char *out, size_t n)
{
    if (l == NULL)
        return;
    put_path(l->up, out, n);
    if (l->field == NULL)
        return;
    size_t at = strlen(out);
    const char *dot = at > 0 ? "." : "";
    if (l->field->repeated)
        snprintf(out + at, n - at, "%s%s[%zu]", dot, l->field->name, index_of(l));
    else
        snprintf(out + at, n - at, "%s%s", dot, l->field->name);
}

static int fault(const struct walk *w, const struct level *l, enum fm_code code, const char *what)
{
    char path[128] = "";
    put_path(l, path, sizeof(path));
    return fm_err_set(w->err, code, path, "%s%s%s: %s", l->msg->name, path[0] != '\0' ? ", field " : "", path,
                      what);
}

/* ---- the walk ---- */

static enum wire_type type_of(enum wire_kind kind)
{
    switch (kind) {
    case WIRE_VARINT:
        return WIRE_TYPE_VARINT;
    case WIRE_FIXED32:
    case WIRE_FLOAT:
        return WIRE_TYPE_FIXED32;
    case WIRE_FIXED64:
    case WIRE_DOUBLE:
        return WIRE_TYPE_FIXED64;
    case WIRE_STRING:
    case WIRE_BYTES:
    case WIRE_MESSAGE:
        return WIRE_TYPE_LEN;
    }
    return WIRE_TYPE_LEN;
}

static int check_number(const struct walk *w, const struct level *l, uint64_t bits)
{
    double v = 0;
    if (l->field->kind == WIRE_DOUBLE) {
        memcpy(&v, &bits, sizeof(v));
    } else if (l->field->kind == WIRE_FLOAT) {
        uint32_t half = (uint32_t)bits;
        float f;
        memcpy(&f, &half, sizeof(f));
        v = (double)f;
    }
    return isfinite(v) ? 0 : fault(w, l, FM_INVALID_ARGUMENT, "the number is not finite");
}

static int check_packed(struct walk *w, const struct level *l, struct fm_bytes b)
{
    struct wire_reader r = wire_reader(b);
    enum wire_type type = type_of(l->field->kind);
    uint64_t v;
    int rc;
    while ((rc = wire_next_packed(&r, type, &v)) > 0) {
        if (++w->elements > w->limits->max_elements)
            return fault(w, l, FM_RESOURCE_EXHAUSTED, "too many elements");
        if (type != WIRE_TYPE_VARINT && check_number(w, l, v) < 0)
            return -FM_INVALID_ARGUMENT;
    }
    return rc < 0 ? fault(w, l, FM_INVALID_ARGUMENT, "malformed packed numbers") : 0;
}

static int check_message(struct walk *w, struct level *l, struct fm_bytes b);

static int check_value(struct walk *w, struct level *l, enum wire_type type, uint64_t val,
                       struct fm_bytes len)
{
    const struct wire_field *f = l->field;
    enum wire_type want = type_of(f->kind);
    if (type != want) {
        if (f->repeated && type == WIRE_TYPE_LEN)
            return check_packed(w, l, len);
        return fault(w, l, FM_INVALID_ARGUMENT, "the field has the wrong wire type");
    }
    switch (f->kind) {
    case WIRE_STRING:
        if (!wire_text_ok(len.p, len.n))
            return fault(w, l, FM_INVALID_ARGUMENT,
                         "the text is not valid UTF-8, or contains a NUL character");
        return 0;
    case WIRE_MESSAGE: {
        struct level sub = {.up = l, .msg = f->sub, .depth = l->depth + 1};
        if (sub.depth > w->limits->max_depth || sub.depth > WIRE_MAX_DEPTH)
            return fault(w, l, FM_INVALID_ARGUMENT, "messages are nested too deeply");
        return check_message(w, &sub, len);
    }
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
        return check_number(w, l, val);
    case WIRE_VARINT:
    case WIRE_FIXED32:
    case WIRE_FIXED64:
    case WIRE_BYTES:
        return 0;
    }
    return 0;
}

/* Fields of one level that have occurred: submessages may occur once. */
static bool seen_twice(uint64_t seen[2], const struct wire_msg *m, const struct wire_field *f)
{
    size_t i = (size_t)(f - m->fields);
    if (f->repeated || f->kind != WIRE_MESSAGE || i >= 128)
        return false;
    uint64_t bit = (uint64_t)1 << (i % 64);
    bool twice = (seen[i / 64] & bit) != 0;
    seen[i / 64] |= bit;
    return twice;
}

/* The field that a malformed one at l->at claims to be. */
static const struct wire_field *field_at(const struct level *l, const uint8_t *end)
{
    struct wire_reader r = {l->at, end};
    uint64_t tag;
    return read_varint(&r, &tag) < 0 || tag >> 3 == 0 || tag >> 3 > MAX_FIELD
               ? NULL
               : wire_find_field(l->msg, (uint32_t)(tag >> 3));
}

static int check_message(struct walk *w, struct level *l, struct fm_bytes b)
{
    struct wire_reader r = wire_reader(b);
    uint64_t seen[2] = {0, 0};
    uint32_t number;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    int got;
    l->start = l->at = b.p;
    while ((got = wire_next(&r, &number, &type, &val, &len)) > 0) {
        const struct wire_field *f = l->field = wire_find_field(l->msg, number);
        if (++w->elements > w->limits->max_elements)
            return fault(w, l, FM_RESOURCE_EXHAUSTED, "too many elements");
        if (f == NULL) {
            const char *wrong = l->msg->strange == NULL ? NULL : l->msg->strange(number, b);
            if (wrong != NULL)
                return fault(w, l, FM_INVALID_ARGUMENT, wrong);
            l->at = r.p;
            continue;
        }
        if (seen_twice(seen, l->msg, f))
            return fault(w, l, FM_INVALID_ARGUMENT, "the field occurs twice");
        int rc = check_value(w, l, type, val, len);
        if (rc < 0)
            return rc;
        l->at = r.p;
    }
    if (got < 0) {
        l->field = field_at(l, b.p + b.n);
        return fault(w, l, FM_INVALID_ARGUMENT, "malformed or truncated protobuf");
    }
    return 0;
}

int wire_check(const struct wire_msg *msg, struct fm_bytes bytes, const struct wire_limits *limits,
               struct fm_err *err)
{
    struct walk w = {limits, 0, err};
    struct level top = {.msg = msg, .depth = 1};
    if (bytes.n > limits->max_bytes)
        return fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL, "%s: the message has %zu bytes; the limit is %zu",
                          msg->name, bytes.n, limits->max_bytes);
    return check_message(&w, &top, bytes);
}
