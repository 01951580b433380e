/* Who uses the simulated coordinator: the client of each job, who submits it, sends inputs, answers, decides
 * what lost tasks have done, lets it go on when it has failed, forks it; and operators, who pause and patch
 * jobs and drain hosts. Requests are repeated, late, and sent again when no reply comes. See sim.h. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#include "job.h"
#include "mem.h"
#include "methods_table.h"

static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void request(const char *method, enum op_kind kind, size_t job, size_t item, const char *about,
                    const ProtobufCMessage *m)
{
    struct op *op = fm_xcalloc(1, sizeof(*op));
    op->ticket = ++w.next_ticket;
    op->kind = kind;
    op->job = job;
    op->item = item;
    snprintf(op->text, sizeof(op->text), "%s", about);
    HASH_ADD(hh, w.ops, ticket, sizeof(op->ticket), op);
    if (job != NO_JOB)
        w.jobs[job].op_open = true;
    struct fm_buf raw = {0};
    pb_pack(m, &raw);
    set_time();
    core_request(w.core, op->ticket, method_find(method), m, (struct fm_bytes){raw.p, raw.n});
    fm_buf_done(&raw);
}

/* ---- jobs ---- */

static void put_kid_flow(void)
{
    Fermata__V1__PutFlowRequest r = FERMATA__V1__PUT_FLOW_REQUEST__INIT;
    r.flow = make_kid_flow();
    w.flow_sent = true;
    request("Flows/PutFlow", OP_PUT_FLOW, NO_JOB, 0, "", &r.base);
    fermata__v1__flow__free_unpacked(r.flow, NULL);
}

static void submit(size_t j)
{
    struct sim_job *job = &w.jobs[j];
    struct data d;
    char request_id[32], a[] = "a", in[] = "in";
    Fermata__V1__SlotRef entry = FERMATA__V1__SLOT_REF__INIT;
    Fermata__V1__SubmitJobRequest r = FERMATA__V1__SUBMIT_JOB_REQUEST__INIT;
    snprintf(request_id, sizeof(request_id), "s%zu", j);
    entry.routine = a;
    entry.slot = in;
    r.entry = &entry;
    r.request_id = request_id;
    r.inline_flow = make_flow(&job->plan);
    r.data = make_data(&d, job->token, true);
    request("Jobs/SubmitJob", OP_SUBMIT, j, 0, request_id, &r.base);
    fermata__v1__flow__free_unpacked(r.inline_flow, NULL);
}

void get_job(size_t j, enum op_kind kind)
{
    Fermata__V1__GetJobRequest r = FERMATA__V1__GET_JOB_REQUEST__INIT;
    r.job_id = w.jobs[j].id;
    request("Jobs/GetJob", kind, j, 0, "", &r.base);
}

void get_history(size_t j)
{
    Fermata__V1__GetHistoryRequest r = FERMATA__V1__GET_HISTORY_REQUEST__INIT;
    r.job_id = w.jobs[j].id;
    r.page_size = 1000;
    request("Jobs/GetHistory", OP_HISTORY, j, 0, "", &r.base);
}

static void resume(size_t j, enum op_kind kind, const char *pause, Google__Protobuf__Value *answer)
{
    Fermata__V1__ResumeJobRequest r = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
    char request_id[96];
    snprintf(request_id, sizeof(request_id), "r%zu.%.60s", j, pause);
    r.job_id = w.jobs[j].id;
    r.pause_id = text(pause);
    r.request_id = request_id;
    r.answer = answer;
    request("Jobs/ResumeJob", kind, j, 0, pause, &r.base);
}

static void send_input(size_t j, size_t i)
{
    struct sim_input *in = &w.jobs[j].inputs[i];
    struct data d;
    char a[] = "a", slot[] = "in";
    Fermata__V1__SlotRef to = FERMATA__V1__SLOT_REF__INIT;
    Fermata__V1__SendInputRequest r = FERMATA__V1__SEND_INPUT_REQUEST__INIT;
    to.routine = a;
    to.slot = slot;
    r.job_id = w.jobs[j].id;
    r.to = &to;
    r.data = make_data(&d, in->token, false);
    r.request_id = in->request;
    in->sent = true;
    request("Jobs/SendInput", OP_INPUT, j, i, "", &r.base);
}

static void cancel(size_t j)
{
    Fermata__V1__CancelJobRequest r = FERMATA__V1__CANCEL_JOB_REQUEST__INIT;
    r.job_id = w.jobs[j].id;
    w.jobs[j].cancel_sent = true;
    request("Jobs/CancelJob", OP_CANCEL, j, 0, "", &r.base);
}

static void pause_it(size_t j)
{
    Fermata__V1__PauseJobRequest r = FERMATA__V1__PAUSE_JOB_REQUEST__INIT;
    r.job_id = w.jobs[j].id;
    request("Jobs/PauseJob", OP_PAUSE, j, 0, "", &r.base);
}

/* A job that begins anew somewhere in the history of another; what it is to become is known from that. */
static void fork_it(size_t j, uint32_t step)
{
    Fermata__V1__ForkJobRequest r = FERMATA__V1__FORK_JOB_REQUEST__INIT;
    char request_id[32];
    snprintf(request_id, sizeof(request_id), "f%zu.%u", j, step);
    r.job_id = w.jobs[j].id;
    r.step = step;
    r.request_id = request_id;
    w.jobs[j].fork_sent = true;
    request("Jobs/ForkJob", OP_FORK, j, step, request_id, &r.base);
}

void client_acts(size_t j)
{
    struct sim_job *job = &w.jobs[j];
    if (job->op_open && chance(80))
        return;
    if (job->plan.kids && !w.flow_stored) {
        if (!w.flow_sent || chance(20))
            put_kid_flow();
        return;
    }
    if (!job->submitted ||
        (!w.healing && !job->is_fork && chance(5))) { /* also again: the same reply must come */
        submit(j);
        return;
    }
    for (size_t i = 0; i < job->n_inputs && !job->is_fork; i++)
        if (!job->inputs[i].acked && !job->inputs[i].refused && chance(40)) {
            send_input(j, i);
            return;
        }
    if (!w.healing && w.operators && !w.calm && chance(2))
        pause_it(j);
    else if (!w.healing && !job->final && chance(1))
        cancel(j);
    else
        get_job(j, OP_GET);
}

/* ---- what the client makes of what it sees ---- */

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
    r.data = make_data(&d, text(token), false);
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
    data.struct_value = make_data(&d, text(token), false);
    inner.struct_value = &inner_map;
    inner_map.fields = of_inner;
    inner_map.n_fields = 2;
    done.struct_value = &outer_map;
    outer_map.fields = of_outer;
    outer_map.n_fields = 1;
    resume(j, OP_DECIDE, pause, &done);
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
        resume(j, OP_DECIDE, p->pause_id, &v);
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
    Google__Protobuf__Value yes = GOOGLE__PROTOBUF__VALUE__INIT;
    yes.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    yes.bool_value = true;
    if (p->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_QUESTION)
        resume(j, OP_RESUME, p->pause_id, &yes);
    else if (p->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_OUTCOME_UNKNOWN)
        decide(j, h, p);
    else
        resume(j, OP_GO_ON, p->pause_id, NULL);
}

void client_sees(size_t j, const Fermata__V1__Job *h)
{
    struct sim_job *job = &w.jobs[j];
    job->status = (int)h->status;
    job->final = job->status == JOB_COMPLETED || job->status == JOB_CANCELLED;
    if (w.core == NULL)
        return;
    if (!job->fork_sent && !job->is_fork && w.n_jobs < MAX_JOBS &&
        (job->final || job->status == JOB_PAUSED) && chance(15)) {
        fork_it(j, (uint32_t)rnd(h->step_count + 1));
        return;
    }
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

/* ---- hosts ---- */

void certify(size_t i, const char *incarnation)
{
    if (w.core == NULL || !w.core_ready) {
        struct event *e = after(100 + (int64_t)rnd(200), EV_CERTIFY);
        e->host = i;
        snprintf(e->text, sizeof(e->text), "%s", incarnation);
        return;
    }
    Fermata__V1__CertifyDeathRequest r = FERMATA__V1__CERTIFY_DEATH_REQUEST__INIT;
    r.host_id = w.hosts[i].id;
    r.incarnation = text(incarnation);
    bool talks = host_talks(i);
    w.certified = false;
    request("Hosts/CertifyDeath", OP_CERTIFY, NO_JOB, i, incarnation, &r.base); /* it is answered at once */
    if (talks && w.certified)
        wrong("%s talks, and is certified dead", w.hosts[i].id);
}

static void drain(size_t i)
{
    struct sim_host *h = &w.hosts[i];
    Fermata__V1__DrainHostRequest r = FERMATA__V1__DRAIN_HOST_REQUEST__INIT;
    r.host_id = h->id;
    r.deadline_ms = chance(50) ? 0 : 1 + (uint32_t)rnd(2000);
    trace("%s is to be drained", h->id);
    h->may_be_drained = true;
    request("Hosts/DrainHost", OP_DRAIN, NO_JOB, i, "", &r.base);
}

static void uncordon(size_t i)
{
    struct sim_host *h = &w.hosts[i];
    Fermata__V1__CordonHostRequest r = FERMATA__V1__CORDON_HOST_REQUEST__INIT;
    r.host_id = h->id;
    r.uncordon = true;
    trace("%s is to take work again", h->id);
    request("Hosts/CordonHost", OP_UNCORDON, NO_JOB, i, h->drain_acked ? "drained" : "", &r.base);
    h->drain_acked = h->drain_empty = false;
}

/* Whether a DrainHost or CordonHost about the host has no reply yet. */
static bool is_asked(size_t i)
{
    for (const struct op *op = w.ops; op != NULL; op = op->hh.next)
        if (op->item == i && (op->kind == OP_DRAIN || op->kind == OP_UNCORDON))
            return true;
    return false;
}

void operator_acts(void)
{
    size_t i = rnd(w.n_hosts);
    if (w.core == NULL || !w.core_ready || is_asked(i))
        return;
    if (w.hosts[i].may_be_drained && (w.healing || chance(60)))
        uncordon(i);
    else if (!w.healing && w.operators && chance(40))
        drain(i);
}

/* ---- the watch ---- */

void watch(void)
{
    if (w.watch_ticket != 0 || w.watch_ended || !w.jobs[0].submitted || w.core == NULL || !w.core_ready)
        return;
    Fermata__V1__WatchJobRequest r = FERMATA__V1__WATCH_JOB_REQUEST__INIT;
    r.job_id = w.jobs[0].id;
    r.from_step = w.watch_last + 1;
    w.watch_ticket = ++w.next_ticket;
    struct fm_buf raw = {0};
    pb_pack(&r, &raw);
    set_time();
    core_request(w.core, w.watch_ticket, method_find("Jobs/WatchJob"), &r.base,
                 (struct fm_bytes){raw.p, raw.n});
    fm_buf_done(&raw);
}
