/* The core's frame: requests and their life, queries, units and what follows from them, time. What the
 * requests do is in core_*.c. See core.h. */
#include "core_int.h"

#include <assert.h>
#include <string.h>

#include <utlist.h>

#include "log.h"
#include "mem.h"
#include "program_check.h"

/* ---- requests ---- */

static void inner_done(struct core *c, uint64_t ticket, const struct fm_err *err)
{
    struct inner *call;
    HASH_FIND(hh, c->inner, &ticket, sizeof(ticket), call);
    if (call == NULL)
        return;
    HASH_DEL(c->inner, call);
    if (!c->stopping)
        call->done(c, call, err);
    free(call);
}

void core_reply(struct core *c, uint64_t ticket, struct fm_bytes response)
{
    if ((ticket & INNER_TICKET) != 0)
        inner_done(c, ticket, NULL);
    else if (ticket != 0)
        c->io.reply(c->io.arg, ticket, response);
}

void core_fail(struct core *c, uint64_t ticket, const struct fm_err *err)
{
    if ((ticket & INNER_TICKET) != 0)
        inner_done(c, ticket, err);
    else if (ticket != 0)
        c->io.fail(c->io.arg, ticket, err);
}

void core_call(struct core *c, int method, const ProtobufCMessage *request, const struct inner *call)
{
    struct inner *kept = fm_xmemdup(call, sizeof(*call));
    kept->ticket = ++c->next_tag | INNER_TICKET;
    HASH_ADD(hh, c->inner, ticket, sizeof(kept->ticket), kept);
    struct op *op = fm_xcalloc(1, sizeof(*op));
    op->ticket = kept->ticket;
    op->method = (enum core_method)method;
    op->child = call->child;
    op->request = (ProtobufCMessage *)(uintptr_t)request;
    op_run(c, op);
}

void op_free(struct op *op)
{
    fork_free(op->fork);
    program_check_free(op->check);
    if (op->owned) {
        protobuf_c_message_free_unpacked(op->request, NULL);
        free((void *)(uintptr_t)op->raw.p);
        if (op->meter != NULL)
            *op->meter -= 2 * op->raw.n;
    }
    fm_buf_done(&op->text);
    child_refs_free(op->todo);
    free(op);
}

void op_fail(struct core *c, struct op *op, struct fm_err *err)
{
    core_fail(c, op->ticket, err);
    fm_err_done(err);
    op_free(op);
}

void op_reply(struct core *c, struct op *op, const ProtobufCMessage *response)
{
    if (op->ticket != 0) {
        struct fm_buf b = {0};
        pb_pack(response, &b);
        core_reply(c, op->ticket, (struct fm_bytes){b.p, b.n});
        fm_buf_done(&b);
    }
    op_free(op);
}

void op_park(struct op *op)
{
    if (op->owned)
        return;
    op->raw = (struct fm_bytes){fm_xmemdup(op->raw.p, op->raw.n), op->raw.n};
    op->request = pb_clone(op->request);
    op->owned = true;
    if (op->meter != NULL)
        *op->meter += 2 * op->raw.n; /* as bytes and decoded */
}

void op_run(struct core *c, struct op *op)
{
    if ((int)op->method >= INNER_CHILD_STARTED) {
        children_request(c, op);
        return;
    }
    switch (op->method) {
    case CORE_PUT_FLOW:
    case CORE_GET_FLOW:
    case CORE_LIST_FLOWS:
    case CORE_GET_FLOW_GRAPH:
    case CORE_DELETE_FLOW:
        flows_request(c, op);
        return;
    case CORE_WATCH_JOB:
        watch_request(c, op);
        return;
    case CORE_SUBMIT_JOB:
    case CORE_GET_JOB:
    case CORE_LIST_JOBS:
    case CORE_GET_HISTORY:
    case CORE_PAUSE_JOB:
    case CORE_RESUME_JOB:
    case CORE_CANCEL_JOB:
    case CORE_DELETE_JOB:
    case CORE_SEND_INPUT:
        jobs_request(c, op);
        return;
    case CORE_FORK_JOB:
        fork_request(c, op);
        return;
    case CORE_SET_BREAKPOINTS:
    case CORE_RETRY_TASK:
    case CORE_SKIP_TASK:
    case CORE_EDIT_TASK:
    case CORE_PATCH_STATE:
        remedy_request(c, op);
        return;
    case CORE_LIST_PAUSES:
    case CORE_CLAIM_PAUSE:
    case CORE_RELEASE_PAUSE:
    case CORE_COUNT_JOBS:
    case CORE_EXPLAIN_JOB:
    case CORE_GET_USAGE:
        inbox_request(c, op);
        return;
    case CORE_LIST_HOSTS:
    case CORE_GET_HOST:
    case CORE_CORDON_HOST:
    case CORE_DRAIN_HOST:
        hosts_request(c, op);
        return;
    case CORE_CERTIFY_DEATH:
        certify_death(c, op);
        return;
    case CORE_METHODS:
        break;
    }
    struct fm_err err = {0};
    fm_err_set(&err, FM_UNIMPLEMENTED, NULL, "unknown method");
    op_fail(c, op, &err);
}

void core_request(struct core *c, uint64_t ticket, enum core_method method, const ProtobufCMessage *request,
                  struct fm_bytes raw)
{
    struct op *op = fm_xcalloc(1, sizeof(*op));
    op->ticket = ticket;
    op->method = method;
    op->request = (ProtobufCMessage *)(uintptr_t)request;
    op->raw = raw;
    op->meter = &c->waiting_bytes;
    if (c->stopping || !c->recovered) {
        struct fm_err err = {0};
        fm_err_set(&err, FM_UNAVAILABLE, NULL,
                   c->stopping ? "the coordinator is stopping" : "the coordinator is starting");
        op_fail(c, op, &err);
        return;
    }
    struct fm_err full = {0};
    if (admit_request(c, op, &full) < 0) {
        op_fail(c, op, &full);
        return;
    }
    op_run(c, op);
}

void core_ticket_closed(struct core *c, uint64_t ticket)
{
    struct watch *w;
    HASH_FIND(hh, c->watches, &ticket, sizeof(ticket), w);
    if (w == NULL)
        return; /* what a client asked for is done, whether it still listens or not; the shell ignores the
                   reply */
    struct job *job = w->job;
    watch_free(c, w);
    job_rest(c, job);
}

/* ---- queries ---- */

struct wait *core_read(struct core *c, struct store_query *q,
                       void (*done)(struct core *, struct wait *, struct store_done *), struct op *op)
{
    struct wait *w = fm_xcalloc(1, sizeof(*w));
    w->tag = q->tag = ++c->next_tag;
    w->done = done;
    w->op = op;
    w->job = q->job;
    if (op != NULL)
        op_park(op);
    HASH_ADD(hh, c->waits, tag, sizeof(w->tag), w);
    c->io.read(c->io.arg, q);
    return w;
}

uint32_t core_page(const struct core *c, uint32_t usual)
{
    return c->cfg.page_rows > 0 ? c->cfg.page_rows : usual;
}

static void on_query_done(struct core *c, struct store_done *d)
{
    struct wait *w;
    HASH_FIND(hh, c->waits, &d->tag, sizeof(d->tag), w);
    if (w == NULL)
        return;
    HASH_DEL(c->waits, w);
    w->done(c, w, d);
    free(w);
}

/* ---- units ---- */

struct commit *commit_new(struct core *c, struct job *job)
{
    struct commit *m = fm_xcalloc(1, sizeof(*m));
    m->tag = ++c->next_tag;
    m->job = job;
    m->unit = store_unit_new(m->tag);
    return m;
}

struct commit *job_unit(struct core *c, struct job *job)
{
    if (job->next == NULL) {
        job->next = commit_new(c, job);
        if (!job->is_dirty) {
            job->is_dirty = true;
            DL_APPEND2(c->dirty, job, dirty_prev, dirty_next);
        }
    }
    return job->next;
}

struct effect *commit_effect(struct commit *m, enum effect_kind kind, struct fm_bytes bytes)
{
    struct effect *e = fm_xmalloc(sizeof(*e) + bytes.n);
    memset(e, 0, sizeof(*e));
    if (bytes.n > 0)
        memcpy(e + 1, bytes.p, bytes.n);
    e->kind = kind;
    e->bytes = (struct fm_bytes){(uint8_t *)(e + 1), bytes.n};
    DL_APPEND(m->effects, e);
    return e;
}

void pbc_effect_reply(struct commit *m, uint64_t ticket, const ProtobufCMessage *response)
{
    struct fm_buf b = {0};
    pb_pack(response, &b);
    commit_effect(m, EFFECT_REPLY, (struct fm_bytes){b.p, b.n})->ticket = ticket;
    fm_buf_done(&b);
}

void commit_free(struct commit *m)
{
    struct effect *e, *tmp;
    DL_FOREACH_SAFE (m->effects, e, tmp)
        free(e);
    if (m->unit != NULL)
        store_unit_free(m->unit);
    if (m->meter != NULL)
        *m->meter -= m->bytes;
    fm_buf_done(&m->head);
    free(m->flow_name);
    free(m);
}

void commit_submit(struct core *c, struct commit *m)
{
    struct store_unit *unit = m->unit;
    m->unit = NULL;
    m->bytes = store_unit_bytes(unit);
    m->meter = &c->waiting_bytes;
    c->waiting_bytes += m->bytes;
    HASH_ADD(hh, c->commits, tag, sizeof(m->tag), m);
    c->io.commit(c->io.arg, unit);
}

/* Puts the job's record into the unit. */
static void put_head(struct core *c, struct commit *m)
{
    struct job *job = m->job;
    Fermata__V1__Job *h = job->head;
    h->revision++;
    h->step_count = job_state_step(job->state);
    m->wake_ms = job_wake_ms(job, job->def != NULL && job->def->parallelism > 1);
    if (m->wake_ms > 0 && m->wake_ms <= c->wall_ms)
        m->wake_ms = c->wall_ms + RETRY_MS; /* what was due was done: no second look at once */
    pb_pack(h, &m->head);
    m->has_head = true;
    m->status = (int)h->status;
    struct store_label *labels = fm_xcalloc(h->n_labels + 1, sizeof(*labels));
    for (size_t i = 0; i < h->n_labels; i++)
        labels[i] = (struct store_label){h->labels[i]->key, h->labels[i]->value};
    struct store_job row = {
        .id = job->id,
        .status = (int)h->status,
        .flow = h->flow,
        .host = h->host,
        .head = {m->head.p, m->head.n},
        .wake_ms = m->wake_ms,
        .labels = labels,
        .n_labels = h->n_labels,
        .is_new = job->is_new
    };
    store_put_job(m->unit, &row);
    free(labels);
    m->creates = job->is_new;
    job->is_new = false;
    job->head_dirty = false;
}

static void job_submit(struct core *c, struct job *job)
{
    struct commit *m = job->next;
    job->next = NULL;
    job->inflight = m;
    if (job->head_dirty && !m->deletes)
        put_head(c, m);
    commit_submit(c, m);
}

void core_retry_later(struct core *c)
{
    if (c->retry_at_ms == 0)
        c->retry_at_ms = c->now_ms + RETRY_MS;
}

static void do_effect(struct core *c, struct job *job, struct effect *e)
{
    switch (e->kind) {
    case EFFECT_REPLY:
        core_reply(c, e->ticket, e->bytes);
        return;
    case EFFECT_INPUTS:
        job->inputs_on_disk = e->number;
        host_send_inputs(c, job);
        return;
    case EFFECT_STEP:
        job->steps_on_disk = e->number;
        watch_step(c, job, e->number, e->bytes);
        return;
    case EFFECT_ACK: {
        struct host *h = host_by_conn(c, e->conn);
        if (h != NULL)
            host_queue_ack(h, job, e->epoch, e->number, e->released);
        return;
    }
    case EFFECT_ASSIGN:
        if (job->host != NULL && job->head->epoch == e->epoch)
            host_send_assign(c, job);
        return;
    case EFFECT_INTERRUPT:
        host_send_interrupt(c, e->conn, job, e->epoch, (int)e->number);
        return;
    case EFFECT_PAUSED:
        job_reply_paused(c, job, e->ticket);
        return;
    case EFFECT_INTENT:
        if (job->host != NULL && job->assign_sent && job->head->epoch == e->epoch)
            host_send_intent_ack(c, job, e->epoch, (const char *)e->bytes.p);
        return;
    case EFFECT_BREAKPOINTS:
        breakpoints_stored(c, job, e->ticket);
        return;
    case EFFECT_FAMILY:
        return; /* when the whole unit is done */
    case EFFECT_FLOW:
        e->def->on_disk = true;
        def_unref(c, e->def);
        return;
    case EFFECT_MARK:
        mark_stored(c, (const char *)e->bytes.p, true);
        return;
    }
}

static void fail_effects(struct core *c, struct commit *m, const struct fm_err *err)
{
    struct effect *e;
    DL_FOREACH (m->effects, e) {
        if (e->kind == EFFECT_REPLY)
            core_fail(c, e->ticket, err);
        else if (e->kind == EFFECT_FLOW)
            def_unref(c, e->def);
        else if (e->kind == EFFECT_MARK)
            mark_stored(c, (const char *)e->bytes.p, false);
        else if (e->kind == EFFECT_ACK || e->kind == EFFECT_INTERRUPT)
            host_resync(c, e->conn);
    }
}

/* The request id was claimed before: the first reply again, if the content is the same. Whoever shared the
 * unit with it has to try again. */
static void on_exists(struct core *c, struct commit *m, struct store_done *d)
{
    struct fm_err err = {0}, retry = {0};
    bool same = memcmp(d->digest, m->request_digest, STORE_DIGEST_BYTES) == 0;
    fm_err_set(&err, FM_ALREADY_EXISTS, "request_id",
               "this request_id was used before with other content; take a new one");
    fm_err_set(&retry, FM_ABORTED, NULL, "overtaken by a request that came first; try again");
    struct effect *e;
    DL_FOREACH (m->effects, e) {
        if (e->kind == EFFECT_FLOW)
            def_unref(c, e->def);
        if (e->kind == EFFECT_ACK || e->kind == EFFECT_INTERRUPT)
            host_resync(c, e->conn);
        if (e->kind != EFFECT_REPLY)
            continue;
        if (e->ticket == m->request_ticket && same)
            core_reply(c, e->ticket, d->reply);
        else
            core_fail(c, e->ticket, e->ticket == m->request_ticket ? &err : &retry);
    }
    fm_err_done(&err);
    fm_err_done(&retry);
}

static void on_commit_failed(struct core *c, struct commit *m, struct store_done *d)
{
    struct job *job = m->job;
    struct fm_err err = {0};
    if (d->status == STORE_EXISTS) {
        on_exists(c, m, d);
        fm_err_set(&err, FM_ABORTED, NULL, "overtaken by a request that came first; try again");
    } else {
        FM_LOG(ERROR, STORAGE, "a unit was not stored, trying again",
               FM_STR("job", job != NULL ? job->text : ""), FM_ERR(&d->err));
        fail_effects(c, m, &d->err);
        fm_err_copy(&err, &d->err);
        core_retry_later(c);
    }
    if (m->flow_name != NULL)
        flow_forget_name(c, m->flow_name);
    commit_free(m);
    if (job != NULL) {
        job->inflight = NULL;
        if (job->next != NULL) {
            fail_effects(c, job->next, &err);
            commit_free(job->next);
            job->next = NULL;
        }
        job_reload(c, job, &err);
    }
    fm_err_done(&err);
}

static void on_unit_done(struct core *c, struct store_done *d)
{
    struct commit *m;
    HASH_FIND(hh, c->commits, &d->tag, sizeof(d->tag), m);
    if (m == NULL)
        return;
    HASH_DEL(c->commits, m);
    if (d->status != STORE_OK) {
        on_commit_failed(c, m, d);
        return;
    }
    struct job *job = m->job;
    if (job != NULL)
        job->inflight = NULL;
    if (m->has_head) {
        fm_buf_done(&job->disk_head);
        job->disk_head = m->head;
        job->disk_status = m->status;
        m->head = (struct fm_buf){0};
    }
    struct effect *e;
    bool family = false;
    DL_FOREACH (m->effects, e) {
        family = family || e->kind == EFFECT_FAMILY;
        do_effect(c, job, e);
    }
    if (m->wake_ms > 0)
        timers_note(c, m->wake_ms);
    bool has_head = m->has_head, deletes = m->deletes;
    commit_free(m);
    if (job == NULL)
        return;
    if (deletes) {
        struct fm_err err = {0};
        fm_err_set(&err, FM_NOT_FOUND, "job_id", "job %s was deleted", job->text);
        watch_fail_job(c, job, &err);
        fm_err_done(&err);
        job_remove(c, job);
        return;
    }
    if (has_head)
        watch_head(c, job);
    if (family)
        children_look(c, job);
    job_run_ops(c, job);
    job_rest(c, job);
}

void core_store_done(struct core *c, struct store_done *d)
{
    if (d->is_query)
        on_query_done(c, d);
    else
        on_unit_done(c, d);
    store_done_free(d);
}

/* ---- turns and time ---- */

Google__Protobuf__Timestamp core_now(const struct core *c)
{
    Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    t.seconds = c->wall_ms / 1000;
    t.nanos = (int32_t)(c->wall_ms % 1000) * 1000000;
    return t;
}

void core_flush(struct core *c)
{
    if (c->match_wanted) {
        c->match_wanted = false;
        sched_match(c);
    }
    struct job *job, *tmp;
    DL_FOREACH_SAFE2 (c->dirty, job, tmp, dirty_next) {
        if (job->inflight != NULL)
            continue; /* stays in the list; goes when the unit under way is done */
        DL_DELETE2(c->dirty, job, dirty_prev, dirty_next);
        job->is_dirty = false;
        if (job->next != NULL)
            job_submit(c, job);
    }
    struct host *h, *htmp;
    HASH_ITER (hh, c->hosts, h, htmp) {
        host_flush(c, h);
        if (h->drain_ops != NULL)
            drain_look(c, h);
    }
}

void core_set_time(struct core *c, int64_t mono_ms, int64_t wall_ms)
{
    c->now_ms = mono_ms;
    c->wall_ms = wall_ms;
}

int64_t core_next_deadline(const struct core *c)
{
    int64_t at = hosts_deadline(c);
    if (c->retry_at_ms != 0 && (at < 0 || c->retry_at_ms < at))
        at = c->retry_at_ms;
    int64_t wake = timers_deadline(c);
    if (wake >= 0 && (at < 0 || wake < at))
        at = wake;
    int64_t beat = watches_deadline(c);
    return beat >= 0 && (at < 0 || beat < at) ? beat : at;
}

void core_tick(struct core *c)
{
    if (c->retry_at_ms != 0 && c->now_ms >= c->retry_at_ms) {
        c->retry_at_ms = 0;
        load_retry(c);
        marks_retry(c);
        struct job *job;
        DL_FOREACH2 (c->pending, job, pend_next) {
            free(job->avoid_host);
            job->avoid_host = NULL;
        }
        c->match_wanted = true;
    }
    hosts_tick(c);
    timers_tick(c);
    watches_tick(c);
}

/* ---- life ---- */

struct core *core_new(const struct core_config *cfg, const struct core_io *io)
{
    struct core *c = fm_xcalloc(1, sizeof(*c));
    c->cfg = *cfg;
    c->io = *io;
    if (c->cfg.snapshot_steps == 0)
        c->cfg.snapshot_steps = 256;
    if (c->cfg.snapshot_bytes == 0)
        c->cfg.snapshot_bytes = 8192;
    if (c->cfg.max_state_bytes == 0)
        c->cfg.max_state_bytes = 16u * 1024 * 1024;
    if (c->cfg.max_active_bytes == 0)
        c->cfg.max_active_bytes = (size_t)2 * 1024 * 1024 * 1024;
    if (c->cfg.max_waiting_jobs == 0)
        c->cfg.max_waiting_jobs = 1000000;
    if (c->cfg.cache_bytes == 0)
        c->cfg.cache_bytes = 1024u * 1024;
    fm_idgen_init(&c->ids, cfg->seed);
    return c;
}

void core_start(struct core *c, int64_t mono_ms, int64_t wall_ms)
{
    core_set_time(c, mono_ms, wall_ms);
    c->started = true;
    recovery_next(c);
}

void core_stop(struct core *c)
{
    if (c->stopping)
        return;
    c->stopping = true;
    struct fm_err err = {0};
    fm_err_set(&err, FM_UNAVAILABLE, NULL, "the coordinator is stopping");
    struct watch *w, *wtmp;
    HASH_ITER (hh, c->watches, w, wtmp) {
        struct job *job = w->job;
        core_fail(c, w->ticket, &err);
        watch_free(c, w);
        job_rest(c, job);
    }
    struct conn *k, *ktmp;
    HASH_ITER (hh, c->conns, k, ktmp) {
        c->io.host_close(c->io.arg, k->id, &err);
        core_host_closed(c, k->id);
    }
    fm_err_done(&err);
}

bool core_idle(const struct core *c)
{
    return c->commits == NULL && c->dirty == NULL;
}

void core_get_counts(const struct core *c, struct core_counts *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->jobs_in_memory = HASH_COUNT(c->jobs);
    for (const struct job *j = c->jobs; j != NULL; j = j->hh.next) {
        ret->jobs_pending += j->queued;
        ret->jobs_running += j->host != NULL;
    }
    ret->hosts = HASH_COUNT(c->hosts);
    ret->watches = HASH_COUNT(c->watches);
    ret->units_in_flight = HASH_COUNT(c->commits);
    ret->active_bytes = c->active_bytes;
}

static void free_ops(struct op *list)
{
    struct op *op, *tmp;
    DL_FOREACH_SAFE (list, op, tmp)
        op_free(op);
}

void core_free(struct core *c)
{
    struct watch *w, *wtmp;
    HASH_ITER (hh, c->watches, w, wtmp)
        watch_free(c, w);
    struct commit *m, *mtmp;
    HASH_ITER (hh, c->commits, m, mtmp) {
        HASH_DEL(c->commits, m);
        struct effect *e;
        DL_FOREACH (m->effects, e)
            if (e->kind == EFFECT_FLOW)
                def_unref(c, e->def);
        commit_free(m);
    }
    struct inner *call, *ctmp;
    HASH_ITER (hh, c->inner, call, ctmp) {
        HASH_DEL(c->inner, call);
        free(call);
    }
    struct wait *q, *qtmp;
    HASH_ITER (hh, c->waits, q, qtmp) {
        HASH_DEL(c->waits, q);
        if (q->op != NULL)
            op_free(q->op);
        free(q);
    }
    programs_free(c);
    fm_buf_done(&c->step_buf);
    struct job *job, *jtmp;
    HASH_ITER (hh, c->jobs, job, jtmp) {
        if (job->next != NULL)
            commit_free(job->next);
        job->next = job->inflight = NULL;
        free_ops(job->ops);
        free_ops(job->pause_ops);
        free_ops(job->host_ops);
        free_ops(job->breakpoint_ops);
        job->ops = job->pause_ops = job->host_ops = job->breakpoint_ops = NULL;
        job_remove(c, job);
    }
    struct conn *k, *ktmp;
    HASH_ITER (hh, c->conns, k, ktmp) {
        HASH_DEL(c->conns, k);
        free(k->peer);
        free(k);
    }
    struct host *h, *htmp;
    HASH_ITER (hh, c->hosts, h, htmp)
        host_remove(c, h);
    life_free(c);
    marks_free(c);
    struct flow_name *n, *ntmp;
    HASH_ITER (hh, c->names, n, ntmp)
        flow_forget_name(c, n->name);
    struct flow_def *d, *dtmp;
    HASH_ITER (hh, c->defs, d, dtmp) {
        d->refs = 1;
        def_unref(c, d);
    }
    type_info_free_all(&c->types);
    free(c);
}
