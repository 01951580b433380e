/* Reading jobs into memory, when somebody asks for one, and again after a unit of it has failed. */
#include "load.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "check.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "host.h"
#include "id.h"
#include "job.h"
#include "log.h"
#include "mem.h"
#include "method.h"
#include "op.h"
#include "place.h"
#include "query.h"
#include "state.h"
#include "store.h"
#include "table.h"
#include "unit.h"
#include "watch.h"

/* ---- loading ---- */

static void give_up(struct core *c, struct job *job, const struct fm_err *err)
{
    FM_LOG(ERROR, STORAGE, "a job cannot be read", FM_STR("job", job->text), FM_ERR(err));
    job_fail_ops(c, job, err);
    watch_fail_job(c, job, err);
    place_settle(c, job);
    job_remove(c, job);
    c->job_loaded(c, NULL);
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
    Fermata__V1__Flow *flow =
        d->status == STORE_OK ? fermata__v1__flow__unpack(NULL, d->flow_def.n, d->flow_def.p) : NULL;
    if (flow == NULL) {
        fm_auto(fm_err) err = {0};
        (void)fm_err_set(&err, FM_DATA_LOSS, "flow",
                         "the flow of job %s is missing in the store or malformed", job->text);
        give_up(c, job, &err);
        return;
    }
    job->def = def_add(c, flow, d->flow_def, job->head->flow_digest.data, true);
    fermata__v1__flow__free_unpacked(flow, NULL);
    job->loading = false;
    c->job_loaded(c, job);
}

static void load_def(struct core *c, struct job *job)
{
    fm_auto(fm_err) err = {0};
    if (job->head->flow_digest.len != STORE_DIGEST_BYTES) {
        (void)fm_err_set(&err, FM_DATA_LOSS, "flow", "job %s names no flow", job->text);
        give_up(c, job, &err);
        return;
    }
    job->def = def_find(c, job->head->flow_digest.data);
    int status = job_status(job);
    if (job->def != NULL || status == JOB_COMPLETED || status == JOB_CANCELLED) {
        job->loading = false;
        c->job_loaded(c, job);
        return;
    }
    core_read(c, store_read_flow_def(job->head->flow_digest.data), on_def_read, NULL)->job = job->id;
}

static void on_job_read(struct core *c, struct wait *w, struct store_done *d)
{
    struct job *job = job_in_memory(c, &w->job);
    if (job == NULL || !job->loading)
        return;
    fm_auto(fm_err) err = {0};
    if (d->status == STORE_FAILED && d->err.code == FM_DATA_LOSS) {
        give_up(c, job, &d->err); /* it will not get better, and others do not wait for it */
        return;
    }
    if (d->status == STORE_FAILED) {
        FM_LOG(ERROR, STORAGE, "a job could not be read, trying again", FM_STR("job", job->text),
               FM_ERR(&d->err));
        job_fail_ops(c, job, &d->err);
        core_retry_later(c);
        return;
    }
    if (d->status == STORE_NOT_FOUND) {
        (void)fm_err_set(&err, FM_NOT_FOUND, "job_id", "there is no job %s", job->text);
        job_fail_ops(c, job, &err);
        watch_fail_job(c, job, &err);
        place_settle(c, job);
        job_remove(c, job);
        c->job_loaded(c, NULL);
    } else if (job_load(job, &d->job, &err) < 0) {
        give_up(c, job, &err);
    } else {
        job->loading = true; /* until the flow is there, too */
        load_def(c, job);
    }
}

void job_start_loading(struct core *c, struct job *job)
{
    core_read(c, store_read_job(&job->id, STORE_WHOLE), on_job_read, NULL)->job = job->id;
}

int job_for_op(struct core *c, struct op *op, const char *job_id, struct job **ret, struct fm_err *err)
{
    struct fm_id id;
    int rc = check_job_id(job_id, &id, err);
    if (rc < 0)
        return rc;
    struct job *job = job_in_memory(c, &id);
    if (job != NULL && !job->loading) {
        job_leave_cache(c, job);
        *op->used = *ret = job;
        return 0;
    }
    bool start = job == NULL;
    if (start)
        job = job_add_loading(c, &id);
    op_park(op);
    DL_APPEND(job->ops, op);
    if (start)
        job_start_loading(c, job);
    return OP_WAITS;
}

/* ---- leaving memory ---- */

void job_reload(struct core *c, struct job *job, struct fm_err *err)
{
    /* A job whose first unit failed is not on disk: the read will say so. */
    FM_LOG(WARN, STATE, "reading the job again", FM_STR("job", job->text), FM_ERR(err));
    struct host *h = job->host;
    /* Only a host that has the job may have sent steps that are lost now; one that was chosen in the failed
     * unit has never heard of it. */
    if (h != NULL && h->conn != 0 && h->resync_at_ms == 0 && job->assign_sent)
        h->resync_at_ms = c->now_ms + RETRY_MS;
    job_fail_ops(c, job, err);
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

/* Whether something of the job is being read. */
static bool is_read(const struct core *c, const struct job *job)
{
    for (const struct wait *w = c->waits; w != NULL; w = w->hh.next)
        if (fm_id_eq(&w->job, &job->id) && (w->done == on_job_read || w->done == on_def_read))
            return true;
    return false;
}

void load_retry(struct core *c)
{
    /* One that is complete now may make others leave memory: they are looked for again, each. */
    size_t n = 0;
    struct fm_id *ids = fm_xcalloc(HASH_COUNT(c->jobs) + 1, sizeof(*ids));
    for (const struct job *job = c->jobs; job != NULL; job = job->hh.next)
        if (job->loading && !is_read(c, job))
            ids[n++] = job->id;
    for (size_t i = 0; i < n; i++) {
        struct job *job = job_in_memory(c, &ids[i]);
        if (job == NULL || !job->loading)
            continue;
        if (job->head != NULL)
            load_def(c, job);
        else
            job_start_loading(c, job);
    }
    free(ids);
}
