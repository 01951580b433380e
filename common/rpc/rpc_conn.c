/* Accepting and watching connections. See rpc_conn.h.
 *
 * Who owns a file descriptor: gRPC, from grpc_server_add_channel_from_fd on; it closes it, and
 * does not say so. So a connection is known by the number of its descriptor and the kernel's
 * cookie of its socket: when the cookie is another one, or there is none, the connection is
 * gone. New sockets are made only here, under the lock; so what the lock's holder has found by
 * its cookie can be shut down (which gRPC takes for the peer's leaving).
 *
 * Debt: what gRPC holds of a peer (parts of messages, of header blocks) cannot be asked, but the
 * kernel counts the bytes that came, and the server those that arrived as messages. The
 * difference, with an allowance for headers and control frames, is a connection's debt; too much
 * of it, and the connection is shut. Connections on which nothing comes are not looked at: the
 * first bytes that come wake the thread. */
#define _GNU_SOURCE
#include "rpc_conn.h"

#include <linux/tcp.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <grpc/grpc_security.h>
#include <utlist.h>

#include "clock.h"
#include "lock.h"
#include "mem.h"
#include "rpc_accept.h"
#include "rpc_conn_table.h"
#include "rpc_frames.h"
#include "rpc_guard.h"
#include "tls_context.h"
#include "tls_front.h"

#define ACCEPTED_AT_ONCE 4096
#define PAUSE_MS 50   /* when the process has no more descriptors */
#define LOOK_MS 100   /* at the debts of those on which something comes; for many more seldom */
#define SWEEP_MS 5000 /* at which of all have been closed */
#define WOKEN 256     /* connections taken from epoll at a time */
#define LOOKED_AT_PER_MS 20
#define CHUNK 256                   /* connections looked at under one lock */
#define DEBT_MAX (128u << 20)       /* of one connection */
#define DEBTS_MAX (512u << 20)      /* of all; then the largest debtor goes */
#define FREE_BYTES_PER_S 16384      /* for control frames */
#define FREE_LOCAL_PER_S (1u << 20) /* where what was sent is not known: as much as rpc_frames lets pass */
#define SENT_PER_CREDIT 64          /* who reads much, sends window updates */
#define RESETS_PER_S 500            /* beyond RESETS_AT_ONCE, and one for each call that a peer waits for */
#define CALLS_MAX (2 * RPC_FRAMES_STREAMS) /* open; some are over for gRPC already */
#define TRIM_MS 1000
#define FILES_WITH_TLS 3      /* descriptors of one connection */
#define MUCH_BYTES (4u << 20) /* when so much has been freed, memory is given back; … */
#define TRIMS 8               /* … so often, each time after twice the time, for it is freed bit by bit */

/* ---- debts ---- */

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static void count_resets(struct rpc_conns *cs, struct rpc_conn *conn, int64_t resets)
{
    int64_t now_ms = fm_now_mono_ms(), more = (now_ms - conn->resets_ms) * RESETS_PER_S / 1000;
    if (more > 0)
        conn->resets_ms = now_ms;
    conn->resets_left += more - resets;
    if (conn->resets_left > RESETS_AT_ONCE)
        conn->resets_left = RESETS_AT_ONCE;
    if (conn->resets_left < 0)
        conn_shut(cs, conn, "too many calls given up before they were answered");
}

/* What has come on it and, as far as that is known, been sent. */
static bool count_bytes(const struct rpc_conn *conn, uint64_t *received, uint64_t *sent)
{
    struct tcp_info info;
    socklen_t n = sizeof(info);
    *sent = 0;
    *received = conn->is_tcp ? 0 : rpc_guard_bytes(conn->fd, conn->cookie);
    if (!conn->is_tcp)
        return true;
    memset(&info, 0, sizeof(info));
    if (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
        return false;
    *received = info.tcpi_bytes_received;
    *sent = info.tcpi_bytes_acked;
    return true;
}

/* Whether anything has come since the last time. */
static bool look_at(struct rpc_conns *cs, struct rpc_conn *conn, int64_t now_ms)
{
    uint64_t received, sent;
    if (conn->shut || !count_bytes(conn, &received, &sent)) /* the reset has set its numbers to 0 */
        return false;
    const char *why = rpc_guard_verdict(conn->fd, conn->cookie);
    if (why != NULL) {
        conn_shut(cs, conn, why);
        return false;
    }
    uint64_t fresh = received - conn->received,
             free_per_s = conn->is_tcp ? FREE_BYTES_PER_S : FREE_LOCAL_PER_S;
    uint64_t credit = conn->credit + (sent - conn->sent) / SENT_PER_CREDIT +
                      (uint64_t)(now_ms - conn->looked_ms) * free_per_s / 1000;
    cs->debts -= conn->debt;
    conn->debt = less(conn->debt + fresh, credit);
    cs->debts += conn->debt;
    conn->received = received;
    conn->sent = sent;
    conn->credit = 0;
    conn->looked_ms = now_ms;
    if (conn->debt > DEBT_MAX)
        conn_shut(cs, conn, "too many bytes without a complete message");
    return fresh > 0;
}

/* The next bytes that come on it make it active again. */
static void let_rest(struct rpc_conns *cs, struct rpc_conn *conn)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data = {.fd = conn->fd}};
    if (epoll_ctl(cs->epoll, EPOLL_CTL_MOD, conn->fd, &e) < 0 &&
        epoll_ctl(cs->epoll, EPOLL_CTL_ADD, conn->fd, &e) < 0)
        return; /* it stays active */
    DL_DELETE(cs->active, conn);
    conn->active = false;
}

/* Those on which something has come. */
static void take_woken(struct rpc_conns *cs)
{
    struct epoll_event events[WOKEN];
    bool first = cs->active == NULL;
    int n = epoll_wait(cs->epoll, events, WOKEN, 0);
    fm_lock(&cs->lock);
    for (int i = 0; i < n; i++) {
        size_t fd = (size_t)events[i].data.fd;
        struct rpc_conn *conn = fd < cs->n_fds ? cs->by_fd[fd] : NULL;
        if (conn == NULL || conn->active)
            continue;
        conn->active = true;
        DL_APPEND(cs->active, conn);
    }
    fm_unlock(&cs->lock);
    if (first && n > 0)
        cs->look_ms = fm_now_mono_ms() + LOOK_MS;
}

static struct rpc_conn *largest_debtor(const struct rpc_conns *cs)
{
    struct rpc_conn *worst = NULL;
    for (size_t i = 0; i < cs->n_fds; i++) {
        struct rpc_conn *conn = cs->by_fd[i];
        if (conn != NULL && !conn->shut && (worst == NULL || conn->debt > worst->debt))
            worst = conn;
    }
    return worst;
}

/* Forgets those that have been closed. */
static void sweep(struct rpc_conns *cs, int64_t now_ms)
{
    for (size_t at = 0; at < cs->n_fds; at += CHUNK) { /* only this thread makes the table larger */
        fm_lock(&cs->lock);
        for (size_t i = at; i < at + CHUNK && i < cs->n_fds; i++)
            if (cs->by_fd[i] != NULL)
                (void)conn_still_there(cs, cs->by_fd[i]);
        fm_unlock(&cs->lock);
    }
    cs->sweep_ms = now_ms + SWEEP_MS;
}

/* Looks at the active connections; when all together owe too much, the largest debtor is shut. */
static void look(struct rpc_conns *cs)
{
    int64_t now_ms = fm_now_mono_ms();
    size_t looked = 0;
    fm_lock(&cs->lock);
    for (struct rpc_conn *conn = cs->active, *next; conn != NULL; conn = next) {
        next = conn->next;
        if (conn_still_there(cs, conn) && !look_at(cs, conn, now_ms) && !conn->shut)
            let_rest(cs, conn);
        if (++looked % CHUNK != 0 || next == NULL)
            continue;
        fm_unlock(&cs->lock); /* only this thread takes connections out of the list */
        fm_lock(&cs->lock);
    }
    if (cs->debts > DEBTS_MAX)
        conn_shut(cs, largest_debtor(cs),
                  "too many bytes without a complete message, on all connections together");
    fm_unlock(&cs->lock);
    if (now_ms >= cs->sweep_ms)
        sweep(cs, now_ms);
    cs->look_ms = now_ms + LOOK_MS + (int64_t)(looked / LOOKED_AT_PER_MS);
    if (cs->freed_bytes > MUCH_BYTES) {
        cs->freed_bytes = 0;
        if (cs->trims_left == 0)
            cs->trim_ms = now_ms + TRIM_MS;
        cs->trims_left = TRIMS;
    }
    if (cs->trims_left > 0 && now_ms >= cs->trim_ms) {
        if (cs->trims_left > 1 || cs->lingering == 0) /* what these hold is freed later */
            cs->trims_left--;
        cs->trim_ms = now_ms + (TRIM_MS << (TRIMS - cs->trims_left));
        (void)malloc_trim(0);
    }
}

/* ---- the thread ---- */

/* How long until something is to be done without being woken; -1: for ever. */
static int wait_ms(const struct rpc_conns *cs, int64_t now_ms, int64_t paused_until_ms)
{
    int64_t at = INT64_MAX;
    if (now_ms < paused_until_ms)
        at = paused_until_ms;
    if ((cs->active != NULL || cs->freed_bytes > MUCH_BYTES) && cs->look_ms < at)
        at = cs->look_ms;
    if (cs->live > 0 && cs->sweep_ms < at)
        at = cs->sweep_ms;
    if (cs->trims_left > 0 && cs->trim_ms < at)
        at = cs->trim_ms;
    return at == INT64_MAX ? -1 : at <= now_ms ? 0 : (int)(at - now_ms);
}

static bool look_is_due(const struct rpc_conns *cs)
{
    int64_t now_ms = fm_now_mono_ms();
    return now_ms >= cs->look_ms || (cs->trims_left > 0 && now_ms >= cs->trim_ms);
}

static bool read_wake(struct rpc_conns *cs)
{
    uint64_t count;
    return read(cs->wake, &count, sizeof(count)) == sizeof(count);
}

static void *accept_main(void *arg)
{
    struct rpc_conns *cs = arg;
    struct pollfd fds[MAX_LISTENERS + 2];
    int64_t paused_until_ms = 0;
    for (;;) {
        int64_t now_ms = fm_now_mono_ms();
        bool pause = false, paused = now_ms < paused_until_ms;
        for (size_t i = 0; i < cs->n_listeners; i++)
            fds[i + 2] = (struct pollfd){cs->listeners[i], paused ? 0 : POLLIN, 0};
        fds[0] = (struct pollfd){cs->wake, POLLIN, 0};
        fds[1] = (struct pollfd){cs->epoll, POLLIN, 0};
        (void)poll(fds, 2 + (nfds_t)cs->n_listeners, wait_ms(cs, now_ms, paused_until_ms));
        if (fds[0].revents != 0 && read_wake(cs) && atomic_load(&cs->stop))
            return NULL;
        rpc_take_shaken(cs);
        if (fds[1].revents != 0)
            take_woken(cs);
        for (size_t i = 0; i < cs->n_listeners && !paused; i++)
            for (int n = 0; n < ACCEPTED_AT_ONCE && rpc_accept_one(cs, cs->listeners[i], &pause); n++)
                if (look_is_due(cs))
                    look(cs);
        if (pause)
            paused_until_ms = fm_now_mono_ms() + PAUSE_MS;
        if (look_is_due(cs))
            look(cs);
    }
}

/* ---- life ---- */

struct rpc_conns *rpc_conns_new(grpc_server *server, size_t max_conns, int timeout_ms)
{
    struct rpc_conns *cs = fm_xcalloc(1, sizeof(*cs));
    cs->server = server;
    cs->creds = grpc_insecure_server_credentials_create();
    cs->timeout_ms = timeout_ms;
    cs->max = rpc_most_connections(max_conns);
    cs->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    cs->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (cs->wake < 0 || cs->epoll < 0)
        fm_abort("an eventfd or epoll could not be made");
    (void)pthread_mutex_init(&cs->lock, NULL);
    return cs;
}

void rpc_conns_secure(struct rpc_conns *cs, struct tls_context *context)
{
    const struct tls_front_config cfg = {.watched = context};
    cs->context = context;
    cs->front = tls_front_new(&cfg);
    cs->max = rpc_most_connections(cs->max * FILES_WITH_TLS) / FILES_WITH_TLS;
}

void rpc_conns_reload(struct rpc_conns *cs)
{
    if (cs->front != NULL)
        tls_front_reload(cs->front);
}

int rpc_conns_listen(struct rpc_conns *cs, const char *address, int *ret_port, struct fm_err *err)
{
    if (strncmp(address, RPC_UNIX, strlen(RPC_UNIX)) == 0) {
        const char *file = address + strlen(RPC_UNIX);
        if (rpc_listen_unix(file, &cs->listeners[cs->n_listeners], err) < 0)
            return -FM_UNAVAILABLE;
        cs->n_listeners++;
        cs->socket_file = fm_xstrdup(file);
        *ret_port = 0;
        return 0;
    }
    return rpc_listen(address, cs->listeners, MAX_LISTENERS, &cs->n_listeners, ret_port, err);
}

void rpc_conns_start(struct rpc_conns *cs)
{
    if (pthread_create(&cs->thread, NULL, accept_main, cs) != 0)
        fm_abort("the thread that accepts connections could not be started");
    cs->running = true;
}

void rpc_conns_stop(struct rpc_conns *cs)
{
    if (cs->running) {
        atomic_store(&cs->stop, true);
        conns_wake(cs);
        (void)pthread_join(cs->thread, NULL);
        if (cs->front != NULL)
            tls_front_stop(cs->front);
        struct newcomer *new, *tmp;
        LL_FOREACH_SAFE (cs->shaken, new, tmp) {
            close(new->fd);
            free(new);
        }
        cs->shaken = NULL;
    }
    cs->running = false;
    if (cs->n_listeners > 0 && cs->socket_file != NULL)
        (void)unlink(cs->socket_file);
    for (size_t i = 0; i < cs->n_listeners; i++)
        close(cs->listeners[i]);
    cs->n_listeners = 0;
}

void rpc_conns_free(struct rpc_conns *cs)
{
    tls_front_free(cs->front);
    tls_context_free(cs->context);
    free(cs->socket_file);
    for (size_t i = 0; i < cs->n_fds; i++)
        if (cs->by_fd[i] != NULL)
            rpc_guard_remove((int)i, cs->by_fd[i]->cookie);
    for (size_t i = 0; i < cs->n_fds; i++)
        free(cs->by_fd[i]);
    free(cs->by_fd);
    close(cs->wake);
    (void)close(cs->epoll);
    grpc_server_credentials_release(cs->creds);
    (void)pthread_mutex_destroy(&cs->lock);
    free(cs);
}

/* ---- for calls ---- */

struct rpc_conn *rpc_conn_begin_call(struct rpc_conns *cs, const char *grpc_peer)
{
    struct rpc_conn *conn = NULL;
    if (strncmp(grpc_peer, "fd:", 3) != 0)
        return NULL;
    size_t fd = strtoul(grpc_peer + 3, NULL, 10);
    fm_lock(&cs->lock);
    if (fd < cs->n_fds)
        conn = cs->by_fd[fd];
    if (conn != NULL && !rpc_guard_taken(conn->fd, conn->cookie))
        conn = NULL; /* the call is of one that had this descriptor before */
    if (conn != NULL) {
        conn->calls++;
        conn->accepted++;
        conn->credit += CALL_CREDIT;
    }
    if (conn != NULL && conn->calls > CALLS_MAX)
        conn_shut(cs, conn, "too many calls at a time");
    fm_unlock(&cs->lock);
    return conn;
}

void rpc_conn_received(struct rpc_conns *cs, struct rpc_conn *conn, size_t bytes)
{
    fm_lock(&cs->lock);
    conn->credit += bytes + bytes / 64 + 64; /* headers of frames */
    fm_unlock(&cs->lock);
}

void rpc_conn_end_call(struct rpc_conns *cs, struct rpc_conn *conn, bool reset)
{
    fm_lock(&cs->lock);
    count_resets(cs, conn, reset ? 1 : -1);
    if (--conn->calls == 0 && conn->gone) {
        cs->lingering--;
        free(conn);
    } else if (conn->calls == 0)
        conn->idle_since_ms = fm_now_mono_ms();
    fm_unlock(&cs->lock);
}

void rpc_conn_shut(struct rpc_conns *cs, struct rpc_conn *conn, const char *why)
{
    fm_lock(&cs->lock);
    conn_shut(cs, conn, why);
    fm_unlock(&cs->lock);
}

bool rpc_conn_cork(struct rpc_conns *cs, struct rpc_conn *conn, bool on)
{
    uint64_t cookie;
    int value = on;
    if (!conn->is_tcp)
        return false;
    fm_lock(&cs->lock);
    bool there = !conn->gone && conn_cookie_of(conn->fd, &cookie) && cookie == conn->cookie &&
                 setsockopt(conn->fd, IPPROTO_TCP, TCP_CORK, &value, sizeof(value)) == 0;
    fm_unlock(&cs->lock);
    return there;
}

struct rpc_conn_calls *rpc_conn_calls(struct rpc_conn *conn)
{
    return &conn->of_calls;
}

const char *rpc_conn_peer(const struct rpc_conn *conn)
{
    return conn->peer;
}

const struct fm_principal *rpc_conn_principal(const struct rpc_conn *conn)
{
    return &conn->principal;
}
