/* Encodes from the back to the front. See pbc.h. */
#include "pbc.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "mem.h"
#include "times.h"

#define ON_STACK 2048

/* What is written grows from `end` down to `at`; `start` is where the room ends. */
struct back {
    uint8_t *start, *at, *end;
    uint8_t *heap; /* NULL: on the stack */
};

static __attribute__((noinline, cold)) void more_room(struct back *b, size_t n)
{
    size_t used = (size_t)(b->end - b->at), room = 2 * (size_t)(b->end - b->start);
    while (room < used + n)
        room *= 2;
    uint8_t *p = fm_xmalloc(room);
    memcpy(p + room - used, b->at, used);
    free(b->heap);
    *b = (struct back){p, p + room - used, p + room, p};
}

static inline uint8_t *take(struct back *b, size_t n)
{
    if ((size_t)(b->at - b->start) < n)
        more_room(b, n);
    return b->at -= n;
}

static inline void put(struct back *b, const void *p, size_t n)
{
    if (n > 0)
        memcpy(take(b, n), p, n);
}

static __attribute__((noinline)) void put_long_varint(struct back *b, uint64_t v)
{
    uint8_t *p = take(b, fm_varint_size(v));
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p = (uint8_t)v;
}

static inline void put_varint(struct back *b, uint64_t v)
{
    if (v < 0x80)
        *take(b, 1) = (uint8_t)v;
    else
        put_long_varint(b, v);
}

static void put_fixed(struct back *b, uint64_t v, size_t n)
{
    uint8_t *p = take(b, n);
    for (size_t i = 0; i < n; i++, v >>= 8)
        p[i] = (uint8_t)v;
}

static uint32_t get32(const void *member)
{
    uint32_t v;
    memcpy(&v, member, sizeof(v));
    return v;
}

static uint64_t get64(const void *member)
{
    uint64_t v;
    memcpy(&v, member, sizeof(v));
    return v;
}

static void put_message(struct back *b, const ProtobufCMessage *m);

/* The value without its tag; returns its wire type. */
static unsigned put_value(struct back *b, ProtobufCType type, const void *member)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM:
        put_varint(b, (uint64_t)(int64_t)(int32_t)get32(member));
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    case PROTOBUF_C_TYPE_UINT32:
        put_varint(b, get32(member));
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    case PROTOBUF_C_TYPE_SINT32:
        put_varint(b, get32(member) << 1 ^ (0 - (get32(member) >> 31)));
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        put_varint(b, get64(member));
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    case PROTOBUF_C_TYPE_SINT64:
        put_varint(b, get64(member) << 1 ^ (0 - (get64(member) >> 63)));
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    case PROTOBUF_C_TYPE_BOOL:
        put_varint(b, *(const protobuf_c_boolean *)member != 0);
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        put_fixed(b, get32(member), 4);
        return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        put_fixed(b, get64(member), 8);
        return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_STRING: {
        const char *s = *(const char *const *)member;
        size_t n = s != NULL ? strlen(s) : 0;
        put(b, s, n);
        put_varint(b, n);
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    }
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *d = member;
        put(b, d->data, d->len);
        put_varint(b, d->len);
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    const ProtobufCMessage *sub = *(const ProtobufCMessage *const *)member;
    size_t before = (size_t)(b->end - b->at);
    if (sub != NULL)
        put_message(b, sub);
    put_varint(b, (size_t)(b->end - b->at) - before);
    return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
}

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    }
    return 4;
}

/* True for what proto3 leaves out. */
static bool is_default(const ProtobufCFieldDescriptor *f, const void *member)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING: {
        const char *s = *(const char *const *)member;
        return s == NULL || s[0] == '\0';
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(const void *const *)member == NULL;
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)member)->len == 0;
    case PROTOBUF_C_TYPE_BOOL:
        return *(const protobuf_c_boolean *)member == 0;
    case PROTOBUF_C_TYPE_FLOAT:
        return *(const float *)member == 0;
    case PROTOBUF_C_TYPE_DOUBLE:
        return *(const double *)member == 0;
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
        return get64(member) == 0;
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return get32(member) == 0;
}

static void put_tagged(struct back *b, const ProtobufCFieldDescriptor *f, const void *member)
{
    unsigned wire = put_value(b, f->type, member);
    put_varint(b, (uint64_t)f->id << 3 | wire);
}

static void put_repeated(struct back *b, const ProtobufCFieldDescriptor *f, const ProtobufCMessage *m)
{
    size_t n = *(const size_t *)(const void *)((const char *)m + f->quantifier_offset),
           size = size_of(f->type);
    const char *items = *(const char *const *)(const void *)((const char *)m + f->offset);
    if (n == 0)
        return;
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_PACKED) == 0) {
        while (n-- > 0)
            put_tagged(b, f, items + n * size);
        return;
    }
    size_t before = (size_t)(b->end - b->at);
    while (n-- > 0)
        (void)put_value(b, f->type, items + n * size);
    put_varint(b, (size_t)(b->end - b->at) - before);
    put_varint(b, (uint64_t)f->id << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
}

bool pb_is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const char *base = (const char *)m;
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)(const void *)(base + f->quantifier_offset) > 0;
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        return get32(base + f->quantifier_offset) == f->id;
    return !is_default(f, base + f->offset);
}

ProtobufCMessage *const *pb_messages(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                                     size_t *ret_n)
{
    const char *base = (const char *)m;
    const void *member = base + f->offset;
    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        *ret_n = pb_is_set(m, f) ? 1 : 0;
        return member;
    }
    *ret_n = *(const size_t *)(const void *)(base + f->quantifier_offset);
    return *(ProtobufCMessage *const *const *)member;
}

static void put_field(struct back *b, const ProtobufCFieldDescriptor *f, const ProtobufCMessage *m)
{
    const void *member = (const char *)m + f->offset;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        put_repeated(b, f, m);
    } else if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        bool pointer = f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING;
        if (get32((const char *)m + f->quantifier_offset) == f->id &&
            !(pointer && *(const void *const *)member == NULL))
            put_tagged(b, f, member);
    } else if (!is_default(f, member)) {
        put_tagged(b, f, member);
    }
}

static void put_message(struct back *b, const ProtobufCMessage *m)
{
    for (unsigned i = m->n_unknown_fields; i-- > 0;) {
        const ProtobufCMessageUnknownField *u = &m->unknown_fields[i];
        put(b, u->data, u->len);
        put_varint(b, (uint64_t)u->tag << 3 | u->wire_type);
    }
    const ProtobufCMessageDescriptor *d = m->descriptor;
    for (unsigned i = d->n_fields; i-- > 0;)
        put_field(b, &d->fields[i], m);
}

void pb_pack(const void *message, struct fm_buf *out)
{
    uint8_t room[ON_STACK];
    struct back b = {room, room + sizeof(room), room + sizeof(room), NULL};
    put_message(&b, message);
    size_t n = (size_t)(b.end - b.at);
    fm_buf_reserve(out, n > 0 ? n : 1); /* also an empty message gives bytes that are there */
    fm_buf_append(out, b.at, n);
    free(b.heap);
}

void pb_put(struct fm_buf *out, uint32_t field, const void *message)
{
    fm_auto(fm_buf) b = {0};
    pb_pack(message, &b);
    fm_buf_put_len_delim(out, field, b.p, b.n);
}

int64_t time_to_ms(const Google__Protobuf__Timestamp *t)
{
    return t == NULL ? 0 : fm_time_ms(t->seconds, t->nanos);
}

void pb_free_local(void *message)
{
    ProtobufCMessage *m = *(ProtobufCMessage **)message;
    if (m != NULL)
        protobuf_c_message_free_unpacked(m, NULL);
}

void pb_set_string(char **field, const char *value)
{
    char *copy = value[0] == '\0' ? (char *)(uintptr_t)protobuf_c_empty_string : fm_xstrdup(value);
    if (*field != NULL && *field != protobuf_c_empty_string)
        free(*field);
    *field = copy;
}

void pb_set_time(Google__Protobuf__Timestamp **field, int64_t wall_ms)
{
    if (*field == NULL) {
        *field = fm_xmalloc(sizeof(**field));
        google__protobuf__timestamp__init(*field);
    }
    (*field)->seconds = fm_ms_seconds(wall_ms);
    (*field)->nanos = fm_ms_nanos(wall_ms);
}

void *pb_clone(const void *message)
{
    if (message == NULL)
        return NULL;
    fm_auto(fm_buf) b = {0};
    pb_pack(message, &b);
    const ProtobufCMessage *m = message;
    void *copy = protobuf_c_message_unpack(m->descriptor, NULL, b.n, b.p);
    if (copy == NULL)
        fm_abort_oom(b.n);
    return copy;
}
