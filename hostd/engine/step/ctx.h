/* A handler at work: the context that the routine API hands to it, and what it has done so far. */
#ifndef FM_ENGINE_CTX_H
#define FM_ENGINE_CTX_H

#include <fermata/routine.h>
#include <uthash.h>

#include "arena.h"
#include "buf.h"
#include "calls.h"
#include "kinds.h"
#include "policy.h"

struct asked;
struct engine_work;
struct hjob;
struct routine;
struct task;

struct change {
    struct change *prev, *next;
    struct change *next_same;  /* of the same key */
    const char *routine, *key; /* routine "": shared data */
    enum change_kind kind;
    bool kept;           /* stays when the step fails */
    uint32_t count;      /* of a list's elements, to drop */
    struct fm_buf value; /* encoded Value */
};

/* A key that the handler has changed. */
struct changed_key {
    UT_hash_handle hh;
    struct change *first, *last;
};

struct emission {
    struct emission *prev, *next;
    UT_hash_handle hh; /* among those that are scheduled, by key */
    const char *event; /* NULL: enqueue */
    const char *slot;
    const char *key; /* of a schedule */
    uint64_t delay_ms;
    bool merged;
    struct fm_buf data; /* encoded Struct */
};

/* A scheduled task that the step drops. */
struct unscheduled {
    UT_hash_handle hh; /* by key */
    const char *key, *id;
};

/* A place in the flow. */
struct to {
    const char *routine, *slot;
};

/* A question that the step withdraws. */
struct withdrawn {
    struct withdrawn *prev, *next;
    const char *pause_id, *routine, *reason;
    bool has_state; /* its routine keeps something under the id of the pause, which goes with it */
};

/* What a step starts. */
struct child {
    struct child *prev, *next;
    struct fm_buf body; /* encoded ChildStart */
};

/* What a handler has done, which becomes its step. The members of its lists lie in the memory of
 * the step (of a handler that blocks: of its copy). */
struct outcome {
    struct change *changes;
    size_t n_changes;
    struct changed_key *changed_own, *changed_shared; /* hash tables by key; see changes.c */
    bool indexed;                                     /* they have all of the changes */
    struct emission *emissions;
    size_t n_emissions;         /* and of defers */
    struct emission *scheduled; /* hash table: of the emissions those with a delay and a key */
    struct emission *defers;
    struct fm_buf *log, *pauses; /* arrays of encoded LogEntry and Pause */
    size_t n_log, n_pauses;
    struct child *children;
    struct unscheduled *unscheduled; /* hash table, in order */
    struct fm_buf continue_as;       /* encoded Continue */
    bool continues;                  /* the job starts its journal over */
    struct to *continue_to;          /* where its tasks go */
    size_t n_continue_to;
    struct unscheduled *dropped; /* the same of tasks of other routines, by id: "key" is the id */
    struct withdrawn *withdrawn;
    size_t n_withdrawn;
    struct asked *asked; /* the questions in `pauses` */
    bool failed, has_usage;
    struct failure failure;
    char fail_message[512];
    const char *fail_reason; /* NULL: none; a constant */
    uint64_t usage_in, usage_out, usage_cached;
    double usage_cost;
    uint32_t usage_calls;
};

struct fm_ctx {
    struct hjob *job;
    struct task *task;
    struct routine *routine;
    struct fm_arena arena, scratch; /* scratch: see ctx_scratch */
    const struct fm_value *data, *config;
    const struct fm_value *datum; /* of a slot that appends: what came; its data are all so far */
    struct outcome out;
    struct waits waits;
    enum step_outcome verdict; /* on a failed attempt: RETRY, FAIL; NONE: the policy lets the job go on */
    uint64_t retry_delay_ms;
    struct engine_work *work; /* in whose memory lies what a blocking handler has done */
    bool on_worker;           /* of a blocking handler: made of copies */
    bool waits_for_intent;
    bool at_work;               /* its handler was called */
    struct engine_work *handed; /* … or is to be called on another thread, and has not returned */
    bool begun;                 /* engine_io.task_begins was called, and gave this */
    size_t begun_as;
    uint64_t intent_seq; /* number of the message that has announced the attempt */
    int64_t started_us, next_progress_ms;
    char key[96];
    char pause_id[64];
};

struct fm_ctx *ctx_new(struct hjob *job, struct task *t);
/* Drops what the handler has done so far; a failure stays, and what is kept of it. */
void ctx_reset(struct fm_ctx *ctx);
/* Ends its calls and frees it; the task is not its own. */
void ctx_free(struct fm_ctx *ctx);
/* Frees all that it holds, but not itself. */
void ctx_clear(struct fm_ctx *ctx);
/* Whether there is room for one more of n ("changes"); false after fm_ctx_fail: the step has too many. */
bool ctx_has_room(struct fm_ctx *ctx, const char *what, size_t n, size_t limit);
/* A copy in the step's memory. */
char *ctx_keep_text(struct fm_ctx *ctx, const char *s);
/* Encodes data (a map or NULL), called `what` in a fault; false after fm_ctx_fail. */
bool ctx_encode(struct fm_ctx *ctx, const char *what, const struct fm_value *data, struct fm_buf *out);
/* Begins to count the time that the attempt takes; how long it has taken. */
void ctx_start_clock(struct fm_ctx *ctx);
uint64_t ctx_took_us(const struct fm_ctx *ctx);

#endif
