/* The jobs that wait in line for a host, and whose turn it is.
 *
 * Jobs that need the same of a host (routine types, labels, a host, a mode) are one group: a need. When hosts
 * have refused one job of it, none of the others is tried until a host changes. So what is done for a submit
 * or when a host becomes free does not grow with the number of jobs that wait, but with that of the needs
 * that some host could meet.
 *
 * Between flows, or the values of a label (core_config.fair_by), turns go round, weighted by priority: in the
 * time in which one has w turns another one with jobs of priority p has w * weight(p), where weight(p) is
 * 1 + p, and below 0 1 / (1 - p), |p| counted up to 99. Within one of them the job with the highest priority
 * goes first, of equal ones the one that waits longest; and it ages: each minute of its wait, and each ten
 * jobs of its flow that went in the meantime, count as one point of priority. So nobody waits for ever.
 *
 * Deterministic; a turn costs O(log n). */
#ifndef FM_CORE_LINE_H
#define FM_CORE_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct core;
struct job;

/* What is known of a need. */
enum need_state {
    NEED_OPEN, /* to be tried */
    NEED_FULL, /* hosts that could meet it have no room */
    NEED_NONE  /* no host could meet it */
};

/* Whether jobs with the same need wait: a job that comes takes its place behind them. */
bool line_has_need_of(struct core *c, const struct job *job);
bool line_is_empty(const struct core *c);
/* The job takes its place; `state` is that of its need if no other job has it. */
void line_add(struct core *c, struct job *job, enum need_state state);
/* It waits no more. */
void line_remove(struct core *c, struct job *job);
/* Of the needs in this state (FULL or NONE), those that `may` are to be tried again; `may` is asked with one
 * job of each. */
void line_reopen(struct core *c, enum need_state state, bool (*may)(struct core *c, const struct job *job));
/* Whose turn it is among the jobs whose need is to be tried; NULL: nobody's. */
struct job *line_next(struct core *c);
/* The job that line_next has named has its turn; line_remove is to follow. */
void line_take(struct core *c, struct job *job);
/* The same job is refused by all hosts: so are all with its need, in state FULL or NONE. */
void line_refuse(struct core *c, struct job *job, enum need_state state);
void line_free(struct core *c);

#endif
