/* The wire guard for protobuf-c. See guard.h. */
#include "guard.h"

#include <string.h>

#include <uthash.h>

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "mem.h"
#include "value.h"
#include "wire.h"

struct entry {
    UT_hash_handle hh;
    const ProtobufCMessageDescriptor *d;
    struct wire_msg msg;
};

static struct entry *entries;

static enum wire_kind kind_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        return WIRE_VARINT;
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
        return WIRE_FIXED32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
        return WIRE_FIXED64;
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_FLOAT;
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_DOUBLE;
    case PROTOBUF_C_TYPE_STRING:
        return WIRE_STRING;
    case PROTOBUF_C_TYPE_BYTES:
        return WIRE_BYTES;
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_MESSAGE;
    }
    return WIRE_BYTES;
}

static bool is_value(const ProtobufCMessageDescriptor *d)
{
    return strcmp(d->name, "google.protobuf.Value") == 0;
}

const struct wire_msg *wire_msg_of(const ProtobufCMessageDescriptor *d)
{
    struct entry *e;
    HASH_FIND_PTR(entries, &d, e);
    if (e != NULL)
        return &e->msg;
    e = fm_xcalloc(1, sizeof(*e));
    e->d = d;
    HASH_ADD_PTR(entries, d, e); /* before its fields: messages may contain themselves */
    struct wire_field *fields = fm_xcalloc(d->n_fields, sizeof(*fields));
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i]; /* protobuf-c sorts them by number */
        fields[i] = (struct wire_field){.number = f->id,
                                        .kind = kind_of(f->type),
                                        .repeated = f->label == PROTOBUF_C_LABEL_REPEATED,
                                        .name = f->name};
        if (f->type == PROTOBUF_C_TYPE_MESSAGE)
            fields[i].sub = wire_msg_of(f->descriptor);
    }
    e->msg = (struct wire_msg){d->name, fields, d->n_fields, is_value(d) ? value_strange_field : NULL};
    return &e->msg;
}

/* The arena, and whether it was the reason of a failure. */
struct memory {
    struct fm_arena *arena;
    bool full;
};

static void *take(void *memory, size_t n)
{
    struct memory *m = memory;
    void *p = fm_arena_alloc(m->arena, n);
    m->full = m->full || p == NULL;
    return p;
}

static void give_back(void *memory, void *p)
{
    (void)memory;
    (void)p;
}

int pbc_decode(const ProtobufCMessageDescriptor *d, struct fm_bytes bytes, size_t max_bytes,
               struct fm_arena *arena, ProtobufCMessage **ret, struct fm_err *err)
{
    struct wire_limits limits = wire_limits_for(max_bytes);
    return pbc_decode_within(d, bytes, &limits, arena, ret, err);
}

int pbc_decode_within(const ProtobufCMessageDescriptor *d, struct fm_bytes bytes,
                      const struct wire_limits *limits, struct fm_arena *arena, ProtobufCMessage **ret,
                      struct fm_err *err)
{
    int rc = wire_check(wire_msg_of(d), bytes, limits, err);
    if (rc < 0)
        return rc;
    struct memory memory = {arena, false};
    ProtobufCAllocator allocator = {take, give_back, &memory};
    *ret = protobuf_c_message_unpack(d, &allocator, bytes.n, bytes.n > 0 ? bytes.p : (const uint8_t *)"");
    if (*ret != NULL)
        return 0;
    if (memory.full)
        return fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL, "%s: the decoded message is too large", d->name);
    return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "%s: malformed protobuf", d->name);
}
