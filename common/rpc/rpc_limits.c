/* Bounds for what clients can make a server keep: calls whose request does not come, and replies that nobody
 * reads. Within the bounds nobody is hindered; beyond them the call goes that has been at it for the longest
 * time, so a client that does what clients do is not the one. On the loop's thread. */
#include <stdio.h>

#include <utlist.h>

#include "clock.h"
#include "log.h"
#include "rpc_server_int.h"

#define REQUEST_MS 30000
#define REQUESTS_AWAITED 8192
#define CALLS_IN_HAND 256
#define UNREAD_BYTES (256u << 20)

void rpc_limits_init(struct rpc_server *s, const struct rpc_server_config *cfg)
{
    s->request_ms = cfg->request_ms > 0 ? cfg->request_ms : REQUEST_MS;
    s->max_silent = REQUESTS_AWAITED;
    s->max_unread = cfg->max_unread_bytes > 0 ? cfg->max_unread_bytes : UNREAD_BYTES;
}

/* ---- turns ----
 *
 * So many unary calls of a connection are in hand at a time, until their replies are taken. So who asks for
 * much at once waits for himself, others only for that many. */

bool rpc_limits_admit(struct rpc_call *c)
{
    if (c->conn == NULL || c->method->kind != RPC_UNARY)
        return true;
    struct rpc_conn_calls *of = rpc_conn_calls(c->conn);
    if (of->in_hand < CALLS_IN_HAND) {
        of->in_hand++;
        c->in_hand = true;
        return true;
    }
    c->is_waiting = true;
    DL_APPEND2(of->waiting, c, waiting_prev, waiting_next);
    return false;
}

void rpc_limits_release(struct rpc_call *c)
{
    struct rpc_conn_calls *of = c->conn != NULL ? rpc_conn_calls(c->conn) : NULL;
    if (c->is_waiting)
        DL_DELETE2(of->waiting, c, waiting_prev, waiting_next);
    c->is_waiting = false;
    if (!c->in_hand)
        return;
    c->in_hand = false;
    of->in_hand--;
    struct rpc_call *next = of->waiting;
    if (next == NULL)
        return;
    DL_DELETE2(of->waiting, next, waiting_prev, waiting_next);
    next->is_waiting = false;
    next->in_hand = true;
    of->in_hand++;
    rpc_call_start(next);
}

/* ---- requests that do not come ---- */

static void on_silent_timer(void *arg)
{
    struct rpc_server *s = arg;
    char text[96];
    int64_t now_ms = fm_now_mono_ms();
    snprintf(text, sizeof(text), "the request did not come within %d ms", s->request_ms);
    while (s->silent != NULL && s->silent->began_ms + s->request_ms <= now_ms) {
        struct rpc_call *c = s->silent;
        rpc_limits_awaited(c);
        rpc_call_fail(c, FM_DEADLINE_EXCEEDED, text);
    }
    if (s->silent != NULL)
        rpc_timer_start(s->loop, &s->silent_timer, s->silent->began_ms + s->request_ms, on_silent_timer, s);
}

void rpc_limits_await(struct rpc_call *c)
{
    struct rpc_server *s = c->server;
    c->began_ms = fm_now_mono_ms();
    c->is_silent = true;
    DL_APPEND2(s->silent, c, silent_prev, silent_next);
    if (!s->silent_timer.armed)
        rpc_timer_start(s->loop, &s->silent_timer, s->silent->began_ms + s->request_ms, on_silent_timer, s);
    if (++s->n_silent <= s->max_silent)
        return;
    struct rpc_call *oldest = s->silent;
    rpc_limits_awaited(oldest);
    rpc_call_fail(oldest, FM_RESOURCE_EXHAUSTED, "too many calls wait for their request");
}

void rpc_limits_awaited(struct rpc_call *c)
{
    if (!c->is_silent)
        return;
    c->is_silent = false;
    c->server->n_silent--;
    DL_DELETE2(c->server->silent, c, silent_prev, silent_next);
}

/* ---- replies that nobody reads ---- */

/* The connection whose write has been out for the longest time is not read from: all that waits on it goes.
 */
static void drop_oldest_writer(struct rpc_server *s)
{
    static const char why[] = "too many bytes of replies wait for their clients to read them";
    struct fm_err err = {0};
    struct rpc_call *c, *oldest = NULL;
    fm_err_set(&err, FM_RESOURCE_EXHAUSTED, NULL, "%s", why);
    DL_FOREACH2 (s->writers, c, writer_next) {
        if (oldest == NULL && c->counted_bytes > 0)
            oldest = c;
        if (c != oldest && (oldest == NULL || oldest->conn == NULL || c->conn != oldest->conn))
            continue;
        rpc_call_abort(c, &err);
    }
    if (oldest != NULL && oldest->conn != NULL)
        rpc_conn_shut(s->conns, oldest->conn, why);
}

void rpc_limits_queued(struct rpc_call *c, size_t bytes)
{
    c->counted_bytes += bytes;
    c->server->unread_bytes += bytes;
    if (c->server->unread_bytes > c->server->max_unread)
        drop_oldest_writer(c->server);
}

void rpc_limits_writing(struct rpc_call *c)
{
    c->is_writer = true;
    DL_APPEND2(c->server->writers, c, writer_prev, writer_next);
}

static void uncount(struct rpc_call *c, size_t bytes)
{
    size_t n = bytes < c->counted_bytes ? bytes : c->counted_bytes;
    c->counted_bytes -= n;
    c->server->unread_bytes -= n;
}

void rpc_limits_written(struct rpc_call *c, size_t bytes)
{
    if (c->is_writer)
        DL_DELETE2(c->server->writers, c, writer_prev, writer_next);
    c->is_writer = false;
    uncount(c, bytes);
}

void rpc_limits_dropped(struct rpc_call *c)
{
    uncount(c, c->counted_bytes);
}
