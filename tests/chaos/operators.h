/* Those who look after the hosts of a run: they cordon and drain hosts and let them in again, and say so
 * until it is acknowledged. */
#ifndef FM_CHAOS_OPERATORS_H
#define FM_CHAOS_OPERATORS_H

#include <stdbool.h>

#include "rpc.h"

enum host_wish { HOST_OPEN, HOST_CORDONED, HOST_DRAINED };

/* All of the main thread. */
void operators_start(struct rpc_loop *l, const char *target);
/* What shall be with this host from now on. */
void operators_want(int host, enum host_wish wish);
/* Says what has not been acknowledged yet. */
void operators_turn(void);
/* Whether all of it was acknowledged. */
bool operators_settled(void);
/* In the end, when all hosts shall be open: that the coordinator shows them so. */
void operators_check(void);
/* When nothing is under way any more. */
void operators_free(void);

#endif
