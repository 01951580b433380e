/* SetBreakpoints. It is answered when they hold: when they are on disk and, if a host has the job, when that
 * host has said that it received them. Who makes a host by hand and does not number its messages has received
 * them when it says anything; with a job that leaves its host, the next one gets them with the assignment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "breakpoints.h"
#include "check.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "flow.h"
#include "job.h"
#include "journal.h"
#include "load.h"
#include "mem.h"
#include "method.h"
#include "name.h"
#include "op.h"
#include "pbc.h"
#include "program_check.h"
#include "programs.h"
#include "routine_types.h"
#include "state.h"
#include "who.h"

#define MAX_BREAKPOINTS 100

/* ---- the method ---- */

static int check_breakpoints(const Fermata__V1__SetBreakpointsRequest *r, struct fm_err *err)
{
    if (r->n_breakpoints > MAX_BREAKPOINTS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "breakpoints", "%zu breakpoints; the limit is %d",
                          r->n_breakpoints, MAX_BREAKPOINTS);
    for (size_t i = 0; i < r->n_breakpoints; i++) {
        const Fermata__V1__Breakpoint *b = r->breakpoints[i];
        char field[64];
        snprintf(field, sizeof(field), "breakpoints[%zu].routine", i);
        if (strcmp(b->routine, "*") != 0 && fm_name_check(field, b->routine, err) < 0)
            return -FM_INVALID_ARGUMENT;
        snprintf(field, sizeof(field), "breakpoints[%zu].slot", i);
        if (b->slot[0] != '\0' && fm_name_check(field, b->slot, err) < 0)
            return -FM_INVALID_ARGUMENT;
        snprintf(field, sizeof(field), "breakpoints[%zu].condition", i);
        if (check_text(field, b->condition, err) < 0)
            return -FM_INVALID_ARGUMENT;
    }
    return 0;
}

static struct program_check *conditions_of(const Fermata__V1__SetBreakpointsRequest *r)
{
    struct program_check *k = program_check_new();
    for (size_t i = 0; i < r->n_breakpoints; i++) {
        char field[64];
        snprintf(field, sizeof(field), "breakpoints[%zu].condition", i);
        if (r->breakpoints[i]->condition[0] != '\0')
            program_check_add_jq(k, field, r->breakpoints[i]->condition);
    }
    return k;
}

static void replace_breakpoints(struct job *job, const Fermata__V1__SetBreakpointsRequest *r)
{
    Fermata__V1__Job *h = job->head;
    for (size_t i = 0; i < h->n_breakpoints; i++)
        fermata__v1__breakpoint__free_unpacked(h->breakpoints[i], NULL);
    free(h->breakpoints);
    h->breakpoints = r->n_breakpoints == 0 ? NULL : fm_xcalloc(r->n_breakpoints, sizeof(*h->breakpoints));
    h->n_breakpoints = r->n_breakpoints;
    for (size_t i = 0; i < r->n_breakpoints; i++)
        h->breakpoints[i] = pb_clone(r->breakpoints[i]);
    job->head_dirty = true;
}

static void check_places(struct core *c, const struct job *job, const Fermata__V1__SetBreakpointsRequest *r,
                         struct fm_err *err)
{
    if (job->def == NULL || r->n_breakpoints == 0)
        return;
    fm_auto_pb Fermata__V1__Flow *flow = fermata__v1__flow__unpack(NULL, job->def->body.n, job->def->body.p);
    const struct flow_types known = {types_find, c};
    if (flow == NULL) {
        (void)fm_err_set(err, FM_DATA_LOSS, "flow", "the flow of job %s is malformed", job->text);
        return;
    }
    int rc = 0;
    for (size_t i = 0; i < r->n_breakpoints && rc == 0; i++) {
        char path[64];
        snprintf(path, sizeof(path), "breakpoints[%zu]", i);
        rc = flow_check_place(flow, path, r->breakpoints[i]->routine, r->breakpoints[i]->slot, &known, err);
    }
}

static int set_breakpoints(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__SetBreakpointsRequest *r = OP_REQUEST(op, Fermata__V1__SetBreakpointsRequest);
    struct who who;
    struct job *job;
    int rc = who_asks(op, "by", r->by, "reason", r->reason, &who, err);
    if (rc == 0)
        rc = check_breakpoints(r, err);
    if (rc < 0)
        return rc;
    if (!programs_checked(c, op, conditions_of(r), err))
        return OP_WAITS;
    if (err->code != FM_OK)
        return -(int)err->code;
    rc = job_for_op(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    bool clears = r->n_breakpoints == 0;
    int status = job_status(job);
    check_places(c, job, r, err);
    if (job_status_final(status) && status != JOB_FAILED)
        (void)fm_err_set(err, FM_FAILED_PRECONDITION, "job_id", "job %s is %s: nothing of it runs any more",
                         job->text, job_status_name(status));
    if (err->code != FM_OK)
        return -(int)err->code;
    if (!clears || job->head->n_breakpoints > 0)
        job_note_here(c, job, clears ? ENTRY_KIND_BREAKPOINTS_CLEARED : ENTRY_KIND_BREAKPOINTS_SET, who, NULL,
                      NULL);
    replace_breakpoints(job, r);
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
