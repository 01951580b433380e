/* What the files of the engine share. Private to hostd/engine.c, session.c, hjob.c, step.c, ctx.c, call.c,
 * route.c.
 */
#ifndef FM_ENGINE_INT_H
#define FM_ENGINE_INT_H

#include "engine.h"

#include <uthash.h>

#include "arena.h"
#include "id.h"
#include "kv.h"
#include "pb_var.h"

#define MAX_MESSAGE_BYTES (64u * 1024 * 1024) /* an Assign: a state of up to 16 MiB and what goes with it */
#define RUN_MEMORY_BYTES (256u * 1024 * 1024)
#define MAX_AHEAD_STEPS 64
#define MAX_AHEAD_BYTES (1024u * 1024)
#define BATCH_BYTES (1024u * 1024)
#define BURST_STEPS 64
#define MAX_KEY_BYTES 256
#define PROGRESS_MS 250           /* between two messages of Progress of a task */
#define MAX_PROGRESS_MESSAGES 100 /* of all tasks in that time */
#define MAX_PROGRESS_BYTES 65536
#define SLEEP_MS 1000 /* a job with nothing to do for longer leaves the host */
/* A step within these passes the coordinator's guard (wire_limits_for) inside a HostMessage; one StepBatch
 * may carry several. */
#define MAX_STEP_DEPTH 96
#define MAX_STEP_ELEMENTS 1500000

/* ---- flows (route.c) ---- */

/* How failures of a routine are handled; what the flow's defaults say is in it. */
struct policy {
    uint32_t max_attempts; /* 0: nothing is said of it, until policy_settle */
    uint64_t initial_delay_ms, max_delay_ms;
    double factor, jitter;
    uint32_t retryable;                      /* a bit for each code */
    uint64_t attempt_timeout_ms, timeout_ms; /* 0: none */
    int on_error, on_lost;                   /* ErrorPolicy, LostPolicy */
};

struct merge {
    const char *slot;
    int mode; /* MergeMode */
    uint32_t n;
};

struct task;
struct connection;

struct routine {
    UT_hash_handle hh; /* among the flow's, by id */
    const char *id;
    const struct fm_routine_type *type; /* NULL: of the flow's `unknown` */
    struct fm_bytes config;             /* encoded Struct */
    const struct fm_value *decoded;     /* the same, once a handler has asked for it */
    const struct connection **out;      /* those that begin here, in the flow's order */
    size_t n_out;
    struct policy policy;
    struct merge *merges;
    size_t n_merges;
    int32_t priority;
    /* in the job that the flow was parsed for */
    struct task *queue;    /* tasks that are due, in order */
    struct fm_ctx *run;    /* the handler at work */
    int64_t held_until_ms; /* the first one waits for its next attempt, and those behind it, too; 0: no */
};

struct mapping {
    const char *from, *to;
};

struct connection {
    const char *from_routine, *event;
    const char *to_routine, *slot;
    struct mapping *mapping;
    size_t n_mapping;
    bool drop_unmapped;
    struct fm_bytes constants, filter; /* encoded Structs */
    uint32_t number;                   /* in the flow, from 1 */
};

/* A parsed flow, all of it in its own arena. */
struct flow {
    struct fm_arena arena;
    struct routine *routines;
    size_t n_routines;
    struct routine *by_id;
    struct connection *connections;
    size_t n_connections;
    uint32_t parallelism;   /* at least 1 */
    struct routine unknown; /* takes the tasks of routines that the flow does not have, and fails them */
};

/* Parses an encoded Flow. NULL with err: malformed, or a routine type that this host does not offer. */
struct flow *flow_parse(struct fm_bytes encoded, const struct registry *registry, struct fm_err *err);
void flow_free(struct flow *f);
/* The routine, or the flow's `unknown`; never NULL. */
struct routine *flow_routine(struct flow *f, const char *id);
/* Applies a connection's mapping, dropping and constants to an encoded Struct: appends the result. -1:
 * malformed. */
int mapping_apply(const struct connection *c, struct fm_bytes data, struct fm_buf *out);
/* True when the connection takes this event, of the routine at which it begins, with this data. */
bool connection_takes(const struct connection *c, const char *event, struct fm_bytes data);

/* ---- policies (policy.c) ---- */

/* Whether a failed attempt is tried again, and when. `attempts` have failed, this one counted; they and their
 * delays took `spent_ms`. `random` is between 0 and 1. */
bool policy_retry(const struct policy *p, int code, bool permanent, uint32_t attempts, uint64_t spent_ms,
                  uint64_t retry_after_ms, double random, uint64_t *ret_delay_ms);
/* How long the next attempt may take; 0: as long as it likes. */
uint64_t policy_attempt_ms(const struct policy *p, uint64_t spent_ms);
/* Reads an encoded Policy over what `p` has already. Returns 0, or -FM_INVALID_ARGUMENT. */
int policy_read(struct policy *p, struct fm_bytes encoded, struct fm_arena *arena, struct fm_err *err);
/* The policy of a routine of which nothing is said. */
void policy_init(struct policy *p);
/* After the last policy_read: the attempts are those that the routine's policy says, else the flow's
 * defaults, else the type's own (0: it has none), else 1. */
void policy_settle(struct policy *p, uint32_t default_attempts);
/* Whether a job may go on without a task of the routine. */
bool policy_may_drop(const struct policy *p);

/* ---- jobs (hjob.c) ---- */

/* Data that waits; one block of memory. */
struct task {
    struct task *prev, *next; /* in its routine's queue, or among the scheduled ones */
    uint64_t seq;             /* order in which tasks became due */
    struct routine *to;
    const char *id, *routine, *slot, *pause_id, *key, *call_id;
    struct fm_bytes data; /* encoded Struct */
    uint32_t input_number, failed_attempts, connection;
    uint64_t spent_ms;
    int64_t due_ms; /* 0: at once */
    bool merged, lost, scheduled;
    bool announced; /* its intent was sent, and its handler has not begun */
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

struct breakpoint {
    struct breakpoint *next;
    char *routine, *slot, *condition;
};

struct hjob {
    UT_hash_handle hh;
    char id[27];
    uint32_t epoch;
    struct engine *engine; /* NULL in the copy for a handler that blocks */
    int64_t clock_ms; /* the coordinator's clock minus the engine's; in that copy: the coordinator's clock */
    size_t bytes;     /* that came with its assignment and as inputs */
    struct flow *flow;
    size_t n_tasks;         /* in queues, scheduled, and in hand */
    struct task *scheduled; /* not due yet, by due time */
    uint64_t next_seq;
    uint64_t alarm; /* call that wakes the job when its next task is due; 0: none */
    int64_t alarm_ms;
    struct breakpoint *breakpoints;
    char *released_task;
    size_t n_running;
    char *break_task; /* id of the task that reached a breakpoint; NULL: none */
    struct deferred *deferred;
    struct kv shared;
    struct routine_state *routines;
    uint32_t last_step; /* number of the last step made */
    uint32_t acked_step;
    uint32_t inputs_through;      /* inputs taken */
    uint32_t prelude_deferred;    /* deferred events emitted since the last step */
    struct fm_buf *prelude_tasks; /* the tasks they made, encoded */
    size_t n_prelude_tasks;
    struct fm_buf *prelude_outputs; /* those that no connection took, encoded */
    size_t n_prelude_outputs;
    struct sent_step *sent;
    size_t sent_bytes, n_sent;
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
    struct fm_ctx *ctx; /* NULL: an alarm of the job */
    struct hjob *job;   /* then */
    bool is_timeout;    /* of the attempt: not a call of the handler */
    union {
        fm_callback timer;
        fm_http_callback http;
        fm_process_callback process;
    } done;
    union {
        fm_chunk_callback chunk;
        fm_line_callback line;
    } data;
    struct engine_work *work;
    void *arg;
    struct call *run_prev, *run_next; /* of the same run */
};

struct engine {
    struct engine_io io;
    char *host_id, *incarnation, *version;
    struct engine_label *labels;
    size_t n_labels;
    uint32_t capacity;
    size_t inbox_bytes, held_bytes; /* the limit, and what its jobs came with */
    const struct registry *registry;
    int64_t now_ms;
    int64_t progress_since_ms; /* since when progress_sent messages of Progress were sent */
    unsigned int progress_sent;
    struct hjob *jobs;
    struct hjob *ready;
    int64_t grace_at_ms; /* the first of the jobs' interrupt_at_ms, or earlier; 0: none */
    struct call *calls;
    uint64_t next_call;
    struct fm_arena arena; /* of the message that is being handled */
    /* session */
    bool connected, welcomed, draining, goodbye_sent, closing;
    uint64_t seq_out, seq_in;
    uint32_t lease_ms, heartbeat_ms, max_step_bytes;
    int64_t lease_from_ms; /* when the last message was sent of which it is known that it arrived */
    size_t unsaid_bytes;   /* came since the last message to the coordinator */
    uint64_t mark_seq;     /* a message whose arrival is awaited; 0: none */
    int64_t mark_ms;       /* when that was sent */
    int64_t next_heartbeat_ms;
    bool has_lease;
    struct fm_rng rng; /* jitter */
    /* steps of this turn */
    struct fm_buf batch; /* encoded fields of a StepBatch */
};

/* session.c */
void session_send(struct engine *e, uint32_t field, const struct fm_buf *body);
void session_close(struct engine *e, const char *why);
void session_flush(struct engine *e);
void session_add_step(struct engine *e, const struct hjob *job, struct fm_bytes step);
void session_release(struct engine *e, const struct hjob *job, int reason, const char *message,
                     const char *task_id);
void session_tick(struct engine *e);
/* Drops everything when the lease is over; first thing to be done with every input. */
void session_check_lease(struct engine *e);
int64_t session_deadline(const struct engine *e);
void session_drained(struct engine *e);
/* Says that a task is about to be handled, so that its loss is noticed. */
void session_intent(struct engine *e, const struct hjob *job, const char *task_id);
/* Shows what a handler has so far; false when it is left out because there is too much of it. */
bool session_progress(struct engine *e, const struct fm_ctx *ctx, const char *text);

/* hjob.c */
struct hjob *hjob_find(struct engine *e, struct pb_var id, uint32_t epoch);
/* Forgets the job: aborts its handler, frees all. */
void hjob_drop(struct hjob *job);
struct _fermata_v1_Assign;
struct _fermata_v1_Deliver;
void hjob_assign(struct engine *e, const struct _fermata_v1_Assign *m);
void hjob_deliver(struct hjob *job, const struct _fermata_v1_Deliver *m);
/* Forgets the steps up to this number, which are on disk. */
void hjob_stored(struct hjob *job, uint32_t number);
/* The same, and what follows from it; the job may be gone afterwards. */
void hjob_ack(struct hjob *job, uint32_t number, bool released);
void hjob_interrupt(struct hjob *job, int kind, uint32_t grace_ms);
void hjob_free_states(struct hjob *job);
struct routine_state *hjob_routine_state(struct hjob *job, const char *routine);
/* A copy of the task with all its text and data. */
struct task *task_new(const struct task *from);
/* Puts a task to where it belongs: its routine's queue, or the scheduled ones. */
void hjob_add_task(struct hjob *job, struct task *t);
/* Puts a task back that was in hand: first in its routine's queue. */
void hjob_return_task(struct hjob *job, struct task *t);
/* The task with this schedule key of a routine that is not due yet; NULL: none. */
struct task *hjob_find_scheduled(struct hjob *job, const char *routine, const char *key);
/* Takes the next task that may run out of its queue; NULL: none may now. */
struct task *hjob_take_task(struct hjob *job);
/* Aborts all handlers at work; their tasks stay. */
void hjob_abort_runs(struct hjob *job);
/* A timer of the job has fired. */
void hjob_alarm(struct hjob *job);
void hjob_intent_ack(struct hjob *job, struct pb_var task_id);
/* A task has reached a breakpoint: the job is given back when its handlers have ended. */
void hjob_break(struct hjob *job, const struct task *t);
struct deferred *deferred_new(const char *routine, const char *event, struct fm_bytes data);
/* Puts the job into the line of those that may run, if it may. */
void hjob_wake(struct hjob *job);
/* Runs ready jobs in turn, a bounded number of steps. */
void engine_run(struct engine *e);
/* A job's interrupt_at_ms was set: looked at when the first of them has come. */
void engine_note_grace(struct engine *e, int64_t at_ms);

/* step.c */
/* Starts the job's next task. Returns true when a step was made. */
bool step_start(struct hjob *job);
/* Makes a step that is only its prelude: the tasks of the deferred events get their places, and their ids,
 * before an attempt begins that rests on them, or when no task is left to carry them. False when the
 * coordinator would refuse it. */
bool step_make_prelude(struct hjob *job);
/* Forgets the prelude. */
void step_clear_prelude(struct hjob *job);
/* The handler or a callback has returned. */
void step_returned(struct fm_ctx *ctx, int rc);
/* Ends a handler without a step; its task stays. */
void step_abort(struct fm_ctx *ctx);
/* Its intent is on disk: the handler may start. */
void step_go(struct fm_ctx *ctx);
/* The time of the attempt is over. */
void step_timed_out(struct fm_ctx *ctx);

/* call.c */
/* Ends all calls of a handler, its timeout too. */
void calls_cancel(struct fm_ctx *ctx);
/* A handler on a worker; returns the id of its call. */
uint64_t call_work(struct fm_ctx *ctx, struct engine_work *w);
/* Calls hjob_alarm after ms; returns the id. */
uint64_t call_alarm(struct hjob *job, uint64_t ms);
/* Calls step_timed_out after ms. */
void call_timeout(struct fm_ctx *ctx, uint64_t ms);
/* Ends an alarm. */
void call_cancel(struct engine *e, uint64_t id);

/* ---- a handler at work (ctx.c, step.c) ---- */

struct change {
    struct change *prev, *next;
    const char *routine, *key; /* routine "": shared data */
    int kind;                  /* StateChangeKind */
    bool kept;                 /* stays when the step fails */
    struct fm_buf value;       /* encoded Value */
};

struct emission {
    struct emission *prev, *next;
    const char *event; /* NULL: enqueue */
    const char *slot;
    const char *key; /* of a schedule */
    uint64_t delay_ms;
    bool merged;
    struct fm_buf data; /* encoded Struct */
};

/* What a step starts. */
struct child {
    struct child *prev, *next;
    struct fm_buf body; /* encoded ChildStart */
};

struct fm_ctx {
    struct hjob *job;
    struct task *task;
    struct routine *routine;
    struct fm_arena arena, scratch; /* scratch: see json_value.h */
    const struct fm_value *data, *config;
    struct change *changes;
    struct emission *emissions;
    struct emission *defers;
    struct fm_buf *log, *pauses; /* arrays of encoded LogEntry and Pause */
    size_t n_log, n_pauses;
    struct call *calls;
    size_t open_calls;
    struct child *children;
    const char **unscheduled; /* ids of scheduled tasks that the step drops */
    size_t n_unscheduled;
    uint64_t timeout_call; /* 0: none */
    int verdict; /* StepOutcome of a failed attempt: RETRY, FAIL; 0: the policy lets the job go on */
    uint64_t retry_delay_ms;
    struct engine_work *work; /* in whose memory lies what a blocking handler has done */
    bool on_worker;           /* of a blocking handler: made of copies */
    bool waits_for_intent, failed, has_usage;
    int fail_code;
    char fail_message[512];
    bool fail_permanent;
    uint64_t retry_after_ms;
    uint64_t usage_in, usage_out, usage_cached;
    double usage_cost;
    uint32_t usage_calls;
    int64_t started_us, next_progress_ms;
    char key[96];
    char pause_id[64];
};

/* Makes the handler's changes of state in the job. */
void ctx_apply_changes(struct fm_ctx *ctx);
/* Drops what the handler has done so far; a failure stays. */
void ctx_reset(struct fm_ctx *ctx);
void ctx_free(struct fm_ctx *ctx);
/* Frees all that it holds, but not itself. */
void ctx_clear(struct fm_ctx *ctx);

/* blocking.c */
/* Runs the handler on a worker. Returns 0, or -1 after fm_ctx_fail. */
int blocking_start(struct fm_ctx *ctx, fm_handler handler);
/* Nobody waits for it any more. */
void blocking_cancel(struct engine_work *w);
/* Moves what the handler has done into the step's context; returns what it has returned. */
int blocking_adopt(struct fm_ctx *ctx, struct engine_work *w);
void blocking_free(struct engine_work *w);

/* merge.c */
/* The merge of a slot that puts several data together; NULL: each is a task of its own. */
const struct merge *merge_find(const struct routine *r, const char *slot);
/* Handles a datum that came to such a slot; returns as a handler does. */
int merge_take(struct fm_ctx *ctx, const struct merge *m);

#endif
