/* ResumeJob: answers to questions, and jobs that failed go on. */
#include "answer.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "admit.h"
#include "check.h"
#include "child_questions.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/struct.pb-c.h"
#include "input.h"
#include "job.h"
#include "job_state.h"
#include "load.h"
#include "log.h"
#include "lost.h"
#include "method.h"
#include "move.h"
#include "op.h"
#include "pause.h"
#include "pbc.h"
#include "place.h"
#include "programs.h"
#include "remedy.h"
#include "request_id.h"
#include "state.h"
#include "unit.h"

static const Fermata__V1__Pause *find_asked(const struct job *job, const Fermata__V1__ResumeJobRequest *r,
                                            struct fm_err *err)
{
    const Fermata__V1__Job *h = job->head;
    const char *status = job_status_name((int)h->status);
    if (h->n_pauses == 0) {
        (void)fm_err_set(err, FM_FAILED_PRECONDITION, r->pause_id[0] != '\0' ? "pause_id" : "job_id",
                         "job %s is %s: no question is open", job->text, status);
        return NULL;
    }
    if (r->pause_id[0] == '\0') {
        if (h->n_pauses == 1)
            return h->pauses[0];
        fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id",
                   "%zu questions are open: say which one is answered, for example %s", h->n_pauses,
                   h->pauses[0]->pause_id);
        return NULL;
    }
    const Fermata__V1__Pause *p = job_find_pause(job, r->pause_id);
    if (p == NULL)
        (void)fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id",
                         "pause %.64s of job %s is not open (or no longer); open is %s", r->pause_id,
                         job->text, h->pauses[0]->pause_id);
    return p;
}

/* Makes the task that brings the answer. */
static void add_answer(struct core *c, struct job *job, const Fermata__V1__Pause *p,
                       const Fermata__V1__ResumeJobRequest *r)
{
    Google__Protobuf__Struct__FieldsEntry entry = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT,
                                          *entries[1] = {&entry};
    Google__Protobuf__Struct data = GOOGLE__PROTOBUF__STRUCT__INIT;
    char key[] = "answer";
    entry.key = key;
    entry.value = r->answer;
    data.n_fields = 1;
    data.fields = entries;
    Fermata__V1__Task task = FERMATA__V1__TASK__INIT;
    task.routine = p->routine;
    task.slot = p->slot;
    task.data = &data;
    task.pause_id = p->pause_id;
    task.call_id = p->call_id;
    task.answer_digest = p->digest;
    task.answered_by = r->answered_by;
    job_add_input(c, job, &task);
}

static void job_set_placement(struct job *job, const Fermata__V1__Placement *p)
{
    if (job->head->placement != NULL)
        fermata__v1__placement__free_unpacked(job->head->placement, NULL);
    Fermata__V1__Placement usual = FERMATA__V1__PLACEMENT__INIT;
    if (p != NULL)
        usual = *p;
    if (usual.mode == PLACEMENT_MODE_UNSPECIFIED && usual.host[0] == '\0')
        usual.mode = PLACEMENT_MODE_ANOTHER_HOST;
    job->head->placement = pb_clone(&usual);
}

static int check_resume(const Fermata__V1__ResumeJobRequest *r, struct fm_err *err)
{
    if (check_size("answer", r->answer, err) < 0 || check_request_id(r->request_id, err) < 0 ||
        check_placement(r->placement, err) < 0 || check_text("answered_by", r->answered_by, err) < 0 ||
        check_text("pause_id", r->pause_id, err) < 0)
        return -FM_INVALID_ARGUMENT;
    return 0;
}

static bool is_question(const Fermata__V1__Pause *p)
{
    return p->reason == PAUSE_REASON_QUESTION || p->reason == PAUSE_REASON_BUDGET;
}

void job_take_answer(struct core *c, struct job *job, const Fermata__V1__Pause *p,
                     const Fermata__V1__ResumeJobRequest *r)
{
    char id[PAUSE_ID_BYTES];
    snprintf(id, sizeof(id), "%s", p->pause_id);
    if (is_question(p)) {
        add_answer(c, job, p, r);
    } else if (p->reason == PAUSE_REASON_OUTCOME_UNKNOWN) {
        lost_answer(c, job, p, r->answer, r->answered_by);
    } else if (p->reason == PAUSE_REASON_BREAKPOINT) {
        pb_set_string(&job->head->released_task, p->task_id);
        job->head->single_step = r->single_step;
    }
    job_remove_pause(job, id);
}

int job_check_answer(struct core *c, struct op *op, const Fermata__V1__Pause *p,
                     const Fermata__V1__ResumeJobRequest *r, struct fm_err *err)
{
    if (r->digest[0] != '\0' && strcmp(r->digest, p->digest) != 0)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "digest",
                          "pause %s has the digest %s: what was shown to whoever answers was something else",
                          p->pause_id, p->digest);
    if (is_question(p) && r->answer == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "answer", "the question \"%.200s\" needs an answer",
                          p->question);
    if (p->reason == PAUSE_REASON_OUTCOME_UNKNOWN)
        return lost_check_answer(r->answer, err);
    return is_question(p) ? programs_check_answer(c, op, p, r->answer, err) : 0;
}

/* What follows from the answer (or, `p` NULL, from going on after a failure), and the reply. */
static int resume_apply(struct core *c, struct op *op, struct job *job, const Fermata__V1__Pause *p,
                        const char *scope)
{
    const Fermata__V1__ResumeJobRequest *r = OP_REQUEST(op, Fermata__V1__ResumeJobRequest);
    struct unit *u = unit_of(c, job);
    char *pause_id = op_own(op, PAUSE_ID_BYTES);
    if (p != NULL) {
        snprintf(pause_id, PAUSE_ID_BYTES, "%s", p->pause_id);
        job_take_answer(c, job, p, r);
    }
    job->head->emit_deferred = true;
    job->emit_deferred_input = job->head->input_count;
    job->head_dirty = true;
    if (job_status(job) == JOB_PAUSED || p == NULL)
        job_set_placement(job, r->placement);
    if (p == NULL)
        job_retry_failed(c, job);
    else
        job_go_on(c, job);
    Fermata__V1__ResumeJobResponse response = FERMATA__V1__RESUME_JOB_RESPONSE__INIT;
    response.status = job->head->status;
    response.host = job->head->host;
    response.pause_id = pause_id;
    request_claim(job, op, scope, r->request_id, &response.base, u);
    FM_LOG(INFO, STATE, "job resumed", FM_STR("job", job->text), FM_STR("pause", pause_id),
           FM_STR("host", job->head->host), FM_U64("epoch", job->head->epoch),
           FM_U64("step", job_state_step(job->state)));
    if (r->wait_for_host && job_status(job) == JOB_PENDING) {
        op_park(op);
        DL_APPEND(job->host_ops, op);
        return OP_WAITS;
    }
    unit_reply(u, op->ticket, &response.base);
    return 0;
}

static int resume_job(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__ResumeJobRequest *r = OP_REQUEST(op, Fermata__V1__ResumeJobRequest);
    struct job *job;
    int rc = check_resume(r, err);
    if (rc == 0)
        rc = children_forward(c, op, err);
    r = OP_REQUEST(op, Fermata__V1__ResumeJobRequest);
    if (rc == 0)
        rc = job_for_op(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    char scope[64];
    snprintf(scope, sizeof(scope), "resume:%s", job->text);
    rc = request_look_up(c, op, scope, r->request_id, job);
    if (rc != 0)
        return rc;
    if (job_status(job) == JOB_FAILED && r->pause_id[0] == '\0')
        return resume_apply(c, op, job, NULL, scope);
    const Fermata__V1__Pause *p = find_asked(job, r, err);
    if (p == NULL)
        return -(int)err->code;
    rc = pause_may_answer(p, c->wall_ms, r->answered_by, "answered_by", err);
    if (rc == 0)
        rc = job_check_answer(c, op, p, r, err);
    if (rc == 0 && is_question(p))
        rc = admit_input(c, job, "answer", &r->answer->base, err);
    return rc != 0 ? rc : resume_apply(c, op, job, p, scope);
}

const struct method resume_job_method = {
    "Jobs/ResumeJob", METHOD_UNARY, &fermata__v1__resume_job_request__descriptor, ROLE_RESPONDER, ADMIT_INPUT,
    resume_job,       NULL};
