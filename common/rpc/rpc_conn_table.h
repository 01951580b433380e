/* Which connections there are; for rpc_conn.c and rpc_accept.c. */
#ifndef FM_RPC_CONN_TABLE_H
#define FM_RPC_CONN_TABLE_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <grpc/grpc.h>

#include "principal.h"
#include "rpc_conn.h"
#include "rpc_listen.h"

struct tls_context;
struct tls_front;

#define MAX_LISTENERS 8
#define CALL_CREDIT 16384   /* the largest header block of a call */
#define RESETS_AT_ONCE 8192 /* calls that a peer may have given up before they were answered */

struct rpc_conn {
    struct rpc_conn *prev, *next; /* while `active` */
    bool active;                  /* something has come since it was last looked at, or may have */
    int fd;
    uint64_t cookie;
    char peer[RPC_PEER_BYTES];
    struct fm_principal principal;
    bool is_tcp;  /* else a unix socket: to a process of this machine, or to the front */
    size_t calls; /* open */
    struct rpc_conn_calls of_calls;
    bool gone, shut;
    int64_t idle_since_ms;
    int64_t resets_left, resets_ms;
    uint64_t accepted; /* calls that came here */
    /* debts */
    int64_t looked_ms;
    uint64_t received, sent; /* when last looked at */
    uint64_t credit;         /* since then */
    uint64_t debt;
};

struct rpc_conns {
    grpc_server *server;
    grpc_server_credentials *creds;
    int timeout_ms;
    int listeners[MAX_LISTENERS];
    size_t n_listeners;
    char *socket_file; /* of a unix socket that listens; NULL: none */
    struct tls_context *context;
    struct tls_front *front; /* NULL: without TLS */
    int wake, epoll;
    pthread_t thread;
    bool running;
    atomic_bool stop;
    /* the thread's */
    size_t max;
    int64_t look_ms, sweep_ms, complain_ms, trim_ms;
    int trims_left;
    uint64_t freed_bytes;  /* what the connections that are over have cost, about */
    atomic_uint lingering; /* connections that are over, and have calls that are not */
    /* under the lock */
    pthread_mutex_t lock;
    struct rpc_conn **by_fd;
    struct rpc_conn *active;
    size_t n_fds, live;
    int next_fd;             /* among those of FILES_RANGE */
    struct newcomer *shaken; /* their handshakes are done */
    uint64_t debts;          /* of all that are not shut */
    int64_t said_ms;
    unsigned said, unsaid; /* since then: lines about connections that are shut */
};

/* Who has come, and from where. */
struct newcomer {
    struct newcomer *next; /* while it waits for the accepting thread, with its descriptor */
    int fd;
    bool let_in; /* its handshake is done */
    struct rpc_conns *cs;
    struct sockaddr_storage from;
    socklen_t n;
    char peer[RPC_PEER_BYTES];
    struct fm_principal principal;
};

/* Wakes the accepting thread. Any thread. */
void conns_wake(struct rpc_conns *cs);
/* Says that connections are refused or closed, but not often. The accepting thread. */
void conns_complain(struct rpc_conns *cs, const char *text);

/* ---- with the lock held ---- */

/* The cookie of a descriptor's socket; false: it is none. */
bool conn_cookie_of(int fd, uint64_t *ret);
/* A line about a connection, but not too many: an attacker must not fill the log. */
void conns_say(struct rpc_conns *cs, const char *what, const char *peer, const char *why, uint64_t debt);
/* The one and only entry of a new connection, or NULL. The accepting thread. */
struct rpc_conn *conn_add(struct rpc_conns *cs, int fd, const struct newcomer *who);
/* One more connection: the one that has been without a call for the longest time makes room. False: none
 * does. The accepting thread. */
bool conns_make_room(struct rpc_conns *cs);
/* False, and it is forgotten, when it has been closed. The accepting thread. */
bool conn_still_there(struct rpc_conns *cs, struct rpc_conn *conn);
/* Resets it. */
void conn_shut(struct rpc_conns *cs, struct rpc_conn *conn, const char *why);

#endif
