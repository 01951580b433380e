/* Sockets that listen: their addresses, how many connections they may have, who these are of. */
#ifndef FM_RPC_LISTEN_H
#define FM_RPC_LISTEN_H

#include <stddef.h>
#include <sys/socket.h>

#include "err.h"

/* Listens on all addresses of the name in HOST:PORT, all on one port; for 0.0.0.0 also on those
 * of IPv6, as far as there are any. Appends the sockets (non-blocking) to `fds`, of which `max`
 * fit. Returns 0 and the port, or -FM_UNAVAILABLE. */
int rpc_listen(const char *address, int *fds, size_t max, size_t *n, int *ret_port,
               struct fm_err *err) FM_MUST_CHECK;

/* How the address of a unix socket begins; then comes its path. */
#define RPC_UNIX "unix:"
/* Listens on a unix socket, which only the user of this process may connect to. A file that a dead process
 * has left there is replaced, anything else is not. Returns 0 and the socket, or -FM_UNAVAILABLE. */
int rpc_listen_unix(const char *path, int *ret_fd, struct fm_err *err) FM_MUST_CHECK;

#define RPC_PEER_BYTES 96
/* "ipv4:127.0.0.1:40000", "ipv6:[::1]:40000", or "unknown". */
void rpc_name_peer(const struct sockaddr_storage *from, socklen_t n, char out[RPC_PEER_BYTES]);

/* Descriptors for the store, logs, and connections that are being closed. */
#define RPC_SPARE_FILES 256
/* Raises RLIMIT_NOFILE to its hard limit, and says how many of the wanted connections it allows. */
size_t rpc_most_connections(size_t wanted);

#endif
