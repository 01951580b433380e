/* What the machine gives without Fermata, in the same run, before, between and after the workloads: gRPC
 * calls and stream messages that do nothing, fdatasync, and SQLite with the rows of a step. See bench.h. */
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
#define BATCH 256 /* steps of a commit of many */
#define BLOCK 4096
#define BLOCKS 64        /* of the file that is written over */
#define WARM_STEPS 20000 /* more than the log may have before it is moved into its file */

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
    raw.channel = rpc_channel_new(raw.loop, address, 4u << 20, NULL);
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
    rpc_server_add(raw.server, methods, sizeof(methods) / sizeof(methods[0]), NULL);
    if (rpc_server_listen(raw.server, "127.0.0.1:0", &port, &err) < 0)
        fm_abort(err.msg);
    (void)rpc_loop_post(raw.server_loop, start_server, NULL);
    if (pthread_create(&thread, NULL, server_main, NULL) != 0)
        fm_abort("a thread could not be started");
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    (void)calls(address, n / 10 + 1, 1); /* the connection, the caches */
    (void)calls(address, n, 1);
    b->call_us = (double)bench_quantile(raw.times_us, n, 0.5);
    b->call_64_us = calls(address, n, 64) * 1e6 / (double)n;
    raw.left = n * 10;
    raw.sent = raw.echoed = 0;
    b->message_us = with_loop(address, start_stream, NULL) * 1e6 / (double)(n * 10);
    (void)rpc_loop_post(raw.server_loop, stop_server, NULL);
    pthread_join(thread, NULL);
    rpc_server_free(raw.server);
    rpc_loop_free(raw.server_loop);
    free(raw.times_us);
}

/* ---- the disk, and SQLite on it ---- */

struct raw_db {
    sqlite3 *db;
    sqlite3_stmt *put_body, *put_record, *put_job;
    size_t steps;
};

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

static void open_db(struct raw_db *r, const char *path)
{
    static const uint8_t body[200], head[250];
    if (sqlite3_open(path, &r->db) != SQLITE_OK)
        fm_abort("sqlite3_open");
    run(r->db,
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=2000;"
        "CREATE TABLE jobs(id BLOB PRIMARY KEY, status INTEGER, head BLOB) WITHOUT ROWID;"
        "CREATE INDEX jobs_by_status ON jobs(status, id);"
        "CREATE TABLE records(job BLOB, number INTEGER, at INTEGER, PRIMARY KEY(job, number)) WITHOUT ROWID;"
        "CREATE TABLE bodies(id INTEGER PRIMARY KEY, body BLOB);");
    must(r->db, sqlite3_prepare_v2(r->db, "INSERT INTO bodies(body) VALUES(?1)", -1, &r->put_body, NULL));
    must(r->db,
         sqlite3_prepare_v2(r->db, "INSERT INTO records VALUES(?1, ?2, ?3)", -1, &r->put_record, NULL));
    must(r->db,
         sqlite3_prepare_v2(r->db, "INSERT OR REPLACE INTO jobs VALUES(?1, ?2, ?3)", -1, &r->put_job, NULL));
    must(r->db, sqlite3_bind_blob(r->put_body, 1, body, sizeof(body), SQLITE_STATIC));
    must(r->db, sqlite3_bind_blob(r->put_job, 3, head, sizeof(head), SQLITE_STATIC));
}

static void close_db(struct raw_db *r)
{
    sqlite3_finalize(r->put_body);
    sqlite3_finalize(r->put_record);
    sqlite3_finalize(r->put_job);
    sqlite3_close(r->db);
}

/* One commit of so many steps: for each a body of 200 bytes, its row by job, and the job's row of 250 bytes
 * changed. */
static void commit(struct raw_db *r, size_t steps)
{
    uint8_t id[16] = {0};
    run(r->db, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < steps; i++, r->steps++) {
        size_t job = r->steps / 10; /* ten steps each */
        for (size_t k = 0; k < 8; k++)
            id[7 - k] = (uint8_t)(job >> (8 * k));
        step(r->db, r->put_body);
        must(r->db, sqlite3_bind_blob(r->put_record, 1, id, sizeof(id), SQLITE_STATIC));
        must(r->db, sqlite3_bind_int64(r->put_record, 2, (int64_t)(r->steps % 10) + 1));
        must(r->db, sqlite3_bind_int64(r->put_record, 3, sqlite3_last_insert_rowid(r->db)));
        step(r->db, r->put_record);
        must(r->db, sqlite3_bind_blob(r->put_job, 1, id, sizeof(id), SQLITE_STATIC));
        must(r->db, sqlite3_bind_int64(r->put_job, 2, (int64_t)(r->steps % 4)));
        step(r->db, r->put_job);
    }
    run(r->db, "COMMIT");
}

static int64_t synced_us(int fd, size_t block)
{
    static const char zeros[BLOCK];
    int64_t from = fm_now_mono_us();
    if (pwrite(fd, zeros, BLOCK, (off_t)(block * BLOCK)) < 0 || fdatasync(fd) < 0)
        fm_abort("fdatasync");
    return fm_now_mono_us() - from;
}

static int open_file(const char *dir, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || unlink(path) < 0)
        fm_abort(path);
    return fd;
}

/* One at a time, p50: a block that makes a file longer, one that is written over, a commit of one step. In
 * turn, so that all of them meet the same disk. */
static void one_at_a_time(const char *dir, struct raw_db *r, size_t n, struct bench_base *b)
{
    int longer = open_file(dir, "longer"), over = open_file(dir, "over");
    int64_t *append = fm_xcalloc(n, sizeof(*append)), *overwrite = fm_xcalloc(n, sizeof(*overwrite)),
            *commits = fm_xcalloc(n, sizeof(*commits));
    for (size_t i = 0; i < BLOCKS; i++)
        (void)synced_us(over, i);
    for (size_t i = 0; i < n; i++) {
        append[i] = synced_us(longer, i);
        overwrite[i] = synced_us(over, i % BLOCKS);
        int64_t from = fm_now_mono_us();
        commit(r, 1);
        commits[i] = fm_now_mono_us() - from;
    }
    b->append_us = (double)bench_quantile(append, n, 0.5);
    b->overwrite_us = (double)bench_quantile(overwrite, n, 0.5);
    b->sqlite_commit_us = (double)bench_quantile(commits, n, 0.5);
    free(append);
    free(overwrite);
    free(commits);
    close(longer);
    close(over);
}

/* SQLite's log has been moved into its file before, so that it is written over, as in a coordinator that has
 * run for a while. */
static void disk_baselines(const char *dir, size_t steps, struct bench_base *b)
{
    char path[256];
    struct raw_db r = {0};
    snprintf(path, sizeof(path), "%s/raw.db", dir);
    open_db(&r, path);
    while (r.steps < WARM_STEPS)
        commit(&r, BATCH);
    run(r.db, "PRAGMA wal_checkpoint(RESTART)");
    one_at_a_time(dir, &r, steps / 300 + 1, b);
    size_t before = r.steps;
    double from = bench_now();
    while (r.steps - before < steps)
        commit(&r, BATCH);
    b->sqlite_steps_s = (double)(r.steps - before) / (bench_now() - from);
    close_db(&r);
    unlink(path);
}

/* ---- rounds ---- */

#define MAX_ROUNDS 3

static const struct {
    const char *name, *unit;
    size_t offset;
    bool rate; /* kept as microseconds, shown as a rate */
} kinds[] = {
    {"unary echo, c=1, p50",                              "us", offsetof(struct bench_base, call_us),          false},
    {"unary echo, c=64",                                  "/s", offsetof(struct bench_base, call_64_us),       true },
    {"stream echo, messages of 600 bytes",                "/s", offsetof(struct bench_base, message_us),       true },
    {"fdatasync of 4 KiB appended, p50",                  "us", offsetof(struct bench_base, append_us),        false},
    {"fdatasync of 4 KiB overwritten, p50",               "us", offsetof(struct bench_base, overwrite_us),     false},
    {"SQLite, rows of a step, 1 a commit, warm log, p50", "us", offsetof(struct bench_base, sqlite_commit_us),
     false                                                                                                          },
    {"SQLite, rows of a step, 256 a commit, warm log",    "/s", offsetof(struct bench_base, sqlite_steps_s),
     false                                                                                                          },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct bench_base rounds[MAX_ROUNDS];
static size_t n_rounds;

static double *value_of(struct bench_base *b, size_t kind)
{
    return (double *)(void *)((char *)b + kinds[kind].offset);
}

void bench_base_round(const struct bench_sizes *sizes)
{
    char dir[] = "/tmp/fermata-bench-XXXXXX";
    if (n_rounds == MAX_ROUNDS || mkdtemp(dir) == NULL)
        fm_abort("no directory for the baselines");
    struct bench_base *b = &rounds[n_rounds++];
    grpc_baselines(b, sizes->raw_calls);
    disk_baselines(dir, sizes->raw_rows, b);
    (void)rmdir(dir);
}

static int compare(const void *x, const void *y)
{
    double a = *(const double *)x, c = *(const double *)y;
    return (a > c) - (a < c);
}

void bench_base_done(struct bench_base *ret)
{
    for (size_t k = 0; k < KINDS; k++) {
        double v[MAX_ROUNDS], sorted[MAX_ROUNDS];
        for (size_t i = 0; i < n_rounds; i++) {
            double us = *value_of(&rounds[i], k);
            v[i] = sorted[i] = kinds[k].rate ? 1e6 / us : us;
        }
        qsort(sorted, n_rounds, sizeof(sorted[0]), compare);
        double median = (sorted[(n_rounds - 1) / 2] + sorted[n_rounds / 2]) / 2;
        *value_of(ret, k) = kinds[k].rate ? 1e6 / median : median;
        bench_rounds(bench_result("raw", kinds[k].unit, median, 0, "%s", kinds[k].name), v, n_rounds);
    }
}
