/* The jobs in memory, and the small cache of those that wait. */
#ifndef FM_CORE_JOBS_TABLE_H
#define FM_CORE_JOBS_TABLE_H

#include "err.h"
#include "id.h"

struct core;
struct job;

/* Runs the parked requests of a job that is ready. */
void job_run_ops(struct core *c, struct job *job);
struct job *job_in_memory(struct core *c, const struct fm_id *id);
/* A new record of a job that is still to be loaded. */
struct job *job_add_loading(struct core *c, const struct fm_id *id);
/* The job may have become useless to keep: frees it, or puts it into the cache. Call at the end of whatever
 * touched it. */
void job_rest(struct core *c, struct job *job);
void job_count_bytes(struct core *c, struct job *job);
void job_remove(struct core *c, struct job *job);
/* Ends all calls that wait for something of the job. */
void job_fail_ops(struct core *c, struct job *job, const struct fm_err *err);
/* Somebody uses it. */
void job_leave_cache(struct core *c, struct job *job);
/* Frees all jobs, with their units and the calls that wait for them. */
void jobs_free(struct core *c);

#endif
