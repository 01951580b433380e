/* Calls with one message from the client: message and half-close come with the call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "rpc.h"

static struct {
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct rpc_channel *channel;
    char seen[64]; /* by the server: each message, "|" at the half-close */
    char got[64];  /* by the client: each reply, then the code */
    int open;
} t;

static void note(char *where, struct fm_bytes text)
{
    size_t n = strlen(where);
    snprintf(where + n, sizeof(t.seen) - n, "%.*s", (int)text.n, (const char *)text.p);
}

static struct fm_bytes bytes(const char *text)
{
    return (struct fm_bytes){(const uint8_t *)text, strlen(text)};
}

static void echo(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    (void)method;
    note(t.seen, message);
    rpc_call_reply(call, message);
}

static void on_client_message(struct rpc_call *call, void *user, struct fm_bytes message)
{
    (void)user;
    note(t.seen, message);
    (void)rpc_call_send(call, bytes("one,"));
    (void)rpc_call_send(call, bytes("two,"));
}

static void on_half_close(struct rpc_call *call, void *user)
{
    (void)user;
    note(t.seen, bytes("|"));
    rpc_call_finish(call, NULL, (struct fm_bytes){0});
}

static void talk(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    static const struct rpc_call_events events = {.on_message = on_client_message,
                                                  .on_half_close = on_half_close};
    (void)method;
    (void)message;
    rpc_call_events(call, &events, NULL, 0);
}

static void on_reply(struct rpc_stream *s, void *user, struct fm_bytes message)
{
    (void)user;
    note(t.got, message);
    rpc_stream_send(s, bytes("too late"));
}

static void on_server_down(void *arg)
{
    (void)arg;
    rpc_loop_stop(t.loop);
}

static void on_status(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    (void)user;
    (void)details;
    note(t.got, bytes(fm_code_name((int)status->code)));
    rpc_stream_unref(s);
    if (--t.open > 0)
        return;
    rpc_channel_free(t.channel);
    rpc_server_shutdown(t.server, 0, on_server_down, NULL);
}

static void run_call(const char *path, const char *message)
{
    static const struct rpc_method methods[] = {
        {"/test.Test/Echo", RPC_UNARY, echo, NULL, 0},
        {"/test.Test/Talk", RPC_BIDI,  talk, NULL, 0},
    };
    static const struct rpc_stream_events events = {on_reply, on_status};
    const struct rpc_server_config cfg = {.max_message_bytes = 1000};
    struct fm_err err = {0};
    char target[32];
    int port;
    memset(&t, 0, sizeof(t));
    rpc_global_init();
    t.loop = rpc_loop_new();
    t.server = rpc_server_new(t.loop, &cfg);
    rpc_server_add(t.server, methods, 2, NULL);
    assert_int_equal(rpc_server_listen(t.server, "127.0.0.1:0", &port, &err), 0);
    rpc_server_start(t.server);
    snprintf(target, sizeof(target), "127.0.0.1:%d", port);
    t.channel = rpc_channel_new(t.loop, target, 1000, NULL);
    t.open = 1;
    (void)rpc_stream_request(t.channel, path, 0, bytes(message), &events, NULL);
    rpc_loop_run(t.loop);
    rpc_server_free(t.server);
    rpc_loop_free(t.loop);
    rpc_global_shutdown();
}

static void a_request_is_answered_and_nothing_can_be_sent_behind_it(void **state)
{
    (void)state;
    run_call("/test.Test/Echo", "hello,");
    assert_string_equal(t.seen, "hello,");
    assert_string_equal(t.got, "hello,OK");
}

static void a_stream_with_one_request_is_half_closed_behind_it(void **state)
{
    (void)state;
    run_call("/test.Test/Talk", "hello");
    assert_string_equal(t.seen, "hello|");
    assert_string_equal(t.got, "one,two,OK");
}

static void an_empty_request_is_a_message_too(void **state)
{
    (void)state;
    run_call("/test.Test/Talk", "");
    assert_string_equal(t.seen, "|");
    assert_string_equal(t.got, "one,two,OK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_and_nothing_can_be_sent_behind_it),
        cmocka_unit_test(a_stream_with_one_request_is_half_closed_behind_it),
        cmocka_unit_test(an_empty_request_is_a_message_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
