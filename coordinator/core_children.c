/* Jobs that start jobs. A step names the children it starts; they become entries of the parent's record with
 * the step. When that is on disk, each child is submitted by an inner call, under an id chosen before and a
 * request id that names parent and number, so that it exists once however often this is tried. When a child
 * ends, its parent gets the result as an input and forgets the child, in one unit; then the child forgets
 * that its parent waits. When a parent ends, its children are cancelled; one that FAILED
 * and goes on later finds their results. Whatever is interrupted is taken up
 * again by the wake time of the record that still shows it. */
#include "core_int.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "log.h"
#include "mem.h"
#include "wire.h"

#define RECHECK_MS 5000
#define MAX_CHILDREN 1000
#define MAX_DEPTH 8
#define FIELD_PAUSES 9
#define FIELD_CHILDREN 24

/* ---- the parent's record ---- */

static Fermata__V1__Child *find_child(const struct job *job, const char *child_id, size_t *ret_at)
{
    for (size_t i = 0; i < job->head->n_children; i++)
        if (strcmp(job->head->children[i]->job_id, child_id) == 0) {
            *ret_at = i;
            return job->head->children[i];
        }
    return NULL;
}

static void remove_child(struct job *job, size_t at)
{
    Fermata__V1__Job *h = job->head;
    fermata__v1__child__free_unpacked(h->children[at], NULL);
    memmove(&h->children[at], &h->children[at + 1], (h->n_children - at - 1) * sizeof(*h->children));
    h->n_children--;
    job->head_dirty = true;
    if (h->n_children == 0) {
        free(h->children);
        h->children = NULL;
    }
}

int children_check(const Fermata__V1__Step *step, struct fm_err *err)
{
    if (step->n_children > MAX_CHILDREN)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "step.children", "%zu children; the limit is %d",
                          step->n_children, MAX_CHILDREN);
    for (size_t i = 0; i < step->n_children; i++)
        if (step->children[i]->entry == NULL || step->children[i]->result_slot[0] == '\0')
            return fm_err_set(err, FM_INVALID_ARGUMENT, "step.children",
                              "child %zu has no entry or no slot for its result", i);
    return 0;
}

void children_add(struct core *c, struct job *job, const Fermata__V1__Step *step,
                  const struct task_item *task)
{
    Fermata__V1__Job *h = job->head;
    Fermata__V1__Task *t = fermata__v1__task__unpack(NULL, task->body.n, task->body.p);
    h->children = fm_xrealloc(h->children, (h->n_children + step->n_children) * sizeof(*h->children));
    for (size_t i = 0; i < step->n_children; i++) {
        struct fm_id id;
        char text[27];
        fm_id_next(&c->ids, c->wall_ms, &id);
        fm_id_text(&id, text);
        Fermata__V1__Child child = FERMATA__V1__CHILD__INIT;
        child.job_id = text;
        child.routine = step->routine;
        child.slot = step->children[i]->result_slot;
        child.start = step->children[i];
        if (t != NULL)
            child.call_id = t->call_id;
        h->children[h->n_children++] = pb_clone(&child);
    }
    if (t != NULL)
        fermata__v1__task__free_unpacked(t, NULL);
    job->head_dirty = true;
    job->recheck_ms = c->wall_ms + RECHECK_MS;
    commit_effect(job_unit(c, job), EFFECT_FAMILY, (struct fm_bytes){0});
}

void children_set_parent(struct core *c, struct job *job, const struct op *op)
{
    struct inner *call;
    HASH_FIND(hh, c->inner, &op->ticket, sizeof(op->ticket), call);
    if (call == NULL)
        return;
    char text[27];
    fm_id_text(&call->parent, text);
    pb_set_string(&job->head->parent, text);
}

/* ---- looking after the family ---- */

static bool call_under_way(const struct core *c, const struct fm_id *parent, const struct fm_id *child)
{
    for (const struct inner *call = c->inner; call != NULL; call = call->hh.next)
        if (fm_id_eq(&call->parent, parent) && fm_id_eq(&call->child, child))
            return true;
    return false;
}

static void ignore(struct core *c, struct inner *call, const struct fm_err *err)
{
    (void)c;
    (void)call;
    (void)err; /* the wake time of the record that shows it makes it be tried again */
}

static void tell_about(struct core *c, int method, const struct fm_id *of, const struct inner *call)
{
    char text[27];
    fm_id_text(of, text);
    Fermata__V1__GetJobRequest r = FERMATA__V1__GET_JOB_REQUEST__INIT;
    r.job_id = text;
    core_call(c, method, &r.base, call);
}

static void send_result(struct core *c, const struct fm_id *parent, const struct fm_id *child,
                        const Google__Protobuf__Struct *result,
                        void (*done)(struct core *, struct inner *, const struct fm_err *));

static Google__Protobuf__Struct *failure_result(const char *child_id, const struct fm_err *err);

static void on_submitted(struct core *c, struct inner *call, const struct fm_err *err)
{
    struct inner next = {.parent = call->parent, .child = call->child, .done = ignore};
    if (err == NULL) {
        tell_about(c, INNER_CHILD_STARTED, &call->parent, &next);
    } else if (err->code != FM_UNAVAILABLE && err->code != FM_ABORTED && err->code != FM_RESOURCE_EXHAUSTED) {
        char text[27];
        fm_id_text(&call->child, text);
        FM_LOG(WARN, STATE, "a child job could not be started", FM_STR("child", text), FM_ERR(err));
        Google__Protobuf__Struct *result = failure_result(text, err);
        send_result(c, &call->parent, &call->child, result, ignore);
        google__protobuf__struct__free_unpacked(result, NULL);
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
    const struct inner call = {.parent = job->id, .child = *id, .done = on_submitted};
    core_call(c, CORE_SUBMIT_JOB, &r.base, &call);
    free(entries);
    free(labels);
}

static void on_cancelled(struct core *c, struct inner *call, const struct fm_err *err)
{
    struct inner next = {.parent = call->parent, .child = call->child, .done = ignore};
    if (err != NULL && err->code == FM_NOT_FOUND) /* it was never there: the parent forgets it */
        tell_about(c, INNER_CHILD_ENDED, &call->parent, &next);
}

static void cancel_child(struct core *c, const struct fm_id *parent, const struct fm_id *id,
                         const char *child_id)
{
    Fermata__V1__CancelJobRequest r = FERMATA__V1__CANCEL_JOB_REQUEST__INIT;
    char reason[] = "the job that started it has ended";
    r.job_id = (char *)(uintptr_t)child_id;
    r.reason = reason;
    const struct inner call = {.parent = *parent, .child = *id, .done = on_cancelled};
    core_call(c, CORE_CANCEL_JOB, &r.base, &call);
}

static void tell_parent(struct core *c, struct job *job);

bool children_due(const struct job *job)
{
    const Fermata__V1__Job *h = job->head;
    if (job_status_final((int)h->status))
        return h->parent_waits || h->n_children > 0;
    for (size_t i = 0; i < h->n_children; i++)
        if (!h->children[i]->started)
            return true;
    return false;
}

void children_look(struct core *c, struct job *job)
{
    bool ended = job_status_final((int)job->head->status);
    job->recheck_ms = c->wall_ms + RECHECK_MS;
    if (ended && job->head->parent_waits)
        tell_parent(c, job);
    /* A call may change the list at once. */
    size_t n = job->head->n_children;
    struct fm_id *ids = fm_xcalloc(n + 1, sizeof(*ids));
    for (size_t i = 0; i < n; i++)
        if (fm_id_parse(job->head->children[i]->job_id, &ids[i]) < 0)
            ids[i] = (struct fm_id){{0}}; /* nobody's: it is not found below */
    for (size_t i = 0; i < n; i++) {
        char text[27];
        size_t at;
        fm_id_text(&ids[i], text);
        const Fermata__V1__Child *child = find_child(job, text, &at);
        if (child == NULL || call_under_way(c, &job->id, &ids[i]))
            continue;
        if (ended)
            cancel_child(c, &job->id, &ids[i], text);
        else if (!child->started && child->start != NULL)
            start_child(c, job, child, &ids[i]);
    }
    free(ids);
}

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

static Google__Protobuf__Struct *failure_result(const char *child_id, const struct fm_err *err)
{
    Google__Protobuf__Struct *s = new_struct();
    put(s, "status", text_value("FAILED"));
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
    struct fm_buf b = {0};
    job_state_encode(job->state, NULL, &b);
    Fermata__V1__JobState *state = fermata__v1__job_state__unpack(NULL, b.n, b.p);
    put(s, "status", text_value(job_status_name((int)job->head->status)));
    put(s, "job_id", text_value(job->text));
    if (job->head->error != NULL)
        put_error(s, job->head->error->code, job->head->error->message);
    if (state != NULL)
        put_outputs(s, state);
    if (protobuf_c_message_get_packed_size(&s->base) > MAX_INPUT_BYTES) {
        google__protobuf__struct__free_unpacked(s, NULL);
        struct fm_err err = {0};
        fm_err_set(&err, FM_RESOURCE_EXHAUSTED, "outputs",
                   "the result of the child has %zu bytes; the limit is %u: read it with GetJob", b.n,
                   MAX_INPUT_BYTES);
        s = failure_result(job->text, &err);
        fm_err_done(&err);
    }
    if (state != NULL)
        fermata__v1__job_state__free_unpacked(state, NULL);
    fm_buf_done(&b);
    return s;
}

static void send_result(struct core *c, const struct fm_id *parent, const struct fm_id *child,
                        const Google__Protobuf__Struct *result,
                        void (*done)(struct core *, struct inner *, const struct fm_err *))
{
    char text[27];
    fm_id_text(parent, text);
    Fermata__V1__SendInputRequest r = FERMATA__V1__SEND_INPUT_REQUEST__INIT;
    r.job_id = text;
    r.data = (Google__Protobuf__Struct *)(uintptr_t)result;
    const struct inner call = {.parent = *parent, .child = *child, .done = done};
    core_call(c, INNER_CHILD_ENDED, &r.base, &call);
}

static void on_parent_told(struct core *c, struct inner *call, const struct fm_err *err)
{
    struct inner next = {.parent = call->parent, .child = call->child, .done = ignore};
    if (err == NULL || err->code == FM_NOT_FOUND)
        tell_about(c, INNER_PARENT_TOLD, &call->child, &next);
}

static void tell_parent(struct core *c, struct job *job)
{
    struct fm_id parent;
    if (fm_id_parse(job->head->parent, &parent) < 0 || call_under_way(c, &parent, &job->id))
        return;
    Google__Protobuf__Struct *result = result_of(job);
    send_result(c, &parent, &job->id, result, on_parent_told);
    google__protobuf__struct__free_unpacked(result, NULL);
}

/* ---- the inner methods ---- */

static void reply_when_on_disk(struct core *c, struct op *op, struct job *job)
{
    Fermata__V1__DeleteJobResponse nothing = FERMATA__V1__DELETE_JOB_RESPONSE__INIT;
    pbc_effect_reply(job_unit(c, job), op->ticket, &nothing.base);
    op_free(op);
    job_rest(c, job);
}

static void child_started(struct core *c, struct op *op)
{
    struct job *job = job_for_op(c, op, OP_REQUEST(op, Fermata__V1__GetJobRequest)->job_id);
    if (job == NULL)
        return;
    char text[27];
    size_t at;
    fm_id_text(&op->child, text);
    Fermata__V1__Child *child = find_child(job, text, &at);
    if (child == NULL || job_status_final((int)job->head->status)) {
        struct fm_id parent = job->id, id = op->child;
        reply_when_on_disk(c, op, job);
        cancel_child(c, &parent, &id, text);
        return;
    }
    if (!child->started) {
        child->started = true;
        if (child->start != NULL)
            fermata__v1__child_start__free_unpacked(child->start, NULL);
        child->start = NULL;
        job->head_dirty = true;
    }
    reply_when_on_disk(c, op, job);
}

/* `result` NULL: the child was never started, for its parent had ended. */
static void take_result(struct core *c, struct job *job, const Fermata__V1__Child *child,
                        Google__Protobuf__Struct *result)
{
    Fermata__V1__Task task = FERMATA__V1__TASK__INIT;
    if (result == NULL) {
        struct fm_err err = {0};
        fm_err_set(&err, FM_CANCELLED, NULL, "the job that was to start it had ended");
        Google__Protobuf__Struct *none = failure_result(child->job_id, &err);
        fm_err_done(&err);
        take_result(c, job, child, none);
        google__protobuf__struct__free_unpacked(none, NULL);
        return;
    }
    task.routine = child->routine;
    task.slot = child->slot;
    task.call_id = child->call_id;
    task.child_job_id = child->job_id;
    task.data = result;
    (void)job_add_input(c, job, &task);
}

/* Results come uncalled-for: one for which the parent has no room is a failure to hand it over. */
static void take_result_if_it_fits(struct core *c, struct job *job, const Fermata__V1__Child *child,
                                   Google__Protobuf__Struct *result)
{
    struct fm_err err = {0};
    if (result == NULL || admit_input(c, job, "outputs", &result->base, &err) == 0) {
        take_result(c, job, child, result);
        return;
    }
    Google__Protobuf__Struct *failure = failure_result(child->job_id, &err);
    take_result(c, job, child, failure);
    google__protobuf__struct__free_unpacked(failure, NULL);
    fm_err_done(&err);
}

static void child_ended(struct core *c, struct op *op)
{
    bool forget = op->request->descriptor == &fermata__v1__get_job_request__descriptor;
    const char *parent_id = forget ? OP_REQUEST(op, Fermata__V1__GetJobRequest)->job_id
                                   : OP_REQUEST(op, Fermata__V1__SendInputRequest)->job_id;
    struct job *job = job_for_op(c, op, parent_id);
    if (job == NULL)
        return;
    char text[27];
    size_t at;
    fm_id_text(&op->child, text);
    Fermata__V1__Child *child = find_child(job, text, &at);
    if (child != NULL) {
        bool ended = job_status_final((int)job->head->status);
        if (!ended ||
            (int)job->head->status == JOB_FAILED) /* it may go on one day, and then waits for this */
            take_result_if_it_fits(c, job, child,
                                   forget ? NULL : OP_REQUEST(op, Fermata__V1__SendInputRequest)->data);
        remove_child(job, at);
        if (!ended && (job->head->n_pauses == 0 || job->def->parallelism > 1))
            job_go_on(c, job);
        FM_LOG(INFO, STATE, "a child job has ended", FM_STR("job", job->text), FM_STR("child", text));
    }
    reply_when_on_disk(c, op, job);
}

static void parent_told(struct core *c, struct op *op)
{
    struct job *job = job_for_op(c, op, OP_REQUEST(op, Fermata__V1__GetJobRequest)->job_id);
    if (job == NULL)
        return;
    if (job->head->parent_waits) {
        job->head->parent_waits = false;
        job->head_dirty = true;
    }
    reply_when_on_disk(c, op, job);
}

void children_request(struct core *c, struct op *op)
{
    switch ((int)op->method) {
    case INNER_CHILD_STARTED:
        child_started(c, op);
        return;
    case INNER_CHILD_ENDED:
        child_ended(c, op);
        return;
    default:
        parent_told(c, op);
        return;
    }
}

/* ---- questions of children, shown with the parent's ---- */

/* A job whose record is still to be read. */
struct child_ref {
    struct child_ref *prev, *next;
    struct fm_id id;
    uint32_t depth;
    char prefix[27 * MAX_DEPTH + 1]; /* "<child>/<grandchild>/" */
};

void child_refs_free(struct child_ref *list)
{
    struct child_ref *r, *tmp;
    DL_FOREACH_SAFE (list, r, tmp)
        free(r);
}

static void add_refs(struct op *op, const Fermata__V1__Job *head, const struct child_ref *of)
{
    uint32_t depth = of == NULL ? 1 : of->depth + 1;
    for (size_t i = 0; i < head->n_children && depth <= MAX_DEPTH; i++) {
        struct child_ref *r = fm_xcalloc(1, sizeof(*r));
        if (fm_id_parse(head->children[i]->job_id, &r->id) < 0) {
            free(r);
            continue;
        }
        r->depth = depth;
        snprintf(r->prefix, sizeof(r->prefix), "%.*s%.26s/", 27 * (MAX_DEPTH - 1),
                 of == NULL ? "" : of->prefix, head->children[i]->job_id);
        DL_APPEND(op->todo, r);
    }
}

static void put_questions(struct op *op, const Fermata__V1__Job *head, const struct child_ref *of)
{
    for (size_t i = 0; i < head->n_pauses; i++) {
        char id[sizeof(of->prefix) + 128];
        snprintf(id, sizeof(id), "%s%.63s", of->prefix, head->pauses[i]->pause_id);
        Fermata__V1__Pause p = *head->pauses[i];
        p.pause_id = id;
        struct fm_buf b = {0};
        pb_pack(&p, &b);
        fm_buf_put_len_delim(&op->text, FIELD_PAUSES, b.p, b.n);
        fm_buf_done(&b);
    }
}

static void on_child_read(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    struct child_ref *of = op->todo;
    if (d->status == STORE_FAILED) {
        op_fail(c, op, &d->err);
        return;
    }
    DL_DELETE(op->todo, of);
    Fermata__V1__Job *head =
        d->status == STORE_OK ? fermata__v1__job__unpack(NULL, d->head.n, d->head.p) : NULL;
    if (head != NULL) { /* one that is not there yet asks nothing */
        (void)inbox_forget_expired(c, head);
        put_questions(op, head, of);
        add_refs(op, head, of);
        fermata__v1__job__free_unpacked(head, NULL);
    }
    free(of);
    if (op->todo != NULL) {
        struct store_query q = {.kind = STORE_READ_JOB, .job = op->todo->id};
        core_read(c, &q, on_child_read, op);
        return;
    }
    op->children_read = true;
    op_run(c, op);
}

bool children_questions(struct core *c, struct op *op, struct fm_bytes head)
{
    struct wire_reader r = wire_reader(head);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    bool any = false;
    while (!any && wire_next(&r, &field, &type, &val, &len) > 0)
        any = field == FIELD_CHILDREN;
    if (!any || op->children_read)
        return true;
    Fermata__V1__Job *h = fermata__v1__job__unpack(NULL, head.n, head.p);
    if (h == NULL)
        return true;
    add_refs(op, h, NULL);
    fermata__v1__job__free_unpacked(h, NULL);
    if (op->todo == NULL)
        return true;
    struct store_query q = {.kind = STORE_READ_JOB, .job = op->todo->id};
    core_read(c, &q, on_child_read, op);
    return false;
}

/* The field of a request that has it. */
static char **text_field(const ProtobufCMessage *request, const char *name)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(request->descriptor, name);
    return (char **)(void *)((uintptr_t)request + f->offset);
}

bool children_forward(struct core *c, struct op *op)
{
    const char *job_id = *text_field(op->request, "job_id"), *pause_id = *text_field(op->request, "pause_id");
    struct fm_err err = {0};
    struct fm_id id;
    char child_id[27] = "";
    const char *slash = strchr(pause_id, '/');
    if (slash - pause_id == 26)
        memcpy(child_id, pause_id, 26);
    if (fm_id_parse(child_id, &id) < 0) {
        fm_err_set(&err, FM_INVALID_ARGUMENT, "pause_id",
                   "\"%.128s\" does not begin with the id of a child job of 26 characters", pause_id);
        op_fail(c, op, &err);
        return false;
    }
    struct job *child = job_for_op(c, op, child_id);
    if (child == NULL)
        return false;
    if (strcmp(child->head->parent, job_id) != 0) {
        fm_err_set(&err, FM_FAILED_PRECONDITION, "pause_id", "job %s is no child of job %.64s", child_id,
                   job_id);
        op_fail(c, op, &err);
        job_rest(c, child);
        return false;
    }
    fm_autofree char *rest = fm_xstrdup(slash + 1);
    op_park(op); /* now the request is its own */
    pb_set_string(text_field(op->request, "job_id"), child_id);
    pb_set_string(text_field(op->request, "pause_id"), rest);
    job_rest(c, child);
    return true;
}
