/* Claims of open questions. */
#ifndef FM_MODEL_PAUSE_H
#define FM_MODEL_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"

/* Whether a routine has opened it, which gets the answer: a question, or what waits for something from
 * outside. */
bool pause_is_question(const Fermata__V1__Pause *p);
/* The reason that a step's pause has when it is open. */
int pause_reason_of(const Fermata__V1__Pause *of_step);
/* The open pause with this tool call; NULL: none. */
const Fermata__V1__Pause *pause_with_call(const Fermata__V1__Job *h, const char *call_id);
#define PAUSE_CALLS_BYTES 400
/* The calls of open pauses, for an error: those that wait for a result at this slot, or (NULL) all. */
void pause_name_calls(const Fermata__V1__Job *h, const Fermata__V1__SlotRef *at, char out[PAUSE_CALLS_BYTES]);
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
