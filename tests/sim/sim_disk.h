/* The disk of the simulated coordinator. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "sim.h"

/* For struct core_io. */
void disk_commit(void *arg, struct store_unit *unit);
void disk_read(void *arg, const struct store_query *query);
/* Commits what was submitted, or fails. */
void disk_flush(void);
/* Carries out a query; its answer is on its way. */
void disk_query(struct event *e);
/* The coordinator has crashed: of what was submitted and not committed at most the first units are kept. */
void disk_crash(void);

#endif
