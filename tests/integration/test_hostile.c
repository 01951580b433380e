/* Clients that mean harm, or are broken, against a running coordinator: while and after each attack it is up,
 * other clients are served, its memory stays below a bound that is stated here, and its file descriptors come
 * back. What they send is made by hand (h2.h). Limits: docs/hosts.md, common/rpc/rpc_server.c. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "attack.h"
#include "buf.h"
#include "h2.h"

/* ---- requests ---- */

static bool send_get_job(int fd, uint32_t stream)
{
    uint8_t m[64];
    size_t n = attack_get_job(m);
    return h2_call(fd, stream, ATTACK_GET_JOB) && h2_message(fd, stream, H2_END_STREAM, 0, (uint32_t)n, m, n);
}

/* All that a client says for one GetJob, from the preface on. */
static void whole_session(struct fm_buf *out)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    uint8_t h[9], m[64], prefix[5] = {0};
    struct h2_block b = {0};
    size_t n = attack_get_job(m);
    h2_request(&b, ATTACK_GET_JOB, NULL);
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

/* ---- malformed ---- */

static void nonsense_instead_of_http2_is_turned_away(void **state)
{
    (void)state;
    static const char *const openings[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        "PRI * HTTP/3.0\r\n\r\nXX\r\n\r\n"};
    attack_begin();
    for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++) {
        int fd = h2_tcp(attacked.address, 1);
        assert_true(h2_send(fd, openings[i], strlen(openings[i])));
        attack_is_turned_away(fd);
    }
    attack_end("nonsense", 60);
}

static void requests_that_are_not_grpc_are_refused(void **state)
{
    (void)state;
    uint8_t m[64];
    size_t n = attack_get_job(m);
    attack_begin();
    int fd = attack_open_call("/fermata.v1.Jobs/Nothing", NULL);
    assert_true(h2_message(fd, 1, H2_END_STREAM, 0, (uint32_t)n, m, n));
    attack_status_is(fd, "12");
    fd = attack_open_call(ATTACK_GET_JOB, "text/html");
    (void)h2_message(fd, 1, H2_END_STREAM, 0, (uint32_t)n, m, n);
    attack_is_turned_away(fd);
    fd = attack_open_call(ATTACK_GET_JOB, NULL); /* the flag, without an encoding */
    (void)h2_message(fd, 1, H2_END_STREAM, 1, (uint32_t)n, m, n);
    attack_is_turned_away(fd);
    fd = attack_open_call(ATTACK_GET_JOB, NULL); /* a flag that does not exist */
    (void)h2_message(fd, 1, H2_END_STREAM, 7, (uint32_t)n, m, n);
    attack_is_turned_away(fd);
    fd = attack_open_call(ATTACK_GET_JOB, NULL); /* no message */
    (void)h2_frame(fd, H2_DATA, H2_END_STREAM, 1, NULL, 0);
    attack_is_turned_away(fd);
    fd = attack_open_call("", NULL);
    (void)h2_message(fd, 1, H2_END_STREAM, 0, (uint32_t)n, m, n);
    attack_is_turned_away(fd);
    attack_end("not gRPC", 60);
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
        {ATTACK_GET_JOB "\0",                      sizeof(ATTACK_GET_JOB),          ATTACK_GET_JOB "?"},
        {ATTACK_GET_JOB "\0/and/much/more/of/it/", sizeof(ATTACK_GET_JOB) + 22,
         ATTACK_GET_JOB "?/and/much/mo"                                                               },
        {"/fermata.v1.Jobs/\0\0\0\0\0\0",          sizeof(ATTACK_GET_JOB) - 1,      "Jobs/??????"     },
        {"\0fermata.v1.Jobs/GetJob",               sizeof(ATTACK_GET_JOB) - 1,      "?fermata.v1.Jobs"},
        {"/\xff\x1b[31m\r\n",                      9,                               "/??[31m??"       },
        {ATTACK_GET_JOB,                           sizeof(ATTACK_GET_JOB) - 2,      "/GetJo"          },
        {ATTACK_GET_JOB "\0\0\0\0\0\0\0\0\0\0\0",  sizeof(ATTACK_GET_JOB) - 1 + 11,
         ATTACK_GET_JOB "???????????"                                                                 },
    };
    uint8_t m[64];
    size_t n = attack_get_job(m);
    attack_begin();
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct h2_block b = {0};
        int fd = h2_open(attacked.address);
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
    attack_end("paths", 60);
}

static void frames_and_messages_that_are_too_large_are_refused(void **state)
{
    (void)state;
    uint8_t h[9];
    attack_begin();
    int fd = h2_open(attacked.address);
    h2_frame_header(h, 0xffffff, H2_DATA, 0, 1);
    assert_true(h2_send(fd, h, sizeof(h)));
    attack_is_turned_away(fd);
    fd = h2_open(attacked.address);
    h2_frame_header(h, 0xffffff, H2_HEADERS, H2_END_HEADERS, 1);
    assert_true(h2_send(fd, h, sizeof(h)));
    attack_is_turned_away(fd);
    attack_end("too large", 60);
}

static void a_session_cut_off_at_any_byte_harms_nobody(void **state)
{
    (void)state;
    struct fm_buf session = {0};
    attack_begin();
    whole_session(&session);
    for (size_t n = 0; n < session.n; n++) {
        int fd = h2_tcp(attacked.address, 1);
        (void)h2_send(fd, session.p, n);
        if (n % 2 == 0)
            (void)shutdown(fd, SHUT_WR); /* else a reset */
        close(fd);
    }
    int fd = h2_tcp(attacked.address, 1);
    assert_true(h2_send(fd, session.p, session.n)); /* and the whole of it works */
    attack_status_is(fd, "0");
    fm_buf_done(&session);
    attack_end("cut off", 80);
}

/* 4 MiB that would be 600 MiB. Another encoding than those that gRPC knows is none to it. */
static void compressed_requests_are_refused_before_they_are_inflated(void **state)
{
    (void)state;
    static const struct {
        const char *path, *encoding, *status;
        size_t n;
    } cases[] = {
        {ATTACK_GET_JOB, "gzip",    "12", 4 << 20},
        {ATTACK_GET_JOB, "deflate", "12", 4 << 20},
        {ATTACK_ATTACH,  "gzip",    "12", 4 << 20},
        {ATTACK_REFLECT, "gzip",    "12", 4 << 20},
        {ATTACK_GET_JOB, "gzip",    "12", 100    },
        {ATTACK_GET_JOB, "zstd",    "3",  100    },
    };
    attack_begin();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct h2_block b = {0};
        char want[32];
        snprintf(want, sizeof(want), "grpc-status%c%s", (int)strlen(cases[i].status), cases[i].status);
        uint8_t *bomb = h2_gzip_bomb(cases[i].n);
        int fd = h2_open(attacked.address);
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
    attack_end("compressed", 60);
}

/* ---- slow ---- */

static void clients_that_write_byte_by_byte_are_answered_and_hold_up_nobody(void **state)
{
    (void)state;
    enum { N = 200 };
    int fds[N];
    struct fm_buf session = {0};
    attack_begin();
    whole_session(&session);
    for (size_t i = 0; i < N; i++)
        fds[i] = h2_tcp(attacked.address, 1);
    for (size_t at = 0; at < session.n; at++) {
        for (size_t i = 0; i < N; i++)
            assert_true(h2_send(fds[i], session.p + at, 1));
        if (at == session.n / 2 || at == session.n - 10)
            attack_others_are_served();
    }
    for (size_t i = 0; i < N; i++)
        attack_status_is(fds[i], "0");
    fm_buf_done(&session);
    attack_end("slow writers", 80);
}

/* ---- many ---- */

static void ten_thousand_connections_harm_nobody(void **state)
{
    (void)state;
    size_t wanted = ATTACK_MEMORY_FACTOR > 1 ? 2000 : 10000; /* a sanitizer makes it slow */
    size_t allowed = h2_raise_files() - 64, n = allowed < wanted ? allowed : wanted;
    int *fds = malloc(n * sizeof(*fds));
    if (n < wanted)
        printf("this machine allows %zu files, so there are %zu connections\n", allowed, n);
    attack_begin();
    for (size_t i = 0; i < n; i++) {
        fds[i] = h2_try_tcp(attacked.address, 2 + (unsigned)i % 50);
        if (fds[i] < 0)
            fail_msg("connection %zu of %zu is not taken; this machine allows %zu files", i, n, allowed);
        if (i % 2 == 0)
            (void)h2_preface(fds[i]); /* the others say nothing, ever */
        if (i % 2500 == 0)
            attack_others_are_served();
    }
    attack_others_are_served();
    attack_close_all(fds, n);
    free(fds);
    attack_end("10,000 connections", 400);
}

static void streams_without_a_message_harm_nobody(void **state)
{
    (void)state;
    enum { CONNECTIONS = 8, STREAMS = 2000 };
    int fds[CONNECTIONS];
    attack_begin();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = h2_open(attacked.address);
        for (uint32_t k = 0; k < STREAMS; k++)
            if (!h2_call(fds[i], 2 * k + 1, k % 3 == 0 ? ATTACK_ATTACH : ATTACK_GET_JOB))
                break;
    }
    attack_others_are_served();
    attack_close_all(fds, CONNECTIONS);
    attack_end("streams without a message", 700);
}

/* As many messages of 4 MiB as the server takes, of each of which the last byte does not come. */
static void messages_that_never_end_are_bounded(void **state)
{
    (void)state;
    enum { CONNECTIONS = 40, STREAMS = 16, ALL = 4 << 20, PART = 16384 };
    int fds[CONNECTIONS];
    uint8_t *part = calloc(1, PART);
    size_t sent = 0;
    attack_begin();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = h2_open(attacked.address);
        attack_be_impatient(fds[i]);
        for (uint32_t k = 0; k < STREAMS; k++)
            if (!h2_call(fds[i], 2 * k + 1, ATTACK_GET_JOB) ||
                !h2_message(fds[i], 2 * k + 1, 0, 0, ALL, NULL, 0))
                break;
        for (size_t n = 0; n < STREAMS * (ALL / PART - 1); n++, sent += PART)
            if (!h2_frame(fds[i], H2_DATA, 0, 2 * (uint32_t)(n % STREAMS) + 1, part, PART))
                break;
        if (i == CONNECTIONS / 2)
            attack_others_are_served();
    }
    printf("%zu MiB sent\n", sent >> 20);
    attack_others_are_served();
    attack_close_all(fds, CONNECTIONS);
    free(part);
    attack_end("messages without end", 800);
}

/* ---- floods ---- */

/* Sends frames without reading until the server takes no more, or has closed, or n are sent. */
static void flood(const char *what, enum h2_type type, uint8_t flags, const void *payload, size_t len,
                  size_t n)
{
    int fd = h2_open(attacked.address);
    size_t i = 0;
    attack_begin();
    attack_be_impatient(fd);
    while (i < n && h2_frame(fd, type, flags, 0, payload, len))
        i++;
    attack_others_are_served();
    close(fd);
    printf("%zu frames\n", i);
    attack_end(what, 300);
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
    attack_begin();
    int fd = h2_open(attacked.address);
    uint32_t k = 0;
    for (; k < 100000; k++)
        if (!send_get_job(fd, 2 * k + 1) ||
            !h2_frame(fd, H2_RST_STREAM, 0, 2 * k + 1, cancel, sizeof(cancel)))
            break;
    printf("%u resets\n", k);
    attack_others_are_served();
    close(fd);
    attack_end("rapid reset", 500);
}

static void header_lists_without_end_and_bombs_are_refused(void **state)
{
    (void)state;
    enum { BOMBS = 100 };
    attack_begin();
    /* CONTINUATION for ever */
    struct h2_block b = {0}, more = {0};
    char value[8000];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    h2_request(&b, ATTACK_GET_JOB, NULL);
    h2_literal(&more, "x-a", value);
    h2_literal(&more, "x-b", value);
    int fd = h2_open(attacked.address);
    size_t sent = 0;
    if (h2_frame(fd, H2_HEADERS, 0, 1, b.p, b.n))
        while (sent < 256u << 20 && h2_frame(fd, H2_CONTINUATION, 0, 1, more.p, more.n))
            sent += more.n;
    printf("%zu MiB of headers\n", sent >> 20);
    attack_others_are_served();
    close(fd);
    /* one entry of 4000 bytes in the table, named 12,000 times on each of 100 streams */
    uint8_t *bomb = malloc(16384);
    fd = h2_open(attacked.address);
    for (uint32_t k = 0; k < BOMBS; k++) {
        struct h2_block first = {0};
        h2_request(&first, ATTACK_GET_JOB, NULL);
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
    attack_others_are_served();
    close(fd);
    free(bomb);
    h2_block_free(&b);
    h2_block_free(&more);
    attack_end("headers", 500);
}

/* ---- replies that nobody reads ---- */

static void reflection_replies_that_nobody_reads_harm_nobody(void **state)
{
    (void)state;
    enum { CONNECTIONS = 4, STREAMS = 100, REQUESTS = 50 };
    static const char symbol[] = "\x22\x0f"
                                 "fermata.v1.Jobs";
    int fds[CONNECTIONS];
    attack_begin();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = h2_open(attacked.address);
        for (uint32_t k = 0; k < STREAMS; k++) {
            (void)h2_call(fds[i], 2 * k + 1, ATTACK_REFLECT);
            for (size_t r = 0; r < REQUESTS; r++)
                (void)h2_message(fds[i], 2 * k + 1, 0, 0, sizeof(symbol) - 1, symbol, sizeof(symbol) - 1);
        }
    }
    attack_others_are_served();
    attack_close_all(fds, CONNECTIONS);
    attack_end("reflection", 500);
}

static void replies_that_nobody_reads_are_bounded(void **state)
{
    (void)state;
    enum { CONNECTIONS = 8, STREAMS = ATTACK_MEMORY_FACTOR > 1 ? 400 : 2000, BYTES = 100000 };
    char small_job[32], *big = malloc(BYTES + 1);
    int fds[CONNECTIONS];
    memset(big, 'x', BYTES);
    big[BYTES] = '\0';
    snprintf(small_job, sizeof(small_job), "%s", attacked_job);
    snprintf(attacked_job, sizeof(attacked_job), "%s", submit_trip(&attacked, big));
    json_decref(wait_status(&attacked, attacked_job, "COMPLETED"));
    attack_begin();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = h2_open(attacked.address);
        for (uint32_t k = 0; k < STREAMS; k++) {
            uint8_t m[64];
            size_t n = attack_get_job(m);
            (void)h2_call(fds[i], 2 * k + 1, "/fermata.v1.Jobs/GetHistory");
            (void)h2_message(fds[i], 2 * k + 1, H2_END_STREAM, 0, (uint32_t)n, m, n);
        }
    }
    attack_others_are_served();
    attack_close_all(fds, CONNECTIONS);
    snprintf(attacked_job, sizeof(attacked_job), "%s", small_job);
    free(big);
    attack_end("unread replies", 900);
}

/* Hosts that say who they are, and then neither read nor write. */
static void hosts_that_attach_and_fall_silent_harm_nobody(void **state)
{
    (void)state;
    enum { CONNECTIONS = 10, HOSTS = 50 };
    int fds[CONNECTIONS];
    attack_begin();
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        fds[i] = h2_open(attacked.address);
        for (unsigned k = 0; k < HOSTS; k++) {
            struct fm_buf hello = {0}, message = {0};
            char id[32];
            snprintf(id, sizeof(id), "silent-%u-%u", i, k);
            fm_buf_put_string(&hello, 1, id);
            fm_buf_put_string(&hello, 2, "incarnation");
            fm_buf_put_tag_varint(&hello, 3, 1); /* version */
            fm_buf_put_tag_varint(&hello, 5, 1); /* capacity */
            fm_buf_put_len_delim(&message, 3, hello.p, hello.n);
            assert_true(h2_call(fds[i], 2 * k + 1, ATTACK_ATTACH));
            assert_true(h2_message(fds[i], 2 * k + 1, 0, 0, (uint32_t)message.n, message.p, message.n));
            fm_buf_done(&hello);
            fm_buf_done(&message);
        }
    }
    cluster_wait_log(&attacked, "coordinator.log", "host=silent-9-49");
    attack_others_are_served();
    attack_close_all(fds, CONNECTIONS);
    attack_end("silent hosts", 200);
}

/* ---- limits that are set low ---- */

/* The limits of open files of the coordinator. */
static void limit_files(rlim_t now, rlim_t most)
{
    const struct rlimit r = {now, most};
    assert_int_equal(prlimit(attacked.coordinator.pid, RLIMIT_NOFILE, &r, NULL), 0);
}

/* gRPC's own listener would never accept again after the first accept that fails. */
static void a_coordinator_that_ran_out_of_file_descriptors_serves_again_when_it_has_some(void **state)
{
    (void)state;
    enum { N = 300 };
    int fds[N];
    attack_restart(NULL);
    attack_begin();
    struct rlimit before;
    assert_int_equal(prlimit(attacked.coordinator.pid, RLIMIT_NOFILE, NULL, &before), 0);
    limit_files(attack_open_files() + 20, before.rlim_max);
    for (size_t i = 0; i < N; i++)
        fds[i] = h2_tcp(attacked.address, 1); /* the kernel takes them, the coordinator cannot */
    cluster_wait_log(&attacked, "coordinator.log", "Too many open files");
    attack_close_all(fds, N);
    attack_end("no file descriptors", 60);
    limit_files(before.rlim_cur, before.rlim_max);
}

static void when_there_are_too_many_connections_idle_ones_make_room(void **state)
{
    (void)state;
    enum { N = 200 };
    int fds[N];
    const char *more[] = {"--max-connections", "50", NULL};
    attack_restart(more);
    attack_begin();
    for (size_t i = 0; i < N; i++) {
        fds[i] = h2_open(attacked.address);
        if (i % 40 == 39)
            attack_others_are_served();
    }
    attack_is_turned_away(fds[0]);
    fds[0] = -1;
    attack_close_all(fds, N);
    attack_end("too many connections", 60);
}

static void requests_that_do_not_come_in_time_are_ended(void **state)
{
    (void)state;
    static const char most[] = "\x0a\x1a";
    const char *more[] = {"--request-timeout", test_seconds(1), NULL};
    attack_restart(more);
    attack_begin();
    const int fds[] = {
        attack_open_call(ATTACK_GET_JOB, NULL), attack_open_call(ATTACK_GET_JOB, NULL),
        attack_open_call(ATTACK_GET_JOB, NULL), attack_open_call("/fermata.v1.Jobs/WatchJob", NULL),
        attack_open_call(ATTACK_ATTACH, NULL),  attack_open_call(ATTACK_REFLECT, NULL)};
    /* of the first nothing comes, of the next two a part, once of 28 bytes and once of 4 GiB */
    assert_true(h2_message(fds[1], 1, 0, 0, 28, most, 2));
    assert_true(h2_message(fds[2], 1, 0, 0, UINT32_MAX, most, 2));
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        attack_status_is(fds[i], "4");
    attack_end("late requests", 60);
}

#define ATTACK(f) cmocka_unit_test_setup(f, attack_own_coordinator)

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
        ATTACK(reflection_replies_that_nobody_reads_harm_nobody),
        ATTACK(replies_that_nobody_reads_are_bounded),
        ATTACK(hosts_that_attach_and_fall_silent_harm_nobody),
        cmocka_unit_test(a_coordinator_that_ran_out_of_file_descriptors_serves_again_when_it_has_some),
        cmocka_unit_test(when_there_are_too_many_connections_idle_ones_make_room),
        cmocka_unit_test(requests_that_do_not_come_in_time_are_ended),
    };
    return cmocka_run_group_tests(tests, attack_setup, attack_teardown);
}
