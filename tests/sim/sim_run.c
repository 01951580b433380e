/* Deterministic simulation: the real coordinator core and real host engines in one process, with simulated
 * clock, network, store and clients. All that happens follows from one seed.
 *
 *   sim_run [--seed S] [--runs N] [--seconds T] [--trace]
 *
 * Runs seeds S, S+1, … until N are done or T seconds have passed. In each, clients submit jobs (repeating
 * themselves when no reply comes), answer their questions, send inputs, pause and cancel, while messages are
 * late, streams break, hosts and the coordinator crash, and the store fails, sometimes after it has applied
 * what it reports as failed. Then the faults stop, all jobs must end, and the oracle looks at what is left:
 * every acknowledged command took effect once, every task was consumed by one step, no step of an old epoch
 * was applied, watches saw every step. Exits with 1 and the seed at the first fault. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <uthash.h>
#include <utlist.h>

#include "core.h"
#include "engine.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/jobs.pb-c.h"
#include "id.h"
#include "job.h"
#include "log.h"
#include "mem.h"
#include "sim_store.h"
#include "sim_types.h"
#include "store.h"
#include "store_int.h"
#include "wire_pbc.h"

#define MAX_HOSTS 4
#define MAX_JOBS 4
#define MAX_INPUTS 4
#define LEASE_MS 2000
#define HEARTBEAT_MS 300
#define WALL_MS 1700000000000
#define FAULTS_MS 12000 /* then they stop */
#define LIMIT_MS 200000 /* by then everything has ended, or it is stuck */

enum kind {
    EV_COMMIT,
    EV_STORE_DONE,
    EV_TO_CORE,
    EV_TO_HOST,
    EV_CORE_SEES_CLOSE,
    EV_HOST_SEES_CLOSE,
    EV_CONNECT,
    EV_TIMER,
    EV_CLIENT,
    EV_FAULT,
    EV_START_CORE,
    EV_START_HOST,
    EV_WATCH
};

struct event {
    struct event *prev, *next;
    int64_t at;
    uint64_t seq;
    enum kind kind;
    uint64_t gen, id; /* of whom it is; whose: stale ones are dropped */
    size_t host;
    struct fm_buf bytes;
    struct store_done *done;
};

struct conn {
    UT_hash_handle hh;
    uint64_t id;
    size_t host;
    bool core_open, host_open;
    int64_t to_core_at, to_host_at, blocked_until;
};

struct sim_host {
    struct engine *engine;
    uint64_t gen;
    char id[32];
    struct conn *conn;
};

enum op_kind {
    OP_SUBMIT,
    OP_GET,
    OP_RESUME,
    OP_INPUT,
    OP_CANCEL,
    OP_PAUSE,
    OP_GO_ON,
    OP_FINAL_GET,
    OP_HISTORY
};

struct op {
    UT_hash_handle hh;
    uint64_t ticket;
    enum op_kind kind;
    size_t job, input;
    char pause[64];
};

struct sim_input {
    char token[80], request[64];
    bool sent, acked, refused;
};

struct sim_job {
    char id[32], token[64];
    bool submitted, parallel, cancel_acked, cancel_sent, final, answered;
    int status;
    struct sim_input inputs[MAX_INPUTS];
    size_t n_inputs;
    bool op_open;
    bool got_final, got_history;
    uint32_t steps;
};

static struct world {
    uint64_t seed;
    struct fm_rng rng;
    int64_t now;
    uint64_t seq, next_conn, next_ticket;
    struct event *events;
    struct sim_store *store;
    struct store_unit *pending; /* submitted, not committed */
    bool commit_set;
    struct core *core; /* NULL while it is down */
    uint64_t core_gen;
    bool core_ready;
    struct conn *conns;
    struct registry *registry;
    struct sim_host hosts[MAX_HOSTS];
    size_t n_hosts;
    struct sim_job jobs[MAX_JOBS];
    size_t n_jobs;
    struct op *ops;
    uint64_t watch_ticket; /* 0: none */
    uint32_t watch_last;
    uint64_t fault_kinds;
    bool operators; /* clients pause jobs, which also wakes those that sleep */
    bool watch_ended, healing, faulty_store, draining_all;
    const char *verdict; /* NULL: fine */
    char text[512];
    bool trace;
} w;

static void trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void trace(const char *fmt, ...)
{
    if (!w.trace)
        return;
    va_list ap;
    va_start(ap, fmt);
    printf("%8lld ", (long long)w.now);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

static void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void wrong(const char *fmt, ...)
{
    if (w.verdict != NULL)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w.text, sizeof(w.text), fmt, ap);
    va_end(ap);
    w.verdict = w.text;
    trace("WRONG: %s", w.text);
}

static uint64_t rnd(uint64_t n)
{
    return fm_rng_below(&w.rng, n);
}

static bool chance(unsigned percent)
{
    return rnd(100) < percent;
}

/* ---- events ---- */

static int by_time(const struct event *a, const struct event *b)
{
    return a->at != b->at ? (a->at > b->at) - (a->at < b->at) : (a->seq > b->seq) - (a->seq < b->seq);
}

static struct event *after(int64_t ms, enum kind kind)
{
    struct event *e = fm_xcalloc(1, sizeof(*e));
    e->at = w.now + ms;
    e->seq = ++w.seq;
    e->kind = kind;
    DL_INSERT_INORDER(w.events, e, by_time);
    return e;
}

static void event_free(struct event *e)
{
    fm_buf_done(&e->bytes);
    if (e->done != NULL)
        store_done_free(e->done);
    free(e);
}

/* ---- the network ---- */

static struct conn *conn_find(uint64_t id)
{
    struct conn *k;
    HASH_FIND(hh, w.conns, &id, sizeof(id), k);
    return k;
}

static int64_t travel(int64_t *last, const struct conn *k)
{
    int64_t at =
        w.now + 1 + (int64_t)rnd(w.healing ? 3 : 12) + (!w.healing && chance(3) ? (int64_t)rnd(400) : 0);
    if (at < k->blocked_until)
        at = k->blocked_until;
    if (at < *last)
        at = *last; /* one stream keeps its order */
    *last = at;
    return at - w.now;
}

static void close_host_side(struct conn *k, int64_t ms)
{
    struct event *e = after(ms, EV_HOST_SEES_CLOSE);
    e->id = k->id;
}

static void close_core_side(struct conn *k, int64_t ms)
{
    struct event *e = after(ms, EV_CORE_SEES_CLOSE);
    e->id = k->id;
    e->gen = w.core_gen;
}

static void conn_drop(struct conn *k)
{
    if (k->core_open || k->host_open)
        return;
    if (w.hosts[k->host].conn == k)
        w.hosts[k->host].conn = NULL;
    HASH_DEL(w.conns, k);
    free(k);
}

/* ---- outputs of the core ---- */

static void take_reply(uint64_t ticket, struct fm_bytes r, const struct fm_err *err);

static void io_reply(void *arg, uint64_t ticket, struct fm_bytes response)
{
    (void)arg;
    take_reply(ticket, response, NULL);
}

static void io_fail(void *arg, uint64_t ticket, const struct fm_err *err)
{
    (void)arg;
    take_reply(ticket, (struct fm_bytes){0}, err);
}

static bool io_watch_send(void *arg, uint64_t ticket, struct fm_bytes response)
{
    (void)arg;
    if (ticket != w.watch_ticket)
        return true;
    Fermata__V1__WatchJobResponse *r = fermata__v1__watch_job_response__unpack(NULL, response.n, response.p);
    if (r == NULL) {
        wrong("a watch got a malformed message");
        return true;
    }
    if (r->event_case == FERMATA__V1__WATCH_JOB_RESPONSE__EVENT_STEP) {
        if (r->step->number != w.watch_last + 1)
            wrong("the watch saw step %u after step %u", r->step->number, w.watch_last);
        w.watch_last = r->step->number;
    }
    fermata__v1__watch_job_response__free_unpacked(r, NULL);
    return true;
}

static void io_watch_end(void *arg, uint64_t ticket)
{
    (void)arg;
    if (ticket == w.watch_ticket) {
        w.watch_ended = true;
        w.watch_ticket = 0;
    }
}

/* An effect must not rest on a step that could still vanish. */
static void on_effect(const char *job_id, const char *task_id)
{
    unsigned step;
    if (sscanf(task_id, "s%u.", &step) == 1 && sim_store_last_step(w.store, job_id) < step)
        wrong("the effect of task %s of job %s rests on step %u, which is not on disk", task_id, job_id,
              step);
}

/* Nothing is said to a host that is not on disk. */
static void check_said(struct fm_bytes message)
{
    Fermata__V1__CoordinatorMessage *m = fermata__v1__coordinator_message__unpack(NULL, message.n, message.p);
    if (m == NULL) {
        wrong("the coordinator sent something malformed");
        return;
    }
    for (size_t i = 0;
         m->body_case == FERMATA__V1__COORDINATOR_MESSAGE__BODY_STEP_ACKS && i < m->step_acks->n_acks; i++) {
        const Fermata__V1__StepAck *a = m->step_acks->acks[i];
        if (sim_store_last_step(w.store, a->job_id) < a->number)
            wrong("step %u of job %s is acknowledged and not on disk", a->number, a->job_id);
    }
    if (m->body_case == FERMATA__V1__COORDINATOR_MESSAGE__BODY_ASSIGN &&
        sim_store_epoch(w.store, m->assign->job_id) < m->assign->epoch)
        wrong("job %s is assigned under epoch %u, which is not on disk", m->assign->job_id, m->assign->epoch);
    fermata__v1__coordinator_message__free_unpacked(m, NULL);
}

static void io_host_send(void *arg, uint64_t conn, struct fm_bytes message, bool urgent)
{
    (void)urgent;
    (void)arg;
    check_said(message);
    struct conn *k = conn_find(conn);
    if (k == NULL || !k->core_open || !k->host_open)
        return;
    struct event *e = after(travel(&k->to_host_at, k), EV_TO_HOST);
    e->id = conn;
    fm_buf_append(&e->bytes, message.p, message.n);
}

static void io_host_close(void *arg, uint64_t conn, const struct fm_err *err)
{
    (void)arg;
    struct conn *k = conn_find(conn);
    if (k == NULL)
        return;
    trace("core closes the stream of %s: %s", w.hosts[k->host].id, err == NULL ? "OK" : err->msg);
    k->core_open = false;
    if (k->host_open)
        close_host_side(k, travel(&k->to_host_at, k));
    else
        conn_drop(k);
}

static void io_commit(void *arg, struct store_unit *unit)
{
    (void)arg;
    DL_APPEND(w.pending, unit);
    if (w.commit_set)
        return;
    w.commit_set = true;
    after(1 + (int64_t)rnd(w.healing ? 2 : 8), EV_COMMIT)->gen = w.core_gen;
}

static void io_read(void *arg, const struct store_query *query)
{
    (void)arg;
    struct event *e = after(1 + (int64_t)rnd(4), EV_STORE_DONE);
    e->gen = w.core_gen;
    if (w.faulty_store && chance(20)) {
        e->done = sim_store_failure(query->tag);
        e->done->is_query = true;
        e->done->kind = query->kind;
    } else {
        e->done = sim_store_query(w.store, query);
    }
}

static void io_recovered(void *arg)
{
    (void)arg;
    w.core_ready = true;
    trace("core recovered");
}

static void set_time(void)
{
    core_set_time(w.core, w.now, WALL_MS + w.now);
}

static void start_core(void)
{
    const struct core_config cfg = {.lease_ms = LEASE_MS,
                                    .heartbeat_ms = HEARTBEAT_MS,
                                    .pause_grace_ms = 200,
                                    .snapshot_steps = 3,
                                    .snapshot_bytes = chance(50) ? 1 : 400,
                                    .cache_bytes = chance(50) ? 1 : 0,
                                    .seed = fm_rng_next(&w.rng)};
    const struct core_io io = {.reply = io_reply,
                               .fail = io_fail,
                               .watch_send = io_watch_send,
                               .watch_end = io_watch_end,
                               .host_send = io_host_send,
                               .host_close = io_host_close,
                               .commit = io_commit,
                               .read = io_read,
                               .recovered = io_recovered};
    trace("core starts");
    w.core = core_new(&cfg, &io);
    core_start(w.core, w.now, WALL_MS + w.now);
    core_flush(w.core);
}

/* A crash: what was submitted and not committed is lost, or the first units of it are not. */
static void crash_core(void)
{
    trace("core crashes");
    size_t torn = chance(50) ? rnd(3) : 0;
    struct store_unit *u, *tmp;
    DL_FOREACH_SAFE (w.pending, u, tmp) {
        DL_DELETE(w.pending, u);
        if (torn > 0) {
            torn--;
            store_done_free(sim_store_apply(w.store, u));
        }
        store_unit_free(u);
    }
    w.commit_set = false;
    core_free(w.core);
    w.core = NULL;
    w.core_ready = false;
    w.core_gen++;
    w.watch_ticket = 0;
    struct op *op, *otmp;
    HASH_ITER (hh, w.ops, op, otmp) { /* no reply comes any more: the clients will ask again */
        HASH_DEL(w.ops, op);
        w.jobs[op->job].op_open = false;
        free(op);
    }
    struct conn *k, *ktmp;
    HASH_ITER (hh, w.conns, k, ktmp) {
        k->core_open = false;
        if (k->host_open)
            close_host_side(k, travel(&k->to_host_at, k));
        else
            conn_drop(k);
    }
    after(20 + (int64_t)rnd(800), EV_START_CORE);
}

/* ---- outputs of an engine ---- */

static void eng_send(void *arg, struct fm_bytes message)
{
    struct sim_host *h = arg;
    struct conn *k = h->conn;
    if (k == NULL || !k->host_open)
        return;
    struct event *e = after(travel(&k->to_core_at, k), EV_TO_CORE);
    e->id = k->id;
    fm_buf_append(&e->bytes, message.p, message.n);
}

static void eng_close(void *arg, const char *why)
{
    struct sim_host *h = arg;
    trace("%s closes its stream: %s", h->id, why);
    if (h->conn != NULL)
        close_host_side(h->conn, 1);
}

static void eng_start_timer(void *arg, uint64_t id, uint64_t ms)
{
    struct sim_host *h = arg;
    struct event *e = after((int64_t)ms, EV_TIMER);
    e->host = (size_t)(h - w.hosts);
    e->gen = h->gen;
    e->id = id;
}

static void eng_cancel_timer(void *arg, uint64_t id)
{
    struct sim_host *h = arg;
    struct event *e, *tmp;
    DL_FOREACH_SAFE (w.events, e, tmp) {
        if (e->kind != EV_TIMER || e->id != id || e->host != (size_t)(h - w.hosts) || e->gen != h->gen)
            continue;
        DL_DELETE(w.events, e);
        event_free(e);
    }
}

static void eng_nothing(void *arg)
{
    (void)arg;
}

static void start_host(size_t i)
{
    struct sim_host *h = &w.hosts[i];
    char incarnation[27];
    struct fm_id id = {{0}};
    for (size_t k = 0; k < 16; k++)
        id.b[k] = (uint8_t)rnd(256);
    id.b[0] &= 0x7f;
    fm_id_text(&id, incarnation);
    const struct engine_config cfg = {.host_id = h->id,
                                      .incarnation = incarnation,
                                      .version = "sim",
                                      .capacity = 1 + (uint32_t)rnd(4),
                                      .registry = w.registry,
                                      .seed = fm_rng_next(&w.rng)};
    const struct engine_io io = {.arg = h,
                                 .send = eng_send,
                                 .close = eng_close,
                                 .start_timer = eng_start_timer,
                                 .cancel_timer = eng_cancel_timer,
                                 .attached = eng_nothing,
                                 .drained = eng_nothing};
    trace("%s starts", h->id);
    h->gen++;
    h->engine = engine_new(&cfg, &io);
    struct event *e = after(1 + (int64_t)rnd(50), EV_CONNECT);
    e->host = i;
    e->gen = h->gen;
}

static void crash_host(size_t i)
{
    struct sim_host *h = &w.hosts[i];
    trace("%s crashes", h->id);
    struct conn *k = h->conn;
    h->conn = NULL;
    struct engine *engine = h->engine;
    h->engine = NULL;
    engine_free(engine);
    h->gen++;
    if (k != NULL) {
        k->host_open = false;
        if (k->core_open)
            close_core_side(k, chance(50) ? 2 : LEASE_MS * 2); /* at once, or half-open */
        else
            conn_drop(k);
    }
    after(20 + (int64_t)rnd(3000), EV_START_HOST)->host = i;
}

static void connect_host(size_t i)
{
    struct sim_host *h = &w.hosts[i];
    if (h->conn != NULL)
        return;
    if (w.core == NULL || !w.core_ready) {
        struct event *e = after(50 + (int64_t)rnd(100), EV_CONNECT);
        e->host = i;
        e->gen = h->gen;
        return;
    }
    struct conn *k = fm_xcalloc(1, sizeof(*k));
    k->id = ++w.next_conn;
    k->host = i;
    k->core_open = k->host_open = true;
    HASH_ADD(hh, w.conns, id, sizeof(k->id), k);
    h->conn = k;
    set_time();
    core_host_opened(w.core, k->id, "sim");
    engine_connected(h->engine, w.now);
}

/* ---- clients ---- */

static void request(enum core_method method, enum op_kind kind, size_t job, size_t input, const char *pause,
                    const ProtobufCMessage *m)
{
    struct op *op = fm_xcalloc(1, sizeof(*op));
    op->ticket = ++w.next_ticket;
    op->kind = kind;
    op->job = job;
    op->input = input;
    snprintf(op->pause, sizeof(op->pause), "%s", pause);
    HASH_ADD(hh, w.ops, ticket, sizeof(op->ticket), op);
    w.jobs[job].op_open = true;
    struct fm_buf raw = {0};
    pb_pack(m, &raw);
    set_time();
    core_request(w.core, op->ticket, method, m, (struct fm_bytes){raw.p, raw.n});
    fm_buf_done(&raw);
}

/* Struct {"t": token, "ask": ask}. */
struct data {
    Google__Protobuf__Struct s;
    Google__Protobuf__Struct__FieldsEntry entries[2], *pointers[2];
    Google__Protobuf__Value values[2];
};

static Google__Protobuf__Struct *make_data(struct data *d, char *token, bool ask)
{
    static char t[] = "t", a[] = "ask";
    google__protobuf__struct__init(&d->s);
    for (int i = 0; i < 2; i++) {
        google__protobuf__struct__fields_entry__init(&d->entries[i]);
        google__protobuf__value__init(&d->values[i]);
        d->entries[i].value = &d->values[i];
        d->pointers[i] = &d->entries[i];
    }
    d->entries[0].key = t;
    d->values[0].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    d->values[0].string_value = token;
    d->entries[1].key = a;
    d->values[1].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    d->values[1].bool_value = ask;
    d->s.n_fields = 2;
    d->s.fields = d->pointers;
    return &d->s;
}

static void add_connection(Fermata__V1__Flow *f, const char *from, const char *event, const char *to,
                           const char *slot)
{
    Fermata__V1__Connection *c = fm_xcalloc(1, sizeof(*c));
    Fermata__V1__EventRef *e = fm_xcalloc(1, sizeof(*e));
    Fermata__V1__SlotRef *s = fm_xcalloc(1, sizeof(*s));
    fermata__v1__connection__init(c);
    fermata__v1__event_ref__init(e);
    fermata__v1__slot_ref__init(s);
    e->routine = fm_xstrdup(from);
    e->event = fm_xstrdup(event);
    s->routine = fm_xstrdup(to);
    s->slot = fm_xstrdup(slot);
    c->from = e;
    c->to = s;
    f->connections = fm_xrealloc(f->connections, (f->n_connections + 1) * sizeof(*f->connections));
    f->connections[f->n_connections++] = c;
}

static void add_routine(Fermata__V1__Flow *f, const char *id, const char *type)
{
    Fermata__V1__Routine *r = fm_xcalloc(1, sizeof(*r));
    fermata__v1__routine__init(r);
    r->id = fm_xstrdup(id);
    r->type = fm_xstrdup(type);
    f->routines = fm_xrealloc(f->routines, (f->n_routines + 1) * sizeof(*f->routines));
    f->routines[f->n_routines++] = r;
}

static Fermata__V1__Flow *make_flow(bool parallel)
{
    Fermata__V1__Flow *f = fm_xcalloc(1, sizeof(*f));
    fermata__v1__flow__init(f);
    f->name = fm_xstrdup(parallel ? "parallel" : "sequential");
    f->parallelism = parallel ? 3 : 0;
    add_routine(f, "a", "sim_in");
    add_routine(f, "b", "sim_work");
    add_routine(f, "c", "sim_ask");
    add_routine(f, "d", "sim_later");
    add_connection(f, "a", "x", "b", "in");
    add_connection(f, "a", "x", "d", "in");
    add_connection(f, "a", "q", "c", "q");
    add_connection(f, "c", "asked", "c", "asked");
    f->defaults = fm_xcalloc(1, sizeof(*f->defaults));
    fermata__v1__policy__init(f->defaults);
    f->defaults->retry = fm_xcalloc(1, sizeof(*f->defaults->retry));
    fermata__v1__retry_policy__init(f->defaults->retry);
    f->defaults->retry->max_attempts = 5;
    f->defaults->retry->initial_delay_ms = parallel ? 10 : 1300;
    f->defaults->retry->factor = 1;
    return f;
}

static void submit(size_t j)
{
    struct sim_job *job = &w.jobs[j];
    struct data d;
    char request_id[32], a[] = "a", in[] = "in";
    Fermata__V1__SlotRef entry = FERMATA__V1__SLOT_REF__INIT;
    Fermata__V1__SubmitJobRequest r = FERMATA__V1__SUBMIT_JOB_REQUEST__INIT;
    snprintf(request_id, sizeof(request_id), "s%zu", j);
    entry.routine = a;
    entry.slot = in;
    r.entry = &entry;
    r.request_id = request_id;
    r.inline_flow = make_flow(job->parallel);
    r.data = make_data(&d, job->token, true);
    request(CORE_SUBMIT_JOB, OP_SUBMIT, j, 0, request_id, &r.base);
    fermata__v1__flow__free_unpacked(r.inline_flow, NULL);
}

static void get(size_t j, enum op_kind kind)
{
    Fermata__V1__GetJobRequest r = FERMATA__V1__GET_JOB_REQUEST__INIT;
    r.job_id = w.jobs[j].id;
    request(CORE_GET_JOB, kind, j, 0, "", &r.base);
}

static void resume(size_t j, const char *pause, const char *request_id, bool question)
{
    Fermata__V1__ResumeJobRequest r = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    v.bool_value = true;
    r.job_id = w.jobs[j].id;
    r.pause_id = (char *)(uintptr_t)pause;
    r.request_id = (char *)(uintptr_t)request_id;
    r.answer = question ? &v : NULL;
    request(CORE_RESUME_JOB, question ? OP_RESUME : OP_GO_ON, j, 0, pause, &r.base);
}

static void send_input(size_t j, size_t i)
{
    struct sim_input *in = &w.jobs[j].inputs[i];
    struct data d;
    char a[] = "a", slot[] = "in";
    Fermata__V1__SlotRef to = FERMATA__V1__SLOT_REF__INIT;
    Fermata__V1__SendInputRequest r = FERMATA__V1__SEND_INPUT_REQUEST__INIT;
    to.routine = a;
    to.slot = slot;
    r.job_id = w.jobs[j].id;
    r.to = &to;
    r.data = make_data(&d, in->token, false);
    r.request_id = in->request;
    in->sent = true;
    request(CORE_SEND_INPUT, OP_INPUT, j, i, "", &r.base);
}

static void cancel(size_t j)
{
    Fermata__V1__CancelJobRequest r = FERMATA__V1__CANCEL_JOB_REQUEST__INIT;
    r.job_id = w.jobs[j].id;
    w.jobs[j].cancel_sent = true;
    request(CORE_CANCEL_JOB, OP_CANCEL, j, 0, "", &r.base);
}

static void pause_it(size_t j)
{
    Fermata__V1__PauseJobRequest r = FERMATA__V1__PAUSE_JOB_REQUEST__INIT;
    r.job_id = w.jobs[j].id;
    request(CORE_PAUSE_JOB, OP_PAUSE, j, 0, "", &r.base);
}

/* What the client of a job does next. */
static void act(size_t j)
{
    struct sim_job *job = &w.jobs[j];
    if (job->op_open && chance(80))
        return;
    if (!job->submitted || (!w.healing && chance(5))) { /* also again: the same reply must come */
        submit(j);
        return;
    }
    for (size_t i = 0; i < job->n_inputs; i++)
        if (!job->inputs[i].acked && !job->inputs[i].refused && chance(40)) {
            send_input(j, i);
            return;
        }
    if (!w.healing && w.operators && chance(2))
        pause_it(j);
    else if (!w.healing && !job->final && chance(1))
        cancel(j);
    else
        get(j, OP_GET);
}

static void take_job(size_t j, const Fermata__V1__Job *h)
{
    struct sim_job *job = &w.jobs[j];
    job->status = (int)h->status;
    job->final = job_status_final(job->status);
    if (job->final)
        return;
    for (size_t i = 0; i < h->n_pauses; i++) {
        const Fermata__V1__Pause *p = h->pauses[i];
        bool question = p->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_QUESTION;
        char request_id[96];
        snprintf(request_id, sizeof(request_id), "r%zu.%.40s", j, p->pause_id);
        if (w.core != NULL && (chance(60) || w.healing)) {
            resume(j, p->pause_id, request_id, question);
            return;
        }
    }
}

static bool is_transient(const struct fm_err *err)
{
    return err->code == FM_UNAVAILABLE || err->code == FM_ABORTED || err->code == FM_RESOURCE_EXHAUSTED;
}

static void check_final(size_t j, const Fermata__V1__Job *h);
static void check_history(size_t j, const Fermata__V1__GetHistoryResponse *r);

static void take_ok(struct op *op, struct fm_bytes bytes)
{
    struct sim_job *job = &w.jobs[op->job];
    switch (op->kind) {
    case OP_SUBMIT: {
        Fermata__V1__SubmitJobResponse *r = fermata__v1__submit_job_response__unpack(NULL, bytes.n, bytes.p);
        if (job->submitted && strcmp(job->id, r->job_id) != 0)
            wrong("a repeated submit made job %s, the first one %s", r->job_id, job->id);
        snprintf(job->id, sizeof(job->id), "%s", r->job_id);
        if (!sim_store_has_request(w.store, "submit", op->pause))
            wrong("job %s is acknowledged and not on disk", job->id);
        job->submitted = true;
        trace("job %zu is %s", op->job, job->id);
        fermata__v1__submit_job_response__free_unpacked(r, NULL);
        return;
    }
    case OP_GET:
    case OP_FINAL_GET: {
        Fermata__V1__GetJobResponse *r = fermata__v1__get_job_response__unpack(NULL, bytes.n, bytes.p);
        if (r == NULL)
            wrong("GetJob answered with something malformed");
        else if (op->kind == OP_GET)
            take_job(op->job, r->job);
        else
            check_final(op->job, r->job);
        if (r != NULL)
            fermata__v1__get_job_response__free_unpacked(r, NULL);
        return;
    }
    case OP_INPUT: {
        char scope[64];
        snprintf(scope, sizeof(scope), "input:%s", job->id);
        if (!sim_store_has_request(w.store, scope, job->inputs[op->input].request))
            wrong("input %s is acknowledged and not on disk", job->inputs[op->input].token);
        job->inputs[op->input].acked = true;
        trace("input %s is acknowledged", job->inputs[op->input].token);
        return;
    }
    case OP_RESUME:
        job->answered = true;
        trace("answer to %s of job %zu is acknowledged", op->pause, op->job);
        return;
    case OP_CANCEL: {
        Fermata__V1__CancelJobResponse *r = fermata__v1__cancel_job_response__unpack(NULL, bytes.n, bytes.p);
        job->cancel_acked = job->cancel_acked || (int)r->status == JOB_CANCELLED;
        fermata__v1__cancel_job_response__free_unpacked(r, NULL);
        return;
    }
    case OP_HISTORY: {
        Fermata__V1__GetHistoryResponse *r =
            fermata__v1__get_history_response__unpack(NULL, bytes.n, bytes.p);
        check_history(op->job, r);
        fermata__v1__get_history_response__free_unpacked(r, NULL);
        return;
    }
    case OP_PAUSE:
    case OP_GO_ON:
        return;
    }
}

static void take_error(struct op *op, const struct fm_err *err)
{
    struct sim_job *job = &w.jobs[op->job];
    if (is_transient(err))
        return; /* it is tried again */
    if (op->kind == OP_INPUT && err->code == FM_FAILED_PRECONDITION) {
        job->inputs[op->input].refused = true; /* the job has ended before */
        return;
    }
    if ((op->kind == OP_RESUME || op->kind == OP_GO_ON || op->kind == OP_PAUSE) &&
        err->code == FM_FAILED_PRECONDITION)
        return; /* too late */
    wrong("operation %d on job %zu failed: %s: %s", (int)op->kind, op->job, fm_code_name((int)err->code),
          err->msg);
}

static void take_reply(uint64_t ticket, struct fm_bytes r, const struct fm_err *err)
{
    struct op *op;
    if (ticket == w.watch_ticket && err != NULL) {
        w.watch_ticket = 0; /* taken up again with the next step */
        return;
    }
    HASH_FIND(hh, w.ops, &ticket, sizeof(ticket), op);
    if (op == NULL)
        return;
    HASH_DEL(w.ops, op);
    w.jobs[op->job].op_open = false;
    if (err == NULL)
        take_ok(op, r);
    else
        take_error(op, err);
    free(op);
}

/* The first job is watched. */
static void watch(void)
{
    if (w.watch_ticket != 0 || w.watch_ended || !w.jobs[0].submitted || w.core == NULL || !w.core_ready)
        return;
    Fermata__V1__WatchJobRequest r = FERMATA__V1__WATCH_JOB_REQUEST__INIT;
    r.job_id = w.jobs[0].id;
    r.from_step = w.watch_last + 1;
    w.watch_ticket = ++w.next_ticket;
    struct fm_buf raw = {0};
    pb_pack(&r, &raw);
    set_time();
    core_request(w.core, w.watch_ticket, CORE_WATCH_JOB, &r.base, (struct fm_bytes){raw.p, raw.n});
    fm_buf_done(&raw);
}

/* ---- the oracle ---- */

static size_t count_in_list(const Google__Protobuf__Struct *s, const char *key, const char *token)
{
    size_t n = 0;
    for (size_t i = 0; s != NULL && i < s->n_fields; i++) {
        const Google__Protobuf__Value *v = s->fields[i]->value;
        if (strcmp(s->fields[i]->key, key) != 0 || v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE)
            continue;
        for (size_t k = 0; k < v->list_value->n_values; k++)
            n += token == NULL || strcmp(v->list_value->values[k]->string_value, token) == 0;
    }
    return n;
}

static double number_of(const Fermata__V1__JobState *s, const char *routine, const char *key)
{
    for (size_t i = 0; i < s->n_routine_states; i++) {
        const Google__Protobuf__Struct *m = s->routine_states[i]->value;
        if (strcmp(s->routine_states[i]->key, routine) != 0 || m == NULL)
            continue;
        for (size_t k = 0; k < m->n_fields; k++)
            if (strcmp(m->fields[k]->key, key) == 0)
                return m->fields[k]->value->number_value;
    }
    return 0;
}

static void check_token(size_t j, const Fermata__V1__JobState *s, const char *token, size_t least,
                        size_t most)
{
    size_t done = count_in_list(s->shared_data, "done", token),
           late = count_in_list(s->shared_data, "late", token), logged = 0;
    for (size_t i = 0; i < s->n_shared_log; i++)
        logged += strcmp(s->shared_log[i]->message, token) == 0;
    if (done < least || done > most || late != done || logged != done)
        wrong("job %zu: token %s was done %zu times, late %zu, logged %zu; wanted %zu to %zu", j, token, done,
              late, logged, least, most);
}

static void check_final(size_t j, const Fermata__V1__Job *h)
{
    struct sim_job *job = &w.jobs[j];
    const Fermata__V1__JobState *s = h->state;
    int status = (int)h->status;
    job->got_final = true;
    job->steps = h->step_count;
    if (job->cancel_acked && status != JOB_CANCELLED)
        wrong("job %zu: its cancel was acknowledged, but it is %s", j, job_status_name(status));
    if (status == JOB_CANCELLED && !job->cancel_sent)
        wrong("job %zu is CANCELLED, and nobody wanted that", j);
    if (status == JOB_CANCELLED)
        return;
    if (status != JOB_COMPLETED) {
        wrong("job %zu is %s (%s)", j, job_status_name(status), h->error != NULL ? h->error->message : "");
        return;
    }
    size_t inputs = 1;
    check_token(j, s, job->token, 1, 1);
    for (size_t i = 0; i < job->n_inputs; i++) {
        const struct sim_input *in = &job->inputs[i];
        check_token(j, s, in->token, in->acked, in->sent && !in->refused);
        inputs += count_in_list(s->shared_data, "done", in->token);
    }
    if (number_of(s, "a", "n") != (double)inputs || number_of(s, "b", "n") != (double)inputs)
        wrong("job %zu: %zu inputs, counted %g and %g times", j, inputs, number_of(s, "a", "n"),
              number_of(s, "b", "n"));
    if (count_in_list(s->shared_data, "answers", NULL) != 1)
        wrong("job %zu: %zu answers", j, count_in_list(s->shared_data, "answers", NULL));
    if (number_of(s, "c", "asked") != 1)
        wrong("job %zu: its deferred event was emitted %g times", j, number_of(s, "c", "asked"));
    if (s->n_pending_tasks > 0 || s->n_deferred_events > 0 || h->n_pauses > 0)
        wrong("job %zu has ended with %zu tasks, %zu deferred events, %zu pauses", j, s->n_pending_tasks,
              s->n_deferred_events, h->n_pauses);
}

static void check_history(size_t j, const Fermata__V1__GetHistoryResponse *r)
{
    uint32_t epoch = 0;
    w.jobs[j].got_history = true;
    if (r->n_steps != w.jobs[j].steps)
        wrong("job %zu: %zu steps in the history, %u applied", j, r->n_steps, w.jobs[j].steps);
    for (size_t i = 0; i < r->n_steps; i++) {
        const Fermata__V1__Step *s = r->steps[i];
        if (s->number != i + 1)
            wrong("job %zu: step %u stands at place %zu", j, s->number, i + 1);
        if (s->epoch < epoch)
            wrong("job %zu: step %u is of epoch %u, the one before of %u", j, s->number, s->epoch, epoch);
        epoch = s->epoch;
        for (size_t k = 0; k < i; k++)
            if (strcmp(r->steps[k]->task_id, s->task_id) == 0 &&
                r->steps[k]->outcome != FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_RETRY)
                wrong("job %zu: task %s was consumed by steps %u and %u", j, s->task_id, r->steps[k]->number,
                      s->number);
    }
}

/* ---- faults ---- */

static void fault(void)
{
    size_t i = rnd(w.n_hosts);
    struct sim_host *h = &w.hosts[i];
    uint64_t kind = rnd(9);
    if ((w.fault_kinds >> kind & 1) == 0)
        return;
    switch (kind) {
    case 0:
        if (w.core != NULL)
            crash_core();
        return;
    case 1:
    case 2:
        if (h->engine != NULL)
            crash_host(i);
        return;
    case 3:
    case 4:
        if (h->conn != NULL) { /* cut: either side notices in its own time */
            trace("the stream of %s breaks", h->id);
            if (h->conn->core_open)
                close_core_side(h->conn, 1 + (int64_t)rnd(500));
            if (h->conn->host_open)
                close_host_side(h->conn, 1 + (int64_t)rnd(500));
        }
        return;
    case 5:
        if (h->conn != NULL) {
            h->conn->blocked_until = w.now + (int64_t)rnd(2 * LEASE_MS);
            trace("nothing comes through from or to %s until %lld", h->id, (long long)h->conn->blocked_until);
        }
        return;
    case 6:
        w.faulty_store = !w.faulty_store;
        trace("the store %s", w.faulty_store ? "fails" : "works again");
        return;
    default:
        return;
    }
}

/* ---- carrying out events ---- */

static void commit(void)
{
    struct store_unit *u, *tmp, *list = w.pending;
    w.pending = NULL;
    w.commit_set = false;
    bool fails = w.faulty_store && chance(60), lies = fails && chance(40);
    DL_FOREACH_SAFE (list, u, tmp) {
        DL_DELETE(list, u);
        struct event *e = after(1, EV_STORE_DONE);
        e->gen = w.core_gen;
        struct store_done *applied = fails && !lies ? NULL : sim_store_apply(w.store, u);
        if (fails && applied != NULL)
            store_done_free(applied);
        e->done = fails ? sim_store_failure(u->tag) : applied;
        store_unit_free(u);
    }
}

static void to_core(struct event *e)
{
    struct conn *k = conn_find(e->id);
    if (k == NULL || !k->core_open || w.core == NULL)
        return;
    struct fm_arena arena;
    struct fm_err err = {0};
    ProtobufCMessage *m;
    fm_arena_init(&arena, 64u * 1024 * 1024);
    if (pbc_decode(&fermata__v1__host_message__descriptor, (struct fm_bytes){e->bytes.p, e->bytes.n},
                   64u * 1024 * 1024, &arena, &m, &err) < 0)
        wrong("a host sent something that the coordinator refuses: %s", err.msg);
    else
        core_host_message(w.core, k->id, m);
    fm_arena_done(&arena);
    fm_err_done(&err);
}

static void core_sees_close(struct event *e)
{
    struct conn *k = conn_find(e->id);
    if (k == NULL || !k->core_open || e->gen != w.core_gen)
        return;
    k->core_open = false;
    if (w.core != NULL)
        core_host_closed(w.core, k->id);
    if (k->host_open)
        close_host_side(k, travel(&k->to_host_at, k));
    conn_drop(k);
}

static void host_sees_close(struct event *e)
{
    struct conn *k = conn_find(e->id);
    if (k == NULL || !k->host_open)
        return;
    struct sim_host *h = &w.hosts[k->host];
    k->host_open = false;
    bool present = h->conn == k;
    if (k->core_open)
        close_core_side(k, travel(&k->to_core_at, k));
    if (present)
        h->conn = NULL;
    if (!k->core_open)
        conn_drop(k);
    if (!present || h->engine == NULL)
        return;
    engine_disconnected(h->engine, w.now);
    struct event *again = after(10 + (int64_t)rnd(300), EV_CONNECT);
    again->host = (size_t)(h - w.hosts);
    again->gen = h->gen;
}

static void carry_out(struct event *e)
{
    struct sim_host *h = &w.hosts[e->host];
    switch (e->kind) {
    case EV_COMMIT:
        if (e->gen == w.core_gen)
            commit();
        return;
    case EV_STORE_DONE:
        if (e->gen == w.core_gen && w.core != NULL) {
            struct store_done *d = e->done;
            e->done = NULL;
            core_store_done(w.core, d);
        }
        return;
    case EV_TO_CORE:
        to_core(e);
        return;
    case EV_TO_HOST: {
        struct conn *k = conn_find(e->id);
        if (k != NULL && k->host_open && w.hosts[k->host].engine != NULL)
            engine_message(w.hosts[k->host].engine, (struct fm_bytes){e->bytes.p, e->bytes.n}, w.now);
        return;
    }
    case EV_CORE_SEES_CLOSE:
        core_sees_close(e);
        return;
    case EV_HOST_SEES_CLOSE:
        host_sees_close(e);
        return;
    case EV_CONNECT:
        if (h->engine != NULL && e->gen == h->gen)
            connect_host(e->host);
        return;
    case EV_TIMER:
        if (h->engine != NULL && e->gen == h->gen)
            engine_timer(h->engine, e->id, w.now);
        return;
    case EV_CLIENT:
        if (w.core != NULL && w.core_ready && !w.jobs[e->id].final)
            act(e->id);
        if (!w.jobs[e->id].final)
            after(5 + (int64_t)rnd(w.healing ? 100 : 400), EV_CLIENT)->id = e->id;
        return;
    case EV_FAULT:
        if (w.healing)
            return;
        fault();
        after(50 + (int64_t)rnd(1200), EV_FAULT);
        return;
    case EV_START_CORE:
        if (w.core == NULL)
            start_core();
        return;
    case EV_START_HOST:
        if (h->engine == NULL)
            start_host(e->host);
        return;
    case EV_WATCH:
        watch();
        if (!w.watch_ended)
            after(50 + (int64_t)rnd(500), EV_WATCH);
        return;
    }
}

/* ---- a run ---- */

/* When something is to be done next. */
static int64_t next_time(void)
{
    int64_t at = w.events != NULL ? w.events->at : INT64_MAX;
    int64_t core = w.core != NULL ? core_next_deadline(w.core) : -1;
    if (core >= 0 && core < at)
        at = core;
    for (size_t i = 0; i < w.n_hosts; i++) {
        int64_t host = w.hosts[i].engine != NULL ? engine_deadline(w.hosts[i].engine) : -1;
        if (host >= 0 && host < at)
            at = host;
    }
    return at < w.now ? w.now : at;
}

static void turn(void)
{
    w.now = next_time();
    if (w.core != NULL)
        set_time();
    if (w.events != NULL && w.events->at <= w.now) {
        struct event *e = w.events;
        DL_DELETE(w.events, e);
        carry_out(e);
        event_free(e);
    }
    for (size_t i = 0; i < w.n_hosts; i++) {
        struct engine *e = w.hosts[i].engine;
        int64_t at = e != NULL ? engine_deadline(e) : -1;
        if (at >= 0 && at <= w.now)
            engine_tick(e, w.now);
    }
    if (w.core == NULL)
        return;
    set_time();
    int64_t at = core_next_deadline(w.core);
    if (at >= 0 && at <= w.now)
        core_tick(w.core);
    core_flush(w.core);
}

static void begin(uint64_t seed)
{
    struct registry *registry = w.registry;
    bool tracing = w.trace;
    memset(&w, 0, sizeof(w));
    w.registry = registry;
    w.trace = tracing;
    w.seed = seed;
    fm_rng_init(&w.rng, seed);
    w.store = sim_store_new();
    w.fault_kinds =
        chance(40) ? UINT64_MAX : fm_rng_next(&w.rng); /* some runs have only some kinds of faults */
    w.operators = chance(50);
    w.n_hosts = 2 + rnd(MAX_HOSTS - 1);
    w.n_jobs = 1 + rnd(MAX_JOBS);
    start_core();
    for (size_t i = 0; i < w.n_hosts; i++) {
        snprintf(w.hosts[i].id, sizeof(w.hosts[i].id), "h%zu", i);
        start_host(i);
    }
    for (size_t j = 0; j < w.n_jobs; j++) {
        struct sim_job *job = &w.jobs[j];
        job->parallel = chance(40);
        snprintf(job->token, sizeof(job->token), "t%zu.%llu", j, (unsigned long long)rnd(1000));
        job->n_inputs = rnd(MAX_INPUTS + 1);
        for (size_t i = 0; i < job->n_inputs; i++) {
            snprintf(job->inputs[i].token, sizeof(job->inputs[i].token), "i%zu.%zu.%llu", j, i,
                     (unsigned long long)rnd(1000));
            snprintf(job->inputs[i].request, sizeof(job->inputs[i].request), "q%zu.%zu", j, i);
        }
        after((int64_t)rnd(300), EV_CLIENT)->id = j;
    }
    after(100, EV_FAULT);
    after(100, EV_WATCH);
}

static void heal(void)
{
    trace("the faults stop");
    w.healing = true;
    w.faulty_store = false;
    struct conn *k, *tmp;
    HASH_ITER (hh, w.conns, k, tmp)
        k->blocked_until = 0;
}

static bool all_final(void)
{
    for (size_t j = 0; j < w.n_jobs; j++)
        if (!w.jobs[j].submitted || !w.jobs[j].final)
            return false;
    return true;
}

/* Asks for the last word on each job. */
static void examine(void)
{
    for (size_t j = 0; j < w.n_jobs && w.verdict == NULL; j++) {
        int64_t until = w.now + 20000;
        while (w.core == NULL || !w.core_ready)
            turn();
        get(j, OP_FINAL_GET);
        while (!w.jobs[j].got_final && w.now < until && w.verdict == NULL)
            turn();
        Fermata__V1__GetHistoryRequest r = FERMATA__V1__GET_HISTORY_REQUEST__INIT;
        r.job_id = w.jobs[j].id;
        r.page_size = 1000;
        if (w.verdict == NULL)
            request(CORE_GET_HISTORY, OP_HISTORY, j, 0, "", &r.base);
        while (!w.jobs[j].got_history && w.now < until && w.verdict == NULL)
            turn();
        if (!w.jobs[j].got_history)
            wrong("job %zu: GetJob or GetHistory does not answer", j);
    }
    int64_t until = w.now + 20000;
    while (!w.watch_ended && w.now < until && w.verdict == NULL)
        turn();
    if (!w.watch_ended)
        wrong("the watch did not end with its job");
    else if (w.watch_last != w.jobs[0].steps)
        wrong("the watch ended after step %u of %u", w.watch_last, w.jobs[0].steps);
    for (size_t i = 0; i < w.n_hosts && w.verdict == NULL; i++)
        if (w.hosts[i].engine != NULL && w.hosts[i].conn != NULL && engine_job_count(w.hosts[i].engine) > 0) {
            int64_t end = w.now + 3 * LEASE_MS;
            while (engine_job_count(w.hosts[i].engine) > 0 && w.now < end)
                turn();
            if (engine_job_count(w.hosts[i].engine) > 0)
                wrong("host %s still holds a job that has ended", w.hosts[i].id);
        }
}

static void finish(void)
{
    struct op *op, *otmp;
    for (size_t i = 0; i < w.n_hosts; i++) {
        struct engine *e = w.hosts[i].engine;
        w.hosts[i].engine = NULL;
        if (e != NULL)
            engine_free(e);
    }
    if (w.core != NULL)
        core_free(w.core);
    struct event *e, *tmp;
    DL_FOREACH_SAFE (w.events, e, tmp)
        event_free(e);
    struct store_unit *u, *utmp;
    DL_FOREACH_SAFE (w.pending, u, utmp)
        store_unit_free(u);
    HASH_ITER (hh, w.ops, op, otmp) {
        HASH_DEL(w.ops, op);
        free(op);
    }
    struct conn *k, *ktmp;
    HASH_ITER (hh, w.conns, k, ktmp) {
        HASH_DEL(w.conns, k);
        free(k);
    }
    sim_store_free(w.store);
}

static bool run(uint64_t seed)
{
    begin(seed);
    while (w.verdict == NULL && w.now < LIMIT_MS && !(w.healing && all_final())) {
        if (!w.healing && w.now >= FAULTS_MS)
            heal();
        turn();
    }
    if (w.verdict == NULL && !all_final())
        for (size_t j = 0; j < w.n_jobs; j++)
            if (!w.jobs[j].final)
                wrong("job %zu (%s) is stuck: %s", j, w.jobs[j].id,
                      w.jobs[j].submitted ? job_status_name(w.jobs[j].status) : "not submitted");
    if (w.verdict == NULL)
        examine();
    bool ok = w.verdict == NULL;
    if (!ok)
        printf("seed %llu: %s\n", (unsigned long long)seed, w.verdict);
    finish();
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, runs = 1;
    double seconds = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            w.trace = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--runs") == 0) {
            runs = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0) {
            seconds = strtod(argv[++i], NULL);
        } else {
            fprintf(stderr, "usage: sim_run [--seed S] [--runs N] [--seconds T] [--trace]\n");
            return 2;
        }
    }
    struct fm_err err = {0};
    w.registry = registry_new();
    sim_on_effect = on_effect;
    if (fm_log_set_levels(w.trace ? "debug" : "off", &err) < 0 || sim_add_types(w.registry, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 2;
    }
    time_t start = time(NULL);
    uint64_t n = 0;
    for (; n < runs && (seconds <= 0 || difftime(time(NULL), start) < seconds); n++)
        if (!run(seed + n))
            return 1;
    printf("%llu seeds from %llu: no fault\n", (unsigned long long)n, (unsigned long long)seed);
    registry_free(w.registry);
    return 0;
}
