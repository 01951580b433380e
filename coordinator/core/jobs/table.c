/* The jobs in memory, and the small cache of those that wait. A job that is paused or ended is in memory
 * only while somebody asks for it. */
#include "table.h"

#include <uthash.h>
#include <utlist.h>

#include "defs.h"
#include "err.h"
#include "host.h"
#include "id.h"
#include "job.h"
#include "job_state.h"
#include "op.h"
#include "place.h"
#include "state.h"
#include "unit.h"

struct job *job_in_memory(struct core *c, const struct fm_id *id)
{
    struct job *job;
    HASH_FIND(hh, c->jobs, id, sizeof(*id), job);
    return job;
}

/* Inputs are appended one by one, and taken all or many at once: only then all are looked at. */
static void count_inputs(struct job *job)
{
    struct task_item *t = job->inputs == NULL ? NULL : job->inputs->prev;
    uint32_t last = t == NULL ? 0 : t->input_number, first = t == NULL ? 0 : job->inputs->input_number;
    uint32_t known = first == job->input_first ? job->input_last : 0;
    if (known == 0)
        job->input_bytes = 0;
    for (; t != NULL && t->input_number > known; t = t == job->inputs ? NULL : t->prev)
        job->input_bytes += sizeof(*t) + t->body.n;
    job->input_first = first;
    job->input_last = last;
}

void job_count_bytes(struct core *c, struct job *job)
{
    count_inputs(job);
    size_t bytes = sizeof(*job) + job->disk_head.n * 2 + job->input_bytes + job->pause_bytes +
                   (job->state != NULL ? job_state_bytes(job->state) : 0);
    c->active_bytes += bytes - job->counted_bytes;
    if (job->is_idle)
        c->idle_bytes += bytes - job->counted_bytes;
    job->counted_bytes = bytes;
}

void job_leave_cache(struct core *c, struct job *job)
{
    if (!job->is_idle)
        return;
    job->is_idle = false;
    c->idle_bytes -= job->counted_bytes;
    DL_DELETE2(c->idle, job, idle_prev, idle_next);
}

void job_remove(struct core *c, struct job *job)
{
    job_leave_cache(c, job);
    place_unqueue(c, job);
    host_detach_job(job);
    if (job->is_dirty)
        DL_DELETE2(c->dirty, job, dirty_prev, dirty_next);
    if (job->def != NULL)
        def_unref(c, job->def);
    HASH_DEL(c->jobs, job);
    c->active_bytes -= job->counted_bytes;
    job_free(job);
}

void job_fail_ops(struct core *c, struct job *job, const struct fm_err *err)
{
    struct op **lists[] = {&job->ops, &job->pause_ops, &job->host_ops, &job->breakpoint_ops};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct op *list = *lists[i], *op, *tmp;
        *lists[i] = NULL;
        DL_FOREACH_SAFE (list, op, tmp) {
            DL_DELETE(list, op);
            struct fm_err copy = {0};
            fm_err_copy(&copy, err);
            op_fail(c, op, &copy);
        }
    }
}

void job_run_ops(struct core *c, struct job *job)
{
    struct op *list = job->ops, *op, *tmp;
    job->ops = NULL;
    job->pins++; /* its caller lets it rest afterwards */
    DL_FOREACH_SAFE (list, op, tmp) {
        DL_DELETE(list, op);
        op_run(c, op);
    }
    job->pins--;
}

struct job *job_add_loading(struct core *c, const struct fm_id *id)
{
    struct job *job = job_new(id);
    HASH_ADD(hh, c->jobs, id, sizeof(job->id), job);
    job_count_bytes(c, job);
    return job;
}

static bool is_active(const struct job *job)
{
    int status = job_status(job);
    return status == JOB_PENDING || status == JOB_RUNNING || job->inflight != NULL || job->next != NULL ||
           job->watches != NULL || job->ops != NULL || job->pause_ops != NULL || job->host_ops != NULL ||
           job->breakpoint_ops != NULL;
}

void job_rest(struct core *c, struct job *job)
{
    if (job->loading)
        return;
    job_count_bytes(c, job);
    if (job->pins > 0)
        return;
    if (is_active(job)) {
        job_leave_cache(c, job); /* a timer, or another job, has woken it */
        return;
    }
    if (job->is_idle)
        return;
    if (job->counted_bytes > c->cfg.cache_bytes / 8) {
        job_remove(c, job);
        return;
    }
    job->is_idle = true;
    c->idle_bytes += job->counted_bytes;
    DL_APPEND2(c->idle, job, idle_prev, idle_next);
    while (c->idle_bytes > c->cfg.cache_bytes) {
        struct job *oldest = c->idle;
        job_leave_cache(c, oldest);
        if (!is_active(oldest) && oldest->pins == 0)
            job_remove(c, oldest);
    }
}

static void free_ops(struct core *c, struct op **list)
{
    struct op *op, *tmp;
    DL_FOREACH_SAFE (*list, op, tmp)
        op_free(c, op);
    *list = NULL;
}

void jobs_free(struct core *c)
{
    struct job *job, *tmp;
    HASH_ITER (hh, c->jobs, job, tmp) {
        if (job->next != NULL)
            unit_free(c, job->next);
        job->next = job->inflight = NULL;
        free_ops(c, &job->ops);
        free_ops(c, &job->pause_ops);
        free_ops(c, &job->host_ops);
        free_ops(c, &job->breakpoint_ops);
        job_remove(c, job);
    }
}
