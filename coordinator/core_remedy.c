/* What operators do to a job that is PAUSED or FAILED: give a task its attempts anew, skip it, edit it, patch
 * state. Each is a step of the journal, made by the coordinator, and folded in as any other. */
#include "core_int.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "log.h"
#include "mem.h"
#include "program_check.h"

#define MAX_KEYS 1000

/* ---- making the step ---- */

static int apply(struct core *c, struct job *job, Fermata__V1__Step *step, struct fm_err *err)
{
    Google__Protobuf__Timestamp at = core_now(c);
    step->number = job_state_step(job->state) + 1;
    step->epoch = job->head->epoch;
    if (step->inputs_through < job_state_inputs(job->state))
        step->inputs_through = job_state_inputs(job->state);
    step->outcome = FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_CONTINUE;
    step->committed_at = &at;
    struct task_item *task = NULL;
    int rc = job_apply_step(c, job, step, &task, err);
    if (rc < 0)
        return rc;
    free(task);
    job->head_dirty = true;
    FM_LOG(INFO, STATE, "an operator changed the job", FM_STR("job", job->text), FM_U64("step", step->number),
           FM_I64("remedy", (int64_t)step->remedy->kind), FM_STR("task", step->task_id),
           FM_STR("by", step->remedy->by));
    return 0;
}

static Fermata__V1__Remedy remedy_of(Fermata__V1__RemedyKind kind, const char *by, const char *reason)
{
    Fermata__V1__Remedy m = FERMATA__V1__REMEDY__INIT;
    m.kind = kind;
    m.by = (char *)(uintptr_t)by;
    m.reason = (char *)(uintptr_t)reason;
    return m;
}

/* A pending task, or an input that no step has taken: then this one takes it. (Not while deferred events wait
 * to be emitted: their tasks stand before it.) */
static const struct task_item *find_task(const struct job *job, const char *task_id, struct fm_err *err)
{
    const struct task_item *t = job_state_find_task(job->state, task_id), *input;
    if (t != NULL)
        return t;
    DL_FOREACH (job->inputs, input) {
        if (strcmp(input->id, task_id) != 0)
            continue;
        if (!job->head->emit_deferred || job_state_deferred(job->state) == 0)
            return input;
        fm_err_set(err, FM_FAILED_PRECONDITION, "task_id",
                   "deferred events are emitted before job %s takes its input %.64s: resume it first",
                   job->text, task_id);
        return NULL;
    }
    fm_err_set(err, FM_NOT_FOUND, "task_id", "no task %.64s waits in job %s", task_id, job->text);
    return NULL;
}

static void start_step(Fermata__V1__Step *step, const struct task_item *t, Fermata__V1__Remedy *remedy)
{
    step->task_id = (char *)(uintptr_t)t->id;
    step->routine = (char *)(uintptr_t)t->routine;
    step->slot = (char *)(uintptr_t)t->slot;
    step->inputs_through = t->input_number;
    step->remedy = remedy;
}

/* A step that puts the task, changed by `change`, in its own place. */
static int replace(struct core *c, struct job *job, const char *task_id, Fermata__V1__Remedy *remedy,
                   const Google__Protobuf__Struct *data, struct fm_err *err)
{
    const struct task_item *found = find_task(job, task_id, err);
    if (found == NULL)
        return -(int)err->code;
    Fermata__V1__Task *t = fermata__v1__task__unpack(NULL, found->body.n, found->body.p);
    if (t == NULL)
        return fm_err_set(err, FM_DATA_LOSS, "task_id", "task %.64s is malformed", task_id);
    if (data != NULL) {
        if (t->data != NULL)
            google__protobuf__struct__free_unpacked(t->data, NULL);
        t->data = pb_clone(data);
    } else {
        t->failed_attempts = 0;
        t->spent_ms = 0;
        if (t->due_at != NULL)
            google__protobuf__timestamp__free_unpacked(t->due_at, NULL);
        t->due_at = NULL;
    }
    fm_autofree char *id = fm_xstrdup(found->id), *routine = fm_xstrdup(found->routine),
                     *slot = fm_xstrdup(found->slot);
    Fermata__V1__Step step = FERMATA__V1__STEP__INIT;
    const struct task_item name = {
        .id = id, .routine = routine, .slot = slot, .input_number = found->input_number};
    start_step(&step, &name, remedy);
    remedy->task = t;
    int rc = apply(c, job, &step, err);
    fermata__v1__task__free_unpacked(t, NULL);
    return rc;
}

int remedy_retry(struct core *c, struct job *job, const char *task_id, const char *by, const char *reason,
                 struct fm_err *err)
{
    Fermata__V1__Remedy remedy = remedy_of(FERMATA__V1__REMEDY_KIND__REMEDY_KIND_RETRY_TASK, by, reason);
    return replace(c, job, task_id, &remedy, NULL, err);
}

/* True when some connection of the flow starts at the event. */
static bool is_connected(const struct job *job, const char *routine, const char *event)
{
    Fermata__V1__Flow *flow =
        job->def == NULL ? NULL : fermata__v1__flow__unpack(NULL, job->def->body.n, job->def->body.p);
    bool found = false;
    for (size_t i = 0; flow != NULL && i < flow->n_connections && !found; i++)
        found = strcmp(flow->connections[i]->from->routine, routine) == 0 &&
                strcmp(flow->connections[i]->from->event, event) == 0;
    if (flow != NULL)
        fermata__v1__flow__free_unpacked(flow, NULL);
    return found;
}

/* The event goes out as a deferred one, for only a host knows where it leads; without a connection it is an
 * output. */
int remedy_skip(struct core *c, struct job *job, const char *task_id, const char *event,
                const Google__Protobuf__Struct *data, const char *by, const char *reason, struct fm_err *err)
{
    const struct task_item *found = find_task(job, task_id, err);
    if (found == NULL)
        return -(int)err->code;
    fm_autofree char *id = fm_xstrdup(found->id), *routine = fm_xstrdup(found->routine),
                     *slot = fm_xstrdup(found->slot);
    const struct task_item name = {
        .id = id, .routine = routine, .slot = slot, .input_number = found->input_number};
    Fermata__V1__Remedy remedy = remedy_of(FERMATA__V1__REMEDY_KIND__REMEDY_KIND_SKIP_TASK, by, reason);
    Google__Protobuf__Struct none = GOOGLE__PROTOBUF__STRUCT__INIT;
    Fermata__V1__Step step = FERMATA__V1__STEP__INIT;
    Fermata__V1__DeferredEvent deferred = FERMATA__V1__DEFERRED_EVENT__INIT, *events[] = {&deferred};
    Fermata__V1__Emission emission = FERMATA__V1__EMISSION__INIT, *emissions[] = {&emission};
    start_step(&step, &name, &remedy);
    if (event[0] != '\0' && is_connected(job, routine, event)) {
        deferred.event = (char *)(uintptr_t)event;
        deferred.data = data != NULL ? (Google__Protobuf__Struct *)(uintptr_t)data : &none;
        step.n_deferred_events = 1;
        step.deferred_events = events;
    } else if (event[0] != '\0') {
        emission.event = (char *)(uintptr_t)event;
        emission.data = data != NULL ? (Google__Protobuf__Struct *)(uintptr_t)data : &none;
        step.n_emissions = 1;
        step.emissions = emissions;
    }
    return apply(c, job, &step, err);
}

/* ---- a FAILED job goes on ---- */

void job_retry_failed(struct core *c, struct job *job)
{
    Fermata__V1__Job *h = job->head;
    struct fm_err err = {0};
    if (h->error != NULL && h->error->task_id[0] != '\0' &&
        job_state_find_task(job->state, h->error->task_id) != NULL) {
        (void)remedy_retry(c, job, h->error->task_id, "", "the job was resumed", &err);
        lost_intent_done(job, h->error->task_id); /* whoever resumes the job has seen that it failed there */
    }
    fm_err_done(&err);
    if (h->error != NULL)
        fermata__v1__job_error__free_unpacked(h->error, NULL);
    h->error = NULL;
    if (h->finished_at != NULL)
        google__protobuf__timestamp__free_unpacked(h->finished_at, NULL);
    h->finished_at = NULL;
    if (h->deadline_at != NULL)
        pb_set_time(&h->deadline_at, c->wall_ms + (int64_t)job->def->deadline_ms);
    job->bad_steps = 0;
    h->emit_deferred = true;
    job->emit_deferred_input = h->input_count;
    job_must_move(c, job, JOB_EV_RETRY);
    job_unit(c, job);
    job_reopen_pauses(job);
    lost_tasks(c, job);
    bool asks = h->n_pauses > 0 && job->def->parallelism <= 1;
    if (!asks && !job_is_held(job) && (job_has_work(job) || job_state_deferred(job->state) > 0))
        sched_place(c, job);
    else
        job_park(c, job, asks ? PARK_ASKED : PARK_BY_STATE);
}

/* ---- the methods ---- */

static int check_words(const char *by, const char *reason, struct fm_err *err)
{
    return check_text("by", by, err) < 0 ? -FM_INVALID_ARGUMENT : check_text("reason", reason, err);
}

/* The job if operators may change it now; else the op is parked or failed. */
static struct job *held_job(struct core *c, struct op *op, const char *job_id)
{
    struct job *job = job_for_op(c, op, job_id);
    if (job == NULL)
        return NULL;
    int status = (int)job->head->status;
    if ((status == JOB_PAUSED || status == JOB_FAILED) && job->def != NULL)
        return job;
    struct fm_err err = {0};
    if (status == JOB_PAUSED || status == JOB_FAILED)
        fm_err_set(&err, FM_DATA_LOSS, "job_id", "the flow of job %s is not in the store", job->text);
    else
        fm_err_set(&err, FM_FAILED_PRECONDITION, "job_id",
                   "job %s is %s: only a job that is PAUSED or FAILED can be changed", job->text,
                   job_status_name(status));
    op_fail(c, op, &err);
    job_rest(c, job);
    return NULL;
}

/* The task that is meant: the one named, or the one with which the job failed. */
static const char *task_meant(const struct job *job, const char *task_id, struct fm_err *err)
{
    if (task_id[0] != '\0')
        return task_id;
    if ((int)job->head->status == JOB_FAILED && job->head->error != NULL &&
        job->head->error->task_id[0] != '\0')
        return job->head->error->task_id;
    fm_err_set(err, FM_INVALID_ARGUMENT, "task_id", "task_id is missing: say which task is meant");
    return NULL;
}

/* Whoever has a task run again or skips it knows what there is to know of it: what was lost of it counts no
 * more, and a question about its outcome is answered. */
static void decided(struct core *c, struct job *job, const char *task_id)
{
    bool asked = false, failed = (int)job->head->status == JOB_FAILED;
    if (failed)
        job_reopen_pauses(job);
    lost_intent_done(job, task_id);
    for (size_t i = job->head->n_pauses; i-- > 0;) {
        const Fermata__V1__Pause *p = job->head->pauses[i];
        if (p->reason != FERMATA__V1__PAUSE_REASON__PAUSE_REASON_OUTCOME_UNKNOWN ||
            strcmp(p->task_id, task_id) != 0)
            continue;
        fm_autofree char *pause_id = fm_xstrdup(p->pause_id);
        job_remove_pause(job, pause_id);
        asked = true;
    }
    if (failed)
        job_close_pauses(job, true);
    if (!asked || failed)
        return;
    job->head->emit_deferred = true;
    job->emit_deferred_input = job->head->input_count;
    job->head_dirty = true;
    job_go_on(c, job);
}

static void retry_task(struct core *c, struct op *op)
{
    const Fermata__V1__RetryTaskRequest *r = OP_REQUEST(op, Fermata__V1__RetryTaskRequest);
    struct fm_err err = {0};
    if (check_words(r->by, r->reason, &err) < 0 || check_text("task_id", r->task_id, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    struct job *job = held_job(c, op, r->job_id);
    if (job == NULL)
        return;
    const char *task_id = task_meant(job, r->task_id, &err);
    fm_autofree char *id = task_id == NULL ? NULL : fm_xstrdup(task_id);
    if (id == NULL || remedy_retry(c, job, id, r->by, r->reason, &err) < 0) {
        op_fail(c, op, &err);
        job_rest(c, job);
        return;
    }
    Fermata__V1__RetryTaskResponse response = FERMATA__V1__RETRY_TASK_RESPONSE__INIT;
    response.step = job_state_step(job->state);
    decided(c, job, id);
    if ((int)job->head->status == JOB_FAILED) {
        job_set_error(job, "", "", "", ""); /* its task has its attempts already */
        job_retry_failed(c, job);
    }
    response.status = job->head->status;
    pbc_effect_reply(job_unit(c, job), op->ticket, &response.base);
    op_free(op);
    job_rest(c, job);
}

static void skip_task(struct core *c, struct op *op)
{
    const Fermata__V1__SkipTaskRequest *r = OP_REQUEST(op, Fermata__V1__SkipTaskRequest);
    struct fm_err err = {0};
    if (check_words(r->by, r->reason, &err) < 0 || check_size("data", r->data, &err) < 0 ||
        check_text("task_id", r->task_id, &err) < 0 ||
        (r->event[0] != '\0' && check_name("event", r->event, &err) < 0)) {
        op_fail(c, op, &err);
        return;
    }
    struct job *job = held_job(c, op, r->job_id);
    if (job == NULL)
        return;
    const char *task_id = task_meant(job, r->task_id, &err);
    fm_autofree char *id = task_id == NULL ? NULL : fm_xstrdup(task_id);
    if (id == NULL || remedy_skip(c, job, id, r->event, r->data, r->by, r->reason, &err) < 0) {
        op_fail(c, op, &err);
        job_rest(c, job);
        return;
    }
    Fermata__V1__SkipTaskResponse response = FERMATA__V1__SKIP_TASK_RESPONSE__INIT;
    response.step = job_state_step(job->state);
    decided(c, job, id);
    response.status = job->head->status;
    pbc_effect_reply(job_unit(c, job), op->ticket, &response.base);
    op_free(op);
    job_rest(c, job);
}

static void edit_task(struct core *c, struct op *op)
{
    const Fermata__V1__EditTaskRequest *r = OP_REQUEST(op, Fermata__V1__EditTaskRequest);
    struct fm_err err = {0};
    if (check_words(r->by, r->reason, &err) == 0 && check_size("data", r->data, &err) == 0 &&
        check_text("task_id", r->task_id, &err) == 0 && r->data == NULL)
        fm_err_set(&err, FM_INVALID_ARGUMENT, "data", "data is missing: the task's new data");
    if (err.code != FM_OK) {
        op_fail(c, op, &err);
        return;
    }
    struct job *job = held_job(c, op, r->job_id);
    if (job == NULL)
        return;
    Fermata__V1__Remedy remedy = remedy_of(FERMATA__V1__REMEDY_KIND__REMEDY_KIND_EDIT_TASK, r->by, r->reason);
    if (replace(c, job, r->task_id, &remedy, r->data, &err) < 0) {
        op_fail(c, op, &err);
        job_rest(c, job);
        return;
    }
    Fermata__V1__EditTaskResponse response = FERMATA__V1__EDIT_TASK_RESPONSE__INIT;
    response.step = job_state_step(job->state);
    pbc_effect_reply(job_unit(c, job), op->ticket, &response.base);
    op_free(op);
    job_rest(c, job);
}

/* ---- PatchState ---- */

int remedy_patch(struct core *c, struct job *job, const Fermata__V1__PatchStateRequest *r, struct fm_err *err)
{
    size_t n_set = r->set == NULL ? 0 : r->set->n_fields, n = n_set + r->n_remove;
    Fermata__V1__StateChange *changes = fm_xcalloc(n + 1, sizeof(*changes));
    Fermata__V1__StateChange **pointers = fm_xcalloc(n + 1, sizeof(*pointers));
    for (size_t i = 0; i < n; i++) {
        fermata__v1__state_change__init(&changes[i]);
        pointers[i] = &changes[i];
        changes[i].routine = r->routine;
        changes[i].key = i < n_set ? r->set->fields[i]->key : r->remove[i - n_set];
        changes[i].kind = i < n_set ? FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_SET
                                    : FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_REMOVE;
        changes[i].value = i < n_set ? r->set->fields[i]->value : NULL;
    }
    Fermata__V1__Remedy remedy =
        remedy_of(FERMATA__V1__REMEDY_KIND__REMEDY_KIND_PATCH_STATE, r->by, r->reason);
    Fermata__V1__Step step = FERMATA__V1__STEP__INIT;
    step.routine = r->routine;
    step.n_changes = n;
    step.changes = pointers;
    step.remedy = &remedy;
    int rc = apply(c, job, &step, err);
    free(changes);
    free(pointers);
    return rc;
}

static int check_patch(const Fermata__V1__PatchStateRequest *r, struct fm_err *err)
{
    size_t n = (r->set == NULL ? 0 : r->set->n_fields) + r->n_remove;
    if (check_words(r->by, r->reason, err) < 0 || check_size("set", r->set, err) < 0 ||
        (r->routine[0] != '\0' && check_name("routine", r->routine, err) < 0))
        return -FM_INVALID_ARGUMENT;
    if (n == 0 || n > MAX_KEYS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "set", "%zu keys to set or remove; 1 to %d are allowed",
                          n, MAX_KEYS);
    return 0;
}

bool job_has_routine(const struct job *job, const char *routine)
{
    Fermata__V1__Flow *flow = fermata__v1__flow__unpack(NULL, job->def->body.n, job->def->body.p);
    bool found = false;
    for (size_t i = 0; flow != NULL && i < flow->n_routines && !found; i++)
        found = strcmp(flow->routines[i]->id, routine) == 0;
    if (flow != NULL)
        fermata__v1__flow__free_unpacked(flow, NULL);
    return found;
}

static void patch_state(struct core *c, struct op *op)
{
    const Fermata__V1__PatchStateRequest *r = OP_REQUEST(op, Fermata__V1__PatchStateRequest);
    struct fm_err err = {0};
    if (check_patch(r, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    struct job *job = held_job(c, op, r->job_id);
    if (job == NULL)
        return;
    if (r->routine[0] != '\0' && !job_has_routine(job, r->routine))
        fm_err_set(&err, FM_INVALID_ARGUMENT, "routine", "the flow of job %s has no routine \"%s\"",
                   job->text, r->routine);
    if (err.code != FM_OK || remedy_patch(c, job, r, &err) < 0) {
        op_fail(c, op, &err);
        job_rest(c, job);
        return;
    }
    Fermata__V1__PatchStateResponse response = FERMATA__V1__PATCH_STATE_RESPONSE__INIT;
    response.step = job_state_step(job->state);
    pbc_effect_reply(job_unit(c, job), op->ticket, &response.base);
    op_free(op);
    job_rest(c, job);
}

void remedy_request(struct core *c, struct op *op)
{
    switch ((int)op->method) {
    case CORE_SET_BREAKPOINTS:
        breakpoints_set(c, op);
        return;
    case CORE_RETRY_TASK:
        retry_task(c, op);
        return;
    case CORE_SKIP_TASK:
        skip_task(c, op);
        return;
    case CORE_EDIT_TASK:
        edit_task(c, op);
        return;
    default:
        patch_state(c, op);
        return;
    }
}
