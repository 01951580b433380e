/* A job's state as the coordinator holds it, and the fold of a step into it.
 *
 * The coordinator never looks into user data: tasks, values, log entries stay encoded, as the elements of a
 * JobState message; folding moves elements, and encoding the state is concatenation. Not thread-safe; belongs
 * to one job. */
#ifndef FM_JOB_STATE_H
#define FM_JOB_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "buf.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"

/* A task with its encoding; one block of memory. */
struct task_item {
    struct task_item *prev, *next;
    UT_hash_handle hh;     /* among the pending tasks of a state, by id */
    uint32_t input_number; /* 0 when a step made it */
    const char *id, *routine, *slot;
    int64_t due_ms;       /* wall time before which it is not run; 0: none */
    bool beside;          /* an open question does not halt it */
    struct fm_bytes body; /* encoded Task */
};

/* Packs a task. Never fails. Free with free(). */
struct task_item *task_item_new(const Fermata__V1__Task *task);
/* Parses an encoded Task. Returns NULL with -FM_DATA_LOSS in err when it is malformed. */
struct task_item *task_item_parse(struct fm_bytes body, struct fm_err *err);
/* Frees a list. */
void task_list_free(struct task_item *list);

struct job_state;

struct job_state *job_state_new(void);
void job_state_free(struct job_state *s);

/* Reads an encoded JobState. Returns 0, or -FM_DATA_LOSS. */
int job_state_decode(struct fm_bytes encoded, struct job_state **ret_state, struct fm_err *err) FM_MUST_CHECK;

/* Sets the shared data of a new state from a Struct. */
void job_state_set_shared(struct job_state *s, const Google__Protobuf__Struct *shared);

/* Appends the encoded JobState to `out`. `more` are tasks shown after the pending ones (inputs that no step
 * has taken), or NULL. */
void job_state_encode(const struct job_state *s, const struct task_item *more, struct fm_buf *out);
/* Appends what its model calls have used as a field of the message that is being built; nothing when there
 * were none. */
void job_state_put_usage(const struct job_state *s, uint32_t field, struct fm_buf *out);

/* Number of the last step folded in, of the last input, of pending tasks, and the approximate size of the
 * encoded state. */
uint32_t job_state_step(const struct job_state *s);
uint32_t job_state_inputs(const struct job_state *s);
size_t job_state_pending(const struct job_state *s);
/* How many deferred events wait to be emitted. */
size_t job_state_deferred(const struct job_state *s);
/* How many pending tasks could run at `wall_ms`: those whose time has come; with `halted_at` (Job.halted_at)
 * not 0, only those that had a time of their own, and what follows from them. (One that stands behind a
 * failed task of its routine counts, too: the host knows better, and says so when it gives the job back.) */
size_t job_state_runnable(const struct job_state *s, int64_t wall_ms, uint32_t halted_at);
/* The earliest time at which a pending task becomes due; 0: none waits for its time. */
int64_t job_state_next_due(const struct job_state *s);
/* The pending task with this id; NULL when there is none. Valid until the next change. */
const struct task_item *job_state_find_task(const struct job_state *s, const char *task_id);
/* The first of the pending tasks, in the order in which they came; the others follow by `next`. */
const struct task_item *job_state_tasks(const struct job_state *s);
size_t job_state_bytes(const struct job_state *s);
/* Appends the encoded Value under a key of the shared data, or (`routine` not "") of a routine's state. False
 * when there is none. */
bool job_state_value(const struct job_state *s, const char *routine, const char *key, struct fm_buf *out);
/* The same without the inputs among its tasks, which were counted when they were accepted. */
size_t job_state_own_bytes(const struct job_state *s);

/* The limit of a state: what it will be with what stands beside it and counts, too (open questions). What
 * was accepted at the door, as inputs, does not count: it fails no job later, whenever it came. */
struct state_limit {
    size_t most, beside;
};
#define NO_STATE_LIMIT ((struct state_limit){SIZE_MAX, 0})

/* Cuts the state to what is to be kept. */
void job_state_trim(struct job_state *s, const Fermata__V1__Kept *kept);

/* Folds a step in: whole, or not at all. `*inputs` is the list of inputs that no step has taken, by number;
 * those the step takes move into the state. On success `*ret_task` is the task as it was before the step,
 * owned by the caller (task_item; free()); NULL for an operator's step without a task. `step_bytes` is the
 * length of the step's encoding. Errors: -FM_INVALID_ARGUMENT (the step breaks a rule; field says which),
 * -FM_RESOURCE_EXHAUSTED (the state would be too large). */
int job_state_apply(struct job_state *s, struct task_item **inputs, const Fermata__V1__Step *step,
                    size_t step_bytes, struct state_limit limit, struct task_item **ret_task,
                    struct fm_err *err) FM_MUST_CHECK;

#endif
