/* See oracle.h. What a submit, an input and an answer did is read from the job's shared log: routine "start"
 * logs the submit's token, "inbox" each input's, "done" the answer; so each acknowledged one must be there
 * once, and each refused one not at all. */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "call.h"
#include "chaos.h"
#include "clock.h"
#include "fermata/v1/jobs.pb-c.h"
#include "ledger.h"
#include "mem.h"
#include "slow.h"

#define END_MS DEADLINE_MS

static unsigned n_children, n_jobs, n_completed, n_cancelled, n_steps, n_moved;

static void *must_call(struct rpc_channel *c, const char *method, const ProtobufCMessage *request,
                       const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *reply;
    struct fm_err err = {0};
    if (call_wait(c, method, request, type, &reply, &err) < 0)
        chaos_die("%s: %s", method, err.msg);
    return reply;
}

static void release(void *message)
{
    protobuf_c_message_free_unpacked(message, NULL);
}

/* ---- the log ---- */

static const char *text_of(const Google__Protobuf__Struct *s, const char *key)
{
    for (size_t i = 0; s != NULL && i < s->n_fields; i++)
        if (strcmp(s->fields[i]->key, key) == 0 && s->fields[i]->value != NULL &&
            s->fields[i]->value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
            return s->fields[i]->value->string_value;
    return "";
}

static unsigned count(const Fermata__V1__JobState *state, const char *routine, const char *key,
                      const char *token)
{
    unsigned n = 0;
    for (size_t i = 0; i < state->n_shared_log; i++)
        if (strcmp(state->shared_log[i]->routine, routine) == 0 &&
            strcmp(text_of(state->shared_log[i]->data, key), token) == 0)
            n++;
    return n;
}

/* A job that was cancelled may have ended before it came to it. */
static void check_once(const struct entry *e, const Fermata__V1__Job *job, const char *what,
                       enum outcome outcome, unsigned n)
{
    bool complete = job->status == FERMATA__V1__JOB_STATUS__JOB_STATUS_COMPLETED;
    if (n > 1)
        chaos_violation("job %s (s%u): %s took effect %u times", job->job_id, e->no, what, n);
    if (n == 0 && outcome == ACKED && complete)
        chaos_violation("job %s (s%u): %s was acknowledged and took no effect", job->job_id, e->no, what);
    if (n > 0 && (outcome == REFUSED || outcome == NOT_SENT))
        chaos_violation("job %s (s%u): %s took effect although it was %s", job->job_id, e->no, what,
                        outcome == REFUSED ? "refused" : "never sent");
}

static void check_log(const struct entry *e, const Fermata__V1__Job *job)
{
    char token[32];
    unsigned found = 0;
    snprintf(token, sizeof(token), "s%u", e->no);
    unsigned n = count(job->state, "start", "token", token);
    check_once(e, job, token, ACKED, n); /* the job is there, so its submit was taken */
    found += n;
    for (unsigned k = 0; k < MAX_INPUTS; k++) {
        snprintf(token, sizeof(token), "i%u.%u", e->no, k);
        n = count(job->state, "inbox", "token", token);
        check_once(e, job, token, e->inputs[k], n);
        found += n;
    }
    snprintf(token, sizeof(token), "a%u", e->no);
    n = count(job->state, "done", "answer", token);
    /* The job of a submit that nobody heard of is answered by the oracle. */
    check_once(e, job, token, e->answer == NOT_SENT && e->job_id[0] == '\0' ? UNKNOWN : e->answer, n);
    if (n == 0 && job->status == FERMATA__V1__JOB_STATUS__JOB_STATUS_COMPLETED)
        chaos_violation("job %s (s%u) was completed without its answer", job->job_id, e->no);
    found += n;
    for (size_t i = 0; i < job->state->n_shared_log; i++)
        if (strcmp(job->state->shared_log[i]->routine, "agent") == 0)
            found++;
    if (found != job->state->n_shared_log)
        chaos_violation("job %s (s%u): its log has %zu entries, %u of them explained", job->job_id, e->no,
                        job->state->n_shared_log, found);
}

/* ---- the history ---- */

static void check_tasks(const struct entry *e, const Fermata__V1__Job *job, Fermata__V1__Step *const *steps,
                        size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(steps[i]->task_id, steps[j]->task_id) == 0 &&
                steps[j]->outcome != FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_RETRY)
                chaos_violation("job %s (s%u): task %s was consumed by steps %u and %u", job->job_id, e->no,
                                steps[i]->task_id, steps[j]->number, steps[i]->number);
}

static void check_history(struct rpc_channel *c, const struct entry *e, const Fermata__V1__Job *job)
{
    Fermata__V1__GetHistoryRequest r = FERMATA__V1__GET_HISTORY_REQUEST__INIT;
    r.job_id = job->job_id;
    r.page_size = 1000; /* these jobs have a dozen steps */
    Fermata__V1__GetHistoryResponse *h =
        must_call(c, "Jobs/GetHistory", &r.base, &fermata__v1__get_history_response__descriptor);
    uint32_t epoch = 0;
    if (h->n_steps != job->step_count || job->state->step_number != job->step_count)
        chaos_violation("job %s (s%u) has %u steps, a state of step %u and a history of %zu", job->job_id,
                        e->no, job->step_count, job->state->step_number, h->n_steps);
    for (size_t i = 0; i < h->n_steps; i++) {
        const Fermata__V1__Step *s = h->steps[i];
        if (s->number != i + 1)
            chaos_violation("job %s (s%u): the history has step %u at place %zu", job->job_id, e->no,
                            s->number, i + 1);
        if (s->epoch < epoch)
            chaos_violation("job %s (s%u): step %u has epoch %u after epoch %u", job->job_id, e->no,
                            s->number, s->epoch, epoch);
        epoch = s->epoch;
    }
    if (epoch > job->epoch || e->epoch > job->epoch || e->steps > job->step_count)
        chaos_violation(
            "job %s (s%u) has epoch %u and %u steps: it had epoch %u, %u steps, and was seen with %u and %u",
            job->job_id, e->no, job->epoch, job->step_count, epoch, (unsigned)h->n_steps, e->epoch, e->steps);
    check_tasks(e, job, h->steps, h->n_steps);
    n_steps += (unsigned)h->n_steps;
    n_moved += job->epoch > 2 ? 1 : 0;
    release(h);
}

/* ---- jobs ---- */

static Fermata__V1__GetJobResponse *get_job(struct rpc_channel *c, char *job_id)
{
    Fermata__V1__GetJobRequest r = FERMATA__V1__GET_JOB_REQUEST__INIT;
    r.job_id = job_id;
    return must_call(c, "Jobs/GetJob", &r.base, &fermata__v1__get_job_response__descriptor);
}

/* The pause that asks what a lost task has done; NULL: none. */
static char *lost_pause(const Fermata__V1__Job *job)
{
    for (size_t i = 0; i < job->n_pauses; i++)
        if (job->pauses[i]->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_OUTCOME_UNKNOWN)
            return job->pauses[i]->pause_id;
    return NULL;
}

static void run_again(struct rpc_channel *c, char *job_id, char *pause_id)
{
    Fermata__V1__ResumeJobRequest r = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    char retry[] = "retry";
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v.string_value = retry;
    r.job_id = job_id;
    r.pause_id = pause_id;
    r.answer = &v;
    release(must_call(c, "Jobs/ResumeJob", &r.base, &fermata__v1__resume_job_response__descriptor));
}

static void answer(struct rpc_channel *c, const struct entry *e, char *job_id)
{
    Fermata__V1__ResumeJobRequest r = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    char token[32];
    snprintf(token, sizeof(token), "a%u", e->no);
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v.string_value = token;
    r.job_id = job_id;
    r.answer = &v;
    release(must_call(c, "Jobs/ResumeJob", &r.base, &fermata__v1__resume_job_response__descriptor));
}

/* The job in its last status; NULL when it does not get there. */
static Fermata__V1__GetJobResponse *bring_to_its_end(struct rpc_channel *c, const struct entry *e,
                                                     char *job_id)
{
    const struct timespec moment = {0, 50000000};
    int64_t until = fm_now_mono_ms() + END_MS;
    bool answered = false;
    for (;;) {
        Fermata__V1__GetJobResponse *r = get_job(c, job_id);
        switch ((int)r->job->status) {
        case FERMATA__V1__JOB_STATUS__JOB_STATUS_COMPLETED:
        case FERMATA__V1__JOB_STATUS__JOB_STATUS_CANCELLED:
        case FERMATA__V1__JOB_STATUS__JOB_STATUS_FAILED:
            return r;
        case FERMATA__V1__JOB_STATUS__JOB_STATUS_PAUSED:
            if (lost_pause(r->job) != NULL)
                run_again(c, job_id, lost_pause(r->job));
            else if (!answered)
                answer(c, e, job_id);
            answered = answered || lost_pause(r->job) == NULL;
            break;
        default:
            break;
        }
        if (fm_now_mono_ms() > until) {
            chaos_violation("job %s (s%u) does not end: status %d, epoch %u, %u steps: %s", job_id, e->no,
                            (int)r->job->status, r->job->epoch, r->job->step_count, r->job->waiting_reason);
            release(r);
            return NULL;
        }
        release(r);
        nanosleep(&moment, NULL);
    }
}

static void check_job(struct rpc_channel *c, const struct entry *e, char *job_id)
{
    Fermata__V1__GetJobResponse *r = bring_to_its_end(c, e, job_id);
    if (r == NULL)
        return;
    const Fermata__V1__Job *job = r->job;
    bool cancelled = job->status == FERMATA__V1__JOB_STATUS__JOB_STATUS_CANCELLED;
    n_jobs++;
    n_cancelled += cancelled ? 1 : 0;
    n_completed += job->status == FERMATA__V1__JOB_STATUS__JOB_STATUS_COMPLETED ? 1 : 0;
    if (job->status == FERMATA__V1__JOB_STATUS__JOB_STATUS_FAILED)
        chaos_violation("job %s (s%u) has failed: %s", job_id, e->no,
                        job->error == NULL ? "" : job->error->message);
    if (cancelled ? e->cancel == NOT_SENT || e->cancel == REFUSED : e->cancel == ACKED)
        chaos_violation("job %s (s%u): its cancel was %s, but its status is %d", job_id, e->no,
                        e->cancel == ACKED ? "acknowledged" : "refused or never sent", (int)job->status);
    check_log(e, job);
    check_history(c, e, job);
    release(r);
}

/* All jobs, by the number in their token; jobs of the same submit are a violation at once. */
static char (*list_jobs(struct rpc_channel *c))[27]
{
    char(*ids)[27] = fm_xcalloc(ledger_count() + 1, sizeof(*ids));
    char page_token[512] = "";
    do {
        Fermata__V1__ListJobsRequest r = FERMATA__V1__LIST_JOBS_REQUEST__INIT;
        r.page_size = 500;
        r.page_token = page_token;
        Fermata__V1__ListJobsResponse *page =
            must_call(c, "Jobs/ListJobs", &r.base, &fermata__v1__list_jobs_response__descriptor);
        for (size_t i = 0; i < page->n_jobs; i++) {
            const Fermata__V1__Job *job = page->jobs[i];
            if (job->parent[0] != '\0') { /* has its parent's label, too */
                n_children++;
                continue;
            }
            const char *token = job->n_labels == 1 ? job->labels[0]->value : "";
            struct entry *e = token[0] == 's' ? ledger_at((uint32_t)strtoul(token + 1, NULL, 10)) : NULL;
            if (e == NULL)
                chaos_violation("job %s was never submitted", job->job_id);
            else if (ids[e->no][0] != '\0')
                chaos_violation("jobs %s and %s are of the same submit s%u", ids[e->no], job->job_id, e->no);
            else
                snprintf(ids[e->no], sizeof(ids[e->no]), "%s", job->job_id);
        }
        snprintf(page_token, sizeof(page_token), "%s", page->next_page_token);
        release(page);
    } while (page_token[0] != '\0');
    return ids;
}

/* Children end with their parents, or soon after. */
static void wait_for_children(struct rpc_channel *c)
{
    const struct timespec moment = {0, 50000000};
    int64_t until = fm_now_mono_ms() + END_MS;
    for (;;) {
        Fermata__V1__CountJobsRequest r = FERMATA__V1__COUNT_JOBS_REQUEST__INIT;
        char flow[] = "chaos_child";
        r.flow = flow;
        Fermata__V1__CountJobsResponse *all =
            must_call(c, "Jobs/CountJobs", &r.base, &fermata__v1__count_jobs_response__descriptor);
        uint64_t open = all->total;
        for (size_t i = 0; i < all->n_counts; i++)
            if (all->counts[i]->status == FERMATA__V1__JOB_STATUS__JOB_STATUS_COMPLETED ||
                all->counts[i]->status == FERMATA__V1__JOB_STATUS__JOB_STATUS_CANCELLED)
                open -= all->counts[i]->count;
        release(all);
        if (open == 0)
            return;
        if (fm_now_mono_ms() > until) {
            chaos_violation("%llu child jobs of jobs that have ended have not, or have failed",
                            (unsigned long long)open);
            return;
        }
        nanosleep(&moment, NULL);
    }
}

void oracle_check(struct rpc_channel *c)
{
    char(*ids)[27] = list_jobs(c);
    unsigned unknown = 0;
    for (uint32_t no = 0; no < ledger_count(); no++) {
        const struct entry *e = ledger_at(no);
        if (e->submit == UNKNOWN)
            unknown++;
        if (e->submit == ACKED && strcmp(ids[no], e->job_id) != 0)
            chaos_violation("submit s%u was acknowledged as job %s, and is \"%s\"", no, e->job_id, ids[no]);
        else if (e->submit == REFUSED && ids[no][0] != '\0')
            chaos_violation("submit s%u was refused, and is job %s", no, ids[no]);
        else if (ids[no][0] != '\0')
            check_job(c, e, ids[no]);
    }
    free(ids);
    wait_for_children(c);
    chaos_say("%u submits (%u without an answer): %u jobs, %u children seen, %u completed, %u cancelled, %u "
              "given to hosts "
              "more often "
              "than twice, %u steps",
              ledger_count(), unknown, n_jobs, n_children, n_completed, n_cancelled, n_moved, n_steps);
}
