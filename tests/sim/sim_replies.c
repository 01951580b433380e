/* What the simulated clients make of the replies they get. See sim.h. */
#include "sim_replies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "sim_answers.h"
#include "sim_inbox.h"
#include "sim_journal.h"
#include "sim_oracle.h"

/* ---- it was done ---- */

static void submitted(struct op *op, struct fm_bytes bytes)
{
    struct sim_job *job = &w.jobs[op->job];
    Fermata__V1__SubmitJobResponse *r = fermata__v1__submit_job_response__unpack(NULL, bytes.n, bytes.p);
    if (job->submitted && strcmp(job->id, r->job_id) != 0)
        wrong("a repeated submit made job %s, the first one %s", r->job_id, job->id);
    snprintf(job->id, sizeof(job->id), "%s", r->job_id);
    if (!sim_store_has_request(w.store, "submit", op->text))
        wrong("job %s is acknowledged and not on disk", job->id);
    job->submitted = true;
    trace("job %zu is %s", op->job, job->id);
    fermata__v1__submit_job_response__free_unpacked(r, NULL);
}

static void forked(struct op *op, struct fm_bytes bytes)
{
    const struct sim_job *from = &w.jobs[op->job];
    Fermata__V1__ForkJobResponse *r = fermata__v1__fork_job_response__unpack(NULL, bytes.n, bytes.p);
    char scope[64];
    snprintf(scope, sizeof(scope), "fork:%s", from->id);
    if (!sim_store_has_request(w.store, scope, op->text))
        wrong("the fork of job %s is acknowledged and not on disk", from->id);
    struct sim_job *job = &w.jobs[w.n_jobs];
    *job = *from;
    snprintf(job->id, sizeof(job->id), "%s", r->job_id);
    job->is_fork = job->submitted = true;
    job->forked_at = (uint32_t)op->item;
    job->final = job->cancel_acked = job->cancel_sent = job->op_open = job->got_final = job->got_history =
        job->fork_open = job->answer_acked = false;
    job->patch_acked = job->revision = 0;
    job->n_acts = 0;
    job->generation_acked = 0;
    job->break_at[0] = job->break_sent[0] = '\0';
    for (size_t i = 0; i < job->n_inputs; i++)
        job->inputs[i].acked = job->inputs[i].refused = false; /* those after the step are not in the fork */
    trace("job %zu is %s, forked from %s at step %zu", w.n_jobs, job->id, from->id, op->item);
    after((int64_t)rnd(300), EV_CLIENT)->id = w.n_jobs++;
    fermata__v1__fork_job_response__free_unpacked(r, NULL);
}

static void got_job(struct op *op, struct fm_bytes bytes)
{
    Fermata__V1__GetJobResponse *r = fermata__v1__get_job_response__unpack(NULL, bytes.n, bytes.p);
    if (r == NULL) {
        wrong("GetJob answered with something malformed");
        return;
    }
    if (op->kind == OP_GET)
        client_sees(op->job, r->job);
    else
        check_final(op->job, r->job);
    fermata__v1__get_job_response__free_unpacked(r, NULL);
}

static void took_input(struct op *op)
{
    struct sim_job *job = &w.jobs[op->job];
    char scope[64];
    snprintf(scope, sizeof(scope), "input:%s", job->id);
    if (!sim_store_has_request(w.store, scope, job->inputs[op->item].request))
        wrong("input %s is acknowledged and not on disk", job->inputs[op->item].token);
    job->inputs[op->item].acked = true;
    job->inputs[op->item].refused = false; /* an earlier try came while the job was FAILED */
    trace("input %s is acknowledged", job->inputs[op->item].token);
}

static void cancelled(struct op *op, struct fm_bytes bytes)
{
    struct sim_job *job = &w.jobs[op->job];
    Fermata__V1__CancelJobResponse *r = fermata__v1__cancel_job_response__unpack(NULL, bytes.n, bytes.p);
    job->cancel_acked = job->cancel_acked || (int)r->status == JOB_CANCELLED;
    if (job->cancel_acked)
        journal_acked(op->job, FERMATA__V1__ENTRY_KIND__ENTRY_KIND_CANCELLED, "");
    fermata__v1__cancel_job_response__free_unpacked(r, NULL);
}

static void got_history(struct op *op, struct fm_bytes bytes)
{
    Fermata__V1__GetHistoryResponse *r = fermata__v1__get_history_response__unpack(NULL, bytes.n, bytes.p);
    check_history(op->job, r);
    journal_check(op->job, r);
    fermata__v1__get_history_response__free_unpacked(r, NULL);
}

static void drained(struct op *op, struct fm_bytes bytes)
{
    Fermata__V1__DrainHostResponse *r = fermata__v1__drain_host_response__unpack(NULL, bytes.n, bytes.p);
    w.hosts[op->item].drain_acked = true;
    w.hosts[op->item].drain_empty = r->n_left_job_ids == 0;
    trace("%s is drained, %zu jobs are left", w.hosts[op->item].id, r->n_left_job_ids);
    fermata__v1__drain_host_response__free_unpacked(r, NULL);
}

static void paused(struct op *op, struct fm_bytes bytes)
{
    Fermata__V1__PauseJobResponse *r = fermata__v1__pause_job_response__unpack(NULL, bytes.n, bytes.p);
    check_paused(op->job, op->at, r);
    if (r->pause_id[0] != '\0')
        journal_acked(op->job, FERMATA__V1__ENTRY_KIND__ENTRY_KIND_PAUSED, r->pause_id);
    fermata__v1__pause_job_response__free_unpacked(r, NULL);
}

static void continued(struct op *op, struct fm_bytes bytes)
{
    Fermata__V1__ContinueJobResponse *r = fermata__v1__continue_job_response__unpack(NULL, bytes.n, bytes.p);
    struct sim_job *job = &w.jobs[op->job];
    if (r->generation > job->generation_acked)
        job->generation_acked = r->generation;
    trace("job %zu starts over as generation %u, with step %u", op->job, r->generation, r->step);
    fermata__v1__continue_job_response__free_unpacked(r, NULL);
}

static void take_ok(struct op *op, struct fm_bytes bytes)
{
    struct sim_job *job = op->job != NO_JOB ? &w.jobs[op->job] : NULL;
    switch (op->kind) {
    case OP_SUBMIT:
        submitted(op, bytes);
        return;
    case OP_FORK:
        job->fork_open = false;
        job->n_forks++;
        if (w.n_jobs < MAX_JOBS && !w.resting)
            forked(op, bytes);
        return;
    case OP_GET:
    case OP_FINAL_GET:
        got_job(op, bytes);
        return;
    case OP_INPUT:
        took_input(op);
        return;
    case OP_CANCEL:
        cancelled(op, bytes);
        return;
    case OP_HISTORY:
        got_history(op, bytes);
        return;
    case OP_PUT_FLOW:
        w.flow_stored = true;
        if (!sim_store_has_flow(w.store, "kid"))
            wrong("a flow is acknowledged and not on disk");
        return;
    case OP_DRAIN:
        drained(op, bytes);
        return;
    case OP_UNCORDON:
        w.hosts[op->item].may_be_drained = false;
        return;
    case OP_CERTIFY:
        trace("the death of %s is certified", w.hosts[op->item].id);
        w.certified = true;
        return;
    case OP_PATCH:
        if ((uint32_t)op->item > job->patch_acked)
            job->patch_acked = (uint32_t)op->item;
        return;
    case OP_RESUME:
        job->answer_acked = job->answer_acked || strchr(op->text, '/') == NULL;
        if (strchr(op->text, '/') == NULL)
            journal_acked(op->job, FERMATA__V1__ENTRY_KIND__ENTRY_KIND_ANSWERED, op->text);
        trace("answer to %s of job %zu is acknowledged", op->text, op->job);
        return;
    case OP_DECIDE:
        trace("decision on %s of job %zu is acknowledged", op->text, op->job);
        return;
    case OP_PAUSE:
        paused(op, bytes);
        return;
    case OP_BREAKPOINTS:
        if (op->item == job->breaks_sent)
            snprintf(job->break_at, sizeof(job->break_at), "%.15s", op->text);
        if (op->text[0] != '\0') {
            char why[32];
            snprintf(why, sizeof(why), "set %zu", op->item);
            journal_acked(op->job, FERMATA__V1__ENTRY_KIND__ENTRY_KIND_BREAKPOINTS_SET, why);
        }
        trace("breakpoints of job %zu are at \"%s\"", op->job, op->text);
        return;
    case OP_CONTINUE:
        continued(op, bytes);
        return;
    case OP_INBOX:
        inbox_page(bytes, NULL);
        return;
    case OP_GO_ON:
    case OP_RETRY:
    case OP_SKIP:
        return;
    }
}

/* ---- it was not ---- */

static bool is_transient(const struct fm_err *err)
{
    return err->code == FM_UNAVAILABLE || err->code == FM_ABORTED || err->code == FM_RESOURCE_EXHAUSTED;
}

/* Whoever wrote the certificate of a dead host tries again until it is known that it is not needed. */
static void certificate_failed(const struct op *op, const struct fm_err *err)
{
    const struct sim_host *h = &w.hosts[op->item];
    bool lives = h->engine != NULL && strcmp(h->incarnation, op->text) == 0;
    if (lives || err->code == FM_NOT_FOUND || (err->code != FM_FAILED_PRECONDITION && !is_transient(err)))
        return;
    struct event *e = after(100 + (int64_t)rnd(200), EV_CERTIFY);
    e->host = op->item;
    snprintf(e->text, sizeof(e->text), "%.26s", op->text);
}

/* Refusals that are no fault: it was too late, or done already. */
static bool is_too_late(const struct op *op, const struct fm_err *err)
{
    switch (op->kind) {
    case OP_RESUME:
    case OP_DECIDE:
    case OP_CONTINUE:
    case OP_PAUSE:
    case OP_PATCH:
    case OP_FORK:
    case OP_BREAKPOINTS:
        return err->code == FM_FAILED_PRECONDITION;
    case OP_GO_ON: /* it has failed no more, and asks something */
    case OP_RETRY:
    case OP_SKIP:
        return err->code == FM_FAILED_PRECONDITION || err->code == FM_NOT_FOUND ||
               err->code == FM_INVALID_ARGUMENT;
    case OP_DRAIN:
        return err->code == FM_NOT_FOUND;
    case OP_UNCORDON:
        return err->code == FM_NOT_FOUND && op->text[0] == '\0';
    default:
        return false;
    }
}

static void take_error(struct op *op, const struct fm_err *err)
{
    if (op->kind == OP_CERTIFY) {
        certificate_failed(op, err);
        return;
    }
    if (op->kind == OP_UNCORDON && err->code == FM_NOT_FOUND) {
        w.hosts[op->item].may_be_drained = false;
        if (sim_store_is_cordoned(w.store, w.hosts[op->item].id))
            wrong("%s is said to be unknown, and the disk says that it takes no work", w.hosts[op->item].id);
    }
    if (op->kind == OP_INBOX)
        inbox_page((struct fm_bytes){0}, err);
    if (op->kind == OP_FORK)
        w.jobs[op->job].fork_open = false;
    if (is_transient(err) || is_too_late(op, err))
        return;
    if (op->kind == OP_INPUT && err->code == FM_FAILED_PRECONDITION) {
        struct sim_input *in = &w.jobs[op->job].inputs[op->item];
        if (in->acked)
            wrong("input %s is acknowledged, and then refused", in->token);
        in->refused = true; /* the job has ended before */
        return;
    }
    wrong("operation %d on %zu failed: %s: %s", (int)op->kind, op->job != NO_JOB ? op->job : op->item,
          fm_code_name((int)err->code), err->msg);
}

void take_reply(uint64_t ticket, struct fm_bytes r, const struct fm_err *err)
{
    struct op *op;
    if (ticket == w.watch_ticket && err != NULL) {
        w.watch_ticket = 0; /* taken up again with the next step */
        return;
    }
    HASH_FIND(hh, w.ops, &ticket, sizeof(ticket), op);
    if (op == NULL)
        return;
    HASH_DEL(w.ops, op);
    if (op->job != NO_JOB)
        w.jobs[op->job].op_open = false;
    if (err == NULL)
        take_ok(op, r);
    else
        take_error(op, err);
    free(op);
}
