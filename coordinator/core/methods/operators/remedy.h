/* remedy.h */
#ifndef FM_CORE_METHODS_OPERATORS_REMEDY_H
#define FM_CORE_METHODS_OPERATORS_REMEDY_H

#include <stdbool.h>

#include "err.h"
#include "fermata/v1/jobs.pb-c.h"

struct core;
struct job;
struct op;

/* An operator lets a FAILED job go on. */
void job_retry_failed(struct core *c, struct job *job);
/* Whether the job's flow has the routine. */
bool job_has_routine(const struct job *job, const char *routine);
void remedy_request(struct core *c, struct op *op);
/* Changes keys of the shared data (routine "") or of a routine's state. */
int remedy_patch(struct core *c, struct job *job, const Fermata__V1__PatchStateRequest *r,
                 struct fm_err *err);

#endif
