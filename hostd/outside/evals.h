/* Runs the jq programs of CALL_EVALs on threads of their own, in worker processes (jq_eval.h): the loop
 * never waits for one, and a job's programs keep other jobs' waiting only while all threads are busy. */
#ifndef FM_EVALS_H
#define FM_EVALS_H

#include <uv.h>

#include "engine_io.h"
#include "outside_events.h"

struct evals;

/* What came of a request, for eval_free. */
struct eval;

struct evals *evals_new(uv_loop_t *loop, const struct outside_events *events);
void evals_start(struct evals *e, uint64_t id, const struct eval_request *request);
/* Nothing more is told of it. */
void evals_cancel(struct evals *e, uint64_t id);
void evals_stop(struct evals *e);
void evals_free(struct evals *e);

/* One request by itself: a copy of it; run on any thread, which blocks; what came of it. */
struct eval *eval_new(uint64_t id, const struct eval_request *request);
void eval_run(struct eval *v);
struct eval_result eval_result(const struct eval *v);
void eval_free(struct eval *v);

#endif
