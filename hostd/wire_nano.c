/* The wire guard for nanopb. See wire_nano.h. */
#include "wire_nano.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pb_common.h>
#include <uthash.h>

#include "fermata/v1/types.pb.h"
#include "mem.h"

struct entry {
    UT_hash_handle hh;
    const pb_msgdesc_t *desc;
    struct wire_msg msg;
};

static struct entry *entries;

/* The only 64-bit fixed numbers of the protos are doubles. */
static enum wire_kind kind_of(pb_type_t type)
{
    switch (PB_LTYPE(type)) {
    case PB_LTYPE_FIXED32:
        return WIRE_FIXED32;
    case PB_LTYPE_FIXED64:
        return WIRE_DOUBLE;
    case PB_LTYPE_BYTES:
    case PB_LTYPE_FIXED_LENGTH_BYTES:
        return WIRE_BYTES;
    case PB_LTYPE_STRING:
        return WIRE_STRING;
    case PB_LTYPE_SUBMESSAGE:
    case PB_LTYPE_SUBMSG_W_CB:
        return WIRE_MESSAGE;
    default:
        return WIRE_VARINT;
    }
}

static int by_number(const void *a, const void *b)
{
    const struct wire_field *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static char *field_name(uint32_t number)
{
    char name[24];
    snprintf(name, sizeof(name), "#%u", number);
    return fm_xstrdup(name);
}

const struct wire_msg *wire_msg_of_nano(const pb_msgdesc_t *desc, const char *name)
{
    struct entry *e;
    HASH_FIND_PTR(entries, &desc, e);
    if (e != NULL)
        return &e->msg;
    e = fm_xcalloc(1, sizeof(*e));
    e->desc = desc;
    HASH_ADD_PTR(entries, desc, e); /* before its fields: messages may contain themselves */
    struct wire_field *fields = fm_xcalloc(desc->field_count, sizeof(*fields));
    size_t n = 0;
    pb_field_iter_t it;
    if (pb_field_iter_begin(&it, desc, NULL)) {
        do {
            fields[n] = (struct wire_field){.number = it.tag,
                                            .kind = kind_of(it.type),
                                            .repeated = PB_HTYPE(it.type) == PB_HTYPE_REPEATED,
                                            .name = field_name(it.tag)};
            if (fields[n].kind == WIRE_MESSAGE)
                fields[n].sub = wire_msg_of_nano(it.submsg_desc, "submessage");
            n++;
        } while (pb_field_iter_next(&it));
    }
    qsort(fields, n, sizeof(*fields), by_number);
    e->msg = (struct wire_msg){name, fields, n};
    return &e->msg;
}

int nano_decode(const pb_msgdesc_t *desc, const char *name, void *msg, struct fm_bytes in, size_t max_bytes,
                struct fm_arena *arena, struct fm_err *err)
{
    struct wire_limits limits = wire_limits_for(max_bytes);
    limits.max_depth =
        WIRE_MAX_DEPTH; /* a state holds what passed the coordinator's guard, a few levels deeper */
    limits.max_elements = SIZE_MAX; /* and many inputs, each of which passed it; memory is the arena's */
    int rc = wire_check(wire_msg_of_nano(desc, name), in, &limits, err);
    return rc < 0 ? rc : pb_var_decode(desc, msg, in, arena, err);
}

int nano_self_test(struct fm_err *err)
{
    char big[70000];
    memset(big, 'x', sizeof(big));
    fermata_v1_Task in, out;
    memset(&in, 0, sizeof(in));
    memset(&out, 0, sizeof(out));
    in.task_id = pb_var_str("s1.0");
    in.data = pb_var_bytes(big, sizeof(big));
    in.input_number = 0xfedcba98;
    struct fm_buf b = {0};
    struct fm_arena arena;
    fm_arena_init(&arena, 4096);
    int rc = pb_var_encode(fermata_v1_Task_fields, &in, &b, err);
    if (rc == 0)
        rc = pb_var_decode(fermata_v1_Task_fields, &out, (struct fm_bytes){b.p, b.n}, &arena, err);
    if (rc == 0 &&
        (!pb_var_eq(out.task_id, "s1.0") || out.data.n != sizeof(big) || out.input_number != in.input_number))
        rc = fm_err_set(err, FM_INTERNAL, NULL,
                        "the nanopb library was built with other flags than hostd expects");
    fm_arena_done(&arena);
    fm_buf_done(&b);
    return rc;
}
