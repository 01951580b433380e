/* TrimJob, ContinueJob: what keeps a long-lived job small. What a new generation is, is in jobs/remedies.c.
 */
#include <stdio.h>

#include "check.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "job.h"
#include "job_state.h"
#include "load.h"
#include "method.h"
#include "move.h"
#include "op.h"
#include "pbc.h"
#include "remedies.h"
#include "request_id.h"
#include "send.h"
#include "state.h"
#include "unit.h"
#include "who.h"

/* ---- TrimJob ---- */

static bool keeps_all(const Fermata__V1__Kept *k)
{
    return k == NULL || (k->maybe_log_case != FERMATA__V1__KEPT__MAYBE_LOG_LOG &&
                         k->maybe_outputs_case != FERMATA__V1__KEPT__MAYBE_OUTPUTS_OUTPUTS &&
                         !k->no_shared_data && !k->no_routine_states);
}

static int trim_job(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__TrimJobRequest *r = OP_REQUEST(op, Fermata__V1__TrimJobRequest);
    struct who who;
    struct job *job;
    int rc = who_asks(op, "by", r->by, "reason", r->reason, &who, err);
    if (rc == 0 && keeps_all(r->kept))
        rc = fm_err_set(err, FM_INVALID_ARGUMENT, "kept",
                        "kept says nothing: set kept.log or kept.outputs to how many of the newest stay, or "
                        "kept.no_shared_data or kept.no_routine_states");
    if (rc == 0)
        rc = job_for_op(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    int status = job_status(job);
    if (status != JOB_PAUSED && status != JOB_FAILED)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "job_id",
                          "job %s is %s: only a job that is PAUSED or FAILED can be changed", job->text,
                          job_status_name(status));
    if (remedy_trim(c, job, r->kept, who, err) < 0)
        return -(int)err->code;
    Fermata__V1__TrimJobResponse response = FERMATA__V1__TRIM_JOB_RESPONSE__INIT;
    response.step = job_state_step(job->state);
    response.state_bytes = job_state_bytes(job->state);
    unit_reply(unit_of(c, job), op->ticket, &response.base);
    return 0;
}

const struct method trim_job_method = {"Jobs/TrimJob",
                                       METHOD_UNARY,
                                       &fermata__v1__trim_job_request__descriptor,
                                       &fermata__v1__trim_job_response__descriptor,
                                       ROLE_OPERATOR,
                                       ADMIT_ALWAYS,
                                       trim_job,
                                       NULL};

/* ---- ContinueJob ---- */

/* A job that waits begins its new generation at once. */
static int begin(struct core *c, struct job *job, const Fermata__V1__Continue *how, struct who who,
                 struct fm_err *err)
{
    if (job_status(job) == JOB_RUNNING) {
        bool asked = job->head->continue_wanted != NULL;
        job_want_continue(job, how, who.by, who.reason);
        if (!asked)
            interrupt_effect(unit_of(c, job), job, INTERRUPT_KIND_DRAIN);
        return 0;
    }
    int rc = remedy_continue(c, job, how, who, err);
    if (rc == 0)
        job_go_on(c, job);
    return rc;
}

static int continue_job(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__ContinueJobRequest *r = OP_REQUEST(op, Fermata__V1__ContinueJobRequest);
    Fermata__V1__Continue usual = FERMATA__V1__CONTINUE__INIT;
    const Fermata__V1__Continue *how = r->how != NULL ? r->how : &usual;
    struct who who;
    struct job *job;
    char scope[64];
    int rc = who_asks(op, "by", r->by, "reason", r->reason, &who, err);
    if (rc == 0)
        rc = check_request_id(r->request_id, err);
    if (rc == 0)
        rc = check_size("how", how, err);
    if (rc == 0)
        rc = job_for_op(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    snprintf(scope, sizeof(scope), "continue:%s", job->text);
    rc = request_look_up(c, op, scope, r->request_id, job);
    if (rc != 0)
        return rc;
    int status = job_status(job);
    if (status == JOB_COMPLETED || status == JOB_CANCELLED)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "job_id", "job %s is %s: it does not go on", job->text,
                          job_status_name(status));
    if (job->def == NULL)
        return fm_err_set(err, FM_DATA_LOSS, "job_id", "the flow of job %s is not in the store", job->text);
    bool runs = status == JOB_RUNNING;
    rc = remedy_check_continue(c, job, how, "how", err);
    Fermata__V1__ContinueJobResponse response = FERMATA__V1__CONTINUE_JOB_RESPONSE__INIT;
    response.generation = job->head->generation + 1;
    if (rc == 0)
        rc = begin(c, job, how, who, err);
    if (rc != 0)
        return rc;
    response.step = runs ? 0 : job->head->generation_step;
    response.status = job->head->status;
    request_claim(job, op, scope, r->request_id, &response.base, unit_of(c, job));
    unit_reply(unit_of(c, job), op->ticket, &response.base);
    return 0;
}

const struct method continue_job_method = {"Jobs/ContinueJob",
                                           METHOD_UNARY,
                                           &fermata__v1__continue_job_request__descriptor,
                                           &fermata__v1__continue_job_response__descriptor,
                                           ROLE_OPERATOR,
                                           ADMIT_INPUT,
                                           continue_job,
                                           NULL};
