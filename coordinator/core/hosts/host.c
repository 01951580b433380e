/* Hosts: their records. */
#include "host.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "backlog.h"
#include "buf.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fields.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "job.h"
#include "log.h"
#include "marks.h"
#include "mem.h"
#include "op.h"
#include "pace.h"
#include "pbc.h"
#include "routine_types.h"
#include "state.h"
#include "times.h"
#include "told.h"

static void view_types(const struct host *h, Fermata__V1__Host *v)
{
    size_t n_refused = 0;
    const struct refused_type *r;
    DL_COUNT(h->refused, r, n_refused);
    v->routine_types = fm_xcalloc(HASH_COUNT(h->types) + 1, sizeof(*v->routine_types));
    v->refused_types = fm_xcalloc(n_refused + 1, sizeof(*v->refused_types));
    for (const struct type_info *t = h->types; t != NULL; t = t->hh.next)
        v->routine_types[v->n_routine_types++] = type_info_message(t);
    DL_FOREACH (h->refused, r) {
        Fermata__V1__RefusedType *m = fm_xcalloc(1, sizeof(*m));
        fermata__v1__refused_type__init(m);
        m->name = fm_xstrdup(r->name);
        m->version = r->version;
        m->reason = fm_xstrdup(r->reason);
        v->refused_types[v->n_refused_types++] = m;
    }
}

Fermata__V1__Host *host_view(const struct core *c, const struct host *h)
{
    Fermata__V1__Host v = FERMATA__V1__HOST__INIT;
    Google__Protobuf__Timestamp at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    at.seconds = fm_ms_seconds(h->attached_wall_ms);
    v.host_id = h->id;
    v.status = host_is_silent(c, h) ? HOST_STATUS_SILENT : HOST_STATUS_ATTACHED;
    v.capacity = h->capacity;
    v.job_count = (uint32_t)h->n_jobs;
    v.cordoned = h->cordoned;
    v.draining = h->draining || h->leaving;
    if (h->peer != NULL) {
        v.peer = h->peer;
        v.version = h->version;
        v.attached_at = &at;
    }
    Fermata__V1__Host__LabelsEntry *labels = fm_xcalloc(h->n_labels + 1, sizeof(*labels));
    v.labels = fm_xcalloc(h->n_labels + 1, sizeof(*v.labels));
    for (; v.n_labels < h->n_labels; v.n_labels++) {
        fermata__v1__host__labels_entry__init(&labels[v.n_labels]);
        labels[v.n_labels].key = (char *)(uintptr_t)h->labels[v.n_labels].key;
        labels[v.n_labels].value = (char *)(uintptr_t)h->labels[v.n_labels].value;
        v.labels[v.n_labels] = &labels[v.n_labels];
    }
    Fermata__V1__Host *copy = pb_clone(&v);
    free(labels);
    free(v.labels);
    view_types(h, copy);
    return copy;
}

bool host_is_silent(const struct core *c, const struct host *h)
{
    return h->conn == 0 || c->now_ms >= host_silent_since(h) + 2 * (int64_t)c->cfg.heartbeat_ms;
}

int64_t host_lease_end(const struct core *c, const struct host *h)
{
    return host_silent_since(h) + (h->braked ? 2 : 1) * (int64_t)c->cfg.lease_ms;
}

struct host *host_find(struct core *c, const char *id)
{
    struct host *h;
    HASH_FIND_STR(c->hosts, id, h);
    return h;
}

struct host *host_add(struct core *c, const char *id)
{
    struct host *h = fm_xcalloc(1, sizeof(*h));
    h->id = fm_xstrdup(id);
    h->last_heard_ms = c->now_ms;
    HASH_ADD_KEYPTR(hh, c->hosts, h->id, strlen(h->id), h);
    mark_apply(c, h);
    return h;
}

void host_clear_hello(struct core *c, struct host *h)
{
    told_forget(c, h);
    for (size_t i = 0; i < h->n_labels; i++) {
        free((char *)(uintptr_t)h->labels[i].key);
        free((char *)(uintptr_t)h->labels[i].value);
    }
    free(h->labels);
    h->labels = NULL;
    h->n_labels = 0;
    free(h->incarnation);
    free(h->peer);
    free(h->version);
    h->incarnation = h->peer = h->version = NULL;
}

void host_remove(struct core *c, struct host *h)
{
    while (h->jobs != NULL)
        host_detach_job(h->jobs);
    HASH_DEL(c->hosts, h);
    host_clear_hello(c, h);
    struct op *op, *tmp;
    DL_FOREACH_SAFE (h->drain_ops, op, tmp)
        op_free(c, op);
    pace_reset(h);
    fm_buf_done(&h->acks);
    free(h->id);
    free(h);
}

void host_attach_job(struct host *h, struct job *job)
{
    job->host = h;
    h->n_jobs++;
    DL_APPEND2(h->jobs, job, host_prev, host_next);
}

void host_detach_job(struct job *job)
{
    struct host *h = job->host;
    if (h == NULL)
        return;
    DL_DELETE2(h->jobs, job, host_prev, host_next);
    h->n_jobs--;
    if (h->trial == job)
        h->trial = NULL;
    pace_forget(h, job);
    job->host = NULL;
}

struct host *host_by_conn(struct core *c, uint64_t conn)
{
    struct conn *k;
    HASH_FIND(hh, c->conns, &conn, sizeof(conn), k);
    return k == NULL ? NULL : k->host;
}

void host_resync(struct core *c, uint64_t conn)
{
    struct host *h = host_by_conn(c, conn);
    if (h != NULL && h->conn == conn && h->resync_at_ms == 0)
        h->resync_at_ms = c->now_ms + RETRY_MS;
}

int64_t host_silent_since(const struct host *h)
{
    return h->mark_seq != 0 && h->mark_ms < h->last_heard_ms ? h->mark_ms : h->last_heard_ms;
}

void hosts_free(struct core *c)
{
    struct conn *k, *ktmp;
    HASH_ITER (hh, c->conns, k, ktmp) {
        backlog_drop(c, k);
        HASH_DEL(c->conns, k);
        free(k->peer);
        free(k);
    }
    struct host *h, *htmp;
    HASH_ITER (hh, c->hosts, h, htmp)
        host_remove(c, h);
}
