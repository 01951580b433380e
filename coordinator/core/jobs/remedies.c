/* What operators change in a job: steps that the coordinator makes, folded in as any other. */
#include "remedies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "defs.h"
#include "err.h"
#include "exact.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "flow.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "job.h"
#include "job_state.h"
#include "journal.h"
#include "log.h"
#include "mem.h"
#include "pause.h"
#include "pbc.h"
#include "routine_types.h"
#include "state.h"
#include "store.h"
#include "unit.h"

static int apply(struct core *c, struct job *job, Fermata__V1__Step *step, struct fm_err *err)
{
    Google__Protobuf__Timestamp at = core_now(c);
    step->number = job_state_step(job->state) + 1;
    step->epoch = job->head->epoch;
    if (step->inputs_through < job_state_inputs(job->state))
        step->inputs_through = job_state_inputs(job->state);
    step->outcome = STEP_OUTCOME_CONTINUE;
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
    (void)fm_err_set(err, FM_NOT_FOUND, "task_id", "no task %.64s waits in job %s", task_id, job->text);
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
        Google__Protobuf__Struct *edited = pb_clone(data);
        exact_restore_struct(edited, t->data);
        if (t->data != NULL)
            google__protobuf__struct__free_unpacked(t->data, NULL);
        t->data = edited;
        t->timed_out = ON_TIMEOUT_UNSPECIFIED; /* now there is an answer */
    } else {
        t->failed_attempts = 0;
        t->spent_ms = 0;
        bool beside = t->due_at != NULL && job_status(job) == JOB_PAUSED && job->def->parallelism <= 1;
        if (beside) { /* a timer is not halted by an open question; a task without a time would be */
            pb_set_time(&t->due_at, c->wall_ms);
        } else if (t->due_at != NULL) {
            google__protobuf__timestamp__free_unpacked(t->due_at, NULL);
            t->due_at = NULL;
        }
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
    Fermata__V1__Remedy remedy = remedy_of(REMEDY_KIND_RETRY_TASK, by, reason);
    return replace(c, job, task_id, &remedy, NULL, err);
}

/* True when some connection of the flow starts at the event. */
static bool is_connected(const struct job *job, const char *routine, const char *event)
{
    fm_auto_pb Fermata__V1__Flow *flow =
        job->def == NULL ? NULL : fermata__v1__flow__unpack(NULL, job->def->body.n, job->def->body.p);
    bool found = false;
    for (size_t i = 0; flow != NULL && i < flow->n_connections && !found; i++)
        found = strcmp(flow->connections[i]->from->routine, routine) == 0 &&
                strcmp(flow->connections[i]->from->event, event) == 0;
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
    Fermata__V1__Remedy remedy = remedy_of(REMEDY_KIND_SKIP_TASK, by, reason);
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

int remedy_edit(struct core *c, struct job *job, const char *task_id, const Google__Protobuf__Struct *data,
                const char *by, const char *reason, struct fm_err *err)
{
    Fermata__V1__Remedy remedy = remedy_of(REMEDY_KIND_EDIT_TASK, by, reason);
    return replace(c, job, task_id, &remedy, data, err);
}

/* Puts the integers that the state shows as text back into what is to replace them. */
static void restore(const struct job *job, const char *routine, Google__Protobuf__Struct *set)
{
    for (size_t i = 0; set != NULL && i < set->n_fields; i++) {
        fm_auto(fm_buf) encoded = {0};
        if (!job_state_value(job->state, routine, set->fields[i]->key, &encoded))
            continue;
        fm_auto_pb Google__Protobuf__Value *shown =
            google__protobuf__value__unpack(NULL, encoded.n, encoded.p);
        exact_restore(set->fields[i]->value, shown);
    }
}

int remedy_patch(struct core *c, struct job *job, const Fermata__V1__PatchStateRequest *r, struct who who,
                 struct fm_err *err)
{
    size_t n_set = r->set == NULL ? 0 : r->set->n_fields, n = n_set + r->n_remove;
    fm_auto_pb Google__Protobuf__Struct *set = pb_clone(r->set);
    restore(job, r->routine, set);
    Fermata__V1__StateChange *changes = fm_xcalloc(n + 1, sizeof(*changes));
    Fermata__V1__StateChange **pointers = fm_xcalloc(n + 1, sizeof(*pointers));
    for (size_t i = 0; i < n; i++) {
        fermata__v1__state_change__init(&changes[i]);
        pointers[i] = &changes[i];
        changes[i].routine = r->routine;
        changes[i].key = i < n_set ? set->fields[i]->key : r->remove[i - n_set];
        changes[i].kind = i < n_set ? STATE_CHANGE_KIND_SET : STATE_CHANGE_KIND_REMOVE;
        changes[i].value = i < n_set ? set->fields[i]->value : NULL;
    }
    Fermata__V1__Remedy remedy = remedy_of(REMEDY_KIND_PATCH_STATE, who.by, who.reason);
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

int remedy_trim(struct core *c, struct job *job, const Fermata__V1__Kept *kept, struct who who,
                struct fm_err *err)
{
    Fermata__V1__Remedy remedy = remedy_of(REMEDY_KIND_TRIM, who.by, who.reason);
    Fermata__V1__Step step = FERMATA__V1__STEP__INIT;
    remedy.kept = (Fermata__V1__Kept *)(uintptr_t)kept;
    step.remedy = &remedy;
    return apply(c, job, &step, err);
}

/* ---- continue ---- */

#define MAX_NEW_TASKS 1000

int remedy_check_continue(struct core *c, const struct job *job, const Fermata__V1__Continue *how,
                          const char *path, struct fm_err *err)
{
    char at[96];
    snprintf(at, sizeof(at), "%s.tasks", path);
    if (how->n_tasks > MAX_NEW_TASKS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, at, "%zu tasks; the limit is %d", how->n_tasks,
                          MAX_NEW_TASKS);
    fm_auto_pb Fermata__V1__Flow *flow =
        how->n_tasks > 0 ? fermata__v1__flow__unpack(NULL, job->def->body.n, job->def->body.p) : NULL;
    const struct flow_types known = {types_find, c};
    for (size_t i = 0; i < how->n_tasks; i++) {
        const Fermata__V1__NewTask *t = how->tasks[i];
        snprintf(at, sizeof(at), "%s.tasks[%zu].to", path, i);
        if (t->to == NULL)
            return fm_err_set(err, FM_INVALID_ARGUMENT, at,
                              "%s is missing: the routine and the slot of the task", at);
        int rc = flow_check_entry(flow, at, t->to->routine, t->to->slot, t->data, &known, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The new generation begins with the state after its first step. */
static void begin_generation(struct core *c, struct job *job, const Fermata__V1__Continue *how)
{
    Fermata__V1__Job *h = job->head;
    struct unit *u = unit_of(c, job);
    fm_auto(fm_buf) b = {0};
    h->generation++;
    h->generation_step = job_state_step(job->state);
    job_state_encode(job->state, NULL, &b);
    store_put_generation(u->records, &job->id, h->generation, h->generation_step,
                         job_state_inputs(job->state), fm_buf_bytes(&b));
    job->snapshot_step = h->generation_step;
    job->journal_bytes = 0;
    bool all = how->maybe_history_case != FERMATA__V1__CONTINUE__MAYBE_HISTORY_KEEP_GENERATIONS;
    if (all || how->keep_generations >= h->generation - h->oldest_generation)
        return;
    h->oldest_generation = h->generation - how->keep_generations;
    store_delete_history(u->records, &job->id, h->oldest_generation);
}

int remedy_continue(struct core *c, struct job *job, const Fermata__V1__Continue *how, struct who who,
                    struct fm_err *err)
{
    size_t n = how->n_tasks;
    Fermata__V1__Task *tasks = fm_xcalloc(n + 1, sizeof(*tasks)), **list = fm_xcalloc(n + 1, sizeof(*list));
    Fermata__V1__Pause **open = fm_xcalloc(job->head->n_pauses + job->head->n_kept_pauses + 1, sizeof(*open));
    char(*ids)[32] = fm_xcalloc(n + 1, sizeof(*ids));
    Fermata__V1__Remedy remedy = remedy_of(REMEDY_KIND_CONTINUE, who.by, who.reason);
    Fermata__V1__Step step = FERMATA__V1__STEP__INIT;
    remedy.kept = how->kept;
    remedy.generation = job->head->generation + 1;
    remedy.inputs = job->head->input_count;
    remedy.children = (uint32_t)job->head->n_children;
    step.remedy = &remedy;
    for (size_t i = 0; i < n; i++) {
        fermata__v1__task__init(&tasks[i]);
        snprintf(ids[i], sizeof(ids[i]), "s%u.%zu", job_state_step(job->state) + 1, i);
        tasks[i].task_id = ids[i];
        tasks[i].routine = how->tasks[i]->to->routine;
        tasks[i].slot = how->tasks[i]->to->slot;
        tasks[i].data = how->tasks[i]->data;
        list[i] = &tasks[i];
    }
    for (size_t i = 0; i < job->head->n_pauses; i++) /* for those who fork from this generation */
        if (pause_is_question(job->head->pauses[i]))
            open[step.n_pauses++] = job->head->pauses[i];
    for (size_t i = 0; i < job->head->n_kept_pauses; i++) /* of a FAILED job: open again when it goes on */
        if (pause_is_question(job->head->kept_pauses[i]))
            open[step.n_pauses++] = job->head->kept_pauses[i];
    step.pauses = open;
    step.new_tasks = list;
    step.n_new_tasks = n;
    int rc = apply(c, job, &step, err);
    if (rc == 0)
        begin_generation(c, job, how);
    free(tasks);
    free(open);
    free(list);
    free(ids);
    return rc;
}
