/* Which hosts live: death certificates. The lease of a host that falls silent is in hosts.c. */
#include "core_int.h"

#include <string.h>

#include "log.h"

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
