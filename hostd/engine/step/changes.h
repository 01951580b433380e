/* Changes of the routine's state and of the shared data. */
#ifndef FM_ENGINE_CHANGES_H
#define FM_ENGINE_CHANGES_H

#include <stdint.h>

#include "kv.h"

struct fm_ctx;
struct fm_value;

/* The value of a key of the routine's own state, encoded, as it is without what the handler has changed; all
 * zero when there is none. Valid until the step is made. */
struct kv_value ctx_kept(struct fm_ctx *ctx, const char *key);
/* As fm_ctx_state_append, also when the handler has failed. */
void ctx_append_state(struct fm_ctx *ctx, const char *key, const struct fm_value *v);
/* Drops the first n elements of a list in the routine's own state. */
void ctx_drop_state(struct fm_ctx *ctx, const char *key, uint32_t n);
/* Makes the handler's changes of state in the job. */
void ctx_apply_changes(struct fm_ctx *ctx);

#endif
