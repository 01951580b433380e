/* JSON and memory of a step, for hostd's own routine types. No part of the ABI. Defined in ctx.c. */
#ifndef FM_JSON_VALUE_H
#define FM_JSON_VALUE_H

#include <fermata/routine.h>

#include "arena.h"
#include "json.h"

/* The arena of a step: what is made in it lives as long as the step. */
struct fm_arena *fm_ctx_arena(struct fm_ctx *ctx);
/* Memory for one piece of many, such as an event of a stream; empty now, and whatever was in it is gone.
 * Freed with the step. */
struct fm_arena *fm_ctx_scratch(struct fm_ctx *ctx);
/* The same as json_value_read, for a step. */
static inline struct fm_value *json_value_of(struct fm_ctx *ctx, const char *text, size_t n,
                                             struct fm_err *err)
{
    return json_value_read(text, n, fm_ctx_arena(ctx), err);
}

#endif
