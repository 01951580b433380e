/* What is remembered of hosts beyond their stay and the coordinator's: whether they take work, and who they
 * were when they were last here. And what operators do with them: CordonHost, DrainHost.
 *
 * What is remembered is changed at once and stored right away; an answer waits for the disk. When it cannot
 * be stored the call fails, what it wanted holds all the same, and is stored again until it is on disk. A
 * host of which nothing is to be remembered is forgotten when the disk has forgotten it: until then an
 * operator can repeat what failed. */
#include "core_int.h"

#include <string.h>

#include <utlist.h>

#include "log.h"
#include "mem.h"

#define MAX_LEFT_IDS 10000
#define MAX_DEADLINE_MS 86400000u
#define NAMED_IN_LOG 50

/* ---- marks ---- */

struct host_mark *mark_find(struct core *c, const char *id)
{
    struct host_mark *m;
    HASH_FIND_STR(c->marks, id, m);
    return m;
}

static struct host_mark *mark_get(struct core *c, const char *id)
{
    struct host_mark *m = mark_find(c, id);
    if (m != NULL)
        return m;
    m = fm_xcalloc(1, sizeof(*m));
    m->id = fm_xstrdup(id);
    m->incarnation = fm_xstrdup("");
    HASH_ADD_KEYPTR(hh, c->marks, m->id, strlen(m->id), m);
    return m;
}

static void mark_free(struct core *c, struct host_mark *m)
{
    HASH_DEL(c->marks, m);
    free(m->id);
    free(m->incarnation);
    free(m);
}

Fermata__V1__Host *mark_view(const struct host_mark *m)
{
    Fermata__V1__Host v = FERMATA__V1__HOST__INIT;
    v.host_id = m->id;
    v.incarnation = m->incarnation;
    v.status = FERMATA__V1__HOST_STATUS__HOST_STATUS_AWAY;
    v.cordoned = m->cordoned;
    v.draining = m->draining;
    return pb_clone(&v);
}

static bool is_to_be_remembered(const struct host_mark *m)
{
    return m->cordoned || m->incarnation[0] != '\0';
}

/* Puts it into the unit, or has the disk forget it when there is nothing to remember. */
static void mark_put(struct commit *unit, struct host_mark *m)
{
    m->n_units++;
    m->unsaved = false;
    if (is_to_be_remembered(m)) {
        Fermata__V1__Host *v = mark_view(m);
        struct fm_buf b = {0};
        pb_pack(v, &b);
        store_put_host(unit->unit, m->id, (struct fm_bytes){b.p, b.n});
        fm_buf_done(&b);
        fermata__v1__host__free_unpacked(v, NULL);
    } else {
        store_delete_host(unit->unit, m->id);
    }
    commit_effect(unit, EFFECT_MARK, (struct fm_bytes){(const uint8_t *)m->id, strlen(m->id) + 1});
}

/* Stores it; then `answer` (may be NULL) goes to the ticket. */
static void mark_save(struct core *c, struct host_mark *m, uint64_t ticket, const ProtobufCMessage *answer)
{
    struct commit *unit = commit_new(c, NULL);
    mark_put(unit, m);
    if (answer != NULL)
        pbc_effect_reply(unit, ticket, answer);
    commit_submit(c, unit);
}

void mark_stored(struct core *c, const char *id, bool ok)
{
    struct host_mark *m = mark_find(c, id);
    m->n_units--;
    m->unsaved = m->unsaved || !ok;
    if (m->n_units == 0 && !m->unsaved && !is_to_be_remembered(m))
        mark_free(c, m);
}

void marks_retry(struct core *c)
{
    struct commit *unit = NULL; /* one for all: as long as the store fails that is one line in the log */
    for (struct host_mark *m = c->marks; m != NULL; m = m->hh.next) {
        if (!m->unsaved)
            continue;
        if (unit == NULL)
            unit = commit_new(c, NULL);
        mark_put(unit, m);
    }
    if (unit != NULL)
        commit_submit(c, unit);
}

void mark_apply(struct core *c, struct host *h)
{
    const struct host_mark *m = mark_find(c, h->id);
    if (m == NULL)
        return;
    h->cordoned = m->cordoned;
    h->draining = m->draining;
    if (m->incarnation[0] != '\0')
        h->incarnation = fm_xstrdup(m->incarnation);
}

void mark_attached(struct core *c, const struct host *h)
{
    struct host_mark *m = mark_get(c, h->id);
    if (strcmp(m->incarnation, h->incarnation) == 0)
        return;
    free(m->incarnation);
    m->incarnation = fm_xstrdup(h->incarnation);
    mark_save(c, m, 0, NULL);
}

void marks_sweep(struct core *c)
{
    struct host_mark *m, *tmp;
    c->marks_sweep_ms = 0;
    HASH_ITER (hh, c->marks, m, tmp) {
        if (m->cordoned || host_find(c, m->id) != NULL)
            continue;
        m->incarnation[0] = '\0';
        mark_save(c, m, 0, NULL);
    }
}

void marks_free(struct core *c)
{
    struct host_mark *m, *tmp;
    HASH_ITER (hh, c->marks, m, tmp)
        mark_free(c, m);
}

static void on_marks_listed(struct core *c, struct wait *w, struct store_done *d)
{
    (void)w;
    if (d->status != STORE_OK) {
        FM_LOG(ERROR, STORAGE, "what is remembered of hosts could not be read, trying again",
               FM_ERR(&d->err));
        core_retry_later(c);
        return;
    }
    for (size_t i = 0; i < d->n_rows; i++) {
        Fermata__V1__Host *v = fermata__v1__host__unpack(NULL, d->rows[i].body.n, d->rows[i].body.p);
        if (v == NULL || v->host_id[0] == '\0') {
            FM_LOG(ERROR, STORAGE, "what is remembered of a host is malformed, ignoring");
        } else {
            struct host_mark *m = mark_get(c, v->host_id);
            free(m->incarnation);
            m->incarnation = fm_xstrdup(v->incarnation);
            m->cordoned = v->cordoned;
            m->draining = v->draining;
        }
        if (v != NULL)
            fermata__v1__host__free_unpacked(v, NULL);
    }
    c->marks_loaded = true;
    recovery_next(c);
}

void marks_load(struct core *c)
{
    struct store_query q = {.kind = STORE_LIST_HOSTS};
    core_read(c, &q, on_marks_listed, NULL);
}

/* ---- DrainHost ---- */

/* Fills in the ids of the jobs that are still there; free the array. */
static void name_left(const struct host *h, Fermata__V1__DrainHostResponse *r)
{
    struct job *job;
    r->left_job_ids = fm_xcalloc(h->n_jobs + 1, sizeof(*r->left_job_ids));
    DL_FOREACH2 (h->jobs, job, host_next)
        if (r->n_left_job_ids < MAX_LEFT_IDS)
            r->left_job_ids[r->n_left_job_ids++] = job->text;
}

static void log_left(const struct host *h, const Fermata__V1__DrainHostResponse *r)
{
    struct fm_buf names = {0};
    for (size_t i = 0; i < r->n_left_job_ids && i < NAMED_IN_LOG; i++) {
        fm_buf_append(&names, " ", i > 0);
        fm_buf_append(&names, r->left_job_ids[i], strlen(r->left_job_ids[i]));
    }
    fm_buf_append(&names, "", 1);
    FM_LOG(WARN, HOST, "the deadline of a drain is over, jobs are left; they move at the end of their steps",
           FM_STR("host", h->id), FM_U64("jobs", h->n_jobs), FM_STR("left", (const char *)names.p));
    fm_buf_done(&names);
}

static void answer_drain(struct core *c, struct host *h, struct op *op)
{
    Fermata__V1__DrainHostResponse r = FERMATA__V1__DRAIN_HOST_RESPONSE__INIT;
    name_left(h, &r);
    r.host = host_view(c, h);
    if (op->due_ms != 0 && h->n_jobs > 0)
        log_left(h, &r);
    mark_save(c, mark_get(c, h->id), op->ticket, &r.base);
    free(r.left_job_ids);
    fermata__v1__host__free_unpacked(r.host, NULL);
    op_free(op);
}

void drain_look(struct core *c, struct host *h)
{
    struct op *op, *tmp;
    DL_FOREACH_SAFE (h->drain_ops, op, tmp) {
        if (h->n_jobs > 0 && c->now_ms < op->due_ms)
            continue;
        DL_DELETE(h->drain_ops, op);
        answer_drain(c, h, op);
    }
}

void mark_left(struct core *c, struct host *h)
{
    drain_look(c, h);
    struct host_mark *m = mark_get(c, h->id);
    free(m->incarnation);
    m->incarnation = fm_xstrdup("");
    mark_save(c, m, 0, NULL);
}

static void drain_host(struct core *c, struct op *op, struct host *h)
{
    const Fermata__V1__DrainHostRequest *q = OP_REQUEST(op, Fermata__V1__DrainHostRequest);
    FM_LOG(INFO, HOST, "host is drained", FM_STR("host", h->id), FM_U64("jobs", h->n_jobs),
           FM_U64("deadline_ms", q->deadline_ms));
    h->cordoned = h->draining = h->drain_asked = true;
    struct host_mark *m = mark_get(c, h->id);
    m->cordoned = m->draining = true;
    struct job *job;
    DL_FOREACH2 (h->jobs, job, host_next)
        if (job->assign_sent)
            host_send_interrupt(c, h->conn, job, job->head->epoch,
                                FERMATA__V1__INTERRUPT_KIND__INTERRUPT_KIND_DRAIN);
    if (q->deadline_ms == 0 || h->n_jobs == 0) {
        answer_drain(c, h, op);
        return;
    }
    mark_save(c, m, 0, NULL);
    op_park(op);
    op->due_ms = c->now_ms + q->deadline_ms;
    DL_APPEND(h->drain_ops, op);
}

/* ---- CordonHost ---- */

static void cordon_host(struct core *c, struct op *op, struct host *h, struct host_mark *m)
{
    bool takes = OP_REQUEST(op, Fermata__V1__CordonHostRequest)->uncordon;
    Fermata__V1__CordonHostResponse r = FERMATA__V1__CORDON_HOST_RESPONSE__INIT;
    FM_LOG(INFO, HOST, takes ? "host takes work again" : "host takes no new work", FM_STR("host", m->id));
    m->cordoned = !takes;
    m->draining = m->draining && !takes;
    if (h != NULL) {
        h->cordoned = m->cordoned;
        h->draining = m->draining;
        c->match_wanted = true;
    }
    r.host = h != NULL ? host_view(c, h) : mark_view(m);
    mark_save(c, m, op->ticket, &r.base);
    fermata__v1__host__free_unpacked(r.host, NULL);
    op_free(op);
}

/* ---- requests ---- */

static int check_drain(const struct op *op, struct fm_err *err)
{
    const Fermata__V1__DrainHostRequest *q = OP_REQUEST(op, Fermata__V1__DrainHostRequest);
    if (q->deadline_ms > MAX_DEADLINE_MS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "deadline_ms",
                          "deadline_ms is %u; at most %u are allowed", q->deadline_ms, MAX_DEADLINE_MS);
    return check_name("host_id", q->host_id, err);
}

void drain_request(struct core *c, struct op *op)
{
    struct fm_err err = {0};
    bool cordon = op->method == CORE_CORDON_HOST;
    const char *id = cordon ? OP_REQUEST(op, Fermata__V1__CordonHostRequest)->host_id
                            : OP_REQUEST(op, Fermata__V1__DrainHostRequest)->host_id;
    int rc = cordon ? check_name("host_id", id, &err) : check_drain(op, &err);
    struct host *h = rc == 0 ? host_find(c, id) : NULL;
    struct host_mark *m = rc == 0 ? mark_find(c, id) : NULL;
    if (rc == 0 && h == NULL && (m == NULL || !cordon))
        (void)fm_err_set(&err, FM_NOT_FOUND, "host_id", "no host %s is attached", id);
    if (err.code != FM_OK)
        op_fail(c, op, &err);
    else if (cordon)
        cordon_host(c, op, h, mark_get(c, id));
    else
        drain_host(c, op, h);
}
