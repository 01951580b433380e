/* Claims of open questions. */
#ifndef FM_MODEL_PAUSE_H
#define FM_MODEL_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"

/* Whether somebody has claimed the pause, and the claim lasts. */
bool pause_is_claimed(const Fermata__V1__Pause *p, int64_t wall_ms);
/* Takes claims that are over out of a decoded head, for those who read it. Returns whether there was
 * one. */
bool job_forget_expired_claims(Fermata__V1__Job *h, int64_t wall_ms);
/* Whether `by`, said in `field` of a request, may answer: nobody else has claimed the pause. Returns 0
 * or -FM_FAILED_PRECONDITION. */
int pause_may_answer(const Fermata__V1__Pause *p, int64_t wall_ms, const char *by, const char *field,
                     struct fm_err *err) FM_MUST_CHECK;

#endif
