/* What parents and children tell each other. A step names the children it starts; they become entries of the
 * parent's record with the step. When that is on disk, each child is submitted by an inner call, under an id
 * chosen before and a request id that names parent and number, so that it exists once however often this is
 * tried. When a child ends, its parent gets the result as an input and forgets the child, in one unit; then
 * the child forgets that its parent waits. When a parent ends, its children are cancelled; one that FAILED
 * and goes on later finds their results. Whatever is interrupted is taken up
 * again by the wake time of the record that still shows it. */
#include "family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "admit.h"
#include "buf.h"
#include "check.h"
#include "children.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "id.h"
#include "input.h"
#include "job.h"
#include "job_state.h"
#include "load.h"
#include "log.h"
#include "mem.h"
#include "method.h"
#include "move.h"
#include "op.h"
#include "pbc.h"
#include "placement.h"
#include "state.h"
#include "table.h"
#include "unit.h"

/* Of a child: with what stands around it, it fits into a step (8 MiB), in which its parent hands it on. */
#define MAX_RESULT_BYTES (7u * 1024 * 1024)
#define SMALL_RESULT 16384 /* there is always room for one of this part of a state: 1 KiB of 16 MiB */
#define ROOM_RECHECK_MS                                                                                      \
    60000 /* of a child whose parent has no room: the parent asks for the result before                      \
           */

/* ---- results ---- */

/* Builds a Struct: keys and values are taken over. */
static void put(Google__Protobuf__Struct *s, const char *key, Google__Protobuf__Value *value)
{
    Google__Protobuf__Struct__FieldsEntry *f = fm_xmalloc(sizeof(*f));
    google__protobuf__struct__fields_entry__init(f);
    f->key = fm_xstrdup(key);
    f->value = value;
    s->fields = fm_xrealloc(s->fields, (s->n_fields + 1) * sizeof(*s->fields));
    s->fields[s->n_fields++] = f;
}

static Google__Protobuf__Struct *new_struct(void)
{
    Google__Protobuf__Struct *s = fm_xmalloc(sizeof(*s));
    google__protobuf__struct__init(s);
    return s;
}

static Google__Protobuf__Value *new_value(Google__Protobuf__Value__KindCase kind)
{
    Google__Protobuf__Value *v = fm_xmalloc(sizeof(*v));
    google__protobuf__value__init(v);
    v->kind_case = kind;
    return v;
}

static Google__Protobuf__Value *text_value(const char *text)
{
    Google__Protobuf__Value *v = new_value(GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE);
    v->string_value = fm_xstrdup(text);
    return v;
}

static Google__Protobuf__Value *struct_value(Google__Protobuf__Struct *s)
{
    Google__Protobuf__Value *v = new_value(GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE);
    v->struct_value = s;
    return v;
}

static void put_error(Google__Protobuf__Struct *s, const char *code, const char *message)
{
    Google__Protobuf__Struct *e = new_struct();
    put(e, "code", text_value(code));
    put(e, "message", text_value(message));
    put(s, "error", struct_value(e));
}

static Google__Protobuf__Struct *failure_result(const char *child_id, const char *status,
                                                const struct fm_err *err)
{
    Google__Protobuf__Struct *s = new_struct();
    put(s, "status", text_value(status));
    put(s, "job_id", text_value(child_id));
    put_error(s, fm_code_name((int)err->code), err->msg);
    return s;
}

static void put_outputs(Google__Protobuf__Struct *s, const Fermata__V1__JobState *state)
{
    Google__Protobuf__Value *list = new_value(GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE);
    list->list_value = fm_xmalloc(sizeof(*list->list_value));
    google__protobuf__list_value__init(list->list_value);
    list->list_value->values = fm_xcalloc(state->n_outputs + 1, sizeof(*list->list_value->values));
    for (size_t i = 0; i < state->n_outputs; i++) {
        const Fermata__V1__Output *o = state->outputs[i];
        Google__Protobuf__Struct *item = new_struct();
        put(item, "routine", text_value(o->routine));
        put(item, "event", text_value(o->event));
        put(item, "data", struct_value(o->data != NULL ? pb_clone(o->data) : new_struct()));
        list->list_value->values[list->list_value->n_values++] = struct_value(item);
    }
    put(s, "outputs", list);
    put(s, "shared_data",
        struct_value(state->shared_data != NULL ? pb_clone(state->shared_data) : new_struct()));
}

static Google__Protobuf__Struct *result_of(const struct job *job)
{
    Google__Protobuf__Struct *s = new_struct();
    fm_auto(fm_buf) b = {0};
    job_state_encode(job->state, NULL, &b);
    fm_auto_pb Fermata__V1__JobState *state = fermata__v1__job_state__unpack(NULL, b.n, b.p);
    put(s, "status", text_value(job_status_name(job_status(job))));
    put(s, "job_id", text_value(job->text));
    if (job->head->error != NULL)
        put_error(s, job->head->error->code, job->head->error->message);
    if (state != NULL)
        put_outputs(s, state);
    size_t bytes = protobuf_c_message_get_packed_size(&s->base);
    if (bytes > MAX_RESULT_BYTES) {
        google__protobuf__struct__free_unpacked(s, NULL);
        fm_auto(fm_err) err = {0};
        (void)fm_err_set(
            &err, FM_RESOURCE_EXHAUSTED, "outputs",
            "it is %s, but its outputs and shared data have %zu bytes; a job takes results of up "
            "to %u: GetJob shows them",
            job_status_name(job_status(job)), bytes, MAX_RESULT_BYTES);
        s = failure_result(job->text, "RESULT_TOO_LARGE", &err);
    }
    return s;
}

/* ---- looking after the family ---- */

static void ignore(struct core *c, struct inner *call, const struct fm_err *err)
{
    (void)c;
    (void)call;
    (void)err; /* the wake time of the record that shows it makes it be tried again */
}

static void tell(struct core *c, const struct method *what, const struct fm_id *job,
                 Google__Protobuf__Struct *result, const struct inner *call);
static const struct method child_started_call, child_ended_call, parent_told_call, result_wanted_call;
static void ask_for_results(struct core *c, struct job *job);

static void on_submitted(struct core *c, struct inner *call, const struct fm_err *err)
{
    struct inner next = {.parent = call->parent, .child = call->child, .done = ignore};
    if (err == NULL) {
        tell(c, &child_started_call, &call->parent, NULL, &next);
    } else if (err->code != FM_UNAVAILABLE && err->code != FM_ABORTED && err->code != FM_RESOURCE_EXHAUSTED) {
        char text[27];
        fm_id_text(&call->child, text);
        FM_LOG(WARN, STATE, "a child job could not be started", FM_STR("child", text), FM_ERR(err));
        tell(c, &child_ended_call, &call->parent, failure_result(text, "FAILED", err), &next);
    }
}

static void start_child(struct core *c, struct job *job, const Fermata__V1__Child *child,
                        const struct fm_id *id)
{
    char request_id[64];
    snprintf(request_id, sizeof(request_id), "%s/%s", job->text, child->job_id);
    Fermata__V1__SubmitJobRequest r = FERMATA__V1__SUBMIT_JOB_REQUEST__INIT;
    r.flow = child->start->flow;
    r.flow_version = child->start->flow_version;
    r.entry = child->start->entry;
    r.data = child->start->data;
    r.shared_data = child->start->shared_data;
    r.request_id = request_id;
    r.priority = job->head->priority;
    Fermata__V1__Placement where;
    if (placement_of_child(job->head->placement, &where))
        r.placement = &where;
    Fermata__V1__Job__LabelsEntry **own = job->head->labels;
    size_t n = job->head->n_labels;
    Fermata__V1__SubmitJobRequest__LabelsEntry *entries = fm_xcalloc(n + 1, sizeof(*entries));
    Fermata__V1__SubmitJobRequest__LabelsEntry **labels = fm_xcalloc(n + 1, sizeof(*labels));
    for (size_t i = 0; i < n; i++) {
        fermata__v1__submit_job_request__labels_entry__init(&entries[i]);
        entries[i].key = own[i]->key;
        entries[i].value = own[i]->value;
        labels[i] = &entries[i];
    }
    r.labels = labels;
    r.n_labels = n;
    const struct inner call = {
        .parent = job->id, .child = *id, .depth = job->head->depth + 1, .done = on_submitted};
    core_call(c, c->submit, &r.base, NULL, &call);
    free(entries);
    free(labels);
}

static void on_cancelled(struct core *c, struct inner *call, const struct fm_err *err)
{
    struct inner next = {.parent = call->parent, .child = call->child, .done = ignore};
    if (err != NULL && err->code == FM_NOT_FOUND) /* it was never there: the parent forgets it */
        tell(c, &child_ended_call, &call->parent, NULL, &next);
}

static void cancel_child(struct core *c, const struct fm_id *parent, const struct fm_id *id,
                         const char *child_id)
{
    Fermata__V1__CancelJobRequest r = FERMATA__V1__CANCEL_JOB_REQUEST__INIT;
    char reason[] = "the job that started it has ended";
    r.job_id = (char *)(uintptr_t)child_id;
    r.reason = reason;
    const struct inner call = {.parent = *parent, .child = *id, .done = on_cancelled};
    core_call(c, c->cancel, &r.base, NULL, &call);
}

static void tell_parent(struct core *c, struct job *job);

/* Goes on from *at in a record of some time ago, in which those that are left stand in the same order. */
static bool has_child(const Fermata__V1__Job *h, const char *child_id, size_t *at)
{
    while (*at < h->n_children && strcmp(h->children[*at]->job_id, child_id) != 0)
        ++*at;
    return *at < h->n_children;
}

/* While a unit is being gathered, only those children are started that are on disk without it; the rest is
 * done when it is on disk. */
static void start_stored(struct core *c, struct job *job)
{
    children_effect(job->next);
    if (job_status_final(job_status(job)) || !children_may_start(c, job))
        return;
    fm_auto_pb Fermata__V1__Job *disk = fermata__v1__job__unpack(NULL, job->disk_head.n, job->disk_head.p);
    size_t at = 0;
    for (size_t i = 0; disk != NULL && i < job->head->n_children; i++) {
        const Fermata__V1__Child *child = job->head->children[i];
        struct fm_id id;
        if (!has_child(disk, child->job_id, &at))
            break; /* nor are those behind it, which are newer */
        if (!child->started && child->start != NULL && fm_id_parse(child->job_id, &id) == 0 &&
            !inner_under_way(c, &job->id, &id))
            start_child(c, job, child, &id);
    }
}

void family_look(struct core *c, struct job *job)
{
    bool ended = job_status_final(job_status(job));
    job->recheck_ms = c->wall_ms + JOB_RECHECK_MS;
    ask_for_results(c, job);
    if (job->next != NULL) {
        start_stored(c, job);
        return;
    }
    if (ended && job->head->parent_waits)
        tell_parent(c, job);
    /* A call may change the list at once. */
    bool may_start = !ended && children_may_start(c, job);
    size_t n = job->head->n_children;
    struct fm_id *ids = fm_xcalloc(n + 1, sizeof(*ids));
    for (size_t i = 0; i < n; i++)
        if (fm_id_parse(job->head->children[i]->job_id, &ids[i]) < 0)
            ids[i] = (struct fm_id){{0}}; /* nobody's: it is not found below */
    for (size_t i = 0; i < n; i++) {
        char text[27];
        fm_id_text(&ids[i], text);
        /* some may have been taken out: those behind them stand before their old places */
        const Fermata__V1__Child *child = child_find_before(job, text, i + 1);
        if (child == NULL || inner_under_way(c, &job->id, &ids[i]))
            continue;
        if (ended)
            cancel_child(c, &job->id, &ids[i], text);
        else if (!child->started && child->start != NULL && may_start)
            start_child(c, job, child, &ids[i]);
    }
    free(ids);
}

/* The parent will ask for the result when there is room; if it forgets, which it does when the daemon ends,
 * the child tries again. */
static void wait_for_room(struct core *c, const struct fm_id *id)
{
    struct job *job = job_in_memory(c, id);
    if (job == NULL || job->loading)
        return;
    job->recheck_ms = c->wall_ms + ROOM_RECHECK_MS;
    job->head_dirty = true;
    (void)unit_of(c, job);
}

static void on_parent_told(struct core *c, struct inner *call, const struct fm_err *err)
{
    struct inner next = {.parent = call->parent, .child = call->child, .done = ignore};
    if (err == NULL || err->code == FM_NOT_FOUND)
        tell(c, &parent_told_call, &call->child, NULL, &next);
    else if (err->code == FM_RESOURCE_EXHAUSTED)
        wait_for_room(c, &call->child);
}

static struct result_wait *find_waiting(const struct job *job, const struct fm_id *child)
{
    struct result_wait *w;
    DL_FOREACH (job->results, w)
        if (memcmp(&w->child, child, sizeof(*child)) == 0)
            return w;
    return NULL;
}

static void tell_parent(struct core *c, struct job *job)
{
    struct fm_id parent;
    if (fm_id_parse(job->head->parent, &parent) < 0 || inner_under_way(c, &parent, &job->id))
        return;
    const struct job *p = job_in_memory(c, &parent);
    if (p != NULL && !p->loading && find_waiting(p, &job->id) != NULL) {
        job->recheck_ms = c->wall_ms + ROOM_RECHECK_MS;
        return;
    }
    const struct inner call = {.parent = parent, .child = job->id, .done = on_parent_told};
    tell(c, &child_ended_call, &parent, result_of(job), &call);
}

/* ---- room ---- */

/* The child was asked for its result, and is in memory. */
static void on_asked(struct core *c, struct inner *call, const struct fm_err *err)
{
    struct job *job = err == NULL ? job_in_memory(c, &call->child) : NULL;
    if (err != NULL && err->code == FM_NOT_FOUND) { /* deleted, and the result with it */
        struct inner next = {.parent = call->parent, .child = call->child, .done = ignore};
        char text[27];
        fm_id_text(&call->child, text);
        tell(c, &child_ended_call, &call->parent, failure_result(text, "FAILED", err), &next);
    }
    if (job != NULL && !job->loading && job_status_final(job_status(job)) && job->head->parent_waits)
        tell_parent(c, job);
}

static void result_forget(struct job *job, struct result_wait *w)
{
    DL_DELETE(job->results, w);
    job->result_bytes -= w->bytes;
    free(w);
}

/* There is no room for the result of a child. */
static void result_waits(struct job *job, const struct fm_id *child, size_t bytes)
{
    struct result_wait *w = fm_xcalloc(1, sizeof(*w));
    w->child = *child;
    w->bytes = bytes;
    DL_APPEND(job->results, w);
    job->result_bytes += bytes;
}

/* Asks for those results for which there is room now, in the order in which they came. */
static void ask_for_results(struct core *c, struct job *job)
{
    size_t asked = 0;
    bool all = job_status_final(job_status(job)) && job_status(job) != JOB_FAILED; /* it takes none of them */
    while (job->results != NULL && (all || admit_result(c, job, job->results->bytes, asked))) {
        struct result_wait *w = job->results;
        const struct fm_id child = w->child;
        const struct inner call = {.parent = job->id, .child = child, .done = on_asked};
        asked += w->bytes;
        result_forget(job, w);
        if (!inner_under_way(c, &job->id, &child))
            tell(c, &result_wanted_call, &child, NULL, &call);
    }
}

/* ---- the calls ---- */

/* What a call of the family says to a job. */
struct told {
    struct fm_id job;                 /* who is told */
    Google__Protobuf__Struct *result; /* of the child; NULL: it was never started */
};

static void told_free(struct core *c, void *own)
{
    struct told *t = own;
    (void)c;
    if (t->result != NULL)
        google__protobuf__struct__free_unpacked(t->result, NULL);
    free(t);
}

/* The job that is told; as job_for_op. */
static int told_job(struct core *c, struct op *op, struct job **ret, struct fm_err *err)
{
    char text[27];
    fm_id_text(&((const struct told *)op->own)->job, text);
    return job_for_op(c, op, text, ret, err);
}

/* The call is done when what it changed is on disk. */
static int done_when_on_disk(struct core *c, const struct op *op, struct job *job)
{
    unit_reply_bytes(unit_of(c, job), op->ticket, FM_NO_BYTES);
    return 0;
}

static int child_started(struct core *c, struct op *op, struct fm_err *err)
{
    struct job *job;
    int rc = told_job(c, op, &job, err);
    if (rc != 0)
        return rc;
    char text[27];
    size_t at;
    fm_id_text(&op->inner->child, text);
    Fermata__V1__Child *child = child_find(job, text, &at);
    if (child == NULL) {
        cancel_child(c, &job->id, &op->inner->child, text);
    } else if (job_status_final(job_status(job))) {
        children_effect(unit_of(c, job)); /* it is cancelled when the end is on disk */
    } else if (!child->started) {
        child->started = true;
        if (child->start != NULL)
            fermata__v1__child_start__free_unpacked(child->start, NULL);
        child->start = NULL;
        job->head_dirty = true;
    }
    return done_when_on_disk(c, op, job);
}

static void add_result(struct core *c, struct job *job, const Fermata__V1__Child *child,
                       Google__Protobuf__Struct *result)
{
    Fermata__V1__Task task = FERMATA__V1__TASK__INIT;
    task.routine = child->routine;
    task.slot = child->slot;
    task.call_id = child->call_id;
    task.child_job_id = child->job_id;
    task.data = result;
    (void)job_add_input(c, job, &task);
}

static void add_failure(struct core *c, struct job *job, const Fermata__V1__Child *child,
                        const struct fm_err *err)
{
    Google__Protobuf__Struct *failure = failure_result(child->job_id, "FAILED", err);
    add_result(c, job, child, failure);
    google__protobuf__struct__free_unpacked(failure, NULL);
}

/* `result` NULL: the child was never started, for its parent had ended. */
static void take_result(struct core *c, struct job *job, const Fermata__V1__Child *child,
                        Google__Protobuf__Struct *result)
{
    fm_auto(fm_err) err = {0};
    if (result != NULL) {
        add_result(c, job, child, result);
        return;
    }
    (void)fm_err_set(&err, FM_CANCELLED, NULL, "the job that was to start it had ended");
    add_failure(c, job, child, &err);
}

/* Results are unsolicited: one for which the parent has no room waits, with its child. */
static int check_room(const struct core *c, struct job *job, const struct fm_id *child,
                      const Google__Protobuf__Struct *result, struct fm_err *err)
{
    size_t bytes = result == NULL ? 0 : google__protobuf__struct__get_packed_size(result);
    struct result_wait *w = find_waiting(job, child);
    if (w != NULL)
        result_forget(job, w);
    if (bytes <= c->cfg.max_door_bytes / SMALL_RESULT || admit_result(c, job, bytes, 0))
        return 0;
    result_waits(job, child, bytes);
    return fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL, "the result waits until its parent has room for it");
}

static int child_ended(struct core *c, struct op *op, struct fm_err *err)
{
    struct job *job;
    int rc = told_job(c, op, &job, err);
    if (rc != 0)
        return rc;
    char text[27];
    size_t at;
    fm_id_text(&op->inner->child, text);
    Fermata__V1__Child *child = child_find(job, text, &at);
    if (child != NULL) {
        bool ended = job_status_final(job_status(job));
        Google__Protobuf__Struct *result = ((const struct told *)op->own)->result;
        if (!ended || job_status(job) == JOB_FAILED) { /* it may go on one day, and then waits for this */
            rc = check_room(c, job, &op->inner->child, result, err);
            if (rc < 0)
                return rc;
            take_result(c, job, child, result);
        }
        child_remove(job, at);
        if (!ended && (job->head->n_pauses == 0 || job->def->parallelism > 1))
            job_go_on(c, job);
        FM_LOG(INFO, STATE, "a child job has ended", FM_STR("job", job->text), FM_STR("child", text));
    }
    return done_when_on_disk(c, op, job);
}

static int parent_told(struct core *c, struct op *op, struct fm_err *err)
{
    struct job *job;
    int rc = told_job(c, op, &job, err);
    if (rc != 0)
        return rc;
    if (job->head->parent_waits) {
        job->head->parent_waits = false;
        job->head_dirty = true;
    }
    return done_when_on_disk(c, op, job);
}

/* The child is in memory: more is not wanted here. */
static int result_wanted(struct core *c, struct op *op, struct fm_err *err)
{
    struct job *job;
    int rc = told_job(c, op, &job, err);
    if (rc != 0)
        return rc;
    core_reply(c, op->ticket, FM_NO_BYTES);
    return 0;
}

static const struct method child_started_call = {
    .name = "a child has started", .run = child_started, .own_free = told_free};
static const struct method child_ended_call = {
    .name = "a child has ended", .run = child_ended, .own_free = told_free};
static const struct method parent_told_call = {
    .name = "the parent knows", .run = parent_told, .own_free = told_free};

static const struct method result_wanted_call = {
    .name = "a result is wanted", .run = result_wanted, .own_free = told_free};

/* `result` is taken over. */
static void tell(struct core *c, const struct method *what, const struct fm_id *job,
                 Google__Protobuf__Struct *result, const struct inner *call)
{
    struct told *t = fm_xcalloc(1, sizeof(*t));
    t->job = *job;
    t->result = result;
    core_call(c, what, NULL, t, call);
}
