/* What waits for something from outside: results of tool calls, further input of a conversation. */
#ifndef FM_CORE_METHODS_QUESTIONS_WAITS_H
#define FM_CORE_METHODS_QUESTIONS_WAITS_H

#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"

struct core;
struct job;
struct op;

/* Which open pause an input brings an end to: a result of the call that its data name, or what is said next;
 * *ret NULL: none. Returns 0; OP_WAITS; -code: calls are open at this slot, and the input is a result of none
 * of them, or not one that is accepted. */
int pause_for_input(struct core *c, struct op *op, const struct job *job,
                    const Fermata__V1__SendInputRequest *r, const Fermata__V1__Pause **ret,
                    struct fm_err *err) FM_MUST_CHECK;
/* The input becomes the answer to this pause, which is closed. */
void input_take_pause(struct core *c, struct job *job, const Fermata__V1__Pause *p,
                      const Fermata__V1__SendInputRequest *r);

#endif
