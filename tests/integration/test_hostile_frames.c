/* Clients whose frames gRPC would take, at whatever cost: the frame guard (common/rpc/rpc_guard.c) cuts them
 * off before gRPC sees them. What they send is made by hand (h2.h). */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "attack.h"
#include "h2.h"

/* Until the coordinator takes no more, or n are sent. */
static void send_many(int fd, enum h2_type type, uint8_t flags, uint32_t stream, const void *payload,
                      size_t len, size_t n)
{
    attack_be_impatient(fd);
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
    cluster_wait_log(&attacked, "coordinator.log", line);
    close(fd);
}

static double processor_s(void)
{
    char path[64], *text;
    unsigned long user, system;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)attacked.coordinator.pid);
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
    attack_begin();
    double before = processor_s();
    for (int i = 0; i < 2; i++) {
        static const uint8_t begin[] = {0, 0x7f};
        int fd = h2_open(attacked.address);
        memset(part, 0x80, sizeof(part));
        assert_true(h2_frame(fd, H2_HEADERS, 0, 1, begin, sizeof(begin)));
        if (i == 0)
            send_many(fd, H2_CONTINUATION, 0, 1, part, sizeof(part), FRAMES);
        else
            send_many(fd, H2_CONTINUATION, 0, 1, NULL, 0, FRAMES); /* and nothing at all in them */
        attack_others_are_served();
        is_cut_off(fd, "a header block of too many frames");
    }
    if (processor_s() - before > 5 * test_slow())
        fail_msg("%.1f s of the processor", processor_s() - before);
    uint8_t *large = calloc(1, 16384);
    int fd = h2_open(attacked.address);
    assert_true(h2_frame(fd, H2_HEADERS, 0, 1, large, 16384));
    send_many(fd, H2_CONTINUATION, 0, 1, large, 16384, 10);
    is_cut_off(fd, "a header block that is too large");
    free(large);
    fd = h2_open(attacked.address);
    assert_true(h2_frame(fd, H2_HEADERS, 0, 1, NULL, 0));
    assert_true(h2_frame(fd, H2_PING, 0, 0, "12345678", 8));
    is_cut_off(fd, "another frame within a header block");
    attack_end("header block without end", 150);
}

static void floods_of_cheap_frames_are_cut_off(void **state)
{
    (void)state;
    static const uint8_t zeros[8] = {0};
    static const struct {
        enum h2_type type;
        uint8_t flags;
        uint32_t stream;
        const void *payload;
        size_t len;
        const char *why;
    } floods[] = {
        {H2_RST_STREAM,    0,             1, zeros, 4, "too many RST_STREAM frames"              },
        {H2_PING,          H2_ACK,        0, zeros, 8, "too many PING frames"                    },
        {H2_SETTINGS,      H2_ACK,        0, NULL,  0, "too many SETTINGS frames"                },
        {H2_SETTINGS,      0,             0, NULL,  0, "too many SETTINGS frames"                },
        {H2_DATA,          0,             1, NULL,  0, "too many frames without effect"          },
        {H2_DATA,          H2_END_STREAM, 1, NULL,  0, "too many frames without effect"          },
        {H2_PRIORITY,      0,             1, zeros, 5, "too many frames that gRPC has no use for"},
        {(enum h2_type)99, 0,             0, zeros, 8, "too many frames that gRPC has no use for"},
    };
    attack_begin();
    for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
        int fd = h2_open(attacked.address);
        assert_true(h2_call(fd, 1, ATTACK_ATTACH));
        send_many(fd, floods[i].type, floods[i].flags, floods[i].stream, floods[i].payload, floods[i].len,
                  1000000);
        is_cut_off(fd, floods[i].why);
    }
    attack_end("cheap frames", 150);
}

/* gRPC holds a client to the settings that it has acknowledged, and not before. */
static void streams_are_bounded_whether_settings_are_acknowledged_or_not(void **state)
{
    (void)state;
    enum { MOST = 4096 };
    uint8_t m[64];
    size_t n = attack_get_job(m);
    attack_begin();
    int fd = h2_open(attacked.address);
    attack_be_impatient(fd);
    for (uint32_t k = 0; k < 10 * MOST && h2_call(fd, 2 * k + 1, ATTACK_ATTACH); k++)
        ;
    is_cut_off(fd, "too many streams before the settings are acknowledged");
    fd = h2_open(attacked.address);
    assert_true(h2_call(fd, 1, ATTACK_GET_JOB));
    for (uint32_t k = 1; k < MOST; k++)
        assert_true(h2_call(fd, 2 * k + 1, ATTACK_ATTACH));
    assert_true(h2_frame(fd, H2_SETTINGS, H2_ACK, 0, NULL, 0));
    assert_true(h2_message(fd, 1, H2_END_STREAM, 0, (uint32_t)n, m, n));
    assert_int_equal(h2_wait_end(fd, 1, DEADLINE_MS, NULL), H2_STREAM_ENDED); /* so many may be */
    attack_be_impatient(fd);
    for (uint32_t k = MOST; k < 10 * MOST && h2_call(fd, 2 * k + 1, ATTACK_ATTACH); k++)
        ;
    assert_int_not_equal(h2_wait_end(fd, 0, DEADLINE_MS, NULL), H2_NOTHING);
    close(fd);
    attack_end("streams", 400);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

/* At most 50 lines in 10 s, and the next one says how many there were besides. */
static void those_who_are_cut_off_do_not_fill_the_log(void **state)
{
    (void)state;
    enum { N = 500 };
    char *log = file_text(cluster_file(&attacked, "coordinator.log"));
    size_t before = count(log, "a connection is shut");
    free(log);
    attack_begin();
    for (int i = 0; i < N; i++) {
        int fd = h2_tcp(attacked.address, 1);
        assert_true(h2_send(fd, "GET / HTTP/1.1\r\n\r\n", 18));
        attack_is_turned_away(fd);
    }
    attack_end("many who are cut off", 150);
    log = file_text(cluster_file(&attacked, "coordinator.log"));
    assert_in_range(count(log, "a connection is shut") - before, 1, N / 2);
    free(log);
}

#define ATTACK(f) cmocka_unit_test_setup(f, attack_own_coordinator)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ATTACK(a_header_block_that_does_not_end_costs_nothing),
        ATTACK(floods_of_cheap_frames_are_cut_off),
        ATTACK(streams_are_bounded_whether_settings_are_acknowledged_or_not),
        ATTACK(those_who_are_cut_off_do_not_fill_the_log),
    };
    return cmocka_run_group_tests(tests, attack_setup, attack_teardown);
}
