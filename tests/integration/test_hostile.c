/* Clients that mean harm, or are broken, against a running coordinator: while and after each attack it is up,
 * other clients are served, its memory stays below a bound that is stated here, and its file descriptors come
 * back. What they send is made by hand (h2.h). Limits: docs/hosts.md, common/rpc/rpc_server.c. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "buf.h"
#include "cluster.h"
#include "h2.h"

#define GET_JOB "/fermata.v1.Jobs/GetJob"
#define ATTACH "/fermata.v1.HostAgent/Attach"
#define REFLECT "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

/* A sanitizer's allocator keeps what was freed, and adds to everything. */
#define MEMORY_FACTOR (TEST_SANITIZED ? 8 : 1)

#define REST_MIB 120 /* between attacks */

static struct cluster c;
static size_t base_files;
static char known_job[32];

/* ---- what must hold ---- */

static size_t memory_mib(const char *key)
{
    char path[64], *text, *at;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)c.coordinator.pid);
    text = file_text(path);
    at = strstr(text, key);
    if (at == NULL)
        fail_msg("the coordinator is gone");
    size_t mib = strtoul(at + strlen(key) + 1, NULL, 10) / 1024;
    free(text);
    return mib;
}

static size_t open_files(void)
{
    char path[64];
    size_t n = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)c.coordinator.pid);
    DIR *d = opendir(path);
    if (d == NULL)
        fail_msg("the coordinator is gone");
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* Somebody else submits a job and sees it done. Every call has a deadline. */
static void others_are_served(void)
{
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "COMPLETED"));
}

/* The peak since begin_attack. */
static void memory_stays_below(size_t mib)
{
    size_t peak = memory_mib("VmHWM:");
    if (peak > mib * MEMORY_FACTOR)
        fail_msg("the coordinator took %zu MiB; the bound is %zu", peak, mib * MEMORY_FACTOR);
}

static void files_come_back(void)
{
    long long until = test_now_ms() + DEADLINE_MS;
    while (open_files() > base_files + 8)
        test_pause(until, "the coordinator's file descriptors come back");
}

static void memory_comes_back(void)
{
    if (MEMORY_FACTOR > 1)
        return;
    long long until = test_now_ms() + 2 * DEADLINE_MS;
    while (memory_mib("VmRSS:") > REST_MIB * MEMORY_FACTOR)
        test_pause(until, "the coordinator gives its memory back");
}

static void begin_attack(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)c.coordinator.pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC); /* the peak counts from here */
    assert_int_equal(write(fd, "5", 1), 1);
    close(fd);
    base_files = open_files();
}

static void end_attack(const char *what, size_t mib)
{
    others_are_served();
    printf("%s: %zu MiB at most\n", what, memory_mib("VmHWM:"));
    memory_stays_below(mib);
    files_come_back();
    memory_comes_back();
}

static void start(const char *const more[])
{
    cluster_init(&c);
    cluster_coordinator(&c, more);
    cluster_host(&c, 0, "a", NULL);
    put_trip(&c, "'ask':false");
    snprintf(known_job, sizeof(known_job), "%s", submit_trip(&c, "t"));
    json_decref(wait_status(&c, known_job, "COMPLETED"));
}

static int setup(void **state)
{
    (void)state;
    (void)h2_raise_files();
    start(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_done(&c);
    return 0;
}

static void restart(const char *const more[])
{
    cluster_done(&c);
    start(more);
}

/* What a sanitizer keeps of one attack must not count for the next. */
static int own_coordinator(void **state)
{
    (void)state;
    if (TEST_SANITIZED)
        restart(NULL);
    return 0;
}

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* Sending gives up soon when nothing is taken. */
static void be_impatient(int fd)
{
    const struct timeval t = {0, 200000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)), 0);
}

/* ---- requests ---- */

/* GetJobRequest{job_id} of the job that is there. */
static size_t get_job_message(uint8_t out[64])
{
    size_t n = strlen(known_job);
    out[0] = 0x0a;
    out[1] = (uint8_t)n;
    memcpy(out + 2, known_job, n);
    return n + 2;
}

static bool send_get_job(int fd, uint32_t stream)
{
    uint8_t m[64];
    size_t n = get_job_message(m);
    return h2_call(fd, stream, GET_JOB) && h2_message(fd, stream, H2_END_STREAM, 0, (uint32_t)n, m, n);
}

/* All that a client says for one GetJob, from the preface on. */
static void whole_session(struct fm_buf *out)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    uint8_t h[9], m[64], prefix[5] = {0};
    struct h2_block b = {0};
    size_t n = get_job_message(m);
    h2_request(&b, GET_JOB, NULL);
    fm_buf_append(out, preface, sizeof(preface) - 1);
    h2_frame_header(h, 0, H2_SETTINGS, 0, 0);
    fm_buf_append(out, h, sizeof(h));
    h2_frame_header(h, b.n, H2_HEADERS, H2_END_HEADERS, 1);
    fm_buf_append(out, h, sizeof(h));
    fm_buf_append(out, b.p, b.n);
    h2_frame_header(h, 5 + n, H2_DATA, H2_END_STREAM, 1);
    fm_buf_append(out, h, sizeof(h));
    prefix[4] = (uint8_t)n;
    fm_buf_append(out, prefix, sizeof(prefix));
    fm_buf_append(out, m, n);
    h2_block_free(&b);
}

/* The call on stream 1 of a fresh connection must end with this status. */
static void status_is(int fd, const char *number)
{
    struct h2_block b = {0};
    char want[32];
    snprintf(want, sizeof(want), "grpc-status%c%s", (int)strlen(number), number);
    enum h2_end end = h2_wait_end(fd, 1, DEADLINE_MS, &b);
    if (end != H2_STREAM_ENDED || !h2_block_has(&b, want))
        fail_msg("status %s wanted, but the call ended by %d, headers %.*s", number, (int)end, (int)b.n,
                 (const char *)b.p);
    h2_block_free(&b);
    close(fd);
}

/* The server ends the connection, or the stream, by itself. */
static void is_turned_away(int fd)
{
    if (h2_wait_end(fd, 1, DEADLINE_MS, NULL) == H2_NOTHING)
        fail_msg("the server keeps the connection");
    close(fd);
}

/* ---- malformed ---- */

static void nonsense_instead_of_http2_is_turned_away(void **state)
{
    (void)state;
    static const char *const openings[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        "PRI * HTTP/3.0\r\n\r\nXX\r\n\r\n"};
    begin_attack();
    for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++) {
        int fd = h2_tcp(c.address, 1);
        assert_true(h2_send(fd, openings[i], strlen(openings[i])));
        is_turned_away(fd);
    }
    end_attack("nonsense", 60);
}

static int open_call(const char *path, const char *content_type)
{
    struct h2_block b = {0};
    int fd = h2_open(c.address);
    h2_request(&b, path, content_type);
    assert_true(h2_frame(fd, H2_HEADERS, H2_END_HEADERS, 1, b.p, b.n));
    h2_block_free(&b);
    return fd;
}

static void requests_that_are_not_grpc_are_refused(void **state)
{
    (void)state;
    uint8_t m[64];
    size_t n = get_job_message(m);
    begin_attack();
    int fd = open_call("/fermata.v1.Jobs/Nothing", NULL);
    assert_true(h2_message(fd, 1, H2_END_STREAM, 0, (uint32_t)n, m, n));
    status_is(fd, "12");
    fd = open_call(GET_JOB, "text/html");
    (void)h2_message(fd, 1, H2_END_STREAM, 0, (uint32_t)n, m, n);
    is_turned_away(fd);
    fd = open_call(GET_JOB, NULL); /* the flag, without an encoding */
    (void)h2_message(fd, 1, H2_END_STREAM, 1, (uint32_t)n, m, n);
    is_turned_away(fd);
    fd = open_call(GET_JOB, NULL); /* a flag that does not exist */
    (void)h2_message(fd, 1, H2_END_STREAM, 7, (uint32_t)n, m, n);
    is_turned_away(fd);
    fd = open_call(GET_JOB, NULL); /* no message */
    (void)h2_frame(fd, H2_DATA, H2_END_STREAM, 1, NULL, 0);
    is_turned_away(fd);
    fd = open_call("", NULL);
    (void)h2_message(fd, 1, H2_END_STREAM, 0, (uint32_t)n, m, n);
    is_turned_away(fd);
    end_attack("not gRPC", 60);
}

/* The path of a method with more behind a NUL, or with a NUL in it, is not the path of that method. */
static void a_path_is_compared_with_all_of_its_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *shown;
    } paths[] = {
        {GET_JOB "\0",                      sizeof(GET_JOB),          GET_JOB "?"            },
        {GET_JOB "\0/and/much/more/of/it/", sizeof(GET_JOB) + 22,     GET_JOB "?/and/much/mo"},
        {"/fermata.v1.Jobs/\0\0\0\0\0\0",   sizeof(GET_JOB) - 1,      "Jobs/??????"          },
        {"\0fermata.v1.Jobs/GetJob",        sizeof(GET_JOB) - 1,      "?fermata.v1.Jobs"     },
        {"/\xff\x1b[31m\r\n",               9,                        "/??[31m??"            },
        {GET_JOB,                           sizeof(GET_JOB) - 2,      "/GetJo"               },
        {GET_JOB "\0\0\0\0\0\0\0\0\0\0\0",  sizeof(GET_JOB) - 1 + 11, GET_JOB "???????????"  },
    };
    uint8_t m[64];
    size_t n = get_job_message(m);
    begin_attack();
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct h2_block b = {0};
        int fd = h2_open(c.address);
        h2_request_bytes(&b, paths[i].bytes, paths[i].n, NULL);
        assert_true(h2_frame(fd, H2_HEADERS, H2_END_HEADERS, 1, b.p, b.n));
        assert_true(h2_message(fd, 1, H2_END_STREAM, 0, (uint32_t)n, m, n));
        h2_block_free(&b);
        assert_int_equal(h2_wait_end(fd, 1, DEADLINE_MS, &b), H2_STREAM_ENDED);
        if (!h2_block_has(&b, "grpc-status\00212") || !h2_block_has(&b, paths[i].shown))
            fail_msg("path %zu: headers %.*s", i, (int)b.n, (const char *)b.p);
        h2_block_free(&b);
        close(fd);
    }
    end_attack("paths", 60);
}

static void frames_and_messages_that_are_too_large_are_refused(void **state)
{
    (void)state;
    uint8_t h[9];
    begin_attack();
    int fd = h2_open(c.address);
    h2_frame_header(h, 0xffffff, H2_DATA, 0, 1);
    assert_true(h2_send(fd, h, sizeof(h)));
    is_turned_away(fd);
    fd = h2_open(c.address);
    h2_frame_header(h, 0xffffff, H2_HEADERS, H2_END_HEADERS, 1);
    assert_true(h2_send(fd, h, sizeof(h)));
    is_turned_away(fd);
    end_attack("too large", 60);
}

static void a_session_cut_off_at_any_byte_harms_nobody(void **state)
{
    (void)state;
    struct fm_buf session = {0};
    begin_attack();
    whole_session(&session);
    for (size_t n = 0; n < session.n; n++) {
        int fd = h2_tcp(c.address, 1);
        (void)h2_send(fd, session.p, n);
        if (n % 2 == 0)
            (void)shutdown(fd, SHUT_WR); /* else a reset */
        close(fd);
    }
    int fd = h2_tcp(c.address, 1);
    assert_true(h2_send(fd, session.p, session.n)); /* and the whole of it works */
    status_is(fd, "0");
    fm_buf_done(&session);
    end_attack("cut off", 80);
}

/* 4 MiB that would be 600 MiB. Another encoding than those that gRPC knows is none to it. */
static void compressed_requests_are_refused_before_they_are_inflated(void **state)
{
    (void)state;
    static const struct {
        const char *path, *encoding, *status;
        size_t n;
    } cases[] = {
        {GET_JOB, "gzip",    "12", 4 << 20},
        {GET_JOB, "deflate", "12", 4 << 20},
        {ATTACH,  "gzip",    "12", 4 << 20},
        {REFLECT, "gzip",    "12", 4 << 20},
        {GET_JOB, "gzip",    "12", 100    },
        {GET_JOB, "zstd",    "3",  100    },
    };
    begin_attack();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct h2_block b = {0};
        char want[32];
        snprintf(want, sizeof(want), "grpc-status%c%s", (int)strlen(cases[i].status), cases[i].status);
        uint8_t *bomb = h2_gzip_bomb(cases[i].n);
        int fd = h2_open(c.address);
        h2_request(&b, cases[i].path, NULL);
        h2_literal(&b, "grpc-encoding", cases[i].encoding);
        assert_true(h2_frame(fd, H2_HEADERS, H2_END_HEADERS, 1, b.p, b.n));
        enum h2_end end = h2_send_data(fd, 1, H2_END_STREAM, bomb, cases[i].n, DEADLINE_MS, &b);
        if (end == H2_NOTHING)
            end = h2_wait_end(fd, 1, DEADLINE_MS, &b);
        if (end != H2_STREAM_ENDED || !h2_block_has(&b, want))
            fail_msg("case %zu ended by %d, headers %.*s", i, (int)end, (int)b.n, (const char *)b.p);
        h2_block_free(&b);
        free(bomb);
        close(fd);
    }
    end_attack("compressed", 60);
}

/* ---- slow ---- */

static void clients_that_write_byte_by_byte_are_answered_and_hold_up_nobody(void **state)
{
    (void)state;
    enum { N = 200 };
    int fds[N];
    struct fm_buf session = {0};
    begin_attack();
    whole_session(&session);
    for (size_t i = 0; i < N; i++)
        fds[i] = h2_tcp(c.address, 1);
    for (size_t at = 0; at < session.n; at++) {
        for (size_t i = 0; i < N; i++)
            assert_true(h2_send(fds[i], session.p + at, 1));
        if (at == session.n / 2 || at == session.n - 10)
            others_are_served();
    }
    for (size_t i = 0; i < N; i++)
        status_is(fds[i], "0");
    fm_buf_done(&session);
    end_attack("slow writers", 80);
}

/* ---- many ---- */

static void ten_thousand_connections_harm_nobody(void **state)
{
    (void)state;
    size_t wanted = MEMORY_FACTOR > 1 ? 2000 : 10000; /* a sanitizer makes it slow */
    size_t allowed = h2_raise_files() - 64, n = allowed < wanted ? allowed : wanted;
    int *fds = malloc(n * sizeof(*fds));
    if (n < wanted)
        printf("this machine allows %zu files, so there are %zu connections\n", allowed, n);
    begin_attack();
    for (size_t i = 0; i < n; i++) {
        fds[i] = h2_try_tcp(c.address, 2 + (unsigned)i % 50);
        if (fds[i] < 0)
            fail_msg("connection %zu of %zu is not taken; this machine allows %zu files", i, n, allowed);
        if (i % 2 == 0)
            (void)h2_preface(fds[i]); /* the others say nothing, ever */
        if (i % 2500 == 0)
            others_are_served();
    }
    others_are_served();
    close_all(fds, n);
    free(fds);
    end_attack("10,000 connections", 400);
}

static void streams_without_a_message_harm_nobody(void **state)
{
    (void)state;
    enum { CONNECTIONS = 8, STREAMS = 2000 };
    int fds[CONNECTIONS];
    begin_attack();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = h2_open(c.address);
        for (uint32_t k = 0; k < STREAMS; k++)
            if (!h2_call(fds[i], 2 * k + 1, k % 3 == 0 ? ATTACH : GET_JOB))
                break;
    }
    others_are_served();
    close_all(fds, CONNECTIONS);
    end_attack("streams without a message", 700);
}

/* As many messages of 4 MiB as the server takes, of each of which the last byte does not come. */
static void messages_that_never_end_are_bounded(void **state)
{
    (void)state;
    enum { CONNECTIONS = 40, STREAMS = 16, ALL = 4 << 20, PART = 16384 };
    int fds[CONNECTIONS];
    uint8_t *part = calloc(1, PART);
    size_t sent = 0;
    begin_attack();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = h2_open(c.address);
        be_impatient(fds[i]);
        for (uint32_t k = 0; k < STREAMS; k++)
            if (!h2_call(fds[i], 2 * k + 1, GET_JOB) || !h2_message(fds[i], 2 * k + 1, 0, 0, ALL, NULL, 0))
                break;
        for (size_t n = 0; n < STREAMS * (ALL / PART - 1); n++, sent += PART)
            if (!h2_frame(fds[i], H2_DATA, 0, 2 * (uint32_t)(n % STREAMS) + 1, part, PART))
                break;
        if (i == CONNECTIONS / 2)
            others_are_served();
    }
    printf("%zu MiB sent\n", sent >> 20);
    others_are_served();
    close_all(fds, CONNECTIONS);
    free(part);
    end_attack("messages without end", 800);
}

/* ---- floods ---- */

/* Sends frames without reading until the server takes no more, or has closed, or n are sent. */
static void flood(const char *what, enum h2_type type, uint8_t flags, const void *payload, size_t len,
                  size_t n)
{
    int fd = h2_open(c.address);
    size_t i = 0;
    begin_attack();
    be_impatient(fd);
    while (i < n && h2_frame(fd, type, flags, 0, payload, len))
        i++;
    others_are_served();
    close(fd);
    printf("%zu frames\n", i);
    end_attack(what, 300);
}

static void floods_of_control_frames_harm_nobody(void **state)
{
    (void)state;
    static const uint8_t ping[8] = "12345678", setting[6] = {0, 3, 0, 0, 0, 100}, window[4] = {0, 0, 0, 1};
    flood("pings", H2_PING, 0, ping, sizeof(ping), 200000);
    flood("settings", H2_SETTINGS, 0, setting, sizeof(setting), 200000);
    flood("window updates", H2_WINDOW_UPDATE, 0, window, sizeof(window), 200000);
    flood("acks", H2_SETTINGS, H2_ACK, NULL, 0, 200000);
}

static void calls_that_are_reset_at_once_harm_nobody(void **state)
{
    (void)state;
    static const uint8_t cancel[4] = {0, 0, 0, 8};
    begin_attack();
    int fd = h2_open(c.address);
    uint32_t k = 0;
    for (; k < 100000; k++)
        if (!send_get_job(fd, 2 * k + 1) ||
            !h2_frame(fd, H2_RST_STREAM, 0, 2 * k + 1, cancel, sizeof(cancel)))
            break;
    printf("%u resets\n", k);
    others_are_served();
    close(fd);
    end_attack("rapid reset", 500);
}

static void header_lists_without_end_and_bombs_are_refused(void **state)
{
    (void)state;
    enum { BOMBS = 100 };
    begin_attack();
    /* CONTINUATION for ever */
    struct h2_block b = {0}, more = {0};
    char value[8000];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    h2_request(&b, GET_JOB, NULL);
    h2_literal(&more, "x-a", value);
    h2_literal(&more, "x-b", value);
    int fd = h2_open(c.address);
    size_t sent = 0;
    if (h2_frame(fd, H2_HEADERS, 0, 1, b.p, b.n))
        while (sent < 256u << 20 && h2_frame(fd, H2_CONTINUATION, 0, 1, more.p, more.n))
            sent += more.n;
    printf("%zu MiB of headers\n", sent >> 20);
    others_are_served();
    close(fd);
    /* one entry of 4000 bytes in the table, named 12,000 times on each of 100 streams */
    uint8_t *bomb = malloc(16384);
    fd = h2_open(c.address);
    for (uint32_t k = 0; k < BOMBS; k++) {
        struct h2_block first = {0};
        h2_request(&first, GET_JOB, NULL);
        size_t n = 0;
        if (k == 0) {
            const uint8_t add[] = {0x40, 3, 'x', '-', 'c', 127, 0xa1, 0x1e}; /* 4000 bytes follow */
            memcpy(bomb, add, sizeof(add));
            memset(bomb + sizeof(add), 'v', 4000);
            n = sizeof(add) + 4000;
        }
        memset(bomb + n, 0x80 | 62, 16384 - n);
        if (!h2_frame(fd, H2_HEADERS, 0, 2 * k + 1, first.p, first.n) ||
            !h2_frame(fd, H2_CONTINUATION, H2_END_HEADERS, 2 * k + 1, bomb, 16384))
            k = BOMBS;
        h2_block_free(&first);
    }
    others_are_served();
    close(fd);
    free(bomb);
    h2_block_free(&b);
    h2_block_free(&more);
    end_attack("headers", 500);
}

/* ---- what the frame guard stops ---- */

/* Until the coordinator takes no more, or n are sent. */
static void send_many(int fd, enum h2_type type, uint8_t flags, uint32_t stream, const void *payload,
                      size_t len, size_t n)
{
    be_impatient(fd);
    while (n > 0 && h2_frame(fd, type, flags, stream, payload, len))
        n--;
}

/* The coordinator ends the connection, and says why: to the client, too, when it can. */
static void is_cut_off(int fd, const char *why)
{
    char line[128];
    enum h2_end end = h2_wait_end(fd, 0, DEADLINE_MS, NULL);
    if (end != H2_WENT_AWAY && end != H2_CLOSED)
        fail_msg("%s: the connection is kept", why);
    snprintf(line, sizeof(line), "reason=\"%s\"", why);
    cluster_wait_log(&c, "coordinator.log", line);
    close(fd);
}

static double processor_s(void)
{
    char path[64], *text;
    unsigned long user, system;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)c.coordinator.pid);
    text = file_text(path);
    assert_int_equal(
        sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system),
        2);
    free(text);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* An integer of HPACK goes on as long as the highest bit is set; at each frame gRPC reads it anew. */
static void a_header_block_that_does_not_end_costs_nothing(void **state)
{
    (void)state;
    enum { FRAMES = 18000, BYTES = 100 };
    uint8_t part[BYTES];
    begin_attack();
    double before = processor_s();
    for (int i = 0; i < 2; i++) {
        static const uint8_t begin[] = {0, 0x7f};
        int fd = h2_open(c.address);
        memset(part, 0x80, sizeof(part));
        assert_true(h2_frame(fd, H2_HEADERS, 0, 1, begin, sizeof(begin)));
        if (i == 0)
            send_many(fd, H2_CONTINUATION, 0, 1, part, sizeof(part), FRAMES);
        else
            send_many(fd, H2_CONTINUATION, 0, 1, NULL, 0, FRAMES); /* and nothing at all in them */
        others_are_served();
        is_cut_off(fd, "a header block of too many frames");
    }
    if (processor_s() - before > 5 * test_slow())
        fail_msg("%.1f s of the processor", processor_s() - before);
    uint8_t *large = calloc(1, 16384);
    int fd = h2_open(c.address);
    assert_true(h2_frame(fd, H2_HEADERS, 0, 1, large, 16384));
    send_many(fd, H2_CONTINUATION, 0, 1, large, 16384, 10);
    is_cut_off(fd, "a header block that is too large");
    free(large);
    fd = h2_open(c.address);
    assert_true(h2_frame(fd, H2_HEADERS, 0, 1, NULL, 0));
    assert_true(h2_frame(fd, H2_PING, 0, 0, "12345678", 8));
    is_cut_off(fd, "another frame within a header block");
    end_attack("header block without end", 150);
}

static void floods_of_cheap_frames_are_cut_off(void **state)
{
    (void)state;
    static const uint8_t zeros[8] = {0}, window[4] = {0, 0, 0, 1};
    static const struct {
        enum h2_type type;
        uint8_t flags;
        uint32_t stream;
        const void *payload;
        size_t len;
        const char *why;
    } floods[] = {
        {H2_RST_STREAM,    0,      1, zeros,  4, "too many RST_STREAM frames"              },
        {H2_PING,          H2_ACK, 0, zeros,  8, "too many PING frames"                    },
        {H2_SETTINGS,      H2_ACK, 0, NULL,   0, "too many SETTINGS frames"                },
        {H2_SETTINGS,      0,      0, NULL,   0, "too many SETTINGS frames"                },
        {H2_DATA,          0,      1, NULL,   0, "too many frames without effect"          },
        {H2_WINDOW_UPDATE, 0,      0, window, 4, "too many WINDOW_UPDATE frames"           },
        {H2_PRIORITY,      0,      1, zeros,  5, "too many frames that gRPC has no use for"},
        {(enum h2_type)99, 0,      0, zeros,  8, "too many frames that gRPC has no use for"},
    };
    begin_attack();
    for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
        int fd = h2_open(c.address);
        assert_true(h2_call(fd, 1, ATTACH));
        send_many(fd, floods[i].type, floods[i].flags, floods[i].stream, floods[i].payload, floods[i].len,
                  1000000);
        is_cut_off(fd, floods[i].why);
    }
    end_attack("cheap frames", 150);
}

/* gRPC holds a client to the settings that it has acknowledged, and not before. */
static void streams_are_bounded_whether_settings_are_acknowledged_or_not(void **state)
{
    (void)state;
    enum { MOST = 4096 };
    uint8_t m[64];
    size_t n = get_job_message(m);
    begin_attack();
    int fd = h2_open(c.address);
    be_impatient(fd);
    for (uint32_t k = 0; k < 10 * MOST && h2_call(fd, 2 * k + 1, ATTACH); k++)
        ;
    is_cut_off(fd, "too many streams before the settings are acknowledged");
    fd = h2_open(c.address);
    assert_true(h2_call(fd, 1, GET_JOB));
    for (uint32_t k = 1; k < MOST; k++)
        assert_true(h2_call(fd, 2 * k + 1, ATTACH));
    assert_true(h2_frame(fd, H2_SETTINGS, H2_ACK, 0, NULL, 0));
    assert_true(h2_message(fd, 1, H2_END_STREAM, 0, (uint32_t)n, m, n));
    assert_int_equal(h2_wait_end(fd, 1, DEADLINE_MS, NULL), H2_STREAM_ENDED); /* so many may be */
    be_impatient(fd);
    for (uint32_t k = MOST; k < 10 * MOST && h2_call(fd, 2 * k + 1, ATTACH); k++)
        ;
    assert_int_not_equal(h2_wait_end(fd, 0, DEADLINE_MS, NULL), H2_NOTHING);
    close(fd);
    end_attack("streams", 400);
}

/* ---- replies that nobody reads ---- */

static void reflection_replies_that_nobody_reads_harm_nobody(void **state)
{
    (void)state;
    enum { CONNECTIONS = 4, STREAMS = 100, REQUESTS = 50 };
    static const char symbol[] = "\x22\x0f"
                                 "fermata.v1.Jobs";
    int fds[CONNECTIONS];
    begin_attack();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = h2_open(c.address);
        for (uint32_t k = 0; k < STREAMS; k++) {
            (void)h2_call(fds[i], 2 * k + 1, REFLECT);
            for (size_t r = 0; r < REQUESTS; r++)
                (void)h2_message(fds[i], 2 * k + 1, 0, 0, sizeof(symbol) - 1, symbol, sizeof(symbol) - 1);
        }
    }
    others_are_served();
    close_all(fds, CONNECTIONS);
    end_attack("reflection", 500);
}

static void replies_that_nobody_reads_are_bounded(void **state)
{
    (void)state;
    enum { CONNECTIONS = 8, STREAMS = MEMORY_FACTOR > 1 ? 400 : 2000, BYTES = 100000 };
    char small_job[32], *big = malloc(BYTES + 1);
    int fds[CONNECTIONS];
    memset(big, 'x', BYTES);
    big[BYTES] = '\0';
    snprintf(small_job, sizeof(small_job), "%s", known_job);
    snprintf(known_job, sizeof(known_job), "%s", submit_trip(&c, big));
    json_decref(wait_status(&c, known_job, "COMPLETED"));
    begin_attack();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = h2_open(c.address);
        for (uint32_t k = 0; k < STREAMS; k++) {
            uint8_t m[64];
            size_t n = get_job_message(m);
            (void)h2_call(fds[i], 2 * k + 1, "/fermata.v1.Jobs/GetHistory");
            (void)h2_message(fds[i], 2 * k + 1, H2_END_STREAM, 0, (uint32_t)n, m, n);
        }
    }
    others_are_served();
    close_all(fds, CONNECTIONS);
    snprintf(known_job, sizeof(known_job), "%s", small_job);
    free(big);
    end_attack("unread replies", 900);
}

/* Hosts that say who they are, and then neither read nor write. */
static void hosts_that_attach_and_fall_silent_harm_nobody(void **state)
{
    (void)state;
    enum { CONNECTIONS = 10, HOSTS = 50 };
    int fds[CONNECTIONS];
    begin_attack();
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        fds[i] = h2_open(c.address);
        for (unsigned k = 0; k < HOSTS; k++) {
            struct fm_buf hello = {0}, message = {0};
            char id[32];
            snprintf(id, sizeof(id), "silent-%u-%u", i, k);
            fm_buf_put_string(&hello, 1, id);
            fm_buf_put_string(&hello, 2, "incarnation");
            fm_buf_put_tag_varint(&hello, 3, 1); /* version */
            fm_buf_put_tag_varint(&hello, 5, 1); /* capacity */
            fm_buf_put_len_delim(&message, 3, hello.p, hello.n);
            assert_true(h2_call(fds[i], 2 * k + 1, ATTACH));
            assert_true(h2_message(fds[i], 2 * k + 1, 0, 0, (uint32_t)message.n, message.p, message.n));
            fm_buf_done(&hello);
            fm_buf_done(&message);
        }
    }
    cluster_wait_log(&c, "coordinator.log", "host=silent-9-49");
    others_are_served();
    close_all(fds, CONNECTIONS);
    end_attack("silent hosts", 200);
}

/* ---- limits that are set low ---- */

/* The limits of open files of the coordinator. */
static void limit_files(rlim_t now, rlim_t most)
{
    const struct rlimit r = {now, most};
    assert_int_equal(prlimit(c.coordinator.pid, RLIMIT_NOFILE, &r, NULL), 0);
}

/* gRPC's own listener would never accept again after the first accept that fails. */
static void a_coordinator_that_ran_out_of_file_descriptors_serves_again_when_it_has_some(void **state)
{
    (void)state;
    enum { N = 300 };
    int fds[N];
    restart(NULL);
    begin_attack();
    struct rlimit before;
    assert_int_equal(prlimit(c.coordinator.pid, RLIMIT_NOFILE, NULL, &before), 0);
    limit_files(open_files() + 20, before.rlim_max);
    for (size_t i = 0; i < N; i++)
        fds[i] = h2_tcp(c.address, 1); /* the kernel takes them, the coordinator cannot */
    cluster_wait_log(&c, "coordinator.log", "Too many open files");
    close_all(fds, N);
    end_attack("no file descriptors", 60);
    limit_files(before.rlim_cur, before.rlim_max);
}

static void when_there_are_too_many_connections_idle_ones_make_room(void **state)
{
    (void)state;
    enum { N = 200 };
    int fds[N];
    const char *more[] = {"--max-connections", "50", NULL};
    restart(more);
    begin_attack();
    for (size_t i = 0; i < N; i++) {
        fds[i] = h2_open(c.address);
        if (i % 40 == 39)
            others_are_served();
    }
    is_turned_away(fds[0]);
    fds[0] = -1;
    close_all(fds, N);
    end_attack("too many connections", 60);
}

static void requests_that_do_not_come_in_time_are_ended(void **state)
{
    (void)state;
    static const char most[] = "\x0a\x1a";
    const char *more[] = {"--request-timeout", test_seconds(1), NULL};
    restart(more);
    begin_attack();
    const int fds[] = {open_call(GET_JOB, NULL), open_call(GET_JOB, NULL),
                       open_call(GET_JOB, NULL), open_call("/fermata.v1.Jobs/WatchJob", NULL),
                       open_call(ATTACH, NULL),  open_call(REFLECT, NULL)};
    /* of the first nothing comes, of the next two a part, once of 28 bytes and once of 4 GiB */
    assert_true(h2_message(fds[1], 1, 0, 0, 28, most, 2));
    assert_true(h2_message(fds[2], 1, 0, 0, UINT32_MAX, most, 2));
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        status_is(fds[i], "4");
    end_attack("late requests", 60);
}

#define ATTACK(f) cmocka_unit_test_setup(f, own_coordinator)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ATTACK(nonsense_instead_of_http2_is_turned_away),
        ATTACK(requests_that_are_not_grpc_are_refused),
        ATTACK(a_path_is_compared_with_all_of_its_bytes),
        ATTACK(frames_and_messages_that_are_too_large_are_refused),
        ATTACK(compressed_requests_are_refused_before_they_are_inflated),
        ATTACK(a_session_cut_off_at_any_byte_harms_nobody),
        ATTACK(clients_that_write_byte_by_byte_are_answered_and_hold_up_nobody),
        ATTACK(ten_thousand_connections_harm_nobody),
        ATTACK(streams_without_a_message_harm_nobody),
        ATTACK(messages_that_never_end_are_bounded),
        ATTACK(floods_of_control_frames_harm_nobody),
        ATTACK(calls_that_are_reset_at_once_harm_nobody),
        ATTACK(header_lists_without_end_and_bombs_are_refused),
        ATTACK(a_header_block_that_does_not_end_costs_nothing),
        ATTACK(floods_of_cheap_frames_are_cut_off),
        ATTACK(streams_are_bounded_whether_settings_are_acknowledged_or_not),
        ATTACK(reflection_replies_that_nobody_reads_harm_nobody),
        ATTACK(replies_that_nobody_reads_are_bounded),
        ATTACK(hosts_that_attach_and_fall_silent_harm_nobody),
        cmocka_unit_test(a_coordinator_that_ran_out_of_file_descriptors_serves_again_when_it_has_some),
        cmocka_unit_test(when_there_are_too_many_connections_idle_ones_make_room),
        cmocka_unit_test(requests_that_do_not_come_in_time_are_ended),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
