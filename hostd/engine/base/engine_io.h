/* What the engine asks of the world: the calls of struct engine_io, made while an input is handled.
 * The callbacks must not call back into the engine. On the engine's thread. */
#ifndef FM_ENGINE_IO_H
#define FM_ENGINE_IO_H

#include <stdbool.h>
#include <stdint.h>

#include <fermata/routine.h>

#include "buf.h"
#include "err.h"

struct engine_label {
    const char *key, *value;
};

/* What a handler's asynchronous call is. */
enum engine_call_kind { CALL_TIMER, CALL_HTTP, CALL_PROCESS, CALL_SERVED, CALL_EVAL, CALL_WORK };

/* The request of a CALL_HTTP. */
struct http_request {
    const struct fm_http_request *request;
    uint64_t idle_timeout_ms; /* between two pieces of the response; 0: none */
};

/* The request of a CALL_PROCESS. */
struct process_request {
    const struct fm_process *process;
    const char *job; /* for the log */
    uint64_t kill_after_ms;
};

#define PROCESS_KILL_AFTER_MS 2000 /* where nothing is said: from SIGTERM to SIGKILL */

/* The request of a CALL_SERVED: a task for a program that stays for many of them. */
struct served_task {
    /* The program. `input` is what it gets for this task; `timeout_ms` begins when it gets that;
     * `max_output_bytes` is of this task, `max_memory_bytes` of the process. */
    const struct fm_process *process;
    const char *job;        /* for the log */
    uint32_t processes;     /* that may run side by side; at least 1 */
    uint64_t idle_ms;       /* how long one rests before it is ended */
    uint64_t kill_after_ms; /* from SIGTERM to SIGKILL; 0: SIGKILL at once */
};

/* The request of a CALL_EVAL: jq programs, run one after the other on the same data. */
struct eval_request {
    const char *const *programs;
    size_t n;
    struct fm_bytes data;            /* an encoded Struct */
    struct fm_bytes shared, state;   /* what $shared and $state are, encoded Structs; without bytes, {} */
    uint32_t cpu_ms, all_cpu_ms;     /* processor time of each, and of all of them */
    uint32_t max_outputs, max_bytes; /* of each */
    bool until_true; /* the first one whose first output is neither null nor false is the last one */
};

/* What came of it. */
struct eval_result {
    const char *const *outputs; /* the first output, as JSON, of those that have ended; NULL: it had none */
    size_t n;                   /* how many have */
    enum fm_code code;          /* FM_OK, or why the next one has not; then it was the last one */
    const char *error;
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
    /* Starts a call of a handler: `request` is a struct http_request, a struct process_request,
     * a struct served_task or a struct eval_request, valid during this callback only. What comes of it is
     * told by engine_call_data and engine_call_done. NULL: there are no such calls. */
    void (*start_call)(void *arg, uint64_t id, enum engine_call_kind kind, const void *request);
    /* Ends a call; nothing more is told of it. */
    void (*cancel_call)(void *arg, uint64_t id, enum engine_call_kind kind);
    /* Has engine_work_run called on another thread, and engine_work_done on this one when it has
     * returned. NULL: such handlers are called as any other. */
    void (*start_work)(void *arg, uint64_t id, struct engine_work *work);
    /* A handler begins its work on a task; returns a number for the end of that. For whoever tells of this
     * process's death what it was at work on: what these do must be done when they return. May be NULL. */
    size_t (*task_begins)(void *arg, const char *job, uint32_t epoch, const char *task_id,
                          const char *routine);
    void (*task_ends)(void *arg, size_t number);
    /* The coordinator has accepted the host. */
    void (*attached)(void *arg);
    /* Draining is complete: everything is given back. Close the stream when what was sent is
     * out. */
    void (*drained)(void *arg);
    /* Microseconds of monotonic time, for durations only; may be NULL. */
    int64_t (*now_us)(void *arg);
};

#endif
