/* What must be true of what the coordinator says to hosts. */
#ifndef SIM_SAID_H
#define SIM_SAID_H

#include "sim.h"

/* The core says something to a host. */
void check_said(struct conn *k, struct fm_bytes message);

#endif
