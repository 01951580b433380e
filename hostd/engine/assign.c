/* What the coordinator says of the jobs that a host holds. See assign.h. */
#include "assign.h"

#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "clock.h"
#include "ctx.h"
#include "engine_state.h"
#include "fermata/v1/host_agent.pb.h"
#include "hold.h"
#include "hsession.h"
#include "log.h"
#include "mem.h"
#include "prelude.h"
#include "queue.h"
#include "release.h"
#include "step.h"
#include "times.h"

/* ---- assignment ---- */

struct reading {
    struct engine *e;
    struct hjob *job;
    struct fm_err *err;
    int64_t wall_ms;    /* the coordinator's clock at the assignment; 0: not said */
    bool emit_deferred; /* the new inputs bring the deferred events first */
    bool delivered;     /* they come after the assignment: answers are to questions that it has counted */
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
        .merged = m.merged,
        .beside = m.beside,
        .timed_out = (enum fm_on_timeout)m.timed_out
    };
    if (t.id == NULL || t.routine == NULL || t.slot == NULL || t.pause_id == NULL || t.key == NULL ||
        t.call_id == NULL)
        return out_of_memory(r);
    t.timed = m.has_due_at;
    if (m.has_due_at && r->wall_ms != 0) {
        int64_t due = fm_time_ms(m.due_at.seconds, m.due_at.nanos);
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
    struct deferred *d = deferred_new(routine, event, pb_var_view(m.data));
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
    int rc = pb_var_decode(fermata_v1_JobState_fields, &m, pb_var_view(encoded), &r->e->arena, r->err);
    for (size_t i = 0; rc == 0 && i < m.pending_tasks.n; i++)
        rc = read_task(r, m.pending_tasks.items[i]);
    for (size_t i = 0; rc == 0 && i < m.deferred_events.n; i++)
        rc = read_deferred(r, m.deferred_events.items[i]);
    for (size_t i = 0; rc == 0 && i < m.routine_states.n; i++)
        rc = read_routine_state(r, m.routine_states.items[i]);
    if (rc == 0 && kv_read_struct(&r->job->shared, pb_var_view(m.shared_data)) < 0)
        rc = fm_err_set(r->err, FM_INVALID_ARGUMENT, "assign.state", "the shared data is malformed");
    r->job->last_step = m.step_number;
    r->job->inputs_through = m.inputs_through;
    return rc;
}

/* ---- inputs ---- */

/* Takes the inputs that are new. */
static int take_inputs(struct reading *r, struct pb_var inputs)
{
    struct hjob *job = r->job;
    for (size_t i = 0; i < inputs.n; i++) {
        fermata_v1_Task m;
        memset(&m, 0, sizeof(m));
        int rc = pb_var_decode(fermata_v1_Task_fields, &m, inputs.items[i], &r->e->arena, r->err);
        if (rc < 0)
            return rc;
        if (m.input_number <= job->inputs_through)
            continue; /* it came before the stream broke */
        if (m.pause_id.n > 0) {
            const char *pause_id = pb_var_dup(m.pause_id, &r->e->arena);
            if (pause_id == NULL)
                return out_of_memory(r);
            (void)asked_remove(&job->asked, pause_id);
            hjob_end_halt(job);
        }
        if (r->emit_deferred)
            prelude_emit_deferred(job);
        rc = read_task(r, inputs.items[i]);
        if (rc < 0)
            return rc;
        job->inputs_through = m.input_number;
    }
    if (r->emit_deferred && inputs.n == 0)
        prelude_emit_deferred(job);
    return 0;
}

static void refuse(struct hjob *job, const char *why)
{
    FM_LOG(WARN, STATE, "refusing an assignment", FM_STR("job", job->id), FM_U64("epoch", job->epoch),
           FM_STR("why", why));
    hjob_release(job, RELEASE_REFUSED, why);
}

/* Jobs that only wait for their last acknowledgement do not count: the coordinator has given their
 * places away. */
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
    hjob_free_breakpoints(r->job);
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

/* Tasks that were in hand when a host was lost: those that shall fail (an older coordinator does not say
 * why), and those with nothing beside them. */
static void read_marks(struct hjob *job, const fermata_v1_Assign *m)
{
    static const char usual[] = "the host was lost while it handled the task; what it did is not known";
    const struct pb_var *lost = &m->lost_tasks, *reasons = &m->lost_reasons;
    for (size_t i = 0; i < lost->n; i++) {
        struct fm_bytes said =
            i < reasons->n && reasons->items[i].n > 0 ? reasons->items[i] : fm_bytes_of(usual);
        hjob_mark(job, lost->items[i], &said);
    }
    for (size_t i = 0; i < m->suspect_tasks.n; i++)
        hjob_mark(job, m->suspect_tasks.items[i], NULL);
}

static int read_asked(struct reading *r, const struct pb_var *list)
{
    struct fm_arena *a = &r->e->arena;
    for (size_t i = 0; i < list->n; i++) {
        fermata_v1_AskedQuestion m;
        memset(&m, 0, sizeof(m));
        int rc = pb_var_decode(fermata_v1_AskedQuestion_fields, &m, list->items[i], a, r->err);
        if (rc < 0)
            return rc;
        const struct asked q = {.pause_id = pb_var_dup(m.pause_id, a),
                                .routine = pb_var_dup(m.routine, a),
                                .key = pb_var_dup(m.key, a),
                                .call_id = pb_var_dup(m.call_id, a)};
        if (q.pause_id == NULL || q.routine == NULL || q.key == NULL || q.call_id == NULL)
            return out_of_memory(r);
        asked_add(&r->job->asked, &q);
    }
    return 0;
}

static int read_assignment(struct reading *r, const fermata_v1_Assign *m)
{
    struct hjob *job = r->job;
    job->flow = flow_parse(pb_var_view(m->flow), r->e->registry, r->err);
    if (job->flow == NULL)
        return -1;
    if (m->has_now)
        r->wall_ms = fm_time_ms(m->now.seconds, m->now.nanos);
    job->clock_ms = r->wall_ms - r->e->now_ms;
    const char *released = pb_var_dup(m->released_task, &r->e->arena);
    if (released == NULL)
        return out_of_memory(r);
    job->released_task = fm_xstrdup(released);
    read_marks(job, m);
    job->halted_at = m->halted_at;
    int rc = read_state(r, m->state);
    if (rc == 0)
        rc = read_breakpoints(r, &m->breakpoints);
    if (rc == 0)
        rc = read_asked(r, &m->asked);
    if (rc == 0 && m->emit_deferred)
        prelude_emit_deferred(job);
    if (rc == 0)
        rc = take_inputs(r, m->inputs);
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

void hjob_assign(struct session *s, const fermata_v1_Assign *m)
{
    struct engine *e = s->engine;
    if (m->job_id.n != 26) {
        session_close(s, "an assignment has no valid job id");
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
    job->session = s;
    HASH_ADD_KEYPTR(hh, e->jobs, job->id, 26, job);
    fm_auto(fm_err) err = {0};
    struct reading r = {.e = e, .job = job, .err = &err};
    size_t bytes = m->flow.n + m->state.n + items_bytes(&m->inputs);
    if (e->draining)
        fm_err_set(&err, FM_UNAVAILABLE, NULL, "the host is draining");
    else if (is_full(e))
        fm_err_set(&err, FM_RESOURCE_EXHAUSTED, NULL, "the host is full: it takes at most %u jobs",
                   e->capacity);
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

enum aborted { ALL_UNSTARTED, HELD_UNSTARTED };

/* What waits for its intent has not begun, and need not; HELD_UNSTARTED: only what a breakpoint
 * may hold now. */
static void abort_unstarted(struct hjob *job, enum aborted which)
{
    for (size_t i = 0; i < job->flow->n_routines; i++) {
        struct fm_ctx *run = job->flow->routines[i].run;
        if (run != NULL && run->waits_for_intent && (which == ALL_UNSTARTED || hold_may(job, run->task)))
            step_abort(run);
    }
}

void hjob_deliver(struct hjob *job, const fermata_v1_Deliver *m)
{
    fm_auto(fm_err) err = {0};
    struct reading r = {
        .e = job->engine, .job = job, .err = &err, .emit_deferred = m->emit_deferred, .delivered = true};
    if (take_inputs(&r, m->inputs) < 0 || (m->set_breakpoints && read_breakpoints(&r, &m->breakpoints) < 0)) {
        refuse(job, err.msg);
        return;
    }
    if (m->set_breakpoints) {
        hold_forget(job);
        abort_unstarted(job, HELD_UNSTARTED); /* no task begins past them */
    }
    count_bytes(job, items_bytes(&m->inputs));
    if (job->phase == PHASE_STOPPED && job->n_tasks > 0)
        job->phase = PHASE_READY; /* if the last step has ended the job, the coordinator has refused the
                                     input, and this cannot come */
    hjob_wake(job);
}

/* ---- interrupts ---- */

void hjob_interrupt(struct hjob *job, enum interrupt_kind kind, uint32_t grace_ms)
{
    if (kind == INTERRUPT_CANCEL) {
        FM_LOG(INFO, STATE, "job cancelled", FM_STR("job", job->id), FM_U64("epoch", job->epoch),
               FM_U64("step", job->last_step));
        hjob_end(job);
        return;
    }
    if (kind != INTERRUPT_PAUSE && kind != INTERRUPT_DRAIN)
        return;
    job->interrupt = kind;
    if (kind == INTERRUPT_PAUSE && grace_ms != FM_GRACE_WITHOUT_END)
        hjob_set_grace(job, job->engine->now_ms + grace_ms);
    abort_unstarted(job, ALL_UNSTARTED);
    hjob_wake(job);
}
