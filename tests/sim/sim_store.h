/* The store of the simulation: what store.h promises, in memory, with what a disk and a crash can do to it.
 */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "fermata/v1/types.pb-c.h"
#include "store.h"

struct sim_store;

struct sim_store *sim_store_new(void);
void sim_store_free(struct sim_store *s);
/* Applies a unit to the durable records, whole or not at all; its completion. */
struct store_done *sim_store_apply(struct sim_store *s, struct store_unit *u);
/* A completion that says that the unit failed, whether it was applied or not. */
struct store_done *sim_store_failure(uint64_t tag);
struct store_done *sim_store_query(struct sim_store *s, const struct store_query *q);

/* What is durable now: the number of the last step of a job; its record (NULL: there is no such job), for
 * free_unpacked; how many steps let a task be run again: failed attempts, and what operators did. */
uint32_t sim_store_last_step(struct sim_store *s, const char *job_id);
Fermata__V1__Job *sim_store_head(struct sim_store *s, const char *job_id);
size_t sim_store_attempts(struct sim_store *s, const char *job_id, const char *task_id);
/* How many children the job has, and how many of those have ended. */
void sim_store_count_kids(struct sim_store *s, const char *job_id, size_t *ret_all, size_t *ret_ended);
/* Whether it is remembered that the host takes no new work. */
bool sim_store_is_cordoned(struct sim_store *s, const char *host_id);
/* Whether a request id was claimed. */
bool sim_store_has_request(struct sim_store *s, const char *scope, const char *request_id);

#endif
