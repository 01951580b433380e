/* Sockets that listen. */
#ifndef FM_RPC_LISTEN_H
#define FM_RPC_LISTEN_H

#include <stddef.h>

#include "err.h"

/* Listens on all addresses of the name in HOST:PORT, all on one port; for 0.0.0.0 also on those
 * of IPv6, as far as there are any. Appends the sockets (non-blocking) to `fds`, of which `max`
 * fit. Returns 0 and the port, or -FM_UNAVAILABLE. */
int rpc_listen(const char *address, int *fds, size_t max, size_t *n, int *ret_port,
               struct fm_err *err) FM_MUST_CHECK;

#endif
