/* The guard at gRPC's mouth: what comes on a connection is read by rpc_frames before gRPC gets it.
 *
 * gRPC reads its sockets with recvmsg(2) and nothing else. This file defines that function for the
 * process: it does what libc's does, and of the descriptors that are guarded it looks at the bytes
 * on their way. A copying socket pair in front of gRPC was tried as well: docs/hostile.md says what
 * it cost. Should gRPC ever read in another way, the process ends at the first call.
 *
 * Any thread; one lock for all, which is held while bytes are looked at. */
#ifndef FM_RPC_GUARD_H
#define FM_RPC_GUARD_H

#include <stdbool.h>
#include <stdint.h>

/* Guards a new connection, before gRPC has it. The cookie is the socket's (SO_COOKIE): the number
 * of the descriptor may belong to another one later. */
void rpc_guard_add(int fd, uint64_t cookie);
/* The same for one to a server. */
void rpc_guard_add_to_server(int fd, uint64_t cookie);
/* How many bytes have passed it. */
uint64_t rpc_guard_bytes(int fd, uint64_t cookie);
/* Why the guard has cut the connection off (a constant text), or NULL when it has not. */
const char *rpc_guard_verdict(int fd, uint64_t cookie);
/* The descriptor is closed. */
void rpc_guard_remove(int fd, uint64_t cookie);
/* A stream of it has become a call; false when none has begun there: the call is of a connection
 * that had the same descriptor before. */
bool rpc_guard_taken(int fd, uint64_t cookie);
/* Resets a connection, of any kind of socket: what has come and was not read is not read any more. */
void rpc_guard_reset(int fd);

#endif
