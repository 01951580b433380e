/* What gRPC's channelz service says of a socket. Any thread. */
#ifndef FM_RPC_CHANNELZ_H
#define FM_RPC_CHANNELZ_H

#include <stdint.h>

/* The number of the socket that has just been handed over with this descriptor; 0 when it is
 * closed already. gRPC numbers sockets, among other things, in the order in which they are
 * handed over: `last` is the last number that was found, 0 at first. */
intptr_t rpc_channelz_find(int fd, intptr_t *last);
/* How many streams have been started on the socket; -1 when that is not known. */
int64_t rpc_channelz_streams(intptr_t id);

#endif
