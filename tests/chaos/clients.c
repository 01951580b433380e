/* See clients.h. A client has one call under way at a time. One that failed without a definite answer is sent
 * again, with the same request id; or it was sent without one, and what came of it is left open. All on the
 * loop's thread, but the counters. */
#include "clients.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "chaos.h"
#include "clock.h"
#include "fermata/v1/jobs.pb-c.h"
#include "id.h"
#include "ledger.h"
#include "mem.h"

#define CALL_MS 4000
#define MAX_MESSAGE (8u << 20)
#define N_FLOWS 5

enum op {
    OP_NONE,
    OP_SUBMIT,
    OP_INPUT,
    OP_CANCEL,
    OP_PAUSE,
    OP_RELEASE,
    OP_ANSWER,
    OP_REPEAT,
    OP_LATE,
    OP_DECIDE,
    OP_LOOK
};

static const char *const op_names[] = {"nothing", "submit", "input", "cancel", "pause", "release",
                                       "answer",  "repeat", "late",  "decide", "look"};

struct client {
    struct fm_rng rng;
    struct rpc_channel *channel;
    struct rpc_timer timer;
    struct entry *job;
    enum op op;
    bool once;  /* without a request id, and not sent again */
    unsigned k; /* which input */
    unsigned attempts;
    unsigned inputs_left;
    bool cancels, pauses, repeats, comes_late;
    uint32_t releases, decisions;
    char question[64], lost[64], operator_pause[64], answered[64];
    const char *status;
};

static struct {
    struct rpc_loop *loop;
    char target[64];
    struct client *list;
    unsigned n;
    atomic_bool finishing;
    atomic_uint busy;
    unsigned decisions;
} all;

static void choose(struct client *c);
static void issue(struct client *c);

static bool chance(struct client *c, unsigned percent)
{
    return fm_rng_below(&c->rng, 100) < percent;
}

/* ---- requests ---- */

/* A Struct with one text field. */
struct data {
    Google__Protobuf__Struct s;
    Google__Protobuf__Struct__FieldsEntry field, *fields[1];
    Google__Protobuf__Value value;
    char key[8], text[32];
};

static Google__Protobuf__Struct *make_data(struct data *d, const char *text)
{
    google__protobuf__struct__init(&d->s);
    google__protobuf__struct__fields_entry__init(&d->field);
    google__protobuf__value__init(&d->value);
    snprintf(d->key, sizeof(d->key), "token");
    snprintf(d->text, sizeof(d->text), "%s", text);
    d->value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    d->value.string_value = d->text;
    d->field.key = d->key;
    d->field.value = &d->value;
    d->fields[0] = &d->field;
    d->s.fields = d->fields;
    d->s.n_fields = 1;
    return &d->s;
}

static void on_reply(void *user, const struct fm_err *status, struct fm_bytes reply);

static void send_call(struct client *c, const char *method, const ProtobufCMessage *request)
{
    call_start(c->channel, method, request, CALL_MS, on_reply, c);
}

static void send_submit(struct client *c)
{
    Fermata__V1__SubmitJobRequest r = FERMATA__V1__SUBMIT_JOB_REQUEST__INIT;
    Fermata__V1__SlotRef entry = FERMATA__V1__SLOT_REF__INIT;
    Fermata__V1__SubmitJobRequest__LabelsEntry label = FERMATA__V1__SUBMIT_JOB_REQUEST__LABELS_ENTRY__INIT,
                                               *labels[1] = {&label};
    char flow[16], token[32], routine[] = "start", slot[] = "input", key[] = "token";
    struct data data;
    snprintf(flow, sizeof(flow), "chaos%u", c->job->no % N_FLOWS);
    snprintf(token, sizeof(token), "s%u", c->job->no);
    entry.routine = routine;
    entry.slot = slot;
    label.key = key;
    label.value = token;
    r.flow = flow;
    r.entry = &entry;
    r.data = make_data(&data, token);
    r.labels = labels;
    r.n_labels = 1;
    if (!c->once)
        r.request_id = token;
    send_call(c, "Jobs/SubmitJob", &r.base);
}

static void send_input(struct client *c)
{
    Fermata__V1__SendInputRequest r = FERMATA__V1__SEND_INPUT_REQUEST__INIT;
    Fermata__V1__SlotRef to = FERMATA__V1__SLOT_REF__INIT;
    char token[32], routine[] = "inbox", slot[] = "input";
    struct data data;
    snprintf(token, sizeof(token), "i%u.%u", c->job->no, c->k);
    to.routine = routine;
    to.slot = slot;
    r.job_id = c->job->job_id;
    r.to = &to;
    r.data = make_data(&data, token);
    if (!c->once)
        r.request_id = token;
    send_call(c, "Jobs/SendInput", &r.base);
}

static void send_resume(struct client *c, char *pause_id, char *request_id, bool with_answer)
{
    Fermata__V1__ResumeJobRequest r = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
    Google__Protobuf__Value answer = GOOGLE__PROTOBUF__VALUE__INIT;
    char token[32];
    snprintf(token, sizeof(token), "a%u%s", c->job->no, c->op == OP_LATE ? ".late" : "");
    answer.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    answer.string_value = token;
    r.job_id = c->job->job_id;
    r.pause_id = pause_id;
    r.request_id = request_id;
    r.answer = with_answer ? &answer : NULL;
    send_call(c, "Jobs/ResumeJob", &r.base);
}

static void send_answer(struct client *c)
{
    char id[32];
    snprintf(id, sizeof(id), "%s%u", c->op == OP_LATE ? "l" : "a", c->job->no);
    send_resume(c, c->op == OP_ANSWER ? c->question : c->answered, id, true);
}

static void send_release(struct client *c)
{
    char id[32];
    snprintf(id, sizeof(id), "r%u.%u", c->job->no, c->releases);
    send_resume(c, c->operator_pause, id, false);
}

/* What a lost task has done is not known: it shall run again. */
static void send_decision(struct client *c)
{
    Fermata__V1__ResumeJobRequest r = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
    Google__Protobuf__Value answer = GOOGLE__PROTOBUF__VALUE__INIT;
    char id[32], retry[] = "retry";
    snprintf(id, sizeof(id), "d%u.%u", c->job->no, c->decisions);
    answer.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    answer.string_value = retry;
    r.job_id = c->job->job_id;
    r.pause_id = c->lost;
    r.request_id = id;
    r.answer = &answer;
    send_call(c, "Jobs/ResumeJob", &r.base);
}

static void send_cancel(struct client *c)
{
    Fermata__V1__CancelJobRequest r = FERMATA__V1__CANCEL_JOB_REQUEST__INIT;
    r.job_id = c->job->job_id;
    send_call(c, "Jobs/CancelJob", &r.base);
}

static void send_pause(struct client *c)
{
    Fermata__V1__PauseJobRequest r = FERMATA__V1__PAUSE_JOB_REQUEST__INIT;
    r.job_id = c->job->job_id;
    send_call(c, "Jobs/PauseJob", &r.base);
}

static void send_look(struct client *c)
{
    Fermata__V1__GetJobRequest r = FERMATA__V1__GET_JOB_REQUEST__INIT;
    r.job_id = c->job->job_id;
    r.without_state = true;
    send_call(c, "Jobs/GetJob", &r.base);
}

/* Where the outcome of the operation is kept; NULL: nowhere. */
static enum outcome *outcome_of(struct client *c)
{
    switch (c->op) {
    case OP_SUBMIT:
        return &c->job->submit;
    case OP_INPUT:
        return &c->job->inputs[c->k];
    case OP_CANCEL:
        return &c->job->cancel;
    case OP_ANSWER:
        return &c->job->answer;
    case OP_LATE:
        return &c->job->late_answer;
    default:
        return NULL;
    }
}

static void issue(struct client *c)
{
    static void (*const sends[])(struct client *) = {NULL,        send_submit,   send_input,  send_cancel,
                                                     send_pause,  send_release,  send_answer, send_answer,
                                                     send_answer, send_decision, send_look};
    enum outcome *o = outcome_of(c);
    if (o != NULL && *o == NOT_SENT)
        *o = UNKNOWN;
    c->attempts++;
    sends[c->op](c);
}

static void on_timer(void *arg)
{
    struct client *c = arg;
    if (c->op == OP_NONE)
        choose(c);
    else
        issue(c);
}

static void wait_then(struct client *c, unsigned least_ms, unsigned spread_ms)
{
    rpc_timer_start(all.loop, &c->timer,
                    fm_now_mono_ms() + least_ms + (int64_t)fm_rng_below(&c->rng, spread_ms + 1), on_timer, c);
}

static void begin(struct client *c, enum op op)
{
    c->op = op;
    c->attempts = 0;
    wait_then(c, 0, 30);
}

static void end_op(struct client *c)
{
    c->op = OP_NONE;
    c->once = false;
    wait_then(c, 5, 120);
}

/* ---- replies ---- */

static void job_over(struct client *c)
{
    c->job = NULL;
    end_op(c);
}

static void on_submitted(struct client *c, struct fm_bytes reply)
{
    Fermata__V1__SubmitJobResponse *r = fermata__v1__submit_job_response__unpack(NULL, reply.n, reply.p);
    if (r == NULL || strlen(r->job_id) != 26)
        chaos_violation("submit s%u: the reply is malformed", c->job->no);
    else
        snprintf(c->job->job_id, sizeof(c->job->job_id), "%s", r->job_id);
    if (r != NULL)
        fermata__v1__submit_job_response__free_unpacked(r, NULL);
}

static void on_cancelled(struct client *c, struct fm_bytes reply)
{
    Fermata__V1__CancelJobResponse *r = fermata__v1__cancel_job_response__unpack(NULL, reply.n, reply.p);
    if (r == NULL)
        chaos_violation("cancel of s%u: the reply is malformed", c->job->no);
    else if (r->status != FERMATA__V1__JOB_STATUS__JOB_STATUS_CANCELLED)
        c->job->cancel = REFUSED; /* it had ended by itself */
    if (r != NULL)
        fermata__v1__cancel_job_response__free_unpacked(r, NULL);
}

static void check_grows(struct client *c, const char *what, uint32_t *seen, uint32_t now)
{
    if (now < *seen)
        chaos_violation("job %s (s%u): its %s was %u and is %u", c->job->job_id, c->job->no, what, *seen,
                        now);
    *seen = now;
}

static void look_at_pauses(struct client *c, const Fermata__V1__Job *job)
{
    c->question[0] = c->lost[0] = c->operator_pause[0] = '\0';
    for (size_t i = 0; i < job->n_pauses; i++) {
        const Fermata__V1__Pause *p = job->pauses[i];
        bool question = p->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_QUESTION;
        bool lost = p->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_OUTCOME_UNKNOWN;
        snprintf(question ? c->question
                 : lost   ? c->lost
                          : c->operator_pause,
                 sizeof(c->question), "%s", p->pause_id);
    }
    if (c->question[0] != '\0' && c->job->answer == ACKED)
        chaos_violation("job %s (s%u): question %s is open although its answer was acknowledged",
                        c->job->job_id, c->job->no, c->question);
}

static void look_at_job(struct client *c, const Fermata__V1__Job *job)
{
    struct entry *e = c->job;
    const ProtobufCEnumValue *name =
        protobuf_c_enum_descriptor_get_value(&fermata__v1__job_status__descriptor, (int)job->status);
    c->status = name == NULL ? "?" : name->name;
    check_grows(c, "epoch", &e->epoch, job->epoch);
    check_grows(c, "number of steps", &e->steps, job->step_count);
    check_grows(c, "revision", &e->revision, job->revision);
    look_at_pauses(c, job);
    bool ended = job->status == FERMATA__V1__JOB_STATUS__JOB_STATUS_COMPLETED ||
                 job->status == FERMATA__V1__JOB_STATUS__JOB_STATUS_CANCELLED ||
                 job->status == FERMATA__V1__JOB_STATUS__JOB_STATUS_FAILED;
    if (e->ended && !ended)
        chaos_violation("job %s (s%u) had ended and is %s", e->job_id, e->no, c->status);
    if (e->cancel == ACKED && job->status != FERMATA__V1__JOB_STATUS__JOB_STATUS_CANCELLED)
        chaos_violation("job %s (s%u) was cancelled and is %s", e->job_id, e->no, c->status);
    e->ended = ended;
}

static void on_looked(struct client *c, struct fm_bytes reply)
{
    Fermata__V1__GetJobResponse *r = fermata__v1__get_job_response__unpack(NULL, reply.n, reply.p);
    if (r == NULL || r->job == NULL)
        chaos_violation("look at s%u: the reply is malformed", c->job->no);
    else
        look_at_job(c, r->job);
    if (r != NULL)
        fermata__v1__get_job_response__free_unpacked(r, NULL);
}

static void on_decided(struct client *c)
{
    c->lost[0] = '\0';
    all.decisions++;
}

static void on_ok(struct client *c, struct fm_bytes reply)
{
    enum outcome *o = outcome_of(c);
    if (o != NULL)
        *o = ACKED;
    if (c->op == OP_SUBMIT)
        on_submitted(c, reply);
    else if (c->op == OP_CANCEL)
        on_cancelled(c, reply);
    else if (c->op == OP_LOOK)
        on_looked(c, reply);
    else if (c->op == OP_DECIDE)
        on_decided(c);
    else if (c->op == OP_ANSWER)
        snprintf(c->answered, sizeof(c->answered), "%s", c->question);
    else if (c->op == OP_LATE)
        chaos_violation("job %s (s%u): a second answer to question %s was accepted", c->job->job_id,
                        c->job->no, c->answered);
    end_op(c);
}

static bool is_definite(enum fm_code code)
{
    return code == FM_INVALID_ARGUMENT || code == FM_NOT_FOUND || code == FM_ALREADY_EXISTS ||
           code == FM_PERMISSION_DENIED || code == FM_FAILED_PRECONDITION || code == FM_OUT_OF_RANGE ||
           code == FM_UNIMPLEMENTED || code == FM_DATA_LOSS || code == FM_UNAUTHENTICATED;
}

/* Whether there is a reason to refuse the operation: the job may have ended, or the question been closed. */
static bool may_be_refused(const struct client *c, enum fm_code code)
{
    if (code != FM_FAILED_PRECONDITION)
        return false;
    bool cancelled = c->job->cancel != NOT_SENT;
    switch (c->op) {
    case OP_INPUT:
        return cancelled || c->job->answer != NOT_SENT;
    case OP_ANSWER:
        return cancelled;
    case OP_REPEAT:
        return false;
    case OP_LATE:
    case OP_PAUSE:
    case OP_RELEASE:
    case OP_DECIDE:
        return true;
    default:
        return false;
    }
}

static void on_refused(struct client *c, const struct fm_err *status)
{
    enum outcome *o = outcome_of(c);
    if (o != NULL)
        *o = REFUSED;
    if (c->op == OP_DECIDE)
        c->lost[0] = '\0'; /* the next look shows whether it still asks */
    if (!may_be_refused(c, status->code))
        chaos_violation("job %s (s%u): %s, attempt %u, was refused: %s: %s", c->job->job_id, c->job->no,
                        op_names[c->op], c->attempts, fm_code_name((int)status->code), status->msg);
    if (c->op == OP_SUBMIT || c->op == OP_LOOK)
        job_over(c);
    else
        end_op(c);
}

static void on_reply(void *user, const struct fm_err *status, struct fm_bytes reply)
{
    struct client *c = user;
    if (status->code == FM_OK) {
        on_ok(c, reply);
        return;
    }
    if (is_definite(status->code)) {
        on_refused(c, status);
        return;
    }
    if (status->code == FM_UNAVAILABLE) { /* the channel would hold its next attempt back */
        rpc_channel_free(c->channel);
        c->channel = rpc_channel_new(all.loop, all.target, MAX_MESSAGE, NULL);
    }
    if (!c->once && c->op != OP_PAUSE)
        wait_then(c, 50, 300);
    else if (c->op == OP_SUBMIT)
        job_over(c); /* its job may be there; the oracle looks for it */
    else
        end_op(c);
}

/* ---- what to do next ---- */

static void new_job(struct client *c)
{
    c->job = ledger_add();
    c->inputs_left = (unsigned)fm_rng_below(&c->rng, MAX_INPUTS + 1);
    c->k = 0;
    c->cancels = chance(c, 12);
    c->pauses = chance(c, 15);
    c->repeats = chance(c, 30);
    c->comes_late = chance(c, 30);
    c->releases = c->decisions = 0;
    c->answered[0] = c->question[0] = c->lost[0] = c->operator_pause[0] = '\0';
    c->status = "?";
    c->once = chance(c, 15);
    begin(c, OP_SUBMIT);
}

static void choose(struct client *c)
{
    if (c->job != NULL && c->job->ended)
        c->job = NULL;
    if (c->job == NULL && atomic_load(&all.finishing)) {
        atomic_fetch_sub(&all.busy, 1);
    } else if (c->job == NULL) {
        new_job(c);
    } else if (c->inputs_left > 0 && chance(c, 25)) {
        c->k = --c->inputs_left;
        c->once = chance(c, 20);
        begin(c, OP_INPUT);
    } else if (c->cancels && chance(c, 6)) {
        c->cancels = false;
        begin(c, OP_CANCEL);
    } else if (c->pauses && chance(c, 20)) {
        c->pauses = false;
        begin(c, OP_PAUSE);
    } else if (c->operator_pause[0] != '\0' && chance(c, 50)) {
        c->releases++;
        begin(c, OP_RELEASE);
    } else if (c->lost[0] != '\0') {
        c->decisions++;
        begin(c, OP_DECIDE);
    } else if (c->question[0] != '\0' && c->job->answer == NOT_SENT) {
        begin(c, OP_ANSWER);
    } else if (c->repeats && c->job->answer == ACKED) {
        c->repeats = false;
        begin(c, OP_REPEAT);
    } else if (c->comes_late && c->job->answer == ACKED) {
        c->comes_late = false;
        begin(c, OP_LATE);
    } else {
        begin(c, OP_LOOK);
    }
}

/* ---- life ---- */

static void start_all(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < all.n; i++)
        choose(&all.list[i]);
}

void clients_start(struct rpc_loop *l, const char *target, unsigned n, uint64_t seed)
{
    all.loop = l;
    snprintf(all.target, sizeof(all.target), "%s", target);
    all.list = fm_xcalloc(n, sizeof(*all.list));
    all.n = n;
    atomic_store(&all.busy, n);
    for (unsigned i = 0; i < n; i++) {
        fm_rng_init(&all.list[i].rng, seed * 1000 + i);
        all.list[i].channel = rpc_channel_new(l, target, MAX_MESSAGE, NULL);
    }
    if (!rpc_loop_post(l, start_all, NULL))
        chaos_die("the loop has stopped");
}

void clients_finish(void)
{
    atomic_store(&all.finishing, true);
}

unsigned clients_busy(void)
{
    return atomic_load(&all.busy);
}

static void describe(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < all.n; i++) {
        const struct client *c = &all.list[i];
        if (c->job != NULL)
            chaos_say("client %u: job %s (s%u), %s when last seen, epoch %u, %u steps; now %s, attempt %u", i,
                      c->job->job_id, c->job->no, c->status, c->job->epoch, c->job->steps, op_names[c->op],
                      c->attempts);
    }
}

void clients_describe(void)
{
    (void)rpc_loop_post(all.loop, describe, NULL);
}

void clients_free(void)
{
    chaos_say("%u decisions about tasks that were lost", all.decisions);
    for (unsigned i = 0; i < all.n; i++)
        rpc_channel_free(all.list[i].channel);
    free(all.list);
}
