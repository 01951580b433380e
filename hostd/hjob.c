/* The jobs a host holds: assignment, inputs, acknowledgements, interrupts, forgetting. See engine_int.h. */
#include "engine_int.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "fermata/v1/host_agent.pb.h"
#include "log.h"
#include "mem.h"
#include "wire_nano.h"

/* ---- pieces ---- */

static char *put_text(char **at, const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = memcpy(*at, s, n);
    *at += n;
    return copy;
}

struct task *task_new(const char *id, const char *routine, const char *slot, const char *pause_id,
                      struct fm_bytes data, uint32_t input_number)
{
    struct task *t =
        fm_xmalloc(sizeof(*t) + data.n + strlen(id) + strlen(routine) + strlen(slot) + strlen(pause_id) + 4);
    memset(t, 0, sizeof(*t));
    uint8_t *body = (uint8_t *)(t + 1);
    if (data.n > 0)
        memcpy(body, data.p, data.n);
    char *at = (char *)body + data.n;
    t->data = (struct fm_bytes){body, data.n};
    t->id = put_text(&at, id);
    t->routine = put_text(&at, routine);
    t->slot = put_text(&at, slot);
    t->pause_id = put_text(&at, pause_id);
    t->input_number = input_number;
    return t;
}

void hjob_add_task(struct hjob *job, struct task *t)
{
    DL_APPEND(job->tasks, t);
    job->n_tasks++;
}

struct deferred *deferred_new(const char *routine, const char *event, struct fm_bytes data)
{
    struct deferred *d = fm_xmalloc(sizeof(*d) + data.n + strlen(routine) + strlen(event) + 2);
    memset(d, 0, sizeof(*d));
    uint8_t *body = (uint8_t *)(d + 1);
    if (data.n > 0)
        memcpy(body, data.p, data.n);
    char *at = (char *)body + data.n;
    d->data = (struct fm_bytes){body, data.n};
    d->routine = put_text(&at, routine);
    d->event = put_text(&at, event);
    return d;
}

struct routine_state *hjob_routine_state(struct hjob *job, const char *routine)
{
    struct routine_state *r;
    HASH_FIND_STR(job->routines, routine, r);
    if (r != NULL)
        return r;
    r = fm_xcalloc(1, sizeof(*r));
    r->routine = fm_xstrdup(routine);
    HASH_ADD_KEYPTR(hh, job->routines, r->routine, strlen(r->routine), r);
    return r;
}

struct hjob *hjob_find(struct engine *e, struct pb_var id, uint32_t epoch)
{
    struct hjob *job;
    if (id.n == 0)
        return NULL;
    HASH_FIND(hh, e->jobs, id.p, id.n, job);
    return job != NULL && job->epoch == epoch ? job : NULL;
}

static void free_prelude(struct hjob *job)
{
    for (size_t i = 0; i < job->n_prelude_tasks; i++)
        fm_buf_done(&job->prelude_tasks[i]);
    free(job->prelude_tasks);
    job->prelude_tasks = NULL;
    job->n_prelude_tasks = 0;
}

static void hjob_free(struct hjob *job)
{
    struct task *t, *ttmp;
    DL_FOREACH_SAFE (job->tasks, t, ttmp)
        free(t);
    struct deferred *d, *dtmp;
    DL_FOREACH_SAFE (job->deferred, d, dtmp)
        free(d);
    struct sent_step *s, *stmp;
    DL_FOREACH_SAFE (job->sent, s, stmp)
        free(s);
    struct routine_state *r, *rtmp;
    HASH_ITER (hh, job->routines, r, rtmp) {
        HASH_DEL(job->routines, r);
        kv_done(&r->kv);
        free(r->routine);
        free(r);
    }
    kv_done(&job->shared);
    free_prelude(job);
    flow_free(job->flow);
    free(job);
}

void hjob_drop(struct hjob *job)
{
    struct engine *e = job->engine;
    step_abort(job);
    if (job->is_ready)
        DL_DELETE2(e->ready, job, ready_prev, ready_next);
    HASH_DEL(e->jobs, job);
    hjob_free(job);
}

/* ---- assignment ---- */

struct reading {
    struct engine *e;
    struct hjob *job;
    struct fm_err *err;
};

static int out_of_memory(struct reading *r)
{
    return fm_err_set(r->err, FM_RESOURCE_EXHAUSTED, "assign", "the job is too large for this host's memory");
}

static int read_task(struct reading *r, struct fm_bytes encoded)
{
    fermata_v1_Task m;
    memset(&m, 0, sizeof(m));
    struct fm_arena *a = &r->e->arena;
    int rc = pb_var_decode(fermata_v1_Task_fields, &m, encoded, a, r->err);
    if (rc < 0)
        return rc;
    const char *id = pb_var_dup(m.task_id, a), *routine = pb_var_dup(m.routine, a),
               *slot = pb_var_dup(m.slot, a), *pause = pb_var_dup(m.pause_id, a);
    if (id == NULL || routine == NULL || slot == NULL || pause == NULL)
        return out_of_memory(r);
    hjob_add_task(r->job,
                  task_new(id, routine, slot, pause, (struct fm_bytes){m.data.p, m.data.n}, m.input_number));
    return 0;
}

static int read_deferred(struct reading *r, struct fm_bytes encoded)
{
    fermata_v1_DeferredEvent m;
    memset(&m, 0, sizeof(m));
    struct fm_arena *a = &r->e->arena;
    int rc = pb_var_decode(fermata_v1_DeferredEvent_fields, &m, encoded, a, r->err);
    if (rc < 0)
        return rc;
    const char *routine = pb_var_dup(m.routine, a), *event = pb_var_dup(m.event, a);
    if (routine == NULL || event == NULL)
        return out_of_memory(r);
    struct deferred *d = deferred_new(routine, event, (struct fm_bytes){m.data.p, m.data.n});
    DL_APPEND(r->job->deferred, d);
    return 0;
}

static int read_routine_state(struct reading *r, struct fm_bytes encoded)
{
    struct fm_bytes key, value;
    if (kv_read_pair(encoded, &key, &value) < 0)
        return fm_err_set(r->err, FM_INVALID_ARGUMENT, "assign.state", "a routine state is malformed");
    const char *id = fm_arena_strndup(&r->e->arena, key.p, key.n);
    if (id == NULL)
        return out_of_memory(r);
    if (kv_read_struct(&hjob_routine_state(r->job, id)->kv, value) < 0)
        return fm_err_set(r->err, FM_INVALID_ARGUMENT, "assign.state", "a routine state is malformed");
    return 0;
}

static int read_state(struct reading *r, struct pb_var encoded)
{
    fermata_v1_JobState m;
    memset(&m, 0, sizeof(m));
    int rc = pb_var_decode(fermata_v1_JobState_fields, &m, (struct fm_bytes){encoded.p, encoded.n},
                           &r->e->arena, r->err);
    for (size_t i = 0; rc == 0 && i < m.pending_tasks.n; i++)
        rc = read_task(r, m.pending_tasks.items[i]);
    for (size_t i = 0; rc == 0 && i < m.deferred_events.n; i++)
        rc = read_deferred(r, m.deferred_events.items[i]);
    for (size_t i = 0; rc == 0 && i < m.routine_states.n; i++)
        rc = read_routine_state(r, m.routine_states.items[i]);
    if (rc == 0 && kv_read_struct(&r->job->shared, (struct fm_bytes){m.shared_data.p, m.shared_data.n}) < 0)
        rc = fm_err_set(r->err, FM_INVALID_ARGUMENT, "assign.state", "the shared data is malformed");
    r->job->last_step = r->job->acked_step = m.step_number;
    r->job->inputs_through = m.inputs_through;
    return rc;
}

/* ---- deferred events and inputs ---- */

static void encode_task(const struct task *t, const char *from_routine, const char *from_event,
                        struct fm_buf *out)
{
    fermata_v1_Task m;
    struct fm_err err = {0};
    memset(&m, 0, sizeof(m));
    m.task_id = pb_var_str(t->id);
    m.routine = pb_var_str(t->routine);
    m.slot = pb_var_str(t->slot);
    m.data = pb_var_bytes(t->data.p, t->data.n);
    m.from_routine = pb_var_str(from_routine);
    m.from_event = pb_var_str(from_event);
    if (pb_var_encode(fermata_v1_Task_fields, &m, out, &err) < 0)
        fm_abort(err.msg);
}

static void emit_one_deferred(struct hjob *job, const struct deferred *d)
{
    for (size_t i = 0; i < job->flow->n_connections; i++) {
        const struct connection *c = &job->flow->connections[i];
        if (strcmp(c->from_routine, d->routine) != 0 || strcmp(c->event, d->event) != 0)
            continue;
        char id[48];
        struct fm_buf data = {0};
        snprintf(id, sizeof(id), "d%u.%zu", job->last_step + 1, job->n_prelude_tasks);
        if (mapping_apply(c, d->data, &data) == 0) {
            struct task *t = task_new(id, c->to_routine, c->slot, "", (struct fm_bytes){data.p, data.n}, 0);
            job->prelude_tasks =
                fm_xrealloc(job->prelude_tasks, (job->n_prelude_tasks + 1) * sizeof(*job->prelude_tasks));
            job->prelude_tasks[job->n_prelude_tasks] = (struct fm_buf){0};
            encode_task(t, d->routine, d->event, &job->prelude_tasks[job->n_prelude_tasks++]);
            hjob_add_task(job, t);
        }
        fm_buf_done(&data);
    }
}

/* Their tasks become part of the prelude of the job's next step. */
static void emit_deferred(struct hjob *job)
{
    struct deferred *d, *tmp;
    DL_FOREACH_SAFE (job->deferred, d, tmp) {
        emit_one_deferred(job, d);
        DL_DELETE(job->deferred, d);
        job->prelude_deferred++;
        free(d);
    }
}

/* Takes the inputs that are new; an answer among them brings the deferred events first. */
static int take_inputs(struct reading *r, struct pb_var inputs, bool deferred)
{
    struct hjob *job = r->job;
    bool emitted = false;
    for (size_t i = 0; i < inputs.n; i++) {
        fermata_v1_Task m;
        memset(&m, 0, sizeof(m));
        int rc = pb_var_decode(fermata_v1_Task_fields, &m, inputs.items[i], &r->e->arena, r->err);
        if (rc < 0)
            return rc;
        if (m.input_number <= job->inputs_through)
            continue; /* it came before the stream broke */
        if (deferred && !emitted)
            emit_deferred(job);
        emitted = true;
        rc = read_task(r, inputs.items[i]);
        if (rc < 0)
            return rc;
        job->inputs_through = m.input_number;
    }
    if (deferred && !emitted && inputs.n == 0)
        emit_deferred(job);
    return 0;
}

static void refuse(struct hjob *job, const char *why)
{
    FM_LOG(WARN, STATE, "an assignment is refused", FM_STR("job", job->id), FM_U64("epoch", job->epoch),
           FM_STR("why", why));
    session_release(job->engine, job, fermata_v1_ReleaseReason_RELEASE_REASON_REFUSED, why);
    hjob_drop(job);
}

/* Jobs that only wait for their last acknowledgement do not count: the coordinator has given their places
 * away. */
static bool is_full(const struct engine *e)
{
    size_t n = HASH_COUNT(e->jobs);
    if (n <= e->capacity)
        return false;
    for (const struct hjob *job = e->jobs; job != NULL; job = job->hh.next)
        n -= job->phase == PHASE_STOPPED;
    return n > e->capacity;
}

void hjob_assign(struct engine *e, struct pb_var id, uint32_t epoch, struct pb_var flow, struct pb_var state,
                 struct pb_var inputs, bool emit)
{
    if (id.n != 26) {
        session_close(e, "an assignment without a proper job id");
        return;
    }
    struct hjob *old;
    HASH_FIND(hh, e->jobs, id.p, id.n, old);
    if (old != NULL && old->epoch >= epoch)
        return; /* a duplicate, or older than what it has */
    if (old != NULL)
        hjob_drop(old);
    struct hjob *job = fm_xcalloc(1, sizeof(*job));
    memcpy(job->id, id.p, id.n);
    job->epoch = epoch;
    job->engine = e;
    HASH_ADD_KEYPTR(hh, e->jobs, job->id, 26, job);
    struct fm_err err = {0};
    struct reading r = {e, job, &err};
    if (e->draining)
        fm_err_set(&err, FM_UNAVAILABLE, NULL, "the host is draining");
    else if (is_full(e))
        fm_err_set(&err, FM_RESOURCE_EXHAUSTED, NULL, "the host is full: it takes %u jobs", e->capacity);
    else if ((job->flow = flow_parse((struct fm_bytes){flow.p, flow.n}, e->registry, &err)) != NULL &&
             read_state(&r, state) == 0) {
        if (emit)
            emit_deferred(job);
        (void)take_inputs(&r, inputs, false);
    }
    if (err.code != FM_OK) {
        refuse(job, err.msg);
        return;
    }
    FM_LOG(DEBUG, STATE, "job assigned", FM_STR("job", job->id), FM_U64("epoch", epoch),
           FM_U64("step", job->last_step), FM_U64("tasks", job->n_tasks));
    hjob_wake(job);
}

void hjob_deliver(struct hjob *job, struct pb_var inputs, bool emit)
{
    struct fm_err err = {0};
    struct reading r = {job->engine, job, &err};
    if (take_inputs(&r, inputs, emit) < 0) {
        refuse(job, err.msg);
        return;
    }
    if (job->phase == PHASE_STOPPED && job->n_tasks > 0)
        job->phase = PHASE_READY; /* if the last step has ended the job, the coordinator has refused the
                                     input, and this cannot come */
    hjob_wake(job);
}

/* ---- acknowledgements ---- */

void hjob_ack(struct hjob *job, uint32_t number, bool released)
{
    while (job->sent != NULL && job->sent->number <= number) {
        struct sent_step *s = job->sent;
        DL_DELETE(job->sent, s);
        job->sent_bytes -= s->body.n;
        job->n_sent--;
        free(s);
    }
    if (number > job->acked_step)
        job->acked_step = number;
    if (released) {
        hjob_drop(job);
        return;
    }
    hjob_wake(job);
}

/* ---- interrupts ---- */

static int release_reason(int interrupt)
{
    return interrupt == fermata_v1_InterruptKind_INTERRUPT_KIND_PAUSE
               ? fermata_v1_ReleaseReason_RELEASE_REASON_PAUSED
               : fermata_v1_ReleaseReason_RELEASE_REASON_DRAINING;
}

void hjob_interrupt(struct hjob *job, int kind, uint32_t grace_ms)
{
    if (kind == fermata_v1_InterruptKind_INTERRUPT_KIND_CANCEL) {
        FM_LOG(INFO, STATE, "job cancelled", FM_STR("job", job->id), FM_U64("epoch", job->epoch),
               FM_U64("step", job->last_step));
        hjob_drop(job);
        return;
    }
    if (kind != fermata_v1_InterruptKind_INTERRUPT_KIND_PAUSE &&
        kind != fermata_v1_InterruptKind_INTERRUPT_KIND_DRAIN)
        return;
    job->interrupt = kind;
    if (kind == fermata_v1_InterruptKind_INTERRUPT_KIND_PAUSE)
        job->interrupt_at_ms = job->engine->now_ms + grace_ms;
    hjob_wake(job);
}

/* A job that stands between two steps: gives it back, idles it, or lets it run. */
void hjob_wake(struct hjob *job)
{
    struct engine *e = job->engine;
    if (job->is_ready || job->run != NULL || job->phase == PHASE_STOPPED)
        return;
    if (job->interrupt != 0) {
        if (!e->welcomed)
            return; /* after the next Welcome */
        session_release(e, job, release_reason(job->interrupt), "");
        hjob_drop(job);
        return;
    }
    if (job->n_tasks == 0) {
        if (job->n_sent > 0 || !e->welcomed)
            return;
        session_release(e, job, fermata_v1_ReleaseReason_RELEASE_REASON_IDLE, "");
        hjob_drop(job);
        return;
    }
    if (job->n_sent >= MAX_AHEAD_STEPS || job->sent_bytes >= MAX_AHEAD_BYTES)
        return;
    const struct routine *r = flow_routine(job->flow, job->tasks->routine);
    if (r != NULL && (r->type->flags & FM_EFFECTS) != 0 && job->n_sent > 0)
        return; /* an effect never rests on a step that could still vanish */
    job->is_ready = true;
    DL_APPEND2(e->ready, job, ready_prev, ready_next);
}
