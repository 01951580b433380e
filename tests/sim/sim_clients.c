/* Who uses the simulated coordinator: the client of each job, who submits it, sends inputs and looks at it
 * (sim_answers.c); and operators, who pause jobs, set breakpoints and drain hosts. Requests are repeated,
 * late, and sent again when no reply comes. See sim.h. */
#include "sim_clients.h"

#include <stdio.h>
#include <string.h>

#include "job.h"
#include "mem.h"
#include "methods_table.h"
#include "sim_coord.h"
#include "sim_flows.h"
#include "sim_oracle.h"

static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

void request(const char *method, enum op_kind kind, size_t job, size_t item, const char *about,
             const ProtobufCMessage *m)
{
    struct op *op = fm_xcalloc(1, sizeof(*op));
    op->ticket = ++w.next_ticket;
    op->kind = kind;
    op->at = w.now;
    op->job = job;
    op->item = item;
    snprintf(op->text, sizeof(op->text), "%s", about);
    HASH_ADD(hh, w.ops, ticket, sizeof(op->ticket), op);
    if (job != NO_JOB)
        w.jobs[job].op_open = true;
    struct fm_buf raw = {0};
    pb_pack(m, &raw);
    set_time();
    core_request(w.core, op->ticket, method_find(method), NULL, m, (struct fm_bytes){raw.p, raw.n});
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
    r.data = make_data(&d, job->token, true, job->plan.answer_ms);
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
    r.data = make_data(&d, in->token, false, 0);
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
    if (chance(50)) { /* else it waits for the end of the step in hand */
        r.maybe_grace_case = FERMATA__V1__PAUSE_JOB_REQUEST__MAYBE_GRACE_GRACE_MS;
        r.grace_ms = rnd(400);
        w.jobs[j].grace_sent = true;
    }
    request("Jobs/PauseJob", OP_PAUSE, j, 0, "", &r.base);
}

/* Holds the tasks of a routine; of none: "". At times by a condition, or beside one that holds nothing. */
static void set_breakpoints(size_t j, const char *routine)
{
    struct sim_job *job = &w.jobs[j];
    Fermata__V1__Breakpoint at = FERMATA__V1__BREAKPOINT__INIT, any = FERMATA__V1__BREAKPOINT__INIT,
                            *list[] = {&at, &any};
    Fermata__V1__SetBreakpointsRequest r = FERMATA__V1__SET_BREAKPOINTS_REQUEST__INIT;
    at.routine = text(routine);
    at.condition = text(chance(50) ? "true" : "");
    any.routine = text("*");
    any.condition = text("false");
    r.job_id = job->id;
    r.breakpoints = list;
    r.n_breakpoints = routine[0] == '\0' ? 0 : chance(30) ? 2 : 1;
    char why[32];
    snprintf(why, sizeof(why), "set %zu", job->breaks_sent + 1);
    r.reason = why;
    job->break_at[0] = '\0'; /* until it is known */
    snprintf(job->break_sent, sizeof(job->break_sent), "%s", routine);
    request("Jobs/SetBreakpoints", OP_BREAKPOINTS, j, ++job->breaks_sent, routine, &r.base);
}

/* It starts its journal over; at times most of its log is forgotten with that. */
static void continue_it(size_t j)
{
    Fermata__V1__Kept kept = FERMATA__V1__KEPT__INIT;
    Fermata__V1__Continue how = FERMATA__V1__CONTINUE__INIT;
    Fermata__V1__ContinueJobRequest r = FERMATA__V1__CONTINUE_JOB_REQUEST__INIT;
    r.job_id = w.jobs[j].id;
    r.how = &how;
    if (chance(40)) {
        how.kept = &kept;
        kept.maybe_log_case = FERMATA__V1__KEPT__MAYBE_LOG_LOG;
        kept.log = (uint32_t)rnd(3);
    }
    request("Jobs/ContinueJob", OP_CONTINUE, j, 0, "", &r.base);
}

/* What operators do with a job; false: nothing. */
static bool operators_act_on(size_t j)
{
    const struct sim_job *job = &w.jobs[j];
    if (job->break_sent[0] != '\0' && chance(w.healing ? 30 : 6))
        set_breakpoints(j, "");
    else if (!w.healing && w.operators && !job->final && chance(3))
        set_breakpoints(j, chance(50) ? "b" : "e");
    else if (!w.healing && w.operators && !w.calm && chance(2))
        pause_it(j);
    else if (!w.healing && w.operators && !job->final && chance(2))
        continue_it(j);
    else
        return false;
    return true;
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
    if (operators_act_on(j))
        return;
    if (!w.healing && !job->final && chance(1))
        cancel(j);
    else
        get_job(j, OP_GET);
}

/* ---- hosts ---- */

/* Of a host that one of its tasks has ended; other deaths have nothing to do with what was at work. */
static void put_in_hand(struct sim_host *h, Fermata__V1__CertifyDeathRequest *r,
                        Fermata__V1__TaskInHand *tasks, Fermata__V1__TaskInHand **pointers)
{
    bool crashed = strcmp(r->incarnation, h->crashed) == 0;
    r->cause =
        crashed ? FERMATA__V1__DEATH_CAUSE__DEATH_CAUSE_CRASHED : FERMATA__V1__DEATH_CAUSE__DEATH_CAUSE_ENDED;
    r->in_hand = pointers;
    for (size_t i = 0; crashed && i < MAX_IN_HAND; i++) {
        struct in_hand *t = &h->crashed_with[i];
        if (!t->used)
            continue;
        fermata__v1__task_in_hand__init(&tasks[i]);
        tasks[i].job_id = t->job;
        tasks[i].epoch = t->epoch;
        tasks[i].task_id = t->task_id;
        tasks[i].routine = t->routine;
        pointers[r->n_in_hand++] = &tasks[i];
    }
}

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
    Fermata__V1__TaskInHand tasks[MAX_IN_HAND], *pointers[MAX_IN_HAND];
    put_in_hand(&w.hosts[i], &r, tasks, pointers);
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
    r.from_entry = w.watch_entry + 1;
    w.watch_ticket = ++w.next_ticket;
    struct fm_buf raw = {0};
    pb_pack(&r, &raw);
    set_time();
    core_request(w.core, w.watch_ticket, method_find("Jobs/WatchJob"), NULL, &r.base,
                 (struct fm_bytes){raw.p, raw.n});
    fm_buf_done(&raw);
}
