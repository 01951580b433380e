/* The coordinator's core in the simulation. */
#ifndef SIM_COORD_H
#define SIM_COORD_H

#include "sim.h"

/* Tells the core what time it is. */
void set_time(void);
void start_core(void);
void crash_core(void);
/* A message of a host arrives. */
void to_core(struct event *e);
/* The core notices the end of a stream. */
void core_sees_close(struct event *e);

#endif
