/* What the simulated clients make of the replies they get. */
#ifndef SIM_REPLIES_H
#define SIM_REPLIES_H

#include "sim.h"

/* The answer to a request; err NULL: it was done. */
void take_reply(uint64_t ticket, struct fm_bytes r, const struct fm_err *err);

#endif
