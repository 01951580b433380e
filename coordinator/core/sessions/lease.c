/* Which hosts live: the ends of leases, and the brake when most hosts are lost at once. */
#include "lease.h"

#include <stdlib.h>

#include <uthash.h>
#include <utlist.h>

#include "err.h"
#include "host.h"
#include "leave.h"
#include "log.h"
#include "mem.h"
#include "op.h"
#include "state.h"

#define HELLO_MS 10000 /* for the first message of a stream */
#define BRAKE_HOSTS 3  /* so few may vanish together by chance */

/* ---- the brake ----
 *
 * When most hosts fall silent at once, the fault is likely on this side, or in between: then what was theirs
 * would only be heaped on the few that are left. They get a second lease to come back in. */

static bool within(int64_t a, int64_t b, int64_t ms)
{
    return a - b <= ms && b - a <= ms;
}

/* Whether h fell silent together with more than half of all hosts. Those are braked, too. */
static bool brake(struct core *c, struct host *h)
{
    int64_t since = host_silent_since(h), lease = c->cfg.lease_ms;
    size_t silent = 0, lost = 0, all = HASH_COUNT(c->hosts);
    struct host_loss *l;
    DL_FOREACH (c->losses, l)
        lost += within(l->silent_since_ms, since, lease);
    for (struct host *o = c->hosts; o != NULL; o = o->hh.next)
        silent += host_is_silent(c, o) && within(host_silent_since(o), since, lease);
    if (silent + lost < BRAKE_HOSTS || (silent + lost) * 2 <= all + lost)
        return false;
    for (struct host *o = c->hosts; o != NULL; o = o->hh.next)
        o->braked = o->braked || (host_is_silent(c, o) && within(host_silent_since(o), since, lease));
    FM_LOG(WARN, HOST,
           "more than half of the hosts fell silent within one lease: their jobs wait for a second one, for "
           "the fault may be the network's or the coordinator's",
           FM_U64("silent", silent + lost), FM_U64("hosts", all + lost), FM_I64("lease_ms", lease));
    return true;
}

/* ---- leases ---- */

static void end_lease(struct core *c, struct host *h)
{
    FM_LOG(WARN, HOST, "a host's lease ended; its jobs go to others", FM_STR("host", h->id),
           FM_U64("jobs", h->n_jobs), FM_U64("lease_ms", c->cfg.lease_ms),
           FM_I64("silent_ms", c->now_ms - host_silent_since(h)));
    struct host_loss *l = fm_xcalloc(1, sizeof(*l));
    l->silent_since_ms = host_silent_since(h);
    DL_APPEND(c->losses, l);
    host_lost(c, h, "the lease of its host ended");
}

/* Ends the leases that are over. */
static void leases_tick(struct core *c)
{
    struct host_loss *l, *ltmp;
    DL_FOREACH_SAFE (c->losses, l, ltmp) {
        if (c->now_ms < l->silent_since_ms + 3 * (int64_t)c->cfg.lease_ms)
            continue;
        DL_DELETE(c->losses, l);
        free(l);
    }
    if (c->marks_sweep_ms != 0 && c->now_ms >= c->marks_sweep_ms)
        marks_sweep(c);
    struct host *h, *tmp;
    HASH_ITER (hh, c->hosts, h, tmp)
        if (c->now_ms >= host_lease_end(c, h) && (h->braked || !brake(c, h)))
            end_lease(c, h);
}

void leases_recovered(struct core *c)
{
    for (struct host *h = c->hosts; h != NULL; h = h->hh.next)
        h->last_heard_ms = c->now_ms;
    if (c->marks != NULL)
        c->marks_sweep_ms = c->now_ms + 2 * (int64_t)c->cfg.lease_ms;
}

void leases_free(struct core *c)
{
    struct host_loss *l, *tmp;
    DL_FOREACH_SAFE (c->losses, l, tmp)
        free(l);
}

/* ---- time ---- */

/* Before all jobs are read no lease ends: no host could have come back. */
int64_t hosts_deadline(const struct core *c)
{
    int64_t at = c->marks_sweep_ms != 0 ? c->marks_sweep_ms : -1;
    if (!c->recovered)
        return -1;
    for (const struct host *h = c->hosts; h != NULL; h = h->hh.next) {
        int64_t lease_end = host_lease_end(c, h);
        int64_t due = h->resync_at_ms != 0 && h->resync_at_ms < lease_end ? h->resync_at_ms : lease_end;
        for (const struct op *op = h->drain_ops; op != NULL; op = op->next)
            if (drain_due_ms(op) < due)
                due = drain_due_ms(op);
        if (at < 0 || due < at)
            at = due;
    }
    for (const struct conn *k = c->conns; k != NULL; k = k->hh.next)
        if (k->host == NULL && (at < 0 || k->opened_ms + HELLO_MS < at))
            at = k->opened_ms + HELLO_MS;
    return at;
}

void hosts_tick(struct core *c)
{
    struct conn *k, *ktmp;
    if (!c->recovered)
        return;
    HASH_ITER (hh, c->conns, k, ktmp) {
        struct host *h = k->host;
        struct fm_err err = {0};
        if (h == NULL && c->now_ms >= k->opened_ms + HELLO_MS)
            (void)fm_err_set(&err, FM_DEADLINE_EXCEEDED, "hello", "no Hello came within %d ms", HELLO_MS);
        else if (h != NULL && h->resync_at_ms != 0 && c->now_ms >= h->resync_at_ms)
            (void)fm_err_set(&err, FM_UNAVAILABLE, NULL,
                             "steps could not be stored: attach again and send them again");
        if (err.code != FM_OK)
            conn_close(c, k, &err);
    }
    leases_tick(c);
}
