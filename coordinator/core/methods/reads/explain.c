/* ExplainJob: why a job is where it is, what it waits for since when, who can end that, and why no host has
 * it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "buf.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "host.h"
#include "job.h"
#include "job_limits.h"
#include "job_state.h"
#include "load.h"
#include "mem.h"
#include "method.h"
#include "op.h"
#include "pause.h"
#include "pbc.h"
#include "place.h"
#include "state.h"
#include "times.h"

#define MAX_REASONS 200
#define MAX_HOSTS 200

struct answer {
    Fermata__V1__ExplainJobResponse r;
    Fermata__V1__Reason reasons[MAX_REASONS], *reason_pointers[MAX_REASONS];
    Fermata__V1__HostReason hosts[MAX_HOSTS], *host_pointers[MAX_HOSTS];
    char texts[MAX_REASONS][512], host_texts[MAX_HOSTS][256];
    Google__Protobuf__Timestamp times[MAX_REASONS];
    char summary[512];
};

static void add(struct answer *a, const char *kind, int64_t at_ms, const char *fmt, ...) FM_PRINTF(4, 5);
static void add(struct answer *a, const char *kind, int64_t at_ms, const char *fmt, ...)
{
    size_t i = a->r.n_waits_for;
    if (i == MAX_REASONS)
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(a->texts[i], sizeof(a->texts[i]), fmt, ap);
    va_end(ap);
    struct fm_err clean = {0}; /* cuts at a whole character */
    (void)fm_err_set(&clean, FM_UNKNOWN, NULL, "%s", a->texts[i]);
    (void)snprintf(a->texts[i], sizeof(a->texts[i]), "%.511s", clean.msg);
    fm_err_done(&clean);
    fermata__v1__reason__init(&a->reasons[i]);
    google__protobuf__timestamp__init(&a->times[i]);
    a->times[i].seconds = fm_ms_seconds(at_ms);
    a->times[i].nanos = fm_ms_nanos(at_ms);
    a->reasons[i].kind = (char *)(uintptr_t)kind;
    a->reasons[i].text = a->texts[i];
    a->reasons[i].at = at_ms > 0 ? &a->times[i] : NULL;
    a->reason_pointers[i] = &a->reasons[i];
    a->r.n_waits_for++;
}

static void add_question(const struct core *c, const Fermata__V1__Pause *p, int64_t at, struct answer *a)
{
    bool claimed = pause_is_claimed(p, c->wall_ms);
    add(a, "question", at, "routine %s asks \"%.200s\"; ResumeJob with pause_id %s answers it%s%.100s",
        p->routine, p->question, p->pause_id, claimed ? "; claimed by " : "", claimed ? p->claimed_by : "");
    if (p->expires_at != NULL)
        add(a, "timer", time_to_ms(p->expires_at), "then question %s closes with its default answer",
            p->pause_id);
}

static void add_pauses(const struct core *c, struct answer *a, const Fermata__V1__Job *h)
{
    for (size_t i = 0; i < h->n_pauses; i++) {
        const Fermata__V1__Pause *p = h->pauses[i];
        int64_t at = time_to_ms(p->at);
        switch (p->reason) {
        case PAUSE_REASON_OPERATOR:
            add(a, "operator", at, "an operator paused it; ResumeJob with pause_id %s lets it go on",
                p->pause_id);
            break;
        case PAUSE_REASON_BREAKPOINT:
            add(a, "operator", at,
                "task %s of routine %s is held by a breakpoint; ResumeJob with pause_id %s lets it go",
                p->task_id, p->routine, p->pause_id);
            break;
        case PAUSE_REASON_TOOL:
            add(a, "tool", at,
                "call %.64s of routine %s waits for its result from outside; ResumeJob with call_id or with "
                "pause_id %s brings it",
                p->call_id, p->routine, p->pause_id);
            break;
        case PAUSE_REASON_INPUT:
            add(a, "input", at,
                "routine %s is open for further input; ResumeJob with pause_id %s or SendInput "
                "brings it",
                p->routine, p->pause_id);
            break;
        case PAUSE_REASON_LIMIT:
            if (pause_is_limit(p))
                add(a, "limit", at, "%.300s (pause_id %s)", p->question, p->pause_id);
            else
                add_question(c, p, at, a);
            break;
        default:
            add_question(c, p, at, a);
        }
    }
}

static void add_losses(struct answer *a, const Fermata__V1__Job *h)
{
    for (size_t i = 0; i < h->n_losses; i++) {
        const Fermata__V1__TaskLoss *l = h->losses[i];
        const Fermata__V1__HostDeath *d = l->n_last_deaths > 0 ? l->last_deaths[l->n_last_deaths - 1] : NULL;
        add(a, "loss", d == NULL ? 0 : time_to_ms(d->at),
            "task %s of routine %s was at work when %u host daemon%s died, of which %u count towards its "
            "max_losses; %s",
            l->task_id, l->routine, l->deaths, l->deaths == 1 ? "" : "s", l->losses,
            l->fails   ? "that is its limit, so it fails"
            : l->alone ? "the job runs alone on a host until the task has a step"
                       : "it runs again");
    }
}

static void add_rest(struct core *c, struct answer *a, const struct job *job)
{
    const Fermata__V1__Job *h = job->head;
    for (size_t i = 0; i < h->n_children; i++)
        add(a, "child", 0, "job %s, started by routine %s, has not ended%s", h->children[i]->job_id,
            h->children[i]->routine, h->children[i]->started ? "" : " (it is being started)");
    int64_t due = job_state_next_due(job->state);
    if (due > c->wall_ms)
        add(a, "timer", due, "then its next task is due");
    if (h->deadline_at != NULL)
        add(a, "deadline", time_to_ms(h->deadline_at), "then it fails");
    if ((int)h->status == JOB_PENDING)
        add(a, "host", time_to_ms(h->updated_at), "a host that fits; see hosts");
    if ((int)h->status == JOB_RUNNING)
        add(a, "step", time_to_ms(h->updated_at),
            "host %s, which has it under epoch %u, to finish the step in hand%s%s", h->host, h->epoch,
            job->host != NULL && job->host->conn == 0 ? "; the host is silent, its lease decides" : "",
            h->pause_requested ? "; a pause is requested" : "");
}

static void add_hosts(struct core *c, struct answer *a, const struct job *job)
{
    for (struct host *h = c->hosts; h != NULL && a->r.n_hosts < MAX_HOSTS; h = h->hh.next) {
        size_t i = a->r.n_hosts++;
        fermata__v1__host_reason__init(&a->hosts[i]);
        a->hosts[i].host_id = h->id;
        struct fm_buf why = {0};
        bool has_it = job->host == h;
        a->hosts[i].fits = has_it || !place_unfit(h, job, &why);
        (void)snprintf(a->host_texts[i], sizeof(a->host_texts[i]), "%.*s", (int)(why.n < 250 ? why.n : 250),
                       why.p != NULL ? (const char *)why.p : "");
        fm_buf_done(&why);
        if (a->hosts[i].fits)
            (void)snprintf(a->host_texts[i], sizeof(a->host_texts[i]), "%s",
                           has_it ? "it has the job" : "it fits");
        a->hosts[i].reason = a->host_texts[i];
        a->host_pointers[i] = &a->hosts[i];
    }
}

static void summarize(struct core *c, struct answer *a, const struct job *job)
{
    const Fermata__V1__Job *h = job->head;
    fm_auto(fm_buf) why = {0};
    switch ((int)h->status) {
    case JOB_PENDING:
        if (place_pick(c, job, &why) == NULL && why.n > 0)
            (void)snprintf(a->summary, sizeof(a->summary), "It waits for a host: %.*s",
                           (int)(why.n < 400 ? why.n : 400), (const char *)why.p);
        else
            (void)snprintf(a->summary, sizeof(a->summary), "It waits for a host, and gets one now.");
        break;
    case JOB_RUNNING:
        (void)snprintf(a->summary, sizeof(a->summary), "It runs on host %.128s.", h->host);
        break;
    case JOB_PAUSED:
        (void)snprintf(a->summary, sizeof(a->summary), "It is paused: %zu open.", h->n_pauses);
        break;
    case JOB_SLEEPING:
        (void)snprintf(a->summary, sizeof(a->summary), "It sleeps until %s.",
                       h->n_children > 0 ? "a job that it has started ends, or a timer is due"
                                         : "a timer is due");
        break;
    case JOB_FAILED:
        (void)snprintf(a->summary, sizeof(a->summary),
                       "It failed: %.300s. ResumeJob lets it go on from the task that failed.",
                       h->error != NULL ? h->error->message : "");
        break;
    case JOB_CANCELLED:
        (void)snprintf(a->summary, sizeof(a->summary), "It was cancelled: %.300s",
                       h->error != NULL ? h->error->message : "");
        break;
    default:
        (void)snprintf(a->summary, sizeof(a->summary), "Its last task was consumed.");
    }
    fm_auto(fm_err) clean = {0};
    (void)fm_err_set(&clean, FM_UNKNOWN, NULL, "%s", a->summary);
    (void)snprintf(a->summary, sizeof(a->summary), "%.511s", clean.msg);
}

static int explain_job(struct core *c, struct op *op, struct fm_err *err)
{
    struct job *job;
    int rc = job_for_op(c, op, OP_REQUEST(op, Fermata__V1__ExplainJobRequest)->job_id, &job, err);
    if (rc != 0)
        return rc;
    struct answer *a = fm_xcalloc(1, sizeof(*a));
    fermata__v1__explain_job_response__init(&a->r);
    a->r.status = job->head->status;
    a->r.waits_for = a->reason_pointers;
    a->r.hosts = a->host_pointers;
    a->r.summary = a->summary;
    summarize(c, a, job);
    if (!job_status_final(job_status(job))) {
        add_pauses(c, a, job->head);
        add_losses(a, job->head);
        add_rest(c, a, job);
    }
    if (!job_status_final(job_status(job)))
        add_hosts(c, a, job);
    op_answer(c, op, &a->r.base);
    free(a);
    return 0;
}
const struct method explain_job_method = {"Jobs/ExplainJob",
                                          METHOD_UNARY,
                                          &fermata__v1__explain_job_request__descriptor,
                                          &fermata__v1__explain_job_response__descriptor,
                                          ROLE_VIEWER,
                                          ADMIT_ALWAYS,
                                          explain_job,
                                          NULL};
