/* What must be true of the simulated jobs. */
#ifndef SIM_ORACLE_H
#define SIM_ORACLE_H

#include "fermata/v1/jobs.pb-c.h"
#include "sim.h"

/* A handler with effects begins. */
void check_effect(const char *job_id, const char *routine, const char *task_id, uint32_t epoch);
/* A handler begins that must not be repeated unnoticed. */
/* A task begins that ends its host in a moment. */
void plan_kill(const char *job_id, const char *task_id, uint32_t epoch);
void check_once(const char *job_id, const char *task_id, uint32_t epoch);
/* A person lets a task run again by answering a question. */
void grant(const char *job_id, const char *pause_id, const char *task_id);
/* A person lets a task pass its breakpoint. */
void release(const char *job_id, const char *task_id);
/* Whether the coordinator has an open stream of the host, and has heard of it lately: then it is not dead. */
bool host_talks(size_t host);
/* Whether the job may be FAILED for a while: then its client lets it go on. */
bool plan_may_fail(const struct sim_plan *p);
/* A PauseJob that was sent at this time was answered. */
void check_paused(size_t j, int64_t at, const Fermata__V1__PauseJobResponse *r);
void check_final(size_t j, const Fermata__V1__Job *h);
void check_history(size_t j, const Fermata__V1__GetHistoryResponse *r);
/* Child jobs, when their parents have ended. False: they have not ended yet. */
bool check_kids(void);
/* No request waits for its reply when nothing has gone wrong for a while. */
void check_ops(void);

#endif
