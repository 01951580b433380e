#ifndef SIM_TYPES_H
#define SIM_TYPES_H

#include "registry.h"

/* Adds the routine types of the simulation. */
int sim_add_types(struct registry *r, struct fm_err *err);

#endif
