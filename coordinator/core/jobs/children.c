/* Jobs that start jobs: the parent's record of its children. A step names the children it starts; they become
 * entries of the record with the step. What the two tell each other is in family.c. */
#include "children.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "id.h"
#include "job.h"
#include "job_limits.h"
#include "job_state.h"
#include "mem.h"
#include "op.h"
#include "pbc.h"
#include "state.h"
#include "unit.h"

#define MAX_CHILDREN 1000       /* of a step */
#define MAX_OPEN_CHILDREN 10000 /* of a job: its record names them all */

/* ---- the parent's record ---- */

Fermata__V1__Child *child_find(const struct job *job, const char *child_id, size_t *ret_at)
{
    for (size_t i = 0; i < job->head->n_children; i++)
        if (strcmp(job->head->children[i]->job_id, child_id) == 0) {
            *ret_at = i;
            return job->head->children[i];
        }
    return NULL;
}

Fermata__V1__Child *child_find_before(const struct job *job, const char *child_id, size_t end)
{
    for (size_t i = end < job->head->n_children ? end : job->head->n_children; i-- > 0;)
        if (strcmp(job->head->children[i]->job_id, child_id) == 0)
            return job->head->children[i];
    return NULL;
}

void child_remove(struct job *job, size_t at)
{
    Fermata__V1__Job *h = job->head;
    fermata__v1__child__free_unpacked(h->children[at], NULL);
    memmove(&h->children[at], &h->children[at + 1], (h->n_children - at - 1) * sizeof(*h->children));
    h->n_children--;
    job->head_dirty = true;
    if (h->n_children == 0) {
        free(h->children);
        h->children = NULL;
    }
}

int children_check(const struct job *job, const Fermata__V1__Step *step, struct fm_err *err)
{
    if (step->n_children > 0 && job->head->n_children + step->n_children > MAX_OPEN_CHILDREN)
        return fm_err_set(err, FM_RESOURCE_EXHAUSTED, "step.children",
                          "the job waits for %zu jobs that it has started, and the step starts %zu more; the "
                          "limit is %d",
                          job->head->n_children, step->n_children, MAX_OPEN_CHILDREN);
    if (step->n_children > MAX_CHILDREN)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "step.children", "%zu children; the limit is %d",
                          step->n_children, MAX_CHILDREN);
    if (step->n_children > 0 && step->task_id[0] == '\0')
        return fm_err_set(err, FM_INVALID_ARGUMENT, "step.children",
                          "a step without a task starts %zu jobs; only a task may", step->n_children);
    for (size_t i = 0; i < step->n_children; i++)
        if (step->children[i]->entry == NULL || step->children[i]->result_slot[0] == '\0')
            return fm_err_set(err, FM_INVALID_ARGUMENT, "step.children",
                              "child %zu has no entry or no slot for its result", i);
    return 0;
}

static void family_done(struct core *c, struct job *job, struct effect *e)
{
    (void)c;
    (void)job;
    (void)e; /* when the whole unit is done */
}

static void family_changed(struct core *c, struct job *job)
{
    c->family_changed(c, job);
}

static const struct effect_kind family_effect = {"family", family_done, NULL, family_changed, NULL};

void children_effect(struct unit *u)
{
    unit_effect(u, &family_effect, (struct fm_bytes){0});
}

void children_add(struct core *c, struct job *job, const Fermata__V1__Step *step,
                  const struct task_item *task)
{
    Fermata__V1__Job *h = job->head;
    Fermata__V1__Task *t = fermata__v1__task__unpack(NULL, task->body.n, task->body.p);
    h->children = fm_xrealloc(h->children, (h->n_children + step->n_children) * sizeof(*h->children));
    for (size_t i = 0; i < step->n_children; i++) {
        struct fm_id id;
        char text[27];
        fm_id_next(&c->ids, c->wall_ms, &id);
        fm_id_text(&id, text);
        Fermata__V1__Child child = FERMATA__V1__CHILD__INIT;
        child.job_id = text;
        child.routine = step->routine;
        child.slot = step->children[i]->result_slot;
        child.start = step->children[i];
        if (t != NULL)
            child.call_id = t->call_id;
        h->children[h->n_children++] = pb_clone(&child);
    }
    if (t != NULL)
        fermata__v1__task__free_unpacked(t, NULL);
    job->head_dirty = true;
    job->recheck_ms = c->wall_ms + JOB_RECHECK_MS;
    if (!children_may_start(c, job))
        job_limit_met(job, "depth");
    children_effect(unit_of(c, job));
}

bool children_may_start(const struct core *c, const struct job *job)
{
    struct limits l = limits_of_job(job->head, &job->def->limits, &c->cfg.limits);
    return limits_may_start(job->head, &l);
}

void children_set_parent(struct job *job, const struct op *op)
{
    char text[27];
    if (op->inner == NULL)
        return;
    fm_id_text(&op->inner->parent, text);
    pb_set_string(&job->head->parent, text);
    job->head->depth = op->inner->depth;
}
