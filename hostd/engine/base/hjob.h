/* A job as a host holds it (the coordinator has a record of its own, `struct job`; "h" is for
 * host): its flow, the tasks that wait, the host's copy of its state, the steps that are not on
 * disk yet. Here: its parts, and putting tasks where they belong; which task runs when is decided
 * in queue.c. */
#ifndef FM_ENGINE_HJOB_H
#define FM_ENGINE_HJOB_H

#include <uthash.h>

#include "asked.h"
#include "buf.h"
#include "hflow.h"
#include "kv.h"
#include "pb_var.h"
#include "schedule.h"
#include "task.h"

struct engine;
struct eval_request;
struct session;

/* What the coordinator says of a task. */
struct task_mark {
    UT_hash_handle hh;
    char *id, *lost_reason; /* NULL: the task is a suspect */
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

struct breakpoint {
    struct breakpoint *next;
    char *routine, *slot, *condition;
};

struct hjob {
    UT_hash_handle hh;
    char id[27];
    uint32_t epoch;
    struct engine *engine;   /* NULL in the copy for a handler that blocks */
    struct session *session; /* with the coordinator that has assigned it */
    int64_t clock_ms; /* the coordinator's clock minus the engine's; in that copy: the coordinator's clock */
    size_t bytes;     /* that came with its assignment and as inputs */
    struct flow *flow;
    size_t n_tasks;            /* in queues, scheduled, and in hand */
    struct schedule scheduled; /* not due yet */
    struct task *halted;       /* wait until a question is closed; see Assign.halted_at */
    uint32_t halted_at;        /* 0: none is halted */
    uint64_t next_seq;
    uint64_t alarm; /* call that wakes the job when its next task is due; 0: none */
    int64_t alarm_ms;
    struct asked *asked; /* open questions, but for those that an operator has closed: that is not told */
    struct breakpoint *breakpoints;
    char *released_task;
    struct task_mark *marks; /* by id; of tasks to come, too */
    size_t n_suspects;       /* tasks that wait or are at work, and beside which nothing is to be */
    size_t n_running;
    char *break_task; /* id of the task that reached a breakpoint; NULL: none */
    char *break_why;  /* what was wrong with its condition; NULL: nothing */
    struct deferred *deferred;
    struct kv shared;
    struct routine_state *routines;
    uint32_t last_step;           /* number of the last step made */
    uint32_t inputs_through;      /* inputs taken */
    uint32_t prelude_deferred;    /* deferred events emitted since the last step */
    struct fm_buf *prelude_tasks; /* the tasks they made, encoded */
    size_t n_prelude_tasks;
    struct fm_buf *prelude_outputs; /* those that no connection took, encoded */
    size_t n_prelude_outputs;
    struct sent_step *sent;
    size_t sent_bytes, n_sent;
    enum job_phase phase;
    enum interrupt_kind interrupt;
    int64_t interrupt_at_ms; /* abort then; 0: no */
    struct pb_var aborted;   /* list of the ids of tasks whose handlers were at work and were aborted; own */
    struct hjob *ready_prev, *ready_next;
    bool is_ready; /* in the list of those that may run */
};

/* Says of a task that shall fail why, or (with NULL) that it is a suspect. Before the task is added. */
void hjob_mark(struct hjob *job, struct fm_bytes id, const struct fm_bytes *lost_reason);
/* The task has a step, or is no more. */
void hjob_unmark(struct hjob *job, struct task *t);
struct hjob *hjob_find(struct engine *e, struct pb_var id, uint32_t epoch);
/* Frees its memory; no handler is at work, and nothing refers to it any more. */
void hjob_free(struct hjob *job);
void hjob_free_states(struct hjob *job);
void hjob_free_breakpoints(struct hjob *job);
/* Forgets the prelude of the next step (prelude.h). */
void hjob_clear_prelude(struct hjob *job);
struct routine_state *hjob_routine_state(struct hjob *job, const char *routine);
/* Puts in what the request's programs look at beside their data (jq_context.h), if they do; of this routine.
 * The buffers keep it. */
void hjob_put_context(struct hjob *job, const char *routine, struct eval_request *request,
                      struct fm_buf *shared, struct fm_buf *state);

/* A copy of the task with all its text and data. */
struct task *task_new(const struct task *from);
struct deferred *deferred_new(const char *routine, const char *event, struct fm_bytes data);
/* Puts a task to where it belongs: its routine's queue, or the scheduled ones. */
void hjob_add_task(struct hjob *job, struct task *t);
/* A question was asked in a flow without parallelism: what it halts is put aside. */
void hjob_begin_halt(struct hjob *job);
/* A question is closed: what was halted runs, in its old order. */
void hjob_end_halt(struct hjob *job);
/* Puts a task back that was in hand: first in its routine's queue. */
void hjob_return_task(struct task *t);
/* Appends a task to its routine's queue: it is due. */
void hjob_enqueue(struct hjob *job, struct task *t);

/* Sends a step that was made, and keeps it until it is on disk. */
void hjob_send_step(struct hjob *job, const struct fm_buf *step);
/* Forgets the steps up to this number, which are on disk. */
void hjob_stored(struct hjob *job, uint32_t number);
/* The handler of the task was at work and is aborted: the coordinator shall hear of it. */
void hjob_note_aborted(struct hjob *job, const struct task *t);
/* Sets the time at which an interrupt aborts what runs; the engine looks when the first of them has
 * come. */
void hjob_set_grace(struct hjob *job, int64_t at_ms);

#endif
