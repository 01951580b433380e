/* Building a step out of what a handler has done. */
#ifndef FM_ENGINE_BUILD_H
#define FM_ENGINE_BUILD_H

#include "buf.h"
#include "hjob.h"
#include "kinds.h"
#include "routing.h"

/* Encoded elements of a repeated field. */
struct list {
    struct fm_buf *bufs;
    size_t n, cap;
};

/* What becomes of the job's state with the step, gathered while it is built: nothing changes before
 * it is known to be acceptable. */
struct result {
    struct list tasks, emissions, changes, deferred, log, withdrawals;
    struct routing routing;          /* of the events that it emits, */
    struct routing deferred_routing; /* and of those that it defers, as if they were emitted now */
    struct task *new_tasks;
    struct deferred *new_deferred;
};

/* Encodes the step; the job does not change. Returns its outcome; `r` says what the job becomes
 * with it. */
enum step_outcome build_step(struct fm_ctx *ctx, struct result *r, struct fm_buf *out);
void result_done(struct result *r);
/* A repeated field with these elements; free its items. */
struct pb_var build_views(const struct fm_buf *bufs, size_t n);

#endif
