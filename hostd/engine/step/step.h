/* One attempt at a task, from its handler's start to its step. */
#ifndef FM_ENGINE_STEP_H
#define FM_ENGINE_STEP_H

#include "ctx.h"

/* The functions that end with a bool return true when a step was made: the job has changed, and
 * whoever called wakes it (hjob_wake). False: the handler goes on in a callback. */

/* Takes the task in hand, for its routine: it is that routine's run now. */
struct fm_ctx *step_new(struct hjob *job, struct task *t);
/* Starts the handler. */
bool step_go(struct fm_ctx *ctx);
/* The handler or a callback has returned. */
bool step_returned(struct fm_ctx *ctx, int rc);
/* The time of the attempt is over: a step is made. */
void step_timed_out(struct fm_ctx *ctx);
/* Ends a handler without a step; its task stays. */
void step_abort(struct fm_ctx *ctx);
/* The same for all handlers of the job that are at work; a grace that runs is over. */
void step_abort_all(struct hjob *job);

#endif
