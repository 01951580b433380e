/* The methods of grpc.health.v1. */
#ifndef FM_HEALTH_H
#define FM_HEALTH_H

#include <stddef.h>

#include "rpc.h"

struct server;

extern const struct rpc_method health_methods[];
extern const size_t n_health_methods;

/* Tells watchers that the status changed. */
void health_changed(struct server *s);

#endif
