/* A job as the core holds it: its record (the head), its state, the table of status transitions. Core thread
 * only; no I/O. */
#ifndef FM_JOB_H
#define FM_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "id.h"
#include "job_state.h"
#include "pbc.h"
#include "store.h"

/* Statuses by short names; the values are those of the proto. */
enum job_status {
    JOB_NO_STATUS = -1, /* so that it is an int with every compiler, like the numbers of the proto */
    JOB_PENDING = JOB_STATUS_PENDING,
    JOB_RUNNING = JOB_STATUS_RUNNING,
    JOB_PAUSED = JOB_STATUS_PAUSED,
    JOB_SLEEPING = JOB_STATUS_SLEEPING,
    JOB_COMPLETED = JOB_STATUS_COMPLETED,
    JOB_FAILED = JOB_STATUS_FAILED,
    JOB_CANCELLED = JOB_STATUS_CANCELLED
};
#define JOB_STATUSES 8

/* What happens to a job. */
enum job_event {
    JOB_EV_ASSIGN,   /* a host was chosen */
    JOB_EV_REQUEUE,  /* its host gave it back or was lost */
    JOB_EV_PAUSE,    /* a step asked a question, or nothing is left while one is open */
    JOB_EV_HOLD,     /* an operator's pause took effect */
    JOB_EV_RESUME,   /* an answer came, or the operator's pause ended, and nothing else holds it */
    JOB_EV_COMPLETE, /* its last task was consumed */
    JOB_EV_FAIL,     /* a step failed */
    JOB_EV_CANCEL,   /* a client ended it */
    JOB_EV_SLEEP,    /* only timers or other jobs are left to wait for */
    JOB_EV_WAKE,     /* what it slept for has come */
    JOB_EV_RETRY,    /* an operator lets a failed job go on */
    JOB_EVENTS
};

/* The status after `event` in `from`, or 0 when that is not allowed. The one table of transitions. */
int job_next_status(int from, enum job_event event);
/* Why that transition exists, for people; NULL when it does not. */
const char *job_transition_why(int from, enum job_event event);
bool job_status_final(int status);
/* "PENDING" and so on; "?" for an unknown number. */
const char *job_status_name(int status);
const char *job_event_name(enum job_event event);

struct host;
struct flow_def;
struct line;
struct unit;
struct op;
struct watch;
struct pause_entry;

/* A child that has ended, and for whose result its parent has no room. */
struct result_wait {
    struct result_wait *prev, *next;
    struct fm_id child;
    size_t bytes;
};

#define PAUSE_REASONS 32 /* that are counted singly; later ones count together */

#define JOB_RECHECK_MS 5000 /* from one look at a job's children or parent to the next */

struct job {
    UT_hash_handle hh;
    struct fm_id id;
    char text[27];
    Fermata__V1__Job *head;  /* the record, without state; NULL while loading */
    struct fm_buf disk_head; /* its encoding as last committed; empty for a job that is not on disk yet */
    int disk_status;         /* the status in it */
    struct job_state *state;
    struct task_item *inputs; /* inputs that no step has taken, by number */
    uint32_t inputs_on_disk;  /* inputs up to this number are committed */
    uint32_t inputs_sent;     /* inputs up to this number were sent to the host */
    uint32_t steps_on_disk, entries_on_disk;
    uint32_t snapshot_step;       /* step that the stored snapshot covers */
    size_t journal_bytes;         /* bytes of steps since the snapshot */
    uint32_t emit_deferred_input; /* emit_deferred is over when a step has taken inputs through this one */
    size_t input_bytes;           /* of `inputs` from input_first to input_last */
    uint32_t input_first, input_last;
    size_t counted_bytes;                /* what the core has counted for it */
    struct pause_entry *pauses_by_id;    /* NULL: there have been few since there was none */
    size_t pause_bytes;                  /* of the open pauses, without claims */
    uint32_t n_by_reason[PAUSE_REASONS]; /* of those */
    struct flow_def *def;
    struct host *host;                     /* while RUNNING */
    struct job *host_prev, *host_next;     /* among the host's jobs */
    struct job *assign_prev, *assign_next; /* among those whose assignment is not sent yet */
    struct job *pend_prev, *pend_next;     /* among the jobs that wait for a host, and not in line */
    struct line *line;                     /* in which it waits for a host */
    int64_t line_points;                   /* its priority there, less the age of its account */
    size_t line_place;
    struct job *dirty_prev, *dirty_next;
    struct job *idle_prev, *idle_next;
    bool assign_waits, is_new, loading, queued, is_dirty, is_idle, head_dirty, assign_sent, interrupted;
    unsigned pins;         /* callers that still use it: it is not removed */
    bool time_wanted;      /* job_on_time, once it is loaded */
    bool had_place;        /* on a host, before it was read again */
    int64_t recheck_ms;    /* wall time of the next look at its children or its parent */
    uint32_t bad_steps;    /* steps refused for breaking a rule */
    char *avoid_host;      /* a host that refused it a moment ago */
    uint32_t refusals;     /* in a row: hosts that gave it back as they got it */
    int64_t rest_until_ms; /* monotonic; no host gets it before, for several have refused it; 0: none */
    bool not_taken;        /* its host has not taken it up */
    uint32_t trials;       /* how often it was tried alone on a host */
    bool waits_apart;      /* queued, among the jobs that are tried one at a time */
    struct unit *inflight, *next;
    struct result_wait *results; /* of children, that wait until there is room */
    size_t result_bytes;         /* of those */
    struct op *ops;              /* requests that wait for it to be loaded */
    struct op *pause_ops;        /* PauseJob calls that wait for the pause */
    struct op *host_ops;         /* ResumeJob calls that wait for a host */
    struct op *breakpoint_ops;   /* SetBreakpoints calls that wait for the disk and the host */
    struct watch *watches;
};

/* The status in its record (enum job_status). */
static inline int job_status(const struct job *job)
{
    return (int)job->head->status;
}

/* A job that is being loaded. */
struct job *job_new(const struct fm_id *id);
void job_free(struct job *job);

/* Does the transition; returns -FM_FAILED_PRECONDITION naming the status when the table has none (then
 * nothing changes). */
int job_move(struct job *job, enum job_event event, int64_t wall_ms, struct fm_err *err) FM_MUST_CHECK;

/* Fills a loading job from what the store returned: head, snapshot, inputs, steps. Returns 0 or
 * -FM_DATA_LOSS. */
int job_load(struct job *job, const struct store_found_job *found, struct fm_err *err) FM_MUST_CHECK;

/* The fold of snapshot, inputs and steps that a full read of the store returned. Returns 0 or -FM_DATA_LOSS.
 */
int job_fold_stored(const struct store_found_job *found, struct job_state **ret_state,
                    struct task_item **ret_inputs, struct fm_err *err) FM_MUST_CHECK;

/* A task that waits: pending, or an input that no step has taken; NULL: there is none. Valid until the next
 * change. */
const struct task_item *job_find_task(const struct job *job, const char *task_id);
/* The open pause with this id, or NULL. A look-up in a table, as soon as there are more than a few. */
Fermata__V1__Pause *job_find_pause(const struct job *job, const char *pause_id);
/* Adds an open pause; takes ownership of a message made by pb_clone. What is counted of it (pause_id, reason,
 * and all that pause_bytes_of counts) stays as it is for as long as it is open. */
void job_add_pause(struct job *job, Fermata__V1__Pause *pause);
void job_remove_pause(struct job *job, const char *pause_id);
/* The job has ended: closes all pauses. Of one that may go on, questions are kept aside. */
enum kept_pauses { KEEP_NONE, KEEP_QUESTIONS };
void job_close_pauses(struct job *job, enum kept_pauses keep);
/* The job goes on: the questions that were kept are open again. */
void job_reopen_pauses(struct job *job);
/* How many of the open pauses have this reason. */
size_t job_count_pauses(const struct job *job, Fermata__V1__PauseReason reason);
/* How many of them are questions that steps have asked. FM_MAX_OPEN_QUESTIONS bounds these. */
size_t job_count_questions(const struct job *job);
/* What a pause counts for in the limit of a job's state: its encoding, without what changes while it is open
 * (a claim, whose question it is). */
size_t pause_bytes_of(const Fermata__V1__Pause *p);

/* True when the job has a pending task, due or not, or an input that no step has taken. */
bool job_has_work(const struct job *job);
/* True when an open pause halts the whole job: an operator's, a breakpoint, an unknown outcome, a limit. */
bool job_is_held(const struct job *job);
/* True while a limit that was met holds it: it starts no jobs. */
bool job_is_limited(const struct job *job);
/* The job is to be paused at the end of its step in hand because it has met this limit ("steps", "depth"). */
void job_limit_met(struct job *job, const char *limit);
/* When the job must be looked at without anybody's asking, in wall milliseconds; 0: never. In a
 * flow that runs several tasks side by side (`parallelism` above 1) an open question does not stop its
 * timers. Sets head.wake_at, too. */
int64_t job_wake_ms(struct job *job);

/* True when a snapshot is worth writing now: `at_rest` when the job pauses or ends. Only when the journal
 * since the last one is worth it, and has grown as large as the state, so that what is written stays in
 * proportion to what happened. */
bool job_wants_snapshot(const struct job *job, bool at_rest, uint32_t snapshot_steps, size_t snapshot_bytes);

/* The job is given to a host, having been on this one (""): until the journal shows that, its record says so.
 */
void job_set_assignment(struct job *job, const char *from_host, int64_t wall_ms);
void job_forget_assignment(struct job *job);
/* It shall start its journal over when nothing of it runs any more; or no longer. */
void job_want_continue(struct job *job, const Fermata__V1__Continue *how, const char *by, const char *reason);
void job_forget_continue(struct job *job);

/* True when the job has children to look after or a parent to tell. */
bool children_due(const struct job *job);

#endif
