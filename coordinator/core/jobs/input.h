/* Inputs: data that came from outside, and the job's own until a step takes them. */
#ifndef FM_CORE_JOBS_INPUT_H
#define FM_CORE_JOBS_INPUT_H

#include <stdint.h>

#include "fermata/v1/types.pb-c.h"

struct core;
struct job;

/* Adds an input: to the job's list, to its unit. Returns its number. */
uint32_t job_add_input(struct core *c, struct job *job, Fermata__V1__Task *task);

#endif
