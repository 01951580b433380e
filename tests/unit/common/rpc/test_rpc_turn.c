/* What a turn of the loop says to several calls of one connection leaves in few packets: counted by the
 * kernel, at the client's socket. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "rpc.h"

#define MAX_FD 1024
#define CALLS 100

static struct {
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct rpc_channel *channel;
    int port;
    struct rpc_call *calls[CALLS];
    size_t n_calls, answered, ended;
    uint64_t packets_before, packets_after;
} t;

static int port_of(const struct sockaddr_storage *a)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)a;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)a;
    return a->ss_family == AF_INET    ? ntohs(v4->sin_port)
           : a->ss_family == AF_INET6 ? ntohs(v6->sin6_port)
                                      : 0;
}

/* Packets with data that have come to sockets of clients of the server. */
static uint64_t packets(void)
{
    uint64_t n = 0;
    for (int fd = 0; fd < MAX_FD; fd++) {
        struct sockaddr_storage peer;
        struct tcp_info info;
        socklen_t length = sizeof(peer), info_length = sizeof(info);
        memset(&info, 0, sizeof(info));
        if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && port_of(&peer) == t.port &&
            getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_length) == 0)
            n += info.tcpi_data_segs_in;
    }
    return n;
}

/* Answers all of them in one turn. */
static void wait_for_all(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    (void)method;
    t.calls[t.n_calls++] = call;
    if (t.n_calls < CALLS)
        return;
    t.packets_before = packets();
    for (size_t i = 0; i < CALLS; i++)
        rpc_call_reply(t.calls[i], message);
}

static void on_server_down(void *arg)
{
    (void)arg;
    rpc_loop_stop(t.loop);
}

static void on_reply(struct rpc_stream *s, void *user, struct fm_bytes message)
{
    (void)s;
    (void)user;
    assert_int_equal(message.n, 1);
    if (++t.answered == CALLS)
        t.packets_after = packets();
}

static void on_status(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    (void)user;
    (void)details;
    assert_int_equal(status->code, FM_OK);
    rpc_stream_unref(s);
    if (++t.ended < CALLS)
        return;
    rpc_channel_free(t.channel);
    rpc_server_shutdown(t.server, 0, on_server_down, NULL);
}

static void run(const char *listen, const char *connect)
{
    static const struct rpc_method methods[] = {
        {"/test.Test/Wait", RPC_UNARY, wait_for_all, NULL, 0}
    };
    static const struct rpc_stream_events events = {on_reply, on_status};
    const struct rpc_server_config cfg = {.max_message_bytes = 1000};
    struct fm_err err = {0};
    char target[64];
    memset(&t, 0, sizeof(t));
    rpc_global_init();
    t.loop = rpc_loop_new();
    t.server = rpc_server_new(t.loop, &cfg);
    rpc_server_add(t.server, methods, 1, NULL);
    assert_int_equal(rpc_server_listen(t.server, listen, &t.port, &err), 0);
    rpc_server_start(t.server);
    snprintf(target, sizeof(target), "%s:%d", connect, t.port);
    t.channel = rpc_channel_new(t.loop, target, 1000, NULL);
    for (size_t i = 0; i < CALLS; i++)
        (void)rpc_stream_request(t.channel, "/test.Test/Wait", 0, (struct fm_bytes){(const uint8_t *)"x", 1},
                                 &events, NULL);
    rpc_loop_run(t.loop);
    rpc_server_free(t.server);
    rpc_loop_free(t.loop);
    rpc_global_shutdown();
}

static void check(void)
{
    assert_int_equal(t.answered, CALLS);
    assert_int_equal(t.ended, CALLS);
    assert_true(t.packets_before > 0);
    assert_in_range(t.packets_after - t.packets_before, 1, 4);
}

static void a_hundred_answers_of_one_turn_leave_in_few_packets(void **state)
{
    (void)state;
    run("127.0.0.1:0", "127.0.0.1");
    check();
}

static void also_when_the_server_listens_on_all_addresses(void **state)
{
    (void)state;
    run("[::]:0", "127.0.0.1");
    check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_answers_of_one_turn_leave_in_few_packets),
        cmocka_unit_test(also_when_the_server_listens_on_all_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
