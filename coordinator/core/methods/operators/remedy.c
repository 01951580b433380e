/* What operators do to a job that is PAUSED or FAILED: give a task its attempts anew, skip it, edit it, patch
 * state. Each is a step of the journal, made by the coordinator, and folded in as any other. */
#include "remedy.h"

#include <string.h>

#include "check.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "job.h"
#include "job_state.h"
#include "journal.h"
#include "load.h"
#include "log.h"
#include "lost.h"
#include "mem.h"
#include "method.h"
#include "move.h"
#include "name.h"
#include "op.h"
#include "pbc.h"
#include "place.h"
#include "remedies.h"
#include "state.h"
#include "unit.h"
#include "who.h"

#define MAX_KEYS 1000

/* ---- a FAILED job goes on ---- */

void job_retry_failed(struct core *c, struct job *job, struct who who)
{
    Fermata__V1__Job *h = job->head;
    struct fm_err err = {0};
    if (h->error != NULL && h->error->task_id[0] != '\0' &&
        job_state_find_task(job->state, h->error->task_id) != NULL) {
        if (remedy_retry(c, job, h->error->task_id, who.by,
                         who.reason[0] != '\0' ? who.reason : "the job was resumed", &err) != 0)
            FM_LOG(ERROR, STATE, "the task that failed cannot be tried again", FM_STR("job", job->text),
                   FM_ERR(&err));
        (void)lost_task_known(job, h->error->task_id); /* whoever resumes the job has seen it fail */
    }
    fm_err_done(&err);
    if (h->error != NULL)
        fermata__v1__job_error__free_unpacked(h->error, NULL);
    h->error = NULL;
    if (h->finished_at != NULL)
        google__protobuf__timestamp__free_unpacked(h->finished_at, NULL);
    h->finished_at = NULL;
    if (h->deadline_at != NULL)
        pb_set_time(&h->deadline_at, c->wall_ms + (int64_t)job->def->deadline_ms);
    job->bad_steps = 0;
    h->emit_deferred = true;
    job->emit_deferred_input = h->input_count;
    job_must_move(c, job, JOB_EV_RETRY);
    unit_of(c, job);
    job_reopen_pauses(job);
    lost_tasks(c, job);
    bool asks = h->n_pauses > 0 && job->def->parallelism <= 1;
    if (!asks && !job_is_held(job) && (job_has_work(job) || job_state_deferred(job->state) > 0))
        place_job(c, job);
    else
        job_park(c, job, asks ? PARK_ASKED : PARK_BY_STATE);
}

/* ---- the methods ---- */

/* The job, if operators may change it now. As job_for_op. */
static int held_job(struct core *c, struct op *op, const char *job_id, struct job **ret, struct fm_err *err)
{
    int rc = job_for_op(c, op, job_id, ret, err);
    if (rc != 0)
        return rc;
    const struct job *job = *ret;
    int status = job_status(job);
    if (status != JOB_PAUSED && status != JOB_FAILED)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "job_id",
                          "job %s is %s: only a job that is PAUSED or FAILED can be changed", job->text,
                          job_status_name(status));
    if (job->def == NULL)
        return fm_err_set(err, FM_DATA_LOSS, "job_id", "the flow of job %s is not in the store", job->text);
    return 0;
}

/* The task that is meant: the one named, or the one with which the job failed. */
static const char *task_meant(const struct job *job, const char *task_id, struct fm_err *err)
{
    if (task_id[0] != '\0')
        return task_id;
    if (job_status(job) == JOB_FAILED && job->head->error != NULL && job->head->error->task_id[0] != '\0')
        return job->head->error->task_id;
    fm_err_set(err, FM_INVALID_ARGUMENT, "task_id", "task_id is missing: say which task is meant");
    return NULL;
}

/* Whoever has a task run again or skips it knows what there is to know of it: what was lost of it counts no
 * more, and a question about its outcome is answered. */
static void decided(struct core *c, struct job *job, const char *task_id)
{
    bool asked = false, failed = job_status(job) == JOB_FAILED;
    if (failed)
        job_reopen_pauses(job);
    if (lost_task_known(job, task_id))
        c->match_wanted = true;
    for (size_t i = job->head->n_pauses; i-- > 0;) {
        const Fermata__V1__Pause *p = job->head->pauses[i];
        if (p->reason != PAUSE_REASON_OUTCOME_UNKNOWN || strcmp(p->task_id, task_id) != 0)
            continue;
        fm_autofree char *pause_id = fm_xstrdup(p->pause_id);
        job_remove_pause(job, pause_id);
        asked = true;
    }
    if (failed)
        job_close_pauses(job, KEEP_QUESTIONS);
    if (!asked || failed)
        return;
    job->head->emit_deferred = true;
    job->emit_deferred_input = job->head->input_count;
    job->head_dirty = true;
    job_go_on(c, job);
}

static int retry_task(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__RetryTaskRequest *r = OP_REQUEST(op, Fermata__V1__RetryTaskRequest);
    struct who who;
    struct job *job;
    int rc = who_asks(op, "by", r->by, "reason", r->reason, &who, err);
    if (rc == 0)
        rc = check_text("task_id", r->task_id, err);
    if (rc == 0)
        rc = held_job(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    const char *task_id = task_meant(job, r->task_id, err);
    fm_autofree char *id = task_id == NULL ? NULL : fm_xstrdup(task_id);
    if (id == NULL || remedy_retry(c, job, id, who.by, who.reason, err) < 0)
        return -(int)err->code;
    Fermata__V1__RetryTaskResponse response = FERMATA__V1__RETRY_TASK_RESPONSE__INIT;
    response.step = job_state_step(job->state);
    decided(c, job, id);
    if (job_status(job) == JOB_FAILED) {
        job_set_error(job, "", "", "", ""); /* its task has its attempts already */
        job_retry_failed(c, job, who);
    }
    response.status = job->head->status;
    unit_reply(unit_of(c, job), op->ticket, &response.base);
    return 0;
}

const struct method retry_task_method = {"Jobs/RetryTask",
                                         METHOD_UNARY,
                                         &fermata__v1__retry_task_request__descriptor,
                                         &fermata__v1__retry_task_response__descriptor,
                                         ROLE_OPERATOR,
                                         ADMIT_ALWAYS,
                                         retry_task,
                                         NULL};

static int skip_task(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__SkipTaskRequest *r = OP_REQUEST(op, Fermata__V1__SkipTaskRequest);
    struct who who;
    struct job *job;
    int rc = who_asks(op, "by", r->by, "reason", r->reason, &who, err);
    if (rc == 0)
        rc = check_size("data", r->data, err);
    if (rc == 0)
        rc = check_text("task_id", r->task_id, err);
    if (rc == 0 && r->event[0] != '\0')
        rc = fm_name_check("event", r->event, err);
    if (rc == 0)
        rc = held_job(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    const char *task_id = task_meant(job, r->task_id, err);
    fm_autofree char *id = task_id == NULL ? NULL : fm_xstrdup(task_id);
    if (id == NULL || remedy_skip(c, job, id, r->event, r->data, who.by, who.reason, err) < 0)
        return -(int)err->code;
    Fermata__V1__SkipTaskResponse response = FERMATA__V1__SKIP_TASK_RESPONSE__INIT;
    response.step = job_state_step(job->state);
    decided(c, job, id);
    response.status = job->head->status;
    unit_reply(unit_of(c, job), op->ticket, &response.base);
    return 0;
}

const struct method skip_task_method = {"Jobs/SkipTask",
                                        METHOD_UNARY,
                                        &fermata__v1__skip_task_request__descriptor,
                                        &fermata__v1__skip_task_response__descriptor,
                                        ROLE_OPERATOR,
                                        ADMIT_ALWAYS,
                                        skip_task,
                                        NULL};

static int edit_task(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__EditTaskRequest *r = OP_REQUEST(op, Fermata__V1__EditTaskRequest);
    struct who who;
    struct job *job;
    int rc = who_asks(op, "by", r->by, "reason", r->reason, &who, err);
    if (rc == 0)
        rc = check_size("data", r->data, err);
    if (rc == 0)
        rc = check_text("task_id", r->task_id, err);
    if (rc == 0 && r->data == NULL)
        rc = fm_err_set(err, FM_INVALID_ARGUMENT, "data", "data is missing: the task's new data");
    if (rc == 0)
        rc = held_job(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    if (remedy_edit(c, job, r->task_id, r->data, who.by, who.reason, err) < 0)
        return -(int)err->code;
    Fermata__V1__EditTaskResponse response = FERMATA__V1__EDIT_TASK_RESPONSE__INIT;
    response.step = job_state_step(job->state);
    unit_reply(unit_of(c, job), op->ticket, &response.base);
    return 0;
}

const struct method edit_task_method = {"Jobs/EditTask",
                                        METHOD_UNARY,
                                        &fermata__v1__edit_task_request__descriptor,
                                        &fermata__v1__edit_task_response__descriptor,
                                        ROLE_OPERATOR,
                                        ADMIT_ALWAYS,
                                        edit_task,
                                        NULL};

/* ---- PatchState ---- */

static int check_patch(const struct op *op, struct who *ret, struct fm_err *err)
{
    const Fermata__V1__PatchStateRequest *r = OP_REQUEST(op, Fermata__V1__PatchStateRequest);
    size_t n = (r->set == NULL ? 0 : r->set->n_fields) + r->n_remove;
    if (who_asks(op, "by", r->by, "reason", r->reason, ret, err) < 0 || check_size("set", r->set, err) < 0 ||
        (r->routine[0] != '\0' && fm_name_check("routine", r->routine, err) < 0))
        return -FM_INVALID_ARGUMENT;
    if (n == 0 || n > MAX_KEYS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "set", "%zu keys to set or remove; 1 to %d are allowed",
                          n, MAX_KEYS);
    return 0;
}

/* Whether the job's flow has the routine. */
static bool job_has_routine(const struct job *job, const char *routine)
{
    fm_auto_pb Fermata__V1__Flow *flow = fermata__v1__flow__unpack(NULL, job->def->body.n, job->def->body.p);
    bool found = false;
    for (size_t i = 0; flow != NULL && i < flow->n_routines && !found; i++)
        found = strcmp(flow->routines[i]->id, routine) == 0;
    return found;
}

static int patch_state(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__PatchStateRequest *r = OP_REQUEST(op, Fermata__V1__PatchStateRequest);
    struct job *job;
    struct who who;
    int rc = check_patch(op, &who, err);
    if (rc == 0)
        rc = held_job(c, op, r->job_id, &job, err);
    if (rc != 0)
        return rc;
    if (r->routine[0] != '\0' && !job_has_routine(job, r->routine))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "routine", "the flow of job %s has no routine \"%s\"",
                          job->text, r->routine);
    if (remedy_patch(c, job, r, who, err) < 0)
        return -(int)err->code;
    Fermata__V1__PatchStateResponse response = FERMATA__V1__PATCH_STATE_RESPONSE__INIT;
    response.step = job_state_step(job->state);
    unit_reply(unit_of(c, job), op->ticket, &response.base);
    return 0;
}

const struct method patch_state_method = {"Jobs/PatchState",
                                          METHOD_UNARY,
                                          &fermata__v1__patch_state_request__descriptor,
                                          &fermata__v1__patch_state_response__descriptor,
                                          ROLE_OPERATOR,
                                          ADMIT_ALWAYS,
                                          patch_state,
                                          NULL};
