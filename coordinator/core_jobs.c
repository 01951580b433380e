/* The Jobs service: submit, answer, input, pause, cancel, delete. Reading is in core_read.c, watching in
 * core_watch.c, what becomes of a job then in core_move.c. Each handler checks everything first, then changes
 * the job in memory and gathers records and effects in the job's unit; the client hears of it when the unit
 * is on disk. A handler that lacks something parks the op and is run again from the beginning. */
#include "core_int.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "answer_check.h"
#include "flow.h"
#include "log.h"
#include "mem.h"

#define MAX_PRIORITY 1000

/* ---- SubmitJob ---- */

static int check_submit(const Fermata__V1__SubmitJobRequest *r, struct fm_err *err)
{
    if (r->flow[0] == '\0' && r->inline_flow == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "flow",
                          "name a stored flow in flow, or give one in inline_flow");
    if (r->flow[0] != '\0' && r->inline_flow != NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "inline_flow",
                          "flow and inline_flow are given both; only one may be");
    if (r->flow[0] != '\0' && check_name("flow", r->flow, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (r->entry == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "entry",
                          "entry is missing: the routine and the slot where the data enters");
    if (check_name("entry.routine", r->entry->routine, err) < 0 ||
        check_name("entry.slot", r->entry->slot, err) < 0 || check_size("data", r->data, err) < 0 ||
        check_size("shared_data", r->shared_data, err) < 0 || check_request_id(r->request_id, err) < 0 ||
        check_placement(r->placement, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (r->priority < -MAX_PRIORITY || r->priority > MAX_PRIORITY)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "priority", "priority is %d; -%d to %d are allowed",
                          r->priority, MAX_PRIORITY, MAX_PRIORITY);
    if (r->n_labels > MAX_LABELS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "labels", "%zu labels; the limit is %d", r->n_labels,
                          MAX_LABELS);
    for (size_t i = 0; i < r->n_labels; i++)
        if (check_label("labels", r->labels[i]->key, r->labels[i]->value, err) < 0)
            return -FM_INVALID_ARGUMENT;
    return 0;
}

uint32_t job_add_input(struct core *c, struct job *job, Fermata__V1__Task *task)
{
    char id[32];
    task->input_number = ++job->head->input_count;
    snprintf(id, sizeof(id), "i%u", task->input_number);
    task->task_id = id;
    Google__Protobuf__Timestamp at = core_now(c);
    task->received_at = &at;
    struct task_item *t = task_item_new(task);
    DL_APPEND(job->inputs, t);
    job->head_dirty = true;
    struct commit *m = job_unit(c, job);
    store_put_input(m->unit, &job->id, t->input_number, t->body);
    commit_effect(m, EFFECT_INPUTS, (struct fm_bytes){0})->number = t->input_number;
    return t->input_number;
}

Fermata__V1__Job *job_new_head(struct core *c, const struct job *job, const Fermata__V1__SubmitJobRequest *r,
                               const char *flow_name, uint32_t version, struct flow_def *def)
{
    Fermata__V1__Job h = FERMATA__V1__JOB__INIT;
    Google__Protobuf__Timestamp at = core_now(c);
    h.job_id = (char *)(uintptr_t)job->text;
    h.status = FERMATA__V1__JOB_STATUS__JOB_STATUS_PENDING;
    h.flow = (char *)(uintptr_t)flow_name;
    h.flow_version = version;
    h.created_at = &at;
    h.updated_at = &at;
    h.placement = r->placement;
    h.priority = r->priority;
    Google__Protobuf__Timestamp deadline = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    int64_t deadline_ms = c->wall_ms + (int64_t)def->deadline_ms;
    deadline.seconds = deadline_ms / 1000;
    deadline.nanos = (int32_t)(deadline_ms % 1000) * 1000000;
    if (def->deadline_ms > 0)
        h.deadline_at = &deadline;
    h.flow_digest = (ProtobufCBinaryData){STORE_DIGEST_BYTES, def->digest};
    Fermata__V1__Job__LabelsEntry *entries = fm_xcalloc(r->n_labels + 1, sizeof(*entries));
    Fermata__V1__Job__LabelsEntry **pointers = fm_xcalloc(r->n_labels + 1, sizeof(*pointers));
    for (size_t i = 0; i < r->n_labels; i++) {
        fermata__v1__job__labels_entry__init(&entries[i]);
        entries[i].key = r->labels[i]->key;
        entries[i].value = r->labels[i]->value;
        pointers[i] = &entries[i];
    }
    h.n_labels = r->n_labels;
    h.labels = pointers;
    Fermata__V1__Job *copy = pb_clone(&h);
    free(entries);
    free(pointers);
    return copy;
}

static void submit_records(struct core *c, struct job *job, const Fermata__V1__SubmitJobRequest *r,
                           struct op *op, struct commit *m)
{
    Fermata__V1__SubmitJobResponse response = FERMATA__V1__SUBMIT_JOB_RESPONSE__INIT;
    response.job_id = job->text;
    struct fm_buf reply = {0};
    pb_pack(&response, &reply);
    if (r->request_id[0] != '\0') {
        core_request_digest(&r->base, m->request_digest);
        m->request_ticket = op->ticket;
        store_put_request(m->unit, (op->ticket & INNER_TICKET) != 0 ? "child" : "submit", r->request_id,
                          m->request_digest, &job->id, (struct fm_bytes){reply.p, reply.n});
    }
    commit_effect(m, EFFECT_REPLY, (struct fm_bytes){reply.p, reply.n})->ticket = op->ticket;
    fm_buf_done(&reply);
    if (!job->def->on_disk) {
        store_put_flow_def(m->unit, job->def->digest, (struct fm_bytes){job->def->body.p, job->def->body.n});
        job->def->refs++;
        commit_effect(m, EFFECT_FLOW, (struct fm_bytes){0})->def = job->def;
    }
    if (r->shared_data != NULL && r->shared_data->n_fields > 0) {
        job_state_set_shared(job->state, r->shared_data);
        struct fm_buf b = {0};
        job_state_encode(job->state, NULL, &b);
        store_put_snapshot(m->unit, &job->id, 0, 0, (struct fm_bytes){b.p, b.n});
        fm_buf_done(&b);
    }
    Fermata__V1__Task task = FERMATA__V1__TASK__INIT;
    Google__Protobuf__Struct empty = GOOGLE__PROTOBUF__STRUCT__INIT;
    task.routine = r->entry->routine;
    task.slot = r->entry->slot;
    task.data = r->data != NULL ? r->data : &empty;
    if (r->shared_data != NULL && r->shared_data->n_fields > 0)
        task.initial_shared_data = r->shared_data; /* the snapshot goes; a fork wants to know */
    job_add_input(c, job, &task);
}

static void submit_job(struct core *c, struct op *op)
{
    const Fermata__V1__SubmitJobRequest *r = OP_REQUEST(op, Fermata__V1__SubmitJobRequest);
    struct fm_err err = {0};
    if (check_submit(r, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    const char *name;
    uint32_t version;
    struct flow_def *def = flow_for_submit(c, op, r, &name, &version);
    if (def == NULL)
        return;
    struct fm_id id = op->child; /* a child's id was chosen with its parent's step */
    if (fm_id_is_zero(&id))
        fm_id_next(&c->ids, c->wall_ms, &id);
    else if (job_in_memory(c, &id) != NULL) { /* it is there already */
        fm_err_set(&err, FM_ABORTED, NULL, "the child is being looked for");
        def_unref(c, def);
        op_fail(c, op, &err);
        return;
    }
    struct job *job = job_new(&id);
    job->loading = false;
    job->is_new = true;
    job->head = job_new_head(c, job, r, name, version, def);
    children_set_parent(c, job, op);
    job->head_dirty = true;
    job->state = job_state_new();
    job->def = def;
    HASH_ADD(hh, c->jobs, id, sizeof(job->id), job);
    submit_records(c, job, r, op, job_unit(c, job));
    sched_place(c, job);
    job_count_bytes(c, job);
    FM_LOG(INFO, STATE, "job submitted", FM_STR("job", job->text), FM_STR("flow", name),
           FM_STR("host", job->head->host));
    op_free(op);
}

/* ---- request ids of existing jobs ---- */

static void on_request_read(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    struct fm_err err = {0};
    if (d->status == STORE_NOT_FOUND) {
        op->request_checked = true;
        op_run(c, op);
        return;
    }
    if (d->status != STORE_OK) {
        op_fail(c, op, &d->err);
        return;
    }
    uint8_t digest[STORE_DIGEST_BYTES];
    core_request_digest(op->request, digest);
    if (memcmp(digest, d->digest, STORE_DIGEST_BYTES) == 0) {
        core_reply(c, op->ticket, d->reply);
        op_free(op);
        return;
    }
    fm_err_set(&err, FM_ALREADY_EXISTS, "request_id",
               "this request_id was used before with other content; take a new one");
    op_fail(c, op, &err);
}

/* True when the request id is new, or there is none; else the op is parked or answered. `scope` also tells
 * methods apart. */
static bool request_is_new(struct core *c, struct op *op, const char *scope, const char *request_id,
                           struct job *job)
{
    if (request_id[0] == '\0')
        return true;
    if (job->next != NULL || job->inflight != NULL) {
        op_park(op); /* one claim in a unit, and no look-up that a unit under way could outdate */
        op->request_checked = false;
        DL_APPEND(job->ops, op);
        return false;
    }
    if (op->request_checked && op->request_revision == job->head->revision)
        return true;
    op->request_checked = false; /* or the answer was overtaken by a unit that may have claimed it */
    op->request_revision = job->head->revision;
    struct store_query q = {.kind = STORE_READ_REQUEST, .scope = scope, .request_id = request_id};
    core_read(c, &q, on_request_read, op);
    return false;
}

void job_claim_request(struct job *job, struct op *op, const char *scope, const char *request_id,
                       const ProtobufCMessage *response, struct commit *m)
{
    if (request_id[0] == '\0')
        return;
    struct fm_buf reply = {0};
    pb_pack(response, &reply);
    core_request_digest(op->request, m->request_digest);
    m->request_ticket = op->ticket;
    store_put_request(m->unit, scope, request_id, m->request_digest, &job->id,
                      (struct fm_bytes){reply.p, reply.n});
    fm_buf_done(&reply);
}

/* ---- ResumeJob ---- */

static const Fermata__V1__Pause *find_asked(const struct job *job, const Fermata__V1__ResumeJobRequest *r,
                                            struct fm_err *err)
{
    const Fermata__V1__Job *h = job->head;
    const char *status = job_status_name((int)h->status);
    if (h->n_pauses == 0) {
        fm_err_set(err, FM_FAILED_PRECONDITION, r->pause_id[0] != '\0' ? "pause_id" : "job_id",
                   "job %s is %s: no question is open", job->text, status);
        return NULL;
    }
    if (r->pause_id[0] == '\0') {
        if (h->n_pauses == 1)
            return h->pauses[0];
        fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id",
                   "%zu questions are open: say which one is answered, for example %s", h->n_pauses,
                   h->pauses[0]->pause_id);
        return NULL;
    }
    const Fermata__V1__Pause *p = job_find_pause(job, r->pause_id);
    if (p == NULL)
        fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id",
                   "pause %.64s of job %s is not open (any more); open is %s", r->pause_id, job->text,
                   h->pauses[0]->pause_id);
    return p;
}

/* Makes the task that brings the answer. */
static void add_answer(struct core *c, struct job *job, const Fermata__V1__Pause *p,
                       const Fermata__V1__ResumeJobRequest *r)
{
    Google__Protobuf__Struct__FieldsEntry entry = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT,
                                          *entries[1] = {&entry};
    Google__Protobuf__Struct data = GOOGLE__PROTOBUF__STRUCT__INIT;
    char key[] = "answer";
    entry.key = key;
    entry.value = r->answer;
    data.n_fields = 1;
    data.fields = entries;
    Fermata__V1__Task task = FERMATA__V1__TASK__INIT;
    task.routine = p->routine;
    task.slot = p->slot;
    task.data = &data;
    task.pause_id = p->pause_id;
    task.call_id = p->call_id;
    task.answer_digest = p->digest;
    task.answered_by = r->answered_by;
    job_add_input(c, job, &task);
}

void job_set_placement(struct job *job, const Fermata__V1__Placement *p)
{
    if (job->head->placement != NULL)
        fermata__v1__placement__free_unpacked(job->head->placement, NULL);
    Fermata__V1__Placement usual = FERMATA__V1__PLACEMENT__INIT;
    if (p != NULL)
        usual = *p;
    if (usual.mode == FERMATA__V1__PLACEMENT_MODE__PLACEMENT_MODE_UNSPECIFIED && usual.host[0] == '\0')
        usual.mode = FERMATA__V1__PLACEMENT_MODE__PLACEMENT_MODE_ANOTHER_HOST;
    job->head->placement = pb_clone(&usual);
}

/* Whether an input may wake a paused job: not when it is held, and a question halts a flow that runs one task
 * at a time. */
static bool question_halts(const struct job *job)
{
    return job->head->n_pauses > 0 && job->def->parallelism <= 1;
}

static int check_resume(const Fermata__V1__ResumeJobRequest *r, struct fm_err *err)
{
    if (check_size("answer", r->answer, err) < 0 || check_request_id(r->request_id, err) < 0 ||
        check_placement(r->placement, err) < 0 || check_text("answered_by", r->answered_by, err) < 0 ||
        check_text("pause_id", r->pause_id, err) < 0)
        return -FM_INVALID_ARGUMENT;
    return 0;
}

static bool is_question(const Fermata__V1__Pause *p)
{
    return p->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_QUESTION ||
           p->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_BUDGET;
}

void job_take_answer(struct core *c, struct job *job, const Fermata__V1__Pause *p,
                     const Fermata__V1__ResumeJobRequest *r)
{
    char id[sizeof(((struct op *)0)->pause_id)];
    snprintf(id, sizeof(id), "%s", p->pause_id);
    if (is_question(p)) {
        add_answer(c, job, p, r);
    } else if (p->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_OUTCOME_UNKNOWN) {
        lost_answer(c, job, p, r->answer, r->answered_by);
    } else if (p->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_BREAKPOINT) {
        pb_set_string(&job->head->released_task, p->task_id);
        job->head->single_step = r->single_step;
    }
    job_remove_pause(job, id);
}

int job_check_answer(const Fermata__V1__Pause *p, const Fermata__V1__ResumeJobRequest *r, struct fm_err *err)
{
    if (r->digest[0] != '\0' && strcmp(r->digest, p->digest) != 0)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "digest",
                          "pause %s has the digest %s: what was shown to who answers was something else",
                          p->pause_id, p->digest);
    if (is_question(p) && r->answer == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "answer", "the question \"%.200s\" needs an answer",
                          p->question);
    if (p->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_OUTCOME_UNKNOWN)
        return lost_check_answer(r->answer, err);
    return is_question(p) ? answer_check(p, r->answer, err) : 0;
}

static void resume_apply(struct core *c, struct op *op, struct job *job, const Fermata__V1__Pause *p,
                         const char *scope)
{
    const Fermata__V1__ResumeJobRequest *r = OP_REQUEST(op, Fermata__V1__ResumeJobRequest);
    struct commit *m = job_unit(c, job);
    if (p != NULL) {
        snprintf(op->pause_id, sizeof(op->pause_id), "%s", p->pause_id);
        job_take_answer(c, job, p, r);
    }
    job->head->emit_deferred = true;
    job->emit_deferred_input = job->head->input_count;
    job->head_dirty = true;
    if ((int)job->head->status == JOB_PAUSED || p == NULL)
        job_set_placement(job, r->placement);
    if (p == NULL)
        job_retry_failed(c, job);
    else
        job_go_on(c, job);
    Fermata__V1__ResumeJobResponse response = FERMATA__V1__RESUME_JOB_RESPONSE__INIT;
    response.status = job->head->status;
    response.host = job->head->host;
    response.pause_id = op->pause_id;
    job_claim_request(job, op, scope, r->request_id, &response.base, m);
    FM_LOG(INFO, STATE, "job resumed", FM_STR("job", job->text), FM_STR("pause", op->pause_id),
           FM_STR("host", job->head->host), FM_U64("epoch", job->head->epoch),
           FM_U64("step", job_state_step(job->state)));
    if (r->wait_for_host && (int)job->head->status == JOB_PENDING) {
        op_park(op);
        DL_APPEND(job->host_ops, op);
        return;
    }
    pbc_effect_reply(m, op->ticket, &response.base);
    op_free(op);
}

static void resume_job(struct core *c, struct op *op)
{
    const Fermata__V1__ResumeJobRequest *r = OP_REQUEST(op, Fermata__V1__ResumeJobRequest);
    struct fm_err err = {0};
    if (check_resume(r, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    if (strchr(r->pause_id, '/') != NULL) {
        if (children_forward(c, op))
            op_run(c, op);
        return;
    }
    struct job *job = job_for_op(c, op, r->job_id);
    if (job == NULL)
        return;
    char scope[64];
    snprintf(scope, sizeof(scope), "resume:%s", job->text);
    if (!request_is_new(c, op, scope, r->request_id, job)) {
        job_rest(c, job);
        return;
    }
    const Fermata__V1__Pause *p = NULL;
    bool failed = (int)job->head->status == JOB_FAILED && r->pause_id[0] == '\0';
    if (!failed && (p = find_asked(job, r, &err)) != NULL &&
        inbox_may_answer(c, p, r->answered_by, "answered_by", &err) == 0 &&
        job_check_answer(p, r, &err) == 0 && is_question(p))
        (void)admit_input(c, job, "answer", &r->answer->base, &err);
    if (err.code != FM_OK)
        op_fail(c, op, &err);
    else
        resume_apply(c, op, job, p, scope);
    job_rest(c, job);
}

/* ---- SendInput ---- */

static int check_input(const Fermata__V1__SendInputRequest *r, struct fm_err *err)
{
    if (r->to == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "to",
                          "to is missing: the routine and the slot that get the data");
    if (check_name("to.routine", r->to->routine, err) < 0 || check_name("to.slot", r->to->slot, err) < 0 ||
        check_size("data", r->data, err) < 0 || check_request_id(r->request_id, err) < 0 ||
        check_text("sent_by", r->sent_by, err) < 0)
        return -FM_INVALID_ARGUMENT;
    return 0;
}

static int check_input_slot(struct core *c, const struct job *job, const Fermata__V1__SendInputRequest *r,
                            struct fm_err *err)
{
    if (job_status_final((int)job->head->status))
        return fm_err_set(err, FM_FAILED_PRECONDITION, "job_id", "job %s is %s: it takes no more input",
                          job->text, job_status_name((int)job->head->status));
    Fermata__V1__Flow *flow = fermata__v1__flow__unpack(NULL, job->def->body.n, job->def->body.p);
    if (flow == NULL)
        return fm_err_set(err, FM_DATA_LOSS, "flow", "the flow of job %s is malformed", job->text);
    struct flow_types known = {flow_known_type, c};
    int rc = flow_check_entry(flow, "to", r->to->routine, r->to->slot, r->data, &known, err);
    fermata__v1__flow__free_unpacked(flow, NULL);
    return rc;
}

static void send_input(struct core *c, struct op *op)
{
    const Fermata__V1__SendInputRequest *r = OP_REQUEST(op, Fermata__V1__SendInputRequest);
    struct fm_err err = {0};
    if (check_input(r, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    struct job *job = job_for_op(c, op, r->job_id);
    if (job == NULL)
        return;
    char scope[64];
    snprintf(scope, sizeof(scope), "input:%s", job->text);
    if (!request_is_new(c, op, scope, r->request_id, job)) {
        job_rest(c, job);
        return;
    }
    if (check_input_slot(c, job, r, &err) < 0 ||
        admit_input(c, job, "data", r->data == NULL ? NULL : &r->data->base, &err) < 0) {
        op_fail(c, op, &err);
        job_rest(c, job);
        return;
    }
    struct commit *m = job_unit(c, job);
    Fermata__V1__Task task = FERMATA__V1__TASK__INIT;
    Google__Protobuf__Struct empty = GOOGLE__PROTOBUF__STRUCT__INIT;
    task.routine = r->to->routine;
    task.slot = r->to->slot;
    task.data = r->data != NULL ? r->data : &empty;
    task.answered_by = r->sent_by;
    Fermata__V1__SendInputResponse response = FERMATA__V1__SEND_INPUT_RESPONSE__INIT;
    response.input_number = job_add_input(c, job, &task);
    if (!question_halts(job))
        job_go_on(c, job);
    job_claim_request(job, op, scope, r->request_id, &response.base, m);
    pbc_effect_reply(m, op->ticket, &response.base);
    op_free(op);
    job_rest(c, job);
}

/* ---- PauseJob, CancelJob, DeleteJob ---- */

static void pause_job(struct core *c, struct op *op)
{
    const Fermata__V1__PauseJobRequest *r = OP_REQUEST(op, Fermata__V1__PauseJobRequest);
    struct fm_err err = {0};
    if (check_text("reason", r->reason, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    struct job *job = job_for_op(c, op, r->job_id);
    if (job == NULL)
        return;
    int status = (int)job->head->status;
    if (job_status_final(status)) {
        fm_err_set(&err, FM_FAILED_PRECONDITION, "job_id", "job %s is %s: it cannot be paused", job->text,
                   job_status_name(status));
        op_fail(c, op, &err);
        job_rest(c, job);
        return;
    }
    op_park(op);
    DL_APPEND(job->pause_ops, op);
    if (job_count_pauses(job, FERMATA__V1__PAUSE_REASON__PAUSE_REASON_OPERATOR) > 0) {
        job_answer_paused(job, job_unit(c, job)); /* paused already: say so when that is on disk */
    } else if (status != JOB_RUNNING) {
        job_hold(c, job);
    } else if (!job->head->pause_requested) {
        job->head->pause_requested = true;
        job->head_dirty = true;
        struct effect *e = commit_effect(job_unit(c, job), EFFECT_INTERRUPT, (struct fm_bytes){0});
        e->conn = job->host->conn;
        e->epoch = job->head->epoch;
        e->number = FERMATA__V1__INTERRUPT_KIND__INTERRUPT_KIND_PAUSE;
    }
    job_rest(c, job);
}

static void cancel_job(struct core *c, struct op *op)
{
    const Fermata__V1__CancelJobRequest *r = OP_REQUEST(op, Fermata__V1__CancelJobRequest);
    struct fm_err err = {0};
    if (check_text("reason", r->reason, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    struct job *job = job_for_op(c, op, r->job_id);
    if (job == NULL)
        return;
    struct commit *m = job_unit(c, job); /* also when it has ended: the answer waits for what is under way */
    if (!job_status_final((int)job->head->status)) {
        if (job->host != NULL) {
            struct effect *e = commit_effect(m, EFFECT_INTERRUPT, (struct fm_bytes){0});
            e->conn = job->host->conn;
            e->epoch = job->head->epoch;
            e->number = FERMATA__V1__INTERRUPT_KIND__INTERRUPT_KIND_CANCEL;
        }
        Fermata__V1__JobError error = FERMATA__V1__JOB_ERROR__INIT;
        char code[] = "CANCELLED", text[] = "cancelled by a client";
        error.code = code;
        error.message = r->reason[0] != '\0' ? r->reason : text;
        if (job->head->error != NULL)
            fermata__v1__job_error__free_unpacked(job->head->error, NULL);
        job->head->error = pb_clone(&error);
        job_end(c, job, JOB_EV_CANCEL);
    }
    Fermata__V1__CancelJobResponse response = FERMATA__V1__CANCEL_JOB_RESPONSE__INIT;
    response.status = job->head->status;
    response.step_count = job_state_step(job->state);
    pbc_effect_reply(m, op->ticket, &response.base);
    op_free(op);
    job_rest(c, job);
}

static void delete_job(struct core *c, struct op *op)
{
    const Fermata__V1__DeleteJobRequest *r = OP_REQUEST(op, Fermata__V1__DeleteJobRequest);
    struct job *job = job_for_op(c, op, r->job_id);
    if (job == NULL)
        return;
    struct fm_err err = {0};
    if (!job_status_final((int)job->head->status)) {
        fm_err_set(&err, FM_FAILED_PRECONDITION, "job_id", "job %s is %s: cancel it first", job->text,
                   job_status_name((int)job->head->status));
        op_fail(c, op, &err);
    } else if (job->next != NULL || job->inflight != NULL) {
        op_park(op);
        DL_APPEND(job->ops, op);
    } else {
        struct commit *m = job_unit(c, job);
        m->deletes = true;
        store_delete_job(m->unit, &job->id);
        Fermata__V1__DeleteJobResponse response = FERMATA__V1__DELETE_JOB_RESPONSE__INIT;
        pbc_effect_reply(m, op->ticket, &response.base);
        op_free(op);
    }
    job_rest(c, job);
}

void jobs_request(struct core *c, struct op *op)
{
    switch ((int)op->method) {
    case CORE_SUBMIT_JOB:
        submit_job(c, op);
        return;
    case CORE_RESUME_JOB:
        resume_job(c, op);
        return;
    case CORE_SEND_INPUT:
        send_input(c, op);
        return;
    case CORE_PAUSE_JOB:
        pause_job(c, op);
        return;
    case CORE_CANCEL_JOB:
        cancel_job(c, op);
        return;
    case CORE_DELETE_JOB:
        delete_job(c, op);
        return;
    default:
        read_request(c, op);
        return;
    }
}
