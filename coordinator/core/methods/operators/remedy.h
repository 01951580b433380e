/* What operators do to a job that is FAILED, for other methods. */
#ifndef FM_CORE_METHODS_OPERATORS_REMEDY_H
#define FM_CORE_METHODS_OPERATORS_REMEDY_H

#include "who.h"

struct core;
struct job;

/* An operator lets a FAILED job go on. */
void job_retry_failed(struct core *c, struct job *job, struct who who);

#endif
