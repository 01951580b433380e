/* What the client of a job makes of what it sees: it answers questions, decides what lost tasks have done,
 * lets go on what is held or has failed, forks and patches. See sim.h. */
#include "sim_answers.h"

#include <stdio.h>
#include <string.h>

#include "job.h"
#include "sim_clients.h"
#include "sim_flows.h"
#include "sim_oracle.h"

static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void resume(size_t j, enum op_kind kind, const char *pause, Google__Protobuf__Value *answer, bool step)
{
    Fermata__V1__ResumeJobRequest r = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
    char request_id[96];
    snprintf(request_id, sizeof(request_id), "r%zu.%.60s", j, pause);
    r.job_id = w.jobs[j].id;
    r.pause_id = text(pause);
    r.request_id = request_id;
    r.answer = answer;
    r.single_step = step;
    w.jobs[j].let_go_at = w.now;
    request("Jobs/ResumeJob", kind, j, 0, pause, &r.base);
}

/* A job that begins anew somewhere in the history of another; what it is to become is known from that. A
 * question that is open there may be answered by the way. */
static void fork_it(size_t j, uint32_t step, bool answers)
{
    Google__Protobuf__Value yes = GOOGLE__PROTOBUF__VALUE__INIT;
    Fermata__V1__ForkJobRequest r = FERMATA__V1__FORK_JOB_REQUEST__INIT;
    char request_id[32];
    snprintf(request_id, sizeof(request_id), "f%zu.%zu.%u.%d", j, w.jobs[j].n_forks, step, answers);
    r.job_id = w.jobs[j].id;
    r.step = step;
    r.request_id = request_id;
    yes.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    yes.bool_value = true;
    r.answer = answers ? &yes : NULL;
    w.jobs[j].fork_open = true;
    request("Jobs/ForkJob", OP_FORK, j, step, request_id, &r.base);
}

/* The token of a task that waits in the job; "" when there is none. */
static const char *token_of(const Fermata__V1__Job *h, const char *task_id)
{
    for (size_t i = 0; h->state != NULL && i < h->state->n_pending_tasks; i++) {
        const Fermata__V1__Task *t = h->state->pending_tasks[i];
        for (size_t k = 0; strcmp(t->task_id, task_id) == 0 && t->data != NULL && k < t->data->n_fields; k++)
            if (strcmp(t->data->fields[k]->key, "t") == 0)
                return t->data->fields[k]->value->string_value;
    }
    return "";
}

static void skip_task(size_t j, const char *task_id, const char *token)
{
    Fermata__V1__SkipTaskRequest r = FERMATA__V1__SKIP_TASK_REQUEST__INIT;
    struct data d;
    r.job_id = w.jobs[j].id;
    r.task_id = text(task_id);
    r.event = text("did");
    r.data = make_data(&d, text(token), false, 0);
    request("Jobs/SkipTask", OP_SKIP, j, 0, task_id, &r.base);
}

static void retry_task(size_t j, const char *task_id)
{
    Fermata__V1__RetryTaskRequest r = FERMATA__V1__RETRY_TASK_REQUEST__INIT;
    r.job_id = w.jobs[j].id;
    r.task_id = text(task_id);
    request("Jobs/RetryTask", OP_RETRY, j, 0, task_id, &r.base);
}

static unsigned hash(const char *s)
{
    unsigned h = 5381;
    for (; *s != '\0'; s++)
        h = h * 33 + (unsigned char)*s;
    return h;
}

/* The answer {"done": {"event": "did", "data": …}}. */
static void say_done(size_t j, const char *pause, const char *token)
{
    struct data d;
    Google__Protobuf__Value done = GOOGLE__PROTOBUF__VALUE__INIT, inner = GOOGLE__PROTOBUF__VALUE__INIT,
                            event = GOOGLE__PROTOBUF__VALUE__INIT, data = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Struct outer_map = GOOGLE__PROTOBUF__STRUCT__INIT,
                             inner_map = GOOGLE__PROTOBUF__STRUCT__INIT;
    Google__Protobuf__Struct__FieldsEntry fields[3], *of_outer[] = {&fields[0]},
                                                     *of_inner[] = {&fields[1], &fields[2]};
    static const char *const keys[] = {"done", "event", "data"};
    Google__Protobuf__Value *const values[] = {&inner, &event, &data};
    for (int i = 0; i < 3; i++) {
        google__protobuf__struct__fields_entry__init(&fields[i]);
        fields[i].key = text(keys[i]);
        fields[i].value = values[i];
    }
    event.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    event.string_value = text("did");
    data.kind_case = inner.kind_case = done.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    data.struct_value = make_data(&d, text(token), false, 0);
    inner.struct_value = &inner_map;
    inner_map.fields = of_inner;
    inner_map.n_fields = 2;
    done.struct_value = &outer_map;
    outer_map.fields = of_outer;
    outer_map.n_fields = 1;
    resume(j, OP_DECIDE, pause, &done, false);
}

/* What a lost task has done: the same decision however often it is asked for. */
static void decide(size_t j, const Fermata__V1__Job *h, const Fermata__V1__Pause *p)
{
    const char *token = token_of(h, p->task_id);
    unsigned way = (hash(p->pause_id) + hash(p->task_id) + (unsigned)w.seed) % 3;
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    if (w.calm && !plan_may_fail(&w.jobs[j].plan)) {
        wrong("job %zu asks about task %s, and no host was lost", j, p->task_id);
    } else if (token[0] == '\0') {
        wrong("job %zu asks about task %s, which does not wait", j, p->task_id);
    } else if (!w.healing && chance(10)) {
        skip_task(j, p->task_id, token);
    } else if (!w.healing && chance(10)) {
        retry_task(j, p->task_id);
    } else if (way == 0) {
        say_done(j, p->pause_id, token);
    } else {
        v.string_value = text(way == 1 ? "retry" : "fail");
        if (way == 1)
            grant(w.jobs[j].id, p->pause_id, p->task_id);
        resume(j, OP_DECIDE, p->pause_id, &v, false);
    }
}

/* A FAILED job goes on: with its task again, or without it. */
static void revive(size_t j, const Fermata__V1__Job *h)
{
    struct sim_job *job = &w.jobs[j];
    const char *task_id = h->error != NULL ? h->error->task_id : "", *token = token_of(h, task_id);
    if (!plan_may_fail(&job->plan)) {
        wrong("job %zu is FAILED (%s)", j, h->error != NULL ? h->error->message : "");
        return;
    }
    if (token[0] != '\0' && strcmp(h->error->routine, "e") == 0 && chance(30)) {
        skip_task(j, task_id, token);
        return;
    }
    if (task_id[0] != '\0' && chance(30)) {
        retry_task(j, "");
        return;
    }
    Fermata__V1__ResumeJobRequest r = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
    r.job_id = job->id;
    w.jobs[j].let_go_at = w.now;
    request("Jobs/ResumeJob", OP_GO_ON, j, 0, "", &r.base);
}

static void patch(size_t j)
{
    struct sim_job *job = &w.jobs[j];
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Struct__FieldsEntry entry = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT,
                                          *entries[] = {&entry};
    Google__Protobuf__Struct set = GOOGLE__PROTOBUF__STRUCT__INIT;
    Fermata__V1__PatchStateRequest r = FERMATA__V1__PATCH_STATE_REQUEST__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    v.number_value = ++job->patch_sent;
    entry.key = text("patch");
    entry.value = &v;
    set.n_fields = 1;
    set.fields = entries;
    r.job_id = job->id;
    r.set = &set;
    request("Jobs/PatchState", OP_PATCH, j, job->patch_sent, "", &r.base);
}

static void answer(size_t j, const Fermata__V1__Job *h, const Fermata__V1__Pause *p)
{
    const struct sim_job *job = &w.jobs[j];
    Google__Protobuf__Value yes = GOOGLE__PROTOBUF__VALUE__INIT, more = GOOGLE__PROTOBUF__VALUE__INIT;
    yes.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    yes.bool_value = true;
    more.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    more.number_value = 1 + hash(p->pause_id) % 3;
    switch ((int)p->reason) {
    case FERMATA__V1__PAUSE_REASON__PAUSE_REASON_QUESTION:
        if (!job->plan.silent || strchr(p->pause_id, '/') != NULL) /* a child's */
            resume(j, OP_RESUME, p->pause_id, &yes, false);
        return;
    case FERMATA__V1__PAUSE_REASON__PAUSE_REASON_BUDGET:
        resume(j, OP_DECIDE, p->pause_id, &more, false);
        return;
    case FERMATA__V1__PAUSE_REASON__PAUSE_REASON_OUTCOME_UNKNOWN:
        decide(j, h, p);
        return;
    case FERMATA__V1__PAUSE_REASON__PAUSE_REASON_BREAKPOINT:
        release(job->id, p->task_id);
        resume(j, OP_GO_ON, p->pause_id, NULL, hash(p->pause_id) % 5 == 0);
        return;
    default:
        resume(j, OP_GO_ON, p->pause_id, NULL, false);
        return;
    }
}

/* Forks it somewhere; false: not now. */
static bool forks(size_t j, const Fermata__V1__Job *h)
{
    struct sim_job *job = &w.jobs[j];
    if (job->fork_open || job->is_fork || job->n_forks == MAX_FORKS || w.n_jobs == MAX_JOBS ||
        (!job->final && job->status != JOB_PAUSED) || !chance(12))
        return false;
    bool asks = h->n_pauses == 1 &&
                h->pauses[0]->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_QUESTION &&
                strchr(h->pauses[0]->pause_id, '/') == NULL;
    if (asks && chance(50)) /* where its question is open */
        fork_it(j, h->step_count, !job->plan.silent && chance(30));
    else
        fork_it(j, (uint32_t)rnd(h->step_count + 1), false);
    return true;
}

void client_sees(size_t j, const Fermata__V1__Job *h)
{
    struct sim_job *job = &w.jobs[j];
    if (h->revision < job->revision)
        return; /* overtaken by a later view */
    job->revision = h->revision;
    job->status = (int)h->status;
    job->final = job->status == JOB_COMPLETED || job->status == JOB_CANCELLED;
    if (w.core == NULL)
        return;
    if (forks(j, h))
        return;
    if (job->final)
        return;
    if (w.operators && !w.healing && job->status == JOB_PAUSED && chance(10)) {
        patch(j);
        return;
    }
    if (job->status == JOB_FAILED && (chance(60) || w.healing))
        revive(j, h);
    else if (h->n_pauses > 0 && (chance(60) || w.healing))
        answer(j, h, h->pauses[rnd(h->n_pauses)]);
}
