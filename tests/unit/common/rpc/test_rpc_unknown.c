/* Calls of a method that does not exist, from clients that send, half-close, or are silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "rpc.h"

#define CALLS 3

static struct {
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct rpc_channel *channel;
    struct rpc_stream *streams[CALLS];
    int ended;
} t;

static void on_server_down(void *arg)
{
    (void)arg;
    rpc_loop_stop(t.loop);
}

static void on_status(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    (void)s;
    (void)user;
    (void)details;
    assert_int_equal(status->code, FM_UNIMPLEMENTED);
    assert_non_null(strstr(status->msg, "/test.Test/Nope"));
    if (++t.ended == CALLS) {
        rpc_channel_free(t.channel);
        rpc_server_shutdown(t.server, 0, on_server_down, NULL);
    }
}

static void a_call_of_an_unknown_method_is_refused_whatever_its_client_does(void **state)
{
    static const struct rpc_stream_events events = {.on_status = on_status};
    struct fm_err err = {0};
    struct rpc_server_config cfg = {.max_message_bytes = 1000};
    char target[32];
    int port;
    (void)state;
    rpc_global_init();
    t.loop = rpc_loop_new();
    t.server = rpc_server_new(t.loop, &cfg);
    assert_int_equal(rpc_server_listen(t.server, "127.0.0.1:0", &port, &err), 0);
    rpc_server_start(t.server);
    snprintf(target, sizeof(target), "127.0.0.1:%d", port);
    t.channel = rpc_channel_new(t.loop, target, 1000, NULL);
    for (int i = 0; i < CALLS; i++)
        t.streams[i] = rpc_stream_open(t.channel, "/test.Test/Nope", 0, &events, NULL);
    rpc_stream_send(t.streams[0], (struct fm_bytes){(const uint8_t *)"x", 1});
    rpc_stream_close_send(t.streams[1]);
    rpc_loop_run(t.loop); /* the third is silent, and waits for the server */
    for (int i = 0; i < CALLS; i++)
        rpc_stream_unref(t.streams[i]);
    rpc_server_free(t.server);
    rpc_loop_free(t.loop);
    rpc_global_shutdown();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_of_an_unknown_method_is_refused_whatever_its_client_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
