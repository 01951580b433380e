/* The store of the simulation: what store.h promises, in memory, with what a disk and a crash can do to it.
 */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "store.h"

struct sim_store;

struct sim_store *sim_store_new(void);
void sim_store_free(struct sim_store *s);
/* Applies a unit to the durable records, whole or not at all; its completion. */
struct store_done *sim_store_apply(struct sim_store *s, struct store_unit *u);
/* A completion that says that the unit failed, whether it was applied or not. */
struct store_done *sim_store_failure(uint64_t tag);
struct store_done *sim_store_query(struct sim_store *s, const struct store_query *q);

/* What is durable now: the number of the last step of a job, and the epoch in its record; 0: there is no such
 * job. */
uint32_t sim_store_last_step(struct sim_store *s, const char *job_id);
uint32_t sim_store_epoch(struct sim_store *s, const char *job_id);
/* Whether a request id was claimed. */
bool sim_store_has_request(struct sim_store *s, const char *scope, const char *request_id);

#endif
