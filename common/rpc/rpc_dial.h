/* A client's connection by TLS, of which gRPC has the plain end at once: it sees an end when it comes to
 * nothing, and here is said why. Any thread. */
#ifndef FM_RPC_DIAL_H
#define FM_RPC_DIAL_H

#include <stdbool.h>

struct rpc_dialer;
struct rpc_dial;

/* Begins to connect to HOST:PORT, on a thread of its own. Returns the plain end, which is the caller's. */
struct rpc_dial *rpc_dial(struct rpc_dialer *d, const char *target, int *ret_fd);
/* NULL is nothing. */
struct rpc_dial *rpc_dial_ref(struct rpc_dial *dial);
void rpc_dial_unref(struct rpc_dial *dial);
#define RPC_WHY_BYTES 512
/* True when it has failed, and why. */
bool rpc_dial_why(struct rpc_dial *dial, char out[RPC_WHY_BYTES]);

#endif
