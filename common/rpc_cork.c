/* Corks: what a turn says to the calls of one connection leaves it in few, full packets. gRPC writes each
 * call's messages by themselves, and a packet of its own for each is what costs most in sending them. The
 * socket of a connection is not to be had from gRPC; it is the one of this process that has the connection's
 * peer. When it is not found, or is no TCP socket, everything goes out as it is. On the loop's thread. */
#define _GNU_SOURCE
#include "rpc_cork.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <uthash.h>

#include "clock.h"
#include "mem.h"

#define SEARCH_MS 1000 /* no more often is the table of open files gone through */

struct rpc_cork {
    UT_hash_handle hh;
    struct rpc_corks *corks;
    struct rpc_cork *next; /* among those of this turn */
    size_t calls, messages;
    int fd; /* -1: not known */
    bool set;
    char peer[];
};

/* gRPC's name of the peer of a socket, or -1. */
static int name_peer(int fd, char *out, size_t n)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } a;
    socklen_t len = sizeof(a);
    char ip[INET6_ADDRSTRLEN];
    if (getpeername(fd, &a.any, &len) < 0)
        return -1;
    if (a.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr)) {
        const uint8_t *v4 = a.v6.sin6_addr.s6_addr + 12;
        snprintf(out, n, "ipv4:%u.%u.%u.%u:%u", v4[0], v4[1], v4[2], v4[3], ntohs(a.v6.sin6_port));
    } else if (a.any.sa_family == AF_INET) {
        snprintf(out, n, "ipv4:%s:%u", inet_ntop(AF_INET, &a.v4.sin_addr, ip, sizeof(ip)),
                 ntohs(a.v4.sin_port));
    } else if (a.any.sa_family == AF_INET6) {
        snprintf(out, n, "ipv6:%%5B%s%%5D:%u", inet_ntop(AF_INET6, &a.v6.sin6_addr, ip, sizeof(ip)),
                 ntohs(a.v6.sin6_port));
    } else {
        return -1;
    }
    return 0;
}

static bool is_socket_of(int fd, const char *peer)
{
    char name[RPC_PEER_BYTES];
    return fd >= 0 && name_peer(fd, name, sizeof(name)) == 0 && strcmp(name, peer) == 0;
}

static void find_sockets(struct rpc_corks *corks)
{
    int64_t now_ms = fm_now_mono_ms();
    if (corks->searched_ms != 0 && now_ms - corks->searched_ms < SEARCH_MS)
        return;
    corks->searched_ms = now_ms;
    DIR *d = opendir("/proc/self/fd");
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char peer[RPC_PEER_BYTES];
        int fd = atoi(e->d_name);
        struct rpc_cork *c = NULL;
        if (e->d_name[0] != '.' && name_peer(fd, peer, sizeof(peer)) == 0)
            HASH_FIND_STR(corks->all, peer, c);
        if (c != NULL)
            c->fd = fd;
    }
    (void)closedir(d);
}

struct rpc_cork *rpc_cork_get(struct rpc_corks *corks, const char *peer)
{
    struct rpc_cork *c;
    HASH_FIND_STR(corks->all, peer, c);
    if (c == NULL) {
        size_t n = strlen(peer) + 1;
        c = fm_xcalloc(1, sizeof(*c) + n);
        c->corks = corks;
        c->fd = -1;
        memcpy(c->peer, peer, n);
        HASH_ADD_STR(corks->all, peer, c);
    }
    c->calls++;
    return c;
}

void rpc_cork_put(struct rpc_cork *c)
{
    if (--c->calls > 0)
        return;
    HASH_DEL(c->corks->all, c);
    free(c);
}

static void set(struct rpc_cork *c, int on)
{
    c->set = setsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)) == 0 && on;
}

void rpc_cork_count(struct rpc_cork *c)
{
    if (c->messages++ > 0)
        return;
    c->next = c->corks->turn;
    c->corks->turn = c;
    c->calls++;
}

void rpc_corks_set(struct rpc_corks *corks)
{
    for (struct rpc_cork *c = corks->turn; c != NULL; c = c->next) {
        if (c->messages < RPC_CORK_MESSAGES)
            continue;
        if (!is_socket_of(c->fd, c->peer)) {
            c->fd = -1;
            find_sockets(corks);
        }
        if (c->fd >= 0)
            set(c, 1);
    }
}

void rpc_corks_pull(struct rpc_corks *corks)
{
    while (corks->turn != NULL) {
        struct rpc_cork *c = corks->turn;
        corks->turn = c->next;
        c->messages = 0;
        if (c->set)
            set(c, 0);
        rpc_cork_put(c);
    }
}
