/* The table of connections, by descriptor. See rpc_conn_table.h. */
#define _GNU_SOURCE
#include "rpc_conn_table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "rpc_guard.h"

#define SAID_AT_ONCE 50   /* lines about connections that are shut, … */
#define COMPLAIN_MS 10000 /* … in this time */
#define CONNECTION_BYTES 16384

bool conn_cookie_of(int fd, uint64_t *ret)
{
    socklen_t n = sizeof(*ret);
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret, &n) == 0;
}

void conns_wake(struct rpc_conns *cs)
{
    const uint64_t one = 1;
    if (write(cs->wake, &one, sizeof(one)) != sizeof(one))
        fm_abort("an eventfd cannot be written");
}

/* An attacker must not fill the log. */
void conns_say(struct rpc_conns *cs, const char *what, const char *peer, const char *why, uint64_t debt)
{
    int64_t now_ms = fm_now_mono_ms();
    if (now_ms >= cs->said_ms + COMPLAIN_MS) {
        cs->said_ms = now_ms;
        cs->said = 0;
    }
    if (cs->said == SAID_AT_ONCE) {
        cs->unsaid++;
        return;
    }
    cs->said++;
    FM_LOG(WARN, RPC, what, FM_STR("peer", peer), FM_STR("reason", why), FM_U64("debt", debt),
           FM_U64("not_logged", cs->unsaid));
    cs->unsaid = 0;
}

static void conn_say_shut(struct rpc_conns *cs, const struct rpc_conn *conn, const char *why)
{
    conns_say(cs, "a connection is shut", conn->peer, why, conn->debt);
}

static void conn_forget(struct rpc_conns *cs, struct rpc_conn *conn)
{
    const char *why = rpc_guard_verdict(conn->fd, conn->cookie);
    if (why != NULL && !conn->shut)
        conn_say_shut(cs, conn, why);
    rpc_guard_remove(conn->fd, conn->cookie);
    cs->by_fd[conn->fd] = NULL;
    cs->live--;
    cs->debts -= conn->debt;
    if (conn->active)
        DL_DELETE(cs->active, conn);
    conn->gone = true;
    cs->freed_bytes += CONNECTION_BYTES + conn->received + conn->accepted * CALL_CREDIT;
    if (conn->calls == 0)
        free(conn);
    else
        cs->lingering++;
}

/* False, and it is forgotten, when it has been closed. */
bool conn_still_there(struct rpc_conns *cs, struct rpc_conn *conn)
{
    uint64_t cookie;
    if (conn_cookie_of(conn->fd, &cookie) && cookie == conn->cookie)
        return true;
    conn_forget(cs, conn);
    return false;
}

void conn_shut(struct rpc_conns *cs, struct rpc_conn *conn, const char *why)
{
    uint64_t cookie;
    if (conn->shut || conn->gone || !conn_cookie_of(conn->fd, &cookie) || cookie != conn->cookie)
        return;
    conn->shut = true;
    conn_say_shut(cs, conn, why);
    cs->debts -= conn->debt;
    conn->debt = 0;
    rpc_guard_reset(conn->fd); /* what has come and was not read may be megabytes */
}

static struct rpc_conn *longest_idle(const struct rpc_conns *cs)
{
    struct rpc_conn *found = NULL;
    for (size_t i = 0; i < cs->n_fds; i++) {
        struct rpc_conn *conn = cs->by_fd[i];
        if (conn != NULL && conn->calls == 0 && !conn->shut &&
            (found == NULL || conn->idle_since_ms < found->idle_since_ms))
            found = conn;
    }
    return found;
}
void conns_complain(struct rpc_conns *cs, const char *text)
{
    int64_t now_ms = fm_now_mono_ms();
    if (now_ms < cs->complain_ms)
        return;
    cs->complain_ms = now_ms + COMPLAIN_MS;
    FM_LOG(WARN, RPC, "connections are refused or closed", FM_STR("reason", text), FM_U64("limit", cs->max));
}
struct rpc_conn *conn_add(struct rpc_conns *cs, int fd, const struct newcomer *who)
{
    uint64_t cookie;
    if (!conn_cookie_of(fd, &cookie))
        return NULL;
    if ((size_t)fd >= cs->n_fds) {
        size_t more = (size_t)fd + 1024;
        cs->by_fd = fm_xrealloc(cs->by_fd, more * sizeof(struct rpc_conn *));
        memset(cs->by_fd + cs->n_fds, 0, (more - cs->n_fds) * sizeof(struct rpc_conn *));
        cs->n_fds = more;
    }
    if (cs->by_fd[fd] != NULL)
        conn_forget(cs, cs->by_fd[fd]);
    struct rpc_conn *conn = fm_xcalloc(1, sizeof(*conn));
    conn->fd = fd;
    conn->cookie = cookie;
    conn->idle_since_ms = conn->looked_ms = conn->resets_ms = fm_now_mono_ms();
    conn->resets_left = RESETS_AT_ONCE;
    conn->principal = who->principal;
    memcpy(conn->peer, who->peer, sizeof(conn->peer));
    cs->by_fd[fd] = conn;
    cs->live++;
    conn->active = true;
    DL_APPEND(cs->active, conn);
    return conn;
}

/* One more connection: the one that has been without a call for the longest time makes room. */
bool conns_make_room(struct rpc_conns *cs)
{
    if (cs->live < cs->max)
        return true;
    for (size_t i = 0; i < cs->n_fds; i++)
        if (cs->by_fd[i] != NULL)
            (void)conn_still_there(cs, cs->by_fd[i]);
    if (cs->live < cs->max)
        return true;
    struct rpc_conn *idle = longest_idle(cs);
    conns_complain(cs, idle != NULL ? "idle ones make room for new ones" : "none of the open ones is idle");
    if (idle == NULL)
        return false;
    idle->shut = true;
    (void)shutdown(idle->fd, SHUT_RDWR);
    return cs->live < cs->max + RPC_SPARE_FILES / 2;
}
