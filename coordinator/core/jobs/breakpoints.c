/* SetBreakpoints calls that wait: until the breakpoints are on disk, and the job's host (if it has one)
 * has them. */
#include "breakpoints.h"

#include <string.h>

#include <utlist.h>

#include "buf.h"
#include "fermata/v1/jobs.pb-c.h"
#include "host.h"
#include "job.h"
#include "op.h"
#include "send.h"
#include "state.h"
#include "unit.h"

/* Of a call that waits. */
struct awaited {
    bool stored;  /* they are on disk */
    uint64_t seq; /* the message to the host that has them */
};

static struct awaited *awaited_of(struct op *op)
{
    return op_own(op, sizeof(struct awaited));
}

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
        if (awaited_of(op)->stored)
            awaited_of(op)->seq = job->host->seq_out;
    job->host->breakpoints_awaited = job->host->breakpoints_awaited || job->breakpoint_ops != NULL;
}

/* They are on disk, as the call wants them: the host is told. */
static void stored(struct core *c, struct job *job, struct effect *e)
{
    struct op *op;
    uint64_t ticket;
    memcpy(&ticket, e->bytes.p, sizeof(ticket));
    DL_SEARCH_SCALAR(job->breakpoint_ops, op, ticket, ticket);
    if (op != NULL)
        awaited_of(op)->stored = true;
    if (job->host != NULL && job->assign_sent)
        send(c, job);
    else if (op != NULL)
        answer(c, job, op);
}

static const struct effect_kind breakpoints_effect = {"breakpoints", stored, NULL, NULL, NULL};

void breakpoints_wait(struct core *c, struct job *job, struct op *op)
{
    unit_effect(unit_of(c, job), &breakpoints_effect,
                (struct fm_bytes){(const uint8_t *)&op->ticket, sizeof(op->ticket)});
    op_park(op);
    DL_APPEND(job->breakpoint_ops, op);
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
            if (awaited_of(op)->stored && awaited_of(op)->seq <= ack)
                answer(c, job, op);
        h->breakpoints_awaited = h->breakpoints_awaited || job->breakpoint_ops != NULL;
    }
}

void breakpoints_left(struct core *c, struct job *job)
{
    struct op *op, *tmp;
    DL_FOREACH_SAFE (job->breakpoint_ops, op, tmp)
        if (awaited_of(op)->stored)
            answer(c, job, op);
}
