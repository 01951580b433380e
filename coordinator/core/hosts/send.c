/* What hosts are told. */
#include "send.h"

#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "buf.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "host.h"
#include "job.h"
#include "job_state.h"
#include "losses.h"
#include "mem.h"
#include "pace.h"
#include "pause.h"
#include "pbc.h"
#include "state.h"
#include "unit.h"

void host_send_message(struct core *c, struct host *h, uint32_t field, const void *message)
{
    fm_auto(fm_buf) b = {0};
    pb_pack(message, &b);
    host_send(c, h, field, fm_buf_bytes(&b));
}

/* The job's breakpoints; a single step is one that holds whatever comes next. */
static void put_breakpoints(const struct job *job, struct fm_buf *out, uint32_t field)
{
    const Fermata__V1__Job *h = job->head;
    for (size_t i = 0; i < h->n_breakpoints; i++)
        pb_put(out, field, h->breakpoints[i]);
    if (!h->single_step)
        return;
    Fermata__V1__Breakpoint any = FERMATA__V1__BREAKPOINT__INIT;
    char star[] = "*";
    any.routine = star;
    pb_put(out, field, &any);
}

void host_send_breakpoints(struct core *c, struct job *job)
{
    fm_auto(fm_buf) b = {0};
    fm_buf_put_string(&b, FIELD_DELIVER_JOB_ID, job->text);
    fm_buf_put_tag_varint(&b, FIELD_DELIVER_EPOCH, job->head->epoch);
    fm_buf_put_tag_varint(&b, FIELD_DELIVER_SET_BREAKPOINTS, 1);
    put_breakpoints(job, &b, FIELD_DELIVER_BREAKPOINTS);
    host_send(c, job->host, FIELD_COORDINATOR_MESSAGE_DELIVER, fm_buf_bytes(&b));
}

static void host_send_intent_ack(struct core *c, struct job *job, uint32_t epoch, const char *task_id)
{
    Fermata__V1__Intent m = FERMATA__V1__INTENT__INIT;
    m.job_id = job->text;
    m.epoch = epoch;
    m.task_id = (char *)(uintptr_t)task_id;
    host_send_message(c, job->host, FIELD_COORDINATOR_MESSAGE_INTENT_ACK, &m);
}

/* Tasks that shall fail, and why; those with nothing beside them. */
static void put_lost(const Fermata__V1__Job *head, struct fm_buf *out)
{
    for (size_t i = 0; i < head->n_lost_tasks; i++) {
        const Fermata__V1__TaskLoss *loss = loss_find(head, head->lost_tasks[i]);
        char why[512] = "";
        if (loss != NULL && loss->fails)
            loss_text(loss, why, sizeof(why));
        fm_buf_put_string(out, FIELD_ASSIGN_LOST_TASKS, head->lost_tasks[i]);
        fm_buf_put_string(out, FIELD_ASSIGN_LOST_REASONS, why);
    }
    for (size_t i = 0; i < head->n_losses; i++)
        if (loss_tries(head, head->losses[i]))
            fm_buf_put_string(out, FIELD_ASSIGN_SUSPECT_TASKS, head->losses[i]->task_id);
}

/* The questions that routines of the job may withdraw. */
static void put_asked(const Fermata__V1__Job *head, struct fm_buf *out)
{
    for (size_t i = 0; i < head->n_pauses; i++) {
        const Fermata__V1__Pause *p = head->pauses[i];
        Fermata__V1__AskedQuestion m = FERMATA__V1__ASKED_QUESTION__INIT;
        if (!pause_is_question(p))
            continue;
        m.pause_id = p->pause_id;
        m.routine = p->routine;
        m.key = p->key;
        m.call_id = p->call_id;
        pb_put(out, FIELD_ASSIGN_ASKED, &m);
    }
}

static void host_send_assign(struct core *c, struct job *job)
{
    struct host *h = job->host;
    if (h->conn == 0)
        return; /* when it comes back it will not hold the job, and the job is given away again */
    if (!pace_assign(h, job))
        return;
    host_flush(c, h); /* the jobs that have left it are said first: their places are given away already */
    struct fm_buf b = {0}, state = {0};
    fm_buf_put_string(&b, FIELD_ASSIGN_JOB_ID, job->text);
    fm_buf_put_tag_varint(&b, FIELD_ASSIGN_EPOCH, job->head->epoch);
    fm_buf_put_len_delim(&b, FIELD_ASSIGN_FLOW, job->def->body.p, job->def->body.n);
    job_state_encode(job->state, NULL, &state);
    fm_buf_put_len_delim(&b, FIELD_ASSIGN_STATE, state.p, state.n);
    job->inputs_sent = job_state_inputs(job->state);
    struct task_item *t;
    DL_FOREACH (job->inputs, t) {
        if (t->input_number > job->inputs_on_disk)
            break;
        fm_buf_put_len_delim(&b, FIELD_ASSIGN_INPUTS, t->body.p, t->body.n);
        job->inputs_sent = t->input_number;
    }
    if (job->head->emit_deferred)
        fm_buf_put_tag_varint(&b, FIELD_ASSIGN_EMIT_DEFERRED, 1);
    if (job->head->halted_at != 0)
        fm_buf_put_tag_varint(&b, FIELD_ASSIGN_HALTED_AT, job->head->halted_at);
    put_asked(job->head, &b);
    Google__Protobuf__Timestamp now = core_now(c);
    pb_put(&b, FIELD_ASSIGN_NOW, &now);
    put_breakpoints(job, &b, FIELD_ASSIGN_BREAKPOINTS);
    if (job->head->released_task[0] != '\0')
        fm_buf_put_string(&b, FIELD_ASSIGN_RELEASED_TASK, job->head->released_task);
    put_lost(job->head, &b);
    job->assign_sent = true;
    host_send(c, h, FIELD_COORDINATOR_MESSAGE_ASSIGN, fm_buf_bytes(&b));
    pace_sent(h, b.n);
    fm_buf_done(&b);
    fm_buf_done(&state);
    if (job->head->pause_requested)
        host_send_interrupt(c, h->conn, job, job->head->epoch, INTERRUPT_KIND_PAUSE);
    else if (h->draining || job->head->continue_wanted != NULL)
        host_send_interrupt(c, h->conn, job, job->head->epoch, INTERRUPT_KIND_DRAIN);
}

void pace_acked(struct core *c, struct host *h, uint64_t seq)
{
    pace_take_acked(h, seq);
    while (h->assigns != NULL && h->assign_bytes < UNDER_WAY_BYTES) {
        struct job *job = h->assigns;
        pace_forget(h, job);
        host_send_assign(c, job);
    }
}

void host_send_inputs(struct core *c, struct job *job)
{
    if (job->host == NULL || !job->assign_sent || job->host->conn == 0)
        return;
    fm_auto(fm_buf) b = {0};
    struct task_item *t;
    bool any = false;
    fm_buf_put_string(&b, FIELD_DELIVER_JOB_ID, job->text);
    fm_buf_put_tag_varint(&b, FIELD_DELIVER_EPOCH, job->head->epoch);
    DL_FOREACH (job->inputs, t) {
        if (t->input_number <= job->inputs_sent)
            continue;
        if (t->input_number > job->inputs_on_disk)
            break;
        fm_buf_put_len_delim(&b, FIELD_DELIVER_INPUTS, t->body.p, t->body.n);
        job->inputs_sent = t->input_number;
        any = true;
    }
    if (job->head->emit_deferred)
        fm_buf_put_tag_varint(&b, FIELD_DELIVER_EMIT_DEFERRED, 1);
    if (any)
        host_send(c, job->host, FIELD_COORDINATOR_MESSAGE_DELIVER, fm_buf_bytes(&b));
}

/* What of its grace is left to a step for which a pause waits. */
static uint32_t grace_left(const struct core *c, const struct job *job)
{
    if (job->head->pause_abort_at == NULL)
        return FM_GRACE_WITHOUT_END;
    int64_t left = time_to_ms(job->head->pause_abort_at) - c->wall_ms;
    return left <= 0 ? 0 : left < FM_GRACE_WITHOUT_END ? (uint32_t)left : FM_GRACE_WITHOUT_END - 1;
}

void host_send_interrupt(struct core *c, uint64_t conn, struct job *job, uint32_t epoch, int kind)
{
    struct host *h = host_by_conn(c, conn);
    if (h == NULL)
        return;
    if (kind == INTERRUPT_KIND_PAUSE && (job->host != h || !job->assign_sent || job->head->epoch != epoch))
        return; /* not there yet: it goes out behind the Assign; or there no more */
    Fermata__V1__Interrupt m = FERMATA__V1__INTERRUPT__INIT;
    m.job_id = job->text;
    m.epoch = epoch;
    m.kind = (Fermata__V1__InterruptKind)kind;
    if (kind == INTERRUPT_KIND_PAUSE)
        m.grace_ms = grace_left(c, job);
    host_send_message(c, h, FIELD_COORDINATOR_MESSAGE_INTERRUPT, &m);
}

void host_queue_ack(struct host *h, const struct job *job, uint32_t epoch, uint32_t number,
                    enum job_stay stay)
{
    Fermata__V1__StepAck ack = FERMATA__V1__STEP_ACK__INIT;
    ack.job_id = (char *)(uintptr_t)job->text;
    ack.epoch = epoch;
    ack.number = number;
    ack.released = stay == JOB_HAS_LEFT;
    pb_put(&h->acks, FIELD_STEP_ACK_BATCH_ACKS, &ack);
    h->acks_urgent = h->acks_urgent || stay == JOB_STAYS;
}

static void send_field(struct core *c, struct host *h, uint32_t field, struct fm_bytes body, bool urgent)
{
    if (h->conn == 0)
        return;
    fm_auto(fm_buf) b = {0};
    fm_buf_reserve(&b, body.n + 32);
    fm_buf_put_tag_varint(&b, FIELD_COORDINATOR_MESSAGE_SEQ, ++h->seq_out);
    if (h->mark_seq == 0) {
        h->mark_seq = h->seq_out;
        h->mark_ms = c->now_ms;
    }
    fm_buf_put_tag_varint(&b, FIELD_COORDINATOR_MESSAGE_ACK, h->seq_in);
    fm_buf_put_len_delim(&b, field, body.p, body.n);
    c->io.host_send(c->io.arg, h->conn, fm_buf_bytes(&b), urgent);
}

void host_send(struct core *c, struct host *h, uint32_t field, struct fm_bytes body)
{
    send_field(c, h, field, body, true);
}

void host_flush(struct core *c, struct host *h)
{
    if (h->acks.n == 0)
        return;
    send_field(c, h, FIELD_COORDINATOR_MESSAGE_STEP_ACKS, fm_buf_bytes(&h->acks), h->acks_urgent);
    fm_buf_reset(&h->acks);
    h->acks_urgent = false;
}

/* ---- what hosts hear when a unit is on disk ---- */

static void inputs_done(struct core *c, struct job *job, struct effect *e)
{
    job->inputs_on_disk = e->number;
    host_send_inputs(c, job);
}

static void ack_done(struct core *c, struct job *job, struct effect *e)
{
    struct host *h = host_by_conn(c, e->conn);
    if (h != NULL)
        host_queue_ack(h, job, e->epoch, e->number, e->released ? JOB_HAS_LEFT : JOB_STAYS);
}

/* What the host was to hear is lost, and perhaps true all the same. */
static void host_must_ask(struct core *c, struct effect *e, const struct fm_err *err)
{
    (void)err;
    host_resync(c, e->conn);
}

static void assign_done(struct core *c, struct job *job, struct effect *e)
{
    if (job->host != NULL && job->head->epoch == e->epoch)
        host_send_assign(c, job);
}

static void interrupt_done(struct core *c, struct job *job, struct effect *e)
{
    host_send_interrupt(c, e->conn, job, e->epoch, (int)e->number);
}

static void intent_done(struct core *c, struct job *job, struct effect *e)
{
    if (job->host != NULL && job->assign_sent && job->head->epoch == e->epoch)
        host_send_intent_ack(c, job, e->epoch, (const char *)e->bytes.p);
}

static const struct effect_kind inputs_kind = {"inputs", inputs_done, NULL, NULL, NULL};
static const struct effect_kind ack_kind = {"acknowledgement", ack_done, host_must_ask, NULL, NULL};
static const struct effect_kind assign_kind = {"assignment", assign_done, NULL, NULL, NULL};
static const struct effect_kind interrupt_kind = {"interrupt", interrupt_done, host_must_ask, NULL, NULL};
static const struct effect_kind intent_kind = {"intent", intent_done, NULL, NULL, NULL};

void inputs_effect(struct unit *u, uint32_t number)
{
    unit_effect(u, &inputs_kind, FM_NO_BYTES)->number = number;
}

void ack_effect(struct unit *u, uint64_t conn, uint32_t epoch, uint32_t number, enum job_stay stay)
{
    struct effect *e = unit_effect(u, &ack_kind, FM_NO_BYTES);
    e->conn = conn;
    e->epoch = epoch;
    e->number = number;
    e->released = stay == JOB_HAS_LEFT;
}

void assign_effect(struct unit *u, uint32_t epoch)
{
    unit_effect(u, &assign_kind, FM_NO_BYTES)->epoch = epoch;
}

void interrupt_effect(struct unit *u, const struct job *job, int kind)
{
    struct effect *e = unit_effect(u, &interrupt_kind, FM_NO_BYTES);
    e->conn = job->host->conn;
    e->epoch = job->head->epoch;
    e->number = (uint32_t)kind;
}

void intent_effect(struct unit *u, uint32_t epoch, const char *task_id)
{
    unit_effect(u, &intent_kind, (struct fm_bytes){(const uint8_t *)task_id, strlen(task_id) + 1})->epoch =
        epoch;
}

void intent_forget(struct unit *u, const char *task_id)
{
    struct effect *e;
    DL_FOREACH ((u == NULL ? NULL : u->effects), e)
        if (e->kind == &intent_kind && strcmp((const char *)e->bytes.p, task_id) == 0)
            e->epoch = 0;
}
