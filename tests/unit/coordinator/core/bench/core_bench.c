/* A core on a bench. See core_bench.h. */
#include "core_bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utlist.h>

#include "from_json.h"
#include "log.h"
#include "mem.h"
#include "methods_table.h"
#include "pbc.h"
#include "store_int.h"

#define WALL_MS 1700000000000
#define MAX_ANSWERS 512
#define MAX_SAID 4096

struct bench bench;

struct query {
    struct query *prev, *next;
    struct store_done *done;
};

static struct store_unit *units; /* under way */
static struct query *queries;    /* asked, not answered */

static struct answer {
    int code; /* -1: none yet */
    char error[640];
    struct fm_buf bytes;
    size_t steps;
    bool ended;
} answers[MAX_ANSWERS];
static uint64_t next_ticket;

static struct said {
    uint64_t conn;
    Fermata__V1__CoordinatorMessage *message;
} said[MAX_SAID];
static size_t n_said;

static struct stream {
    bool open;
    uint64_t seq_out, sent;
} streams[64];

/* ---- outputs ---- */

static void io_reply(void *arg, uint64_t ticket, struct fm_bytes response)
{
    (void)arg;
    assert_int_equal(answers[ticket].code, -1);
    answers[ticket].code = FM_OK;
    fm_buf_append(&answers[ticket].bytes, response.p, response.n);
}

static void io_fail(void *arg, uint64_t ticket, const struct fm_err *err)
{
    (void)arg;
    assert_int_equal(answers[ticket].code, -1);
    answers[ticket].code = (int)err->code;
    snprintf(answers[ticket].error, sizeof(answers[ticket].error), "%.100s: %.500s", err->field, err->msg);
}

static bool io_watch_send(void *arg, uint64_t ticket, struct fm_bytes response)
{
    (void)arg;
    Fermata__V1__WatchJobResponse *r = fermata__v1__watch_job_response__unpack(NULL, response.n, response.p);
    answers[ticket].steps += r->event_case == FERMATA__V1__WATCH_JOB_RESPONSE__EVENT_STEP;
    fermata__v1__watch_job_response__free_unpacked(r, NULL);
    return true;
}

static void io_watch_end(void *arg, uint64_t ticket)
{
    (void)arg;
    answers[ticket].ended = true;
    answers[ticket].code = FM_OK;
}

static void io_host_send(void *arg, uint64_t conn, struct fm_bytes message, bool urgent)
{
    (void)arg;
    (void)urgent;
    assert_true(streams[conn].open);
    assert_true(n_said < MAX_SAID);
    streams[conn].sent++;
    said[n_said].conn = conn;
    said[n_said].message = fermata__v1__coordinator_message__unpack(NULL, message.n, message.p);
    assert_non_null(said[n_said++].message);
}

static void io_host_close(void *arg, uint64_t conn, const struct fm_err *err)
{
    (void)arg;
    (void)err;
    streams[conn].open = false;
}

static void io_commit(void *arg, struct store_unit *unit)
{
    (void)arg;
    DL_APPEND(units, unit);
}

static void io_read(void *arg, const struct store_query *q)
{
    (void)arg;
    struct query *w = fm_xcalloc(1, sizeof(*w));
    if (bench.reads_fail == FM_OK) {
        w->done = sim_store_query(bench.store, q);
    } else {
        w->done = sim_store_failure(q->tag, bench.reads_fail);
        w->done->kind = q->kind;
    }
    DL_APPEND(queries, w);
}

static void io_recovered(void *arg)
{
    (void)arg;
}

/* ---- what happens ---- */

static void set_time(void)
{
    core_set_time(bench.core, bench.now_ms, WALL_MS + bench.now_ms + bench.clock_set_ms);
}

static bool answer_one(void)
{
    struct query *w = queries;
    if (w == NULL)
        return false;
    DL_DELETE(queries, w);
    core_store_done(bench.core, w->done);
    free(w);
    core_flush(bench.core);
    return true;
}

static bool store_one(void)
{
    struct store_unit *u = units;
    if (u == NULL)
        return false;
    DL_DELETE(units, u);
    uint64_t tag = u->tag;
    struct store_done *d = bench.fails == FM_OK || bench.lies ? sim_store_apply(bench.store, u) : NULL;
    store_unit_free(u);
    if (bench.fails != FM_OK) {
        if (d != NULL)
            store_done_free(d);
        d = sim_store_failure(tag, bench.fails);
    }
    core_store_done(bench.core, d);
    core_flush(bench.core);
    return true;
}

static void settle(void)
{
    core_flush(bench.core);
    for (int i = 0; i < 10000; i++)
        if ((bench.holds_queries || !answer_one()) && (bench.holds || !store_one()))
            return;
    fail_msg("it never comes to rest");
}

bool bench_store_one(void)
{
    bool any = store_one();
    settle();
    return any;
}

void bench_store_all(void)
{
    while (bench_store_one())
        continue;
}

void bench_answer_one(void)
{
    assert_true(answer_one());
    settle();
}

void bench_answer_all(void)
{
    while (answer_one())
        continue;
    settle();
}

void bench_wait(int64_t ms)
{
    int64_t end = bench.now_ms + ms;
    for (int i = 0; i < 10000; i++) {
        int64_t at = core_next_deadline(bench.core);
        if (at < 0 || at > end)
            break;
        bench.now_ms = at > bench.now_ms ? at : bench.now_ms;
        set_time();
        core_tick(bench.core);
        settle();
    }
    bench.now_ms = end;
    set_time();
}

void bench_start(void)
{
    const struct core_io io = {.reply = io_reply,
                               .fail = io_fail,
                               .watch_send = io_watch_send,
                               .watch_end = io_watch_end,
                               .host_send = io_host_send,
                               .host_close = io_host_close,
                               .commit = io_commit,
                               .read = io_read,
                               .recovered = io_recovered};
    bench.cfg.seed++;
    bench.core = core_new(&bench.cfg, &io);
    core_start(bench.core, bench.now_ms, WALL_MS + bench.now_ms + bench.clock_set_ms);
    settle();
}

void bench_crash(void)
{
    struct store_unit *u, *utmp;
    struct query *w, *wtmp;
    if (bench.core != NULL)
        core_free(bench.core);
    bench.core = NULL;
    DL_FOREACH_SAFE (units, u, utmp) {
        DL_DELETE(units, u);
        store_unit_free(u);
    }
    DL_FOREACH_SAFE (queries, w, wtmp) {
        DL_DELETE(queries, w);
        store_done_free(w->done);
        free(w);
    }
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
        streams[i].open = false;
}

int bench_setup(void **state)
{
    struct fm_err err = {0};
    (void)state;
    memset(&bench, 0, sizeof(bench));
    memset(streams, 0, sizeof(streams));
    for (size_t i = 0; i < MAX_ANSWERS; i++)
        answers[i] = (struct answer){.code = -1};
    next_ticket = n_said = 0;
    bench.cfg.lease_ms = 2000;
    bench.cfg.heartbeat_ms = 500;
    bench.cfg.pause_grace_ms = 200;
    bench.store = sim_store_new();
    from_json_begin();
    return fm_log_set_levels("off", &err);
}

int bench_teardown(void **state)
{
    (void)state;
    bench_crash();
    sim_store_free(bench.store);
    for (size_t i = 0; i < n_said; i++)
        fermata__v1__coordinator_message__free_unpacked(said[i].message, NULL);
    for (size_t i = 0; i < MAX_ANSWERS; i++)
        fm_buf_done(&answers[i].bytes);
    from_json_end();
    return 0;
}

/* ---- clients ---- */

uint64_t bench_ask(const char *method, const char *json)
{
    const struct method *m = method_find(method);
    assert_non_null(m);
    assert_true(next_ticket + 1 < MAX_ANSWERS);
    const ProtobufCMessage *request = from_json(m->request, json);
    struct fm_buf raw = {0};
    pb_pack(request, &raw);
    set_time();
    core_request(bench.core, ++next_ticket, m, NULL, request, (struct fm_bytes){raw.p, raw.n});
    fm_buf_done(&raw);
    settle();
    return next_ticket;
}

uint64_t bench_askf(const char *method, const char *fmt, ...)
{
    static char json[256 * 1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(json, sizeof(json), fmt, ap);
    va_end(ap);
    return bench_ask(method, json);
}

int bench_code(uint64_t ticket)
{
    return answers[ticket].code;
}

const char *bench_error(uint64_t ticket)
{
    return answers[ticket].error;
}

static void *take(void *arg, size_t n)
{
    (void)arg;
    return from_json_take(1, n);
}

static void leave(void *arg, void *p)
{
    (void)arg;
    (void)p;
}

/* In the memory of the test. */
static void *decode(const ProtobufCMessageDescriptor *d, struct fm_bytes bytes)
{
    static ProtobufCAllocator memory = {take, leave, NULL};
    void *m = protobuf_c_message_unpack(d, &memory, bytes.n, bytes.p);
    assert_non_null(m);
    return m;
}

void *bench_reply(uint64_t ticket, const ProtobufCMessageDescriptor *d)
{
    const struct answer *a = &answers[ticket];
    if (a->code != FM_OK)
        fail_msg("the call has %s: %s", a->code < 0 ? "no answer" : "failed", a->error);
    return decode(d, (struct fm_bytes){a->bytes.p, a->bytes.n});
}

size_t bench_watched(uint64_t ticket, bool *ret_ended)
{
    *ret_ended = answers[ticket].ended;
    return answers[ticket].steps;
}

const char *bench_submit(const char *flow_json)
{
    static int number;
    uint64_t t = bench_askf("Jobs/SubmitJob",
                            "{'inline_flow': %s, 'entry': {'routine': 'r', 'slot': 'in'}, 'data': {'n': 1}, "
                            "'request_id': 'submit-%d'}",
                            flow_json, ++number);
    return ((Fermata__V1__SubmitJobResponse *)bench_reply(t, &fermata__v1__submit_job_response__descriptor))
        ->job_id;
}

Fermata__V1__Job *bench_job(const char *job_id)
{
    Fermata__V1__Job *h = sim_store_head(bench.store, job_id);
    if (h == NULL)
        return NULL;
    struct fm_buf b = {0};
    pb_pack(h, &b);
    fermata__v1__job__free_unpacked(h, NULL);
    h = decode(&fermata__v1__job__descriptor, (struct fm_bytes){b.p, b.n});
    fm_buf_done(&b);
    return h;
}

int bench_status(const char *job_id)
{
    const Fermata__V1__Job *h = bench_job(job_id);
    return h == NULL ? 0 : (int)h->status;
}

/* ---- hosts ---- */

static void say(uint64_t conn, uint64_t ack, const char *json)
{
    Fermata__V1__HostMessage *m = from_json(&fermata__v1__host_message__descriptor, json);
    m->seq = ++streams[conn].seq_out;
    m->ack = ack;
    set_time();
    core_host_message(bench.core, conn, &m->base);
    settle();
}

void bench_say(uint64_t conn, const char *json)
{
    say(conn, streams[conn].sent, json);
}

void bench_say_ack(uint64_t conn, uint64_t ack, const char *json)
{
    say(conn, ack, json);
}

void bench_sayf(uint64_t conn, const char *fmt, ...)
{
    static char json[256 * 1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(json, sizeof(json), fmt, ap);
    va_end(ap);
    bench_say(conn, json);
}

void bench_step(uint64_t conn, const struct bench_step *s)
{
    bench_sayf(conn,
               "{'steps': {'steps': [{'job_id': '%s', 'step': {'number': %u, 'epoch': %u, 'task_id': '%s', "
               "'routine': 'r', 'slot': 'in', 'inputs_through': %u, %s}}]}}",
               s->job, s->number, s->epoch, s->task, s->inputs, s->more);
}

void bench_attach(uint64_t conn, const char *host_id, const char *incarnation, unsigned capacity,
                  const char *held)
{
    streams[conn] = (struct stream){.open = true};
    set_time();
    core_host_opened(bench.core, conn, "test", NULL);
    settle();
    if (!streams[conn].open)
        return;
    bench_sayf(
        conn,
        "{'hello': {'host_id': '%s', 'incarnation': '%s', 'protocol_version': 1, 'capacity': %u, "
        "'routine_types': [{'name': 't', 'version': 1, 'slots': ['in', 'answer'], 'events': ['out']}], "
        "'held_jobs': [%s]}}",
        host_id, incarnation, capacity, held);
}

void bench_skip_message(uint64_t conn)
{
    streams[conn].seq_out++;
}

void bench_close(uint64_t conn)
{
    if (!streams[conn].open)
        return;
    streams[conn].open = false;
    set_time();
    core_host_closed(bench.core, conn);
    settle();
}

bool bench_is_open(uint64_t conn)
{
    return streams[conn].open;
}

size_t bench_count(uint64_t conn, int body_case)
{
    size_t n = 0;
    for (size_t i = 0; i < n_said; i++)
        n += said[i].conn == conn && (int)said[i].message->body_case == body_case;
    return n;
}

const Fermata__V1__CoordinatorMessage *bench_last(uint64_t conn, int body_case)
{
    for (size_t i = n_said; i-- > 0;)
        if (said[i].conn == conn && (int)said[i].message->body_case == body_case)
            return said[i].message;
    return NULL;
}

uint32_t bench_acked(uint64_t conn, const char *job_id)
{
    uint32_t last = 0;
    for (size_t i = 0; i < n_said; i++) {
        const Fermata__V1__CoordinatorMessage *m = said[i].message;
        if (said[i].conn != conn || m->body_case != FERMATA__V1__COORDINATOR_MESSAGE__BODY_STEP_ACKS)
            continue;
        for (size_t k = 0; k < m->step_acks->n_acks; k++)
            if (strcmp(m->step_acks->acks[k]->job_id, job_id) == 0)
                last = m->step_acks->acks[k]->number;
    }
    return last;
}

uint64_t bench_sent(uint64_t conn)
{
    return streams[conn].sent;
}
