/* Whether a job can hold one more input. What is accepted never fails the job later (model/job_state.h): so
 * what is not to be held is refused here, or waits. */
#ifndef FM_CORE_JOBS_ADMIT_H
#define FM_CORE_JOBS_ADMIT_H

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

#include "err.h"

struct core;
struct job;

#define RETRY_FULL_MS 1000 /* when to try again what something full has refused */

enum admitted {
    ADMITTED_INPUT,
    ADMITTED_ANSWER /* may have more: a job full of inputs that only wait for the answer must get it */
};

/* Whether the job can hold one more input with this message (may be NULL) in it, besides its state, its open
 * questions, the inputs that wait, and the results of children that wait. `field` is named if not. */
int admit_input(const struct core *c, const struct job *job, enum admitted what, const char *field,
                const ProtobufCMessage *message, struct fm_err *err) FM_MUST_CHECK;

/* Whether there is room for a child's result of so many bytes, beside `more` that are to come: always when no
 * input waits, for then nothing would make room. */
bool admit_result(const struct core *c, const struct job *job, size_t bytes, size_t more);

#endif
