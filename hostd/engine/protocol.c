/* The host's side of the host protocol. See protocol.h. */
#include "protocol.h"

#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "assign.h"
#include "ctx.h"
#include "engine_state.h"
#include "fermata/v1/host_agent.pb.h"
#include "log.h"
#include "mem.h"
#include "queue.h"
#include "release.h"
#include "unreadable.h"
#include "wire_nano.h"

#define WELCOME_MS 10000
/* The coordinator sends a bounded amount ahead: it must hear that this much has come. */
#define UNSAID_BYTES (4u * 1024 * 1024)

/* ---- Hello ---- */

static void add_entry(struct fm_buf *out, uint32_t field, const char *key, const char *value)
{
    fm_auto(fm_buf) b = {0};
    fm_buf_put_string(&b, 1, key);
    fm_buf_put_string(&b, 2, value);
    fm_buf_put_len_delim(out, field, b.p, b.n);
}

/* A message as an element of a repeated field. */
static void add_message(struct fm_buf *out, uint32_t field, const pb_msgdesc_t *desc, const void *msg)
{
    fm_auto(fm_buf) b = {0};
    pb_var_pack(desc, msg, &b);
    fm_buf_put_len_delim(out, field, b.p, b.n);
}

/* The events with one of the flags; 0: all of them. `*ret` has room for all. */
static struct pb_var events_with(const struct fm_routine_type *t, uint32_t flag, struct fm_bytes *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_events; i++)
        if (flag == 0 || (registry_event_flags(t, t->events[i]) & flag) != 0)
            ret[n++] = fm_bytes_of(t->events[i]);
    return pb_var_list(ret, n);
}

static void add_type(struct fm_buf *out, const struct fm_routine_type *t)
{
    fm_autofree struct fm_bytes *slots = fm_xcalloc(t->n_slots + 1, sizeof(*slots));
    fm_autofree struct fm_bytes *events = fm_xcalloc(t->n_events * 3 + 1, sizeof(*events));
    for (size_t i = 0; i < t->n_slots; i++)
        slots[i] = fm_bytes_of(t->slots[i].name);
    fermata_v1_RoutineType m;
    memset(&m, 0, sizeof(m));
    m.name = pb_var_str(t->name);
    m.version = t->version;
    m.slots = pb_var_list(slots, t->n_slots);
    m.events = events_with(t, 0, events);
    m.notice_events = events_with(t, FM_EVENT_NOTICE, events + t->n_events);
    m.call_events = events_with(t, FM_EVENT_CALL, events + t->n_events * 2);
    m.config_schema = pb_var_str(t->config_schema);
    m.effects = (t->flags & FM_EFFECTS) != 0;
    add_message(out, fermata_v1_Hello_routine_types_tag, fermata_v1_RoutineType_fields, &m);
}

static void add_held(struct fm_buf *out, const struct hjob *job)
{
    fermata_v1_HeldJob m;
    memset(&m, 0, sizeof(m));
    m.job_id = pb_var_str(job->id);
    m.epoch = job->epoch;
    m.last_step = job->last_step;
    add_message(out, fermata_v1_Hello_held_jobs_tag, fermata_v1_HeldJob_fields, &m);
}

static void send_hello(struct session *s)
{
    const struct engine *e = s->engine;
    fm_auto(fm_buf) b = {0};
    fm_buf_put_string(&b, fermata_v1_Hello_host_id_tag, e->host_id);
    fm_buf_put_string(&b, fermata_v1_Hello_incarnation_tag, e->incarnation);
    fm_buf_put_tag_varint(&b, fermata_v1_Hello_protocol_version_tag, FM_PROTOCOL_VERSION);
    for (size_t i = 0; i < e->n_labels; i++)
        add_entry(&b, fermata_v1_Hello_labels_tag, e->labels[i].key, e->labels[i].value);
    fm_buf_put_tag_varint(&b, fermata_v1_Hello_capacity_tag, e->capacity);
    for (size_t i = 0; i < registry_count(e->registry); i++)
        add_type(&b, registry_at(e->registry, i));
    for (const struct hjob *job = e->jobs; job != NULL; job = job->hh.next)
        if (job->session == s)
            add_held(&b, job);
    fm_buf_put_string(&b, fermata_v1_Hello_version_tag, e->version);
    if (e->draining)
        fm_buf_put_tag_varint(&b, fermata_v1_Hello_draining_tag, 1);
    session_send(s, fermata_v1_HostMessage_hello_tag, &b);
}

void protocol_connected(struct session *s)
{
    s->connected = true;
    s->welcomed = s->closing = s->drain_due = false;
    s->seq_out = s->seq_in = s->awaited_seq = 0;
    s->next_heartbeat_ms = s->engine->now_ms + WELCOME_MS; /* until Welcome: when to give up */
    send_hello(s);
}

void protocol_disconnected(struct session *s)
{
    s->connected = s->welcomed = s->closing = false;
    fm_buf_reset(&s->batch);
}

/* ---- Welcome ---- */

/* The job is not woken here but by on_welcome: a job with nothing left to do is given back then,
 * behind its steps, and gone. */
static void resend(struct hjob *job, uint32_t applied)
{
    hjob_stored(job, applied);
    for (const struct sent_step *step = job->sent; step != NULL; step = step->next)
        session_add_step(job->session, job->id, step->body);
    for (size_t i = 0; i < job->flow->n_routines; i++) {
        struct fm_ctx *run = job->flow->routines[i].run;
        if (run != NULL && run->waits_for_intent)
            run->intent_seq = session_intent(job->session, job->id, job->epoch, run->task->id);
    }
}

static void on_verdict(struct engine *e, struct fm_bytes encoded)
{
    fermata_v1_HeldVerdict v;
    fm_auto(fm_err) err = {0};
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
    FM_LOG(INFO, STATE, "the coordinator has given the job to another host; dropping it",
           FM_STR("job", job->id), FM_U64("epoch", job->epoch), FM_U64("step", job->last_step));
    hjob_drop(job);
}

static void on_refused_type(struct engine *e, struct fm_bytes encoded)
{
    fermata_v1_RefusedType t;
    fm_auto(fm_err) err = {0};
    memset(&t, 0, sizeof(t));
    if (pb_var_decode(fermata_v1_RefusedType_fields, &t, encoded, &e->arena, &err) < 0)
        return;
    const char *name = pb_var_dup(t.name, &e->arena), *reason = pb_var_dup(t.reason, &e->arena);
    FM_LOG(WARN, HOST, "the coordinator does not take a routine type: no job that needs it comes here",
           FM_STR("type", name), FM_U64("version", t.version), FM_STR("reason", reason));
}

static void on_welcome(struct session *s, const fermata_v1_Welcome *w)
{
    struct engine *e = s->engine;
    if (s->welcomed) {
        session_close(s, "Welcome came twice");
        return;
    }
    s->welcomed = s->has_lease = true;
    s->lease_ms = w->lease_ms > 0 ? w->lease_ms : 10000;
    s->heartbeat_ms = w->heartbeat_ms > 0 ? w->heartbeat_ms : 2000;
    s->max_step_bytes = w->max_step_bytes > 0 ? w->max_step_bytes : 4u * 1024 * 1024;
    s->takes_drop = w->takes_drop;
    s->next_heartbeat_ms = e->now_ms + s->heartbeat_ms;
    for (size_t i = 0; i < w->held_jobs.n; i++)
        on_verdict(e, w->held_jobs.items[i]);
    for (size_t i = 0; i < w->refused_types.n; i++)
        on_refused_type(e, w->refused_types.items[i]);
    struct hjob *job, *tmp;
    HASH_ITER (hh, e->jobs, job, tmp)
        if (job->session == s)
            hjob_wake(job);
    e->io.attached(e->io.arg);
    s->drain_due = e->draining;
}

/* ---- messages ---- */

static void send_heartbeat(struct session *s)
{
    fm_auto(fm_buf) b = {0};
    fm_buf_put_tag_varint(&b, fermata_v1_Heartbeat_job_count_tag, HASH_COUNT(s->engine->jobs));
    session_send(s, fermata_v1_HostMessage_heartbeat_tag, &b);
    s->next_heartbeat_ms = s->engine->now_ms + s->heartbeat_ms;
}

static void on_acks(struct engine *e, const fermata_v1_StepAckBatch *b)
{
    for (size_t i = 0; i < b->acks.n; i++) {
        fermata_v1_StepAck a;
        fm_auto(fm_err) err = {0};
        memset(&a, 0, sizeof(a));
        if (pb_var_decode(fermata_v1_StepAck_fields, &a, b->acks.items[i], &e->arena, &err) < 0)
            continue;
        struct hjob *job = hjob_find(e, a.job_id, a.epoch);
        if (job == NULL)
            continue;
        hjob_stored(job, a.number);
        if (a.released)
            hjob_end(job);
        else
            hjob_wake(job);
    }
}

static void on_reject(struct engine *e, const fermata_v1_StepReject *r)
{
    struct hjob *job = hjob_find(e, r->job_id, r->epoch);
    if (job == NULL)
        return;
    const char *reason = pb_var_dup(r->reason, &e->arena);
    FM_LOG(WARN, STATE, "the coordinator refused a step; dropping the job", FM_STR("job", job->id),
           FM_U64("epoch", job->epoch), FM_U64("step", r->number), FM_STR("reason", reason));
    hjob_drop(job);
}

static void dispatch(struct session *s, const fermata_v1_CoordinatorMessage *m)
{
    struct engine *e = s->engine;
    struct hjob *job;
    switch (m->which_body) {
    case fermata_v1_CoordinatorMessage_assign_tag:
        hjob_assign(s, &m->body.assign);
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
            hjob_interrupt(job, (enum interrupt_kind)m->body.interrupt.kind, m->body.interrupt.grace_ms);
        return;
    case fermata_v1_CoordinatorMessage_deliver_tag:
        job = hjob_find(e, m->body.deliver.job_id, m->body.deliver.epoch);
        if (job != NULL)
            hjob_deliver(job, &m->body.deliver);
        if (m->body.deliver.set_breakpoints)
            send_heartbeat(s); /* somebody waits for them to hold */
        return;
    case fermata_v1_CoordinatorMessage_intent_ack_tag:
        job = hjob_find(e, m->body.intent_ack.job_id, m->body.intent_ack.epoch);
        if (job != NULL)
            hjob_intent_ack(job, m->body.intent_ack.task_id, m->seq == 0 ? UINT64_MAX : m->ack);
        return;
    default:
        return; /* a heartbeat: that it came is all it says; or a kind that a later version knows */
    }
}

/* The coordinator counts the lease from what it hears of us, and we from when we sent what it has
 * heard: so ours ends first. That something comes from it says nothing while nothing of us arrives
 * there. */
static void take_ack(struct session *s, const fermata_v1_CoordinatorMessage *m)
{
    bool welcome = m->which_body == fermata_v1_CoordinatorMessage_welcome_tag; /* it answers Hello */
    if (s->awaited_seq == 0 || (m->ack < s->awaited_seq && !(welcome && s->awaited_seq == 1)))
        return;
    s->lease_from_ms = s->awaited_sent_ms;
    s->awaited_seq = 0;
}

void protocol_take(struct session *s, struct fm_bytes message)
{
    struct engine *e = s->engine;
    fermata_v1_CoordinatorMessage m;
    fm_auto(fm_err) err = {0};
    memset(&m, 0, sizeof(m));
    fm_arena_reset(&e->arena);
    struct unreadable job = {0};
    if (nano_decode(fermata_v1_CoordinatorMessage_fields, "CoordinatorMessage", &m, message,
                    FM_MAX_TO_HOST_BYTES, &e->arena, &err) < 0 &&
        (!s->welcomed || !unreadable_job(message, &m, &job))) {
        session_close(s, err.msg);
        return;
    }
    if (m.seq != 0 && m.seq != s->seq_in + 1) {
        session_close(s, "a message from the coordinator is missing");
        return;
    }
    s->seq_in++;
    take_ack(s, &m);
    if (job.id[0] != '\0')
        unreadable_refuse(s, &job, err.msg);
    else if (m.which_body == fermata_v1_CoordinatorMessage_welcome_tag)
        on_welcome(s, &m.body.welcome);
    else if (!s->welcomed)
        session_close(s, "the coordinator's first message is not Welcome");
    else
        dispatch(s, &m);
}

void protocol_acknowledge(struct session *s, size_t n)
{
    s->unsaid_bytes += n;
    if (s->welcomed && s->unsaid_bytes > UNSAID_BYTES)
        send_heartbeat(s);
}

/* ---- time ---- */

/* The coordinator may not have heard of us for as long as it waits: by now the jobs may be
 * elsewhere. */
static void end_lease(struct session *s)
{
    struct engine *e = s->engine;
    struct hjob *job, *tmp;
    s->has_lease = false;
    if (e->jobs != NULL)
        FM_LOG(WARN, HOST,
               "the lease has ended without a sign that the coordinator hears this host; dropping all jobs",
               FM_U64("jobs", HASH_COUNT(e->jobs)), FM_U64("lease_ms", s->lease_ms));
    HASH_ITER (hh, e->jobs, job, tmp)
        if (job->session == s)
            hjob_drop(job);
    if (s->connected)
        session_close(s, "nothing was heard from the coordinator for the length of the lease");
}

void protocol_check_lease(struct session *s)
{
    if (s->has_lease && s->engine->now_ms >= s->lease_from_ms + s->lease_ms)
        end_lease(s);
}

void protocol_tick(struct session *s)
{
    protocol_check_lease(s);
    if (!s->connected || s->closing || s->engine->now_ms < s->next_heartbeat_ms)
        return;
    if (s->welcomed)
        send_heartbeat(s);
    else
        session_close(s, "the coordinator sent no Welcome in time");
}

int64_t protocol_deadline(const struct session *s)
{
    int64_t at = -1;
    if (s->connected && !s->closing)
        at = s->next_heartbeat_ms;
    if (s->has_lease && (at < 0 || s->lease_from_ms + s->lease_ms < at))
        at = s->lease_from_ms + s->lease_ms;
    return at;
}

/* ---- leaving ---- */

void protocol_drained(struct session *s)
{
    if (s->goodbye_sent)
        return;
    if (s->connected && !s->welcomed && !s->closing)
        return; /* Hello is under way and said that it stays: Goodbye follows the Welcome */
    s->goodbye_sent = true;
    if (s->welcomed) {
        fm_auto(fm_buf) b = {0};
        fm_buf_put_string(&b, fermata_v1_Goodbye_reason_tag, "draining");
        session_flush(s);
        session_send(s, fermata_v1_HostMessage_goodbye_tag, &b);
    }
    s->engine->io.drained(s->engine->io.arg);
}
