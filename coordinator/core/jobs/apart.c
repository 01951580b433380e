/* Which jobs are tried apart, and when.
 *
 * When a host daemon dies with a task at work, the task may have ended it, and would end the next host. Jobs
 * with a task that is suspected of that (TaskLoss.alone, lost.c) get no host together with other jobs. They
 * are tried one at a time, on an empty host, and nothing else is placed there while one is on trial: so a
 * task that ends its host harms nobody, and it is known which one it was. A trial ends with the task's step.
 * It ends, too, when it has lasted for a time that doubles with each death: a long innocent task does not
 * keep its host, and the others, waiting; one that ends its host later than that is alone for longer the next
 * time.
 *
 * While suspects wait, the host that has the fewest jobs and fits is kept for them; a job whose trial is over
 * and that goes on there is asked to leave. When no host becomes empty in WAIT_MS there is none of their own:
 * the next suspect is placed beside other jobs. */
#include "apart.h"

#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "fermata/v1/host_agent.pb-c.h"
#include "fields.h"
#include "host.h"
#include "job.h"
#include "log.h"
#include "losses.h"
#include "place.h"
#include "send.h"
#include "state.h"

#define TRIAL_MS 1000             /* after the first death */
#define MAX_TRIAL_MS (10 * 60000) /* and after many */
#define WAIT_MS 10000

static int64_t trial_ms(const struct job *job)
{
    int64_t ms = TRIAL_MS;
    for (uint32_t n = loss_most_deaths(job->head); n > 1 && ms < MAX_TRIAL_MS; n--)
        ms *= 2;
    return ms < MAX_TRIAL_MS ? ms : MAX_TRIAL_MS;
}

/* ---- trials that end ---- */

/* The job is known to be innocent, or has run for long enough. */
static void end_trial(struct core *c, struct host *h)
{
    struct job *job = h->trial;
    bool acquitted = !loss_is_suspect(job->head);
    h->trial = NULL;
    c->match_wanted = true;
    if (acquitted && c->suspects != NULL && job->assign_sent)
        host_send_interrupt(c, h->conn, job, job->head->epoch, INTERRUPT_KIND_DRAIN);
}

/* Whether a job is on trial anywhere. */
static bool see_to_trials(struct core *c)
{
    bool any = false;
    for (struct host *h = c->hosts; h != NULL; h = h->hh.next) {
        h->kept = false;
        if (h->trial != NULL && (c->now_ms >= h->trial_until_ms || !loss_is_suspect(h->trial->head)))
            end_trial(c, h);
        any = any || h->trial != NULL;
    }
    return any;
}

/* Somebody has decided about their tasks while they waited. */
static void let_go(struct core *c)
{
    struct job *job, *tmp;
    DL_FOREACH_SAFE2 (c->suspects, job, tmp, pend_next) {
        if (loss_is_suspect(job->head))
            continue;
        place_unqueue(c, job);
        place_job(c, job);
    }
}

/* ---- trials that begin ---- */

/* The emptiest host that fits; of equal ones another than the last. */
static struct host *emptiest(const struct core *c, const struct job *job)
{
    struct host *best = NULL;
    size_t best_rank = 0;
    for (struct host *h = c->hosts; h != NULL; h = h->hh.next) {
        if (place_is_no_choice(h, job, NULL))
            continue;
        size_t rank = 2 * h->n_jobs + (strcmp(job->head->last_host, h->id) == 0);
        if (best == NULL || rank < best_rank) {
            best = h;
            best_rank = rank;
        }
    }
    return best;
}

/* Who has been tried least is tried first; of those, who has lost the most hosts. */
static bool goes_before(const struct job *a, const struct job *b)
{
    if (a->trials != b->trials)
        return a->trials < b->trials;
    uint32_t da = loss_most_deaths(a->head), db = loss_most_deaths(b->head);
    return da != db ? da > db : memcmp(&a->id, &b->id, sizeof(a->id)) < 0;
}

/* The next suspect that some host fits, and that host. */
static struct job *next_suspect(const struct core *c, struct host **ret)
{
    struct job *best = NULL, *job;
    DL_FOREACH2 (c->suspects, job, pend_next) {
        bool waits = job->rest_until_ms > c->now_ms || (best != NULL && !goes_before(job, best));
        struct host *h = waits ? NULL : emptiest(c, job);
        if (h == NULL)
            continue;
        best = job;
        *ret = h;
    }
    return best;
}

static void begin_trial(struct core *c, struct job *job, struct host *h)
{
    FM_LOG(INFO, STATE, "a job is tried alone: host daemons died while a task of it was at work",
           FM_STR("job", job->text), FM_STR("host", h->id), FM_U64("deaths", loss_most_deaths(job->head)),
           FM_U64("others_there", h->n_jobs), FM_I64("for_ms", trial_ms(job)));
    job->trials++;
    c->apart_since_ms = 0;
    place_assign(c, job, h);
    h->trial = job;
    h->trial_until_ms = c->now_ms + trial_ms(job);
}

void apart_match(struct core *c)
{
    struct host *h = NULL;
    if (c->suspects == NULL && !c->has_trials)
        return;
    let_go(c);
    c->has_trials = see_to_trials(c);
    struct job *job = c->has_trials || c->stopping ? NULL : next_suspect(c, &h);
    if (job == NULL) {
        c->apart_since_ms = 0;
        return;
    }
    c->has_trials = true;
    if (c->apart_since_ms == 0)
        c->apart_since_ms = c->now_ms;
    if (h->n_jobs == 0 || c->now_ms >= c->apart_since_ms + WAIT_MS)
        begin_trial(c, job, h);
    else
        h->kept = true;
}

void apart_found(struct core *c, struct job *job)
{
    if (!loss_is_suspect(job->head))
        return;
    job->host->trial = job;
    job->host->trial_until_ms = c->now_ms + trial_ms(job);
    c->has_trials = true;
}

/* ---- time ---- */

int64_t apart_deadline(const struct core *c)
{
    int64_t at = c->apart_since_ms != 0 ? c->apart_since_ms + WAIT_MS : -1;
    if (!c->has_trials)
        return at;
    for (const struct host *h = c->hosts; h != NULL; h = h->hh.next)
        if (h->trial != NULL && (at < 0 || h->trial_until_ms < at))
            at = h->trial_until_ms;
    return at;
}

void apart_tick(struct core *c)
{
    int64_t at = apart_deadline(c);
    if (at >= 0 && c->now_ms >= at)
        c->match_wanted = true;
}
