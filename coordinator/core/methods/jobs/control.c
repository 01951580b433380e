/* PauseJob, CancelJob, DeleteJob. Each handler checks everything first, then changes the job in memory and
 * gathers records and effects in the job's unit; the client hears of it when the unit is on disk. What
 * becomes of the job then is in jobs/move.c. */
#include <utlist.h>

#include "check.h"
#include "err.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "job.h"
#include "job_state.h"
#include "journal.h"
#include "load.h"
#include "method.h"
#include "move.h"
#include "op.h"
#include "pbc.h"
#include "send.h"
#include "state.h"
#include "store.h"
#include "unit.h"
#include "who.h"

/* ---- PauseJob, CancelJob, DeleteJob ---- */

#define MAX_GRACE_MS (30ull * 86400 * 1000)

static int check_grace(const Fermata__V1__PauseJobRequest *r, struct fm_err *err)
{
    if (r->maybe_grace_case == FERMATA__V1__PAUSE_JOB_REQUEST__MAYBE_GRACE_GRACE_MS &&
        r->grace_ms > MAX_GRACE_MS)
        return fm_err_set(
            err, FM_INVALID_ARGUMENT, "grace_ms",
            "grace_ms is %llu; at most %llu (30 days) are allowed; leave it out to wait for the "
            "end of the step",
            (unsigned long long)r->grace_ms, (unsigned long long)MAX_GRACE_MS);
    return 0;
}

/* When the steps in hand are to be aborted is settled by whoever wants it soonest. Returns true when that has
 * changed. */
static bool shorten_grace(const struct core *c, struct job *job, const Fermata__V1__PauseJobRequest *r)
{
    bool said = r->maybe_grace_case == FERMATA__V1__PAUSE_JOB_REQUEST__MAYBE_GRACE_GRACE_MS;
    if (!said && c->cfg.pause_grace_ms == 0)
        return false;
    int64_t at = c->wall_ms + (int64_t)(said ? r->grace_ms : c->cfg.pause_grace_ms);
    int64_t had = time_to_ms(job->head->pause_abort_at);
    if (had != 0 && had <= at)
        return false;
    pb_set_time(&job->head->pause_abort_at, at);
    return true;
}

static int pause_job(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__PauseJobRequest *r = OP_REQUEST(op, Fermata__V1__PauseJobRequest);
    struct who who;
    struct job *job;
    int rc = who_asks(op, "by", r->by, "reason", r->reason, &who, err);
    if (rc == 0)
        rc = check_grace(r, err);
    if (rc == 0)
        rc = job_for_op(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    int status = job_status(job);
    if (job_status_final(status)) {
        return fm_err_set(err, FM_FAILED_PRECONDITION, "job_id", "job %s is %s: it cannot be paused",
                          job->text, job_status_name(status));
    }
    Fermata__V1__Job *h = job->head;
    bool held = job_count_pauses(job, PAUSE_REASON_OPERATOR) > 0, first = !held && !h->pause_requested;
    if (first) {
        h->pause_requested = job->head_dirty = true;
        pb_set_string(&h->pause_by, who.by);
        pb_set_string(&h->pause_reason, who.reason);
        if (status == JOB_RUNNING)
            job_note_here(c, job, ENTRY_KIND_PAUSE_REQUESTED, who, NULL, NULL);
    }
    bool sooner = !held && status == JOB_RUNNING && shorten_grace(c, job, r);
    op_park(op);
    DL_APPEND(job->pause_ops, op);
    if (held) {
        paused_effect(unit_of(c, job)); /* paused already: say so when that is on disk */
    } else if (status != JOB_RUNNING) {
        job_hold(c, job);
    } else if (first || sooner) {
        job->head_dirty = true;
        interrupt_effect(unit_of(c, job), job, INTERRUPT_KIND_PAUSE);
    }
    return OP_WAITS;
}

const struct method pause_job_method = {"Jobs/PauseJob",
                                        METHOD_UNARY,
                                        &fermata__v1__pause_job_request__descriptor,
                                        &fermata__v1__pause_job_response__descriptor,
                                        ROLE_OPERATOR,
                                        ADMIT_ALWAYS,
                                        pause_job,
                                        NULL};

static int cancel_job(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__CancelJobRequest *r = OP_REQUEST(op, Fermata__V1__CancelJobRequest);
    struct who who;
    struct job *job;
    int rc = who_asks(op, "by", r->by, "reason", r->reason, &who, err);
    if (rc == 0)
        rc = job_for_op(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    struct unit *m = unit_of(c, job); /* also when it has ended: the answer waits for what is under way */
    if (!job_status_final(job_status(job))) {
        if (job->host != NULL)
            interrupt_effect(m, job, INTERRUPT_KIND_CANCEL);
        Fermata__V1__JobError error = FERMATA__V1__JOB_ERROR__INIT;
        char code[] = "CANCELLED", text[] = "cancelled by a client";
        error.code = code;
        error.message = r->reason[0] != '\0' ? r->reason : text;
        if (job->head->error != NULL)
            fermata__v1__job_error__free_unpacked(job->head->error, NULL);
        job->head->error = pb_clone(&error);
        job_note_here(c, job, ENTRY_KIND_CANCELLED, who, NULL, NULL);
        job_end(c, job, JOB_EV_CANCEL);
    }
    Fermata__V1__CancelJobResponse response = FERMATA__V1__CANCEL_JOB_RESPONSE__INIT;
    response.status = job->head->status;
    response.step_count = job_state_step(job->state);
    unit_reply(m, op->ticket, &response.base);
    return 0;
}

const struct method cancel_job_method = {"Jobs/CancelJob",
                                         METHOD_UNARY,
                                         &fermata__v1__cancel_job_request__descriptor,
                                         &fermata__v1__cancel_job_response__descriptor,
                                         ROLE_OPERATOR,
                                         ADMIT_ALWAYS,
                                         cancel_job,
                                         NULL};

static int delete_job(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__DeleteJobRequest *r = OP_REQUEST(op, Fermata__V1__DeleteJobRequest);
    struct job *job;
    int rc = job_for_op(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    if (!job_status_final(job_status(job)))
        return fm_err_set(err, FM_FAILED_PRECONDITION, "job_id", "job %s is %s: cancel it first", job->text,
                          job_status_name(job_status(job)));
    if (job->next != NULL || job->inflight != NULL) {
        op_park(op);
        DL_APPEND(job->ops, op);
        return OP_WAITS;
    }
    struct unit *u = unit_of(c, job);
    u->deletes = true;
    store_delete_job(u->records, &job->id);
    Fermata__V1__DeleteJobResponse response = FERMATA__V1__DELETE_JOB_RESPONSE__INIT;
    unit_reply(u, op->ticket, &response.base);
    return 0;
}

const struct method delete_job_method = {"Jobs/DeleteJob",
                                         METHOD_UNARY,
                                         &fermata__v1__delete_job_request__descriptor,
                                         &fermata__v1__delete_job_response__descriptor,
                                         ROLE_OPERATOR,
                                         ADMIT_ALWAYS,
                                         delete_job,
                                         NULL};
