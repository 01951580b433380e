/* See core_rig.h. */
#include "core_rig.h"

#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <utlist.h>

#include "done_queue.h"
#include "fermata/v1/flows.pb-c.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fermata/v1/jobs.pb-c.h"
#include "from_json.h"
#include "json_text.h"
#include "log.h"
#include "mem.h"
#include "methods_table.h"
#include "program_check.h"
#include "store_int.h"
#include "store_open.h"
#include "to_json.h"

#define MAX_TICKETS 2000
#define MAX_CONNS 200
#define MAX_MESSAGES 4000
#define MAX_READS 2000

struct rig rig;

struct client {
    const ProtobufCMessageDescriptor *response;
    json_t *answer;
    const char *error;
    json_t *messages; /* of a watch */
    size_t taken;
};

struct stream {
    json_t *messages;
    size_t taken;
    uint64_t seq, received;
    const char *closed;
};

/* All of a test's, freed at its end. */
static struct {
    char dir[64];
    struct store *store;
    pthread_mutex_t lock;
    pthread_cond_t polled;
    bool news; /* under lock */
    struct store_unit *units;
    struct store_done *reads[MAX_READS];
    size_t n_reads;
    struct program_check *checks;
    struct client clients[MAX_TICKETS];
    uint64_t last_ticket;
    struct stream streams[MAX_CONNS];
    uint64_t last_conn;
    char *texts[MAX_MESSAGES];
    size_t n_texts;
    json_t *values;
} all;

static const char *keep(char *text)
{
    assert_true(all.n_texts < MAX_MESSAGES);
    all.texts[all.n_texts++] = text;
    return text;
}

static json_t *keep_json(json_t *j)
{
    assert_int_equal(json_array_append_new(all.values, j), 0);
    return j;
}

static const char *error_text(const struct fm_err *err)
{
    char *text;
    if (err == NULL)
        return "OK";
    int n = err->field[0] == '\0'
                ? asprintf(&text, "%s: %s", fm_code_name((int)err->code), err->msg)
                : asprintf(&text, "%s %s: %s", fm_code_name((int)err->code), err->field, err->msg);
    assert_true(n > 0);
    return keep(text);
}

static json_t *decoded(const ProtobufCMessageDescriptor *d, struct fm_bytes b)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(d, NULL, b.n, b.p);
    assert_non_null(m);
    json_t *j = keep_json(to_json(m));
    protobuf_c_message_free_unpacked(m, NULL);
    return j;
}

/* ---- the store: what is asked of it is done at once ---- */

static void on_news(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&all.lock);
    all.news = true;
    pthread_cond_signal(&all.polled);
    pthread_mutex_unlock(&all.lock);
}

static void open_store(void)
{
    struct fm_err err = {0};
    struct store_events events = {.notify = on_news};
    /* Where waiting for the disk takes no time, if there is such a place. */
    snprintf(all.dir, sizeof(all.dir), "%s/fermata-rig-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(all.dir));
    pthread_mutex_init(&all.lock, NULL);
    pthread_cond_init(&all.polled, NULL);
    all.store = store_open(all.dir, &events, &err);
    if (all.store == NULL)
        fail_msg("%s", err.msg);
}

static struct store_done *store_wait(void)
{
    struct store_done *d;
    while ((d = store_poll(all.store)) == NULL) {
        pthread_mutex_lock(&all.lock);
        while (!all.news)
            pthread_cond_wait(&all.polled, &all.lock);
        all.news = false;
        pthread_mutex_unlock(&all.lock);
    }
    return d;
}

static void close_store(void)
{
    store_close(all.store);
    pthread_mutex_destroy(&all.lock);
    pthread_cond_destroy(&all.polled);
    DIR *d = opendir(all.dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
    closedir(d);
    assert_int_equal(rmdir(all.dir), 0);
}

static struct store_done *failure(uint64_t tag)
{
    struct store_done *d = &done_new(tag, STORE_UNIT)->done;
    d->status = STORE_FAILED;
    (void)fm_err_set(&d->err, rig.fail_with, NULL, "the store is out of order");
    return d;
}

/* ---- what the core says ---- */

static struct client *open_client(uint64_t ticket)
{
    assert_true(ticket > 0 && ticket <= all.last_ticket);
    struct client *k = &all.clients[ticket];
    assert_null(k->answer); /* nobody is answered twice */
    assert_null(k->error);
    return k;
}

static void io_reply(void *arg, uint64_t ticket, struct fm_bytes response)
{
    (void)arg;
    struct client *k = open_client(ticket);
    k->answer = decoded(k->response, response);
}

static void io_fail(void *arg, uint64_t ticket, const struct fm_err *err)
{
    (void)arg;
    open_client(ticket)->error = error_text(err);
}

static bool io_watch_send(void *arg, uint64_t ticket, struct fm_bytes response)
{
    (void)arg;
    struct client *k = open_client(ticket);
    json_array_append(k->messages, decoded(k->response, response));
    return !rig.full;
}

static void io_watch_end(void *arg, uint64_t ticket)
{
    (void)arg;
    open_client(ticket)->error = "OK";
}

static void io_host_send(void *arg, uint64_t conn, struct fm_bytes message, bool urgent)
{
    (void)arg;
    (void)urgent;
    struct stream *s = &all.streams[conn];
    assert_true(conn > 0 && conn <= all.last_conn);
    assert_null(s->closed);
    json_t *j = decoded(&fermata__v1__coordinator_message__descriptor, message);
    assert_int_equal(json_integer_value(json_object_get(j, "seq")), s->received + 1); /* none is lost */
    s->received++;
    json_array_append(s->messages, j);
}

static void io_host_close(void *arg, uint64_t conn, const struct fm_err *err)
{
    (void)arg;
    assert_true(conn > 0 && conn <= all.last_conn);
    assert_null(all.streams[conn].closed);
    all.streams[conn].closed = error_text(err);
}

static void io_host_hold(void *arg, uint64_t conn, bool hold)
{
    (void)arg;
    rig.on_hold = hold ? conn : 0;
}

static void io_commit(void *arg, struct store_unit *unit)
{
    (void)arg;
    rig.commits++;
    DL_APPEND(all.units, unit);
}

static void io_read(void *arg, const struct store_query *query)
{
    (void)arg;
    rig.reads++;
    store_ask(all.store, query);
    struct store_done *d = store_wait();
    if (rig.fail_reads > 0) {
        rig.fail_reads--;
        d->status = STORE_FAILED;
        (void)fm_err_set(&d->err, rig.fail_with, NULL, "the store is out of order");
    }
    assert_true(all.n_reads < MAX_READS);
    all.reads[all.n_reads++] = d;
}

static void io_check(void *arg, struct program_check *check)
{
    (void)arg;
    DL_APPEND(all.checks, check);
}

size_t rig_checks(void)
{
    struct program_check *k;
    size_t n;
    DL_COUNT(all.checks, k, n);
    return n;
}

void rig_check(size_t n, const char *field, const char *fault)
{
    while (n-- > 0) {
        struct program_check *k = all.checks;
        assert_non_null(k);
        DL_DELETE(all.checks, k);
        for (size_t i = 0; i < k->n; i++)
            k->programs[i].ok = fault == NULL;
        if (fault != NULL)
            (void)fm_err_add(&k->err, FM_INVALID_ARGUMENT, field, "%s", fault);
        core_checked(rig.core, k);
    }
    rig_settle();
}

void rig_check_really(void)
{
    const atomic_bool stop = false;
    struct program_check *k = all.checks;
    assert_non_null(k);
    DL_DELETE(all.checks, k);
    program_check_run(k, &stop);
    core_checked(rig.core, k);
    rig_settle();
}

static void io_recovered(void *arg)
{
    (void)arg;
    rig.recovered = true;
}

/* ---- store and time ---- */

size_t rig_held(void)
{
    struct store_unit *u;
    size_t n;
    DL_COUNT(all.units, u, n);
    return n;
}

void rig_commit(size_t n)
{
    while (n-- > 0) {
        struct store_unit *u = all.units;
        assert_non_null(u);
        DL_DELETE(all.units, u);
        struct store_done *d;
        if (rig.fail_units > 0) {
            rig.fail_units--;
            d = failure(u->tag);
            store_unit_free(u);
        } else {
            store_submit(all.store, u);
            d = store_wait();
        }
        core_store_done(rig.core, d);
    }
}

void rig_answer_reads(size_t n)
{
    while (n-- > 0) {
        assert_true(all.n_reads > 0);
        struct store_done *d = all.reads[0];
        memmove(all.reads, all.reads + 1, --all.n_reads * sizeof(all.reads[0]));
        core_store_done(rig.core, d);
    }
}

void rig_settle(void)
{
    do {
        while ((all.units != NULL && !rig.hold) || (all.n_reads > 0 && !rig.hold_reads)) {
            if (all.n_reads > 0 && !rig.hold_reads)
                rig_answer_reads(1);
            else
                rig_commit(1);
        }
        core_flush(rig.core);
    } while ((all.units != NULL && !rig.hold) || (all.n_reads > 0 && !rig.hold_reads));
}

static void tell_time(void)
{
    core_set_time(rig.core, RIG_MONO_MS + rig.passed_ms, RIG_WALL_MS + rig.passed_ms);
}

void rig_pass(int64_t ms)
{
    int64_t end = rig.passed_ms + ms;
    rig_settle();
    for (;;) {
        int64_t next = core_next_deadline(rig.core) - RIG_MONO_MS;
        if (core_next_deadline(rig.core) < 0 || next > end)
            break;
        if (next > rig.passed_ms)
            rig.passed_ms = next;
        tell_time();
        core_tick(rig.core);
        rig_settle();
        if (next <= rig.passed_ms && core_next_deadline(rig.core) - RIG_MONO_MS <= rig.passed_ms)
            rig.passed_ms++; /* as a loop's timers, which are never early */
    }
    if (rig.passed_ms < end)
        rig.passed_ms = end;
    tell_time();
    core_tick(rig.core);
    rig_settle();
}

static void start_core(void)
{
    const struct core_io io = {.check = rig.with_checks ? io_check : NULL,
                               .reply = io_reply,
                               .fail = io_fail,
                               .watch_send = io_watch_send,
                               .watch_end = io_watch_end,
                               .host_send = io_host_send,
                               .host_close = io_host_close,
                               .host_hold = io_host_hold,
                               .commit = io_commit,
                               .read = io_read,
                               .recovered = io_recovered};
    rig.recovered = false;
    rig.core = core_new(&rig.config, &io);
    core_start(rig.core, RIG_MONO_MS + rig.passed_ms, RIG_WALL_MS + rig.passed_ms);
    rig_settle();
}

static void kill_core(void)
{
    struct store_unit *u, *tmp;
    core_free(rig.core);
    DL_FOREACH_SAFE (all.units, u, tmp) {
        DL_DELETE(all.units, u);
        store_unit_free(u);
    }
    while (all.n_reads > 0)
        store_done_free(all.reads[--all.n_reads]);
    while (all.checks != NULL) {
        struct program_check *k = all.checks;
        DL_DELETE(all.checks, k);
        program_check_free(k);
    }
}

int rig_setup(void **state)
{
    (void)state;
    struct fm_err err = {0};
    assert_int_equal(fm_log_set_levels("off", &err), 0);
    from_json_begin();
    memset(&all, 0, sizeof(all));
    memset(&rig, 0, sizeof(rig));
    all.values = json_array();
    open_store();
    rig.fail_with = FM_UNAVAILABLE;
    rig.config = (struct core_config){.lease_ms = RIG_LEASE_MS, .heartbeat_ms = RIG_HEARTBEAT_MS, .seed = 7};
    start_core();
    assert_true(rig.recovered);
    return 0;
}

int rig_teardown(void **state)
{
    (void)state;
    kill_core();
    close_store();
    for (uint64_t i = 0; i <= all.last_ticket; i++)
        json_decref(all.clients[i].messages);
    for (uint64_t i = 0; i <= all.last_conn; i++)
        json_decref(all.streams[i].messages);
    json_decref(all.values);
    for (size_t i = 0; i < all.n_texts; i++)
        free(all.texts[i]);
    from_json_end();
    return 0;
}

void rig_restart(void)
{
    kill_core();
    rig.config.seed++;
    start_core();
}

/* ---- clients ---- */

static const ProtobufCMessageDescriptor *response_of(const struct method *method)
{
    static const ProtobufCServiceDescriptor *const services[] = {
        &fermata__v1__flows__descriptor, &fermata__v1__jobs__descriptor, &fermata__v1__hosts__descriptor};
    const char *name = strchr(method->name, '/') + 1;
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        const ProtobufCMethodDescriptor *m =
            protobuf_c_service_descriptor_get_method_by_name(services[i], name);
        if (m != NULL)
            return m->output;
    }
    fail_msg("%s is in no proto", name);
    return NULL;
}

/* The JSON text may begin without its brace: "'job_id': 'x'". */
__attribute__((format(printf, 1, 0))) static const char *whole(const char *fmt, va_list ap)
{
    char *inner = json_vformat(fmt, ap), *text;
    assert_true((inner[0] == '{' ? asprintf(&text, "%s", inner) : asprintf(&text, "{%s}", inner)) > 0);
    free(inner);
    return keep(text);
}

static uint64_t begin_text(const char *name, const char *json)
{
    const struct method *method = method_find(name);
    if (method == NULL)
        fail_msg("there is no method %s", name);
    ProtobufCMessage *m = from_json(method->request, json);
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *raw = fm_xmalloc(n + 1);
    protobuf_c_message_pack(m, raw);
    uint64_t ticket = ++all.last_ticket;
    assert_true(ticket < MAX_TICKETS);
    all.clients[ticket].response = response_of(method);
    all.clients[ticket].messages = json_array();
    core_request(rig.core, ticket, method, rig.caller, m, (struct fm_bytes){raw, n});
    free(raw);
    return ticket;
}

uint64_t begin(const char *method, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    uint64_t ticket = begin_text(method, whole(fmt, ap));
    va_end(ap);
    return ticket;
}

json_t *answer_of(uint64_t ticket)
{
    return all.clients[ticket].answer;
}

const char *error_of(uint64_t ticket)
{
    return all.clients[ticket].error;
}

json_t *seen_by(uint64_t ticket)
{
    struct client *k = &all.clients[ticket];
    return k->taken < json_array_size(k->messages) ? json_array_get(k->messages, k->taken++) : NULL;
}

json_t *call(const char *method, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    uint64_t ticket = begin_text(method, whole(fmt, ap));
    va_end(ap);
    rig_settle();
    if (answer_of(ticket) == NULL)
        fail_msg("%s: %s", method, error_of(ticket) == NULL ? "no answer" : error_of(ticket));
    return answer_of(ticket);
}

static const char *refusal_of(uint64_t ticket, const char *method)
{
    rig_settle();
    if (error_of(ticket) == NULL)
        fail_msg("%s was not refused: %s", method,
                 answer_of(ticket) == NULL ? "no answer" : keep(json_dumps(answer_of(ticket), 0)));
    return error_of(ticket);
}

const char *refusal(const char *method, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    uint64_t ticket = begin_text(method, whole(fmt, ap));
    va_end(ap);
    return refusal_of(ticket, method);
}

void refuses(const char *begins, const char *method, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    uint64_t ticket = begin_text(method, whole(fmt, ap));
    va_end(ap);
    const char *text = refusal_of(ticket, method);
    if (strncmp(text, begins, strlen(begins)) != 0)
        fail_msg("%s is refused with: %s\n    instead of: %s", method, text, begins);
}

/* ---- hosts ---- */

static void say(uint64_t conn, const char *json)
{
    struct stream *s = &all.streams[conn];
    json_error_t fault;
    char *text = json_text(json);
    json_t *j = json_loads(text, 0, &fault);
    if (j == NULL)
        fail_msg("%s: %s", fault.text, text);
    free(text);
    s->seq++;
    if (json_object_get(j, "seq") == NULL)
        json_object_set_new(j, "seq", json_integer((json_int_t)s->seq));
    if (json_object_get(j, "ack") == NULL)
        json_object_set_new(j, "ack", json_integer((json_int_t)s->received));
    core_host_message(rig.core, conn, from_json_value(&fermata__v1__host_message__descriptor, j));
    json_decref(j);
}

static uint64_t open_stream(void)
{
    uint64_t conn = ++all.last_conn;
    assert_true(conn < MAX_CONNS);
    all.streams[conn].messages = json_array();
    core_host_opened(rig.core, conn, "peer", rig.caller != NULL ? &rig.caller->who : NULL);
    return conn;
}

uint64_t host_opens(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    uint64_t conn = open_stream();
    if (closed(conn) == NULL)
        say(conn, whole(fmt, ap));
    va_end(ap);
    rig_settle();
    return conn;
}

uint64_t host_joins(const char *id, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *more = json_vformat(fmt, ap), *hello;
    va_end(ap);
    uint64_t conn = open_stream();
    assert_true(
        asprintf(&hello,
                 "{'hello': {'host_id': '%s', 'protocol_version': 1 %s %s %s, 'routine_types': ["
                 "{'name': 't', 'version': 1, 'slots': ['in', 'more'], 'events': ['out', 'ask', 'error']},"
                 "{'name': 'human', 'version': 1, 'slots': ['in'], 'events': ['answer', 'error']}]}}",
                 id, strstr(more, "\"capacity\"") == NULL ? ", 'capacity': 10" : "",
                 strstr(more, "\"incarnation\"") == NULL ? ", 'incarnation': '01H000000000000000000000A1'"
                                                         : "",
                 more) > 0);
    free(more);
    say(conn, keep(hello));
    rig_settle();
    if (closed(conn) != NULL)
        fail_msg("%s could not join: %s", id, closed(conn));
    (void)told_of(conn, "welcome");
    return conn;
}

void host_mutters(uint64_t conn, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(conn, whole(fmt, ap));
    va_end(ap);
}

void host_says(uint64_t conn, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(conn, whole(fmt, ap));
    va_end(ap);
    rig_settle();
}

void host_breaks(uint64_t conn)
{
    core_host_closed(rig.core, conn);
    rig_settle();
}

json_t *told(uint64_t conn)
{
    struct stream *s = &all.streams[conn];
    while (s->taken < json_array_size(s->messages)) {
        json_t *j = json_array_get(s->messages, s->taken++);
        if (json_object_get(j, "heartbeat") == NULL)
            return j;
    }
    return NULL;
}

json_t *told_of(uint64_t conn, const char *body)
{
    json_t *j;
    while ((j = told(conn)) != NULL && json_object_get(j, body) == NULL) {
    }
    if (j == NULL)
        fail_msg("the host was not told: %s", body);
    return json_object_get(j, body);
}

bool told_nothing(uint64_t conn)
{
    json_t *j = told(conn);
    if (j != NULL)
        print_message("told: %s\n", keep(json_dumps(j, JSON_SORT_KEYS)));
    return j == NULL;
}

const char *closed(uint64_t conn)
{
    return all.streams[conn].closed;
}

/* ---- what tests look at ---- */

static json_t *find_at(json_t *j, const char *path)
{
    while (j != NULL && *path != '\0') {
        if (*path == '.')
            path++;
        if (*path == '[') {
            char *end;
            j = json_array_get(j, strtoul(path + 1, &end, 10));
            path = end + 1;
            continue;
        }
        size_t n = strcspn(path, ".[");
        char key[128];
        assert_true(n < sizeof(key));
        memcpy(key, path, n);
        key[n] = '\0';
        j = json_object_get(j, key);
        path += n;
    }
    return j;
}

const char *at(json_t *j, const char *path)
{
    json_t *v = find_at(j, path);
    if (v == NULL)
        return "";
    if (json_is_string(v))
        return json_string_value(v);
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(10));
    assert_non_null(text);
    for (char *p = text; *p != '\0'; p++)
        if (*p == '"')
            *p = '\'';
    return keep(text);
}

long long number_at(json_t *j, const char *path)
{
    json_t *v = find_at(j, path);
    return (long long)json_number_value(v);
}

void put_flow_f(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *more = json_vformat(fmt, ap);
    va_end(ap);
    (void)call("Flows/PutFlow", "{'flow': {'name': 'f', 'routines': [{'id': 'r', 'type': 't'}] %s}}", more);
    free(more);
}

const char *submit_f(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *more = json_vformat(fmt, ap);
    va_end(ap);
    json_t *r = call("Jobs/SubmitJob",
                     "{'flow': 'f', 'entry': {'routine': 'r', 'slot': 'in'}, 'data': {'n': 1} %s}", more);
    free(more);
    return at(r, "job_id");
}

json_t *job_of(const char *id)
{
    return json_object_get(call("Jobs/GetJob", "'job_id': '%s'", id), "job");
}

const char *status_of(const char *id)
{
    const char *status = at(job_of(id), "status");
    return strncmp(status, "JOB_STATUS_", 11) == 0 ? status + 11 : status;
}

void host_steps(uint64_t conn, const char *job, unsigned epoch, unsigned number, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *more = json_vformat(fmt, ap);
    va_end(ap);
    host_says(conn, "'steps': {'steps': [{'job_id': '%s', 'step': {'epoch': %u, 'number': %u %s}}]}", job,
              epoch, number, more);
    free(more);
}
