/* The connections of a server: a thread of their own accepts them, hands them to gRPC and keeps
 * an eye on what each of them costs. gRPC's own listener (1.51) stops for ever at the first
 * accept that fails, for want of file descriptors for example, and bounds neither connections
 * nor what a peer makes it buffer. What comes passes rpc_guard on its way to gRPC. With TLS gRPC gets
 * one end of a socket pair, and tls_front has the other. */
#ifndef FM_RPC_CONN_H
#define FM_RPC_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include <grpc/grpc.h>

#include "err.h"
#include "principal.h"

struct rpc_conns;
struct rpc_conn;
struct rpc_bound;
struct tls_context;

/* The creator keeps the server, which must outlive this. max_conns is lowered to what
 * RLIMIT_NOFILE allows, which is raised to its hard limit; timeout_ms: how long a peer may leave
 * sent bytes unacknowledged. */
struct rpc_conns *rpc_conns_new(grpc_server *server, size_t max_conns, int timeout_ms);
/* Before rpc_conns_start: those by TCP speak TLS. The context is theirs from then on. */
void rpc_conns_secure(struct rpc_conns *cs, struct tls_context *context);
/* Any thread: the certificates are read anew. */
void rpc_conns_reload(struct rpc_conns *cs);
/* Binds HOST:PORT or unix:/PATH; port 0 picks one. Returns 0 and the port, or -FM_UNAVAILABLE. */
int rpc_conns_listen(struct rpc_conns *cs, const char *address, int *ret_port,
                     struct fm_err *err) FM_MUST_CHECK;
/* Begins to accept. */
void rpc_conns_start(struct rpc_conns *cs);
/* Closes the listeners; connections that are there stay. Waits for the thread. May be repeated. */
void rpc_conns_stop(struct rpc_conns *cs);
/* After rpc_conns_stop, and when no call is left. */
void rpc_conns_free(struct rpc_conns *cs);

/* ---- for calls; any thread ---- */

/* The connection whose name gRPC gives as a call's peer, with one more call; NULL when it is
 * gone already. */
struct rpc_conn *rpc_conn_begin_call(struct rpc_conns *cs, const char *grpc_peer);
/* So many bytes of message have come to their call. */
void rpc_conn_received(struct rpc_conns *cs, struct rpc_conn *conn, size_t bytes);
/* A call is over, and with it the pointer; `reset`: the peer did not wait for its end. */
void rpc_conn_end_call(struct rpc_conns *cs, struct rpc_conn *conn, bool reset);
/* With true, what is written to it is held back until the same is said with false (200 ms at
 * most, as tcp(7) says of TCP_CORK). False: it is gone. */
bool rpc_conn_cork(struct rpc_conns *cs, struct rpc_conn *conn, bool on);
/* Shuts it; its calls end soon. */
void rpc_conn_shut(struct rpc_conns *cs, struct rpc_conn *conn, const char *why);
/* What the calls of a connection keep there; of the loop's thread. */
struct rpc_conn_calls {
    size_t in_hand;
    struct rpc_bound *waiting;
    size_t writes; /* of this turn */
    bool corked;
    struct rpc_conn *next_in_turn;
};
struct rpc_conn_calls *rpc_conn_calls(struct rpc_conn *conn);
/* "ipv4:127.0.0.1:40000"; as long as a call of it is open. */
const char *rpc_conn_peer(const struct rpc_conn *conn);
/* Who is at its other end; as long. */
const struct fm_principal *rpc_conn_principal(const struct rpc_conn *conn);

#endif
