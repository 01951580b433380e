/* Jobs that start jobs: the parent's record of its children. */
#ifndef FM_CORE_CHILDREN_H
#define FM_CORE_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>

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
/* Returns 0, -FM_INVALID_ARGUMENT, or -FM_RESOURCE_EXHAUSTED: the job waits for too many. */
int children_check(const struct job *job, const Fermata__V1__Step *step, struct fm_err *err) FM_MUST_CHECK;
/* The child with this id, or NULL. */
Fermata__V1__Child *child_find(const struct job *job, const char *child_id, size_t *ret_at);
/* The same among the first `end` of them, from the last one on. */
Fermata__V1__Child *child_find_before(const struct job *job, const char *child_id, size_t end);
void child_remove(struct job *job, size_t at);
/* False while the limit of its depth holds it. */
bool children_may_start(const struct core *c, const struct job *job);
/* Something is to be done for the family when the unit is on disk: c->family_changed is called. */
void children_effect(struct unit *u);

#endif
