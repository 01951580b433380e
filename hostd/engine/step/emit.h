/* What a handler sends on: events, tasks for its own routine, entries of the job's log. */
#ifndef FM_ENGINE_EMIT_H
#define FM_ENGINE_EMIT_H

#include "ctx.h"

/* As fm_ctx_enqueue; returns what was made, or NULL after fm_ctx_fail. */
struct emission *ctx_enqueue(struct fm_ctx *ctx, const char *slot, const struct fm_value *data);
/* As fm_ctx_log, also of a handler that has failed. */
void ctx_log(struct fm_ctx *ctx, const char *message, const struct fm_value *data);
/* Emits an event of the engine's own ("error", "timeout"), whether the type has such an event or not; data
 * that cannot be encoded are left out. `event` outlives the step. */
void ctx_emit_own(struct fm_ctx *ctx, const char *event, const struct fm_value *data);

#endif
