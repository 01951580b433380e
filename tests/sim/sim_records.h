/* What must be true of what is stored. */
#ifndef SIM_RECORDS_H
#define SIM_RECORDS_H

#include "sim.h"

/* A unit is about to be applied. */
void check_unit(const struct store_unit *u);
/* What time wakes is woken, and of hosts that are there it is remembered who they are: when nothing has gone
 * wrong for a while. */
void check_rest_of_world(void);

#endif
