/* The record of a new job, for those who make jobs. */
#ifndef FM_CORE_METHODS_JOBS_SUBMIT_H
#define FM_CORE_METHODS_JOBS_SUBMIT_H

#include <stdint.h>

#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"

struct core;
struct flow_def;
struct job;

/* The record of a new job. */
Fermata__V1__Job *job_new_head(struct core *c, const struct job *job, const Fermata__V1__SubmitJobRequest *r,
                               const char *flow_name, uint32_t version, struct flow_def *def);

#endif
