#ifndef SIM_TYPES_H
#define SIM_TYPES_H

#include "registry.h"

/* Adds the routine types of the simulation. */
int sim_add_types(struct registry *r, struct fm_err *err);

/* Called when a handler with effects begins: what it does outside cannot be taken back. */
extern void (*sim_on_effect)(const char *job_id, const char *routine, const char *task_id, uint32_t epoch);
/* Called when a handler begins whose policy on_lost may be ask or fail. */
/* A task that ends its host begins. */
extern void (*sim_on_kill)(const char *job_id, const char *task_id, uint32_t epoch);
extern void (*sim_on_once)(const char *job_id, const char *task_id, uint32_t epoch);

#endif
