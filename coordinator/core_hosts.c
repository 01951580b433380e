/* The Hosts service, and what hosts say and hear about jobs: steps, releases, assignments, inputs,
 * interrupts. */
#include "core_int.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "log.h"
#include "mem.h"

/* fields of CoordinatorMessage */
enum {
    FIELD_ASSIGN = 4,
    FIELD_STEP_REJECT = 6,
    FIELD_INTERRUPT = 7,
    FIELD_DELIVER = 8,
    FIELD_INTENT_ACK = 10
};
/* fields of Assign and Deliver that are put together from encoded parts */
enum {
    ASSIGN_JOB_ID = 1,
    ASSIGN_EPOCH = 2,
    ASSIGN_FLOW = 3,
    ASSIGN_STATE = 4,
    ASSIGN_INPUTS = 5,
    ASSIGN_EMIT_DEFERRED = 6,
    ASSIGN_NOW = 7,
    ASSIGN_BREAKPOINTS = 8,
    ASSIGN_RELEASED_TASK = 9,
    ASSIGN_LOST_TASKS = 10
};
enum {
    DELIVER_JOB_ID = 1,
    DELIVER_EPOCH = 2,
    DELIVER_INPUTS = 3,
    DELIVER_EMIT_DEFERRED = 4,
    DELIVER_SET_BREAKPOINTS = 5,
    DELIVER_BREAKPOINTS = 6
};
enum { STEP_TASK = 22 };     /* field of Step that is appended to the others' encoding */
#define STEP_BUF_BYTES 65536 /* kept from one step to the next */
#define MAX_JOB_IDS 10000
#define MAX_QUESTION_MS (10ull * 366 * 86400 * 1000)

/* ---- sending ---- */

static void send_message(struct core *c, struct host *h, uint32_t field, const void *message)
{
    struct fm_buf b = {0};
    pb_pack(message, &b);
    host_send(c, h, field, (struct fm_bytes){b.p, b.n});
    fm_buf_done(&b);
}

/* Appends a message as a field of one that is being put together. */
static void put_message(struct fm_buf *out, uint32_t field, const void *message)
{
    struct fm_buf b = {0};
    pb_pack(message, &b);
    fm_buf_put_len_delim(out, field, b.p, b.n);
    fm_buf_done(&b);
}

/* The job's breakpoints; a single step is one that holds whatever comes next. */
static void put_breakpoints(const struct job *job, struct fm_buf *out, uint32_t field)
{
    const Fermata__V1__Job *h = job->head;
    for (size_t i = 0; i < h->n_breakpoints; i++)
        put_message(out, field, h->breakpoints[i]);
    if (!h->single_step)
        return;
    Fermata__V1__Breakpoint any = FERMATA__V1__BREAKPOINT__INIT;
    char star[] = "*";
    any.routine = star;
    put_message(out, field, &any);
}

void host_send_breakpoints(struct core *c, struct job *job)
{
    struct fm_buf b = {0};
    fm_buf_put_string(&b, DELIVER_JOB_ID, job->text);
    fm_buf_put_tag_varint(&b, DELIVER_EPOCH, job->head->epoch);
    fm_buf_put_tag_varint(&b, DELIVER_SET_BREAKPOINTS, 1);
    put_breakpoints(job, &b, DELIVER_BREAKPOINTS);
    host_send(c, job->host, FIELD_DELIVER, (struct fm_bytes){b.p, b.n});
    fm_buf_done(&b);
}

void host_send_intent_ack(struct core *c, struct job *job, uint32_t epoch, const char *task_id)
{
    Fermata__V1__Intent m = FERMATA__V1__INTENT__INIT;
    m.job_id = job->text;
    m.epoch = epoch;
    m.task_id = (char *)(uintptr_t)task_id;
    send_message(c, job->host, FIELD_INTENT_ACK, &m);
}

void host_send_assign(struct core *c, struct job *job)
{
    struct host *h = job->host;
    if (h->conn == 0)
        return; /* when it comes back it will not hold the job, and the job is given away again */
    if (!pace_assign(h, job))
        return;
    host_flush(c, h); /* the jobs that have left it are said first: their places are given away already */
    struct fm_buf b = {0}, state = {0};
    fm_buf_put_string(&b, ASSIGN_JOB_ID, job->text);
    fm_buf_put_tag_varint(&b, ASSIGN_EPOCH, job->head->epoch);
    fm_buf_put_len_delim(&b, ASSIGN_FLOW, job->def->body.p, job->def->body.n);
    job_state_encode(job->state, NULL, &state);
    fm_buf_put_len_delim(&b, ASSIGN_STATE, state.p, state.n);
    job->inputs_sent = job_state_inputs(job->state);
    struct task_item *t;
    DL_FOREACH (job->inputs, t) {
        if (t->input_number > job->inputs_on_disk)
            break;
        fm_buf_put_len_delim(&b, ASSIGN_INPUTS, t->body.p, t->body.n);
        job->inputs_sent = t->input_number;
    }
    if (job->head->emit_deferred)
        fm_buf_put_tag_varint(&b, ASSIGN_EMIT_DEFERRED, 1);
    Google__Protobuf__Timestamp now = core_now(c);
    put_message(&b, ASSIGN_NOW, &now);
    put_breakpoints(job, &b, ASSIGN_BREAKPOINTS);
    if (job->head->released_task[0] != '\0')
        fm_buf_put_string(&b, ASSIGN_RELEASED_TASK, job->head->released_task);
    for (size_t i = 0; i < job->head->n_lost_tasks; i++)
        fm_buf_put_string(&b, ASSIGN_LOST_TASKS, job->head->lost_tasks[i]);
    job->assign_sent = true;
    host_send(c, h, FIELD_ASSIGN, (struct fm_bytes){b.p, b.n});
    pace_sent(h, b.n);
    fm_buf_done(&b);
    fm_buf_done(&state);
    if (job->head->pause_requested)
        host_send_interrupt(c, h->conn, job, job->head->epoch,
                            FERMATA__V1__INTERRUPT_KIND__INTERRUPT_KIND_PAUSE);
    else if (h->draining)
        host_send_interrupt(c, h->conn, job, job->head->epoch,
                            FERMATA__V1__INTERRUPT_KIND__INTERRUPT_KIND_DRAIN);
}

void host_send_inputs(struct core *c, struct job *job)
{
    if (job->host == NULL || !job->assign_sent || job->host->conn == 0)
        return;
    struct fm_buf b = {0};
    struct task_item *t;
    bool any = false;
    fm_buf_put_string(&b, DELIVER_JOB_ID, job->text);
    fm_buf_put_tag_varint(&b, DELIVER_EPOCH, job->head->epoch);
    DL_FOREACH (job->inputs, t) {
        if (t->input_number <= job->inputs_sent)
            continue;
        if (t->input_number > job->inputs_on_disk)
            break;
        fm_buf_put_len_delim(&b, DELIVER_INPUTS, t->body.p, t->body.n);
        job->inputs_sent = t->input_number;
        any = true;
    }
    if (job->head->emit_deferred)
        fm_buf_put_tag_varint(&b, DELIVER_EMIT_DEFERRED, 1);
    if (any)
        host_send(c, job->host, FIELD_DELIVER, (struct fm_bytes){b.p, b.n});
    fm_buf_done(&b);
}

void host_send_interrupt(struct core *c, uint64_t conn, struct job *job, uint32_t epoch, int kind)
{
    struct host *h = host_by_conn(c, conn);
    if (h == NULL)
        return;
    if (kind == FERMATA__V1__INTERRUPT_KIND__INTERRUPT_KIND_PAUSE &&
        (job->host != h || !job->assign_sent || job->head->epoch != epoch))
        return; /* not there yet: it goes out behind the Assign; or there no more */
    Fermata__V1__Interrupt m = FERMATA__V1__INTERRUPT__INIT;
    m.job_id = job->text;
    m.epoch = epoch;
    m.kind = (Fermata__V1__InterruptKind)kind;
    m.grace_ms = c->cfg.pause_grace_ms;
    send_message(c, h, FIELD_INTERRUPT, &m);
}

void host_queue_ack(struct host *h, const struct job *job, uint32_t epoch, uint32_t number, bool released)
{
    Fermata__V1__StepAck ack = FERMATA__V1__STEP_ACK__INIT;
    ack.job_id = (char *)(uintptr_t)job->text;
    ack.epoch = epoch;
    ack.number = number;
    ack.released = released;
    struct fm_buf b = {0};
    pb_pack(&ack, &b);
    fm_buf_put_len_delim(&h->acks, 1, b.p, b.n);
    h->acks_urgent = h->acks_urgent || !released;
    fm_buf_done(&b);
}

static void reject(struct core *c, struct host *h, const char *job_id, const Fermata__V1__Step *step,
                   const char *reason)
{
    FM_LOG(WARN, STATE, "step refused", FM_STR("job", job_id), FM_STR("host", h->id),
           FM_U64("epoch", step->epoch), FM_U64("step", step->number), FM_STR("reason", reason));
    Fermata__V1__StepReject m = FERMATA__V1__STEP_REJECT__INIT;
    m.job_id = (char *)(uintptr_t)job_id;
    m.epoch = step->epoch;
    m.number = step->number;
    m.reason = (char *)(uintptr_t)reason;
    send_message(c, h, FIELD_STEP_REJECT, &m);
}

/* ---- steps ---- */

void job_set_error(struct job *job, const char *code, const char *message, const char *routine,
                   const char *task_id)
{
    Fermata__V1__JobError e = FERMATA__V1__JOB_ERROR__INIT;
    e.code = (char *)(uintptr_t)code;
    e.message = (char *)(uintptr_t)message;
    e.routine = (char *)(uintptr_t)routine;
    e.task_id = (char *)(uintptr_t)task_id;
    if (job->head->error != NULL)
        fermata__v1__job_error__free_unpacked(job->head->error, NULL);
    job->head->error = pb_clone(&e);
    job->head_dirty = true;
}

/* A step that breaks a rule: the host drops the job. A state that grew too large fails the job; a host that
 * broke the protocol loses it, and after some such hosts the job fails, too. */
static void on_bad_step(struct core *c, struct host *h, struct job *job, const Fermata__V1__Step *step,
                        const struct fm_err *err)
{
    reject(c, h, job->text, step, err->msg);
    job_unit(c, job);
    if (err->code == FM_RESOURCE_EXHAUSTED || ++job->bad_steps >= MAX_BAD_STEPS) {
        job_set_error(job, fm_code_name((int)err->code), err->msg, step->routine, step->task_id);
        job_end(c, job, JOB_EV_FAIL);
        return;
    }
    free(job->avoid_host);
    job->avoid_host = fm_xstrdup(h->id);
    core_retry_later(c);
    job_requeue(c, job, "its host made a step that breaks a rule");
}

static int check_pauses(const struct job *job, const Fermata__V1__Step *step, struct fm_err *err)
{
    for (size_t i = 0; i < step->n_pauses; i++) {
        const Fermata__V1__Pause *p = step->pauses[i];
        char want[32], other[64];
        snprintf(want, sizeof(want), "p%u.%zu", step->number, i);
        snprintf(other, sizeof(other), "p-%.40s.%zu", step->task_id, i); /* in a flow with parallelism */
        if ((strcmp(p->pause_id, want) != 0 && strcmp(p->pause_id, other) != 0) ||
            job_find_pause(job, p->pause_id) != NULL)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "step.pauses.pause_id",
                              "pause %zu has the id \"%.64s\"; it must be %s, and not open", i, p->pause_id,
                              want);
        if (p->reason != FERMATA__V1__PAUSE_REASON__PAUSE_REASON_UNSPECIFIED &&
            p->reason != FERMATA__V1__PAUSE_REASON__PAUSE_REASON_QUESTION &&
            p->reason != FERMATA__V1__PAUSE_REASON__PAUSE_REASON_BUDGET)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "step.pauses.reason",
                              "pause %s has the reason %d; a step may ask a QUESTION or about the BUDGET",
                              want, (int)p->reason);
        if (p->timeout_ms > MAX_QUESTION_MS)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "step.pauses.timeout_ms",
                              "pause %s stays open for %llu ms; the limit is %llu", want,
                              (unsigned long long)p->timeout_ms, (unsigned long long)MAX_QUESTION_MS);
        if (p->slot[0] == '\0')
            return fm_err_set(err, FM_INVALID_ARGUMENT, "step.pauses.slot",
                              "pause %s names no slot for its answer", want);
    }
    return 0;
}

/* The questions that the step asks become open. */
static void open_pauses(struct job *job, const Fermata__V1__Step *step)
{
    for (size_t i = 0; i < step->n_pauses; i++) {
        Fermata__V1__Pause p = *step->pauses[i];
        if (p.reason != FERMATA__V1__PAUSE_REASON__PAUSE_REASON_BUDGET)
            p.reason = FERMATA__V1__PAUSE_REASON__PAUSE_REASON_QUESTION;
        Google__Protobuf__Timestamp expires = *step->committed_at;
        int64_t expires_ms = time_to_ms(step->committed_at) + (int64_t)p.timeout_ms;
        expires.seconds = expires_ms / 1000;
        expires.nanos = (int32_t)(expires_ms % 1000) * 1000000;
        p.expires_at = p.timeout_ms > 0 ? &expires : NULL;
        p.timeout_ms = 0;
        p.routine = step->routine;
        p.step = step->number;
        p.at = step->committed_at;
        job_add_pause(job, pb_clone(&p));
        FM_LOG(INFO, STATE, "question asked", FM_STR("job", job->text), FM_STR("pause", p.pause_id),
               FM_U64("epoch", step->epoch), FM_U64("step", step->number));
    }
}

static int check_outcome(const Fermata__V1__Step *step, struct fm_err *err)
{
    switch (step->outcome) {
    case FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_COMPLETE:
        if (step->n_pauses > 0)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "step.outcome",
                              "a step that asks a question must have the outcome PAUSE");
        return 0;
    case FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_CONTINUE: /* in a flow with parallelism it may ask, too */
    case FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_RETRY:
    case FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_PAUSE:
    case FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_FAIL:
        return 0;
    case FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_UNSPECIFIED:
    default:
        return fm_err_set(err, FM_INVALID_ARGUMENT, "step.outcome", "outcome %d is unknown",
                          (int)step->outcome);
    }
}

/* What the applied step means for the job. Returns true when the job has left the host. */
static bool take_outcome(struct core *c, struct job *job, const Fermata__V1__Step *step)
{
    if (step->outcome == FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_FAIL) {
        if (step->error != NULL)
            job_set_error(job, step->error->code, step->error->message, step->routine, step->task_id);
        else
            job_set_error(job, "UNKNOWN", "the step failed and does not say why", step->routine,
                          step->task_id);
        job_end(c, job, JOB_EV_FAIL);
        return true;
    }
    if (step->outcome == FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_PAUSE && job->head->n_pauses > 0) {
        job_park(c, job, PARK_ASKED);
        return true;
    }
    if (!job_has_work(job)) {
        job_park(c, job,
                 PARK_BY_STATE); /* whatever the host says: nothing is left, and nobody would wake it */
        return true;
    }
    bool goes_on = step->outcome == FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_CONTINUE ||
                   step->outcome == FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_RETRY;
    if (!goes_on && job->inputs == NULL) {
        job_requeue(c, job, "its host stopped, but tasks wait");
        return true;
    }
    job_checkpoint(c, job); /* an input that came in the meantime is delivered, and the host goes on */
    return false;
}

int job_apply_step(struct core *c, struct job *job, const Fermata__V1__Step *step,
                   struct task_item **ret_task, struct fm_err *err)
{
    struct fm_buf *b = &c->step_buf;
    fm_buf_reset(b);
    pb_pack(step, b);
    int rc = job_state_apply(job->state, &job->inputs, step, b->n, c->cfg.max_state_bytes, ret_task, err);
    if (rc < 0)
        return rc;
    if (*ret_task != NULL)
        fm_buf_put_len_delim(b, STEP_TASK, (*ret_task)->body.p, (*ret_task)->body.n);
    struct commit *m = job_unit(c, job);
    store_put_step(m->unit, &job->id, step->number, (struct fm_bytes){b->p, b->n});
    job->journal_bytes += b->n;
    struct fm_bytes shown = job->watches != NULL ? (struct fm_bytes){b->p, b->n} : (struct fm_bytes){0};
    commit_effect(m, EFFECT_STEP, shown)->number = step->number;
    if (b->cap > STEP_BUF_BYTES)
        fm_buf_done(b);
    return 0;
}

static void apply_step(struct core *c, struct host *h, struct job *job, Fermata__V1__Step *step)
{
    struct fm_err err = {0};
    Google__Protobuf__Timestamp at = core_now(c), started = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    int64_t started_ms = step->duration_us / 1000 < (uint64_t)c->wall_ms
                             ? c->wall_ms - (int64_t)(step->duration_us / 1000)
                             : 0;
    started.seconds = started_ms / 1000;
    started.nanos = (int32_t)(started_ms % 1000) * 1000000;
    step->committed_at = &at;
    step->started_at = &started;
    step->host = h->id;
    step->task = NULL;
    struct task_item *task = NULL;
    if (check_outcome(step, &err) < 0 || check_pauses(job, step, &err) < 0 ||
        children_check(step, &err) < 0 || job_apply_step(c, job, step, &task, &err) < 0) {
        on_bad_step(c, h, job, step, &err);
        fm_err_done(&err);
        return;
    }
    if (step->n_children > 0)
        children_add(c, job, step, task);
    free(task);
    usage_count(c, job, step);
    lost_intent_done(job, step->task_id);
    if (job->head->released_task[0] != '\0' && strcmp(job->head->released_task, step->task_id) == 0)
        pb_set_string(&job->head->released_task, "");
    if (job->head->emit_deferred && step->inputs_through >= job->emit_deferred_input) {
        job->head->emit_deferred = false;
        job->head_dirty = true;
    }
    open_pauses(job, step);
    uint64_t conn = h->conn;
    uint32_t epoch = step->epoch;
    bool released = take_outcome(c, job, step);
    struct effect *e = commit_effect(job_unit(c, job), EFFECT_ACK, (struct fm_bytes){0});
    e->conn = conn;
    e->epoch = epoch;
    e->number = step->number;
    e->released = released;
    job_count_bytes(c, job);
}

/* A step that was sent again after a reconnect: acknowledged as soon as it is on disk. */
static void on_known_step(struct host *h, struct job *job, const Fermata__V1__Step *step)
{
    struct commit *m = job->next != NULL ? job->next : job->inflight;
    if (step->number <= job->steps_on_disk || m == NULL) {
        host_queue_ack(h, job, step->epoch, step->number, false);
        return;
    }
    struct effect *e = commit_effect(m, EFFECT_ACK, (struct fm_bytes){0});
    e->conn = h->conn;
    e->epoch = step->epoch;
    e->number = step->number;
}

static void on_step(struct core *c, struct host *h, const char *job_id, Fermata__V1__Step *step)
{
    struct fm_id id;
    struct job *job = fm_id_parse(job_id, &id) == 0 ? job_in_memory(c, &id) : NULL;
    if (job == NULL || job->loading || job->host != h || job->head->epoch != step->epoch) {
        if (job != NULL && job->loading && h->resync_at_ms != 0)
            return; /* its stream ends in a moment, and the step comes again */
        reject(c, h, job_id, step, "the host does not have this job under this epoch (any more)");
        return;
    }
    if (step->number <= job_state_step(job->state))
        on_known_step(h, job, step);
    else
        apply_step(c, h, job, step);
}

void host_on_steps(struct core *c, struct host *h, const Fermata__V1__StepBatch *b)
{
    for (size_t i = 0; i < b->n_steps; i++)
        if (b->steps[i]->step != NULL)
            on_step(c, h, b->steps[i]->job_id, b->steps[i]->step);
}

/* ---- releases ---- */

/* A task has reached a breakpoint: the job is held, unless the breakpoint is gone. */
static void hold_task(struct core *c, struct job *job, const char *task_id)
{
    const struct task_item *t = job_state_find_task(job->state, task_id);
    if (t == NULL)
        for (t = job->inputs; t != NULL && strcmp(t->id, task_id) != 0;)
            t = t->next;
    if (t == NULL || (job->head->n_breakpoints == 0 && !job->head->single_step)) {
        job_requeue(c, job, "its host held a task, but its breakpoint is gone");
        return;
    }
    char id[32];
    snprintf(id, sizeof(id), "b%u", job->head->revision + 1);
    Fermata__V1__Pause p = FERMATA__V1__PAUSE__INIT;
    Google__Protobuf__Timestamp at = core_now(c);
    p.pause_id = id;
    p.reason = FERMATA__V1__PAUSE_REASON__PAUSE_REASON_BREAKPOINT;
    p.routine = (char *)(uintptr_t)t->routine;
    p.slot = (char *)(uintptr_t)t->slot;
    p.task_id = (char *)(uintptr_t)t->id;
    p.step = job_state_step(job->state);
    p.at = &at;
    job_add_pause(job, pb_clone(&p));
    job->head->single_step = false;
    FM_LOG(INFO, STATE, "task held by a breakpoint", FM_STR("job", job->text), FM_STR("task", task_id),
           FM_U64("epoch", job->head->epoch), FM_U64("step", job_state_step(job->state)));
    job_park(c, job, PARK_BY_STATE);
}

void host_on_release(struct core *c, struct host *h, const Fermata__V1__Release *r)
{
    struct fm_id id;
    struct job *job = fm_id_parse(r->job_id, &id) == 0 ? job_in_memory(c, &id) : NULL;
    if (job == NULL || job->loading || job->host != h || job->head->epoch != r->epoch)
        return; /* it lost the job before: nothing to give back */
    for (size_t i = 0; i < r->n_unstarted_tasks; i++)
        lost_unstarted(job, r->unstarted_tasks[i]);
    const char *why = r->message[0] != '\0' ? r->message : "its host gave it back";
    switch (r->reason) {
    case FERMATA__V1__RELEASE_REASON__RELEASE_REASON_DRAINING: /* perhaps of a drain that was taken back */
    case FERMATA__V1__RELEASE_REASON__RELEASE_REASON_REFUSED:
        free(job->avoid_host);
        job->avoid_host = fm_xstrdup(h->id);
        core_retry_later(c);
        break;
    case FERMATA__V1__RELEASE_REASON__RELEASE_REASON_IDLE:
        if (!job_has_work(job)) {
            job_park(c, job, PARK_BY_STATE);
            return;
        }
        break;
    case FERMATA__V1__RELEASE_REASON__RELEASE_REASON_SLEEPING:
        job_park(c, job, PARK_ASLEEP);
        return;
    case FERMATA__V1__RELEASE_REASON__RELEASE_REASON_BREAKPOINT:
        hold_task(c, job, r->task_id);
        return;
    default:
        break;
    }
    job_requeue(c, job, why);
}

/* ---- the Hosts service ---- */

Fermata__V1__Host *host_view(const struct core *c, const struct host *h)
{
    Fermata__V1__Host v = FERMATA__V1__HOST__INIT;
    Google__Protobuf__Timestamp at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    at.seconds = h->attached_wall_ms / 1000;
    v.host_id = h->id;
    v.status = life_is_silent(c, h) ? FERMATA__V1__HOST_STATUS__HOST_STATUS_SILENT
                                    : FERMATA__V1__HOST_STATUS__HOST_STATUS_ATTACHED;
    v.capacity = h->capacity;
    v.job_count = (uint32_t)h->n_jobs;
    v.cordoned = h->cordoned;
    v.draining = h->draining || h->leaving;
    if (h->incarnation != NULL)
        v.incarnation = h->incarnation;
    if (h->peer != NULL) {
        v.peer = h->peer;
        v.version = h->version;
        v.attached_at = &at;
    }
    Fermata__V1__Host__LabelsEntry *labels = fm_xcalloc(h->n_labels + 1, sizeof(*labels));
    v.labels = fm_xcalloc(h->n_labels + 1, sizeof(*v.labels));
    for (; v.n_labels < h->n_labels; v.n_labels++) {
        fermata__v1__host__labels_entry__init(&labels[v.n_labels]);
        labels[v.n_labels].key = (char *)(uintptr_t)h->labels[v.n_labels].key;
        labels[v.n_labels].value = (char *)(uintptr_t)h->labels[v.n_labels].value;
        v.labels[v.n_labels] = &labels[v.n_labels];
    }
    size_t n_types = HASH_COUNT(h->types);
    Fermata__V1__RoutineType *types = fm_xcalloc(n_types + 1, sizeof(*types));
    v.routine_types = fm_xcalloc(n_types + 1, sizeof(*v.routine_types));
    for (struct type_info *t = h->types; t != NULL; t = t->hh.next, v.n_routine_types++) {
        Fermata__V1__RoutineType *rt = &types[v.n_routine_types];
        fermata__v1__routine_type__init(rt);
        rt->name = t->name;
        rt->version = t->version;
        rt->slots = t->slots;
        rt->n_slots = t->n_slots;
        rt->events = t->events;
        rt->n_events = t->n_events;
        rt->effects = t->effects;
        v.routine_types[v.n_routine_types] = rt;
    }
    Fermata__V1__Host *copy = pb_clone(&v);
    free(labels);
    free(v.labels);
    free(types);
    free(v.routine_types);
    return copy;
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(Fermata__V1__Host *const *)a)->host_id, (*(Fermata__V1__Host *const *)b)->host_id);
}

static void list_hosts(struct core *c, struct op *op)
{
    Fermata__V1__ListHostsResponse r = FERMATA__V1__LIST_HOSTS_RESPONSE__INIT;
    r.hosts = fm_xcalloc(HASH_COUNT(c->hosts) + HASH_COUNT(c->marks) + 1, sizeof(*r.hosts));
    for (struct host *h = c->hosts; h != NULL; h = h->hh.next)
        r.hosts[r.n_hosts++] = host_view(c, h);
    for (struct host_mark *m = c->marks; m != NULL; m = m->hh.next)
        if (m->cordoned && host_find(c, m->id) == NULL)
            r.hosts[r.n_hosts++] = mark_view(m);
    qsort(r.hosts, r.n_hosts, sizeof(*r.hosts), by_id);
    op_reply(c, op, &r.base);
    for (size_t i = 0; i < r.n_hosts; i++)
        fermata__v1__host__free_unpacked(r.hosts[i], NULL);
    free(r.hosts);
}

static struct host *host_for_op(struct core *c, struct op *op, const char *host_id)
{
    struct fm_err err = {0};
    struct host *h = NULL;
    if (check_name("host_id", host_id, &err) == 0) {
        h = host_find(c, host_id);
        if (h == NULL)
            fm_err_set(&err, FM_NOT_FOUND, "host_id", "no host %s is attached", host_id);
    }
    if (h == NULL)
        op_fail(c, op, &err);
    return h;
}

static void reply_away(struct core *c, struct op *op, const struct host_mark *m)
{
    Fermata__V1__GetHostResponse r = FERMATA__V1__GET_HOST_RESPONSE__INIT;
    r.host = mark_view(m);
    op_reply(c, op, &r.base);
    fermata__v1__host__free_unpacked(r.host, NULL);
}

static void get_host(struct core *c, struct op *op)
{
    const char *id = OP_REQUEST(op, Fermata__V1__GetHostRequest)->host_id;
    const struct host_mark *away = host_find(c, id) == NULL ? mark_find(c, id) : NULL;
    if (away != NULL && away->cordoned) {
        reply_away(c, op, away);
        return;
    }
    struct host *h = host_for_op(c, op, id);
    if (h == NULL)
        return;
    Fermata__V1__GetHostResponse r = FERMATA__V1__GET_HOST_RESPONSE__INIT;
    r.host = host_view(c, h);
    r.job_ids = fm_xcalloc(h->n_jobs + 1, sizeof(*r.job_ids));
    struct job *job;
    DL_FOREACH2 (h->jobs, job, host_next)
        if (r.n_job_ids < MAX_JOB_IDS)
            r.job_ids[r.n_job_ids++] = job->text;
    op_reply(c, op, &r.base);
    free(r.job_ids);
    fermata__v1__host__free_unpacked(r.host, NULL);
}

void hosts_request(struct core *c, struct op *op)
{
    switch ((int)op->method) {
    case CORE_LIST_HOSTS:
        list_hosts(c, op);
        return;
    case CORE_GET_HOST:
        get_host(c, op);
        return;
    default:
        drain_request(c, op);
        return;
    }
}
