/* SetBreakpoints. It is answered when they hold: when they are on disk and, if a host has the job, when that
 * host has said that it received them. Who makes a host by hand and does not number its messages has received
 * them when it says anything; with a job that leaves its host, the next one gets them with the assignment. */
#include "breakpoint_check.h"
#include "breakpoints.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "job.h"
#include "journal.h"
#include "load.h"
#include "method.h"
#include "op.h"
#include "program_check.h"
#include "programs.h"
#include "state.h"
#include "who.h"

static int set_breakpoints(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__SetBreakpointsRequest *r = OP_REQUEST(op, Fermata__V1__SetBreakpointsRequest);
    struct who who;
    struct job *job;
    int rc = who_asks(op, "by", r->by, "reason", r->reason, &who, err);
    if (rc == 0)
        rc = breakpoints_check(r->n_breakpoints, r->breakpoints, err);
    if (rc < 0)
        return rc;
    struct program_check *conditions = program_check_new();
    breakpoints_add_conditions(conditions, r->n_breakpoints, r->breakpoints);
    if (!programs_checked(c, op, conditions, err))
        return OP_WAITS;
    if (err->code != FM_OK)
        return -(int)err->code;
    rc = job_for_op(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    bool clears = r->n_breakpoints == 0;
    int status = job_status(job);
    if (job_status_final(status) && status != JOB_FAILED)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "job_id", "job %s is %s: nothing of it runs any more",
                          job->text, job_status_name(status));
    rc = breakpoints_check_places(c, job->def, r->n_breakpoints, r->breakpoints, err);
    if (rc < 0)
        return rc;
    if (!clears || job->head->n_breakpoints > 0)
        job_note_here(c, job, clears ? ENTRY_KIND_BREAKPOINTS_CLEARED : ENTRY_KIND_BREAKPOINTS_SET, who, NULL,
                      NULL);
    breakpoints_replace(job->head, r->n_breakpoints, r->breakpoints);
    job->head_dirty = true;
    breakpoints_wait(c, job, op);
    return OP_WAITS;
}

const struct method set_breakpoints_method = {"Jobs/SetBreakpoints",
                                              METHOD_UNARY,
                                              &fermata__v1__set_breakpoints_request__descriptor,
                                              &fermata__v1__set_breakpoints_response__descriptor,
                                              ROLE_OPERATOR,
                                              ADMIT_ALWAYS,
                                              set_breakpoints,
                                              NULL};
