/* Tasks that were at work when host daemons died, in the record of their job: counted until the task has a
 * step or somebody decides about it. Changes the record only; the caller says that it is dirty. */
#ifndef FM_LOSSES_H
#define FM_LOSSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fermata/v1/types.pb-c.h"

/* What a flow's policies say without saying max_losses. */
#define LOSSES_DEFAULT 3

/* Of the task; NULL: it has lost no host. */
Fermata__V1__TaskLoss *loss_find(const Fermata__V1__Job *head, const char *task_id);
/* A daemon has died with the task at work. Of `death` everything is copied. Returns what is known of the task
 * now; NULL: of too many others in the job. */
Fermata__V1__TaskLoss *loss_note(Fermata__V1__Job *head, const char *task_id, const char *routine,
                                 const Fermata__V1__HostDeath *death);
/* True when something was known of it. */
bool loss_forget(Fermata__V1__Job *head, const char *task_id);
void loss_forget_all(Fermata__V1__Job *head);
/* A copy of what is known of a task, for another job. */
void loss_copy(Fermata__V1__Job *to, const Fermata__V1__TaskLoss *loss);
/* True when the task will be run though a daemon has died with it. */
bool loss_tries(const Fermata__V1__Job *head, const Fermata__V1__TaskLoss *loss);
/* True when a task that is to be tried alone will be run (and not fail: lost_tasks): the job is to be alone
 * on its host. */
bool loss_is_suspect(const Fermata__V1__Job *head);
/* The most deaths that one of its tasks had. */
uint32_t loss_most_deaths(const Fermata__V1__Job *head);
/* How many losses a task of the routine may have; 0: any number. `flow` may be NULL. */
uint32_t loss_limit_of(const Fermata__V1__Flow *flow, const Fermata__V1__Routine *r);
uint32_t loss_limit(const Fermata__V1__Flow *flow, const char *routine);
/* "it has ended 3 host daemons (…)" for the error of its failure, whole characters. */
void loss_text(const Fermata__V1__TaskLoss *loss, char *ret, size_t n);

#endif
