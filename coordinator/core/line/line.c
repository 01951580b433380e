/* The jobs that wait in line. See line.h for what is promised.
 *
 * An account is a flow (or a label's value) with jobs that wait; a line are the jobs of one account with one
 * need. Turns are dealt out by start-time fair queueing: each account has a start, the time of its last turn
 * on a clock that goes with the turns; a line's tag is its account's start and the length of a turn of its
 * first job, which is the shorter the higher that job's priority. The smallest tag has its turn, and the
 * clock stands there then. An account that comes begins at the clock, so that nobody saves up turns.
 *
 * Two heaps find it: a need's lines by tag, and the open needs by the tag of their first line. Starts only
 * grow, so a tag that is too small is corrected when it comes to the front (settle), and a turn touches only
 * the lines that it concerns.
 *
 * While a need is refused its lines cannot have turns. They keep the credit that they had then (the clock
 * less their start), not what the clock went on since: else they would have all those turns at once. */
#include "line.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "fermata/v1/types.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "heap.h"
#include "job.h"
#include "mem.h"
#include "need.h"
#include "state.h"
#include "times.h"

#define TURN ((uint64_t)1 << 20) /* length of a turn at priority 0 */
#define MAX_WEIGHT 100
#define POINT_MS 60000                     /* of waiting: one point of priority */
#define PLACED_MS (POINT_MS / 10)          /* what a job that went before counts as */
#define MAX_WAITED_MS (7LL * 86400 * 1000) /* before this process: the clock may have been wrong */

struct account {
    UT_hash_handle hh;
    char *name;
    uint64_t start;
    uint64_t number; /* in the order of coming */
    int64_t placed;  /* jobs that have had turns */
    size_t n_lines;
};

struct line {
    UT_hash_handle hh; /* by account */
    struct need *need;
    struct account *account;
    struct fm_heap jobs;
    uint64_t turn, tag; /* of its first job */
    size_t place;
};

struct need {
    UT_hash_handle hh;
    struct need *prev, *next; /* of those in its state, unless that is OPEN */
    uint8_t key[STORE_DIGEST_BYTES];
    enum need_state state;
    struct line *by_account;
    struct fm_heap lines;
    uint64_t floor;  /* its lines start here at the earliest */
    uint64_t credit; /* while it is refused */
    uint64_t tag;    /* of its first line */
    size_t place;
};

struct waiting {
    struct account *accounts;
    struct need *needs;
    struct fm_heap open;
    struct need *refused[NEED_NONE + 1]; /* by state */
    uint64_t clock, number;
};

/* ---- order ---- */

/* Of one account: who has more points, then the older. */
static bool job_before(const void *pa, const void *pb)
{
    const struct job *a = pa, *b = pb;
    return a->line_points != b->line_points ? a->line_points > b->line_points
                                            : memcmp(&a->id, &b->id, sizeof(a->id)) < 0;
}

static bool line_before(const void *pa, const void *pb)
{
    const struct line *a = pa, *b = pb;
    return a->tag != b->tag ? a->tag < b->tag : a->account->number < b->account->number;
}

static bool need_before(const void *pa, const void *pb)
{
    const struct need *a = pa, *b = pb;
    const struct line *la = fm_heap_first(&a->lines), *lb = fm_heap_first(&b->lines);
    if (a->tag != b->tag)
        return a->tag < b->tag;
    if (la->account != lb->account)
        return la->account->number < lb->account->number;
    return job_before(fm_heap_first(&la->jobs), fm_heap_first(&lb->jobs));
}

/* ---- priority ---- */

/* Points of priority in POINT_MS; what a job has when it comes is less by the age of its account. */
static int64_t age(const struct core *c, const struct account *a)
{
    return c->now_ms + a->placed * PLACED_MS;
}

/* By the job's own priority: a flow that has many turns does not get more of them because its jobs age by
 * them. */
static uint64_t turn_of(const struct line *l)
{
    int32_t p = ((const struct job *)fm_heap_first(&l->jobs))->head->priority;
    uint64_t weight = 1 + (uint64_t)(p < 0 ? -p : p);
    if (weight > MAX_WEIGHT)
        weight = MAX_WEIGHT;
    return p < 0 ? TURN * weight : TURN / weight;
}

/* Since when it waits: its status is as old as the last change of its record's. */
static int64_t waited_ms(const struct core *c, const struct job *job)
{
    const Google__Protobuf__Timestamp *t = job->head->updated_at;
    int64_t ms = t == NULL ? 0 : c->wall_ms - (t->seconds * 1000 + t->nanos / 1000000);
    return ms < 0 ? 0 : ms > MAX_WAITED_MS ? MAX_WAITED_MS : ms;
}

/* ---- tags ---- */

/* Another job is the first of the line. */
static void line_headed(struct line *l)
{
    l->turn = turn_of(l);
    l->tag = l->account->start + l->turn;
    fm_heap_moved(&l->need->lines, l);
}

/* Its first line and its tag are right: starts may have grown. */
static void settle_lines(struct need *n)
{
    struct line *l;
    for (;;) {
        l = fm_heap_first(&n->lines);
        if (l->tag == l->account->start + l->turn)
            break;
        l->tag = l->account->start + l->turn;
        fm_heap_moved(&n->lines, l);
    }
    n->tag = l->tag > n->floor + l->turn ? l->tag : n->floor + l->turn;
}

static void need_moved(struct waiting *w, struct need *n)
{
    settle_lines(n);
    if (n->state == NEED_OPEN)
        fm_heap_moved(&w->open, n);
}

/* ---- states of needs ---- */

static void need_leave(struct waiting *w, struct need *n)
{
    if (n->state == NEED_OPEN)
        fm_heap_remove(&w->open, n);
    else
        DL_DELETE(w->refused[n->state], n);
}

static void need_open(struct waiting *w, struct need *n)
{
    n->state = NEED_OPEN;
    if (w->clock - n->credit > n->floor)
        n->floor = w->clock - n->credit;
    settle_lines(n);
    fm_heap_add(&w->open, n);
}

static void need_refuse(struct waiting *w, struct need *n, enum need_state state)
{
    settle_lines(n);
    uint64_t start = n->tag - ((const struct line *)fm_heap_first(&n->lines))->turn;
    n->credit = w->clock > start ? w->clock - start : 0;
    n->state = state;
    DL_APPEND(w->refused[state], n);
}

/* ---- who waits ---- */

static struct waiting *waiting_of(struct core *c)
{
    if (c->waiting == NULL) {
        c->waiting = fm_xcalloc(1, sizeof(*c->waiting));
        c->waiting->open = fm_heap_of(need_before, offsetof(struct need, place));
    }
    return c->waiting;
}

static struct need *need_find(struct waiting *w, const struct job *job, uint8_t key[STORE_DIGEST_BYTES])
{
    struct need *n;
    need_key(job, key);
    HASH_FIND(hh, w->needs, key, STORE_DIGEST_BYTES, n);
    return n;
}

/* Whose turn the job uses up. */
static const char *account_name(const struct core *c, const struct job *job)
{
    if (c->cfg.fair_by == NULL || c->cfg.fair_by[0] == '\0')
        return job->head->flow;
    for (size_t i = 0; i < job->head->n_labels; i++)
        if (strcmp(job->head->labels[i]->key, c->cfg.fair_by) == 0)
            return job->head->labels[i]->value;
    return "";
}

static struct account *account_get(struct waiting *w, const char *name)
{
    struct account *a;
    HASH_FIND_STR(w->accounts, name, a);
    if (a != NULL)
        return a;
    a = fm_xcalloc(1, sizeof(*a));
    a->name = fm_xstrdup(name);
    a->start = w->clock;
    a->number = ++w->number;
    HASH_ADD_KEYPTR(hh, w->accounts, a->name, strlen(a->name), a);
    return a;
}

static struct line *line_get(struct need *n, struct account *a)
{
    struct line *l;
    HASH_FIND_PTR(n->by_account, &a, l);
    if (l != NULL)
        return l;
    l = fm_xcalloc(1, sizeof(*l));
    l->need = n;
    l->account = a;
    l->jobs = fm_heap_of(job_before, offsetof(struct job, line_place));
    a->n_lines++;
    HASH_ADD_PTR(n->by_account, account, l);
    return l;
}

bool line_has_need_of(struct core *c, const struct job *job)
{
    uint8_t key[STORE_DIGEST_BYTES];
    return !line_is_empty(c) && need_find(c->waiting, job, key) != NULL;
}

bool line_is_empty(const struct core *c)
{
    return c->waiting == NULL || c->waiting->needs == NULL;
}

void line_add(struct core *c, struct job *job, enum need_state state)
{
    struct waiting *w = waiting_of(c);
    uint8_t key[STORE_DIGEST_BYTES];
    struct need *n = need_find(w, job, key);
    bool is_new = n == NULL;
    if (is_new) {
        n = fm_xcalloc(1, sizeof(*n));
        memcpy(n->key, key, sizeof(n->key));
        n->lines = fm_heap_of(line_before, offsetof(struct line, place));
        n->floor = w->clock;
        HASH_ADD(hh, w->needs, key, STORE_DIGEST_BYTES, n);
    }
    struct account *a = account_get(w, account_name(c, job));
    struct line *l = line_get(n, a);
    job->line = l;
    job->line_points = (int64_t)job->head->priority * POINT_MS + waited_ms(c, job) - age(c, a);
    fm_heap_add(&l->jobs, job);
    if (l->place == 0) {
        l->turn = turn_of(l);
        l->tag = a->start + l->turn;
        fm_heap_add(&n->lines, l);
    } else if (fm_heap_first(&l->jobs) == job) {
        line_headed(l);
    }
    if (!is_new)
        need_moved(w, n);
    else if (state == NEED_OPEN)
        need_open(w, n);
    else
        need_refuse(w, n, state);
}

static void line_drop(struct waiting *w, struct line *l)
{
    struct need *n = l->need;
    struct account *a = l->account;
    bool is_last = n->lines.n == 1;
    if (is_last)
        need_leave(w, n); /* while its order can still be told */
    fm_heap_remove(&n->lines, l);
    HASH_DEL(n->by_account, l);
    fm_heap_done(&l->jobs);
    free(l);
    if (--a->n_lines == 0) {
        HASH_DEL(w->accounts, a);
        free(a->name);
        free(a);
    }
    if (!is_last) {
        need_moved(w, n);
        return;
    }
    HASH_DEL(w->needs, n);
    fm_heap_done(&n->lines);
    free(n);
}

void line_remove(struct core *c, struct job *job)
{
    struct waiting *w = c->waiting;
    struct line *l = job->line;
    bool was_first = fm_heap_first(&l->jobs) == job;
    job->line = NULL;
    if (l->jobs.n == 1) {
        line_drop(w, l);
        return;
    }
    fm_heap_remove(&l->jobs, job);
    if (was_first) {
        line_headed(l);
        need_moved(w, l->need);
    }
}

void line_reopen(struct core *c, enum need_state state, bool (*may)(struct core *c, const struct job *job))
{
    struct waiting *w = waiting_of(c);
    struct need *n, *tmp;
    DL_FOREACH_SAFE (w->refused[state], n, tmp) {
        const struct line *l = fm_heap_first(&n->lines);
        if (!may(c, fm_heap_first(&l->jobs)))
            continue;
        need_leave(w, n);
        need_open(w, n);
    }
}

struct job *line_next(struct core *c)
{
    struct waiting *w = waiting_of(c);
    struct need *n;
    while ((n = fm_heap_first(&w->open)) != NULL) {
        uint64_t tag = n->tag;
        need_moved(w, n);
        if (n->tag == tag && fm_heap_first(&w->open) == n)
            return fm_heap_first(&((const struct line *)fm_heap_first(&n->lines))->jobs);
    }
    return NULL;
}

void line_take(struct core *c, struct job *job)
{
    struct waiting *w = c->waiting;
    struct account *a = job->line->account;
    a->start = job->line->need->tag;
    a->placed++;
    if (a->start > w->clock)
        w->clock = a->start;
}

void line_refuse(struct core *c, struct job *job, enum need_state state)
{
    struct waiting *w = c->waiting;
    struct need *n = job->line->need;
    need_leave(w, n);
    need_refuse(w, n, state);
}

void line_free(struct core *c)
{
    if (c->waiting != NULL)
        fm_heap_done(&c->waiting->open);
    free(c->waiting);
    c->waiting = NULL;
}
