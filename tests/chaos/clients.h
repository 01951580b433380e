/* The clients of a run: each submits a job, sends inputs to it, pauses, answers, cancels, looks at it until
 * it has ended, and submits the next one. What was refused without a reason, or seen to go back, is a
 * violation. */
#ifndef FM_CHAOS_CLIENTS_H
#define FM_CHAOS_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "rpc.h"

/* Of the main thread. The loop must run already. */
void clients_start(struct rpc_loop *l, const char *target, unsigned n, uint64_t seed);
/* No new jobs. */
void clients_finish(void);
/* How many have a job that has not ended. */
unsigned clients_busy(void);
/* Says what those wait for. */
void clients_describe(void);
/* After they have finished: the rest. */
void clients_free(void);

#endif
