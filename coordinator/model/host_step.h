/* What a host may say in a step. The rules of the fold (job_state.h) hold for every step; those here hold for
 * what comes from a host, before anything of it counts: a step in the store is never asked again. */
#ifndef FM_MODEL_HOST_STEP_H
#define FM_MODEL_HOST_STEP_H

#include "err.h"
#include "fermata/v1/types.pb-c.h"

/* Looks through a decoded step of a host: no field may be set that is the coordinator's or an operator's,
 * what repeats something of the step must agree with it, and numbers are within their limits. Fields that
 * this version does not know are dropped: nobody could say whether a host may set them. Returns 0, or
 * -FM_INVALID_ARGUMENT; the field in err says which, from "step." on. */
int host_step_check(Fermata__V1__Step *step, struct fm_err *err) FM_MUST_CHECK;

#endif
