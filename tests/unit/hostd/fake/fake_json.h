/* Values of a fake context from JSON and compared with JSON; as json_text.h has it. */
#ifndef FM_FAKE_JSON_H
#define FM_FAKE_JSON_H

#include "fake_ctx.h"

/* The value that a text describes. */
struct fm_value *fake_json(struct fm_ctx *ctx, const char *quoted);

/* The value is what the text describes. */
void fake_is(struct fm_ctx *ctx, const struct fm_value *v, const char *quoted);

/* The step has emitted this as its event i. */
void fake_emitted(struct fm_ctx *ctx, size_t i, const char *event, const char *quoted);

/* A step whose handler is given what the text describes. */
int fake_run(struct fm_ctx *ctx, const char *slot, const char *quoted);

/* A step that must fail with this code and say this. */
void fake_fails(struct fm_ctx *ctx, const char *slot, const char *quoted, int code, const char *text);

#endif
