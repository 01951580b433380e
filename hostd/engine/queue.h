/* The tasks of a job that wait on this host: which may run now, which wait for their time, what to
 * do when none can run. Running them, one after the other or side by side. */
#ifndef FM_ENGINE_QUEUE_H
#define FM_ENGINE_QUEUE_H

#include "hjob.h"

/* Puts the job into the line of those that may run, if it may. A job that has nothing to do here is
 * given back: it may be gone afterwards. */
void hjob_wake(struct hjob *job);
/* Starts the job's next task, if one may run now. */
void hjob_run_next(struct hjob *job);
/* A callback of the handler has returned. */
void hjob_returned(struct fm_ctx *ctx, int rc);
/* The time of a handler's attempt is over. */
void hjob_timed_out(struct fm_ctx *ctx);
/* The intent of a task is on disk: its handler may start, if it is the one that was announced by a message
 * that the coordinator had `heard` by then. */
void hjob_intent_ack(struct hjob *job, struct pb_var task_id, uint64_t heard);
/* A timer of the job has fired. */
void hjob_alarm(struct hjob *job);

#endif
