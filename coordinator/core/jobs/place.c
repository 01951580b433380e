/* Which host gets a job. A host fits when it is attached, takes new work, has room, offers every routine type
 * of the flow and meets the placement; of those the least loaded one is taken, another host than the last one
 * first where that is wished. Every refusal can be said in words. Which of the jobs that wait is next is
 * decided in line/line.c. */
#include "place.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "buf.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "host.h"
#include "job.h"
#include "line.h"
#include "losses.h"
#include "mem.h"
#include "op.h"
#include "pbc.h"
#include "routine_types.h"
#include "send.h"
#include "state.h"
#include "unit.h"

/* A job that all hosts refuse is tried 2^(this-2) seconds after the last time. */
#define MAX_REFUSALS 6

void reply_host_ops(struct core *c, struct job *job, struct unit *m)
{
    struct op *list = job->host_ops, *op, *tmp;
    job->host_ops = NULL;
    DL_FOREACH_SAFE (list, op, tmp) {
        DL_DELETE(list, op);
        Fermata__V1__ResumeJobResponse r = FERMATA__V1__RESUME_JOB_RESPONSE__INIT;
        r.status = job->head->status;
        r.host = job->head->host;
        r.pause_id = op->own;
        unit_reply(m, op->ticket, &r.base);
        op_free(c, op);
    }
}

/* An assignment changes the record: whoever waits for a host hears of it with the same unit. */
static void job_assigned(struct core *c, struct job *job)
{
    struct unit *m = unit_of(c, job);
    assign_effect(m, job->head->epoch);
    reply_host_ops(c, job, m);
}

static bool has_labels(const struct host *h, const Fermata__V1__Placement *p)
{
    for (size_t i = 0; p != NULL && i < p->n_labels; i++) {
        bool found = false;
        for (size_t k = 0; k < h->n_labels && !found; k++)
            found = strcmp(h->labels[k].key, p->labels[i]->key) == 0 &&
                    strcmp(h->labels[k].value, p->labels[i]->value) == 0;
        if (!found)
            return false;
    }
    return true;
}

static const char *missing_type(const struct host *h, const struct job *job)
{
    for (size_t i = 0; i < job->def->n_types; i++) {
        if (type_info_find(h->types, job->def->types[i]) == NULL)
            return job->def->types[i];
    }
    return NULL;
}

static void vsay(struct fm_buf *why, const char *fmt, va_list ap) FM_PRINTF(2, 0);
static void vsay(struct fm_buf *why, const char *fmt, va_list ap)
{
    char line[512];
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    if (n > 0)
        fm_buf_append(why, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void say(struct fm_buf *why, const char *fmt, ...) FM_PRINTF(2, 3);
static void say(struct fm_buf *why, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsay(why, fmt, ap);
    va_end(ap);
}

/* Says why not, if anybody wants to know; returns true. */
static bool no(struct fm_buf *why, const char *fmt, ...) FM_PRINTF(2, 3);
static bool no(struct fm_buf *why, const char *fmt, ...)
{
    if (why == NULL)
        return true;
    va_list ap;
    va_start(ap, fmt);
    vsay(why, fmt, ap);
    va_end(ap);
    return true;
}

/* Jobs with tasks that were at work when hosts died are tried apart (apart.c), and nothing beside them. */
static bool is_closed(const struct host *h, const struct job *job, struct fm_buf *why)
{
    if (job->waits_apart)
        return no(why,
                  h->n_jobs > 0
                      ? "it has other jobs, and this one is tried alone because a host died while running it"
                      : "another job is tried alone first because a host died while running it, too");
    if (h->trial != NULL || h->kept)
        return no(why, "it is reserved for a job that a host died while running");
    return false;
}

bool place_unfit(const struct host *h, const struct job *job, struct fm_buf *why)
{
    return place_is_no_choice(h, job, why) || is_closed(h, job, why);
}

/* What does not pass by itself. */
static bool lacks(const struct host *h, const struct job *job, struct fm_buf *why)
{
    const Fermata__V1__Placement *p = job->head->placement;
    int mode = p == NULL ? 0 : (int)p->mode;
    const char *last = job->head->last_host, *type;
    if (p != NULL && p->host[0] != '\0' && strcmp(p->host, h->id) != 0)
        return no(why, "it is not the wanted host %s", p->host);
    if (mode == PLACEMENT_MODE_SAME_HOST && last[0] != '\0' && strcmp(last, h->id) != 0)
        return no(why, "it is not the last host %s", last);
    if (mode == PLACEMENT_MODE_ANOTHER_HOST_ONLY && strcmp(last, h->id) == 0)
        return no(why, "it is the last host, and another one is required");
    if (!has_labels(h, p))
        return no(why, "it lacks a wanted label");
    if ((type = missing_type(h, job)) != NULL)
        return no(why, "it does not offer routine type \"%s\"", type);
    if (h->conn == 0)
        return no(why, "it is silent");
    if (h->cordoned || h->draining || h->leaving)
        return no(why, "it takes no new work");
    return false;
}

bool place_is_no_choice(const struct host *h, const struct job *job, struct fm_buf *why)
{
    if (lacks(h, job, why))
        return true;
    if (h->n_jobs >= h->capacity)
        return no(why, "it is full (%u jobs)", h->capacity);
    if (job->avoid_host != NULL && strcmp(job->avoid_host, h->id) == 0)
        return no(why, "it refused the job a moment ago");
    return false;
}

/* Less is better: another host than the last one first, then the share of its capacity that is taken. */
static double rank(const struct host *h, const struct job *job)
{
    const Fermata__V1__Placement *p = job->head->placement;
    bool elsewhere = p == NULL || (int)p->mode == PLACEMENT_MODE_ANOTHER_HOST ||
                     (int)p->mode == PLACEMENT_MODE_UNSPECIFIED;
    double load = (double)h->n_jobs / (double)h->capacity;
    return load + (elsewhere && strcmp(job->head->last_host, h->id) == 0 ? 10.0 : 0.0);
}

/* A routine type that no attached host offers, or NULL. */
static const char *type_nobody_offers(struct core *c, const struct job *job)
{
    for (size_t i = 0; i < job->def->n_types; i++) {
        bool offered = false;
        for (struct host *h = c->hosts; h != NULL && !offered; h = h->hh.next)
            offered = h->conn != 0 && type_info_find(h->types, job->def->types[i]) != NULL;
        if (!offered)
            return job->def->types[i];
    }
    return NULL;
}

static void explain(struct core *c, const struct job *job, struct fm_buf *why)
{
    size_t attached = 0;
    for (struct host *h = c->hosts; h != NULL; h = h->hh.next)
        attached += h->conn != 0;
    if (attached == 0) {
        say(why, "no host is connected");
        return;
    }
    const char *type = type_nobody_offers(c, job);
    if (type != NULL)
        say(why, "no connected host offers routine type \"%s\"", type);
    const Fermata__V1__Placement *p = job->head->placement;
    if (type == NULL && p != NULL && (int)p->mode == PLACEMENT_MODE_ANOTHER_HOST_ONLY &&
        job->head->last_host[0] != '\0')
        say(why, "another host than %s is required", job->head->last_host);
    size_t shown = 0;
    for (struct host *h = c->hosts; h != NULL && shown < 8; h = h->hh.next) {
        fm_auto(fm_buf) reason = {0};
        if (place_unfit(h, job, &reason)) {
            say(why, "%shost %s: %.*s", why->n > 0 ? "; " : "", h->id, (int)reason.n, (const char *)reason.p);
            shown++;
        }
    }
}

void place_missed(struct core *c, struct job *job)
{
    if (job->refusals < MAX_REFUSALS)
        job->refusals++;
    if (job->refusals > 1) /* one may be full, or its stream broken: the next one is tried at once */
        job->rest_until_ms = c->now_ms + ((int64_t)RETRY_MS << (job->refusals - 2));
}

void place_refused(struct core *c, struct job *job, const char *host)
{
    free(job->avoid_host);
    job->avoid_host = fm_xstrdup(host);
    core_retry_later(c);
    place_missed(c, job);
}

void place_taken(struct job *job)
{
    job->refusals = 0;
    job->rest_until_ms = 0;
}

struct host *place_pick(struct core *c, const struct job *job, struct fm_buf *why)
{
    if (job->rest_until_ms > c->now_ms) {
        if (why != NULL)
            say(why,
                "%u times in a row a host gave the job back or came back without it, most recently host %s; "
                "next try "
                "in %lld ms",
                job->refusals, job->head->last_host, (long long)(job->rest_until_ms - c->now_ms));
        return NULL;
    }
    struct host *best = NULL;
    double best_rank = 0;
    for (struct host *h = c->hosts; h != NULL; h = h->hh.next) {
        c->n_looks++;
        if (place_unfit(h, job, NULL))
            continue;
        double r = rank(h, job);
        if (best == NULL || r < best_rank) {
            best = h;
            best_rank = r;
        }
    }
    if (best == NULL && why != NULL)
        explain(c, job, why);
    return best;
}

void place_unqueue(struct core *c, struct job *job)
{
    if (!job->queued)
        return;
    job->queued = false;
    c->n_pending--;
    if (job->waits_apart)
        DL_DELETE2(c->suspects, job, pend_prev, pend_next);
    else if (job->line != NULL)
        line_remove(c, job);
    else
        DL_DELETE2(c->aside, job, pend_prev, pend_next);
    job->waits_apart = false;
}

/* The assignment is part of the job's unit; the host hears of it when that is on disk, so no epoch is ever
 * used twice. */
void place_assign(struct core *c, struct job *job, struct host *h)
{
    struct fm_err err = {0};
    if (job_move(job, JOB_EV_ASSIGN, c->wall_ms, &err) < 0)
        fm_abort(err.msg);
    place_unqueue(c, job);
    job->head->epoch++;
    pb_set_string(&job->head->host, h->id);
    job_set_assignment(job, job->head->last_host, c->wall_ms);
    pb_set_string(&job->head->last_host, h->id);
    host_attach_job(h, job);
    job->assign_sent = false;
    job_assigned(c, job);
}

/* A job that was held in the meantime, while others' refusals were forgotten, or that rests, is looked at
 * again. */
static void see_to_refusals(struct core *c, const struct job *job)
{
    if (job->avoid_host != NULL || job->rest_until_ms > c->now_ms)
        core_retry_later(c);
}

/* It gets its host when its turn comes. */
static void queue_apart(struct core *c, struct job *job)
{
    if (job->queued)
        return;
    job->queued = job->waits_apart = true;
    c->n_pending++;
    c->match_wanted = true;
    see_to_refusals(c, job);
    DL_APPEND2(c->suspects, job, pend_prev, pend_next);
}

/* That all hosts have refused the job, and those with its need: for how long? */
static enum need_state why_refused(struct core *c, const struct job *job)
{
    for (const struct host *h = c->hosts; h != NULL; h = h->hh.next) {
        c->n_looks++;
        if (!lacks(h, job, NULL))
            return NEED_FULL;
    }
    return NEED_NONE;
}

/* It is to have no host for a moment, or not a certain one. */
static bool is_aside(const struct core *c, const struct job *job)
{
    return job->avoid_host != NULL || job->rest_until_ms > c->now_ms;
}

static void queue(struct core *c, struct job *job, enum need_state state)
{
    job->queued = true;
    c->n_pending++;
    see_to_refusals(c, job);
    if (is_aside(c, job))
        DL_APPEND2(c->aside, job, pend_prev, pend_next);
    else
        line_add(c, job, state);
}

void place_job(struct core *c, struct job *job)
{
    if (loss_is_suspect(job->head)) {
        queue_apart(c, job);
        return;
    }
    /* what has become free in this turn is for those who wait */
    bool others_first = line_has_need_of(c, job) || (c->match_wanted && !line_is_empty(c));
    struct host *h = c->stopping || others_first ? NULL : place_pick(c, job, NULL);
    if (h != NULL)
        place_assign(c, job, h);
    else if (!job->queued)
        queue(c, job, others_first ? NEED_OPEN : why_refused(c, job));
}

/* For line_reopen: a host has room for it. */
static bool has_room(struct core *c, const struct job *job)
{
    for (const struct host *h = c->hosts; h != NULL; h = h->hh.next) {
        c->n_looks++;
        if (!place_unfit(h, job, NULL))
            return true;
    }
    return false;
}

/* For line_reopen: a host with news may have it. */
static bool has_host(struct core *c, const struct job *job)
{
    for (const struct host *h = c->hosts; h != NULL; h = h->hh.next) {
        c->n_looks += h->news;
        if (h->news && !lacks(h, job, NULL))
            return true;
    }
    return false;
}

static void open_needs(struct core *c)
{
    line_reopen(c, NEED_FULL, has_room);
    if (!c->hosts_news)
        return;
    line_reopen(c, NEED_NONE, has_host);
    c->hosts_news = false;
    for (struct host *h = c->hosts; h != NULL; h = h->hh.next)
        h->news = false;
}

/* Hosts that have come may have jobs that are to avoid another one. */
static void match_aside(struct core *c)
{
    struct job *job, *tmp;
    DL_FOREACH_SAFE2 (c->aside, job, tmp, pend_next) {
        struct host *h = place_pick(c, job, NULL);
        if (h != NULL)
            place_assign(c, job, h);
    }
}

void place_match(struct core *c)
{
    size_t room = 0;
    bool news = c->hosts_news;
    struct job *job;
    for (struct host *h = c->hosts; h != NULL; h = h->hh.next)
        if (h->conn != 0 && !h->cordoned && !h->draining && h->n_jobs < h->capacity)
            room += h->capacity - h->n_jobs;
    if (c->stopping || (room == 0 && !line_is_empty(c)))
        return;
    open_needs(c);
    while (room > 0 && (job = line_next(c)) != NULL) {
        struct host *h = place_pick(c, job, NULL);
        if (h == NULL) {
            line_refuse(c, job, why_refused(c, job));
            continue;
        }
        line_take(c, job);
        place_assign(c, job, h);
        room--;
    }
    if (news && room > 0)
        match_aside(c);
}

void place_settle(struct core *c, struct job *job)
{
    c->match_wanted = c->match_wanted || job->had_place;
    job->had_place = false;
}

/* Those that need not stand aside any more stand in line. */
static void end_aside(struct core *c)
{
    struct job *job, *tmp;
    DL_FOREACH_SAFE2 (c->aside, job, tmp, pend_next) {
        if (is_aside(c, job))
            continue;
        place_unqueue(c, job);
        queue(c, job, NEED_OPEN);
    }
}

void place_retry(struct core *c)
{
    struct job *job, *lists[] = {c->aside, c->suspects};
    bool rests = false;
    for (size_t i = 0; i < 2; i++)
        DL_FOREACH2 (lists[i], job, pend_next) {
            free(job->avoid_host);
            job->avoid_host = NULL;
            rests = rests || job->rest_until_ms > c->now_ms;
        }
    if (rests)
        core_retry_later(c);
    c->match_wanted = true;
    end_aside(c);
}
