/* Settings of routines that are jq programs on the data of the task, with 100 ms of processor time each.
 * They may look at $shared and $state. */
#ifndef FM_TYPES_EXPR_H
#define FM_TYPES_EXPR_H

#include "jq_eval.h"
#include "own_types.h"

#define EXPR_MAX 4

/* Runs those of the settings `names` (at most EXPR_MAX) that are there, and then calls done(ctx, arg, …).
 * False: none is there. */
bool expr_run(struct fm_ctx *ctx, const char *const *names, size_t n,
              int (*done)(struct fm_ctx *ctx, void *arg, const struct eval_result *r), void *arg);
/* In `done`: what each of them has made; NULL: it is not there, or has made nothing. -1 after
 * fm_ctx_fail. */
int expr_take(struct fm_ctx *ctx, const char *const *names, size_t n, const struct eval_result *r,
              const struct fm_value **ret);

/* Runs one program on these data, in a handler that blocks; returns as jq_eval. */
int expr_eval(struct fm_ctx *ctx, const char *program, const struct fm_value *data,
              const struct jq_limits *limits, struct jq_outputs *ret, struct fm_err *err) FM_MUST_CHECK;

#endif
