/* The methods of HostAgent. */
#ifndef FM_HOST_AGENT_H
#define FM_HOST_AGENT_H

#include <stddef.h>

#include "rpc.h"

extern const struct rpc_method agent_methods[];
extern const size_t n_agent_methods;

#endif
