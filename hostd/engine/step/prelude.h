/* The prelude of a step: the tasks and outputs that the job's deferred events have become since the
 * step before. */
#ifndef FM_ENGINE_PRELUDE_H
#define FM_ENGINE_PRELUDE_H

#include "hjob.h"

/* Emits the job's deferred events: their tasks and outputs become part of the prelude of its next
 * step. */
void prelude_emit_deferred(struct hjob *job);
/* Makes a step that is only the prelude: the tasks of the deferred events get their places, and
 * their ids, before an attempt begins that rests on them, or when no task is left to carry them.
 * False when the coordinator would refuse it. */
bool prelude_make_step(struct hjob *job);

#endif
