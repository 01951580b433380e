/* Bounds for what clients can make a server keep: calls whose request does not arrive, and
 * replies that nobody reads. Within the bounds nobody is hindered; beyond them the call ends
 * that has been waiting longest, which is never that of a well-behaved client. On the loop's
 * thread. */
#include "rpc_limits.h"

#include <stdio.h>

#include <utlist.h>

#include "clock.h"
#include "mem.h"

#define REQUEST_MS 30000
#define REQUESTS_AWAITED 8192
#define CALLS_IN_HAND 256
#define UNREAD_BYTES (256u << 20)

void rpc_limits_init(struct rpc_limits *l, struct rpc_loop *loop, struct rpc_conns *conns,
                     const struct rpc_server_config *cfg, const struct rpc_limits_actions *actions)
{
    l->loop = loop;
    l->conns = conns;
    l->actions = actions;
    l->request_ms = cfg->request_ms > 0 ? cfg->request_ms : REQUEST_MS;
    l->max_silent = REQUESTS_AWAITED;
    l->max_unread = cfg->max_unread_bytes > 0 ? cfg->max_unread_bytes : UNREAD_BYTES;
}

void rpc_limits_stop(struct rpc_limits *l)
{
    rpc_timer_stop(l->loop, &l->silent_timer);
}

/* ---- turns ----
 *
 * At most CALLS_IN_HAND unary calls of a connection are in hand at a time, until their replies are taken. A
 * client with many calls waits only for its own; the clients of other connections wait for at most 256 of
 * them. */

bool rpc_limits_admit(struct rpc_bound *c)
{
    if (c->conn == NULL)
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

void rpc_limits_release(struct rpc_limits *l, struct rpc_bound *c)
{
    struct rpc_conn_calls *of = c->conn != NULL ? rpc_conn_calls(c->conn) : NULL;
    if (c->is_waiting)
        DL_DELETE2(of->waiting, c, waiting_prev, waiting_next);
    c->is_waiting = false;
    if (!c->in_hand)
        return;
    c->in_hand = false;
    of->in_hand--;
    struct rpc_bound *next = of->waiting;
    if (next == NULL)
        return;
    DL_DELETE2(of->waiting, next, waiting_prev, waiting_next);
    next->is_waiting = false;
    next->in_hand = true;
    of->in_hand++;
    l->actions->start(next->call);
}

/* ---- requests that do not arrive ---- */

static void on_silent_timer(void *arg)
{
    struct rpc_limits *l = arg;
    char text[96];
    int64_t now_ms = fm_now_mono_ms();
    snprintf(text, sizeof(text), "the request did not arrive within %d ms", l->request_ms);
    while (l->silent != NULL && l->silent->began_ms + l->request_ms <= now_ms) {
        struct rpc_bound *c = l->silent;
        rpc_limits_awaited(l, c);
        l->actions->fail(c->call, FM_DEADLINE_EXCEEDED, text);
    }
    if (l->silent != NULL)
        rpc_timer_start(l->loop, &l->silent_timer, l->silent->began_ms + l->request_ms, on_silent_timer, l);
}

void rpc_limits_await(struct rpc_limits *l, struct rpc_bound *c)
{
    c->began_ms = fm_now_mono_ms();
    c->is_silent = true;
    DL_APPEND2(l->silent, c, silent_prev, silent_next);
    if (!l->silent_timer.armed)
        rpc_timer_start(l->loop, &l->silent_timer, l->silent->began_ms + l->request_ms, on_silent_timer, l);
    if (++l->n_silent <= l->max_silent)
        return;
    struct rpc_bound *oldest = l->silent;
    rpc_limits_awaited(l, oldest);
    l->actions->fail(oldest->call, FM_RESOURCE_EXHAUSTED, "too many calls are waiting for their request");
}

void rpc_limits_awaited(struct rpc_limits *l, struct rpc_bound *c)
{
    if (!c->is_silent)
        return;
    c->is_silent = false;
    l->n_silent--;
    DL_DELETE2(l->silent, c, silent_prev, silent_next);
}

/* ---- replies that nobody reads ---- */

/* The connection whose write has been out longest is not being read: all that waits on it is
 * dropped. */
static void drop_oldest_writer(struct rpc_limits *l)
{
    static const char why[] = "too many bytes of replies are waiting for their clients to read them";
    fm_auto(fm_err) err = {0};
    struct rpc_bound *c, *oldest = NULL;
    (void)fm_err_set(&err, FM_RESOURCE_EXHAUSTED, NULL, "%s", why);
    DL_FOREACH2 (l->writers, c, writer_next) {
        if (oldest == NULL && c->counted_bytes > 0)
            oldest = c;
        if (c != oldest && (oldest == NULL || oldest->conn == NULL || c->conn != oldest->conn))
            continue;
        l->actions->abort(c->call, &err);
    }
    if (oldest != NULL && oldest->conn != NULL)
        rpc_conn_shut(l->conns, oldest->conn, why);
}

void rpc_limits_queued(struct rpc_limits *l, struct rpc_bound *c, size_t bytes)
{
    c->counted_bytes += bytes;
    l->unread_bytes += bytes;
    if (l->unread_bytes > l->max_unread)
        drop_oldest_writer(l);
}

void rpc_limits_writing(struct rpc_limits *l, struct rpc_bound *c)
{
    c->is_writer = true;
    DL_APPEND2(l->writers, c, writer_prev, writer_next);
}

static void uncount(struct rpc_limits *l, struct rpc_bound *c, size_t bytes)
{
    size_t n = bytes < c->counted_bytes ? bytes : c->counted_bytes;
    c->counted_bytes -= n;
    l->unread_bytes -= n;
}

void rpc_limits_written(struct rpc_limits *l, struct rpc_bound *c, size_t bytes)
{
    if (c->is_writer)
        DL_DELETE2(l->writers, c, writer_prev, writer_next);
    c->is_writer = false;
    uncount(l, c, bytes);
}

void rpc_limits_dropped(struct rpc_limits *l, struct rpc_bound *c)
{
    uncount(l, c, c->counted_bytes);
}
