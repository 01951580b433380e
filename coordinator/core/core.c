/* The core's frame: requests and their life, units and what follows from them, time. What requests do
 * is in methods/, what hosts say in sessions/, the life of jobs in jobs/. See core.h. */
#include "core.h"

#include <stdlib.h>

#include <uthash.h>
#include <utlist.h>

#include "admit.h"
#include "apart.h"
#include "backlog.h"
#include "buf.h"
#include "defs.h"
#include "err.h"
#include "family.h"
#include "fermata/v1/types.pb-c.h"
#include "host.h"
#include "id.h"
#include "io.h"
#include "job.h"
#include "job_state.h"
#include "lease.h"
#include "leave.h"
#include "line.h"
#include "load.h"
#include "log.h"
#include "marks.h"
#include "mem.h"
#include "method.h"
#include "methods_table.h"
#include "op.h"
#include "pbc.h"
#include "place.h"
#include "program_check.h"
#include "programs.h"
#include "query.h"
#include "recovery.h"
#include "send.h"
#include "session.h"
#include "state.h"
#include "store.h"
#include "table.h"
#include "timers.h"
#include "unit.h"
#include "watch.h"

#define CLOCK_SET_MS 1000
#define SLEW 100 /* its clock goes faster or slower by this part */

/* ---- requests ---- */

static int check_bytes(const struct core *c, struct fm_err *err)
{
    /* What is kept to spare a read gives way. */
    size_t bytes = c->active_bytes - c->idle_bytes + c->waiting_bytes;
    if (bytes <= c->cfg.max_active_bytes)
        return 0;
    (void)fm_err_set(
        err, FM_RESOURCE_EXHAUSTED, NULL,
        "active jobs and waiting requests take %zu bytes; the limit is %zu: try again when some have ended",
        bytes, c->cfg.max_active_bytes);
    return fm_err_retry(err, RETRY_FULL_MS);
}

static int check_waiting(const struct core *c, struct fm_err *err)
{
    if (c->n_pending < c->cfg.max_waiting_jobs)
        return 0;
    (void)fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL,
                     "%zu jobs wait for a host; the limit is %zu: try again when some have been given one",
                     c->n_pending, c->cfg.max_waiting_jobs);
    return fm_err_retry(err, RETRY_FULL_MS);
}

/* Whether the coordinator has room for what the call adds. */
static int admit(const struct core *c, const struct method *m, struct fm_err *err)
{
    int rc = m->admit == ADMIT_ALWAYS ? 0 : check_bytes(c, err);
    return rc == 0 && m->admit == ADMIT_JOB ? check_waiting(c, err) : rc;
}

void core_request(struct core *c, uint64_t ticket, const struct method *method, const struct caller *caller,
                  const ProtobufCMessage *request, struct fm_bytes raw)
{
    struct op *op = fm_xcalloc(1, sizeof(*op));
    struct fm_err err = {0};
    op->ticket = ticket;
    op->caller = caller != NULL ? *caller : (struct caller){{.kind = FM_LOCAL}, ALL_RIGHTS};
    op->method = method;
    op->request = (ProtobufCMessage *)(uintptr_t)request;
    op->raw = raw;
    op->meter = &c->waiting_bytes;
    if (c->stopping || !c->recovered)
        (void)fm_err_set(&err, FM_UNAVAILABLE, NULL, "the coordinator is %s",
                         c->stopping ? "stopping" : "starting");
    else
        (void)admit(c, method, &err);
    if (err.code != FM_OK)
        op_fail(c, op, &err);
    else
        op_run(c, op);
}

void core_ticket_closed(struct core *c, uint64_t ticket)
{
    watch_closed(c, ticket);
}

void core_watch_drained(struct core *c, uint64_t ticket)
{
    watch_drained(c, ticket);
}

void core_checked(struct core *c, struct program_check *check)
{
    programs_done(c, check);
}

/* ---- hosts ---- */

void core_host_opened(struct core *c, uint64_t conn, const char *peer, const struct fm_principal *who)
{
    session_opened(c, conn, peer, who);
}

void core_host_message(struct core *c, uint64_t conn, const ProtobufCMessage *message)
{
    session_message(c, conn, message);
}

void core_host_closed(struct core *c, uint64_t conn)
{
    session_closed(c, conn);
}

/* ---- units ---- */

/* Puts the job's record into the unit. */
static void put_head(struct core *c, struct unit *u)
{
    struct job *job = u->job;
    Fermata__V1__Job *h = job->head;
    h->revision++;
    h->step_count = job_state_step(job->state);
    u->wake_ms = job_wake_ms(job);
    if (u->wake_ms > 0 && u->wake_ms <= c->wall_ms)
        u->wake_ms = c->wall_ms + RETRY_MS; /* what was due was done: no second look at once */
    pb_pack(h, &u->head);
    u->has_head = true;
    u->status = (int)h->status;
    struct store_label *labels = fm_xcalloc(h->n_labels + 1, sizeof(*labels));
    for (size_t i = 0; i < h->n_labels; i++)
        labels[i] = (struct store_label){h->labels[i]->key, h->labels[i]->value};
    struct store_job row = {
        .id = job->id,
        .status = (int)h->status,
        .flow = h->flow,
        .host = h->host,
        .head = {u->head.p, u->head.n},
        .wake_ms = u->wake_ms,
        .labels = labels,
        .n_labels = h->n_labels,
        .is_new = job->is_new
    };
    store_put_job(u->records, &row);
    free(labels);
    u->creates = job->is_new;
    job->is_new = false;
    job->head_dirty = false;
}

static void job_submit(struct core *c, struct job *job)
{
    struct unit *u = job->next;
    job->next = NULL;
    job->inflight = u;
    if (job->head_dirty && !u->deletes)
        put_head(c, u);
    unit_submit(c, u);
}

static void on_unit_failed(struct core *c, struct unit *u, struct store_done *d)
{
    struct job *job = u->job;
    fm_auto(fm_err) err = {0};
    if (d->status == STORE_EXISTS) {
        unit_exists(c, u, d);
        (void)fm_err_set(&err, FM_ABORTED, NULL, "overtaken by a request that came first; try again");
    } else {
        FM_LOG(ERROR, STORAGE, "a unit was not stored, trying again",
               FM_STR("job", job != NULL ? job->text : ""), FM_ERR(&d->err));
        unit_fail_effects(c, u, &d->err);
        fm_err_copy(&err, &d->err);
        core_retry_later(c);
    }
    unit_free(c, u);
    if (job != NULL) {
        job->inflight = NULL;
        if (job->next != NULL) {
            unit_fail_effects(c, job->next, &err);
            unit_free(c, job->next);
            job->next = NULL;
        }
        job_reload(c, job, &err);
    }
}

/* The job is not on disk any more. */
static void on_deleted(struct core *c, struct job *job)
{
    struct fm_err err = {0};
    (void)fm_err_set(&err, FM_NOT_FOUND, "job_id", "job %s was deleted", job->text);
    watch_fail_job(c, job, &err);
    fm_err_done(&err);
    job_remove(c, job);
}

/* Does the effects; returns what is to be called after all of them, or NULL. */
static void (*do_effects(struct core *c, struct unit *u))(struct core *, struct job *)
{
    void (*after)(struct core *, struct job *) = NULL;
    struct effect *e;
    DL_FOREACH (u->effects, e) {
        if (e->kind->after != NULL)
            after = e->kind->after; /* there is one such kind, of jobs' families */
        e->kind->done(c, u->job, e);
    }
    return after;
}

static void on_unit_done(struct core *c, struct store_done *d)
{
    struct unit *u;
    HASH_FIND(hh, c->units, &d->tag, sizeof(d->tag), u);
    if (u == NULL)
        return;
    HASH_DEL(c->units, u);
    if (d->status != STORE_OK) {
        on_unit_failed(c, u, d);
        return;
    }
    struct job *job = u->job;
    if (job != NULL)
        job->inflight = NULL;
    if (u->has_head) {
        fm_buf_done(&job->disk_head);
        job->disk_head = u->head;
        job->disk_status = u->status;
        u->head = (struct fm_buf){0};
    }
    void (*after)(struct core *, struct job *) = do_effects(c, u);
    if (u->wake_ms > 0)
        timers_note(c, u->wake_ms);
    bool has_head = u->has_head, deletes = u->deletes;
    unit_free(c, u);
    if (job == NULL)
        return;
    if (deletes) {
        on_deleted(c, job);
        return;
    }
    if (has_head)
        watch_head(c, job);
    if (after != NULL)
        after(c, job);
    job_run_ops(c, job);
    job_rest(c, job);
}

void core_store_done(struct core *c, struct store_done *d)
{
    if (d->kind == STORE_UNIT)
        on_unit_done(c, d);
    else
        query_done(c, d);
    store_done_free(d);
}

/* ---- turns and time ---- */

void core_flush(struct core *c)
{
    c->turn_work = 0;
    if (c->match_wanted) {
        c->match_wanted = false;
        apart_match(c);
        place_match(c);
    }
    struct job *job, *tmp;
    DL_FOREACH_SAFE2 (c->dirty, job, tmp, dirty_next) {
        if (job->inflight != NULL)
            continue; /* stays in the list; goes when the unit under way is done */
        DL_DELETE2(c->dirty, job, dirty_prev, dirty_next);
        job->is_dirty = false;
        if (job->next != NULL)
            job_submit(c, job);
    }
    struct host *h, *htmp;
    HASH_ITER (hh, c->hosts, h, htmp) {
        host_flush(c, h);
        if (h->drain_ops != NULL)
            drain_look(c, h);
    }
}

/* Records and waits are by one clock, the core's own: it begins with the system's, and goes on with the
 * monotonic one. So a system's clock that is set neither stops a wait nor cuts it short. What the two differ
 * by is made good slowly, one part in a hundred. */
void core_set_time(struct core *c, int64_t mono_ms, int64_t wall_ms)
{
    int64_t passed = mono_ms > c->now_ms ? mono_ms - c->now_ms : 0;
    c->now_ms = mono_ms;
    c->wall_ms += passed;
    int64_t behind = wall_ms - c->wall_ms, set_by = behind - c->behind_ms;
    if (set_by >= CLOCK_SET_MS || set_by <= -CLOCK_SET_MS)
        FM_LOG(WARN, STATE,
               "the system's clock was set; waits go on by the time that passes, and the coordinator's times "
               "follow slowly, or at a restart",
               FM_I64("by_ms", set_by), FM_I64("differs_by_ms", behind));
    c->slew_ms += passed;
    int64_t most = c->slew_ms / SLEW, by = behind > most ? most : behind < -most ? -most : behind;
    c->slew_ms %= SLEW;
    c->wall_ms += by;
    c->behind_ms = behind - by;
}

int64_t core_next_deadline(const struct core *c)
{
    const int64_t deadlines[] = {hosts_deadline(c),   c->retry_at_ms != 0 ? c->retry_at_ms : -1,
                                 apart_deadline(c),   timers_deadline(c),
                                 watches_deadline(c), backlog_deadline(c)};
    int64_t at = -1;
    for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++)
        if (deadlines[i] >= 0 && (at < 0 || deadlines[i] < at))
            at = deadlines[i];
    return at;
}

void core_tick(struct core *c)
{
    if (c->retry_at_ms != 0 && c->now_ms >= c->retry_at_ms) {
        c->retry_at_ms = 0;
        recovery_retry(c);
        marks_retry(c);
        place_retry(c);
    }
    sessions_go_on(c);
    hosts_tick(c);
    apart_tick(c);
    timers_tick(c);
    watches_tick(c);
}

/* ---- life ---- */

struct core *core_new(const struct core_config *cfg, const struct core_io *io)
{
    struct core *c = fm_xcalloc(1, sizeof(*c));
    c->cfg = *cfg;
    c->io = *io;
    if (c->cfg.snapshot_steps == 0)
        c->cfg.snapshot_steps = 256;
    if (c->cfg.snapshot_bytes == 0)
        c->cfg.snapshot_bytes = 8192;
    if (c->cfg.max_state_bytes == 0)
        c->cfg.max_state_bytes = 16u * 1024 * 1024;
    if (c->cfg.max_door_bytes == 0)
        c->cfg.max_door_bytes = c->cfg.max_state_bytes;
    if (c->cfg.max_active_bytes == 0)
        c->cfg.max_active_bytes = (size_t)2 * 1024 * 1024 * 1024;
    if (c->cfg.max_waiting_jobs == 0)
        c->cfg.max_waiting_jobs = 1000000;
    if (c->cfg.cache_bytes == 0)
        c->cfg.cache_bytes = 1024u * 1024;
    fm_idgen_init(&c->ids, cfg->seed);
    c->job_used = job_rest;
    c->family_changed = family_look;
    c->submit = method_find("Jobs/SubmitJob");
    c->cancel = method_find("Jobs/CancelJob");
    recovery_init(c);
    return c;
}

void core_start(struct core *c, int64_t mono_ms, int64_t wall_ms)
{
    c->now_ms = mono_ms;
    c->wall_ms = wall_ms;
    recovery_begin(c);
}

void core_stop(struct core *c)
{
    if (c->stopping)
        return;
    c->stopping = true;
    fm_auto(fm_err) err = {0};
    (void)fm_err_set(&err, FM_UNAVAILABLE, NULL, "the coordinator is stopping");
    watches_fail(c, &err);
    sessions_end(c, &err);
}

int64_t core_wall_ms(const struct core *c)
{
    return c->wall_ms;
}

uint64_t core_looks(const struct core *c)
{
    return c->n_looks;
}

bool core_idle(const struct core *c)
{
    return c->units == NULL && c->dirty == NULL;
}

void core_free(struct core *c)
{
    watches_free(c);
    units_free(c);
    inner_free(c);
    queries_free(c);
    programs_free(c);
    fm_buf_done(&c->step_buf);
    jobs_free(c);
    line_free(c);
    hosts_free(c);
    leases_free(c);
    marks_free(c);
    defs_free(c);
    free(c);
}
