/* What the hosts have of the jobs. */
#ifndef SIM_COPIES_H
#define SIM_COPIES_H

#include "sim.h"

/* A host has taken this message of the core: if it acknowledges steps, the host's data are compared with the
 * journal. */
void check_copies(size_t host, struct fm_bytes message);

#endif
