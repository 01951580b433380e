/* The fold. A step is checked completely before the first element moves, so that it is applied whole or not
 * at all. See job_state.h. */
#include "job_state.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "kv.h"
#include "mem.h"
#include "wire.h"

#define MAX_KEY_BYTES 256
#define MAX_DELAY_MS (10ull * 366 * 86400 * 1000)

struct routine_state {
    UT_hash_handle hh;
    char *routine;
    struct kv kv;
};

struct item {
    struct item *prev, *next;
    struct fm_bytes body;
};

struct job_state {
    struct task_item *tasks;
    size_t n_tasks;
    struct item *deferred;
    size_t n_deferred;
    struct kv shared;
    struct routine_state *routines;
    struct fm_buf log;     /* encoded field 4 of JobState, again and again */
    struct fm_buf outputs; /* field 6 */
    uint32_t step, inputs;
    bool has_usage;
    Fermata__V1__Usage usage;
    size_t bytes; /* of tasks and deferred events; the others count themselves */
};

/* ---- elements ---- */

static struct task_item *task_item_alloc(struct fm_bytes body, const char *id, const char *routine,
                                         const char *slot)
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
    if (task->due_at != NULL)
        t->due_ms = task->due_at->seconds * 1000 + task->due_at->nanos / 1000000;
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
    int64_t ms = 0;
    while (wire_next(&r, &field, &type, &val, &len) > 0) {
        if (field == 1 && type == WIRE_TYPE_VARINT)
            ms += (int64_t)val * 1000;
        else if (field == 2 && type == WIRE_TYPE_VARINT)
            ms += (int64_t)val / 1000000;
    }
    return ms;
}

struct task_item *task_item_parse(struct fm_bytes body, struct fm_err *err)
{
    struct wire_reader r = wire_reader(body);
    struct fm_bytes text[4] = {{0}};
    uint32_t field, input_number = 0;
    int64_t due_ms = 0;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    int got;
    while ((got = wire_next(&r, &field, &type, &val, &len)) > 0) {
        if (field >= 1 && field <= 3 && type == WIRE_TYPE_LEN)
            text[field] = len;
        else if (field == 7 && type == WIRE_TYPE_VARINT)
            input_number = (uint32_t)val;
        else if (field == 13 && type == WIRE_TYPE_LEN)
            due_ms = parse_time(len);
    }
    if (got < 0) {
        fm_err_set(err, FM_DATA_LOSS, "task", "a stored task is malformed");
        return NULL;
    }
    fm_autofree char *id = dup_text(text[1]), *routine = dup_text(text[2]), *slot = dup_text(text[3]);
    struct task_item *t = task_item_alloc(body, id, routine, slot);
    t->input_number = input_number;
    t->due_ms = due_ms;
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

static struct item *item_pack(const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    struct item *i = fm_xcalloc(1, sizeof(*i) + n);
    protobuf_c_message_pack(m, (uint8_t *)(i + 1));
    i->body = (struct fm_bytes){(uint8_t *)(i + 1), n};
    return i;
}

/* Appends message `m` as field `field`. */
static void buf_put_message(struct fm_buf *out, uint32_t field, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    fm_buf_put_len_header(out, field, n);
    fm_buf_reserve(out, n);
    out->n += protobuf_c_message_pack(m, out->p + out->n);
}

static struct routine_state *routine_get(struct job_state *s, const char *routine, size_t n)
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

size_t job_state_runnable(const struct job_state *s, int64_t wall_ms)
{
    size_t n = 0;
    const struct task_item *t;
    DL_FOREACH (s->tasks, t)
        n += t->due_ms <= wall_ms;
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

const struct task_item *job_state_find_task(const struct job_state *s, const char *task_id)
{
    const struct task_item *t;
    DL_FOREACH (s->tasks, t)
        if (strcmp(t->id, task_id) == 0)
            return t;
    return NULL;
}

size_t job_state_bytes(const struct job_state *s)
{
    size_t n = s->bytes + s->log.n + s->outputs.n + s->shared.bytes;
    for (const struct routine_state *r = s->routines; r != NULL; r = r->hh.next)
        n += r->kv.bytes;
    return n;
}

static void add_task(struct job_state *s, struct task_item *t)
{
    DL_APPEND(s->tasks, t);
    s->n_tasks++;
    s->bytes += t->body.n;
}

static void add_deferred(struct job_state *s, struct item *i)
{
    DL_APPEND(s->deferred, i);
    s->n_deferred++;
    s->bytes += i->body.n;
}

/* ---- reading and writing ---- */

static int read_field(struct job_state *s, uint32_t field, uint64_t val, struct fm_bytes len,
                      struct fm_err *err)
{
    struct fm_bytes key, value;
    struct task_item *t;
    switch (field) {
    case 1:
        t = task_item_parse(len, err);
        if (t == NULL)
            return -1;
        add_task(s, t);
        return 0;
    case 2:
        add_deferred(s, item_new(len));
        return 0;
    case 3:
        return kv_read_struct(&s->shared, len);
    case 4:
        fm_buf_put_len_delim(&s->log, 4, len.p, len.n);
        return 0;
    case 5:
        if (kv_read_pair(len, &key, &value) < 0)
            return -1;
        return kv_read_struct(&routine_get(s, (const char *)key.p, key.n)->kv, value);
    case 6:
        fm_buf_put_len_delim(&s->outputs, 6, len.p, len.n);
        return 0;
    case 7:
        s->step = (uint32_t)val;
        return 0;
    case 8:
        s->inputs = (uint32_t)val;
        return 0;
    case 9: {
        Fermata__V1__Usage *u = fermata__v1__usage__unpack(NULL, len.n, len.p);
        if (u == NULL)
            return -1;
        s->usage = *u;
        s->has_usage = true;
        fermata__v1__usage__free_unpacked(u, NULL);
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
        bool number = field == 7 || field == 8;
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
    for (size_t i = 0; i < shared->n_fields; i++) {
        const Google__Protobuf__Struct__FieldsEntry *f = shared->fields[i];
        struct fm_buf value = {0};
        if (f->value != NULL) {
            size_t n = protobuf_c_message_get_packed_size(&f->value->base);
            fm_buf_reserve(&value, n);
            value.n = protobuf_c_message_pack(&f->value->base, value.p);
        }
        kv_set(&s->shared, f->key, strlen(f->key), (struct fm_bytes){value.p, value.n});
        fm_buf_done(&value);
    }
}

void job_state_put_usage(const struct job_state *s, uint32_t field, struct fm_buf *out)
{
    if (s->has_usage)
        buf_put_message(out, field, &s->usage.base);
}

void job_state_encode(const struct job_state *s, const struct task_item *more, struct fm_buf *out)
{
    const struct task_item *t;
    const struct item *i;
    DL_FOREACH (s->tasks, t)
        fm_buf_put_len_delim(out, 1, t->body.p, t->body.n);
    DL_FOREACH (more, t)
        fm_buf_put_len_delim(out, 1, t->body.p, t->body.n);
    DL_FOREACH (s->deferred, i)
        fm_buf_put_len_delim(out, 2, i->body.p, i->body.n);
    if (s->shared.entries != NULL) {
        fm_buf_put_len_header(out, 3, kv_struct_size(&s->shared));
        kv_put_struct(&s->shared, out);
    }
    fm_buf_append(out, s->log.p, s->log.n);
    for (const struct routine_state *r = s->routines; r != NULL; r = r->hh.next) {
        size_t key = strlen(r->routine), value = kv_struct_size(&r->kv);
        fm_buf_put_len_header(out, 5, 1 + fm_varint_size(key) + key + 1 + fm_varint_size(value) + value);
        fm_buf_put_string(out, 1, r->routine);
        fm_buf_put_len_header(out, 2, value);
        kv_put_struct(&r->kv, out);
    }
    fm_buf_append(out, s->outputs.p, s->outputs.n);
    if (s->step != 0)
        fm_buf_put_tag_varint(out, 7, s->step);
    if (s->inputs != 0)
        fm_buf_put_tag_varint(out, 8, s->inputs);
    job_state_put_usage(s, 9, out);
}

/* ---- the fold ---- */

#define REFUSE(field, ...) return fm_err_set(err, FM_INVALID_ARGUMENT, "step." field, __VA_ARGS__)

/* True when the key will hold a list (or nothing) before change `at` of the step. */
static bool will_be_list(const struct job_state *s, const Fermata__V1__Step *step, size_t at)
{
    const Fermata__V1__StateChange *c = step->changes[at];
    for (size_t i = at; i-- > 0;) {
        const Fermata__V1__StateChange *e = step->changes[i];
        if (strcmp(e->key, c->key) != 0 || strcmp(e->routine, c->routine) != 0)
            continue;
        if (e->kind != FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_SET)
            return true;
        return e->value != NULL && e->value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
    }
    const struct kv *kv = &s->shared;
    if (c->routine[0] != '\0') {
        struct routine_state *r;
        HASH_FIND_STR(s->routines, c->routine, r);
        if (r == NULL)
            return true;
        kv = &r->kv;
    }
    struct kv_value v;
    return !kv_get(kv, c->key, strlen(c->key), &v) || v.is_list;
}

static int check_changes(const struct job_state *s, const Fermata__V1__Step *step, struct fm_err *err)
{
    for (size_t i = 0; i < step->n_changes; i++) {
        const Fermata__V1__StateChange *c = step->changes[i];
        size_t n = strlen(c->key);
        if (n == 0 || n > MAX_KEY_BYTES)
            REFUSE("changes.key", "the key of change %zu has %zu bytes; 1 to %d are allowed", i, n,
                   MAX_KEY_BYTES);
        switch (c->kind) {
        case FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_SET:
        case FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_APPEND:
            if (c->value == NULL)
                REFUSE("changes.value", "change %zu of key %s has no value", i, c->key);
            if (c->kind == FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_APPEND &&
                !will_be_list(s, step, i))
                REFUSE("changes.kind", "change %zu appends to key %s, which is no list", i, c->key);
            break;
        case FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_REMOVE:
            break;
        default:
            REFUSE("changes.kind", "change %zu of key %s has the unknown kind %d", i, c->key, (int)c->kind);
        }
    }
    return 0;
}

static int check_tasks(Fermata__V1__Task **tasks, size_t n, char kind, uint32_t number, struct fm_err *err)
{
    char want[32];
    for (size_t i = 0; i < n; i++) {
        snprintf(want, sizeof(want), "%c%u.%zu", kind, number, i);
        if (strcmp(tasks[i]->task_id, want) != 0)
            REFUSE("new_tasks.task_id", "task %zu has the id \"%.64s\"; it must be %s", i, tasks[i]->task_id,
                   want);
        if (tasks[i]->routine[0] == '\0' || tasks[i]->slot[0] == '\0')
            REFUSE("new_tasks.routine", "task %s names no routine or no slot", want);
        if (tasks[i]->delay_ms > MAX_DELAY_MS)
            REFUSE("new_tasks.delay_ms", "task %s is due in %llu ms; at most %llu are allowed", want,
                   (unsigned long long)tasks[i]->delay_ms, (unsigned long long)MAX_DELAY_MS);
        if (tasks[i]->input_number != 0)
            REFUSE("new_tasks.input_number", "task %s claims to be an input", want);
    }
    return 0;
}

/* The task that the step consumes: pending, made by its prelude, or among the inputs it takes; NULL if there
 * is none. */
static bool task_exists(const struct job_state *s, const struct task_item *inputs,
                        const Fermata__V1__Step *step)
{
    const struct task_item *t;
    DL_FOREACH (s->tasks, t)
        if (strcmp(t->id, step->task_id) == 0)
            return strcmp(t->routine, step->routine) == 0 && strcmp(t->slot, step->slot) == 0;
    for (size_t i = 0; i < step->n_deferred_tasks; i++)
        if (strcmp(step->deferred_tasks[i]->task_id, step->task_id) == 0)
            return strcmp(step->deferred_tasks[i]->routine, step->routine) == 0 &&
                   strcmp(step->deferred_tasks[i]->slot, step->slot) == 0;
    DL_FOREACH (inputs, t)
        if (t->input_number <= step->inputs_through && strcmp(t->id, step->task_id) == 0)
            return strcmp(t->routine, step->routine) == 0 && strcmp(t->slot, step->slot) == 0;
    return false;
}

/* Only tasks that wait for their time can be dropped. */
static int check_unscheduled(const struct job_state *s, const Fermata__V1__Step *step, struct fm_err *err)
{
    for (size_t i = 0; i < step->n_unscheduled; i++) {
        const struct task_item *t = job_state_find_task(s, step->unscheduled[i]);
        if (t == NULL || t->due_ms == 0 || strcmp(t->id, step->task_id) == 0)
            REFUSE("unscheduled", "no scheduled task %.64s waits", step->unscheduled[i]);
        for (size_t k = 0; k < i; k++)
            if (strcmp(step->unscheduled[k], step->unscheduled[i]) == 0)
                REFUSE("unscheduled", "task %.64s is dropped twice", step->unscheduled[i]);
    }
    return 0;
}

/* A failed attempt that is tried again leaves nothing behind but its count, and in its routine's own state
 * what it has used up. */
static int check_retry(const Fermata__V1__Step *step, struct fm_err *err)
{
    if (step->n_new_tasks > 0 || step->n_pauses > 0 || step->n_deferred_events > 0 || step->n_children > 0 ||
        step->n_unscheduled > 0 || step->n_log > 0 || step->n_emissions > 0)
        REFUSE("outcome", "an attempt that is tried again must not make or emit anything");
    for (size_t i = 0; i < step->n_changes; i++)
        if (strcmp(step->changes[i]->routine, step->routine) != 0)
            REFUSE("changes.routine", "an attempt that is tried again must change no state but its own");
    if (step->retry_delay_ms > MAX_DELAY_MS)
        REFUSE("retry_delay_ms", "%llu ms; at most %llu are allowed",
               (unsigned long long)step->retry_delay_ms, (unsigned long long)MAX_DELAY_MS);
    return 0;
}

static int check_remedy(const struct job_state *s, const struct task_item *inputs,
                        const Fermata__V1__Step *step, struct fm_err *err)
{
    if (step->n_new_tasks > 0 || step->deferred_emitted > 0 || step->n_deferred_outputs > 0)
        REFUSE("remedy", "an operator's step makes no tasks and emits no deferred events");
    if (step->task_id[0] != '\0' && !task_exists(s, inputs, step))
        REFUSE("task_id", "no task %.64s waits", step->task_id);
    return check_changes(s, step, err);
}

/* A step that only takes inputs and emits deferred events. */
static int check_prelude(const Fermata__V1__Step *step, struct fm_err *err)
{
    if (step->deferred_emitted == 0 || step->n_new_tasks > 0 || step->n_emissions > 0 ||
        step->n_changes > 0 || step->n_log > 0 || step->n_deferred_events > 0 || step->n_pauses > 0 ||
        step->n_children > 0 || step->n_unscheduled > 0 || step->error != NULL || step->usage != NULL ||
        step->outcome != FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_CONTINUE)
        REFUSE("task_id", "a step without a task may only take inputs and emit deferred events");
    return check_tasks(step->deferred_tasks, step->n_deferred_tasks, 'd', step->number, err);
}

static int check_step(const struct job_state *s, const struct task_item *inputs,
                      const Fermata__V1__Step *step, struct fm_err *err)
{
    if (step->number != s->step + 1)
        REFUSE("number", "step %u does not follow step %u", step->number, s->step);
    uint32_t last = inputs == NULL ? s->inputs : inputs->prev->input_number;
    if (step->inputs_through < s->inputs || step->inputs_through > last)
        REFUSE("inputs_through", "inputs through %u; the job has taken %u of %u", step->inputs_through,
               s->inputs, last);
    if (step->deferred_emitted > s->n_deferred)
        REFUSE("deferred_emitted", "%u deferred events emitted; %zu were recorded", step->deferred_emitted,
               s->n_deferred);
    if (step->deferred_emitted == 0 && step->n_deferred_tasks > 0)
        REFUSE("deferred_tasks", "tasks of deferred events, but none was emitted");
    if (step->n_deferred_outputs > step->deferred_emitted)
        REFUSE("deferred_outputs", "%zu outputs of deferred events, but %u were emitted",
               step->n_deferred_outputs, step->deferred_emitted);
    if (step->remedy != NULL)
        return check_remedy(s, inputs, step, err);
    if (step->task_id[0] == '\0')
        return check_prelude(step, err);
    if (!task_exists(s, inputs, step))
        REFUSE("task_id", "no task %.64s waits at slot %.64s of routine %.64s", step->task_id, step->slot,
               step->routine);
    int rc = check_tasks(step->deferred_tasks, step->n_deferred_tasks, 'd', step->number, err);
    if (rc == 0)
        rc = check_tasks(step->new_tasks, step->n_new_tasks, 's', step->number, err);
    if (rc == 0)
        rc = check_changes(s, step, err);
    if (rc == 0)
        rc = check_unscheduled(s, step, err);
    if (rc == 0 && step->outcome == FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_RETRY)
        rc = check_retry(step, err);
    return rc;
}

static void apply_prelude(struct job_state *s, struct task_item **inputs, const Fermata__V1__Step *step)
{
    for (uint32_t i = 0; i < step->deferred_emitted; i++) {
        struct item *d = s->deferred;
        DL_DELETE(s->deferred, d);
        s->n_deferred--;
        s->bytes -= d->body.n;
        free(d);
    }
    for (size_t i = 0; i < step->n_deferred_tasks; i++)
        add_task(s, task_item_new(step->deferred_tasks[i]));
    for (size_t i = 0; i < step->n_deferred_outputs; i++) {
        Fermata__V1__Output o = *step->deferred_outputs[i];
        o.step = step->number;
        buf_put_message(&s->outputs, 6, &o.base);
    }
    while (*inputs != NULL && (*inputs)->input_number <= step->inputs_through) {
        struct task_item *t = *inputs;
        DL_DELETE(*inputs, t);
        add_task(s, t);
    }
    s->inputs = step->inputs_through;
}

static int64_t time_ms(const Google__Protobuf__Timestamp *t)
{
    return t == NULL ? 0 : t->seconds * 1000 + t->nanos / 1000000;
}

static Google__Protobuf__Timestamp later(const Google__Protobuf__Timestamp *t, uint64_t ms)
{
    Google__Protobuf__Timestamp due = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    int64_t at = time_ms(t) + (int64_t)ms;
    due.seconds = at / 1000;
    due.nanos = (int32_t)(at % 1000) * 1000000;
    return due;
}

/* A task that the step makes: what it says of delays becomes a time. */
static struct task_item *new_task(const Fermata__V1__Task *task, const Fermata__V1__Step *step)
{
    Fermata__V1__Task t = *task;
    Google__Protobuf__Timestamp due = later(step->committed_at, task->delay_ms);
    t.delay_ms = 0;
    t.due_at = task->delay_ms > 0 ? &due : NULL;
    return task_item_new(&t);
}

static void replace_task(struct job_state *s, struct task_item *old, struct task_item *t)
{
    s->bytes += t->body.n;
    s->bytes -= old->body.n;
    DL_REPLACE_ELEM(s->tasks, old, t);
    old->prev = old->next = NULL;
}

/* The failed attempt counts, and the task waits in its place. Returns it as it was; NULL when it is
 * malformed. */
static struct task_item *retry_task(struct job_state *s, const Fermata__V1__Step *step)
{
    struct task_item *old = (struct task_item *)(uintptr_t)job_state_find_task(s, step->task_id);
    Fermata__V1__Task *t = fermata__v1__task__unpack(NULL, old->body.n, old->body.p);
    if (t == NULL)
        return NULL;
    t->failed_attempts++;
    t->spent_ms += step->duration_us / 1000 + step->retry_delay_ms;
    Google__Protobuf__Timestamp due = later(step->committed_at, step->retry_delay_ms), *had = t->due_at;
    t->due_at = step->retry_delay_ms > 0 ? &due : NULL;
    replace_task(s, old, task_item_new(t));
    t->due_at = had;
    fermata__v1__task__free_unpacked(t, NULL);
    return old;
}

static struct task_item *copy_task(const struct task_item *t)
{
    struct task_item *copy = task_item_alloc(t->body, t->id, t->routine, t->slot);
    copy->input_number = t->input_number;
    copy->due_ms = t->due_ms;
    return copy;
}

static struct task_item *consume(struct job_state *s, const char *id)
{
    struct task_item *t;
    DL_FOREACH (s->tasks, t) {
        if (strcmp(t->id, id) == 0) {
            DL_DELETE(s->tasks, t);
            s->n_tasks--;
            s->bytes -= t->body.n;
            return t;
        }
    }
    return NULL;
}

/* What becomes of the task of the step; returns it as it was. */
static struct task_item *take_task(struct job_state *s, const Fermata__V1__Step *step)
{
    const struct task_item *t = job_state_find_task(s, step->task_id);
    if (t == NULL)
        return NULL; /* an operator's step without a task */
    if (step->remedy != NULL && step->remedy->task != NULL) {
        struct task_item *old = (struct task_item *)(uintptr_t)t;
        replace_task(s, old, task_item_new(step->remedy->task));
        return old;
    }
    if (step->outcome == FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_FAIL && step->remedy == NULL)
        return copy_task(t); /* it stays: the job can be resumed from it */
    if (step->outcome == FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_RETRY) {
        struct task_item *old = retry_task(s, step);
        if (old != NULL)
            return old;
    }
    return consume(s, step->task_id);
}

static void apply_change(struct job_state *s, const Fermata__V1__StateChange *c)
{
    struct kv *kv = c->routine[0] == '\0' ? &s->shared : &routine_get(s, c->routine, strlen(c->routine))->kv;
    size_t n_key = strlen(c->key);
    if (c->kind == FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_REMOVE) {
        kv_remove(kv, c->key, n_key);
        return;
    }
    struct fm_buf value = {0};
    size_t n = protobuf_c_message_get_packed_size(&c->value->base);
    fm_buf_reserve(&value, n);
    value.n = protobuf_c_message_pack(&c->value->base, value.p);
    struct fm_bytes bytes = {value.p, value.n};
    if (c->kind == FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_APPEND)
        kv_append(kv, c->key, n_key, bytes);
    else
        kv_set(kv, c->key, n_key, bytes);
    fm_buf_done(&value);
}

/* Log entries and outputs get the step's number, time and routine here, whatever the host wrote there. */
static void apply_records(struct job_state *s, const Fermata__V1__Step *step)
{
    for (size_t i = 0; i < step->n_log; i++) {
        Fermata__V1__LogEntry e = *step->log[i];
        e.step = step->number;
        e.routine = step->routine;
        e.at = step->committed_at;
        buf_put_message(&s->log, 4, &e.base);
    }
    for (size_t i = 0; i < step->n_deferred_events; i++) {
        Fermata__V1__DeferredEvent d = *step->deferred_events[i];
        d.step = step->number;
        d.routine = step->routine;
        add_deferred(s, item_pack(&d.base));
    }
    for (size_t i = 0; i < step->n_emissions; i++) {
        const Fermata__V1__Emission *m = step->emissions[i];
        if (m->tasks != 0)
            continue;
        Fermata__V1__Output o = FERMATA__V1__OUTPUT__INIT;
        o.routine = step->routine;
        o.event = m->event;
        o.data = m->data;
        o.step = step->number;
        buf_put_message(&s->outputs, 6, &o.base);
    }
    if (step->usage != NULL) {
        s->has_usage = true;
        s->usage.input_tokens += step->usage->input_tokens;
        s->usage.output_tokens += step->usage->output_tokens;
        s->usage.cached_tokens += step->usage->cached_tokens;
        s->usage.cost = round((s->usage.cost + step->usage->cost) * 1e9) / 1e9; /* money does not drift */
        s->usage.calls += step->usage->calls;
    }
}

int job_state_apply(struct job_state *s, struct task_item **inputs, const Fermata__V1__Step *step,
                    size_t step_bytes, size_t max_bytes, struct task_item **ret_task, struct fm_err *err)
{
    int rc = check_step(s, *inputs, step, err);
    if (rc < 0)
        return rc;
    size_t size = job_state_bytes(s) + step_bytes;
    if (size > max_bytes)
        return fm_err_set(err, FM_RESOURCE_EXHAUSTED, "state",
                          "the job's state would have about %zu bytes; the limit is %zu", size, max_bytes);
    apply_prelude(s, inputs, step);
    *ret_task = take_task(s, step);
    for (size_t i = 0; i < step->n_unscheduled; i++)
        free(consume(s, step->unscheduled[i]));
    for (size_t i = 0; i < step->n_new_tasks; i++)
        add_task(s, new_task(step->new_tasks[i], step));
    for (size_t i = 0; i < step->n_changes; i++)
        apply_change(s, step->changes[i]);
    apply_records(s, step);
    s->step = step->number;
    return 0;
}
