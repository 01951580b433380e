/* Takes connections and hands them to gRPC: those by TCP with TLS when their handshake is done. The accepting
 * thread's. */
#ifndef FM_RPC_ACCEPT_H
#define FM_RPC_ACCEPT_H

#include <stdbool.h>

struct rpc_conns;

/* Takes one connection; false when none waits, or none can be taken now: *ret_pause when that takes a while.
 */
bool rpc_accept_one(struct rpc_conns *cs, int listener, bool *ret_pause);
/* Takes those whose handshakes are done. */
void rpc_take_shaken(struct rpc_conns *cs);

#endif
