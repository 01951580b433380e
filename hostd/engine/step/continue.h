/* A handler lets its job start its journal over. */
#ifndef FM_ENGINE_CONTINUE_H
#define FM_ENGINE_CONTINUE_H

#include "ctx.h"
#include "err.h"

/* Whether somebody would run the tasks with which the new generation is to begin. Returns 0 or
 * -FM_INVALID_ARGUMENT. */
int continue_check(const struct fm_ctx *ctx, struct fm_err *err) FM_MUST_CHECK;

#endif
