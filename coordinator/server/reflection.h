/* The methods of grpc.reflection.v1 and v1alpha. */
#ifndef FM_REFLECTION_H
#define FM_REFLECTION_H

#include <stddef.h>

#include "rpc.h"

extern const struct rpc_method reflection_methods[];
extern const size_t n_reflection_methods;

#endif
