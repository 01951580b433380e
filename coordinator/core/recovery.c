/* What the coordinator reads when it starts: what is remembered of hosts, then the active jobs, page by
 * page. And what is done with any job that has been read. */
#include "recovery.h"

#include <stdlib.h>

#include <uthash.h>

#include "apart.h"
#include "fermata/v1/hosts.pb-c.h"
#include "host.h"
#include "job.h"
#include "lease.h"
#include "load.h"
#include "log.h"
#include "marks.h"
#include "mem.h"
#include "pbc.h"
#include "place.h"
#include "query.h"
#include "state.h"
#include "store.h"
#include "table.h"
#include "timers.h"
#include "unit.h"
#include "watch.h"

#define RECOVERY_PAGE 256

static void recovery_next(struct core *c);

static void on_marks_listed(struct core *c, struct wait *w, struct store_done *d)
{
    (void)w;
    c->recover_reading = false;
    if (d->status != STORE_OK) {
        FM_LOG(ERROR, STORAGE, "what is remembered of hosts could not be read, trying again",
               FM_ERR(&d->err));
        core_retry_later(c);
        return;
    }
    for (size_t i = 0; i < d->hosts.n; i++) {
        const struct fm_bytes *body = &d->hosts.items[i];
        fm_auto_pb Fermata__V1__Host *v = fermata__v1__host__unpack(NULL, body->n, body->p);
        if (v == NULL || v->host_id[0] == '\0') {
            FM_LOG(ERROR, STORAGE, "what is remembered of a host is malformed, ignoring");
        } else {
            struct host_mark *m = mark_get(c, v->host_id);
            free(m->incarnation);
            m->incarnation = fm_xstrdup(v->incarnation);
            m->cordoned = v->cordoned;
            m->draining = v->draining;
            mark_take_acts(m, v);
        }
    }
    c->marks_loaded = true;
    recovery_next(c);
}

static void marks_load(struct core *c)
{
    core_read(c, store_list_hosts(), on_marks_listed, NULL);
}

/* One job less to wait for. */
static void recovery_loaded(struct core *c)
{
    if (c->recovered || c->recover_loading == 0 || --c->recover_loading > 0)
        return;
    recovery_next(c);
}

/* The job is complete in memory: takes up its place. */
static void job_ready(struct core *c, struct job *job)
{
    job_count_bytes(c, job);
    job->pins++;
    int status = job_status(job);
    if (status == JOB_RUNNING) {
        struct host *h = host_find(c, job->head->host);
        if (h == NULL)
            h = host_add(c, job->head->host); /* not seen since the start: its lease runs from now */
        host_attach_job(h, job);
        job->assign_sent = true;
        job->inputs_sent = job->inputs_on_disk;
        apart_found(c, job);
        if (h->conn != 0 && h->resync_at_ms == 0)
            h->resync_at_ms = c->now_ms + RETRY_MS;
    } else if (status == JOB_PENDING) {
        place_job(c, job);
    }
    if (job->time_wanted)
        job_on_time(c, job);
    job_run_ops(c, job);
    watch_pump_job(c, job);
    job->pins--;
    place_settle(c, job);
    job_rest(c, job);
}

static void on_active_listed(struct core *c, struct wait *w, struct store_done *d)
{
    (void)w;
    c->recover_reading = false;
    if (d->status != STORE_OK) {
        FM_LOG(ERROR, STORAGE, "the active jobs could not be listed, trying again", FM_ERR(&d->err));
        core_retry_later(c);
        return;
    }
    const struct store_job_heads *jobs = &d->jobs;
    c->recover_listed = !jobs->more;
    c->recover_loading = jobs->n + 1; /* one for this function */
    for (size_t i = 0; i < jobs->n; i++) {
        c->recover_after = jobs->items[i].id;
        job_start_loading(c, job_add_loading(c, &jobs->items[i].id));
    }
    recovery_loaded(c);
}

static void recovery_next(struct core *c)
{
    if (c->recover_reading)
        return;
    c->recover_reading = !c->marks_loaded || !c->recover_listed;
    if (!c->marks_loaded) {
        marks_load(c);
        return;
    }
    if (c->recover_listed) {
        c->recovered = true;
        leases_recovered(c);
        FM_LOG(INFO, STATE, "recovered", FM_U64("jobs", HASH_COUNT(c->jobs)),
               FM_U64("hosts_awaited", HASH_COUNT(c->hosts)));
        c->io.recovered(c->io.arg);
        timers_note(c, 1); /* whatever came due in the meantime */
        return;
    }
    core_read(c, store_list_active(&c->recover_after, core_page(c, RECOVERY_PAGE)), on_active_listed, NULL);
}

/* A job has been read (NULL: it is not there, or cannot be). */
static void on_job_loaded(struct core *c, struct job *job)
{
    if (job != NULL)
        job_ready(c, job);
    recovery_loaded(c);
}

void recovery_init(struct core *c)
{
    c->job_loaded = on_job_loaded;
}

void recovery_begin(struct core *c)
{
    c->started = true;
    recovery_next(c);
}

void recovery_retry(struct core *c)
{
    load_retry(c);
    if (!c->recovered && c->recover_loading == 0 && c->started)
        recovery_next(c);
}
