/* The Hosts service. */
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "agreed.h"
#include "check.h"
#include "err.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fields.h"
#include "host.h"
#include "job.h"
#include "leave.h"
#include "log.h"
#include "lost.h"
#include "marks.h"
#include "mem.h"
#include "method.h"
#include "name.h"
#include "op.h"
#include "routine_types.h"
#include "send.h"
#include "state.h"
#include "told.h"
#include "who.h"

#define MAX_DEADLINE_MS 86400000u
#define MAX_JOB_IDS 10000
#define MAX_IN_HAND 10000
#define MAX_LIST_BYTES (3u << 20) /* of a page of hosts: below what clients take by default */

/* ---- CordonHost, DrainHost ---- */

static int not_attached(const char *id, struct fm_err *err)
{
    return fm_err_set(err, FM_NOT_FOUND, "host_id", "no host %s is attached", id);
}

static Fermata__V1__Host *view(struct core *c, const struct host *h)
{
    Fermata__V1__Host *v = host_view(c, h);
    mark_put_acts(mark_find(c, h->id), v);
    return v;
}

static int cordon_host(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__CordonHostRequest *q = OP_REQUEST(op, Fermata__V1__CordonHostRequest);
    Fermata__V1__CordonHostResponse r = FERMATA__V1__CORDON_HOST_RESPONSE__INIT;
    struct who who;
    int rc = fm_name_check("host_id", q->host_id, err);
    if (rc == 0)
        rc = who_asks(op, "by", q->by, "reason", q->reason, &who, err);
    if (rc < 0)
        return rc;
    struct host *h = host_find(c, q->host_id);
    if (h == NULL && mark_find(c, q->host_id) == NULL)
        return not_attached(q->host_id, err);
    struct host_mark *m = mark_get(c, q->host_id);
    bool takes = q->uncordon;
    FM_LOG(INFO, HOST, takes ? "host takes work again" : "host takes no new work", FM_STR("host", m->id));
    if (m->cordoned == takes)
        mark_note(c, m, takes ? ENTRY_KIND_UNCORDONED : ENTRY_KIND_CORDONED, who);
    m->cordoned = !takes;
    m->draining = m->draining && !takes;
    if (h != NULL) {
        h->cordoned = m->cordoned;
        h->draining = m->draining;
        host_has_news(c, h);
    }
    r.host = h != NULL ? view(c, h) : mark_view(m);
    mark_save(c, m, op->ticket, &r.base);
    fermata__v1__host__free_unpacked(r.host, NULL);
    return 0;
}

const struct method cordon_host_method = {"Hosts/CordonHost",
                                          METHOD_UNARY,
                                          &fermata__v1__cordon_host_request__descriptor,
                                          &fermata__v1__cordon_host_response__descriptor,
                                          ROLE_OPERATOR,
                                          ADMIT_ALWAYS,
                                          cordon_host,
                                          NULL};

static int drain_host(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__DrainHostRequest *q = OP_REQUEST(op, Fermata__V1__DrainHostRequest);
    if (q->deadline_ms > MAX_DEADLINE_MS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "deadline_ms",
                          "deadline_ms is %u; at most %u are allowed", q->deadline_ms, MAX_DEADLINE_MS);
    struct who who;
    int rc = fm_name_check("host_id", q->host_id, err);
    if (rc == 0)
        rc = who_asks(op, "by", q->by, "reason", q->reason, &who, err);
    if (rc < 0)
        return rc;
    struct host *h = host_find(c, q->host_id);
    if (h == NULL)
        return not_attached(q->host_id, err);
    FM_LOG(INFO, HOST, "host is drained", FM_STR("host", h->id), FM_U64("jobs", h->n_jobs),
           FM_U64("deadline_ms", q->deadline_ms));
    h->cordoned = h->draining = h->drain_asked = true;
    struct host_mark *m = mark_get(c, h->id);
    if (!m->draining)
        mark_note(c, m, ENTRY_KIND_DRAINED, who);
    m->cordoned = m->draining = true;
    struct job *job;
    DL_FOREACH2 (h->jobs, job, host_next)
        if (job->assign_sent)
            host_send_interrupt(c, h->conn, job, job->head->epoch, INTERRUPT_KIND_DRAIN);
    if (q->deadline_ms == 0 || h->n_jobs + h->n_leaving == 0) {
        drain_answer(c, h, op);
        return 0;
    }
    mark_save(c, m, 0, NULL);
    drain_wait(h, op, c->now_ms + q->deadline_ms);
    return OP_WAITS;
}

const struct method drain_host_method = {"Hosts/DrainHost",
                                         METHOD_UNARY,
                                         &fermata__v1__drain_host_request__descriptor,
                                         &fermata__v1__drain_host_response__descriptor,
                                         ROLE_OPERATOR,
                                         ADMIT_ALWAYS,
                                         drain_host,
                                         NULL};

/* ---- ListHosts, GetHost ---- */

static int by_id(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The ids of all hosts that are listed, after this one, sorted; free the array. */
static const char **ids_after(const struct core *c, const char *after, size_t *ret_n)
{
    const char **ids = fm_xcalloc(HASH_COUNT(c->hosts) + HASH_COUNT(c->marks) + 1, sizeof(*ids));
    size_t n = 0;
    for (const struct host *h = c->hosts; h != NULL; h = h->hh.next)
        if (strcmp(h->id, after) > 0)
            ids[n++] = h->id;
    for (const struct host_mark *m = c->marks; m != NULL; m = m->hh.next)
        if (m->cordoned && host_find((struct core *)(uintptr_t)c, m->id) == NULL && strcmp(m->id, after) > 0)
            ids[n++] = m->id;
    qsort(ids, n, sizeof(*ids), by_id);
    *ret_n = n;
    return ids;
}

static int list_hosts(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__ListHostsRequest *q = OP_REQUEST(op, Fermata__V1__ListHostsRequest);
    Fermata__V1__ListHostsResponse r = FERMATA__V1__LIST_HOSTS_RESPONSE__INIT;
    uint32_t limit;
    size_t n, bytes = 0;
    int rc = check_page(q->page_size, &limit, err);
    if (rc == 0 && q->page_token[0] != '\0')
        rc = fm_name_check("page_token", q->page_token, err);
    if (rc < 0)
        return rc;
    if (q->page_size == 0)
        limit = UINT32_MAX; /* as many as fit */
    fm_autofree const char **ids = ids_after(c, q->page_token, &n);
    r.hosts = fm_xcalloc(n + 1, sizeof(*r.hosts));
    for (; r.n_hosts < n && r.n_hosts < limit; r.n_hosts++) {
        const struct host *h = host_find(c, ids[r.n_hosts]);
        Fermata__V1__Host *v = h != NULL ? view(c, h) : mark_view(mark_find(c, ids[r.n_hosts]));
        bytes += fermata__v1__host__get_packed_size(v) + 8;
        if (bytes > MAX_LIST_BYTES && r.n_hosts > 0) {
            fermata__v1__host__free_unpacked(v, NULL);
            break;
        }
        r.hosts[r.n_hosts] = v;
    }
    if (r.n_hosts < n)
        r.next_page_token = r.hosts[r.n_hosts - 1]->host_id;
    op_answer(c, op, &r.base);
    for (size_t i = 0; i < r.n_hosts; i++)
        fermata__v1__host__free_unpacked(r.hosts[i], NULL);
    free(r.hosts);
    return 0;
}

const struct method list_hosts_method = {"Hosts/ListHosts",
                                         METHOD_UNARY,
                                         &fermata__v1__list_hosts_request__descriptor,
                                         &fermata__v1__list_hosts_response__descriptor,
                                         ROLE_VIEWER,
                                         ADMIT_ALWAYS,
                                         list_hosts,
                                         NULL};

static void answer_host(struct core *c, struct op *op, const struct host *h)
{
    Fermata__V1__GetHostResponse r = FERMATA__V1__GET_HOST_RESPONSE__INIT;
    r.host = view(c, h);
    for (size_t i = 0; i < r.host->n_routine_types; i++) {
        Fermata__V1__RoutineType *t = r.host->routine_types[i];
        t->config_schema = fm_xstrdup(type_info_schema(type_info_find(h->types, t->name)));
    }
    r.job_ids = fm_xcalloc(h->n_jobs + 1, sizeof(*r.job_ids));
    struct job *job;
    DL_FOREACH2 (h->jobs, job, host_next)
        if (r.n_job_ids < MAX_JOB_IDS)
            r.job_ids[r.n_job_ids++] = job->text;
    op_answer(c, op, &r.base);
    free(r.job_ids);
    fermata__v1__host__free_unpacked(r.host, NULL);
}

static int get_host(struct core *c, struct op *op, struct fm_err *err)
{
    const char *id = OP_REQUEST(op, Fermata__V1__GetHostRequest)->host_id;
    int rc = fm_name_check("host_id", id, err);
    if (rc < 0)
        return rc;
    const struct host *h = host_find(c, id);
    const struct host_mark *away = h == NULL ? mark_find(c, id) : NULL;
    if (h != NULL) {
        answer_host(c, op, h);
        return 0;
    }
    if (away == NULL || !away->cordoned)
        return not_attached(id, err);
    Fermata__V1__GetHostResponse r = FERMATA__V1__GET_HOST_RESPONSE__INIT;
    r.host = mark_view(away);
    op_answer(c, op, &r.base);
    fermata__v1__host__free_unpacked(r.host, NULL);
    return 0;
}

const struct method get_host_method = {"Hosts/GetHost",
                                       METHOD_UNARY,
                                       &fermata__v1__get_host_request__descriptor,
                                       &fermata__v1__get_host_response__descriptor,
                                       ROLE_VIEWER,
                                       ADMIT_ALWAYS,
                                       get_host,
                                       NULL};

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
    if (fm_name_check("host_id", q->host_id, err) < 0 ||
        fm_name_check("incarnation", q->incarnation, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (strlen(q->how) > FM_MAX_LABEL_BYTES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "how", "how has %zu bytes; the limit is %d",
                          strlen(q->how), FM_MAX_LABEL_BYTES);
    if ((int)q->cause < 0 || (int)q->cause > DEATH_CAUSE_ENDED)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "cause", "cause %d is unknown", (int)q->cause);
    if (q->n_in_hand > MAX_IN_HAND)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "in_hand", "%zu tasks in hand; the limit is %d",
                          q->n_in_hand, MAX_IN_HAND);
    for (size_t i = 0; i < q->n_in_hand; i++)
        if (fm_name_check("in_hand.task_id", q->in_hand[i]->task_id, err) < 0 ||
            fm_name_check("in_hand.routine", q->in_hand[i]->routine, err) < 0)
            return -FM_INVALID_ARGUMENT;
    if (q->n_in_hand > 0 && q->cause != DEATH_CAUSE_CRASHED)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "in_hand",
                          "in_hand is only for cause DEATH_CAUSE_CRASHED");
    if (h == NULL || h->incarnation == NULL || strcmp(h->incarnation, q->incarnation) != 0)
        return fm_err_set(err, FM_NOT_FOUND, "incarnation",
                          "incarnation %s of host %s is not known (or no longer)", q->incarnation,
                          q->host_id);
    if (still_talks(c, h))
        return fm_err_set(err, FM_FAILED_PRECONDITION, "incarnation",
                          "host %s talks: its incarnation %s was heard of %lld ms ago", q->host_id,
                          q->incarnation, (long long)(c->now_ms - h->last_heard_ms));
    return 0;
}

/* The answer does not wait for the disk: what a certificate spares is time, and after a restart of the
 * coordinator the lease decides. */
static int certify_death(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__CertifyDeathRequest *q = OP_REQUEST(op, Fermata__V1__CertifyDeathRequest);
    struct host *h = host_find(c, q->host_id);
    int rc = op_is_host(op, q->host_id, err);
    if (rc == 0)
        rc = check_certificate(c, q, h, err);
    if (rc < 0)
        return rc;
    Fermata__V1__CertifyDeathResponse r = FERMATA__V1__CERTIFY_DEATH_RESPONSE__INIT;
    r.job_count = (uint32_t)h->n_jobs;
    FM_LOG(WARN, HOST, "a host daemon has died; its jobs go to others", FM_STR("host", h->id),
           FM_STR("incarnation", q->incarnation), FM_STR("how", q->how), FM_U64("jobs", h->n_jobs));
    lost_certified(c, h, q);
    host_lost(c, h, "its host daemon died");
    c->match_wanted = true;
    op_answer(c, op, &r.base);
    return 0;
}

const struct method certify_death_method = {"Hosts/CertifyDeath",
                                            METHOD_UNARY,
                                            &fermata__v1__certify_death_request__descriptor,
                                            &fermata__v1__certify_death_response__descriptor,
                                            ROLE_HOST,
                                            ADMIT_ALWAYS,
                                            certify_death,
                                            NULL};
