/* Whether a job can hold one more input. */
#ifndef FM_CORE_JOBS_ADMIT_H
#define FM_CORE_JOBS_ADMIT_H

#include <protobuf-c/protobuf-c.h>

#include "err.h"

struct core;
struct job;

/* Whether the job can hold one more input with this message (may be NULL) in it, besides its state and the
 * inputs that wait. `field` is named if not. */
int admit_input(const struct core *c, const struct job *job, const char *field,
                const ProtobufCMessage *message, struct fm_err *err) FM_MUST_CHECK;

#endif
