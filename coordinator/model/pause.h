/* Open questions: who has claimed them, who is to answer, when they close by themselves. */
#ifndef FM_MODEL_PAUSE_H
#define FM_MODEL_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "google/protobuf/struct.pb-c.h"

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

/* Whether a question of a host's step keeps the rules: of its times, and of whom it is for. Returns 0 or
 * -FM_INVALID_ARGUMENT. */
int pause_check(const Fermata__V1__Pause *p, struct fm_err *err) FM_MUST_CHECK;
/* A question of a step that was committed then: what it says of its times becomes times of the clock. */
void pause_begin(Fermata__V1__Pause *p, int64_t committed_ms);
/* When it closes by itself; 0: never. An answer at this time comes too late, whether anybody has looked or
 * not. */
int64_t pause_closes_ms(const Fermata__V1__Pause *p);
bool pause_is_over(const Fermata__V1__Pause *p, int64_t wall_ms);
/* -FM_FAILED_PRECONDITION when it is. */
int pause_check_open(const Fermata__V1__Pause *p, int64_t wall_ms, struct fm_err *err) FM_MUST_CHECK;
/* When something next happens to it by itself: it closes, or another one is to answer; 0: nothing. */
int64_t pause_next_ms(const Fermata__V1__Pause *p);
/* Gives it to those who are to answer by now. Returns whether that has changed. */
bool pause_escalate(Fermata__V1__Pause *p, int64_t wall_ms);
/* Remembers that it was closed without an answer, and how. */
void pause_remember(Fermata__V1__Job *h, const Fermata__V1__Pause *p, Fermata__V1__PauseEnd how,
                    const Fermata__V1__Withdrawal *why, uint32_t step, int64_t wall_ms);
/* -FM_FAILED_PRECONDITION, with how it was closed, when this is remembered; else 0. */
int pause_check_not_closed(const Fermata__V1__Job *h, const char *pause_id, struct fm_err *err) FM_MUST_CHECK;
/* What its slot gets when it has closed by itself. Free with google__protobuf__struct__free_unpacked. */
Google__Protobuf__Struct *pause_timeout_data(const Fermata__V1__Pause *p);

#endif
