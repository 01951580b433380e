/* Tasks that were at work when host daemons died. See losses.h. */
#include "losses.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "mem.h"
#include "pbc.h"

#define MAX_LOSSES 256 /* tasks of a job */
#define MAX_DEATHS 8   /* that are named of a task */

static bool find(const Fermata__V1__Job *head, const char *task_id, size_t *ret_at)
{
    for (*ret_at = 0; *ret_at < head->n_losses; (*ret_at)++)
        if (strcmp(head->losses[*ret_at]->task_id, task_id) == 0)
            return true;
    return false;
}

Fermata__V1__TaskLoss *loss_find(const Fermata__V1__Job *head, const char *task_id)
{
    size_t at;
    return find(head, task_id, &at) ? head->losses[at] : NULL;
}

static Fermata__V1__TaskLoss *append(Fermata__V1__Job *head, Fermata__V1__TaskLoss *loss)
{
    head->losses = fm_xrealloc(head->losses, (head->n_losses + 1) * sizeof(*head->losses));
    head->losses[head->n_losses++] = loss;
    return loss;
}

Fermata__V1__TaskLoss *loss_note(Fermata__V1__Job *head, const char *task_id, const char *routine,
                                 const Fermata__V1__HostDeath *death)
{
    Fermata__V1__TaskLoss *loss = loss_find(head, task_id);
    if (loss == NULL && head->n_losses >= MAX_LOSSES)
        return NULL;
    if (loss == NULL) {
        Fermata__V1__TaskLoss new = FERMATA__V1__TASK_LOSS__INIT;
        new.task_id = (char *)(uintptr_t)task_id;
        new.routine = (char *)(uintptr_t)routine;
        loss = append(head, pb_clone(&new));
    }
    loss->deaths++;
    loss->losses += death->counts != 0;
    if (loss->n_last_deaths == MAX_DEATHS) {
        fermata__v1__host_death__free_unpacked(loss->last_deaths[0], NULL);
        memmove(&loss->last_deaths[0], &loss->last_deaths[1], (MAX_DEATHS - 1) * sizeof(*loss->last_deaths));
        loss->n_last_deaths--;
    }
    loss->last_deaths =
        fm_xrealloc(loss->last_deaths, (loss->n_last_deaths + 1) * sizeof(*loss->last_deaths));
    loss->last_deaths[loss->n_last_deaths++] = pb_clone(death);
    return loss;
}

bool loss_forget(Fermata__V1__Job *head, const char *task_id)
{
    size_t at;
    if (!find(head, task_id, &at))
        return false;
    fermata__v1__task_loss__free_unpacked(head->losses[at], NULL);
    memmove(&head->losses[at], &head->losses[at + 1], (head->n_losses - at - 1) * sizeof(*head->losses));
    if (--head->n_losses > 0)
        return true;
    free(head->losses);
    head->losses = NULL;
    return true;
}

void loss_forget_all(Fermata__V1__Job *head)
{
    while (head->n_losses > 0)
        (void)loss_forget(head, head->losses[head->n_losses - 1]->task_id);
}

void loss_copy(Fermata__V1__Job *to, const Fermata__V1__TaskLoss *loss)
{
    (void)append(to, pb_clone(loss));
}

static bool shall_fail(const Fermata__V1__Job *head, const char *task_id)
{
    for (size_t i = 0; i < head->n_lost_tasks; i++)
        if (strcmp(head->lost_tasks[i], task_id) == 0)
            return true;
    return false;
}

bool loss_tries(const Fermata__V1__Job *head, const Fermata__V1__TaskLoss *loss)
{
    return !shall_fail(head, loss->task_id);
}

bool loss_is_suspect(const Fermata__V1__Job *head)
{
    for (size_t i = 0; i < head->n_losses; i++)
        if (head->losses[i]->alone && loss_tries(head, head->losses[i]))
            return true;
    return false;
}

uint32_t loss_most_deaths(const Fermata__V1__Job *head)
{
    uint32_t most = 0;
    for (size_t i = 0; i < head->n_losses; i++)
        if (head->losses[i]->deaths > most)
            most = head->losses[i]->deaths;
    return most;
}

static bool says_limit(const Fermata__V1__Policy *p)
{
    return p != NULL && p->maybe_max_losses_case == FERMATA__V1__POLICY__MAYBE_MAX_LOSSES_MAX_LOSSES;
}

uint32_t loss_limit_of(const Fermata__V1__Flow *flow, const Fermata__V1__Routine *r)
{
    if (says_limit(r->policy))
        return r->policy->max_losses;
    return says_limit(flow->defaults) ? flow->defaults->max_losses : LOSSES_DEFAULT;
}

uint32_t loss_limit(const Fermata__V1__Flow *flow, const char *routine)
{
    for (size_t i = 0; flow != NULL && i < flow->n_routines; i++)
        if (strcmp(flow->routines[i]->id, routine) == 0)
            return loss_limit_of(flow, flow->routines[i]);
    return LOSSES_DEFAULT;
}

/* "host a at 2026-01-02T03:04:05Z (killed by signal 9)" */
static void death_text(const Fermata__V1__HostDeath *d, char *ret, size_t n)
{
    time_t s = d->at != NULL ? (time_t)d->at->seconds : 0;
    struct tm tm;
    char at[32] = "?";
    if (gmtime_r(&s, &tm) != NULL)
        (void)strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", &tm);
    (void)snprintf(ret, n, "host %.32s at %s (%.*s)", d->host, at, (int)fm_utf8_cut(d->how, 40), d->how);
}

void loss_text(const Fermata__V1__TaskLoss *loss, char *ret, size_t n)
{
    size_t len = 0, named = loss->n_last_deaths < 3 ? loss->n_last_deaths : 3;
    (void)snprintf(ret, n, "the task has ended %u host daemon%s, the limit of its policy (max_losses)",
                   loss->losses, loss->losses == 1 ? "" : "s");
    for (size_t i = loss->n_last_deaths - named; i < loss->n_last_deaths; i++) {
        char death[128];
        death_text(loss->last_deaths[i], death, sizeof(death));
        len = strlen(ret);
        (void)snprintf(ret + len, n - len, "%s%s", i == loss->n_last_deaths - named ? ": " : ", ", death);
    }
}
