/* Tasks whose loss must not go unnoticed (on_lost): announced attempts of which the outcome is unknown. */
#ifndef FM_CORE_JOBS_LOST_H
#define FM_CORE_JOBS_LOST_H

#include <stdbool.h>

#include "err.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "google/protobuf/struct.pb-c.h"

struct core;
struct host;
struct job;

void lost_on_intent(struct core *c, struct host *h, const Fermata__V1__Intent *m);
/* The same, and it is known that the task need not be what its hosts died of. True when with that the job
 * need not be alone on its host any more. */
bool lost_task_known(struct job *job, const char *task_id);
/* The death of the host's daemon is certified: the tasks that were at work are counted. Before its jobs
 * leave.
 */
void lost_certified(struct core *c, struct host *h, const Fermata__V1__CertifyDeathRequest *q);
/* The host says that the task that it announced has not begun. */
void lost_unstarted(struct job *job, const char *task_id);
/* The job leaves its host, or goes on after it has failed: of what was announced and has no step it is not
 * known what it has done. Asks, or has the tasks fail. */
void lost_tasks(struct core *c, struct job *job);
/* The job has ended for good. */
void lost_forget(struct job *job);
/* Checks the answer to a pause with reason OUTCOME_UNKNOWN. */
int lost_check_answer(const Google__Protobuf__Value *answer, struct fm_err *err) FM_MUST_CHECK;
void lost_answer(struct core *c, struct job *job, const Fermata__V1__Pause *p,
                 const Google__Protobuf__Value *answer, const char *by);

#endif
