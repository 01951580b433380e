/* Connecting by TLS. See rpc_dial.h. Names are looked up and connected to on a thread that nobody waits for:
 * that may take long, and cannot be given up. What it needs lives as long as it does. */
#define _GNU_SOURCE
#include "rpc_dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "lock.h"
#include "log.h"
#include "mem.h"
#include "rpc.h"
#include "rpc_guard.h"
#include "tls_context.h"
#include "tls_front.h"

#define CONNECT_MS 10000 /* to all addresses of a name together */
#define UNSENT_MS 10000  /* that a peer may leave sent bytes unacknowledged */

struct rpc_dialer {
    struct tls_context *context;
    struct tls_front *front;
    pthread_mutex_t lock;
    int refs; /* under the lock: the owner, and each thread that looks up names */
};

struct rpc_dial {
    struct rpc_dialer *dialer;
    char *target, *host;
    const char *port; /* behind the host */
    int grpc_end;     /* its number; it is gRPC's */
    uint64_t cookie;
    int own_end; /* until the front has it; -1 */
    pthread_mutex_t lock;
    /* under the lock */
    int refs;
    char why[RPC_WHY_BYTES]; /* "": it has not failed */
};

/* ---- dialers ---- */

struct rpc_dialer *rpc_dialer_new(const struct tls_files *files, struct fm_err *err)
{
    const struct tls_front_config cfg = {0};
    struct tls_context *context = tls_context_new(TLS_CLIENT, files, err);
    if (context == NULL)
        return NULL;
    struct rpc_dialer *d = fm_xcalloc(1, sizeof(*d));
    (void)pthread_mutex_init(&d->lock, NULL);
    d->context = context;
    d->front = tls_front_new(&cfg);
    d->refs = 1;
    return d;
}

void rpc_dialer_free(struct rpc_dialer *d)
{
    if (d == NULL)
        return;
    fm_lock(&d->lock);
    int refs = --d->refs;
    fm_unlock(&d->lock);
    if (refs > 0)
        return;
    tls_front_free(d->front);
    tls_context_free(d->context);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
}

static void keep_dialer(struct rpc_dialer *d)
{
    fm_lock(&d->lock);
    d->refs++;
    fm_unlock(&d->lock);
}

/* ---- one connection ---- */

struct rpc_dial *rpc_dial_ref(struct rpc_dial *dial)
{
    if (dial == NULL)
        return NULL;
    fm_lock(&dial->lock);
    dial->refs++;
    fm_unlock(&dial->lock);
    return dial;
}

void rpc_dial_unref(struct rpc_dial *dial)
{
    if (dial == NULL)
        return;
    fm_lock(&dial->lock);
    int refs = --dial->refs;
    fm_unlock(&dial->lock);
    if (refs > 0)
        return;
    (void)pthread_mutex_destroy(&dial->lock);
    free(dial->target);
    free(dial->host);
    free(dial);
}

bool rpc_dial_why(struct rpc_dial *dial, char out[RPC_WHY_BYTES])
{
    if (dial == NULL)
        return false;
    fm_lock(&dial->lock);
    memcpy(out, dial->why, RPC_WHY_BYTES);
    fm_unlock(&dial->lock);
    return out[0] != '\0';
}

static void set_why(struct rpc_dial *dial, const char *why)
{
    fm_lock(&dial->lock);
    (void)snprintf(dial->why, sizeof(dial->why), "%s: %s", dial->target, why);
    fm_unlock(&dial->lock);
}

static int on_ready(void *user, const struct fm_principal *who)
{
    struct rpc_dial *dial = user;
    int fd = dial->own_end;
    (void)who;
    dial->own_end = -1;
    return fd;
}

static void on_failed(void *user, const char *why)
{
    set_why(user, why);
}

static void on_gone(void *user)
{
    struct rpc_dial *dial = user;
    if (dial->own_end >= 0)
        close(dial->own_end);
    rpc_guard_remove(dial->grpc_end, dial->cookie);
    rpc_dial_unref(dial);
}

/* ---- connecting ---- */

/* Returns the socket, connected, or -1. */
static int connect_to(const struct addrinfo *to, int64_t until_ms)
{
    int one = 1, unsent_ms = UNSENT_MS, error = 0;
    socklen_t n = sizeof(error);
    fm_autoclose int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, to->ai_addr, to->ai_addrlen) < 0) {
        struct pollfd p = {fd, POLLOUT, 0};
        int64_t left = until_ms - fm_now_mono_ms();
        if (errno != EINPROGRESS)
            return -1;
        if (poll(&p, 1, left > 0 ? (int)left : 0) != 1) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error != 0) {
            errno = error;
            return -1;
        }
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unsent_ms, sizeof(unsent_ms));
    int connected = fd;
    fd = -1;
    return connected;
}

/* The first address of the name that takes it. */
static int connect_to_name(struct rpc_dial *dial)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int64_t until_ms = fm_now_mono_ms() + CONNECT_MS;
    int fd = -1, rc = getaddrinfo(dial->host, dial->port, &hints, &found);
    if (rc != 0) {
        set_why(dial, gai_strerror(rc));
        return -1;
    }
    for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next)
        fd = connect_to(a, until_ms);
    if (fd < 0)
        set_why(dial, strerror(errno));
    freeaddrinfo(found);
    return fd;
}

static void *dial_main(void *arg)
{
    static const struct tls_events events = {on_ready, on_failed, on_gone};
    struct rpc_dial *dial = arg;
    struct rpc_dialer *d = dial->dialer;
    int fd = connect_to_name(dial);
    tls_context_refresh(d->context, false);
    if (fd >= 0)
        tls_front_add(d->front, d->context, fd, dial->host, &events, dial);
    else
        on_gone(dial);
    rpc_dialer_free(d);
    return NULL;
}

static void start(struct rpc_dial *dial)
{
    pthread_attr_t attr;
    pthread_t thread;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    keep_dialer(dial->dialer);
    if (pthread_create(&thread, &attr, dial_main, dial) != 0)
        fm_abort("a thread that connects could not be started");
    (void)pthread_attr_destroy(&attr);
}

static void split_target(struct rpc_dial *dial, const char *target)
{
    const char *colon = strrchr(target, ':');
    size_t n = colon != NULL ? (size_t)(colon - target) : strlen(target);
    bool bracketed = n > 1 && target[0] == '[' && target[n - 1] == ']';
    dial->target = fm_xstrdup(target);
    dial->host = fm_xstrdup(target + bracketed);
    dial->host[n - (bracketed ? 2 : 0)] = '\0';
    dial->port = colon != NULL ? dial->target + (colon - target) + 1 : "443";
}

struct rpc_dial *rpc_dial(struct rpc_dialer *d, const char *target, int *ret_fd)
{
    int ends[2];
    socklen_t n = sizeof(uint64_t);
    struct rpc_dial *dial = fm_xcalloc(1, sizeof(*dial));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0 ||
        getsockopt(ends[0], SOL_SOCKET, SO_COOKIE, &dial->cookie, &n) < 0)
        fm_abort("a socket pair could not be made");
    (void)pthread_mutex_init(&dial->lock, NULL);
    dial->refs = 2; /* the caller's, and the connection's until on_gone */
    dial->dialer = d;
    dial->grpc_end = ends[0];
    dial->own_end = ends[1];
    split_target(dial, target);
    rpc_guard_add_to_server(dial->grpc_end, dial->cookie);
    start(dial);
    *ret_fd = ends[0];
    return dial;
}
