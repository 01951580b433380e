/* Large integers for clients, and back. See exact.h. */
#define _GNU_SOURCE /* memmem */
#include "exact.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "struct_fields.h"
#include "value.h"

/* ---- showing them ---- */

/* Whether there may be any: nearly no message has one. */
static bool may_have(struct fm_bytes message)
{
    static const uint8_t tag[] = {0xC8, 0x3E}; /* of VALUE_INTEGER, a varint */
    _Static_assert((VALUE_INTEGER << 3 | WIRE_TYPE_VARINT) == ((0x3E << 7) | 0x48),
                   "the tag is that of the field");
    return message.n > sizeof(tag) && memmem(message.p, message.n, tag, sizeof(tag)) != NULL;
}

struct showing {
    struct fm_buf *out;
    bool any;
};

/* What is nested is written before its length is known: it is moved when the length needs more bytes. */
static void put_length(struct fm_buf *out, size_t start)
{
    size_t n = out->n - start, extra = fm_varint_size(n);
    fm_buf_reserve(out, extra);
    memmove(out->p + start + extra, out->p + start, n);
    uint8_t *at = out->p + start;
    out->n += extra;
    for (size_t rest = n; at < out->p + start + extra; rest >>= 7)
        *at++ = (uint8_t)(rest >= 0x80 ? rest | 0x80 : rest);
}

static void show(struct showing *s, const struct wire_msg *m, struct fm_bytes message, unsigned depth);

static void show_field(struct showing *s, const struct wire_msg *m, uint32_t field, struct fm_bytes body,
                       unsigned depth)
{
    const struct wire_field *f = wire_find_field(m, field);
    if (f == NULL || f->kind != WIRE_MESSAGE || depth >= WIRE_MAX_DEPTH || !may_have(body)) {
        fm_buf_put_len_delim(s->out, field, body.p, body.n);
        return;
    }
    fm_buf_put_varint(s->out, (uint64_t)field << 3 | WIRE_TYPE_LEN);
    size_t start = s->out->n;
    show(s, f->sub, body, depth + 1);
    put_length(s->out, start);
}

static bool is_value(const struct wire_msg *m)
{
    return strcmp(m->name, "google.protobuf.Value") == 0;
}

/* The integer of an encoded Value. */
static bool integer_of(struct fm_bytes value, struct number *ret)
{
    return value_encoded_number(value, ret) && ret->exact;
}

static void show(struct showing *s, const struct wire_msg *m, struct fm_bytes message, unsigned depth)
{
    struct wire_reader r = wire_reader(message);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    struct number n;
    char digits[NUMBER_TEXT_BYTES];
    if (is_value(m) && integer_of(message, &n)) {
        fm_buf_put_len_delim(s->out, VALUE_STRING, digits, number_print(n, digits));
        s->any = true;
        return;
    }
    for (const uint8_t *from = r.p; wire_next(&r, &field, &type, &val, &len) > 0; from = r.p)
        if (type == WIRE_TYPE_LEN)
            show_field(s, m, field, len, depth);
        else
            fm_buf_append(s->out, from, (size_t)(r.p - from));
}

bool exact_show(const struct wire_msg *msg, struct fm_bytes message, struct fm_buf *out)
{
    struct showing s = {.out = out};
    size_t before = out->n;
    if (!may_have(message))
        return false;
    show(&s, msg, message, 1);
    if (!s.any)
        out->n = before;
    return s.any;
}

/* ---- and back ---- */

bool exact_number(const Google__Protobuf__Value *v, struct number *ret)
{
    if (v == NULL || v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE)
        return false;
    *ret = number_of_double(v->number_value);
    for (unsigned i = 0; i < v->base.n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *u = &v->base.unknown_fields[i];
        uint64_t bits = 0;
        for (size_t k = u->len; k-- > 0;)
            bits = bits << 7 | (u->data[k] & 0x7f);
        if (u->tag == VALUE_INTEGER && u->wire_type == PROTOBUF_C_WIRE_TYPE_VARINT)
            (void)number_join(v->number_value, bits, ret);
    }
    return true;
}

static void free_unknown(ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        free(m->unknown_fields[i].data);
    free(m->unknown_fields);
    m->unknown_fields = NULL;
    m->n_unknown_fields = 0;
}

/* Makes a string the number. */
static void become(Google__Protobuf__Value *v, struct number n)
{
    struct fm_buf bits = {0};
    if (v->string_value != protobuf_c_empty_string)
        free(v->string_value);
    free_unknown(&v->base);
    v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    v->number_value = n.near;
    fm_buf_put_varint(&bits, n.bits);
    ProtobufCMessageUnknownField *u = fm_xcalloc(1, sizeof(*u));
    *u = (ProtobufCMessageUnknownField){.tag = VALUE_INTEGER,
                                        .wire_type = PROTOBUF_C_WIRE_TYPE_VARINT,
                                        .len = bits.n,
                                        .data = fm_xmemdup(bits.p, bits.n)};
    fm_buf_done(&bits);
    v->base.unknown_fields = u;
    v->base.n_unknown_fields = 1;
}

static void restore_text(Google__Protobuf__Value *v, const Google__Protobuf__Value *shown)
{
    struct number n;
    char digits[NUMBER_TEXT_BYTES];
    if (!exact_number(shown, &n) || !n.exact)
        return;
    (void)number_print(n, digits);
    if (strcmp(v->string_value, digits) == 0)
        become(v, n);
}

static void restore_list(Google__Protobuf__ListValue *v, const Google__Protobuf__ListValue *shown)
{
    for (size_t i = 0; i < v->n_values; i++) {
        size_t from_end = v->n_values - i; /* 1 is the last */
        if (i < shown->n_values)
            exact_restore(v->values[i], shown->values[i]);
        if (v->n_values != shown->n_values && from_end <= shown->n_values)
            exact_restore(v->values[i], shown->values[shown->n_values - from_end]);
    }
}

void exact_restore(Google__Protobuf__Value *v, const Google__Protobuf__Value *shown)
{
    if (v == NULL || shown == NULL)
        return;
    if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
        restore_text(v, shown);
    if (v->kind_case != shown->kind_case)
        return;
    if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
        exact_restore_struct(v->struct_value, shown->struct_value);
    else if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE)
        restore_list(v->list_value, shown->list_value);
}

typedef Google__Protobuf__Struct__FieldsEntry entry;

static int by_key(const void *a, const void *b)
{
    return strcmp((*(entry *const *)a)->key, (*(entry *const *)b)->key);
}

static const Google__Protobuf__Value *find(entry *const *sorted, size_t n, entry *wanted)
{
    entry *const *found = bsearch(&wanted, sorted, n, sizeof(entry *), by_key);
    return found == NULL ? NULL : (*found)->value;
}

void exact_restore_struct(Google__Protobuf__Struct *v, const Google__Protobuf__Struct *shown)
{
    if (v == NULL || shown == NULL || shown->n_fields == 0)
        return;
    fm_autofree entry **sorted = fm_xmemdup(shown->fields, shown->n_fields * sizeof(entry *));
    qsort(sorted, shown->n_fields, sizeof(entry *), by_key);
    for (size_t i = 0; i < v->n_fields; i++)
        exact_restore(v->fields[i]->value, find(sorted, shown->n_fields, v->fields[i]));
}
