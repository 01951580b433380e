/* What the files of the engine share. Private to hostd/engine.c, session.c, hjob.c, step.c, ctx.c, call.c,
 * route.c.
 */
#ifndef FM_ENGINE_INT_H
#define FM_ENGINE_INT_H

#include "engine.h"

#include <uthash.h>

#include "arena.h"
#include "kv.h"
#include "pb_var.h"

#define MAX_MESSAGE_BYTES (64u * 1024 * 1024) /* an Assign: a state of up to 16 MiB and what goes with it */
#define RUN_MEMORY_BYTES (256u * 1024 * 1024)
#define MAX_AHEAD_STEPS 64
#define MAX_AHEAD_BYTES (1024u * 1024)
#define BATCH_BYTES (1024u * 1024)
#define BURST_STEPS 64
#define MAX_KEY_BYTES 256
/* A step within these passes the coordinator's guard (wire_limits_for) inside a HostMessage; one StepBatch
 * may carry several. */
#define MAX_STEP_DEPTH 96
#define MAX_STEP_ELEMENTS 1500000

/* ---- flows (route.c) ---- */

struct routine {
    const char *id;
    const struct fm_routine_type *type;
    struct fm_bytes config; /* encoded Struct */
};

struct mapping {
    const char *from, *to;
};

struct connection {
    const char *from_routine, *event;
    const char *to_routine, *slot;
    struct mapping *mapping;
    size_t n_mapping;
};

/* A parsed flow, all of it in its own arena. */
struct flow {
    struct fm_arena arena;
    struct routine *routines;
    size_t n_routines;
    struct connection *connections;
    size_t n_connections;
};

/* Parses an encoded Flow. NULL with err: malformed, or a routine type that this host does not offer. */
struct flow *flow_parse(struct fm_bytes encoded, const struct registry *registry, struct fm_err *err);
void flow_free(struct flow *f);
const struct routine *flow_routine(const struct flow *f, const char *id);
/* Applies a mapping to an encoded Struct: appends the renamed one. */
int mapping_apply(const struct connection *c, struct fm_bytes data, struct fm_buf *out);

/* ---- jobs (hjob.c) ---- */

/* Data that waits; one block of memory. */
struct task {
    struct task *prev, *next;
    const char *id, *routine, *slot, *pause_id;
    struct fm_bytes data; /* encoded Struct */
    uint32_t input_number;
};

struct deferred {
    struct deferred *prev, *next;
    const char *routine, *event;
    struct fm_bytes data;
};

struct routine_state {
    UT_hash_handle hh;
    char *routine;
    struct kv kv;
};

/* A step that was sent and is not acknowledged. */
struct sent_step {
    struct sent_step *prev, *next;
    uint32_t number;
    struct fm_bytes body; /* encoded Step */
};

enum job_phase {
    PHASE_READY,  /* has a task to run, or a handler is at work */
    PHASE_STOPPED /* its last step paused, completed or failed it: waits for the acknowledgement */
};

struct fm_ctx;

struct hjob {
    UT_hash_handle hh;
    char id[27];
    uint32_t epoch;
    struct engine *engine;
    struct flow *flow;
    struct task *tasks;
    size_t n_tasks;
    struct deferred *deferred;
    struct kv shared;
    struct routine_state *routines;
    uint32_t last_step; /* number of the last step made */
    uint32_t acked_step;
    uint32_t inputs_through;      /* inputs taken */
    uint32_t prelude_deferred;    /* deferred events emitted since the last step */
    struct fm_buf *prelude_tasks; /* the tasks they made, encoded */
    size_t n_prelude_tasks;
    struct sent_step *sent;
    size_t sent_bytes, n_sent;
    struct fm_ctx *run; /* the handler at work */
    enum job_phase phase;
    int interrupt;           /* InterruptKind, 0: none */
    int64_t interrupt_at_ms; /* abort then; 0: no */
    struct hjob *ready_prev, *ready_next;
    bool is_ready; /* in the list of those that may run */
};

/* ---- the engine ---- */

/* An asynchronous call of a handler. */
struct call {
    UT_hash_handle hh;
    uint64_t id;
    enum engine_call_kind kind;
    struct fm_ctx *ctx;
    union {
        fm_callback timer;
        fm_http_callback http;
        fm_process_callback process;
    } done;
    union {
        fm_chunk_callback chunk;
        fm_line_callback line;
    } data;
    void *arg;
    struct call *run_prev, *run_next; /* of the same run */
};

struct engine {
    struct engine_io io;
    char *host_id, *incarnation, *version;
    struct engine_label *labels;
    size_t n_labels;
    uint32_t capacity;
    const struct registry *registry;
    int64_t now_ms;
    struct hjob *jobs;
    struct hjob *ready;
    struct call *calls;
    uint64_t next_call;
    struct fm_arena arena; /* of the message that is being handled */
    /* session */
    bool connected, welcomed, draining, goodbye_sent, closing;
    uint64_t seq_out, seq_in;
    uint32_t lease_ms, heartbeat_ms, max_step_bytes;
    int64_t last_heard_ms; /* when something came last; the lease counts from it */
    int64_t next_heartbeat_ms;
    bool has_lease;
    /* steps of this turn */
    struct fm_buf batch; /* encoded fields of a StepBatch */
};

/* session.c */
void session_send(struct engine *e, uint32_t field, const struct fm_buf *body);
void session_close(struct engine *e, const char *why);
void session_flush(struct engine *e);
void session_add_step(struct engine *e, const struct hjob *job, struct fm_bytes step);
void session_release(struct engine *e, const struct hjob *job, int reason, const char *message);
void session_tick(struct engine *e);
int64_t session_deadline(const struct engine *e);
void session_drained(struct engine *e);

/* hjob.c */
struct hjob *hjob_find(struct engine *e, struct pb_var id, uint32_t epoch);
/* Forgets the job: aborts its handler, frees all. */
void hjob_drop(struct hjob *job);
void hjob_assign(struct engine *e, struct pb_var id, uint32_t epoch, struct pb_var flow, struct pb_var state,
                 struct pb_var inputs, bool emit_deferred);
void hjob_deliver(struct hjob *job, struct pb_var inputs, bool emit_deferred);
void hjob_ack(struct hjob *job, uint32_t number, bool released);
void hjob_interrupt(struct hjob *job, int kind, uint32_t grace_ms);
struct routine_state *hjob_routine_state(struct hjob *job, const char *routine);
struct task *task_new(const char *id, const char *routine, const char *slot, const char *pause_id,
                      struct fm_bytes data, uint32_t input_number);
void hjob_add_task(struct hjob *job, struct task *t);
struct deferred *deferred_new(const char *routine, const char *event, struct fm_bytes data);
/* Puts the job into the line of those that may run, if it may. */
void hjob_wake(struct hjob *job);
/* Runs ready jobs in turn, a bounded number of steps. */
void engine_run(struct engine *e);

/* step.c */
/* Starts the job's next task. Returns true when a step was made. */
bool step_start(struct hjob *job);
/* The handler or a callback has returned. */
void step_returned(struct fm_ctx *ctx, int rc);
/* Ends a handler without a step; its task stays. */
void step_abort(struct hjob *job);

/* call.c */
/* Ends all calls of a handler. */
void calls_cancel(struct fm_ctx *ctx);

/* ---- a handler at work (ctx.c, step.c) ---- */

struct change {
    struct change *prev, *next;
    struct kv *kv;
    const char *routine, *key; /* routine "": shared data */
    int kind;                  /* StateChangeKind */
    struct fm_buf value;       /* encoded Value */
    bool had_old;              /* to take it back */
    struct kv_value old;       /* of an append: only its length counts */
};

struct emission {
    struct emission *prev, *next;
    const char *event; /* NULL: enqueue */
    const char *slot;
    struct fm_buf data; /* encoded Struct */
};

struct fm_ctx {
    struct hjob *job;
    struct task *task;
    const struct routine *routine;
    struct fm_arena arena;
    const struct fm_value *data, *config;
    struct change *changes;
    struct emission *emissions;
    struct emission *defers;
    struct fm_buf *log, *pauses; /* arrays of encoded LogEntry and Pause */
    size_t n_log, n_pauses;
    struct call *calls;
    size_t open_calls;
    bool in_handler, failed, has_usage;
    int fail_code;
    char fail_message[512];
    bool fail_permanent;
    uint64_t retry_after_ms;
    uint64_t usage_in, usage_out, usage_cached;
    double usage_cost;
    uint32_t usage_calls;
    int64_t started_us;
    char key[96];
    char pause_id[32];
};

/* Takes back what the handler has changed. */
void ctx_undo(struct fm_ctx *ctx);
void ctx_free(struct fm_ctx *ctx);

#endif
