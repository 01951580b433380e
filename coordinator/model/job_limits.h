/* Limits of what would go on for ever: steps between two inputs, jobs that start jobs. Whoever meets one is
 * paused with reason LIMIT, and a person raises it. Pure functions over records. */
#ifndef FM_JOB_LIMITS_H
#define FM_JOB_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"

/* What a flow says (also: what it leaves to the coordinator), or the coordinator's own. 0: no limit. */
struct limits {
    bool has_steps, has_depth;
    uint32_t steps, depth;
};

struct limits limits_of_flow(const Fermata__V1__Flow *flow);
/* What holds for the job: raised ones before those of its flow, those before the coordinator's. */
struct limits limits_of_job(const Fermata__V1__Job *h, const struct limits *flow, const struct limits *usual);

/* Whether the job, which has made so many steps, may make no more before an input comes. */
bool limits_steps_met(const Fermata__V1__Job *h, const struct limits *l, uint32_t steps);
/* Whether the job may start jobs. */
bool limits_may_start(const Fermata__V1__Job *h, const struct limits *l);

/* The pause for the limit that h->limit_met names is open, without slot. */
bool pause_is_limit(const Fermata__V1__Pause *p);
/* What the pause says. */
void limits_question(const Fermata__V1__Job *h, const struct limits *l, uint32_t steps, char *text,
                     size_t size);
/* Checks the answer to it (NULL: none). */
int limits_check_answer(const Google__Protobuf__Value *answer, struct fm_err *err) FM_MUST_CHECK;
/* Raises the limit that the pause is about. */
void limits_raise(Fermata__V1__Job *h, const Fermata__V1__Pause *p, const struct limits *l, uint32_t steps,
                  const Google__Protobuf__Value *answer);

#endif
