/* The store of the simulation: what store.h promises, in memory, with what a disk and a crash can do to it.
 */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "fermata/v1/hosts.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "store.h"

struct sim_store;

struct sim_store *sim_store_new(void);
void sim_store_free(struct sim_store *s);
/* Applies a unit to the durable records, whole or not at all; its completion. */
struct store_done *sim_store_apply(struct sim_store *s, struct store_unit *u);
/* A completion that says that the unit failed with this code, whether it was applied or not. */
struct store_done *sim_store_failure(uint64_t tag, int code);
struct store_done *sim_store_query(struct sim_store *s, const struct store_query *q);

/* ---- what is durable now ---- */

/* The numbers of the last step and of the last input of a job; 0: there is none. */
uint32_t sim_store_last_step(struct sim_store *s, const char *job_id);
uint32_t sim_store_last_input(struct sim_store *s, const char *job_id);
/* Its record, for free_unpacked; NULL: there is no such job. */
Fermata__V1__Job *sim_store_head(struct sim_store *s, const char *job_id);
/* How many steps let a task be run again: failed attempts, and what operators did. */
size_t sim_store_attempts(struct sim_store *s, const char *job_id, const char *task_id);
/* How many calls of models the ledger counts for it. */
uint64_t sim_store_calls(struct sim_store *s, const char *job_id);
/* How many children the job has, and how many of those have ended. */
void sim_store_count_kids(struct sim_store *s, const char *job_id, size_t *ret_all, size_t *ret_ended);
/* Calls `visit` with each job's record and wake time. */
void sim_store_each_job(struct sim_store *s,
                        void (*visit)(void *arg, const Fermata__V1__Job *head, int64_t wake_ms), void *arg);
/* What is remembered of the host, for free_unpacked; NULL: nothing. */
Fermata__V1__Host *sim_store_host(struct sim_store *s, const char *host_id);
/* Whether it is remembered that the host takes no new work. */
bool sim_store_is_cordoned(struct sim_store *s, const char *host_id);
/* Whether there is a flow of this name. */
bool sim_store_has_flow(struct sim_store *s, const char *name);
/* Whether a request id was claimed. */
bool sim_store_has_request(struct sim_store *s, const char *scope, const char *request_id);

#endif
