/* What the machine gives without Fermata, in the same run: gRPC calls and stream messages that do nothing,
 * fdatasync, and SQLite with the rows of a step. See bench.h. */
#define _GNU_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "clock.h"
#include "mem.h"
#include "rpc.h"

#define MESSAGE_BYTES 600
#define STREAM_WINDOW 256

/* ---- gRPC ---- */

static struct raw {
    struct rpc_loop *server_loop, *loop;
    struct rpc_server *server;
    struct rpc_channel *channel;
    struct rpc_stream *stream;
    size_t left, running, calls, sent, echoed;
    int64_t *times_us;
} raw;

struct raw_call {
    int64_t began_us;
};

static void echo(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    (void)method;
    rpc_call_reply(call, message);
}

static void echo_message(struct rpc_call *call, void *user, struct fm_bytes message)
{
    (void)user;
    (void)rpc_call_send(call, message);
}

static void echo_end(struct rpc_call *call, void *user)
{
    (void)user;
    rpc_call_finish(call, NULL, (struct fm_bytes){0});
}

static void echo_stream(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    static const struct rpc_call_events events = {.on_message = echo_message, .on_half_close = echo_end};
    (void)method;
    (void)message;
    rpc_call_events(call, &events, NULL, 0);
}

static const struct rpc_method methods[] = {
    {"/raw/Echo",   RPC_UNARY, echo,        NULL, 0},
    {"/raw/Stream", RPC_BIDI,  echo_stream, NULL, 0},
};

static void *server_main(void *arg)
{
    (void)arg;
    rpc_loop_run(raw.server_loop);
    return NULL;
}

static void start_server(void *arg)
{
    (void)arg;
    rpc_server_start(raw.server);
}

static void server_down(void *arg)
{
    (void)arg;
    rpc_loop_stop(raw.server_loop);
}

static void stop_server(void *arg)
{
    (void)arg;
    rpc_server_shutdown(raw.server, 0, server_down, NULL);
}

static void call_once(void);

static void nothing(struct rpc_stream *s, void *user, struct fm_bytes m)
{
    (void)s;
    (void)user;
    (void)m;
}

static void call_done(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    struct raw_call *c = user;
    (void)details;
    if (status->code != FM_OK)
        fm_abort(status->msg);
    raw.times_us[raw.calls++] = fm_now_mono_us() - c->began_us;
    free(c);
    rpc_stream_unref(s);
    raw.running--;
    if (raw.left > 0)
        call_once();
    else if (raw.running == 0)
        rpc_loop_stop(raw.loop);
}

static void call_once(void)
{
    static const struct rpc_stream_events events = {nothing, call_done};
    static const uint8_t request[64];
    struct raw_call *c = fm_xcalloc(1, sizeof(*c));
    raw.left--;
    raw.running++;
    c->began_us = fm_now_mono_us();
    (void)rpc_stream_request(raw.channel, "/raw/Echo", 0, (struct fm_bytes){request, sizeof(request)},
                             &events, c);
}

static void start_calls(void *arg)
{
    size_t concurrency = *(const size_t *)arg;
    for (size_t i = 0; i < concurrency; i++)
        call_once();
}

static void send_more(void)
{
    static const uint8_t message[MESSAGE_BYTES];
    while (raw.left > 0 && raw.sent - raw.echoed < STREAM_WINDOW) {
        raw.left--;
        raw.sent++;
        rpc_stream_send(raw.stream, (struct fm_bytes){message, sizeof(message)});
    }
    if (raw.left == 0)
        rpc_stream_close_send(raw.stream);
}

static void on_echo(struct rpc_stream *s, void *user, struct fm_bytes m)
{
    (void)s;
    (void)user;
    (void)m;
    raw.echoed++;
    if (raw.left > 0)
        send_more();
}

static void stream_done(struct rpc_stream *s, void *user, const struct fm_err *status,
                        struct fm_bytes details)
{
    (void)user;
    (void)details;
    if (status->code != FM_OK)
        fm_abort(status->msg);
    rpc_stream_unref(s);
    rpc_loop_stop(raw.loop);
}

static void start_stream(void *arg)
{
    static const struct rpc_stream_events events = {on_echo, stream_done};
    (void)arg;
    raw.stream = rpc_stream_open(raw.channel, "/raw/Stream", 0, &events, NULL);
    send_more();
}

/* Runs `start` in a loop of its own until it is stopped; returns the seconds. */
static double with_loop(const char *address, void (*start)(void *arg), void *arg)
{
    raw.loop = rpc_loop_new();
    raw.channel = rpc_channel_new(raw.loop, address, 4u << 20);
    double from = bench_now();
    if (!rpc_loop_post(raw.loop, start, arg))
        fm_abort("a baseline could not be started");
    rpc_loop_run(raw.loop);
    double seconds = bench_now() - from;
    rpc_channel_free(raw.channel);
    rpc_loop_free(raw.loop);
    return seconds;
}

static double calls(const char *address, size_t n, size_t concurrency)
{
    raw.left = n;
    raw.running = raw.calls = 0;
    return with_loop(address, start_calls, &concurrency);
}

static void grpc_baselines(struct bench_base *b, size_t n)
{
    struct fm_err err = {0};
    struct rpc_server_config cfg = {.max_message_bytes = 4u << 20};
    char address[64];
    int port = 0;
    pthread_t thread;
    raw.times_us = fm_xcalloc(n, sizeof(*raw.times_us));
    raw.server_loop = rpc_loop_new();
    raw.server = rpc_server_new(raw.server_loop, &cfg);
    rpc_server_add(raw.server, methods, sizeof(methods) / sizeof(methods[0]));
    if (rpc_server_listen(raw.server, "127.0.0.1:0", &port, &err) < 0)
        fm_abort(err.msg);
    (void)rpc_loop_post(raw.server_loop, start_server, NULL);
    if (pthread_create(&thread, NULL, server_main, NULL) != 0)
        fm_abort("a thread could not be started");
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    (void)calls(address, n / 10 + 1, 1); /* the connection, the caches */
    (void)calls(address, n, 1);
    b->call_us = (double)bench_quantile(raw.times_us, n, 0.5);
    b->calls_per_s = (double)n / calls(address, n, 64);
    raw.left = n * 10;
    raw.sent = raw.echoed = 0;
    double seconds = with_loop(address, start_stream, NULL);
    b->messages_per_s = (double)n * 10 / seconds;
    (void)rpc_loop_post(raw.server_loop, stop_server, NULL);
    pthread_join(thread, NULL);
    rpc_server_free(raw.server);
    rpc_loop_free(raw.server_loop);
    free(raw.times_us);
}

/* ---- the disk ---- */

static double fdatasync_us(const char *dir)
{
    char path[256], block[4096] = {0};
    static int64_t times[300];
    snprintf(path, sizeof(path), "%s/sync", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (size_t i = 0; i < 300; i++) {
        int64_t from = fm_now_mono_us();
        if (write(fd, block, sizeof(block)) < 0 || fdatasync(fd) < 0)
            fm_abort("fdatasync");
        times[i] = fm_now_mono_us() - from;
    }
    close(fd);
    unlink(path);
    return (double)bench_quantile(times, 300, 0.5);
}

static void must(sqlite3 *db, int rc)
{
    if (rc != SQLITE_OK && rc != SQLITE_DONE)
        fm_abort(sqlite3_errmsg(db));
}

static void run(sqlite3 *db, const char *sql)
{
    must(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static void step(sqlite3 *db, sqlite3_stmt *s)
{
    must(db, sqlite3_step(s));
    must(db, sqlite3_reset(s));
}

/* Steps a second: for each a body of 600 bytes, its row by job, and the job's row of 250 bytes changed. */
static double sqlite_steps(const char *dir, size_t steps, size_t batch)
{
    char path[256];
    static uint8_t body[600], head[250], id[16];
    sqlite3 *db;
    sqlite3_stmt *put_body, *put_record, *put_job;
    snprintf(path, sizeof(path), "%s/raw%zu.db", dir, batch);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        fm_abort("sqlite3_open");
    run(db,
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=2000;"
        "CREATE TABLE jobs(id BLOB PRIMARY KEY, status INTEGER, head BLOB) WITHOUT ROWID;"
        "CREATE INDEX jobs_by_status ON jobs(status, id);"
        "CREATE TABLE records(job BLOB, number INTEGER, at INTEGER, PRIMARY KEY(job, number)) WITHOUT ROWID;"
        "CREATE TABLE bodies(id INTEGER PRIMARY KEY, body BLOB);");
    must(db, sqlite3_prepare_v2(db, "INSERT INTO bodies(body) VALUES(?1)", -1, &put_body, NULL));
    must(db, sqlite3_prepare_v2(db, "INSERT INTO records VALUES(?1, ?2, ?3)", -1, &put_record, NULL));
    must(db, sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO jobs VALUES(?1, ?2, ?3)", -1, &put_job, NULL));
    must(db, sqlite3_bind_blob(put_body, 1, body, sizeof(body), SQLITE_STATIC));
    must(db, sqlite3_bind_blob(put_job, 3, head, sizeof(head), SQLITE_STATIC));
    double from = bench_now();
    for (size_t i = 0; i < steps; i++) {
        size_t job = i / 10; /* ten steps each */
        for (size_t k = 0; k < 8; k++)
            id[7 - k] = (uint8_t)(job >> (8 * k));
        if (i % batch == 0)
            run(db, "BEGIN IMMEDIATE");
        step(db, put_body);
        must(db, sqlite3_bind_blob(put_record, 1, id, sizeof(id), SQLITE_STATIC));
        must(db, sqlite3_bind_int64(put_record, 2, (int64_t)(i % 10) + 1));
        must(db, sqlite3_bind_int64(put_record, 3, sqlite3_last_insert_rowid(db)));
        step(db, put_record);
        must(db, sqlite3_bind_blob(put_job, 1, id, sizeof(id), SQLITE_STATIC));
        must(db, sqlite3_bind_int64(put_job, 2, (int64_t)(i % 4)));
        step(db, put_job);
        if (i % batch == batch - 1 || i + 1 == steps)
            run(db, "COMMIT");
    }
    double seconds = bench_now() - from;
    sqlite3_finalize(put_body);
    sqlite3_finalize(put_record);
    sqlite3_finalize(put_job);
    sqlite3_close(db);
    unlink(path);
    return (double)steps / seconds;
}

void bench_baselines(struct bench_base *b, const struct bench_sizes *sizes, const char *dir)
{
    grpc_baselines(b, sizes->raw_calls);
    b->sync_us = fdatasync_us(dir);
    b->sqlite_one = sqlite_steps(dir, sizes->raw_rows / 50 + 1, 1);
    b->sqlite_many = sqlite_steps(dir, sizes->raw_rows, 256);
    bench_result("raw", "us", b->call_us, 0, "unary echo, c=1, p50");
    bench_result("raw", "/s", b->calls_per_s, 0, "unary echo, c=64");
    bench_result("raw", "/s", b->messages_per_s, 0, "stream echo, messages of %d bytes", MESSAGE_BYTES);
    bench_result("raw", "us", b->sync_us, 0, "fdatasync of 4 KiB appended, p50");
    bench_result("raw", "/s", b->sqlite_one, 0, "SQLite, rows of a step, 1 a commit");
    bench_result("raw", "/s", b->sqlite_many, 0, "SQLite, rows of a step, 256 a commit");
}
