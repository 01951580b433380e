/* Jobs that start jobs: the parent's record of its children, and what the two tell each other. */
#ifndef FM_CORE_CHILDREN_H
#define FM_CORE_CHILDREN_H

#include "err.h"
#include "fermata/v1/types.pb-c.h"

struct core;
struct job;
struct op;
struct task_item;
struct unit;

/* The job that a call of the core's own submits knows its parent. */
void children_set_parent(struct job *job, const struct op *op);
/* The children that the step names become the job's, with the step. */
void children_add(struct core *c, struct job *job, const Fermata__V1__Step *step,
                  const struct task_item *task);
/* Returns 0 or -FM_INVALID_ARGUMENT. */
int children_check(const Fermata__V1__Step *step, struct fm_err *err);
/* Starts children that are not started, cancels those of an ended job, tells the parent of an ended
 * job. Call only for what is on disk. */
void children_look(struct core *c, struct job *job);
/* children_look, when the unit is on disk. */
void children_effect(struct unit *u);

#endif
