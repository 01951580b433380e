/* Which hosts live: the ends of leases, the brake when most hosts are lost at once, death certificates. */
#include "core_int.h"

#include <string.h>

#include <utlist.h>

#include "log.h"
#include "mem.h"

#define BRAKE_HOSTS 3 /* so few may vanish together by chance */

/* ---- the brake ----
 *
 * When most hosts fall silent at once, the fault is likely on this side, or in between: then what was theirs
 * would only be heaped on the few that are left. They get a second lease to come back in. */

static bool within(int64_t a, int64_t b, int64_t ms)
{
    return a - b <= ms && b - a <= ms;
}

bool life_is_silent(const struct core *c, const struct host *h)
{
    return h->conn == 0 || c->now_ms >= host_silent_since(h) + 2 * (int64_t)c->cfg.heartbeat_ms;
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
        silent += life_is_silent(c, o) && within(host_silent_since(o), since, lease);
    if (silent + lost < BRAKE_HOSTS || (silent + lost) * 2 <= all + lost)
        return false;
    for (struct host *o = c->hosts; o != NULL; o = o->hh.next)
        o->braked = o->braked || (life_is_silent(c, o) && within(host_silent_since(o), since, lease));
    FM_LOG(WARN, HOST,
           "more than half of the hosts fell silent within one lease: their jobs wait for a second one, for "
           "the fault may be the network's or the coordinator's",
           FM_U64("silent", silent + lost), FM_U64("hosts", all + lost), FM_I64("lease_ms", lease));
    return true;
}

/* ---- leases ---- */

int64_t life_lease_end(const struct core *c, const struct host *h)
{
    return host_silent_since(h) + (h->braked ? 2 : 1) * (int64_t)c->cfg.lease_ms;
}

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

void life_tick(struct core *c)
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
        if (c->now_ms >= life_lease_end(c, h) && (h->braked || !brake(c, h)))
            end_lease(c, h);
}

void life_recovered(struct core *c)
{
    for (struct host *h = c->hosts; h != NULL; h = h->hh.next)
        h->last_heard_ms = c->now_ms;
    if (c->marks != NULL)
        c->marks_sweep_ms = c->now_ms + 2 * (int64_t)c->cfg.lease_ms;
}

void life_free(struct core *c)
{
    struct host_loss *l, *tmp;
    DL_FOREACH_SAFE (c->losses, l, tmp)
        free(l);
}

/* ---- CertifyDeath ---- */

/* A stream that is open and was heard of within the grace of two heartbeats talks: whoever says that its host
 * is dead is wrong, or the end of the stream is still on its way; then a later try finds it ended. */
static bool still_talks(const struct core *c, const struct host *h)
{
    return h->conn != 0 && c->now_ms < h->last_heard_ms + 2 * (int64_t)c->cfg.heartbeat_ms;
}

static int check_certificate(const struct core *c, const Fermata__V1__CertifyDeathRequest *q,
                             const struct host *h, struct fm_err *err)
{
    if (check_name("host_id", q->host_id, err) < 0 || check_name("incarnation", q->incarnation, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (strlen(q->how) > MAX_LABEL_BYTES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "how", "how has %zu bytes; the limit is %d",
                          strlen(q->how), MAX_LABEL_BYTES);
    if (h == NULL || h->incarnation == NULL || strcmp(h->incarnation, q->incarnation) != 0)
        return fm_err_set(err, FM_NOT_FOUND, "incarnation",
                          "incarnation %s of host %s is not known (any more)", q->incarnation, q->host_id);
    if (still_talks(c, h))
        return fm_err_set(err, FM_FAILED_PRECONDITION, "incarnation",
                          "host %s talks: its incarnation %s was heard of %lld ms ago", q->host_id,
                          q->incarnation, (long long)(c->now_ms - h->last_heard_ms));
    return 0;
}

/* The answer does not wait for the disk: what a certificate spares is time, and after a restart of the
 * coordinator the lease decides. */
void certify_death(struct core *c, struct op *op)
{
    const Fermata__V1__CertifyDeathRequest *q = OP_REQUEST(op, Fermata__V1__CertifyDeathRequest);
    struct fm_err err = {0};
    struct host *h = host_find(c, q->host_id);
    if (check_certificate(c, q, h, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    Fermata__V1__CertifyDeathResponse r = FERMATA__V1__CERTIFY_DEATH_RESPONSE__INIT;
    r.job_count = (uint32_t)h->n_jobs;
    FM_LOG(WARN, HOST, "a host daemon has died; its jobs go to others", FM_STR("host", h->id),
           FM_STR("incarnation", q->incarnation), FM_STR("how", q->how), FM_U64("jobs", h->n_jobs));
    host_lost(c, h, "its host daemon died");
    c->match_wanted = true;
    op_reply(c, op, &r.base);
}
