/* How hosts leave: their streams end, they are drained, or they are lost. */
#include "leave.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "backlog.h"
#include "buf.h"
#include "err.h"
#include "fermata/v1/hosts.pb-c.h"
#include "host.h"
#include "job.h"
#include "journal.h"
#include "log.h"
#include "marks.h"
#include "mem.h"
#include "move.h"
#include "op.h"
#include "state.h"
#include "told.h"

#define MAX_LEFT_IDS 10000
#define NAMED_IN_LOG 50

void marks_sweep(struct core *c)
{
    struct host_mark *m, *tmp;
    c->marks_sweep_ms = 0;
    HASH_ITER (hh, c->marks, m, tmp) {
        if (m->cordoned || host_find(c, m->id) != NULL)
            continue;
        m->incarnation[0] = '\0';
        mark_save(c, m, 0, NULL);
    }
}

/* Fills in the ids of the jobs that are still there; free the array. */
static void name_left(const struct host *h, Fermata__V1__DrainHostResponse *r)
{
    struct job *job;
    r->left_job_ids = fm_xcalloc(h->n_jobs + 1, sizeof(*r->left_job_ids));
    DL_FOREACH2 (h->jobs, job, host_next)
        if (r->n_left_job_ids < MAX_LEFT_IDS)
            r->left_job_ids[r->n_left_job_ids++] = job->text;
}

static void log_left(const struct host *h, const Fermata__V1__DrainHostResponse *r)
{
    fm_auto(fm_buf) names = {0};
    for (size_t i = 0; i < r->n_left_job_ids && i < NAMED_IN_LOG; i++) {
        fm_buf_append(&names, " ", i > 0);
        fm_buf_append(&names, r->left_job_ids[i], strlen(r->left_job_ids[i]));
    }
    fm_buf_append(&names, "", 1);
    FM_LOG(WARN, HOST, "the deadline of a drain is over, jobs are left; they move at the end of their steps",
           FM_STR("host", h->id), FM_U64("jobs", h->n_jobs), FM_STR("left", (const char *)names.p));
}

void drain_answer(struct core *c, struct host *h, const struct op *op)
{
    Fermata__V1__DrainHostResponse r = FERMATA__V1__DRAIN_HOST_RESPONSE__INIT;
    name_left(h, &r);
    r.host = host_view(c, h);
    mark_put_acts(mark_find(c, h->id), r.host);
    if (op->own != NULL && h->n_jobs > 0)
        log_left(h, &r);
    mark_save(c, mark_get(c, h->id), op->ticket, &r.base);
    free(r.left_job_ids);
    fermata__v1__host__free_unpacked(r.host, NULL);
}

void drain_wait(struct host *h, struct op *op, int64_t due_ms)
{
    *(int64_t *)op_own(op, sizeof(due_ms)) = due_ms;
    op_park(op);
    DL_APPEND(h->drain_ops, op);
}

int64_t drain_due_ms(const struct op *op)
{
    return *(const int64_t *)op->own;
}

/* Answers those whose time is over, or all. */
static void answer_drains(struct core *c, struct host *h, bool all)
{
    struct op *op, *tmp;
    DL_FOREACH_SAFE (h->drain_ops, op, tmp) {
        if (!all && c->now_ms < drain_due_ms(op))
            continue;
        DL_DELETE(h->drain_ops, op);
        drain_answer(c, h, op);
        op_free(c, op);
    }
}

void drain_look(struct core *c, struct host *h)
{
    answer_drains(c, h, h->n_jobs + h->n_leaving == 0);
}

void mark_left(struct core *c, struct host *h)
{
    answer_drains(c, h, true);
    struct host_mark *m = mark_get(c, h->id);
    free(m->incarnation);
    m->incarnation = fm_xstrdup("");
    mark_save(c, m, 0, NULL);
}

void host_requeue_all(struct core *c, struct host *h, const char *why)
{
    while (h->jobs != NULL) {
        job_note_here(c, h->jobs, ENTRY_KIND_LOST, who_none(why), NULL, NULL);
        job_requeue(c, h->jobs, why);
    }
}

void conn_free(struct core *c, struct conn *k)
{
    backlog_drop(c, k);
    HASH_DEL(c->conns, k);
    free(k->peer);
    free(k);
}

void conn_end(struct core *c, struct conn *k, const char *host_id, struct fm_err *err)
{
    FM_LOG(WARN, HOST, "a host's stream is ended", FM_STR("host", host_id), FM_STR("peer", k->peer),
           FM_ERR(err));
    c->io.host_close(c->io.arg, k->id, err);
    fm_err_done(err);
    session_closed(c, k->id);
}

void conn_close(struct core *c, struct conn *k, struct fm_err *err)
{
    conn_end(c, k, k->host != NULL ? k->host->id : "", err);
}

void session_closed(struct core *c, uint64_t conn)
{
    struct conn *k;
    HASH_FIND(hh, c->conns, &conn, sizeof(conn), k);
    if (k == NULL)
        return;
    struct host *h = k->host;
    if (h != NULL && h->conn == conn) {
        h->conn = 0;
        h->resync_at_ms = 0;
        fm_buf_reset(&h->acks);
        h->acks_urgent = false;
        FM_LOG(INFO, HOST, "a host's stream ended; its jobs stay with it for the rest of its lease",
               FM_STR("host", h->id), FM_U64("jobs", h->n_jobs));
    }
    conn_free(c, k);
}

void host_lost(struct core *c, struct host *h, const char *why)
{
    struct conn *k;
    HASH_FIND(hh, c->conns, &h->conn, sizeof(h->conn), k);
    if (k != NULL) {
        struct fm_err err = {0};
        (void)fm_err_set(&err, FM_DEADLINE_EXCEEDED, NULL, "nothing was heard for too long: %s", why);
        conn_close(c, k, &err);
    }
    h->conn = 0;
    host_requeue_all(c, h, why);
    mark_left(c, h);
    host_remove(c, h);
    told_settle(c);
}

void sessions_end(struct core *c, const struct fm_err *err)
{
    struct conn *k, *tmp;
    HASH_ITER (hh, c->conns, k, tmp) {
        c->io.host_close(c->io.arg, k->id, err);
        session_closed(c, k->id);
    }
}
