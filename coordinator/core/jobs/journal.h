/* The journal: steps are folded into the state and stored, what they used is counted; entries say who did
 * what. */
#ifndef FM_CORE_JOBS_JOURNAL_H
#define FM_CORE_JOBS_JOURNAL_H

#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "who.h"

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

/* Adds an entry to the journal, in the job's unit: what has happened is told with the same commit. `more`
 * (may be NULL) says hosts, pause, task and epoch. Where no step and no entry has shown the present
 * assignment yet, this shows it first. */
void job_note(struct core *c, struct job *job, Fermata__V1__EntryKind kind, struct who who,
              const Fermata__V1__Entry *more);
/* The same of what has to do with the job's present host, and with a pause and a task (NULL: none). */
void job_note_here(struct core *c, struct job *job, Fermata__V1__EntryKind kind, struct who who,
                   const char *pause_id, const char *task_id);
/* It leaves its host: an assignment that nothing has shown yet is shown now, unless the host has not taken
 * it up. */
void job_note_left(struct core *c, struct job *job);

#endif
