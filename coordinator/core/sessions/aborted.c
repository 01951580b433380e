/* Runs of handlers that hosts have aborted. A run has no step then, and may have had effects: the journal
 * says so. What a host says of a job that has left it (it was cancelled, or has failed while others of its
 * tasks were at work) counts once for an epoch. */
#include "aborted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "host.h"
#include "job.h"
#include "journal.h"
#include "load.h"
#include "mem.h"
#include "method.h"
#include "name.h"
#include "op.h"
#include "state.h"
#include "unit.h"

#define MAX_ABORTED 1000

static void note(struct core *c, struct job *job, char *const *tasks, size_t n, const char *host,
                 struct who who)
{
    for (size_t i = 0; i < n && i < MAX_ABORTED; i++) {
        fm_auto(fm_err) err = {0};
        Fermata__V1__Entry e = FERMATA__V1__ENTRY__INIT;
        if (fm_name_check("aborted_tasks", tasks[i], &err) < 0)
            continue;
        e.task_id = tasks[i];
        e.from_host = (char *)(uintptr_t)host;
        e.epoch = job->head->epoch;
        job_note(c, job, ENTRY_KIND_ABORTED, who, &e);
    }
}

void aborted_here(struct core *c, struct job *job, const Fermata__V1__Release *r)
{
    const Fermata__V1__Job *h = job->head;
    struct who who = who_none("its host gave the job back");
    if (h->pause_requested && r->reason == RELEASE_REASON_PAUSED)
        who = (struct who){h->pause_by, "the step did not end within the grace of the pause"};
    note(c, job, r->aborted_tasks, r->n_aborted_tasks, h->host, who);
}

/* ---- of jobs that have left their host ---- */

struct aborted {
    char job[27], *host, **tasks;
    size_t n;
    uint32_t epoch;
};

static void aborted_free(struct core *c, void *own)
{
    struct aborted *a = own;
    (void)c;
    for (size_t i = 0; i < a->n; i++)
        free(a->tasks[i]);
    free(a->tasks);
    free(a->host);
    free(a);
}

static const char *why_of(const struct job *job)
{
    switch (job_status(job)) {
    case JOB_CANCELLED:
        return "the job was cancelled";
    case JOB_FAILED:
        return "the job failed";
    default:
        return "another task of the job has stopped it";
    }
}

static int note_aborted(struct core *c, struct op *op, struct fm_err *err)
{
    const struct aborted *a = op->own;
    struct job *job;
    int rc = job_for_op(c, op, a->job, &job, err);
    if (rc != 0)
        return rc;
    Fermata__V1__Job *h = job->head;
    if (h->epoch == a->epoch && h->aborted_epoch != a->epoch && job->host == NULL &&
        strcmp(h->last_host, a->host) == 0) {
        h->aborted_epoch = a->epoch;
        note(c, job, a->tasks, a->n, a->host, who_none(why_of(job)));
    }
    unit_reply_bytes(unit_of(c, job), op->ticket, FM_NO_BYTES);
    return 0;
}

static const struct method note_aborted_call = {
    .name = "runs were aborted", .run = note_aborted, .own_free = aborted_free};

static void noted(struct core *c, struct inner *call, const struct fm_err *err)
{
    (void)c;
    (void)call;
    (void)err; /* then the journal does not say it */
}

void aborted_elsewhere(struct core *c, const struct host *h, const struct fm_id *job,
                       const Fermata__V1__Release *r)
{
    size_t n = r->n_aborted_tasks < MAX_ABORTED ? r->n_aborted_tasks : MAX_ABORTED;
    if (n == 0)
        return;
    struct aborted *a = fm_xcalloc(1, sizeof(*a));
    fm_id_text(job, a->job);
    a->host = fm_xstrdup(h->id);
    a->epoch = r->epoch;
    a->tasks = fm_xcalloc(n, sizeof(*a->tasks));
    for (; a->n < n; a->n++)
        a->tasks[a->n] = fm_xstrdup(r->aborted_tasks[a->n]);
    const struct inner call = {.parent = *job, .child = *job, .done = noted};
    core_call(c, &note_aborted_call, NULL, a, &call);
}
