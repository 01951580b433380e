/* Reading jobs into memory: when somebody asks for one, and again after a unit of it has failed. */
#ifndef FM_CORE_JOBS_LOAD_H
#define FM_CORE_JOBS_LOAD_H

#include "err.h"

struct core;
struct job;
struct op;

/* The job, once it is in memory and ready; the frame lets it rest after the handler. Returns 0,
 * OP_WAITS (the op runs again then, or fails when there is none), or -code. */
int job_for_op(struct core *c, struct op *op, const char *job_id, struct job **ret,
               struct fm_err *err) FM_MUST_CHECK;
void job_start_loading(struct core *c, struct job *job);
/* A unit of the job failed: what is in memory is ahead of the disk. Drops it and reads again. */
void job_reload(struct core *c, struct job *job, struct fm_err *err);
void load_retry(struct core *c);

#endif
