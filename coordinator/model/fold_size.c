/* How large a state will be. See fold_size.h. */
#include "fold_size.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "fields.h"
#include "job_state_int.h"
#include "kv.h"
#include "mem.h"

#define AROUND 48 /* what the fold adds to an element: numbers, times, its head */

/* ---- keys ---- */

/* A key that the step changes, and what it and its value have. */
struct sized_key {
    UT_hash_handle hh;
    size_t before, after;
    char name[]; /* routine and key, each with its zero */
};

static size_t bytes_in_state(const struct job_state *s, const Fermata__V1__StateChange *c)
{
    const struct kv *kv = &s->shared;
    if (c->routine[0] != '\0') {
        const struct routine_state *r;
        HASH_FIND_STR(s->routines, c->routine, r);
        if (r == NULL)
            return 0;
        kv = &r->kv;
    }
    struct kv_value v;
    size_t n_key = strlen(c->key);
    return kv_get(kv, c->key, n_key, &v) ? n_key + v.body.n : 0;
}

static struct sized_key *sized_key(struct sized_key **keys, const struct job_state *s,
                                   const Fermata__V1__StateChange *c)
{
    size_t n_routine = strlen(c->routine) + 1, n = n_routine + strlen(c->key) + 1;
    struct sized_key *k = fm_xcalloc(1, sizeof(*k) + n), *found;
    memcpy(k->name, c->routine, n_routine);
    memcpy(k->name + n_routine, c->key, n - n_routine);
    HASH_FIND(hh, *keys, k->name, n, found);
    if (found != NULL) {
        free(k);
        return found;
    }
    k->before = k->after = bytes_in_state(s, c);
    HASH_ADD_KEYPTR(hh, *keys, k->name, n, k);
    return k;
}

/* Adds what the changes add, and what they take. */
static void size_changes(const struct job_state *s, const Fermata__V1__Step *step, size_t *more, size_t *less)
{
    struct sized_key *keys = NULL, *k, *tmp;
    for (size_t i = 0; i < step->n_changes; i++) {
        const Fermata__V1__StateChange *c = step->changes[i];
        size_t n = c->value == NULL ? 0 : protobuf_c_message_get_packed_size(&c->value->base);
        k = sized_key(&keys, s, c);
        if (c->kind == STATE_CHANGE_KIND_REMOVE)
            k->after = 0;
        else if (c->kind == STATE_CHANGE_KIND_APPEND && k->after > 0)
            k->after += n + fm_varint_size(n) + 1;
        else
            k->after = strlen(c->key) + n + fm_varint_size(n) + 1;
    }
    HASH_ITER (hh, keys, k, tmp) {
        *more += k->after;
        *less += k->before;
        if (k->before == 0)
            *more += strlen(k->name); /* its routine may be new */
        HASH_DEL(keys, k);
        free(k);
    }
}

/* ---- the rest ---- */

static size_t packed(const void *message)
{
    return message == NULL ? 0 : protobuf_c_message_get_packed_size(message) + AROUND;
}

static size_t size_records(const Fermata__V1__Step *step)
{
    size_t n = 0, routine = strlen(step->routine);
    for (size_t i = 0; i < step->n_log; i++)
        n += packed(step->log[i]) + routine;
    for (size_t i = 0; i < step->n_deferred_events; i++)
        n += packed(step->deferred_events[i]) + routine;
    for (size_t i = 0; i < step->n_deferred_outputs; i++)
        n += packed(step->deferred_outputs[i]);
    for (size_t i = 0; i < step->n_emissions; i++)
        if (step->emissions[i]->tasks == 0)
            n += packed(step->emissions[i]) + routine;
    return n;
}

static size_t size_tasks(const Fermata__V1__Step *step)
{
    size_t n = 0;
    for (size_t i = 0; i < step->n_new_tasks; i++)
        n += packed(step->new_tasks[i]);
    for (size_t i = 0; i < step->n_deferred_tasks; i++)
        n += packed(step->deferred_tasks[i]);
    return n;
}

/* What a task that waits counts for. */
static size_t own(const struct task_item *t)
{
    return t == NULL || t->input_number != 0 ? 0 : t->body.n;
}

/* What the step consumes. */
static size_t size_consumed(const struct job_state *s, const Fermata__V1__Step *step, size_t *more)
{
    size_t n = 0;
    const struct item *d = s->deferred;
    for (uint32_t i = 0; i < step->deferred_emitted && d != NULL; i++, d = d->next)
        n += d->body.n;
    for (size_t i = 0; i < step->n_unscheduled; i++)
        n += own(job_state_find_task(s, step->unscheduled[i]));
    const struct task_item *t = job_state_find_task(s, step->task_id);
    bool edited = step->remedy != NULL && step->remedy->task != NULL;
    bool stays =
        (step->outcome == STEP_OUTCOME_FAIL && step->remedy == NULL) || step->outcome == STEP_OUTCOME_RETRY;
    if (edited && t != NULL && t->input_number == 0)
        *more += packed(step->remedy->task);
    if (stays)
        *more += AROUND; /* its attempts are counted */
    else
        n += own(t);
    return n;
}

size_t job_state_own_bytes_after(const struct job_state *s, const Fermata__V1__Step *step)
{
    size_t more = size_records(step) + size_tasks(step), less = 0;
    for (size_t i = 0; i < step->n_deferred_tasks; i++)
        if (strcmp(step->deferred_tasks[i]->task_id, step->task_id) == 0 &&
            step->outcome != STEP_OUTCOME_FAIL && step->outcome != STEP_OUTCOME_RETRY)
            less += packed(step->deferred_tasks[i]);
    size_changes(s, step, &more, &less);
    less += size_consumed(s, step, &more);
    return job_state_own_bytes(s) + more - less;
}

size_t job_state_own_bytes_at_most(const struct job_state *s, const Fermata__V1__Step *step,
                                   size_t step_bytes)
{
    size_t n = step->n_log + step->n_deferred_events + step->n_deferred_outputs + step->n_emissions +
               step->n_new_tasks + step->n_deferred_tasks + step->n_changes + 1;
    return job_state_own_bytes(s) + step_bytes + n * (AROUND + strlen(step->routine));
}
