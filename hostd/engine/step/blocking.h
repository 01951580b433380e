/* Handlers that block. */
#ifndef FM_ENGINE_BLOCKING_H
#define FM_ENGINE_BLOCKING_H

#include <fermata/routine.h>

struct engine_work;

/* Runs the handler on a worker. Returns 0, or -1 after fm_ctx_fail. */
int blocking_start(struct fm_ctx *ctx, fm_handler handler);
/* Moves what the handler has done into the step's context, which keeps the work; returns what the
 * handler has returned. */
int blocking_adopt(struct fm_ctx *ctx, struct engine_work *w);
/* Whether a worker has got to it. */
bool blocking_has_begun(struct engine_work *w);
void blocking_free(struct engine_work *w);

/* Calls the handler; any thread. */
void blocking_run(struct engine_work *w);

#endif
