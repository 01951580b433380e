/* The fold. A step is checked completely before the first element moves, so that it is applied whole or not
 * at all. See job_state.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "agreed.h"
#include "buf.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "fold_size.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "job_state.h"
#include "job_state_int.h"
#include "kv.h"
#include "mem.h"
#include "pbc.h"
#include "times.h"
#include "usage.h"

#define REFUSE(field, ...) return fm_err_set(err, FM_INVALID_ARGUMENT, "step." field, __VA_ARGS__)

/* The keys that the changes of a step set or append to, in the order in which they first do. */
struct seen_key {
    UT_hash_handle hh;
    bool is_list;   /* it is one, or nothing, */
    size_t n_items; /* after the changes so far */
    size_t n;
    char name[]; /* routine and key, each with its zero */
};

static void look_at_state(const struct job_state *s, const Fermata__V1__StateChange *c, struct seen_key *k);

static struct seen_key *seen_key(struct seen_key **seen, const struct job_state *s,
                                 const Fermata__V1__StateChange *c)
{
    size_t n_routine = strlen(c->routine) + 1, n = n_routine + strlen(c->key) + 1;
    struct seen_key *k = fm_xcalloc(1, sizeof(*k) + n), *found;
    memcpy(k->name, c->routine, n_routine);
    memcpy(k->name + n_routine, c->key, n - n_routine);
    k->n = n;
    HASH_FIND(hh, *seen, k->name, n, found);
    if (found == NULL) {
        HASH_ADD_KEYPTR(hh, *seen, k->name, n, k);
        look_at_state(s, c, k);
        return k;
    }
    free(k);
    return found;
}

static void seen_free(struct seen_key *seen)
{
    struct seen_key *k, *tmp;
    HASH_ITER (hh, seen, k, tmp) {
        HASH_DEL(seen, k);
        free(k);
    }
}

/* What the key holds in the state. */
static void look_at_state(const struct job_state *s, const Fermata__V1__StateChange *c, struct seen_key *k)
{
    const struct kv *kv = &s->shared;
    struct kv_value v;
    k->is_list = true;
    if (c->routine[0] != '\0') {
        struct routine_state *r;
        HASH_FIND_STR(s->routines, c->routine, r);
        if (r == NULL)
            return;
        kv = &r->kv;
    }
    if (!kv_get(kv, c->key, strlen(c->key), &v))
        return;
    k->is_list = v.is_list;
    k->n_items = v.n_items;
}

/* What the key holds after the change. */
static int follow_change(struct seen_key *k, const Fermata__V1__StateChange *c, size_t i, struct fm_err *err)
{
    bool sets = c->kind == STATE_CHANGE_KIND_SET;
    if ((c->kind == STATE_CHANGE_KIND_APPEND || c->kind == STATE_CHANGE_KIND_DROP) && !k->is_list)
        REFUSE("changes.kind", "change %zu %s key %s, which is not a list", i,
               c->kind == STATE_CHANGE_KIND_APPEND ? "appends to" : "drops elements of", c->key);
    if (c->kind == STATE_CHANGE_KIND_DROP && (c->count == 0 || c->count > k->n_items))
        REFUSE("changes.count", "change %zu drops %u elements of key %s, which has %zu", i, c->count, c->key,
               k->n_items);
    k->is_list = !sets || c->value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
    if (c->kind == STATE_CHANGE_KIND_APPEND)
        k->n_items++;
    else if (c->kind == STATE_CHANGE_KIND_DROP)
        k->n_items -= c->count;
    else
        k->n_items = sets && k->is_list ? c->value->list_value->n_values : 0;
    return 0;
}

/* Each change that appends or drops finds a list that is long enough, after the changes before it. */
static int check_lists(const struct job_state *s, const Fermata__V1__Step *step, struct fm_err *err)
{
    struct seen_key *seen = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < step->n_changes; i++)
        rc = follow_change(seen_key(&seen, s, step->changes[i]), step->changes[i], i, err);
    seen_free(seen);
    return rc;
}

static int check_changes(const struct job_state *s, const Fermata__V1__Step *step, struct fm_err *err)
{
    bool lists = false;
    for (size_t i = 0; i < step->n_changes; i++) {
        const Fermata__V1__StateChange *c = step->changes[i];
        size_t n = strlen(c->key);
        if (n == 0 || n > FM_MAX_KEY_BYTES)
            REFUSE("changes.key", "the key of change %zu has %zu bytes; 1 to %d are allowed", i, n,
                   FM_MAX_KEY_BYTES);
        switch (c->kind) {
        case STATE_CHANGE_KIND_SET:
        case STATE_CHANGE_KIND_APPEND:
            if (c->value == NULL)
                REFUSE("changes.value", "change %zu of key %s has no value", i, c->key);
            lists = lists || c->kind == STATE_CHANGE_KIND_APPEND;
            break;
        case STATE_CHANGE_KIND_DROP:
            lists = true;
            break;
        case STATE_CHANGE_KIND_REMOVE:
            break;
        default:
            REFUSE("changes.kind", "change %zu of key %s has the unknown kind %d", i, c->key, (int)c->kind);
        }
    }
    return lists ? check_lists(s, step, err) : 0;
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
        if (tasks[i]->delay_ms > FM_MAX_AHEAD_MS)
            REFUSE("new_tasks.delay_ms", "task %s is due in %llu ms; at most %llu are allowed", want,
                   (unsigned long long)tasks[i]->delay_ms, (unsigned long long)FM_MAX_AHEAD_MS);
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
    const struct task_item *t = job_state_find_task(s, step->task_id);
    if (t != NULL)
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

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Only tasks that wait for their time can be dropped. */
static int check_unscheduled(const struct job_state *s, const Fermata__V1__Step *step, struct fm_err *err)
{
    fm_autofree char **sorted = fm_xmemdup(step->unscheduled, step->n_unscheduled * sizeof(*sorted));
    qsort(sorted, step->n_unscheduled, sizeof(*sorted), by_text);
    for (size_t i = 1; i < step->n_unscheduled; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            REFUSE("unscheduled", "task %.64s is dropped twice", sorted[i]);
    for (size_t i = 0; i < step->n_unscheduled; i++) {
        const struct task_item *t = job_state_find_task(s, step->unscheduled[i]);
        if (t == NULL || t->due_ms == 0 || strcmp(t->id, step->task_id) == 0)
            REFUSE("unscheduled", "no scheduled task %.64s waits", step->unscheduled[i]);
    }
    return 0;
}

/* A failed attempt that is tried again leaves nothing behind but its count, and in its routine's own state
 * what it has used up. */
static int check_retry(const Fermata__V1__Step *step, struct fm_err *err)
{
    if (step->n_new_tasks > 0 || step->n_pauses > 0 || step->n_deferred_events > 0 || step->n_children > 0 ||
        step->n_unscheduled > 0 || step->n_withdrawals > 0 || step->n_log > 0 || step->n_emissions > 0 ||
        step->continue_as != NULL)
        REFUSE("outcome", "an attempt that is tried again must not make or emit anything");
    for (size_t i = 0; i < step->n_changes; i++)
        if (strcmp(step->changes[i]->routine, step->routine) != 0)
            REFUSE("changes.routine", "an attempt that is tried again must change no state but its own");
    if (step->retry_delay_ms > FM_MAX_AHEAD_MS)
        REFUSE("retry_delay_ms", "%llu ms; at most %llu are allowed",
               (unsigned long long)step->retry_delay_ms, (unsigned long long)FM_MAX_AHEAD_MS);
    return 0;
}

static int check_remedy(const struct job_state *s, const struct task_item *inputs,
                        const Fermata__V1__Step *step, struct fm_err *err)
{
    bool continues = step->remedy->kind == REMEDY_KIND_CONTINUE;
    if ((step->n_new_tasks > 0 && !continues) || step->deferred_emitted > 0 || step->n_deferred_outputs > 0)
        REFUSE("remedy", "an operator's step makes no tasks and emits no deferred events");
    if (continues && check_tasks(step->new_tasks, step->n_new_tasks, 's', step->number, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (step->task_id[0] != '\0' && !task_exists(s, inputs, step))
        REFUSE("task_id", "no task %.64s waits", step->task_id);
    return check_changes(s, step, err);
}

/* A step that only takes inputs and emits deferred events. */
static int check_prelude(const Fermata__V1__Step *step, struct fm_err *err)
{
    if (step->deferred_emitted == 0 || step->n_new_tasks > 0 || step->n_emissions > 0 ||
        step->n_changes > 0 || step->n_log > 0 || step->n_deferred_events > 0 || step->n_pauses > 0 ||
        step->n_children > 0 || step->n_unscheduled > 0 || step->n_withdrawals > 0 || step->error != NULL ||
        step->usage != NULL || step->outcome != STEP_OUTCOME_CONTINUE)
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
    if (rc == 0 && step->outcome == STEP_OUTCOME_RETRY)
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
        pb_put(&s->outputs, FIELD_JOB_STATE_OUTPUTS, &o);
    }
    while (*inputs != NULL && (*inputs)->input_number <= step->inputs_through) {
        struct task_item *t = *inputs;
        DL_DELETE(*inputs, t);
        add_task(s, t);
    }
    s->inputs = step->inputs_through;
}

static Google__Protobuf__Timestamp later(const Google__Protobuf__Timestamp *t, uint64_t ms)
{
    Google__Protobuf__Timestamp due = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    int64_t at = time_to_ms(t) + (int64_t)ms;
    due.seconds = fm_ms_seconds(at);
    due.nanos = fm_ms_nanos(at);
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

/* The failed attempt counts, and the task waits in its place. Returns it as it was; NULL when it is
 * malformed. */
static struct task_item *retry_task(struct job_state *s, const Fermata__V1__Step *step)
{
    struct task_item *old = (struct task_item *)(uintptr_t)job_state_find_task(s, step->task_id);
    fm_auto_pb Fermata__V1__Task *t = fermata__v1__task__unpack(NULL, old->body.n, old->body.p);
    if (t == NULL)
        return NULL;
    t->failed_attempts++;
    t->spent_ms += step->duration_us / 1000 + step->retry_delay_ms;
    Google__Protobuf__Timestamp due = later(step->committed_at, step->retry_delay_ms), *had = t->due_at;
    t->due_at = step->retry_delay_ms > 0 ? &due : NULL;
    replace_task(s, old, task_item_new(t));
    t->due_at = had;
    return old;
}

static struct task_item *copy_task(const struct task_item *t)
{
    struct task_item *copy = task_item_alloc(t->body, t->id, t->routine, t->slot);
    copy->input_number = t->input_number;
    copy->due_ms = t->due_ms;
    copy->beside = t->beside;
    return copy;
}

static struct task_item *consume(struct job_state *s, const char *id)
{
    struct task_item *t = (struct task_item *)(uintptr_t)job_state_find_task(s, id);
    if (t != NULL)
        remove_task(s, t);
    return t;
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
    if (step->outcome == STEP_OUTCOME_FAIL && step->remedy == NULL)
        return copy_task(t); /* it stays: the job can be resumed from it */
    if (step->outcome == STEP_OUTCOME_RETRY) {
        struct task_item *old = retry_task(s, step);
        if (old != NULL)
            return old;
    }
    return consume(s, step->task_id);
}

static void apply_change(struct job_state *s, const Fermata__V1__StateChange *c)
{
    struct kv *kv = c->routine[0] == '\0' ? &s->shared : &routine_get(s, c->routine, strlen(c->routine))->kv;
    size_t n_key = strlen(c->key), before = kv->bytes;
    fm_auto(fm_buf) value = {0};
    if (c->kind == STATE_CHANGE_KIND_REMOVE || c->kind == STATE_CHANGE_KIND_DROP) {
        if (c->kind == STATE_CHANGE_KIND_REMOVE)
            kv_remove(kv, c->key, n_key);
        else
            kv_drop(kv, c->key, n_key, c->count);
        s->bytes += kv->bytes - before;
        return;
    }
    size_t n = protobuf_c_message_get_packed_size(&c->value->base);
    fm_buf_reserve(&value, n);
    value.n = protobuf_c_message_pack(&c->value->base, value.p);
    struct fm_bytes bytes = {value.p, value.n};
    if (c->kind == STATE_CHANGE_KIND_APPEND)
        kv_append(kv, c->key, n_key, bytes);
    else
        kv_set(kv, c->key, n_key, bytes);
    s->bytes += kv->bytes - before;
}

/* Log entries and outputs get the step's number, time and routine here, whatever the host wrote there. */
static void apply_records(struct job_state *s, const Fermata__V1__Step *step)
{
    for (size_t i = 0; i < step->n_log; i++) {
        Fermata__V1__LogEntry e = *step->log[i];
        e.step = step->number;
        e.routine = step->routine;
        e.at = step->committed_at;
        pb_put(&s->log, FIELD_JOB_STATE_SHARED_LOG, &e);
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
        pb_put(&s->outputs, FIELD_JOB_STATE_OUTPUTS, &o);
    }
    if (step->usage != NULL) {
        s->has_usage = true;
        usage_add(&s->usage, step->usage);
    }
}

static int check_size(const struct job_state *s, const Fermata__V1__Step *step, size_t step_bytes,
                      struct state_limit limit, struct fm_err *err)
{
    bool cuts = step->remedy != NULL &&
                (step->remedy->kind == REMEDY_KIND_TRIM || step->remedy->kind == REMEDY_KIND_CONTINUE);
    if (cuts)
        return 0;
    size_t room = limit.most - (limit.beside < limit.most ? limit.beside : limit.most);
    if (job_state_own_bytes_at_most(s, step, step_bytes) <= room)
        return 0;
    size_t size = job_state_own_bytes_after(s, step);
    for (size_t i = 0; i < step->n_pauses; i++)
        size += protobuf_c_message_get_packed_size(&step->pauses[i]->base);
    if (size <= room)
        return 0;
    return fm_err_set(err, FM_RESOURCE_EXHAUSTED, "state",
                      "the job's state and its open questions would have about %zu bytes; the limit is %zu",
                      size + limit.beside, limit.most);
}

int job_state_apply(struct job_state *s, struct task_item **inputs, const Fermata__V1__Step *step,
                    size_t step_bytes, struct state_limit limit, struct task_item **ret_task,
                    struct fm_err *err)
{
    int rc = check_step(s, *inputs, step, err);
    if (rc == 0)
        rc = check_size(s, step, step_bytes, limit, err);
    if (rc < 0)
        return rc;
    apply_prelude(s, inputs, step);
    *ret_task = take_task(s, step);
    for (size_t i = 0; i < step->n_unscheduled; i++)
        free(consume(s, step->unscheduled[i]));
    for (size_t i = 0; i < step->n_new_tasks; i++)
        add_task(s, new_task(step->new_tasks[i], step));
    for (size_t i = 0; i < step->n_changes; i++)
        apply_change(s, step->changes[i]);
    apply_records(s, step);
    if (step->remedy != NULL && step->remedy->kept != NULL)
        job_state_trim(s, step->remedy->kept);
    s->step = step->number;
    return 0;
}
