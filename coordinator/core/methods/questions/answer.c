/* ResumeJob: answers to questions, and jobs that failed go on. */
#include "answer.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "admit.h"
#include "check.h"
#include "child_questions.h"
#include "children.h"
#include "defs.h"
#include "err.h"
#include "exact.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/struct.pb-c.h"
#include "input.h"
#include "job.h"
#include "job_limits.h"
#include "job_state.h"
#include "journal.h"
#include "load.h"
#include "log.h"
#include "lost.h"
#include "mem.h"
#include "method.h"
#include "move.h"
#include "op.h"
#include "pause.h"
#include "pbc.h"
#include "place.h"
#include "placement.h"
#include "programs.h"
#include "remedy.h"
#include "request_id.h"
#include "state.h"
#include "unit.h"

/* The pause of a call. */
static int find_call(const struct job *job, const char *call_id, char ret_pause_id[PAUSE_ID_BYTES],
                     struct fm_err *err)
{
    char open[PAUSE_CALLS_BYTES];
    const Fermata__V1__Pause *p = pause_with_call(job->head, call_id);
    if (p != NULL) {
        (void)snprintf(ret_pause_id, PAUSE_ID_BYTES, "%s", p->pause_id);
        return 0;
    }
    pause_name_calls(job->head, NULL, open);
    return fm_err_set(err, FM_FAILED_PRECONDITION, "call_id",
                      "no open pause of job %s has the call %.128s (or no longer)%s%s", job->text, call_id,
                      open[0] != '\0' ? "; open are the calls " : "", open);
}

static const Fermata__V1__Pause *find_asked(const struct job *job, const char *pause_id, struct fm_err *err)
{
    const Fermata__V1__Job *h = job->head;
    if (pause_id[0] != '\0' && job_find_pause(job, pause_id) == NULL &&
        pause_check_not_closed(h, pause_id, err) < 0)
        return NULL;
    if (h->n_pauses == 0) {
        (void)fm_err_set(err, FM_FAILED_PRECONDITION, pause_id[0] != '\0' ? "pause_id" : "job_id",
                         "job %s is %s: no question is open", job->text, job_status_name((int)h->status));
        return NULL;
    }
    const Fermata__V1__Pause *p = job_find_pause(job, pause_id);
    if (p == NULL)
        (void)fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id",
                         "pause %.64s of job %s is not open (or no longer); open is %s", pause_id, job->text,
                         h->pauses[0]->pause_id);
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
    task.on_behalf_of = r->on_behalf_of;
    job_add_input(c, job, &task);
}

/* What the resume says of the placement; a job that has a host stays there for now. */
static void say_placement(struct core *c, struct job *job, const Fermata__V1__Placement *said)
{
    placement_say(&job->head->placement, said, PLACEMENT_RESUMES);
    if (job_status(job) == JOB_PENDING && said != NULL) {
        place_unqueue(c, job);
        place_job(c, job);
    }
}

/* Who answers. The texts are the request's, which is another one when the call has been handed on to a child.
 */
static int who_answers(const struct op *op, struct who *ret, struct fm_err *err)
{
    const Fermata__V1__ResumeJobRequest *r = OP_REQUEST(op, Fermata__V1__ResumeJobRequest);
    return who_asks(op, "answered_by", r->answered_by, "reason", r->reason, ret, err);
}

static int check_resume(const struct op *op, struct fm_err *err)
{
    struct who who;
    const Fermata__V1__ResumeJobRequest *r = OP_REQUEST(op, Fermata__V1__ResumeJobRequest);
    if (check_size("answer", r->answer, err) < 0 || check_request_id(r->request_id, err) < 0 ||
        check_placement(r->placement, err) < 0 || check_text("pause_id", r->pause_id, err) < 0 ||
        check_text("on_behalf_of", r->on_behalf_of, err) < 0 || check_text("call_id", r->call_id, err) < 0 ||
        who_answers(op, &who, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (r->call_id[0] != '\0' && r->pause_id[0] != '\0')
        return fm_err_set(err, FM_INVALID_ARGUMENT, "call_id", "is given beside pause_id: keep one of them");
    return 0;
}

void job_take_answer(struct core *c, struct job *job, const Fermata__V1__Pause *p,
                     const Fermata__V1__ResumeJobRequest *r, struct who who)
{
    char id[PAUSE_ID_BYTES];
    snprintf(id, sizeof(id), "%s", p->pause_id);
    bool answers = pause_is_question(p) || p->reason == PAUSE_REASON_OUTCOME_UNKNOWN;
    job_note_here(c, job, answers ? ENTRY_KIND_ANSWERED : ENTRY_KIND_RESUMED, who, id, p->task_id);
    if (pause_is_question(p)) {
        add_answer(c, job, p, r);
    } else if (p->reason == PAUSE_REASON_OUTCOME_UNKNOWN) {
        lost_answer(c, job, p, r->answer, r->answered_by);
    } else if (p->reason == PAUSE_REASON_BREAKPOINT) {
        pb_set_string(&job->head->released_task, p->task_id);
        job->head->single_step = r->single_step;
    } else if (pause_is_limit(p)) {
        struct limits l = limits_of_job(job->head, &job->def->limits, &c->cfg.limits);
        limits_raise(job->head, p, &l, job_state_step(job->state), r->answer);
        children_effect(unit_of(c, job));
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
    if (pause_is_question(p) && r->answer == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "answer", "the question \"%.200s\" needs an answer",
                          p->question[0] != '\0' ? p->question : p->pause_id);
    if (p->reason == PAUSE_REASON_OUTCOME_UNKNOWN)
        return lost_check_answer(r->answer, err);
    if (pause_is_limit(p))
        return limits_check_answer(r->answer, err);
    return pause_is_question(p) ? programs_check_answer(c, op, p, r->answer, err) : 0;
}

void job_go_on_answered(struct core *c, struct job *job)
{
    job->head->emit_deferred = true;
    job->emit_deferred_input = job->head->input_count;
    job->head_dirty = true;
    if (job_status(job) == JOB_PAUSED)
        say_placement(c, job, NULL);
    job_go_on(c, job);
}

Google__Protobuf__Value *job_answer(const Fermata__V1__Pause *p, const Google__Protobuf__Value *answer)
{
    Google__Protobuf__Value shown = GOOGLE__PROTOBUF__VALUE__INIT, *restored = pb_clone(answer);
    shown.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    shown.struct_value = p->data;
    if (p->data != NULL)
        exact_restore(restored, &shown);
    return restored;
}

/* What follows from the answer (or, `p` NULL, from going on after a failure), and the reply. */
static int resume_apply(struct core *c, struct op *op, struct job *job, const Fermata__V1__Pause *p,
                        const Fermata__V1__ResumeJobRequest *r, struct who who, const char *scope)
{
    struct unit *u = unit_of(c, job);
    struct child_questions *own = op_own(op, sizeof(*own));
    char *pause_id = own->pause_id;
    if (p != NULL) {
        snprintf(pause_id, PAUSE_ID_BYTES, "%s", p->pause_id);
        job_take_answer(c, job, p, r, who);
    } else {
        job_note(c, job, ENTRY_KIND_RESUMED, who, NULL);
    }
    job->head->emit_deferred = true;
    job->emit_deferred_input = job->head->input_count;
    job->head->steps_from = job_state_step(job->state) + 1;
    job->head_dirty = true;
    if (job_status(job) == JOB_PAUSED || p == NULL || r->placement != NULL)
        say_placement(c, job, r->placement);
    if (p == NULL)
        job_retry_failed(c, job, who);
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

/* The job and the pause that are meant, once they are there and it is known that the request is new: a
 * repeated one gets its first reply whatever is open by now. Returns 0 (the pause "": the job goes on after a
 * failure), OP_WAITS or -code. */
static int find_meant(struct core *c, struct op *op, const Fermata__V1__ResumeJobRequest *r, struct job **job,
                      char scope[64], char pause_id[PAUSE_ID_BYTES], struct fm_err *err)
{
    fm_auto(fm_err) why = {0};
    int rc = job_for_op(c, op, r->job_id, job, err);
    if (rc != 0)
        return rc;
    snprintf(scope, 64, "resume:%s", (*job)->text);
    snprintf(pause_id, PAUSE_ID_BYTES, "%.*s", PAUSE_ID_BYTES - 1, r->pause_id);
    if (r->call_id[0] != '\0')
        rc = find_call(*job, r->call_id, pause_id, &why);
    else if (r->pause_id[0] == '\0' && job_status(*job) != JOB_FAILED)
        rc = pause_meant(c, op, job, pause_id, &why);
    if (rc == OP_WAITS)
        return rc;
    int looked = request_look_up(c, op, scope, r->request_id, *job);
    if (looked == 0 && rc != 0)
        fm_err_copy(err, &why);
    return looked != 0 ? looked : rc;
}

static int resume_job(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__ResumeJobRequest *r = OP_REQUEST(op, Fermata__V1__ResumeJobRequest);
    struct job *job;
    struct who who;
    char scope[64], pause_id[PAUSE_ID_BYTES];
    int rc = check_resume(op, err);
    if (rc == 0)
        rc = children_forward(c, op, err);
    r = OP_REQUEST(op, Fermata__V1__ResumeJobRequest);
    if (rc == 0)
        rc = who_answers(op, &who, err);
    if (rc == 0)
        rc = find_meant(c, op, r, &job, scope, pause_id, err);
    if (rc == 0)
        rc = placement_check_said(job->head, r->placement, err);
    if (rc != 0)
        return rc;
    if (job_status(job) == JOB_FAILED && r->pause_id[0] == '\0' && r->call_id[0] == '\0') {
        rc = op_needs(op, ROLE_OPERATOR, "letting a failed job go on", err);
        return rc < 0 ? rc : resume_apply(c, op, job, NULL, r, who, scope);
    }
    const Fermata__V1__Pause *p = find_asked(job, pause_id, err);
    if (p == NULL)
        return -(int)err->code;
    fm_auto_pb Google__Protobuf__Value *answer = job_answer(p, r->answer);
    Fermata__V1__ResumeJobRequest restored = *r;
    restored.answer = answer;
    rc = pause_check_open(p, c->wall_ms, err);
    if (rc == 0)
        rc = pause_may_answer(p, c->wall_ms, r->answered_by, "answered_by", err);
    if (rc == 0 && !pause_is_question(p))
        rc = op_needs(op, ROLE_OPERATOR, "ending a pause that is no question", err);
    if (rc == 0)
        rc = job_check_answer(c, op, p, &restored, err);
    if (rc == 0 && pause_is_question(p))
        rc = admit_input(c, job, ADMITTED_ANSWER, "answer", &answer->base, err);
    return rc != 0 ? rc : resume_apply(c, op, job, p, &restored, who, scope);
}

const struct method resume_job_method = {"Jobs/ResumeJob",
                                         METHOD_UNARY,
                                         &fermata__v1__resume_job_request__descriptor,
                                         &fermata__v1__resume_job_response__descriptor,
                                         ROLE_RESPONDER,
                                         ADMIT_INPUT,
                                         resume_job,
                                         child_questions_free};
