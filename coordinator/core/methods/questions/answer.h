/* Answers to questions, for other methods. */
#ifndef FM_CORE_METHODS_QUESTIONS_ANSWER_H
#define FM_CORE_METHODS_QUESTIONS_ANSWER_H

#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"

#include "who.h"

struct core;
struct job;
struct op;

/* A copy of an answer (NULL for NULL) in which text that the question's data show for an integer, at the same
 * place, is that integer. Free with protobuf_c_message_free_unpacked. */
Google__Protobuf__Value *job_answer(const Fermata__V1__Pause *p, const Google__Protobuf__Value *answer);
/* Whether the answer in the request fits the pause. Returns 0, -code, or OP_WAITS: it is checked elsewhere,
 * the op was parked and runs again. */
int job_check_answer(struct core *c, struct op *op, const Fermata__V1__Pause *p,
                     const Fermata__V1__ResumeJobRequest *r, struct fm_err *err) FM_MUST_CHECK;
/* The pause is closed, and what its kind asks for is done. */
void job_take_answer(struct core *c, struct job *job, const Fermata__V1__Pause *p,
                     const Fermata__V1__ResumeJobRequest *r, struct who who);

/* After a pause has been closed by what a client sent: deferred events come first, and the job goes on
 * elsewhere, as after a ResumeJob without a placement. */
void job_go_on_answered(struct core *c, struct job *job);

#endif
