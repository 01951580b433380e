/* Measures the main job as a user would load it: real daemons, real gRPC, SQLite with fsync; two hosts; a
 * mock model without delay. For each job: submit, wait on a watch until it is paused, answer, wait until it
 * is completed on the other host. Prints times and ratios against raw baselines of the same run (a unary call
 * that does nothing; fdatasync of an append), memory, and the codec's speed. Asserts nothing. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "clock.h"
#include "cluster.h"
#include "fermata/v1/jobs.pb-c.h"
#include "job_state.h"
#include "mem.h"
#include "rpc.h"

#define MAX_JOBS 4000

static struct bench {
    struct rpc_loop *loop;
    struct rpc_channel *channel;
    struct cluster cluster;
    size_t to_start, running, started;
    int64_t paused_us[MAX_JOBS], completed_us[MAX_JOBS];
} b;

struct load {
    char job_id[27];
    int64_t began_us, answered_us;
    bool answered;
    size_t index;
};

static void start_job(void);

static void send_message(struct rpc_stream *s, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *p = fm_xmalloc(n);
    protobuf_c_message_pack(m, p);
    rpc_stream_send(s, (struct fm_bytes){p, n});
    rpc_stream_close_send(s);
    free(p);
}

static void nothing(struct rpc_stream *s, void *user, struct fm_bytes m)
{
    (void)s;
    (void)user;
    (void)m;
}

static void release(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    (void)user;
    (void)details;
    if (status->code != FM_OK)
        fm_abort(status->msg);
    rpc_stream_unref(s);
}

static void answer(struct load *l)
{
    static const struct rpc_stream_events events = {nothing, release};
    Fermata__V1__ResumeJobRequest r = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    char text[] = "Kyoto";
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v.string_value = text;
    r.job_id = l->job_id;
    r.answer = &v;
    l->answered_us = fm_now_mono_us();
    send_message(rpc_stream_open(b.channel, "/fermata.v1.Jobs/ResumeJob", 0, &events, NULL), &r.base);
}

static void on_watch(struct rpc_stream *s, void *user, struct fm_bytes m)
{
    struct load *l = user;
    (void)s;
    Fermata__V1__WatchJobResponse *w = fermata__v1__watch_job_response__unpack(NULL, m.n, m.p);
    if (w == NULL)
        fm_abort("malformed WatchJobResponse");
    if (w->event_case == FERMATA__V1__WATCH_JOB_RESPONSE__EVENT_JOB) {
        int64_t now = fm_now_mono_us();
        if (w->job->status == FERMATA__V1__JOB_STATUS__JOB_STATUS_PAUSED && !l->answered) {
            l->answered = true;
            b.paused_us[l->index] = now - l->began_us;
            answer(l);
        } else if (w->job->status == FERMATA__V1__JOB_STATUS__JOB_STATUS_COMPLETED) {
            b.completed_us[l->index] = now - l->answered_us;
        }
    }
    fermata__v1__watch_job_response__free_unpacked(w, NULL);
}

static void on_watch_end(struct rpc_stream *s, void *user, const struct fm_err *status,
                         struct fm_bytes details)
{
    release(s, user, status, details);
    free(user);
    b.running--;
    if (b.to_start > 0)
        start_job();
    else if (b.running == 0)
        rpc_loop_stop(b.loop);
}

static void on_submitted(struct rpc_stream *s, void *user, struct fm_bytes m)
{
    static const struct rpc_stream_events events = {on_watch, on_watch_end};
    struct load *l = user;
    (void)s;
    Fermata__V1__SubmitJobResponse *r = fermata__v1__submit_job_response__unpack(NULL, m.n, m.p);
    if (r == NULL)
        fm_abort("malformed SubmitJobResponse");
    snprintf(l->job_id, sizeof(l->job_id), "%s", r->job_id);
    fermata__v1__submit_job_response__free_unpacked(r, NULL);
    Fermata__V1__WatchJobRequest w = FERMATA__V1__WATCH_JOB_REQUEST__INIT;
    w.job_id = l->job_id;
    send_message(rpc_stream_open(b.channel, "/fermata.v1.Jobs/WatchJob", 0, &events, l), &w.base);
}

static void start_job(void)
{
    static const struct rpc_stream_events events = {on_submitted, release};
    struct load *l = fm_xcalloc(1, sizeof(*l));
    Fermata__V1__SubmitJobRequest r = FERMATA__V1__SUBMIT_JOB_REQUEST__INIT;
    Fermata__V1__SlotRef entry = FERMATA__V1__SLOT_REF__INIT;
    char flow[] = "trip", routine[] = "agent", slot[] = "trigger";
    entry.routine = routine;
    entry.slot = slot;
    r.flow = flow;
    r.entry = &entry;
    b.to_start--;
    b.running++;
    l->index = b.started++;
    l->began_us = fm_now_mono_us();
    send_message(rpc_stream_open(b.channel, "/fermata.v1.Jobs/SubmitJob", 0, &events, l), &r.base);
}

static int compare(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, c = *(const int64_t *)y;
    return a < c ? -1 : a > c;
}

static int64_t quantile(int64_t *list, size_t n, double q)
{
    qsort(list, n, sizeof(*list), compare);
    return list[(size_t)((double)(n - 1) * q)];
}

static void start_all(void *arg)
{
    size_t concurrency = *(const size_t *)arg;
    for (size_t i = 0; i < concurrency; i++)
        start_job();
}

static void run_jobs(size_t jobs, size_t concurrency, int64_t raw_us, int64_t sync_us)
{
    b.loop = rpc_loop_new();
    b.channel = rpc_channel_new(b.loop, b.cluster.address, 4u << 20);
    b.to_start = jobs;
    b.started = b.running = 0;
    int64_t from = fm_now_mono_us();
    (void)rpc_loop_post(b.loop, start_all, &concurrency);
    rpc_loop_run(b.loop);
    double seconds = (double)(fm_now_mono_us() - from) / 1e6;
    rpc_channel_free(b.channel);
    rpc_loop_free(b.loop);
    int64_t p50 = quantile(b.completed_us, jobs, 0.5);
    printf("concurrency %3zu: %6.0f jobs/s", concurrency, (double)jobs / seconds);
    printf("; answer -> completed on another host: p50 %5lld us, p99 %5lld us", (long long)p50,
           (long long)quantile(b.completed_us, jobs, 0.99));
    if (concurrency == 1) {
        printf("; submit -> paused: p50 %lld us", (long long)quantile(b.paused_us, jobs, 0.5));
        printf("; p50 is %.1f raw calls, or %.1f fdatasyncs", (double)p50 / (double)raw_us,
               (double)p50 / (double)sync_us);
    }
    printf("\n");
}

/* ---- baselines ---- */

static struct {
    struct rpc_loop *loop;
    struct rpc_channel *channel;
    int left;
    int64_t began_us, times[2000];
} raw;

static void raw_call(void);

static void raw_done(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    release(s, user, status, details);
    raw.times[--raw.left] = fm_now_mono_us() - raw.began_us;
    if (raw.left > 0)
        raw_call();
    else
        rpc_loop_stop(raw.loop);
}

static void raw_call(void)
{
    static const struct rpc_stream_events events = {nothing, raw_done};
    raw.began_us = fm_now_mono_us();
    struct rpc_stream *s = rpc_stream_open(raw.channel, "/grpc.health.v1.Health/Check", 0, &events, NULL);
    rpc_stream_send(s, (struct fm_bytes){0});
    rpc_stream_close_send(s);
}

static void raw_start(void *arg)
{
    (void)arg;
    raw_call();
}

static int64_t raw_call_us(void)
{
    raw.loop = rpc_loop_new();
    raw.channel = rpc_channel_new(raw.loop, b.cluster.address, 4u << 20);
    raw.left = 2000;
    (void)rpc_loop_post(raw.loop, raw_start, NULL);
    rpc_loop_run(raw.loop);
    rpc_channel_free(raw.channel);
    rpc_loop_free(raw.loop);
    return quantile(raw.times, 2000, 0.5);
}

static int64_t fdatasync_us(void)
{
    char path[256], block[4096] = {0};
    static int64_t times[300];
    snprintf(path, sizeof(path), "%s/sync", b.cluster.dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (size_t i = 0; i < 300; i++) {
        int64_t from = fm_now_mono_us();
        if (write(fd, block, sizeof(block)) < 0 || fdatasync(fd) < 0)
            fm_abort("fdatasync");
        times[i] = fm_now_mono_us() - from;
    }
    close(fd);
    return quantile(times, 300, 0.5);
}

static long rss_kb(pid_t pid)
{
    char path[64], *text, *at;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    text = file_text(path);
    at = strstr(text, "VmRSS:");
    long kb = at == NULL ? 0 : strtol(at + 6, NULL, 10);
    free(text);
    return kb;
}

static void codec(void)
{
    /* A state like the demo's: a conversation of four messages, a log of two entries, two outputs. */
    struct job_state *s = job_state_new();
    struct fm_buf encoded = {0};
    Fermata__V1__LogEntry e = FERMATA__V1__LOG_ENTRY__INIT;
    Fermata__V1__JobState m = FERMATA__V1__JOB_STATE__INIT;
    Fermata__V1__LogEntry *log[12];
    char message[] =
        "a message of the conversation between the agent and the person, about as long as they are",
         routine[] = "agent";
    e.message = message;
    e.routine = routine;
    e.step = 1;
    for (size_t i = 0; i < 12; i++)
        log[i] = &e;
    m.shared_log = log;
    m.n_shared_log = 12;
    size_t n = fermata__v1__job_state__get_packed_size(&m);
    uint8_t *bytes = fm_xmalloc(n);
    fermata__v1__job_state__pack(&m, bytes);
    job_state_free(s);
    const int rounds = 20000;
    int64_t from = fm_now_mono_us();
    for (int i = 0; i < rounds; i++) {
        struct fm_err err = {0};
        if (job_state_decode((struct fm_bytes){bytes, n}, &s, &err) < 0)
            fm_abort(err.msg);
        if (i + 1 < rounds)
            job_state_free(s);
    }
    double decode = (double)(fm_now_mono_us() - from) / rounds;
    from = fm_now_mono_us();
    for (int i = 0; i < rounds; i++) {
        fm_buf_reset(&encoded);
        job_state_encode(s, NULL, &encoded);
    }
    printf("job state of %zu bytes: encode %.2f us, decode %.2f us\n", encoded.n,
           (double)(fm_now_mono_us() - from) / rounds, decode);
    job_state_free(s);
    fm_buf_done(&encoded);
    free(bytes);
}

int main(void)
{
    rpc_global_init();
    cluster_init(&b.cluster);
    setenv("FERMATA_TEST_LOG", "warn", 1);
    cluster_coordinator(&b.cluster, NULL);
    cluster_host(&b.cluster, 0, "a", NULL);
    cluster_host(&b.cluster, 1, "b", NULL);
    put_trip(&b.cluster, "");
    printf("idle memory: coordinator %ld KB, hostd %ld KB\n", rss_kb(b.cluster.coordinator.pid),
           rss_kb(b.cluster.hosts[0].pid));
    int64_t raw_us = raw_call_us(), sync_us = fdatasync_us();
    printf("baselines: unary call p50 %lld us, fdatasync of 4 KiB p50 %lld us\n", (long long)raw_us,
           (long long)sync_us);
    run_jobs(500, 1, raw_us, sync_us);
    run_jobs(4000, 64, raw_us, sync_us);
    printf("memory after 4,500 jobs: coordinator %ld KB, hostd %ld KB\n", rss_kb(b.cluster.coordinator.pid),
           rss_kb(b.cluster.hosts[0].pid));
    codec();
    cluster_done(&b.cluster);
    rpc_global_shutdown();
    return 0;
}
