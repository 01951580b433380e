/* Corks: with enough messages for one connection in a turn its socket holds them back until the turn is over.
 * The sockets are those of a real server and client. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc.h"
#include "rpc_cork.h"

#define MAX_FD 1024
#define CALLS 50

static struct {
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct rpc_channel *channel;
    size_t messages;
    int corked_before, corked_within, corked_after;
    struct rpc_call *calls[CALLS];
    size_t n_calls, ended;
} t;

static int corked_sockets(void)
{
    int n = 0;
    for (int fd = 0; fd < MAX_FD; fd++) {
        int on = 0;
        socklen_t len = sizeof(on);
        if (getsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, &len) == 0 && on != 0)
            n++;
    }
    return n;
}

static void cork_the_caller(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    struct rpc_corks corks = {0};
    struct rpc_cork *c = rpc_cork_get(&corks, rpc_call_peer(call));
    (void)method;
    t.corked_before = corked_sockets();
    for (size_t i = 0; i < t.messages; i++)
        rpc_cork_count(c);
    rpc_corks_set(&corks);
    t.corked_within = corked_sockets();
    rpc_cork_put(c); /* its calls may end within the turn */
    rpc_corks_pull(&corks);
    t.corked_after = corked_sockets();
    assert_null(corks.all);
    rpc_call_reply(call, message);
}

/* Answers all of them in one turn. */
static void wait_for_all(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    (void)method;
    t.calls[t.n_calls++] = call;
    for (size_t i = 0; t.n_calls == CALLS && i < CALLS; i++)
        rpc_call_reply(t.calls[i], message);
}

static void on_server_down(void *arg)
{
    (void)arg;
    rpc_loop_stop(t.loop);
}

static void on_status(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    (void)details;
    assert_int_equal(status->code, FM_OK);
    rpc_stream_unref(s);
    if (++t.ended < *(const size_t *)user)
        return;
    rpc_channel_free(t.channel);
    rpc_server_shutdown(t.server, 0, on_server_down, NULL);
}

static void run(const char *listen, const char *connect, const char *path, size_t calls)
{
    static const struct rpc_method methods[] = {
        {"/test.Test/Cork", RPC_UNARY, cork_the_caller, NULL, 0},
        {"/test.Test/Wait", RPC_UNARY, wait_for_all,    NULL, 0},
    };
    static const struct rpc_stream_events events = {NULL, on_status};
    const struct rpc_server_config cfg = {.max_message_bytes = 1000};
    struct fm_err err = {0};
    char target[64];
    int port;
    rpc_global_init();
    t.loop = rpc_loop_new();
    t.server = rpc_server_new(t.loop, &cfg);
    rpc_server_add(t.server, methods, 2);
    assert_int_equal(rpc_server_listen(t.server, listen, &port, &err), 0);
    rpc_server_start(t.server);
    snprintf(target, sizeof(target), "%s:%d", connect, port);
    t.channel = rpc_channel_new(t.loop, target, 1000);
    for (size_t i = 0; i < calls; i++)
        (void)rpc_stream_request(t.channel, path, 0, (struct fm_bytes){(const uint8_t *)"x", 1}, &events,
                                 &calls);
    rpc_loop_run(t.loop);
    rpc_server_free(t.server);
    rpc_loop_free(t.loop);
    rpc_global_shutdown();
}

static void cork_one(const char *listen, const char *connect, size_t messages)
{
    memset(&t, 0, sizeof(t));
    t.messages = messages;
    run(listen, connect, "/test.Test/Cork", 1);
}

static void a_connection_with_enough_messages_is_held_back_until_the_turn_is_over(void **state)
{
    (void)state;
    cork_one("127.0.0.1:0", "127.0.0.1", RPC_CORK_MESSAGES);
    assert_int_equal(t.corked_before, 0);
    assert_int_equal(t.corked_within, 1);
    assert_int_equal(t.corked_after, 0);
}

static void a_connection_with_few_messages_is_not_held_back(void **state)
{
    (void)state;
    cork_one("127.0.0.1:0", "127.0.0.1", RPC_CORK_MESSAGES - 1);
    assert_int_equal(t.corked_within, 0);
}

static void the_socket_is_found_when_the_server_listens_on_all_addresses(void **state)
{
    (void)state;
    cork_one("[::]:0", "127.0.0.1", RPC_CORK_MESSAGES);
    assert_int_equal(t.corked_within, 1);
    assert_int_equal(t.corked_after, 0);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

static void the_socket_of_an_ipv6_connection_is_found(void **state)
{
    (void)state;
    cork_one(has_ipv6() ? "[::1]:0" : "127.0.0.1:0", has_ipv6() ? "[::1]" : "127.0.0.1", RPC_CORK_MESSAGES);
    assert_int_equal(t.corked_within, 1);
}

static void a_peer_that_has_no_socket_here_is_not_held_back(void **state)
{
    struct rpc_corks corks = {0};
    (void)state;
    struct rpc_cork *c = rpc_cork_get(&corks, "ipv4:192.0.2.1:1"),
                    *same = rpc_cork_get(&corks, "ipv4:192.0.2.1:1");
    assert_ptr_equal(c, same);
    for (int i = 0; i < 2 * RPC_CORK_MESSAGES; i++)
        rpc_cork_count(c);
    rpc_corks_set(&corks);
    rpc_corks_pull(&corks);
    rpc_cork_put(c);
    rpc_cork_put(same);
    assert_null(corks.all);
}

static void calls_that_are_answered_in_one_turn_get_their_answers(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    run("127.0.0.1:0", "127.0.0.1", "/test.Test/Wait", CALLS);
    assert_int_equal(t.ended, CALLS);
    assert_int_equal(corked_sockets(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_with_enough_messages_is_held_back_until_the_turn_is_over),
        cmocka_unit_test(a_connection_with_few_messages_is_not_held_back),
        cmocka_unit_test(the_socket_is_found_when_the_server_listens_on_all_addresses),
        cmocka_unit_test(the_socket_of_an_ipv6_connection_is_found),
        cmocka_unit_test(a_peer_that_has_no_socket_here_is_not_held_back),
        cmocka_unit_test(calls_that_are_answered_in_one_turn_get_their_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
