/* The state of a job: its elements, encoding and decoding. The fold is in fold.c. */
#include "job_state.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "buf.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/struct.pb-c.h"
#include "job_state_int.h"
#include "kv.h"
#include "mem.h"
#include "pbc.h"
#include "times.h"
#include "usage.h"
#include "wire.h"

#define FEW_TASKS 16 /* which are looked through; more have a table */

/* ---- elements ---- */

struct task_item *task_item_alloc(struct fm_bytes body, const char *id, const char *routine, const char *slot)
{
    size_t n_id = strlen(id) + 1, n_routine = strlen(routine) + 1, n_slot = strlen(slot) + 1;
    struct task_item *t = fm_xmalloc(sizeof(*t) + body.n + n_id + n_routine + n_slot);
    memset(t, 0, sizeof(*t));
    uint8_t *p = (uint8_t *)(t + 1);
    if (body.p != NULL)
        memcpy(p, body.p, body.n);
    t->body = (struct fm_bytes){p, body.n};
    char *s = (char *)p + body.n;
    t->id = memcpy(s, id, n_id);
    t->routine = memcpy(s + n_id, routine, n_routine);
    t->slot = memcpy(s + n_id + n_routine, slot, n_slot);
    return t;
}

struct task_item *task_item_new(const Fermata__V1__Task *task)
{
    size_t n = protobuf_c_message_get_packed_size(&task->base);
    struct task_item *t =
        task_item_alloc((struct fm_bytes){NULL, n}, task->task_id, task->routine, task->slot);
    protobuf_c_message_pack(&task->base, (uint8_t *)(t + 1));
    t->input_number = task->input_number;
    t->beside = task->beside;
    if (task->due_at != NULL)
        t->due_ms = fm_time_ms(task->due_at->seconds, task->due_at->nanos);
    return t;
}

static char *dup_text(struct fm_bytes b)
{
    char *s = fm_xmalloc(b.n + 1);
    if (b.n > 0)
        memcpy(s, b.p, b.n);
    s[b.n] = '\0';
    return s;
}

/* Milliseconds of an encoded Timestamp. */
static int64_t parse_time(struct fm_bytes body)
{
    struct wire_reader r = wire_reader(body);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    int64_t seconds = 0;
    int32_t nanos = 0;
    while (wire_next(&r, &field, &type, &val, &len) > 0) {
        if (field == FIELD_TIMESTAMP_SECONDS && type == WIRE_TYPE_VARINT)
            seconds = (int64_t)val;
        else if (field == FIELD_TIMESTAMP_NANOS && type == WIRE_TYPE_VARINT)
            nanos = (int32_t)(uint32_t)val;
    }
    return fm_time_ms(seconds, nanos);
}

struct task_item *task_item_parse(struct fm_bytes body, struct fm_err *err)
{
    struct wire_reader r = wire_reader(body);
    struct fm_bytes id = FM_NO_BYTES, routine = FM_NO_BYTES, slot = FM_NO_BYTES;
    uint32_t field, input_number = 0;
    int64_t due_ms = 0;
    bool beside = false;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    int got;
    while ((got = wire_next(&r, &field, &type, &val, &len)) > 0) {
        if (type == WIRE_TYPE_LEN && field == FIELD_TASK_TASK_ID)
            id = len;
        else if (type == WIRE_TYPE_LEN && field == FIELD_TASK_ROUTINE)
            routine = len;
        else if (type == WIRE_TYPE_LEN && field == FIELD_TASK_SLOT)
            slot = len;
        else if (field == FIELD_TASK_INPUT_NUMBER && type == WIRE_TYPE_VARINT)
            input_number = (uint32_t)val;
        else if (field == FIELD_TASK_BESIDE && type == WIRE_TYPE_VARINT)
            beside = val != 0;
        else if (field == FIELD_TASK_DUE_AT && type == WIRE_TYPE_LEN)
            due_ms = parse_time(len);
    }
    if (got < 0) {
        (void)fm_err_set(err, FM_DATA_LOSS, "task", "a stored task is malformed");
        return NULL;
    }
    fm_autofree char *id_text = dup_text(id), *routine_text = dup_text(routine), *slot_text = dup_text(slot);
    struct task_item *t = task_item_alloc(body, id_text, routine_text, slot_text);
    t->input_number = input_number;
    t->due_ms = due_ms;
    t->beside = beside;
    return t;
}

void task_list_free(struct task_item *list)
{
    struct task_item *t, *tmp;
    DL_FOREACH_SAFE (list, t, tmp)
        free(t);
}

static struct item *item_new(struct fm_bytes body)
{
    struct item *i = fm_xmalloc(sizeof(*i) + body.n);
    memset(i, 0, sizeof(*i));
    if (body.n > 0)
        memcpy(i + 1, body.p, body.n);
    i->body = (struct fm_bytes){(uint8_t *)(i + 1), body.n};
    return i;
}

struct item *item_pack(const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    struct item *i = fm_xcalloc(1, sizeof(*i) + n);
    protobuf_c_message_pack(m, (uint8_t *)(i + 1));
    i->body = (struct fm_bytes){(uint8_t *)(i + 1), n};
    return i;
}

struct routine_state *routine_get(struct job_state *s, const char *routine, size_t n)
{
    struct routine_state *r;
    HASH_FIND(hh, s->routines, routine, n, r);
    if (r != NULL)
        return r;
    r = fm_xcalloc(1, sizeof(*r));
    r->routine = dup_text((struct fm_bytes){(const uint8_t *)routine, n});
    HASH_ADD_KEYPTR(hh, s->routines, r->routine, n, r);
    s->bytes += n;
    return r;
}

/* ---- life ---- */

struct job_state *job_state_new(void)
{
    struct job_state *s = fm_xcalloc(1, sizeof(*s));
    s->usage = (Fermata__V1__Usage)FERMATA__V1__USAGE__INIT;
    return s;
}

void job_state_free(struct job_state *s)
{
    if (s == NULL)
        return;
    HASH_CLEAR(hh, s->tasks_by_id);
    task_list_free(s->tasks);
    struct item *i, *itmp;
    DL_FOREACH_SAFE (s->deferred, i, itmp)
        free(i);
    kv_done(&s->shared);
    struct routine_state *r, *rtmp;
    HASH_ITER (hh, s->routines, r, rtmp) {
        HASH_DEL(s->routines, r);
        kv_done(&r->kv);
        free(r->routine);
        free(r);
    }
    fm_buf_done(&s->log);
    fm_buf_done(&s->outputs);
    free(s);
}

uint32_t job_state_step(const struct job_state *s)
{
    return s->step;
}

uint32_t job_state_inputs(const struct job_state *s)
{
    return s->inputs;
}

size_t job_state_pending(const struct job_state *s)
{
    return s->n_tasks;
}

size_t job_state_deferred(const struct job_state *s)
{
    return s->n_deferred;
}

size_t job_state_runnable(const struct job_state *s, int64_t wall_ms, uint32_t halted_at)
{
    size_t n = 0;
    const struct task_item *t;
    DL_FOREACH (s->tasks, t)
        n += t->due_ms <= wall_ms && (halted_at == 0 || t->due_ms != 0 || t->beside);
    return n;
}

int64_t job_state_next_due(const struct job_state *s)
{
    int64_t at = 0;
    const struct task_item *t;
    DL_FOREACH (s->tasks, t)
        if (t->due_ms != 0 && (at == 0 || t->due_ms < at))
            at = t->due_ms;
    return at;
}

const struct task_item *job_state_tasks(const struct job_state *s)
{
    return s->tasks;
}

const struct task_item *job_state_find_task(const struct job_state *s, const char *task_id)
{
    struct task_item *t;
    if (s->tasks_by_id == NULL) {
        DL_FOREACH (s->tasks, t)
            if (strcmp(t->id, task_id) == 0)
                break;
    } else {
        HASH_FIND(hh, s->tasks_by_id, task_id, strlen(task_id), t);
    }
    return t;
}

size_t job_state_bytes(const struct job_state *s)
{
    return s->bytes + s->log.n + s->outputs.n;
}

size_t job_state_own_bytes(const struct job_state *s)
{
    return job_state_bytes(s) - s->input_bytes;
}

static void index_task(struct job_state *s, struct task_item *t)
{
    HASH_ADD_KEYPTR(hh, s->tasks_by_id, t->id, strlen(t->id), t);
}

static size_t bytes_of_input(const struct task_item *t)
{
    return t->input_number != 0 ? t->body.n : 0;
}

void add_task(struct job_state *s, struct task_item *t)
{
    DL_APPEND(s->tasks, t);
    s->n_tasks++;
    s->bytes += t->body.n;
    s->input_bytes += bytes_of_input(t);
    if (s->tasks_by_id != NULL)
        index_task(s, t);
    else if (s->n_tasks > FEW_TASKS)
        DL_FOREACH (s->tasks, t)
            index_task(s, t);
}

void remove_task(struct job_state *s, struct task_item *t)
{
    DL_DELETE(s->tasks, t);
    if (s->tasks_by_id != NULL)
        HASH_DELETE(hh, s->tasks_by_id, t);
    s->n_tasks--;
    s->bytes -= t->body.n;
    s->input_bytes -= bytes_of_input(t);
}

void replace_task(struct job_state *s, struct task_item *old, struct task_item *t)
{
    s->bytes += t->body.n;
    s->bytes -= old->body.n;
    s->input_bytes += bytes_of_input(t);
    s->input_bytes -= bytes_of_input(old);
    DL_REPLACE_ELEM(s->tasks, old, t);
    if (s->tasks_by_id != NULL) {
        HASH_DELETE(hh, s->tasks_by_id, old);
        index_task(s, t);
    }
    old->prev = old->next = NULL;
}

void add_deferred(struct job_state *s, struct item *i)
{
    DL_APPEND(s->deferred, i);
    s->n_deferred++;
    s->bytes += i->body.n;
}

/* ---- reading and writing ---- */

static int read_kv(struct job_state *s, struct kv *kv, struct fm_bytes encoded)
{
    size_t before = kv->bytes;
    int rc = kv_read_struct(kv, encoded);
    s->bytes += kv->bytes - before;
    return rc;
}

static int read_field(struct job_state *s, uint32_t field, uint64_t val, struct fm_bytes len,
                      struct fm_err *err)
{
    struct fm_bytes key, value;
    struct task_item *t;
    switch (field) {
    case FIELD_JOB_STATE_PENDING_TASKS:
        t = task_item_parse(len, err);
        if (t == NULL)
            return -1;
        add_task(s, t);
        return 0;
    case FIELD_JOB_STATE_DEFERRED_EVENTS:
        add_deferred(s, item_new(len));
        return 0;
    case FIELD_JOB_STATE_SHARED_DATA:
        return read_kv(s, &s->shared, len);
    case FIELD_JOB_STATE_SHARED_LOG:
        fm_buf_put_len_delim(&s->log, FIELD_JOB_STATE_SHARED_LOG, len.p, len.n);
        return 0;
    case FIELD_JOB_STATE_ROUTINE_STATES:
        if (kv_read_pair(len, &key, &value) < 0)
            return -1;
        return read_kv(s, &routine_get(s, (const char *)key.p, key.n)->kv, value);
    case FIELD_JOB_STATE_OUTPUTS:
        fm_buf_put_len_delim(&s->outputs, FIELD_JOB_STATE_OUTPUTS, len.p, len.n);
        return 0;
    case FIELD_JOB_STATE_STEP_NUMBER:
        s->step = (uint32_t)val;
        return 0;
    case FIELD_JOB_STATE_LOG_TRIMMED:
        s->log_trimmed = val;
        return 0;
    case FIELD_JOB_STATE_OUTPUTS_TRIMMED:
        s->outputs_trimmed = val;
        return 0;
    case FIELD_JOB_STATE_INPUTS_THROUGH:
        s->inputs = (uint32_t)val;
        return 0;
    case FIELD_JOB_STATE_USAGE: {
        fm_auto_pb Fermata__V1__Usage *u = fermata__v1__usage__unpack(NULL, len.n, len.p);
        if (u == NULL)
            return -1;
        s->usage = *u;
        usage_mend(&s->usage); /* what an earlier version has stored may have no end */
        s->has_usage = true;
        return 0;
    }
    default:
        return 0;
    }
}

int job_state_decode(struct fm_bytes encoded, struct job_state **ret_state, struct fm_err *err)
{
    struct job_state *s = job_state_new();
    struct wire_reader r = wire_reader(encoded);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    int got;
    while ((got = wire_next(&r, &field, &type, &val, &len)) > 0) {
        bool number = field == FIELD_JOB_STATE_STEP_NUMBER || field == FIELD_JOB_STATE_INPUTS_THROUGH ||
                      field == FIELD_JOB_STATE_LOG_TRIMMED || field == FIELD_JOB_STATE_OUTPUTS_TRIMMED;
        if (type != (number ? WIRE_TYPE_VARINT : WIRE_TYPE_LEN) || read_field(s, field, val, len, err) < 0) {
            got = -1;
            break;
        }
    }
    if (got < 0) {
        job_state_free(s);
        return fm_err_set(err, FM_DATA_LOSS, "state", "a stored job state is malformed");
    }
    *ret_state = s;
    return 0;
}

void job_state_set_shared(struct job_state *s, const Google__Protobuf__Struct *shared)
{
    size_t before = s->shared.bytes;
    for (size_t i = 0; i < shared->n_fields; i++) {
        const Google__Protobuf__Struct__FieldsEntry *f = shared->fields[i];
        fm_auto(fm_buf) value = {0};
        if (f->value != NULL) {
            size_t n = protobuf_c_message_get_packed_size(&f->value->base);
            fm_buf_reserve(&value, n);
            value.n = protobuf_c_message_pack(&f->value->base, value.p);
        }
        kv_set(&s->shared, f->key, strlen(f->key), fm_buf_bytes(&value));
    }
    s->bytes += s->shared.bytes - before;
}

void job_state_put_usage(const struct job_state *s, uint32_t field, struct fm_buf *out)
{
    if (s->has_usage)
        pb_put(out, field, &s->usage);
}

void job_state_encode(const struct job_state *s, const struct task_item *more, struct fm_buf *out)
{
    const struct task_item *t;
    const struct item *i;
    DL_FOREACH (s->tasks, t)
        fm_buf_put_len_delim(out, FIELD_JOB_STATE_PENDING_TASKS, t->body.p, t->body.n);
    DL_FOREACH (more, t)
        fm_buf_put_len_delim(out, FIELD_JOB_STATE_PENDING_TASKS, t->body.p, t->body.n);
    DL_FOREACH (s->deferred, i)
        fm_buf_put_len_delim(out, FIELD_JOB_STATE_DEFERRED_EVENTS, i->body.p, i->body.n);
    if (s->shared.entries != NULL) {
        fm_buf_put_len_header(out, FIELD_JOB_STATE_SHARED_DATA, kv_struct_size(&s->shared));
        kv_put_struct(&s->shared, out);
    }
    fm_buf_append(out, s->log.p, s->log.n);
    for (const struct routine_state *r = s->routines; r != NULL; r = r->hh.next) {
        size_t key = strlen(r->routine), value = kv_struct_size(&r->kv);
        fm_buf_put_len_header(out, FIELD_JOB_STATE_ROUTINE_STATES,
                              1 + fm_varint_size(key) + key + 1 + fm_varint_size(value) + value);
        fm_buf_put_string(out, FIELD_JOB_STATE_ROUTINE_STATES_ENTRY_KEY, r->routine);
        fm_buf_put_len_header(out, FIELD_JOB_STATE_ROUTINE_STATES_ENTRY_VALUE, value);
        kv_put_struct(&r->kv, out);
    }
    fm_buf_append(out, s->outputs.p, s->outputs.n);
    if (s->step != 0)
        fm_buf_put_tag_varint(out, FIELD_JOB_STATE_STEP_NUMBER, s->step);
    if (s->inputs != 0)
        fm_buf_put_tag_varint(out, FIELD_JOB_STATE_INPUTS_THROUGH, s->inputs);
    job_state_put_usage(s, FIELD_JOB_STATE_USAGE, out);
    if (s->log_trimmed != 0)
        fm_buf_put_tag_varint(out, FIELD_JOB_STATE_LOG_TRIMMED, s->log_trimmed);
    if (s->outputs_trimmed != 0)
        fm_buf_put_tag_varint(out, FIELD_JOB_STATE_OUTPUTS_TRIMMED, s->outputs_trimmed);
}

/* ---- trimming ---- */

/* Drops the oldest of the elements, which stand one behind the other, but for `keep`. Returns how many. */
static uint64_t keep_newest(struct fm_buf *list, uint32_t keep)
{
    uint64_t n = 0, drop;
    for (int counting = 1; counting >= 0; counting--) {
        struct wire_reader r = wire_reader(fm_buf_bytes(list));
        uint32_t field;
        enum wire_type type;
        uint64_t val, i = 0;
        struct fm_bytes len;
        drop = n > keep ? n - keep : 0;
        while ((counting || i < drop) && wire_next(&r, &field, &type, &val, &len) > 0)
            i++;
        if (counting) {
            n = i;
            continue;
        }
        list->n = (size_t)(r.end - r.p);
        memmove(list->p, r.p, list->n);
    }
    return drop;
}

void job_state_trim(struct job_state *s, const Fermata__V1__Kept *kept)
{
    if (kept->maybe_log_case == FERMATA__V1__KEPT__MAYBE_LOG_LOG && s->log.n > 0)
        s->log_trimmed += keep_newest(&s->log, kept->log);
    if (kept->maybe_outputs_case == FERMATA__V1__KEPT__MAYBE_OUTPUTS_OUTPUTS && s->outputs.n > 0)
        s->outputs_trimmed += keep_newest(&s->outputs, kept->outputs);
    if (kept->no_shared_data) {
        s->bytes -= s->shared.bytes;
        kv_done(&s->shared);
        s->shared = (struct kv){0};
    }
    struct routine_state *r, *tmp;
    HASH_ITER (hh, s->routines, r, tmp) {
        if (!kept->no_routine_states)
            break;
        HASH_DEL(s->routines, r);
        s->bytes -= r->kv.bytes + strlen(r->routine);
        kv_done(&r->kv);
        free(r->routine);
        free(r);
    }
}

bool job_state_value(const struct job_state *s, const char *routine, const char *key, struct fm_buf *out)
{
    const struct kv *kv = &s->shared;
    struct kv_value v;
    if (routine[0] != '\0') {
        struct routine_state *r;
        HASH_FIND_STR(s->routines, routine, r);
        if (r == NULL)
            return false;
        kv = &r->kv;
    }
    if (!kv_get(kv, key, strlen(key), &v))
        return false;
    kv_put_value(v, out);
    return true;
}
