/* What the state (job_state.c) and the fold (fold.c) share. */
#ifndef FM_JOB_STATE_INT_H
#define FM_JOB_STATE_INT_H

#include <uthash.h>

#include "buf.h"
#include "fermata/v1/types.pb-c.h"
#include "job_state.h"
#include "kv.h"

struct routine_state {
    UT_hash_handle hh;
    char *routine;
    struct kv kv;
};

struct item {
    struct item *prev, *next;
    struct fm_bytes body;
};

struct job_state {
    struct task_item *tasks;
    struct task_item *tasks_by_id; /* NULL: there have been few since there was none */
    size_t n_tasks;
    struct item *deferred;
    size_t n_deferred;
    struct kv shared;
    struct routine_state *routines;
    struct fm_buf log;     /* encoded field 4 of JobState, again and again */
    struct fm_buf outputs; /* field 6 */
    uint64_t log_trimmed, outputs_trimmed;
    uint32_t step, inputs;
    bool has_usage;
    Fermata__V1__Usage usage;
    size_t bytes;       /* of all but log and outputs */
    size_t input_bytes; /* of those: of tasks that are inputs */
};

struct task_item *task_item_alloc(struct fm_bytes body, const char *id, const char *routine,
                                  const char *slot);
struct item *item_pack(const ProtobufCMessage *m);
void add_task(struct job_state *s, struct task_item *t);
/* Takes a pending task out; it is the caller's. */
void remove_task(struct job_state *s, struct task_item *t);
/* Puts one in the place of another, which is the caller's then; they have the same id. */
void replace_task(struct job_state *s, struct task_item *old, struct task_item *t);
void add_deferred(struct job_state *s, struct item *i);
struct routine_state *routine_get(struct job_state *s, const char *routine, size_t n);

#endif
