/* Sockets that listen. See rpc_listen.h. */
#include "rpc_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "rpc.h"

#define BACKLOG 4096
#define HOST_BYTES 256

/* The sockets so far. */
struct sockets {
    int *fds;
    size_t max, *n;
};

/* A socket on one address, with this port when the address has none. Returns the port, or -1. */
static int listen_on(struct sockets *s, const struct addrinfo *to, int port)
{
    struct sockaddr_storage here;
    socklen_t n = sizeof(here);
    int one = 1, zero = 0;
    if (*s->n == s->max)
        return -1;
    fm_autoclose int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    memcpy(&here, to->ai_addr, to->ai_addrlen);
    in_port_t *at = to->ai_family == AF_INET6 ? &((struct sockaddr_in6 *)&here)->sin6_port
                                              : &((struct sockaddr_in *)&here)->sin_port;
    if (*at == 0)
        *at = htons((uint16_t)port);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (to->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (bind(fd, (struct sockaddr *)&here, to->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&here, &n) < 0)
        return -1;
    s->fds[(*s->n)++] = fd;
    fd = -1;
    return ntohs(*at);
}

/* All addresses that the name has; those without a port get this one, if it is not 0. Returns
 * the port, or 0. */
static int listen_on_all(struct sockets *s, const char *host, const char *service, int port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return port;
    for (const struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        int got = listen_on(s, a, port);
        port = port > 0 || got < 0 ? port : got;
    }
    freeaddrinfo(found);
    return port;
}

/* Splits HOST:PORT; the port begins behind the returned colon. NULL: there is none. */
static const char *split_address(const char *address, char host[HOST_BYTES])
{
    const char *colon = strrchr(address, ':');
    size_t n_host = colon == NULL ? 0 : (size_t)(colon - address);
    bool bracketed = n_host > 1 && address[0] == '[' && address[n_host - 1] == ']';
    (void)snprintf(host, HOST_BYTES, "%.*s", (int)(bracketed ? n_host - 2 : n_host),
                   bracketed ? address + 1 : address);
    return colon;
}

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
    return a->sa_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET));
}

bool rpc_is_local(const char *address)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[HOST_BYTES];
    if (strncmp(address, RPC_UNIX, strlen(RPC_UNIX)) == 0)
        return true;
    const char *colon = split_address(address, host);
    if (colon == NULL || getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return false;
    bool local = found != NULL;
    for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
        local = local && is_loopback(a->ai_addr);
    freeaddrinfo(found);
    return local;
}

int rpc_listen(const char *address, int *fds, size_t max, size_t *n, int *ret_port, struct fm_err *err)
{
    char host[HOST_BYTES];
    struct sockets s = {fds, max, n};
    int port = 0;
    const char *colon = split_address(address, host);
    if (colon != NULL && strcmp(host, "0.0.0.0") == 0)
        port = listen_on_all(&s, "::", colon + 1, 0); /* takes those of IPv4, too */
    if (port == 0 && colon != NULL)
        port = listen_on_all(&s, host, colon + 1, 0);
    if (port == 0)
        return fm_err_set(err, FM_UNAVAILABLE, "listen",
                          "cannot listen on %s: the address is in use, not one of this machine, or unknown",
                          address);
    *ret_port = port;
    return 0;
}

/* ---- unix sockets ---- */

static bool is_dead(const struct sockaddr_un *at)
{
    fm_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 && errno == ECONNREFUSED;
}

/* What is left of a process that was killed is in the way of the next one. */
static void remove_dead(const struct sockaddr_un *at)
{
    struct stat st;
    if (lstat(at->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) && is_dead(at))
        (void)unlink(at->sun_path);
}

int rpc_listen_unix(const char *path, int *ret_fd, struct fm_err *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (path[0] != '/' || strlen(path) >= sizeof(at.sun_path))
        return fm_err_set(err, FM_UNAVAILABLE, "listen",
                          "cannot listen on unix:%s: expected an absolute path of less than %zu bytes", path,
                          sizeof(at.sun_path));
    memcpy(at.sun_path, path, strlen(path));
    remove_dead(&at);
    fm_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177); /* there is no moment at which others could connect */
    int rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&at, sizeof(at));
    int error = errno;
    (void)umask(before);
    if (rc == 0 && listen(fd, BACKLOG) < 0) {
        rc = -1;
        error = errno;
    }
    if (rc < 0)
        return fm_err_set(err, FM_UNAVAILABLE, "listen", "cannot listen on unix:%s: %s", path,
                          strerror(error));
    *ret_fd = fd;
    fd = -1;
    return 0;
}

void rpc_name_peer(const struct sockaddr_storage *from, socklen_t n, char out[RPC_PEER_BYTES])
{
    char host[64], port[8];
    if (getnameinfo((const struct sockaddr *)from, n, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(out, RPC_PEER_BYTES, "unknown");
        return;
    }
    bool v4 = from->ss_family == AF_INET || strncmp(host, "::ffff:", 7) == 0;
    const char *start = from->ss_family != AF_INET && v4 ? host + 7 : host;
    snprintf(out, RPC_PEER_BYTES, v4 ? "ipv4:%s:%s" : "ipv6:[%s]:%s", start, port);
}

size_t rpc_most_connections(size_t wanted)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return wanted;
    if (r.rlim_cur < r.rlim_max) {
        rlim_t before = r.rlim_cur;
        r.rlim_cur = r.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &r) < 0)
            r.rlim_cur = before;
    }
    if (r.rlim_cur == RLIM_INFINITY || r.rlim_cur >= wanted + RPC_SPARE_FILES)
        return wanted;
    size_t n =
        r.rlim_cur > 2 * RPC_SPARE_FILES ? (size_t)r.rlim_cur - RPC_SPARE_FILES : (size_t)r.rlim_cur / 2;
    FM_LOG(INFO, RPC, "the limit of open files leaves fewer connections than configured",
           FM_U64("files", r.rlim_cur), FM_U64("connections", n), FM_U64("configured", wanted));
    return n;
}
