/* The session of a host's stream: Hello, Welcome, heartbeats, Goodbye. What hosts say about jobs is in
 * steps.c. A broken stream is not a dead host: its jobs stay until its lease ends,
 * counted from when it was last heard. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "agreed.h"
#include "backlog.h"
#include "breakpoints.h"
#include "buf.h"
#include "check.h"
#include "err.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fields.h"
#include "host.h"
#include "id.h"
#include "job.h"
#include "job_state.h"
#include "journal.h"
#include "leave.h"
#include "log.h"
#include "marks.h"
#include "mem.h"
#include "move.h"
#include "name.h"
#include "pace.h"
#include "pbc.h"
#include "place.h"
#include "said.h"
#include "send.h"
#include "state.h"
#include "steps.h"
#include "store.h"
#include "table.h"
#include "told.h"
#include "watch.h"

#define MAX_CAPACITY 100000
#define MAX_STEP_BYTES (8u * 1024 * 1024)

/* ---- streams ---- */

void session_opened(struct core *c, uint64_t conn, const char *peer, const struct fm_principal *who)
{
    struct conn *k = fm_xcalloc(1, sizeof(*k));
    k->id = conn;
    k->peer = fm_xstrdup(peer);
    k->who = who != NULL ? *who : (struct fm_principal){.kind = FM_LOCAL};
    k->opened_ms = c->now_ms;
    HASH_ADD(hh, c->conns, id, sizeof(k->id), k);
    if (c->stopping || !c->recovered) {
        struct fm_err err = {0};
        (void)fm_err_set(&err, FM_UNAVAILABLE, NULL, "the coordinator is %s",
                         c->stopping ? "stopping" : "starting");
        conn_close(c, k, &err);
    }
}

/* ---- Hello ---- */

static int check_hello(const Fermata__V1__Hello *m, struct fm_err *err)
{
    if (m->protocol_version != FM_PROTOCOL_VERSION)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "hello.protocol_version",
                          "the host speaks protocol version %u; this coordinator speaks version %d",
                          m->protocol_version, FM_PROTOCOL_VERSION);
    if (fm_name_check("hello.host_id", m->host_id, err) < 0 ||
        fm_name_check("hello.incarnation", m->incarnation, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (m->capacity == 0 || m->capacity > MAX_CAPACITY)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "hello.capacity", "capacity is %u; 1 to %d are allowed",
                          m->capacity, MAX_CAPACITY);
    if (strlen(m->version) > FM_MAX_LABEL_BYTES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "hello.version", "version has %zu bytes; the limit is %d",
                          strlen(m->version), FM_MAX_LABEL_BYTES);
    if (told_check(m, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (m->n_labels > FM_MAX_LABELS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "hello.labels", "%zu labels; the limit is %d",
                          m->n_labels, FM_MAX_LABELS);
    for (size_t i = 0; i < m->n_labels; i++)
        if (check_label("hello.labels", m->labels[i]->key, m->labels[i]->value, err) < 0)
            return -FM_INVALID_ARGUMENT;
    return 0;
}

/* A host daemon that has proved who it is attaches as that one only. */
static int check_identity(const struct conn *k, const Fermata__V1__Hello *m, struct fm_err *err)
{
    if (k->who.kind != FM_HOST || strcmp(k->who.name, m->host_id) == 0)
        return 0;
    return fm_err_set(err, FM_PERMISSION_DENIED, "hello.host_id",
                      "the certificate is of host %s; it cannot attach as %s", k->who.name, m->host_id);
}

/* The daemon that was attached, and nobody else: its incarnation is known to it alone, and it comes as who it
 * was (of which nothing is known any more after a restart). */
static bool is_the_same(const struct host *h, const struct conn *k, const Fermata__V1__Hello *m)
{
    bool same =
        h->who.kind == FM_NOBODY || (h->who.kind == k->who.kind && strcmp(h->who.name, k->who.name) == 0);
    return same && strcmp(h->incarnation, m->incarnation) == 0;
}

/* Finds or makes the record of a host that says Hello; NULL when another one with its id lives. */
static struct host *host_for_hello(struct core *c, const struct conn *k, const Fermata__V1__Hello *m,
                                   struct fm_err *err)
{
    struct host *h = host_find(c, m->host_id);
    if (h == NULL)
        return host_add(c, m->host_id);
    if (h->incarnation == NULL)
        return h;
    bool same = is_the_same(h, k, m);
    if (h->conn == 0 && !same) {
        (void)fm_err_set(err, FM_ALREADY_EXISTS, "hello.host_id",
                         "another host with the id %s was attached, and its lease runs for another %lld ms",
                         m->host_id, (long long)(host_lease_end(c, h) - c->now_ms));
        return NULL;
    }
    if (h->conn == 0)
        return h;
    if (!same) {
        (void)fm_err_set(
            err, FM_ALREADY_EXISTS, "hello.host_id",
            "a host with the id %s is attached from %s; give this one another --id, or wait until the "
            "other is gone",
            m->host_id, h->peer);
        return NULL;
    }
    struct conn *old;
    HASH_FIND(hh, c->conns, &h->conn, sizeof(h->conn), old);
    if (old != NULL && old != k) {
        struct fm_err gone = {0};
        (void)fm_err_set(&gone, FM_ABORTED, NULL, "the host opened a new stream");
        conn_close(c, old, &gone);
    }
    return h;
}

static void take_hello(struct core *c, struct host *h, const struct conn *k, const Fermata__V1__Hello *m)
{
    /* what it was told before its stream broke may still make it give jobs back */
    bool asked = h->drain_asked && h->incarnation != NULL && strcmp(h->incarnation, m->incarnation) == 0;
    host_clear_hello(c, h);
    h->conn = k->id;
    h->peer = fm_xstrdup(k->peer);
    h->who = k->who;
    h->version = fm_xstrdup(m->version);
    h->incarnation = fm_xstrdup(m->incarnation);
    h->capacity = m->capacity;
    h->leaving = m->draining;
    h->seq_out = h->mark_seq = 0;
    pace_reset(h);
    h->seq_in = k->seq_in;
    h->resync_at_ms = 0;
    h->last_heard_ms = c->now_ms;
    h->braked = false;
    h->drain_asked = h->draining || asked;
    h->attached_wall_ms = c->wall_ms;
    h->labels = fm_xcalloc(m->n_labels + 1, sizeof(*h->labels));
    for (; h->n_labels < m->n_labels; h->n_labels++)
        h->labels[h->n_labels] = (struct store_label){fm_xstrdup(m->labels[h->n_labels]->key),
                                                      fm_xstrdup(m->labels[h->n_labels]->value)};
    told_take(c, h, m);
    told_settle(c);
}

static bool keeps(struct core *c, const struct host *h, const Fermata__V1__HeldJob *held,
                  struct job **ret_job)
{
    struct fm_id id;
    *ret_job = NULL;
    if (fm_id_parse(held->job_id, &id) < 0)
        return false;
    struct job *job = job_in_memory(c, &id);
    if (job == NULL || job->loading || job->host != h || job->head->epoch != held->epoch)
        return false;
    *ret_job = job;
    return true;
}

static void add_refused(const struct host *h, Fermata__V1__Welcome *w)
{
    const struct refused_type *r;
    DL_FOREACH (h->refused, r) {
        Fermata__V1__RefusedType *m = fm_xcalloc(1, sizeof(*m));
        fermata__v1__refused_type__init(m);
        m->name = r->name;
        m->version = r->version;
        m->reason = r->reason;
        w->refused_types =
            fm_xrealloc(w->refused_types, (w->n_refused_types + 1) * sizeof(*w->refused_types));
        w->refused_types[w->n_refused_types++] = m;
    }
}

static void send_welcome(struct core *c, struct host *h, const Fermata__V1__Hello *m)
{
    Fermata__V1__Welcome w = FERMATA__V1__WELCOME__INIT;
    w.takes_drop = true;
    Fermata__V1__HeldVerdict *verdicts = fm_xcalloc(m->n_held_jobs + 1, sizeof(*verdicts));
    Fermata__V1__HeldVerdict **pointers = fm_xcalloc(m->n_held_jobs + 1, sizeof(*pointers));
    for (size_t i = 0; i < m->n_held_jobs; i++) {
        struct job *job;
        fermata__v1__held_verdict__init(&verdicts[i]);
        verdicts[i].job_id = m->held_jobs[i]->job_id;
        verdicts[i].epoch = m->held_jobs[i]->epoch;
        verdicts[i].keep = keeps(c, h, m->held_jobs[i], &job);
        if (job != NULL)
            verdicts[i].applied_step = job->steps_on_disk;
        pointers[i] = &verdicts[i];
    }
    w.lease_ms = c->cfg.lease_ms;
    w.heartbeat_ms = c->cfg.heartbeat_ms;
    w.max_step_bytes = MAX_STEP_BYTES;
    w.n_held_jobs = m->n_held_jobs;
    w.held_jobs = pointers;
    add_refused(h, &w);
    fm_auto(fm_buf) b = {0};
    pb_pack(&w, &b);
    host_send(c, h, FIELD_COORDINATOR_MESSAGE_WELCOME, fm_buf_bytes(&b));
    free(verdicts);
    free(pointers);
    for (size_t i = 0; i < w.n_refused_types; i++)
        free(w.refused_types[i]);
    free(w.refused_types);
}

/* Jobs that the host still has go on; those it does not have (any more) go to others. */
static void sort_out_jobs(struct core *c, struct host *h, const Fermata__V1__Hello *m)
{
    struct job *job, *next;
    DL_FOREACH2 (h->jobs, job, host_next)
        job->assign_sent = false;
    for (size_t i = 0; i < m->n_held_jobs; i++) {
        if (!keeps(c, h, m->held_jobs[i], &job) || job->assign_sent)
            continue; /* or it is named twice */
        job->assign_sent = true;
        job->inputs_sent = job_state_inputs(job->state);
        host_send_inputs(c, job);
        breakpoints_resend(c, job);
        if (job->head->pause_requested)
            host_send_interrupt(c, h->conn, job, job->head->epoch, INTERRUPT_KIND_PAUSE);
        else if (h->draining || job->head->continue_wanted != NULL)
            host_send_interrupt(c, h->conn, job, job->head->epoch, INTERRUPT_KIND_DRAIN);
    }
    /* A lost job may be given to this same host again at once, and then stands at the list's end: only those
     * that stand there now are looked at, or this would never end. */
    size_t left = h->n_jobs;
    for (job = h->jobs; left > 0; left--, job = next) {
        next = job->host_next;
        if (job->assign_sent)
            continue;
        place_missed(c, job);
        job_note_here(c, job, ENTRY_KIND_LOST, who_none("its host came back without it"), NULL, NULL);
        job_requeue(c, job, "its host came back without it");
    }
}

static void on_hello(struct core *c, struct conn *k, const Fermata__V1__Hello *m)
{
    struct fm_err err = {0};
    struct host *h = NULL;
    if (k->host != NULL)
        (void)fm_err_set(&err, FM_INVALID_ARGUMENT, "hello", "Hello came twice on one stream");
    else if (check_hello(m, &err) == 0 && check_identity(k, m, &err) == 0)
        h = host_for_hello(c, k, m, &err);
    if (h == NULL) { /* the log shall name it, if that is a name */
        conn_end(c, k, fm_name_check("hello.host_id", m->host_id, NULL) == 0 ? m->host_id : "", &err);
        return;
    }
    k->host = h;
    take_hello(c, h, k, m);
    mark_attached(c, h);
    FM_LOG(INFO, HOST, "host attached", FM_STR("host", h->id), FM_STR("peer", h->peer),
           FM_STR("incarnation", h->incarnation), FM_U64("capacity", h->capacity),
           FM_U64("held_jobs", m->n_held_jobs), FM_U64("jobs", h->n_jobs));
    send_welcome(c, h, m);
    sort_out_jobs(c, h, m);
    host_has_news(c, h);
}

static void on_goodbye(struct core *c, struct conn *k, const Fermata__V1__Goodbye *m)
{
    struct host *h = k->host;
    FM_LOG(INFO, HOST, "host left", FM_STR("host", h->id), FM_STR("reason", m->reason),
           FM_U64("jobs", h->n_jobs));
    uint64_t conn = k->id;
    host_flush(c, h);
    h->conn = 0;
    h->leaving = true;
    host_requeue_all(c, h, "its host left");
    mark_left(c, h);
    host_remove(c, h);
    told_settle(c);
    conn_free(c, k);
    c->io.host_close(c->io.arg, conn, NULL);
}

/* ---- messages ---- */

static void on_steps(struct core *c, struct conn *k, const Fermata__V1__StepBatch *b)
{
    size_t taken = host_on_steps(c, k->host, b);
    if (taken < b->n_steps)
        backlog_add_rest(c, k, b, taken);
}

static void dispatch(struct core *c, struct conn *k, const Fermata__V1__HostMessage *m)
{
    struct host *h = k->host;
    switch (m->body_case) {
    case FERMATA__V1__HOST_MESSAGE__BODY_STEPS:
        on_steps(c, k, m->steps);
        return;
    case FERMATA__V1__HOST_MESSAGE__BODY_HEARTBEAT:
        host_flush(c, h);
        host_send(c, h, FIELD_COORDINATOR_MESSAGE_HEARTBEAT, FM_NO_BYTES);
        return;
    case FERMATA__V1__HOST_MESSAGE__BODY_RELEASE:
        host_on_release(c, h, m->release);
        return;
    case FERMATA__V1__HOST_MESSAGE__BODY_INTENT:
        host_on_intent(c, h, m->intent);
        return;
    case FERMATA__V1__HOST_MESSAGE__BODY_PROGRESS:
        watch_progress(c, h, m->progress);
        return;
    case FERMATA__V1__HOST_MESSAGE__BODY_GOODBYE:
        on_goodbye(c, k, m->goodbye);
        return;
    case FERMATA__V1__HOST_MESSAGE__BODY__NOT_SET:
    case FERMATA__V1__HOST_MESSAGE__BODY_HELLO:
    default:
        return; /* a kind of message that a later version knows */
    }
}

static int check_said(const struct conn *k, const Fermata__V1__HostMessage *m, struct fm_err *err)
{
    if (m->seq != 0 && m->seq != k->seq_in + 1)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "seq", "message %llu follows message %llu",
                          (unsigned long long)m->seq, (unsigned long long)k->seq_in);
    if (k->host == NULL && m->body_case != FERMATA__V1__HOST_MESSAGE__BODY_HELLO)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "hello", "the first message on the stream must be Hello");
    return k->host == NULL ? 0 : said_check(k->host, m, err);
}

static void take_message(struct core *c, struct conn *k, const Fermata__V1__HostMessage *m)
{
    struct fm_err err = {0};
    if (check_said(k, m, &err) < 0) {
        conn_close(c, k, &err);
        return;
    }
    k->seq_in++;
    if (m->body_case == FERMATA__V1__HOST_MESSAGE__BODY_HELLO) {
        on_hello(c, k, m->hello);
        return;
    }
    k->host->seq_in = k->seq_in;
    k->host->last_heard_ms = c->now_ms;
    k->host->braked = false;
    if (m->ack >= k->host->mark_seq ||
        m->seq == 0) /* a host that does not number its messages acknowledges none by number */
        k->host->mark_seq = 0;
    pace_acked(c, k->host, m->seq == 0 ? UINT64_MAX : m->ack);
    breakpoints_received(c, k->host, m->seq == 0 ? UINT64_MAX : m->ack);
    dispatch(c, k, m);
}

void session_message(struct core *c, uint64_t conn, const ProtobufCMessage *message)
{
    const Fermata__V1__HostMessage *m = (const Fermata__V1__HostMessage *)(const void *)message;
    struct conn *k;
    HASH_FIND(hh, c->conns, &conn, sizeof(conn), k);
    if (k == NULL)
        return;
    bool steps = m->body_case == FERMATA__V1__HOST_MESSAGE__BODY_STEPS;
    if (k->waiting != NULL || (steps && k->host != NULL && (c->behind != NULL || !steps_may_work(c))))
        backlog_add(c, k, m);
    else
        take_message(c, k, m);
}

/* The rest of a batch that a turn has begun. */
static void take_rest(struct core *c, struct conn *k, struct said *s)
{
    Fermata__V1__StepBatch rest = *s->message->steps;
    rest.steps += s->step;
    rest.n_steps -= s->step;
    s->step += host_on_steps(c, k->host, &rest);
    if (s->step < s->message->steps->n_steps)
        backlog_return(c, k, s);
    else
        said_free(s);
}

void sessions_go_on(struct core *c)
{
    /* of each something has come that is looked at only now; what it acknowledges may be behind that */
    for (struct conn *k = c->behind; k != NULL; k = k->behind_next)
        k->host->last_heard_ms = k->host->mark_ms = c->now_ms;
    while (steps_may_work(c)) {
        struct conn *k;
        struct said *s = backlog_next(c, &k);
        if (s == NULL)
            return;
        if (s->begun) {
            take_rest(c, k, s);
        } else {
            take_message(c, k, s->message);
            said_free(s);
        }
        c->turn_work++; /* behind the steps, of which at least one is taken */
    }
}
