/* Values from JSON text and as JSON text (RFC 8259). */
#ifndef FM_JSON_VALUE_H
#define FM_JSON_VALUE_H

#include <fermata/routine.h>

#include "arena.h"
#include "buf.h"
#include "err.h"

/* Reads one JSON text, with nothing but white space round it, into the arena. NULL with err:
 * FM_INVALID_ARGUMENT (it is no JSON, has a NUL in a string, or is nested too deeply) or
 * FM_RESOURCE_EXHAUSTED (arena). Of equal keys the last one counts; a number that a double cannot hold is a
 * fault. */
struct fm_value *json_value_read(const char *text, size_t n, struct fm_arena *a, struct fm_err *err);
/* Appends the value as JSON without white space; NULL is null. Whole numbers have no fraction, others as many
 * digits as they need. */
void json_value_write(const struct fm_value *v, struct fm_buf *out);

/* The arena of a step, for hostd's own routine types: what is made in it lives as long as the step. No part
 * of the ABI. */
struct fm_arena *fm_ctx_arena(struct fm_ctx *ctx);
/* Memory for one piece of many, such as an event of a stream; empty now, and whatever was in it is gone.
 * Freed with the step. */
struct fm_arena *fm_ctx_scratch(struct fm_ctx *ctx);
/* The same as json_value_read, for a step. */
struct fm_value *json_value_of(struct fm_ctx *ctx, const char *text, size_t n, struct fm_err *err);

#endif
