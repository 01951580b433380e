/* The host's engine: holds the jobs that the coordinator has given to this host, runs their tasks,
 * makes steps, speaks the host protocol. Deterministic: what it does follows from its inputs, the
 * times it is given and its seed alone; it never calls gRPC, libuv or the clock. (Handlers are part
 * of it; what they start in the outside world is an output.)
 *
 * Inputs are the functions below; outputs are the calls of struct engine_io, made while an input is
 * handled. The callbacks must not call back into the engine. One thread. Times are monotonic
 * milliseconds. */
#ifndef FM_ENGINE_H
#define FM_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "engine_io.h"
#include "err.h"
#include "registry.h"

struct engine;

struct engine_config {
    const char *host_id, *incarnation, *version;
    const struct engine_label *labels;
    size_t n_labels;
    uint32_t capacity;
    size_t inbox_bytes; /* of assignments and inputs of the jobs it holds: more is refused; 0: 1 GiB */
    const struct registry *registry;
    uint64_t seed; /* for jitter */
};

/* Everything in cfg but the registry is copied. */
struct engine *engine_new(const struct engine_config *cfg, const struct engine_io *io);
/* Aborts what runs; outputs nothing but cancel_timer. */
void engine_free(struct engine *e);

/* The stream is open: says Hello. */
void engine_connected(struct engine *e, int64_t now_ms);
/* The stream is gone; jobs are kept until the lease is over. */
void engine_disconnected(struct engine *e, int64_t now_ms);
/* An encoded CoordinatorMessage came. */
void engine_message(struct engine *e, struct fm_bytes message, int64_t now_ms);
/* The same, but no step is begun: engine_tick does that. For several messages that came together,
 * so that the steps they bring about leave together. */
void engine_take(struct engine *e, struct fm_bytes message, int64_t now_ms);
/* A timer that was started has fired. */
void engine_timer(struct engine *e, uint64_t id, int64_t now_ms);
/* A piece of what a call brings: of a response's body, or a line of a process's output. Returns 0
 * to go on;
 * -1: end the call (or the process); 1, of a response: the piece need not be kept for the end; of a
 * CALL_SERVED: the task is done. After -1, and after the 1 of a CALL_SERVED, engine_call_done must
 * still follow. A call that is gone already is ignored. */
int engine_call_data(struct engine *e, uint64_t id, struct fm_bytes data, int64_t now_ms);
/* A call has ended: `result` is its struct fm_http_response, struct fm_process_result or
 * struct eval_result. */
void engine_call_done(struct engine *e, uint64_t id, const void *result, int64_t now_ms);
/* Calls the handler; any thread. */
void engine_work_run(struct engine_work *work);
/* It has returned: the engine takes the work back. */
void engine_work_done(struct engine *e, uint64_t id, struct engine_work *work, int64_t now_ms);
/* In place of that when the engine is gone. */
void engine_work_free(struct engine_work *work);
/* Time has passed: heartbeats, silence, the lease, grace; and jobs that wait for their turn. */
void engine_tick(struct engine *e, int64_t now_ms);
/* When engine_tick must be called at the latest; -1: not needed. */
int64_t engine_deadline(const struct engine *e);
/* Takes no new work, gives every job back at the end of its step, says goodbye. */
void engine_drain(struct engine *e, int64_t now_ms);

/* The lease that the last Welcome gave; 0 before the first. */
uint32_t engine_lease_ms(const struct engine *e);
/* How many jobs it holds. */
size_t engine_job_count(const struct engine *e);

#endif
