/* SendInput. */
#include <stdio.h>

#include "admit.h"
#include "answer.h"
#include "check.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "flow.h"
#include "google/protobuf/struct.pb-c.h"
#include "input.h"
#include "job.h"
#include "load.h"
#include "method.h"
#include "move.h"
#include "name.h"
#include "op.h"
#include "pbc.h"
#include "request_id.h"
#include "routine_types.h"
#include "state.h"
#include "unit.h"
#include "waits.h"

/* Whether an input may wake a paused job: not when it is held, and a question halts a flow that runs one task
 * at a time. */
static bool question_halts(const struct job *job)
{
    return job->head->n_pauses > 0 && job->def->parallelism <= 1;
}

static int check_input(const Fermata__V1__SendInputRequest *r, struct fm_err *err)
{
    if (r->to == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "to",
                          "to is missing: the routine and the slot that get the data");
    if (fm_name_check("to.routine", r->to->routine, err) < 0 ||
        fm_name_check("to.slot", r->to->slot, err) < 0 || check_size("data", r->data, err) < 0 ||
        check_request_id(r->request_id, err) < 0 || check_text("sent_by", r->sent_by, err) < 0 ||
        check_text("on_behalf_of", r->on_behalf_of, err) < 0)
        return -FM_INVALID_ARGUMENT;
    return 0;
}

static int check_input_slot(struct core *c, const struct job *job, const Fermata__V1__SendInputRequest *r,
                            struct fm_err *err)
{
    if (job_status_final(job_status(job)))
        return fm_err_set(err, FM_FAILED_PRECONDITION, "job_id", "job %s is %s: it takes no more input",
                          job->text, job_status_name(job_status(job)));
    fm_auto_pb Fermata__V1__Flow *flow = fermata__v1__flow__unpack(NULL, job->def->body.n, job->def->body.p);
    if (flow == NULL)
        return fm_err_set(err, FM_DATA_LOSS, "flow", "the flow of job %s is malformed", job->text);
    struct flow_types known = {types_find, c};
    int rc = flow_check_entry(flow, "to", r->to->routine, r->to->slot, r->data, &known, err);
    return rc;
}

static void add_input(struct core *c, struct job *job, const Fermata__V1__SendInputRequest *r)
{
    Fermata__V1__Task task = FERMATA__V1__TASK__INIT;
    Google__Protobuf__Struct empty = GOOGLE__PROTOBUF__STRUCT__INIT;
    task.routine = r->to->routine;
    task.slot = r->to->slot;
    task.data = r->data != NULL ? r->data : &empty;
    task.answered_by = r->sent_by;
    task.on_behalf_of = r->on_behalf_of;
    (void)job_add_input(c, job, &task);
}

static int send_input(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__SendInputRequest *r = OP_REQUEST(op, Fermata__V1__SendInputRequest);
    struct job *job;
    int rc = check_input(r, err);
    if (rc == 0)
        rc = job_for_op(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    char scope[64];
    snprintf(scope, sizeof(scope), "input:%s", job->text);
    rc = request_look_up(c, op, scope, r->request_id, job);
    if (rc == 0)
        rc = check_input_slot(c, job, r, err);
    const Fermata__V1__Pause *closes = NULL;
    if (rc == 0)
        rc = pause_for_input(c, op, job, r, &closes, err);
    if (rc == 0)
        rc = admit_input(c, job, ADMITTED_INPUT, "data", r->data == NULL ? NULL : &r->data->base, err);
    if (rc != 0)
        return rc;
    struct unit *m = unit_of(c, job);
    Fermata__V1__SendInputResponse response = FERMATA__V1__SEND_INPUT_RESPONSE__INIT;
    if (closes != NULL) {
        input_take_pause(c, job, closes, r);
        job_go_on_answered(c, job);
    } else {
        add_input(c, job, r);
        if (!question_halts(job))
            job_go_on(c, job);
    }
    response.input_number = job->head->input_count;
    request_claim(job, op, scope, r->request_id, &response.base, m);
    unit_reply(m, op->ticket, &response.base);
    return 0;
}

const struct method send_input_method = {"Jobs/SendInput",
                                         METHOD_UNARY,
                                         &fermata__v1__send_input_request__descriptor,
                                         &fermata__v1__send_input_response__descriptor,
                                         ROLE_SUBMITTER,
                                         ADMIT_INPUT,
                                         send_input,
                                         NULL};
