/* Breaking off a stream whose client does not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "mem.h"
#include "rpc.h"

#define MESSAGE_BYTES (1024u * 1024)
#define MESSAGES 16

static struct {
    struct rpc_loop *loop, *client_loop;
    struct rpc_server *server;
    struct rpc_channel *channel;
    struct rpc_stream *stream;
    bool closed;
    int code;
} t;

static void on_server_down(void *arg)
{
    (void)arg;
    rpc_loop_stop(t.loop);
}

static void on_close(struct rpc_call *call, void *user)
{
    (void)call;
    (void)user;
    t.closed = true;
    rpc_server_shutdown(t.server, 60000, on_server_down, NULL);
}

/* More than any buffer on the way holds, so that a status in its turn would wait for ever. */
static void handler(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    static const struct rpc_call_events events = {.on_close = on_close};
    struct fm_err err = {0};
    uint8_t *bytes = fm_xcalloc(1, MESSAGE_BYTES);
    (void)method;
    (void)message;
    rpc_call_events(call, &events, NULL, 0);
    for (int i = 0; i < MESSAGES; i++)
        (void)rpc_call_send(call, (struct fm_bytes){bytes, MESSAGE_BYTES});
    free(bytes);
    assert_true(rpc_call_queued(call) == (size_t)MESSAGES * MESSAGE_BYTES);
    fm_err_set(&err, FM_RESOURCE_EXHAUSTED, NULL, "the client does not read");
    rpc_call_abort(call, &err);
    assert_true(rpc_call_queued(call) <= MESSAGE_BYTES);
    rpc_call_abort(call, &err); /* a second time does nothing */
    rpc_call_finish(call, NULL, (struct fm_bytes){0});
}

static const struct rpc_method methods[] = {
    {"/test.Test/Bidi", RPC_BIDI, handler, NULL, 0}
};

static void on_status(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    (void)s;
    (void)user;
    (void)details;
    t.code = (int)status->code;
    rpc_loop_stop(t.client_loop);
}

static void an_aborted_call_closes_although_its_client_does_not_read(void **state)
{
    static const struct rpc_stream_events events = {.on_status = on_status};
    struct fm_err err = {0};
    struct rpc_server_config cfg = {.max_message_bytes = MESSAGE_BYTES};
    char target[32];
    int port;
    (void)state;
    rpc_global_init();
    t.loop = rpc_loop_new();
    t.client_loop = rpc_loop_new();
    t.server = rpc_server_new(t.loop, &cfg);
    rpc_server_add(t.server, methods, 1, NULL);
    assert_int_equal(rpc_server_listen(t.server, "127.0.0.1:0", &port, &err), 0);
    rpc_server_start(t.server);
    snprintf(target, sizeof(target), "127.0.0.1:%d", port);
    t.channel = rpc_channel_new(t.client_loop, target, MESSAGE_BYTES, NULL);
    t.stream = rpc_stream_open(t.channel, "/test.Test/Bidi", 0, &events, NULL);
    rpc_loop_run(t.loop); /* ends only when the call has closed */
    assert_true(t.closed);
    rpc_loop_run(t.client_loop);
    assert_int_equal(t.code, FM_RESOURCE_EXHAUSTED);
    rpc_stream_unref(t.stream);
    rpc_channel_free(t.channel);
    rpc_server_free(t.server);
    rpc_loop_free(t.loop);
    rpc_loop_free(t.client_loop);
    rpc_global_shutdown();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_aborted_call_closes_although_its_client_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
