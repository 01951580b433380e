/* The host's engine: holds the jobs that the coordinator has given to this host, runs their tasks, makes
 * steps, speaks the host protocol. Deterministic: what it does follows from its inputs, the times it is given
 * and its seed alone; it never calls gRPC, libuv or the clock. (Handlers are part of it; what they start in
 * the outside world is an output.)
 *
 * Inputs are the functions below; outputs are the calls of struct engine_io, made while an input is handled.
 * The callbacks must not call back into the engine. One thread. Times are monotonic milliseconds. */
#ifndef FM_ENGINE_H
#define FM_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "registry.h"

struct engine;

struct engine_label {
    const char *key, *value;
};

struct engine_config {
    const char *host_id, *incarnation, *version;
    const struct engine_label *labels;
    size_t n_labels;
    uint32_t capacity;
    size_t inbox_bytes; /* of assignments and inputs of the jobs it holds: more is refused; 0: 1 GiB */
    const struct registry *registry;
    uint64_t seed; /* for jitter */
};

/* What a handler's asynchronous call is. */
enum engine_call_kind { CALL_TIMER, CALL_HTTP, CALL_PROCESS, CALL_SERVED, CALL_WORK };

/* The request of a CALL_PROCESS. */
struct process_request {
    const struct fm_process *process;
    const char *job; /* for the log */
};

/* A handler that blocks, ready to run on a thread of its own. */
struct engine_work;

struct engine_io {
    void *arg;
    /* Sends an encoded HostMessage on the stream. */
    void (*send)(void *arg, struct fm_bytes message);
    /* Ends the stream; engine_disconnected must follow. */
    void (*close)(void *arg, const char *why);
    /* Calls engine_timer(id) after ms; ids are never used twice. */
    void (*start_timer)(void *arg, uint64_t id, uint64_t ms);
    void (*cancel_timer)(void *arg, uint64_t id);
    /* Starts a call of a handler: `request` is a struct fm_http_request, a struct process_request or a struct
     * served_task (serve.h), valid during this callback only. What comes of it is told by engine_call_data
     * and engine_call_done. NULL: there are no such calls. */
    void (*start_call)(void *arg, uint64_t id, enum engine_call_kind kind, const void *request);
    /* Ends a call; nothing more is told of it. */
    void (*cancel_call)(void *arg, uint64_t id, enum engine_call_kind kind);
    /* Has engine_work_run called on another thread, and engine_work_done on this one when it has returned.
     * NULL: such handlers are called as any other. */
    void (*start_work)(void *arg, uint64_t id, struct engine_work *work);
    /* The coordinator has accepted the host. */
    void (*attached)(void *arg);
    /* Draining is complete: everything is given back. Close the stream when what was sent is out. */
    void (*drained)(void *arg);
    /* Whether a breakpoint's jq condition holds for a task's data (JSON). NULL: every condition holds. */
    bool (*condition)(void *arg, const char *program, struct fm_bytes json);
    /* Microseconds of monotonic time, for durations only; may be NULL. */
    int64_t (*now_us)(void *arg);
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
/* The same, but no step is begun: engine_tick does that. For several messages that came together, so that the
 * steps they bring about leave together. */
void engine_take(struct engine *e, struct fm_bytes message, int64_t now_ms);
/* A timer that was started has fired. */
void engine_timer(struct engine *e, uint64_t id, int64_t now_ms);
/* A piece of what a call brings: of a response's body, or a line of a process's output. Returns 0 to go on;
 * -1: end the call (or the process); 1, of a response: the piece need not be kept for the end; of a
 * CALL_SERVED: the task is done. After -1, and after the 1 of a CALL_SERVED, engine_call_done must still
 * follow. A call that is gone already is ignored. */
int engine_call_data(struct engine *e, uint64_t id, struct fm_bytes data, int64_t now_ms);
/* A call has ended: `result` is its struct fm_http_response or struct fm_process_result. */
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
