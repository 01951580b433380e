/* Those who come. See rpc_accept.h. */
#define _GNU_SOURCE
#include "rpc_accept.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <utlist.h>

#include "lock.h"
#include "log.h"
#include "mem.h"
#include "rpc_conn_table.h"
#include "rpc_guard.h"
#include "tls_front.h"

#define FILES_BASE 1024   /* descriptors of connections that have a principal: from here, … */
#define FILES_RANGE 65536 /* … so many, before one is used again */

/* gRPC says of a call only the number of its descriptor, and says it late: the number may be another one's by
 * then. Where it matters who that is, numbers are not used again for long. With the lock held; returns the
 * descriptor under its new number. */
static int renumber(struct rpc_conns *cs, int fd)
{
    for (int i = 0; i < 2; i++) {
        if (cs->next_fd < FILES_BASE || cs->next_fd >= FILES_BASE + FILES_RANGE)
            cs->next_fd = FILES_BASE;
        int moved = fcntl(fd, F_DUPFD_CLOEXEC, cs->next_fd);
        cs->next_fd = moved >= 0 ? moved + 1 : FILES_BASE;
        if (moved < 0)
            continue;
        close(fd);
        return moved;
    }
    return fd; /* no more than FILES_BASE are allowed, or all are in use */
}

static void hand_to_grpc(struct rpc_conns *cs, struct rpc_conn *conn, int fd)
{
    rpc_guard_add(fd, conn->cookie);
    grpc_server_add_channel_from_fd(cs->server, fd, cs->creds);
}

/* ---- with TLS ---- */

/* On a thread of the front. The rest is the accepting thread's: so this is the only one that adds
 * connections. */
static int on_shaken(void *user, const struct fm_principal *who)
{
    struct newcomer *new = fm_xmemdup(user, sizeof(*new));
    struct rpc_conns *cs = new->cs;
    int ends[2];
    ((struct newcomer *)user)->let_in = true;
    new->principal = *who;
    fm_lock(&cs->lock);
    bool ok = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0;
    if (ok) {
        new->fd = ends[0];
        LL_APPEND(cs->shaken, new);
    }
    fm_unlock(&cs->lock);
    if (!ok) {
        free(new);
        return -1;
    }
    conns_wake(cs);
    return ends[1];
}

void rpc_take_shaken(struct rpc_conns *cs)
{
    struct newcomer *new;
    for (;;) {
        struct rpc_conn *conn = NULL;
        fm_lock(&cs->lock);
        if ((new = cs->shaken) != NULL) {
            LL_DELETE(cs->shaken, new);
            new->fd = renumber(cs, new->fd);
            conn = conns_make_room(cs) ? conn_add(cs, new->fd, new) : NULL;
        }
        fm_unlock(&cs->lock);
        if (new == NULL)
            return;
        if (conn != NULL)
            hand_to_grpc(cs, conn, new->fd);
        else
            close(new->fd);
        free(new);
    }
}

static void on_not_shaken(void *user, const char *why)
{
    struct newcomer *new = user;
    if (new->let_in) { /* as most connections end that are not closed but broken off */
        FM_LOG(DEBUG, RPC, "a connection is broken off", FM_STR("peer", new->peer), FM_STR("reason", why));
        return;
    }
    fm_lock(&new->cs->lock);
    conns_say(new->cs, "a connection has failed under TLS", new->peer, why, 0);
    fm_unlock(&new->cs->lock);
}

static const struct tls_events tls_events = {on_shaken, on_not_shaken, free};

/* ---- those that come ---- */

static void tune(const struct rpc_conns *cs, int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &cs->timeout_ms, sizeof(cs->timeout_ms));
}

/* Those of a unix socket are known by their user. */
static void find_user(int fd, struct newcomer *new)
{
    struct ucred peer;
    socklen_t n = sizeof(peer);
    new->principal.kind = FM_NOBODY;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return;
    new->principal.kind = FM_UNIX;
    (void)snprintf(new->principal.name, sizeof(new->principal.name), "%u", (unsigned)peer.uid);
    (void)snprintf(new->peer, sizeof(new->peer), "unix:%u", (unsigned)peer.uid);
}

/* With the lock held. Returns its entry, or NULL: it is closed. */
static struct rpc_conn *enter(struct rpc_conns *cs, int *fd, struct newcomer *new)
{
    new->principal.kind = FM_LOCAL;
    rpc_name_peer(&new->from, new->n, new->peer);
    if (new->from.ss_family == AF_UNIX) {
        find_user(*fd, new);
        *fd = renumber(cs, *fd);
    }
    struct rpc_conn *conn = conns_make_room(cs) ? conn_add(cs, *fd, new) : NULL;
    if (conn == NULL)
        close(*fd);
    else
        conn->is_tcp = new->from.ss_family != AF_UNIX;
    return conn;
}

static void begin_tls(struct rpc_conns *cs, int fd, const struct newcomer *new)
{
    struct newcomer *kept = fm_xmemdup(new, sizeof(*new));
    kept->principal = (struct fm_principal){.kind = FM_NOBODY};
    rpc_name_peer(&kept->from, kept->n, kept->peer);
    tune(cs, fd);
    tls_front_add(cs->front, cs->context, fd, NULL, &tls_events, kept);
}

/* Takes one connection; false when none waits, or none can be taken now. */
bool rpc_accept_one(struct rpc_conns *cs, int listener, bool *ret_pause)
{
    struct newcomer new = {.cs = cs, .n = sizeof(new.from)};
    struct rpc_conn *conn = NULL;
    fm_lock(&cs->lock);
    int fd = accept4(listener, (struct sockaddr *)&new.from, &new.n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int error = errno;
    bool tls = cs->front != NULL && new.from.ss_family != AF_UNIX;
    if (fd >= 0 && !tls)
        conn = enter(cs, &fd, &new);
    fm_unlock(&cs->lock);
    if (fd < 0) {
        *ret_pause = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
        if (*ret_pause)
            conns_complain(cs, strerror(error));
        return error != EAGAIN && !*ret_pause; /* other errors are of one connection */
    }
    if (tls)
        begin_tls(cs, fd, &new);
    if (conn == NULL)
        return true;
    if (conn->is_tcp)
        tune(cs, fd);
    hand_to_grpc(cs, conn, fd);
    return true;
}
