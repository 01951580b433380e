/* WatchJob. What a watch is sent afterwards is in jobs/watch.c. */
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "job.h"
#include "load.h"
#include "method.h"
#include "op.h"
#include "state.h"
#include "watch.h"

static int watch_job(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__WatchJobRequest *r = OP_REQUEST(op, Fermata__V1__WatchJobRequest);
    struct job *job;
    int rc = job_for_op(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    watch_begin(c, job, op->ticket, r->from_step, r->from_entry);
    return 0;
}

const struct method watch_job_method = {"Jobs/WatchJob",
                                        METHOD_STREAM,
                                        &fermata__v1__watch_job_request__descriptor,
                                        &fermata__v1__watch_job_response__descriptor,
                                        ROLE_VIEWER,
                                        ADMIT_ALWAYS,
                                        watch_job,
                                        NULL};
