/* The journal: steps are folded into the state and stored, what they used is counted. */
#ifndef FM_CORE_JOBS_JOURNAL_H
#define FM_CORE_JOBS_JOURNAL_H

#include "err.h"
#include "fermata/v1/types.pb-c.h"

struct core;
struct job;
struct task_item;

void job_set_error(struct job *job, const char *code, const char *message, const char *routine,
                   const char *task_id);
/* Folds a step (whose `task` must be NULL) into the state and journals it, sealed with the task it had. As
 * job_state_apply. */
int job_apply_step(struct core *c, struct job *job, const Fermata__V1__Step *step,
                   struct task_item **ret_task, struct fm_err *err) FM_MUST_CHECK;
/* Counts what the step used in the ledger, in the job's unit. */
void usage_count(struct core *c, struct job *job, const Fermata__V1__Step *step);

#endif
