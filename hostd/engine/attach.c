/* The host's side of the stream: Hello and Welcome, numbering, heartbeats, silence, the lease, batches of
 * steps, Goodbye. See engine_int.h. */
#include "engine_int.h"

#include <string.h>

#include <utlist.h>

#include "fermata/v1/host_agent.pb.h"
#include "log.h"
#include "mem.h"
#include "wire_nano.h"

#define PROTOCOL_VERSION 1
#define WELCOME_MS 10000
#define UNSAID_BYTES                                                                                         \
    (4u * 1024 * 1024) /* the coordinator sends a bounded amount ahead: it must hear of this at once */

/* fields of HostMessage */
enum {
    FIELD_SEQ = 1,
    FIELD_ACK = 2,
    FIELD_HELLO = 3,
    FIELD_STEPS = 4,
    FIELD_HEARTBEAT = 5,
    FIELD_RELEASE = 6,
    FIELD_GOODBYE = 7,
    FIELD_INTENT = 8,
    FIELD_PROGRESS = 9
};

static void pack(const pb_msgdesc_t *desc, const void *msg, struct fm_buf *out)
{
    struct fm_err err = {0};
    if (pb_var_encode(desc, msg, out, &err) < 0)
        fm_abort(err.msg);
}

void session_send(struct engine *e, uint32_t field, const struct fm_buf *body)
{
    struct fm_buf b = {0};
    fm_buf_reserve(&b, body->n + 32);
    fm_buf_put_tag_varint(&b, FIELD_SEQ, ++e->seq_out);
    fm_buf_put_tag_varint(&b, FIELD_ACK, e->seq_in);
    e->unsaid_bytes = 0;
    if (e->mark_seq == 0) {
        e->mark_seq = e->seq_out;
        e->mark_ms = e->now_ms;
    }
    fm_buf_put_len_delim(&b, field, body->p, body->n);
    e->io.send(e->io.arg, (struct fm_bytes){b.p, b.n});
    fm_buf_done(&b);
}

void session_close(struct engine *e, const char *why)
{
    if (e->closing)
        return;
    e->closing = true;
    e->welcomed = false;
    FM_LOG(WARN, HOST, "the stream to the coordinator is ended", FM_STR("why", why));
    e->io.close(e->io.arg, why);
}

/* ---- steps and releases ---- */

void session_flush(struct engine *e)
{
    if (e->batch.n == 0)
        return;
    if (e->welcomed)
        session_send(e, FIELD_STEPS, &e->batch);
    fm_buf_reset(
        &e->batch); /* without a session they stay in their jobs' lists and are sent after the next Welcome */
}

void session_add_step(struct engine *e, const struct hjob *job, struct fm_bytes step)
{
    if (!e->welcomed)
        return;
    struct fm_buf b = {0};
    fm_buf_put_string(&b, 1, job->id);
    fm_buf_put_len_delim(&b, 2, step.p, step.n);
    if (e->batch.n > 0 && e->batch.n + b.n > BATCH_BYTES)
        session_flush(e);
    fm_buf_put_len_delim(&e->batch, 1, b.p, b.n);
    fm_buf_done(&b);
}

static void add_unstarted(struct pb_var *list, const struct task *t)
{
    struct fm_bytes *items = fm_xrealloc(list->items, (list->n + 1) * sizeof(*items));
    items[list->n] = (struct fm_bytes){(const uint8_t *)t->id, strlen(t->id)};
    *list = pb_var_list(items, list->n + 1);
}

/* The tasks whose intents were sent and whose handlers have not begun; free the items. */
static struct pb_var unstarted(const struct hjob *job)
{
    struct pb_var list = {0};
    for (size_t i = 0; job->flow != NULL && i < job->flow->n_routines; i++) {
        const struct routine *r = &job->flow->routines[i];
        const struct task *t;
        if (r->run != NULL && r->run->task->announced)
            add_unstarted(&list, r->run->task);
        DL_FOREACH (r->queue, t)
            if (t->announced)
                add_unstarted(&list, t);
    }
    return list;
}

void session_release(struct engine *e, const struct hjob *job, int reason, const char *message,
                     const char *task_id)
{
    if (!e->welcomed)
        return;
    session_flush(e);
    fermata_v1_Release m;
    memset(&m, 0, sizeof(m));
    m.unstarted_tasks = unstarted(job);
    m.job_id = pb_var_str(job->id);
    m.epoch = job->epoch;
    m.last_step = job->last_step;
    m.reason = (fermata_v1_ReleaseReason)reason;
    m.message = pb_var_str(message);
    m.task_id = pb_var_str(task_id);
    struct fm_buf b = {0};
    pack(fermata_v1_Release_fields, &m, &b);
    free(m.unstarted_tasks.items);
    session_send(e, FIELD_RELEASE, &b);
    fm_buf_done(&b);
}

void session_intent(struct engine *e, const struct hjob *job, const char *task_id)
{
    if (!e->welcomed)
        return; /* after the next Welcome */
    session_flush(e);
    fermata_v1_Intent m;
    memset(&m, 0, sizeof(m));
    m.job_id = pb_var_str(job->id);
    m.epoch = job->epoch;
    m.task_id = pb_var_str(task_id);
    struct fm_buf b = {0};
    pack(fermata_v1_Intent_fields, &m, &b);
    session_send(e, FIELD_INTENT, &b);
    fm_buf_done(&b);
}

/* The end of the text that is short enough, from the beginning of a character. */
static const char *tail_of(const char *text)
{
    size_t n = strlen(text);
    if (n <= MAX_PROGRESS_BYTES)
        return text;
    text += n - MAX_PROGRESS_BYTES;
    while (((uint8_t)*text & 0xc0) == 0x80)
        text++;
    return text;
}

static bool is_utf8(const char *text)
{
    size_t left = strlen(text), n;
    for (const uint8_t *p = (const uint8_t *)text; left > 0; p += n, left -= n)
        if ((n = fm_utf8_sequence(p, left)) == 0)
            return false;
    return true;
}

bool session_progress(struct engine *e, const struct fm_ctx *ctx, const char *text)
{
    const char *tail = tail_of(text);
    if (!e->welcomed || !is_utf8(tail))
        return false;
    if (e->now_ms - e->progress_since_ms >= PROGRESS_MS) {
        e->progress_since_ms = e->now_ms;
        e->progress_sent = 0;
    }
    if (e->progress_sent >= MAX_PROGRESS_MESSAGES)
        return false;
    e->progress_sent++;
    session_flush(e);
    fermata_v1_Progress m;
    struct fm_err err = {0};
    memset(&m, 0, sizeof(m));
    m.job_id = pb_var_str(ctx->job->id);
    m.epoch = ctx->job->epoch;
    m.task_id = pb_var_str(ctx->task->id);
    m.routine = pb_var_str(ctx->routine->id);
    m.text = pb_var_str(tail);
    m.offset = (uint64_t)(tail - text);
    struct fm_buf b = {0};
    if (pb_var_encode(fermata_v1_Progress_fields, &m, &b, &err) == 0)
        session_send(e, FIELD_PROGRESS, &b);
    fm_err_done(&err);
    fm_buf_done(&b);
    return true;
}

/* ---- Hello ---- */

static void add_entry(struct fm_buf *out, uint32_t field, const char *key, const char *value)
{
    struct fm_buf b = {0};
    fm_buf_put_string(&b, 1, key);
    fm_buf_put_string(&b, 2, value);
    fm_buf_put_len_delim(out, field, b.p, b.n);
    fm_buf_done(&b);
}

static void add_type(struct fm_buf *out, const struct fm_routine_type *t)
{
    struct fm_bytes *slots = fm_xcalloc(t->n_slots + 1, sizeof(*slots)),
                    *events = fm_xcalloc(t->n_events + 1, sizeof(*events));
    for (size_t i = 0; i < t->n_slots; i++)
        slots[i] = (struct fm_bytes){(const uint8_t *)t->slots[i].name, strlen(t->slots[i].name)};
    for (size_t i = 0; i < t->n_events; i++)
        events[i] = (struct fm_bytes){(const uint8_t *)t->events[i], strlen(t->events[i])};
    fermata_v1_RoutineType m;
    memset(&m, 0, sizeof(m));
    m.name = pb_var_str(t->name);
    m.version = t->version;
    m.slots = pb_var_list(slots, t->n_slots);
    m.events = pb_var_list(events, t->n_events);
    m.effects = (t->flags & FM_EFFECTS) != 0;
    struct fm_buf b = {0};
    pack(fermata_v1_RoutineType_fields, &m, &b);
    fm_buf_put_len_delim(out, 6, b.p, b.n);
    fm_buf_done(&b);
    free(slots);
    free(events);
}

static void add_held(struct fm_buf *out, const struct hjob *job)
{
    fermata_v1_HeldJob m;
    memset(&m, 0, sizeof(m));
    m.job_id = pb_var_str(job->id);
    m.epoch = job->epoch;
    m.last_step = job->last_step;
    struct fm_buf b = {0};
    pack(fermata_v1_HeldJob_fields, &m, &b);
    fm_buf_put_len_delim(out, 7, b.p, b.n);
    fm_buf_done(&b);
}

static void send_hello(struct engine *e)
{
    struct fm_buf b = {0};
    fm_buf_put_string(&b, 1, e->host_id);
    fm_buf_put_string(&b, 2, e->incarnation);
    fm_buf_put_tag_varint(&b, 3, PROTOCOL_VERSION);
    for (size_t i = 0; i < e->n_labels; i++)
        add_entry(&b, 4, e->labels[i].key, e->labels[i].value);
    fm_buf_put_tag_varint(&b, 5, e->capacity);
    for (size_t i = 0; i < registry_count(e->registry); i++)
        add_type(&b, registry_at(e->registry, i));
    for (const struct hjob *job = e->jobs; job != NULL; job = job->hh.next)
        add_held(&b, job);
    fm_buf_put_string(&b, 8, e->version);
    if (e->draining)
        fm_buf_put_tag_varint(&b, 9, 1);
    session_send(e, FIELD_HELLO, &b);
    fm_buf_done(&b);
}

void engine_connected(struct engine *e, int64_t now_ms)
{
    e->now_ms = now_ms;
    e->connected = true;
    e->welcomed = e->closing = false;
    e->seq_out = e->seq_in = e->mark_seq = 0;
    e->next_heartbeat_ms = now_ms + WELCOME_MS; /* until Welcome: when to give up */
    send_hello(e);
}

void engine_disconnected(struct engine *e, int64_t now_ms)
{
    e->now_ms = now_ms;
    e->connected = e->welcomed = e->closing = false;
    fm_buf_reset(&e->batch);
    if (e->draining && e->jobs == NULL)
        session_drained(e);
}

/* ---- Welcome ---- */

/* The job is not woken here but by on_welcome: a job with nothing left to do is given back then, behind its
 * steps, and gone. */
static void resend(struct hjob *job, uint32_t applied)
{
    hjob_stored(job, applied);
    for (struct sent_step *s = job->sent; s != NULL; s = s->next)
        session_add_step(job->engine, job, s->body);
    for (size_t i = 0; i < job->flow->n_routines; i++) {
        const struct fm_ctx *run = job->flow->routines[i].run;
        if (run != NULL && run->waits_for_intent)
            session_intent(job->engine, job, run->task->id);
    }
}

static void on_verdict(struct engine *e, struct fm_bytes encoded)
{
    fermata_v1_HeldVerdict v;
    struct fm_err err = {0};
    memset(&v, 0, sizeof(v));
    if (pb_var_decode(fermata_v1_HeldVerdict_fields, &v, encoded, &e->arena, &err) < 0)
        return;
    struct hjob *job = hjob_find(e, v.job_id, v.epoch);
    if (job == NULL)
        return;
    if (v.keep) {
        resend(job, v.applied_step);
        return;
    }
    FM_LOG(INFO, STATE, "the coordinator has given the job to another host, dropping it",
           FM_STR("job", job->id), FM_U64("epoch", job->epoch), FM_U64("step", job->last_step));
    hjob_drop(job);
}

static void on_welcome(struct engine *e, const fermata_v1_Welcome *w)
{
    if (e->welcomed) {
        session_close(e, "Welcome came twice");
        return;
    }
    e->welcomed = e->has_lease = true;
    e->lease_ms = w->lease_ms > 0 ? w->lease_ms : 10000;
    e->heartbeat_ms = w->heartbeat_ms > 0 ? w->heartbeat_ms : 2000;
    e->max_step_bytes = w->max_step_bytes > 0 ? w->max_step_bytes : 4u * 1024 * 1024;
    e->next_heartbeat_ms = e->now_ms + e->heartbeat_ms;
    for (size_t i = 0; i < w->held_jobs.n; i++)
        on_verdict(e, w->held_jobs.items[i]);
    struct hjob *job, *tmp;
    HASH_ITER (hh, e->jobs, job, tmp)
        hjob_wake(job);
    e->io.attached(e->io.arg);
    if (e->draining) {
        e->draining = false;
        engine_drain(e, e->now_ms);
    }
}

/* ---- messages ---- */

static void on_acks(struct engine *e, const fermata_v1_StepAckBatch *b)
{
    for (size_t i = 0; i < b->acks.n; i++) {
        fermata_v1_StepAck a;
        struct fm_err err = {0};
        memset(&a, 0, sizeof(a));
        if (pb_var_decode(fermata_v1_StepAck_fields, &a, b->acks.items[i], &e->arena, &err) < 0)
            continue;
        struct hjob *job = hjob_find(e, a.job_id, a.epoch);
        if (job != NULL)
            hjob_ack(job, a.number, a.released);
    }
}

static void on_reject(struct engine *e, const fermata_v1_StepReject *r)
{
    struct hjob *job = hjob_find(e, r->job_id, r->epoch);
    if (job == NULL)
        return;
    const char *reason = pb_var_dup(r->reason, &e->arena);
    FM_LOG(WARN, STATE, "a step was refused, dropping the job", FM_STR("job", job->id),
           FM_U64("epoch", job->epoch), FM_U64("step", r->number), FM_STR("reason", reason));
    hjob_drop(job);
}

static void send_heartbeat(struct engine *e)
{
    struct fm_buf b = {0};
    fm_buf_put_tag_varint(&b, 1, HASH_COUNT(e->jobs));
    session_send(e, FIELD_HEARTBEAT, &b);
    fm_buf_done(&b);
    e->next_heartbeat_ms = e->now_ms + e->heartbeat_ms;
}

static void dispatch(struct engine *e, const fermata_v1_CoordinatorMessage *m)
{
    struct hjob *job;
    switch (m->which_body) {
    case fermata_v1_CoordinatorMessage_assign_tag:
        hjob_assign(e, &m->body.assign);
        return;
    case fermata_v1_CoordinatorMessage_step_acks_tag:
        on_acks(e, &m->body.step_acks);
        return;
    case fermata_v1_CoordinatorMessage_step_reject_tag:
        on_reject(e, &m->body.step_reject);
        return;
    case fermata_v1_CoordinatorMessage_interrupt_tag:
        job = hjob_find(e, m->body.interrupt.job_id, m->body.interrupt.epoch);
        if (job != NULL)
            hjob_interrupt(job, (int)m->body.interrupt.kind, m->body.interrupt.grace_ms);
        return;
    case fermata_v1_CoordinatorMessage_deliver_tag:
        job = hjob_find(e, m->body.deliver.job_id, m->body.deliver.epoch);
        if (job != NULL)
            hjob_deliver(job, &m->body.deliver);
        if (m->body.deliver.set_breakpoints)
            send_heartbeat(e); /* somebody waits for them to hold */
        return;
    case fermata_v1_CoordinatorMessage_intent_ack_tag:
        job = hjob_find(e, m->body.intent_ack.job_id, m->body.intent_ack.epoch);
        if (job != NULL)
            hjob_intent_ack(job, m->body.intent_ack.task_id);
        return;
    default:
        return; /* a heartbeat: that it came is all it says; or a kind that a later version knows */
    }
}

/* The coordinator counts the lease from what it hears of us, and we from when we sent what it has heard: so
 * ours ends first. That something comes from it says nothing while nothing of us arrives there. */
static void take_ack(struct engine *e, const fermata_v1_CoordinatorMessage *m)
{
    bool welcome = m->which_body == fermata_v1_CoordinatorMessage_welcome_tag; /* it answers Hello */
    if (e->mark_seq == 0 || (m->ack < e->mark_seq && !(welcome && e->mark_seq == 1)))
        return;
    e->lease_from_ms = e->mark_ms;
    e->mark_seq = 0;
}

void engine_message(struct engine *e, struct fm_bytes message, int64_t now_ms)
{
    engine_take(e, message, now_ms);
    engine_run(e);
}

void engine_take(struct engine *e, struct fm_bytes message, int64_t now_ms)
{
    e->now_ms = now_ms;
    session_check_lease(e);
    if (!e->connected || e->closing)
        return;
    fermata_v1_CoordinatorMessage m;
    struct fm_err err = {0};
    memset(&m, 0, sizeof(m));
    fm_arena_reset(&e->arena);
    if (nano_decode(fermata_v1_CoordinatorMessage_fields, "CoordinatorMessage", &m, message,
                    MAX_MESSAGE_BYTES, &e->arena, &err) < 0) {
        session_close(e, err.msg);
        return;
    }
    if (m.seq != 0 && m.seq != e->seq_in + 1) {
        session_close(e, "a message of the coordinator is missing");
        return;
    }
    e->seq_in++;
    take_ack(e, &m);
    bool welcome = m.which_body == fermata_v1_CoordinatorMessage_welcome_tag;
    if (welcome)
        on_welcome(e, &m.body.welcome);
    else if (!e->welcomed)
        session_close(e, "the coordinator's first message is not Welcome");
    else
        dispatch(e, &m);
    e->unsaid_bytes += message.n;
    if (e->welcomed && e->unsaid_bytes > UNSAID_BYTES)
        send_heartbeat(e);
}

/* ---- time ---- */

/* The coordinator may not have heard of us for as long as it waits: by now the jobs may be elsewhere. */
static void end_lease(struct engine *e)
{
    e->has_lease = false;
    if (e->jobs != NULL)
        FM_LOG(WARN, HOST,
               "the lease is over without a sign that the coordinator hears this host, dropping all jobs",
               FM_U64("jobs", HASH_COUNT(e->jobs)), FM_U64("lease_ms", e->lease_ms));
    while (e->jobs != NULL)
        hjob_drop(e->jobs);
    if (e->connected)
        session_close(e, "nothing was heard for the time of the lease");
}

void session_check_lease(struct engine *e)
{
    if (e->has_lease && e->now_ms >= e->lease_from_ms + e->lease_ms)
        end_lease(e);
}

void session_tick(struct engine *e)
{
    session_check_lease(e);
    if (!e->connected || e->closing || e->now_ms < e->next_heartbeat_ms)
        return;
    if (e->welcomed)
        send_heartbeat(e);
    else
        session_close(e, "no Welcome came");
}

int64_t session_deadline(const struct engine *e)
{
    int64_t at = -1;
    if (e->connected && !e->closing)
        at = e->next_heartbeat_ms;
    if (e->has_lease && (at < 0 || e->lease_from_ms + e->lease_ms < at))
        at = e->lease_from_ms + e->lease_ms;
    return at;
}

/* ---- leaving ---- */

void session_drained(struct engine *e)
{
    if (e->goodbye_sent)
        return;
    if (e->connected && !e->welcomed && !e->closing)
        return; /* Hello is under way and said that it stays: Goodbye follows the Welcome */
    e->goodbye_sent = true;
    if (e->welcomed) {
        struct fm_buf b = {0};
        fm_buf_put_string(&b, 1, "draining");
        session_flush(e);
        session_send(e, FIELD_GOODBYE, &b);
        fm_buf_done(&b);
    }
    e->io.drained(e->io.arg);
}
