/* Jobs in and out of memory: loading on demand, recovery at start, reading again after a failed unit, and the
 * small cache of jobs that wait. A job that is paused or ended is in memory only while somebody asks for it.
 */
#include "core_int.h"

#include <string.h>

#include <utlist.h>

#include "log.h"
#include "mem.h"

#define RECOVERY_PAGE 256

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
    size_t bytes = sizeof(*job) + job->disk_head.n * 2 + job->input_bytes +
                   (job->state != NULL ? job_state_bytes(job->state) : 0);
    c->active_bytes += bytes - job->counted_bytes;
    if (job->is_idle)
        c->idle_bytes += bytes - job->counted_bytes;
    job->counted_bytes = bytes;
}

static void leave_cache(struct core *c, struct job *job)
{
    if (!job->is_idle)
        return;
    job->is_idle = false;
    c->idle_bytes -= job->counted_bytes;
    DL_DELETE2(c->idle, job, idle_prev, idle_next);
}

void job_remove(struct core *c, struct job *job)
{
    leave_cache(c, job);
    sched_unqueue(c, job);
    host_detach_job(job);
    if (job->is_dirty)
        DL_DELETE2(c->dirty, job, dirty_prev, dirty_next);
    if (job->def != NULL)
        def_unref(c, job->def);
    HASH_DEL(c->jobs, job);
    c->active_bytes -= job->counted_bytes;
    job_free(job);
}

/* ---- loading ---- */

static void fail_ops(struct core *c, struct job *job, const struct fm_err *err)
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

static void recovery_loaded(struct core *c)
{
    if (c->recovered || --c->recover_loading > 0)
        return;
    recovery_next(c);
}

/* The job has been read, or cannot be, or is not there. One that was read again because a unit failed left
 * its host for that; most take their place there again. Now it is known whether it is free for those that
 * wait. */
static void settle_place(struct core *c, struct job *job)
{
    c->match_wanted = c->match_wanted || job->had_place;
    job->had_place = false;
}

static void give_up(struct core *c, struct job *job, const struct fm_err *err)
{
    FM_LOG(ERROR, STORAGE, "a job cannot be read", FM_STR("job", job->text), FM_ERR(err));
    fail_ops(c, job, err);
    watch_fail_job(c, job, err);
    settle_place(c, job);
    job_remove(c, job);
    recovery_loaded(c);
}

/* The job is complete in memory: takes up its place. */
static void job_ready(struct core *c, struct job *job)
{
    job_count_bytes(c, job);
    job->pins++;
    int status = (int)job->head->status;
    if (status == JOB_RUNNING) {
        struct host *h = host_find(c, job->head->host);
        if (h == NULL)
            h = host_add(c, job->head->host); /* not seen since the start: its lease runs from now */
        host_attach_job(h, job);
        job->assign_sent = true;
        job->inputs_sent = job->inputs_on_disk;
        if (h->conn != 0 && h->resync_at_ms == 0)
            h->resync_at_ms = c->now_ms + RETRY_MS;
    } else if (status == JOB_PENDING) {
        sched_place(c, job);
    }
    if (job->time_wanted)
        job_on_time(c, job);
    job_run_ops(c, job);
    watch_pump_job(c, job);
    job->pins--;
    settle_place(c, job);
    job_rest(c, job);
    recovery_loaded(c);
}

static void on_def_read(struct core *c, struct wait *w, struct store_done *d)
{
    struct job *job = job_in_memory(c, &w->job);
    if (job == NULL || !job->loading)
        return;
    if (d->status == STORE_FAILED && d->err.code != FM_DATA_LOSS) {
        core_retry_later(c);
        return;
    }
    Fermata__V1__Flow *flow = d->status == STORE_OK && d->n_rows == 1
                                  ? fermata__v1__flow__unpack(NULL, d->rows[0].body.n, d->rows[0].body.p)
                                  : NULL;
    if (flow == NULL) {
        struct fm_err err = {0};
        fm_err_set(&err, FM_DATA_LOSS, "flow", "the flow of job %s is missing in the store or malformed",
                   job->text);
        give_up(c, job, &err);
        fm_err_done(&err);
        return;
    }
    job->def = def_add(c, flow, d->rows[0].body, job->head->flow_digest.data, true);
    fermata__v1__flow__free_unpacked(flow, NULL);
    job->loading = false;
    job_ready(c, job);
}

static void load_def(struct core *c, struct job *job)
{
    struct fm_err err = {0};
    if (job->head->flow_digest.len != STORE_DIGEST_BYTES) {
        fm_err_set(&err, FM_DATA_LOSS, "flow", "job %s names no flow", job->text);
        give_up(c, job, &err);
        fm_err_done(&err);
        return;
    }
    job->def = def_find(c, job->head->flow_digest.data);
    int status = (int)job->head->status;
    if (job->def != NULL || status == JOB_COMPLETED || status == JOB_CANCELLED) {
        job->loading = false;
        job_ready(c, job);
        return;
    }
    struct store_query q = {.kind = STORE_READ_FLOW_DEF, .job = job->id};
    memcpy(q.digest, job->head->flow_digest.data, STORE_DIGEST_BYTES);
    core_read(c, &q, on_def_read, NULL);
}

static void on_job_read(struct core *c, struct wait *w, struct store_done *d)
{
    struct job *job = job_in_memory(c, &w->job);
    if (job == NULL || !job->loading)
        return;
    struct fm_err err = {0};
    if (d->status == STORE_FAILED && d->err.code == FM_DATA_LOSS) {
        give_up(c, job, &d->err); /* it will not get better, and others do not wait for it */
        return;
    }
    if (d->status == STORE_FAILED) {
        FM_LOG(ERROR, STORAGE, "a job could not be read, trying again", FM_STR("job", job->text),
               FM_ERR(&d->err));
        fail_ops(c, job, &d->err);
        core_retry_later(c);
        return;
    }
    if (d->status == STORE_NOT_FOUND) {
        fm_err_set(&err, FM_NOT_FOUND, "job_id", "there is no job %s", job->text);
        fail_ops(c, job, &err);
        watch_fail_job(c, job, &err);
        settle_place(c, job);
        job_remove(c, job);
        recovery_loaded(c);
    } else if (job_load(job, d, c->cfg.max_state_bytes, &err) < 0) {
        give_up(c, job, &err);
    } else {
        job->loading = true; /* until the flow is there, too */
        load_def(c, job);
    }
    fm_err_done(&err);
}

void job_start_loading(struct core *c, struct job *job)
{
    struct store_query q = {.kind = STORE_READ_JOB, .job = job->id, .full = true};
    core_read(c, &q, on_job_read, NULL);
}

struct job *job_add_loading(struct core *c, const struct fm_id *id)
{
    struct job *job = job_new(id);
    HASH_ADD(hh, c->jobs, id, sizeof(job->id), job);
    job_count_bytes(c, job);
    return job;
}

struct job *job_for_op(struct core *c, struct op *op, const char *job_id)
{
    struct fm_id id;
    struct fm_err err = {0};
    if (fm_id_parse(job_id, &id) < 0) {
        fm_err_set(&err, FM_INVALID_ARGUMENT, "job_id", "\"%.64s\" is no job id; one has 26 characters",
                   job_id);
        op_fail(c, op, &err);
        return NULL;
    }
    struct job *job = job_in_memory(c, &id);
    if (job != NULL && !job->loading) {
        leave_cache(c, job);
        return job;
    }
    bool start = job == NULL;
    if (start)
        job = job_add_loading(c, &id);
    op_park(op);
    DL_APPEND(job->ops, op);
    if (start)
        job_start_loading(c, job);
    return NULL;
}

/* ---- leaving memory ---- */

static bool is_active(const struct job *job)
{
    int status = (int)job->head->status;
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
        leave_cache(c, job); /* a timer, or another job, has woken it */
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
        leave_cache(c, oldest);
        if (!is_active(oldest) && oldest->pins == 0)
            job_remove(c, oldest);
    }
}

void job_reload(struct core *c, struct job *job, struct fm_err *err)
{
    /* A job whose first unit failed is not on disk: the read will say so. */
    FM_LOG(WARN, STATE, "reading the job again", FM_STR("job", job->text), FM_ERR(err));
    struct host *h = job->host;
    /* Only a host that has the job may have sent steps that are lost now; one that was chosen in the failed
     * unit has never heard of it. */
    if (h != NULL && h->conn != 0 && h->resync_at_ms == 0 && job->assign_sent)
        h->resync_at_ms = c->now_ms + RETRY_MS;
    fail_ops(c, job, err);
    struct job *fresh = job_new(&job->id);
    fresh->watches = job->watches;
    fresh->had_place = h != NULL;
    timers_note(c, c->wall_ms + RETRY_MS); /* what time had done is lost with the unit */
    job->watches = NULL;
    struct watch *w;
    DL_FOREACH (fresh->watches, w) {
        w->job = fresh;
        w->need_head = true;
    }
    job_remove(c, job);
    HASH_ADD(hh, c->jobs, id, sizeof(fresh->id), fresh);
    job_count_bytes(c, fresh);
    job_start_loading(c, fresh);
}

void load_retry(struct core *c)
{
    struct job *job, *tmp;
    HASH_ITER (hh, c->jobs, job, tmp) {
        if (!job->loading)
            continue;
        bool waits = false;
        for (struct wait *w = c->waits; w != NULL && !waits; w = w->hh.next)
            waits = w->done != NULL && fm_id_eq(&w->job, &job->id) &&
                    (w->done == on_job_read || w->done == on_def_read);
        if (waits)
            continue;
        if (job->head != NULL) {
            load_def(c, job);
        } else {
            job_start_loading(c, job);
        }
    }
    if (!c->recovered && c->recover_loading == 0 && c->started)
        recovery_next(c);
}

/* ---- recovery ---- */

static void on_active_listed(struct core *c, struct wait *w, struct store_done *d)
{
    (void)w;
    if (d->status != STORE_OK) {
        FM_LOG(ERROR, STORAGE, "the active jobs could not be listed, trying again", FM_ERR(&d->err));
        core_retry_later(c);
        return;
    }
    c->recover_listed = !d->more;
    c->recover_loading = d->n_rows + 1; /* one for this function */
    for (size_t i = 0; i < d->n_rows; i++) {
        c->recover_after = d->rows[i].job;
        job_start_loading(c, job_add_loading(c, &d->rows[i].job));
    }
    recovery_loaded(c);
}

void recovery_next(struct core *c)
{
    if (!c->marks_loaded) {
        marks_load(c);
        return;
    }
    if (c->recover_listed) {
        c->recovered = true;
        life_recovered(c);
        FM_LOG(INFO, STATE, "recovered", FM_U64("jobs", HASH_COUNT(c->jobs)),
               FM_U64("hosts_awaited", HASH_COUNT(c->hosts)));
        c->io.recovered(c->io.arg);
        timers_note(c, 1); /* whatever came due in the meantime */
        return;
    }
    struct store_query q = {
        .kind = STORE_LIST_ACTIVE, .limit = core_page(c, RECOVERY_PAGE), .after = c->recover_after};
    core_read(c, &q, on_active_listed, NULL);
}
