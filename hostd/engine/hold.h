/* Breakpoints: which tasks they hold. Conditions are jq programs of anybody: they are put to a task by
 * a call (CALL_EVAL), and until that has come back the task waits first in its routine's queue. */
#ifndef FM_ENGINE_HOLD_H
#define FM_ENGINE_HOLD_H

#include "hjob.h"

struct call;
struct eval_result;

enum held { HELD_NOT, HELD, HELD_ASKING };

/* Whether a breakpoint holds the task, which is none of its queue's. HELD_ASKING: the conditions are
 * being put to it, by its routine's call: it goes back into the queue. */
enum held hold_task(struct hjob *job, struct task *t);
/* Whether one may hold it, if its condition does. */
bool hold_may(const struct hjob *job, const struct task *t);
/* The conditions were put to the first task of a routine's queue. A condition that cannot be put to
 * the data holds: rather a task too many is held than one too few. The job is to be woken then. */
void hold_verdict(struct hjob *job, const struct call *call, const struct eval_result *r);
/* Its breakpoints are others now, or it leaves: what is under way counts no more. */
void hold_forget(struct hjob *job);

#endif
