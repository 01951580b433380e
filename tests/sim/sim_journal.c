/* What must be true of the entries of journals: every act that was acknowledged has exactly one, whatever
 * crashed meanwhile; assignments are told of once; nothing stands out of order. See sim.h. */
#include "sim_journal.h"

#include <stdio.h>
#include <string.h>

#include "sim_oracle.h"

#define KIND(name) FERMATA__V1__ENTRY_KIND__ENTRY_KIND_##name

void journal_acked(size_t j, int kind, const char *what)
{
    struct sim_job *job = &w.jobs[j];
    for (size_t i = 0; i < job->n_acts; i++)
        if (job->acts[i].kind == kind && strcmp(job->acts[i].what, what) == 0)
            return; /* a repeated call */
    if (job->n_acts == MAX_ACTS)
        return;
    job->acts[job->n_acts].kind = kind;
    snprintf(job->acts[job->n_acts++].what, sizeof(job->acts[0].what), "%s", what);
}

static bool is_about(const Fermata__V1__Entry *e, int kind, const char *what)
{
    return (int)e->kind == kind && !e->inherited &&
           (strcmp(e->pause_id, what) == 0 || strcmp(e->reason, what) == 0 || what[0] == '\0');
}

static void check_acts(size_t j, const Fermata__V1__GetHistoryResponse *r)
{
    const struct sim_job *job = &w.jobs[j];
    for (size_t i = 0; i < job->n_acts; i++) {
        size_t n = 0;
        for (size_t k = 0; k < r->n_entries; k++)
            n += is_about(r->entries[k], job->acts[i].kind, job->acts[i].what);
        if (n != 1)
            wrong("job %zu: act %d (%s) was acknowledged, and has %zu entries", j, job->acts[i].kind,
                  job->acts[i].what, n);
    }
    /* A pause takes effect once, and ends once, whoever has heard of it. */
    for (size_t k = 0; k < r->n_entries; k++)
        for (size_t i = 0; i < k && r->entries[k]->pause_id[0] != '\0'; i++)
            if (is_about(r->entries[i], (int)r->entries[k]->kind, r->entries[k]->pause_id) &&
                strcmp(r->entries[i]->pause_id, r->entries[k]->pause_id) == 0 && !r->entries[k]->inherited)
                wrong("job %zu: pause %s has two entries of kind %d", j, r->entries[k]->pause_id,
                      (int)r->entries[k]->kind);
}

static void check_order(size_t j, const Fermata__V1__GetHistoryResponse *r)
{
    Fermata__V1__Job *h = sim_store_head(w.store, w.jobs[j].id);
    uint32_t last = 0, after = 0;
    for (size_t k = 0; k < r->n_entries; k++) {
        const Fermata__V1__Entry *e = r->entries[k];
        if (e->number != 0 && last == 0 && h != NULL && h->oldest_generation > 0)
            last = e->number - 1; /* a fork of a later generation */
        if (e->number != 0 && e->number != ++last)
            wrong("job %zu: entry %u stands at place %u", j, e->number, last);
        if (e->after_step < after || e->after_step > w.jobs[j].steps)
            wrong("job %zu: entry %u stands after step %u, behind one after step %u, of %u steps", j,
                  e->number, e->after_step, after, w.jobs[j].steps);
        after = e->after_step;
        if (e->inherited != (w.jobs[j].is_fork && e->after_step < w.jobs[j].forked_at))
            wrong("job %zu: entry %u after step %u is%s said to be inherited", j, e->number, e->after_step,
                  e->inherited ? "" : " not");
    }
    if (h != NULL && h->entry_count < last)
        wrong("job %zu: %u entries, and its record counts %u", j, last, h->entry_count);
    if (h != NULL)
        fermata__v1__job__free_unpacked(h, NULL);
}

/* Each epoch with a step, or with another entry of its host, was an assignment that is told of once. */
static void check_assignments(size_t j, const Fermata__V1__GetHistoryResponse *r)
{
    for (size_t i = 0; i < r->n_steps; i++) {
        const Fermata__V1__Step *s = r->steps[i];
        size_t n = 0;
        if (s->remedy != NULL)
            continue;
        for (size_t k = 0; k < r->n_entries; k++) {
            const Fermata__V1__Entry *e = r->entries[k];
            if (e->kind != KIND(ASSIGNED) || e->epoch != s->epoch || e->inherited != s->inherited)
                continue;
            n++;
            if (e->after_step >= s->number || strcmp(e->to_host, s->host) != 0)
                wrong("job %zu: step %u was made on %s under epoch %u, which is said to be of %s, after step "
                      "%u",
                      j, s->number, s->host, s->epoch, e->to_host, e->after_step);
        }
        if (n != 1 && !s->inherited) /* a fork of a fork has epochs of both */
            wrong("job %zu: step %u is of epoch %u, and %zu entries say how it began", j, s->number, s->epoch,
                  n);
    }
}

/* No run is aborted that nobody wanted to be. */
static void check_aborted(size_t j, const Fermata__V1__GetHistoryResponse *r)
{
    const struct sim_job *job = &w.jobs[j];
    if (job->grace_sent || job->cancel_sent || job->is_fork || plan_may_fail(&job->plan) ||
        job->plan.parallel)
        return;
    for (size_t k = 0; k < r->n_entries; k++)
        if (r->entries[k]->kind == KIND(ABORTED))
            wrong("job %zu: a run of task %s was aborted (%s), and nobody wanted that", j,
                  r->entries[k]->task_id, r->entries[k]->reason);
}

void journal_check(size_t j, const Fermata__V1__GetHistoryResponse *r)
{
    check_order(j, r);
    check_acts(j, r);
    check_assignments(j, r);
    check_aborted(j, r);
}

void journal_watched(const Fermata__V1__Entry *e)
{
    if (e->number != 0 && e->number != w.watch_entry + 1)
        wrong("the watch saw entry %u after entry %u", e->number, w.watch_entry);
    if (e->after_step != w.watch_last)
        wrong("the watch saw entry %u, which stands after step %u, after step %u", e->number, e->after_step,
              w.watch_last);
    if (e->number != 0)
        w.watch_entry = e->number;
}
