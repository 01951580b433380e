/* SetBreakpoints. It is answered when they hold: when they are on disk and, if a host has the job, when that
 * host has said that it received them. Who makes a host by hand and does not number its messages has received
 * them when it says anything; with a job that leaves its host, the next one gets them with the assignment. */
#include "core_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "flow.h"
#include "mem.h"
#include "program_check.h"

#define MAX_BREAKPOINTS 100

/* ---- who waits ---- */

static void answer(struct core *c, struct job *job, struct op *op)
{
    Fermata__V1__SetBreakpointsResponse response = FERMATA__V1__SET_BREAKPOINTS_RESPONSE__INIT;
    DL_DELETE(job->breakpoint_ops, op);
    response.status = job->head->status;
    op_reply(c, op, &response.base);
}

/* Sends them; what waits for a sending waits for this one now. */
static void send(struct core *c, struct job *job)
{
    struct op *op;
    host_send_breakpoints(c, job);
    DL_FOREACH (job->breakpoint_ops, op)
        if (op->stored)
            op->awaited_seq = job->host->seq_out;
    job->host->breakpoints_awaited = job->host->breakpoints_awaited || job->breakpoint_ops != NULL;
}

void breakpoints_stored(struct core *c, struct job *job, uint64_t ticket)
{
    struct op *op;
    DL_SEARCH_SCALAR(job->breakpoint_ops, op, ticket, ticket);
    if (op != NULL)
        op->stored = true;
    if (job->host != NULL && job->assign_sent)
        send(c, job);
    else if (op != NULL)
        answer(c, job, op);
}

void breakpoints_resend(struct core *c, struct job *job)
{
    if (job->head->n_breakpoints > 0 || job->head->single_step || job->breakpoint_ops != NULL)
        send(c, job);
}

void breakpoints_received(struct core *c, struct host *h, uint64_t ack)
{
    struct job *job, *next;
    if (!h->breakpoints_awaited)
        return;
    h->breakpoints_awaited = false;
    for (job = h->jobs; job != NULL; job = next) {
        struct op *op, *tmp;
        next = job->host_next;
        DL_FOREACH_SAFE (job->breakpoint_ops, op, tmp)
            if (op->stored && op->awaited_seq <= ack)
                answer(c, job, op);
        h->breakpoints_awaited = h->breakpoints_awaited || job->breakpoint_ops != NULL;
    }
}

void breakpoints_left(struct core *c, struct job *job)
{
    struct op *op, *tmp;
    DL_FOREACH_SAFE (job->breakpoint_ops, op, tmp)
        if (op->stored)
            answer(c, job, op);
}

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
        if (strcmp(b->routine, "*") != 0 && check_name(field, b->routine, err) < 0)
            return -FM_INVALID_ARGUMENT;
        snprintf(field, sizeof(field), "breakpoints[%zu].slot", i);
        if (b->slot[0] != '\0' && check_name(field, b->slot, err) < 0)
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
    Fermata__V1__Flow *flow = fermata__v1__flow__unpack(NULL, job->def->body.n, job->def->body.p);
    const struct flow_types known = {flow_known_type, c};
    if (flow == NULL) {
        fm_err_set(err, FM_DATA_LOSS, "flow", "the flow of job %s is malformed", job->text);
        return;
    }
    int rc = 0;
    for (size_t i = 0; i < r->n_breakpoints && rc == 0; i++) {
        char path[64];
        snprintf(path, sizeof(path), "breakpoints[%zu]", i);
        rc = flow_check_place(flow, path, r->breakpoints[i]->routine, r->breakpoints[i]->slot, &known, err);
    }
    fermata__v1__flow__free_unpacked(flow, NULL);
}

void breakpoints_set(struct core *c, struct op *op)
{
    const Fermata__V1__SetBreakpointsRequest *r = OP_REQUEST(op, Fermata__V1__SetBreakpointsRequest);
    struct fm_err err = {0};
    if (check_breakpoints(r, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    if (!programs_checked(c, op, conditions_of(r), &err))
        return;
    if (err.code != FM_OK) {
        op_fail(c, op, &err);
        return;
    }
    struct job *job = job_for_op(c, op, r->job_id);
    if (job == NULL)
        return;
    int status = (int)job->head->status;
    check_places(c, job, r, &err);
    if (job_status_final(status) && status != JOB_FAILED)
        fm_err_set(&err, FM_FAILED_PRECONDITION, "job_id", "job %s is %s: nothing of it runs any more",
                   job->text, job_status_name(status));
    if (err.code != FM_OK) {
        op_fail(c, op, &err);
        job_rest(c, job);
        return;
    }
    replace_breakpoints(job, r);
    commit_effect(job_unit(c, job), EFFECT_BREAKPOINTS, (struct fm_bytes){0})->ticket = op->ticket;
    op_park(op);
    DL_APPEND(job->breakpoint_ops, op);
    job_rest(c, job);
}
