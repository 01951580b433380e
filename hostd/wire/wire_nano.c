/* The wire guard for nanopb. See wire_nano.h. */
#include "wire_nano.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pb_common.h>
#include <uthash.h>

#include "fermata/v1/host_agent.pb.h"
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
    e->msg = (struct wire_msg){name, fields, n, NULL};
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

/* Decodes what our own writer wrote and encodes it again: the same bytes must come out. */
static int there_and_back(const pb_msgdesc_t *desc, void *msg, const struct fm_buf *bytes,
                          struct fm_arena *arena, struct fm_err *err)
{
    fm_auto(fm_buf) back = {0};
    int rc = pb_var_decode(desc, msg, fm_buf_bytes(bytes), arena, err);
    if (rc == 0)
        rc = pb_var_encode(desc, msg, &back, err);
    if (rc == 0 && (back.n != bytes->n || memcmp(back.p, bytes->p, back.n) != 0))
        rc = -FM_INTERNAL;
    return rc;
}

/* Wide numbers, a nested message, a text, a message larger than nanopb's own 16 bits of length. */
static bool step_survives(struct fm_arena *arena, struct fm_err *err)
{
    char big[70000];
    memset(big, 'x', sizeof(big));
    fm_auto(fm_buf) usage = {0}, task = {0}, step = {0};
    fm_buf_put_tag_varint(&usage, fermata_v1_Usage_input_tokens_tag, UINT64_MAX - 1);
    fm_buf_put_double(&usage, fermata_v1_Usage_cost_tag, 0.5);
    fm_buf_put_len_delim(&task, fermata_v1_Task_data_tag, big, sizeof(big));
    fm_buf_put_tag_varint(&step, fermata_v1_Step_number_tag, 0xfedcba98);
    fm_buf_put_string(&step, fermata_v1_Step_task_id_tag, "s1.0");
    fm_buf_put_len_delim(&step, fermata_v1_Step_new_tasks_tag, task.p, task.n);
    fm_buf_put_len_delim(&step, fermata_v1_Step_new_tasks_tag, task.p, task.n);
    fm_buf_put_len_delim(&step, fermata_v1_Step_usage_tag, usage.p, usage.n);
    fermata_v1_Step m;
    memset(&m, 0, sizeof(m));
    return there_and_back(fermata_v1_Step_fields, &m, &step, arena, err) == 0 && m.number == 0xfedcba98 &&
           pb_var_eq(m.task_id, "s1.0") && m.new_tasks.n == 2 && m.new_tasks.items[1].n == task.n &&
           m.has_usage && m.usage.input_tokens == UINT64_MAX - 1 && m.usage.cost == 0.5 && !m.has_error;
}

/* A oneof. */
static bool release_survives(struct fm_arena *arena, struct fm_err *err)
{
    fm_auto(fm_buf) release = {0}, message = {0};
    fm_buf_put_string(&release, fermata_v1_Release_job_id_tag, "job");
    fm_buf_put_tag_varint(&release, fermata_v1_Release_epoch_tag, UINT32_MAX);
    fm_buf_put_tag_varint(&message, fermata_v1_HostMessage_seq_tag, UINT64_MAX);
    fm_buf_put_len_delim(&message, fermata_v1_HostMessage_release_tag, release.p, release.n);
    fermata_v1_HostMessage m;
    memset(&m, 0, sizeof(m));
    return there_and_back(fermata_v1_HostMessage_fields, &m, &message, arena, err) == 0 &&
           m.seq == UINT64_MAX && m.which_body == fermata_v1_HostMessage_release_tag &&
           pb_var_eq(m.body.release.job_id, "job") && m.body.release.epoch == UINT32_MAX;
}

int nano_self_test(struct fm_err *err)
{
    fm_auto(fm_err) fault = {0};
    fm_auto(fm_arena) arena;
    fm_arena_init(&arena, 4096);
    if (step_survives(&arena, &fault) && release_survives(&arena, &fault))
        return 0;
    return fm_err_set(err, FM_INTERNAL, NULL,
                      "the nanopb library was built with flags other than hostd expects%s%s",
                      fault.code != FM_OK ? ": " : "", fault.msg);
}
