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

struct task *task_new(const struct task *from)
{
    size_t text = strlen(from->id) + strlen(from->routine) + strlen(from->slot) + strlen(from->pause_id) +
                  strlen(from->key) + strlen(from->call_id) + 6;
    struct task *t = fm_xmalloc(sizeof(*t) + from->data.n + text);
    *t = *from;
    t->prev = t->next = NULL;
    uint8_t *body = (uint8_t *)(t + 1);
    if (from->data.n > 0)
        memcpy(body, from->data.p, from->data.n);
    char *at = (char *)body + from->data.n;
    t->data = (struct fm_bytes){body, from->data.n};
    t->id = put_text(&at, from->id);
    t->routine = put_text(&at, from->routine);
    t->slot = put_text(&at, from->slot);
    t->pause_id = put_text(&at, from->pause_id);
    t->key = put_text(&at, from->key);
    t->call_id = put_text(&at, from->call_id);
    return t;
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
    step_clear_prelude(job);
    free(job->prelude_tasks);
    free(job->prelude_outputs);
    job->prelude_tasks = job->prelude_outputs = NULL;
}

static void free_tasks(struct task *list)
{
    struct task *t, *tmp;
    DL_FOREACH_SAFE (list, t, tmp)
        free(t);
}

static void free_breakpoints(struct hjob *job)
{
    while (job->breakpoints != NULL) {
        struct breakpoint *b = job->breakpoints;
        job->breakpoints = b->next;
        free(b->routine);
        free(b->slot);
        free(b->condition);
        free(b);
    }
}

void hjob_free_states(struct hjob *job)
{
    struct routine_state *r, *rtmp;
    HASH_ITER (hh, job->routines, r, rtmp) {
        HASH_DEL(job->routines, r);
        kv_done(&r->kv);
        free(r->routine);
        free(r);
    }
}

static void hjob_free(struct hjob *job)
{
    for (size_t i = 0; job->flow != NULL && i < job->flow->n_routines; i++)
        free_tasks(job->flow->routines[i].queue);
    if (job->flow != NULL)
        free_tasks(job->flow->unknown.queue);
    free_tasks(job->scheduled);
    free_breakpoints(job);
    free(job->released_task);
    free(job->break_task);
    struct deferred *d, *dtmp;
    DL_FOREACH_SAFE (job->deferred, d, dtmp)
        free(d);
    struct sent_step *s, *stmp;
    DL_FOREACH_SAFE (job->sent, s, stmp)
        free(s);
    hjob_free_states(job);
    kv_done(&job->shared);
    free_prelude(job);
    flow_free(job->flow);
    free(job);
}

void hjob_drop(struct hjob *job)
{
    struct engine *e = job->engine;
    hjob_abort_runs(job);
    if (job->alarm != 0)
        call_cancel(e, job->alarm);
    if (job->is_ready)
        DL_DELETE2(e->ready, job, ready_prev, ready_next);
    HASH_DEL(e->jobs, job);
    e->held_bytes -= job->bytes;
    hjob_free(job);
}

/* ---- assignment ---- */

struct reading {
    struct engine *e;
    struct hjob *job;
    struct fm_err *err;
    int64_t wall_ms; /* the coordinator's clock at the assignment; 0: not said */
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
    struct task t = {
        .id = pb_var_dup(m.task_id, a),
        .routine = pb_var_dup(m.routine, a),
        .slot = pb_var_dup(m.slot, a),
        .pause_id = pb_var_dup(m.pause_id, a),
        .key = pb_var_dup(m.schedule_key, a),
        .call_id = pb_var_dup(m.call_id, a),
        .data = {m.data.p, m.data.n},
        .input_number = m.input_number,
        .failed_attempts = m.failed_attempts,
        .connection = m.connection,
        .spent_ms = m.spent_ms,
        .merged = m.merged
    };
    if (t.id == NULL || t.routine == NULL || t.slot == NULL || t.pause_id == NULL || t.key == NULL ||
        t.call_id == NULL)
        return out_of_memory(r);
    if (m.has_due_at && r->wall_ms != 0) {
        int64_t due = m.due_at.seconds * 1000 + m.due_at.nanos / 1000000;
        t.due_ms = due > r->wall_ms ? r->e->now_ms + (due - r->wall_ms) : 0;
    }
    hjob_add_task(r->job, task_new(&t));
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
    m.connection = t->connection;
    if (pb_var_encode(fermata_v1_Task_fields, &m, out, &err) < 0)
        fm_abort(err.msg);
}

static struct fm_buf *add_buf(struct fm_buf **list, size_t *n)
{
    *list = fm_xrealloc(*list, (*n + 1) * sizeof(**list));
    (*list)[*n] = (struct fm_buf){0};
    return &(*list)[(*n)++];
}

/* No connection takes it. */
static void put_deferred_output(struct hjob *job, const struct deferred *d)
{
    fermata_v1_Output m;
    struct fm_err err = {0};
    memset(&m, 0, sizeof(m));
    m.routine = pb_var_str(d->routine);
    m.event = pb_var_str(d->event);
    m.data = pb_var_bytes(d->data.p, d->data.n);
    if (pb_var_encode(fermata_v1_Output_fields, &m, add_buf(&job->prelude_outputs, &job->n_prelude_outputs),
                      &err) < 0)
        fm_abort(err.msg);
}

/* An agent's question is a notice beside the pause, which shows the same: nobody misses it. */
static bool is_notice(const struct routine *from, const char *event)
{
    return from->type != NULL && strcmp(from->type->name, "llm_agent") == 0 && strcmp(event, "question") == 0;
}

static void emit_one_deferred(struct hjob *job, const struct deferred *d)
{
    bool taken = false;
    const struct routine *from = flow_routine(job->flow, d->routine);
    for (size_t i = 0; i < from->n_out; i++) {
        const struct connection *c = from->out[i];
        char id[48];
        struct fm_buf data = {0};
        if (!connection_takes(c, d->event, d->data))
            continue;
        snprintf(id, sizeof(id), "d%u.%zu", job->last_step + 1, job->n_prelude_tasks);
        if (mapping_apply(c, d->data, &data) == 0) {
            const struct task t = {
                .id = id,
                .routine = c->to_routine,
                .slot = c->slot,
                .pause_id = "",
                .key = "",
                .call_id = "",
                .connection = c->number,
                .data = {data.p, data.n}
            };
            encode_task(&t, d->routine, d->event, add_buf(&job->prelude_tasks, &job->n_prelude_tasks));
            hjob_add_task(job, task_new(&t));
            taken = true;
        }
        fm_buf_done(&data);
    }
    if (!taken && !is_notice(from, d->event))
        put_deferred_output(job, d);
}

/* Their tasks and outputs become part of the prelude of the job's next step. */
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
    session_release(job->engine, job, fermata_v1_ReleaseReason_RELEASE_REASON_REFUSED, why, "");
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

/* Replaces the breakpoints. */
static int read_breakpoints(struct reading *r, const struct pb_var *list)
{
    free_breakpoints(r->job);
    for (size_t i = 0; i < list->n; i++) {
        fermata_v1_Breakpoint m;
        memset(&m, 0, sizeof(m));
        struct fm_arena *a = &r->e->arena;
        int rc = pb_var_decode(fermata_v1_Breakpoint_fields, &m, list->items[i], a, r->err);
        if (rc < 0)
            return rc;
        const char *routine = pb_var_dup(m.routine, a), *slot = pb_var_dup(m.slot, a),
                   *condition = pb_var_dup(m.condition, a);
        if (routine == NULL || slot == NULL || condition == NULL)
            return out_of_memory(r);
        struct breakpoint *b = fm_xcalloc(1, sizeof(*b));
        b->routine = fm_xstrdup(routine);
        b->slot = fm_xstrdup(slot);
        b->condition = fm_xstrdup(condition);
        b->next = r->job->breakpoints;
        r->job->breakpoints = b;
    }
    return 0;
}

static void mark_lost_in(struct task *list, struct fm_bytes id)
{
    struct task *t;
    DL_FOREACH (list, t)
        t->lost = t->lost || fm_bytes_eq_str(id, t->id);
}

/* The tasks that were in hand when a host was lost, and shall fail. */
static void mark_lost(struct hjob *job, const struct pb_var *ids)
{
    for (size_t i = 0; i < ids->n; i++) {
        mark_lost_in(job->scheduled, ids->items[i]); /* the coordinator's clock was set back */
        for (size_t k = 0; k < job->flow->n_routines; k++)
            mark_lost_in(job->flow->routines[k].queue, ids->items[i]);
    }
}

static int read_assignment(struct reading *r, const fermata_v1_Assign *m)
{
    struct hjob *job = r->job;
    job->flow = flow_parse((struct fm_bytes){m->flow.p, m->flow.n}, r->e->registry, r->err);
    if (job->flow == NULL)
        return -1;
    if (m->has_now)
        r->wall_ms = m->now.seconds * 1000 + m->now.nanos / 1000000;
    job->clock_ms = r->wall_ms - r->e->now_ms;
    const char *released = pb_var_dup(m->released_task, &r->e->arena);
    if (released == NULL)
        return out_of_memory(r);
    job->released_task = fm_xstrdup(released);
    int rc = read_state(r, m->state);
    if (rc == 0)
        rc = read_breakpoints(r, &m->breakpoints);
    if (rc == 0 && m->emit_deferred)
        emit_deferred(job);
    if (rc == 0)
        rc = take_inputs(r, m->inputs, false);
    if (rc == 0)
        mark_lost(job, &m->lost_tasks);
    return rc;
}

static size_t items_bytes(const struct pb_var *list)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += list->items[i].n;
    return n;
}

static void count_bytes(struct hjob *job, size_t n)
{
    job->bytes += n;
    job->engine->held_bytes += n;
}

void hjob_assign(struct engine *e, const fermata_v1_Assign *m)
{
    if (m->job_id.n != 26) {
        session_close(e, "an assignment without a proper job id");
        return;
    }
    struct hjob *old;
    HASH_FIND(hh, e->jobs, m->job_id.p, m->job_id.n, old);
    if (old != NULL && old->epoch >= m->epoch)
        return; /* a duplicate, or older than what it has */
    if (old != NULL)
        hjob_drop(old);
    struct hjob *job = fm_xcalloc(1, sizeof(*job));
    memcpy(job->id, m->job_id.p, m->job_id.n);
    job->epoch = m->epoch;
    job->engine = e;
    HASH_ADD_KEYPTR(hh, e->jobs, job->id, 26, job);
    struct fm_err err = {0};
    struct reading r = {e, job, &err, 0};
    size_t bytes = m->flow.n + m->state.n + items_bytes(&m->inputs);
    if (e->draining)
        fm_err_set(&err, FM_UNAVAILABLE, NULL, "the host is draining");
    else if (is_full(e))
        fm_err_set(&err, FM_RESOURCE_EXHAUSTED, NULL, "the host is full: it takes %u jobs", e->capacity);
    else if (e->held_bytes > 0 &&
             e->held_bytes + bytes > e->inbox_bytes) /* one job alone is never too large */
        fm_err_set(
            &err, FM_RESOURCE_EXHAUSTED, NULL,
            "the host is full: its jobs came with %zu bytes, this one would bring %zu; the limit is %zu",
            e->held_bytes, bytes, e->inbox_bytes);
    else
        (void)read_assignment(&r, m);
    if (err.code != FM_OK) {
        refuse(job, err.msg);
        return;
    }
    count_bytes(job, bytes);
    FM_LOG(DEBUG, STATE, "job assigned", FM_STR("job", job->id), FM_U64("epoch", m->epoch),
           FM_U64("step", job->last_step), FM_U64("tasks", job->n_tasks));
    hjob_wake(job);
}

void hjob_deliver(struct hjob *job, const fermata_v1_Deliver *m)
{
    struct fm_err err = {0};
    struct reading r = {job->engine, job, &err, 0};
    if (take_inputs(&r, m->inputs, m->emit_deferred) < 0 ||
        (m->set_breakpoints && read_breakpoints(&r, &m->breakpoints) < 0)) {
        refuse(job, err.msg);
        return;
    }
    count_bytes(job, items_bytes(&m->inputs));
    if (job->phase == PHASE_STOPPED && job->n_tasks > 0)
        job->phase = PHASE_READY; /* if the last step has ended the job, the coordinator has refused the
                                     input, and this cannot come */
    hjob_wake(job);
}

/* ---- acknowledgements ---- */

void hjob_stored(struct hjob *job, uint32_t number)
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
}

void hjob_ack(struct hjob *job, uint32_t number, bool released)
{
    hjob_stored(job, number);
    if (released) {
        hjob_drop(job);
        return;
    }
    hjob_wake(job);
}

/* ---- interrupts ---- */

/* What waits for its intent has not begun, and need not. */
static void abort_unstarted(struct hjob *job)
{
    for (size_t i = 0; i < job->flow->n_routines; i++) {
        struct fm_ctx *run = job->flow->routines[i].run;
        if (run != NULL && run->waits_for_intent)
            step_abort(run);
    }
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
    if (kind == fermata_v1_InterruptKind_INTERRUPT_KIND_PAUSE) {
        job->interrupt_at_ms = job->engine->now_ms + grace_ms;
        engine_note_grace(job->engine, job->interrupt_at_ms);
    }
    abort_unstarted(job);
    hjob_wake(job);
}
