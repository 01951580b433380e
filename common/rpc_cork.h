/* What a turn of the loop says to several calls of one connection leaves together. Used by rpc_server.c, on
 * the loop's thread. */
#ifndef FM_RPC_CORK_H
#define FM_RPC_CORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RPC_CORK_MESSAGES 3 /* fewer of a connection in a turn go out as they are */
#define RPC_PEER_BYTES 80

struct rpc_cork; /* of one connection */

/* Of a server; zero it first. */
struct rpc_corks {
    struct rpc_cork *all, *turn;
    int64_t searched_ms;
};

/* The one of the connection with this peer (as grpc_call_get_peer names it). Each get needs a put. */
struct rpc_cork *rpc_cork_get(struct rpc_corks *corks, const char *peer);
void rpc_cork_put(struct rpc_cork *c);
/* A call of the connection is about to write in this turn. */
void rpc_cork_count(struct rpc_cork *c);
/* After all were counted: holds back what is written to the connections with enough of them. */
void rpc_corks_set(struct rpc_corks *corks);
/* After all have written: lets it go. */
void rpc_corks_pull(struct rpc_corks *corks);

#endif
