/* Units, completions, queries: what the stores share. See store.h. */
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "id.h"
#include "mem.h"
#include "store.h"
#include "store_int.h"

/* ---- units ---- */

struct store_unit *store_unit_new(uint64_t tag)
{
    struct store_unit *u = fm_xcalloc(1, sizeof(*u));
    u->tag = tag;
    fm_arena_init(&u->arena, SIZE_MAX / 2);
    return u;
}

void store_unit_free(struct store_unit *u)
{
    fm_arena_done(&u->arena);
    free(u);
}

bool store_unit_empty(const struct store_unit *u)
{
    return u->first == NULL;
}

size_t store_unit_bytes(const struct store_unit *u)
{
    return u->arena.used;
}

static void *unit_alloc(struct store_unit *u, size_t n)
{
    void *p = fm_arena_zalloc(&u->arena, 1, n);
    if (p == NULL)
        fm_abort_oom(n);
    return p;
}

static struct fm_bytes unit_copy(struct store_unit *u, struct fm_bytes b)
{
    uint8_t *p = unit_alloc(u, b.n > 0 ? b.n : 1);
    if (b.n > 0)
        memcpy(p, b.p, b.n);
    return (struct fm_bytes){p, b.n};
}

static const char *unit_text(struct store_unit *u, const char *s)
{
    return (const char *)unit_copy(u, (struct fm_bytes){(const uint8_t *)s, strlen(s) + 1}).p;
}

static struct record *add(struct store_unit *u, enum record_kind kind, const struct fm_id *job)
{
    struct record *r = unit_alloc(u, sizeof(*r));
    r->kind = kind;
    if (job != NULL)
        r->job = *job;
    if (u->last == NULL)
        u->first = r;
    else
        u->last->next = r;
    u->last = r;
    return r;
}

void store_put_request(struct store_unit *u, const char *scope, const char *request_id,
                       const uint8_t digest[STORE_DIGEST_BYTES], const struct fm_id *job,
                       struct fm_bytes reply)
{
    struct record *r = add(u, RECORD_REQUEST, job);
    r->name = unit_text(u, scope);
    r->key = unit_text(u, request_id);
    memcpy(r->digest, digest, STORE_DIGEST_BYTES);
    r->body = unit_copy(u, reply);
    /* It decides whether the others are applied, so it comes first whenever it was put. */
    if (u->first != r) {
        struct record *p = u->first;
        while (p->next != r)
            p = p->next;
        p->next = NULL;
        u->last = p;
        r->next = u->first;
        u->first = r;
    }
}

void store_put_job(struct store_unit *u, const struct store_job *job)
{
    struct record *r = add(u, RECORD_JOB, &job->id);
    r->status = job->status;
    r->wake_ms = job->wake_ms;
    r->name = unit_text(u, job->flow);
    r->host = unit_text(u, job->host);
    r->body = unit_copy(u, job->head);
    r->is_new = job->is_new;
    if (!job->is_new || job->n_labels == 0)
        return;
    struct store_label *labels = unit_alloc(u, job->n_labels * sizeof(*labels));
    for (size_t i = 0; i < job->n_labels; i++)
        labels[i] =
            (struct store_label){unit_text(u, job->labels[i].key), unit_text(u, job->labels[i].value)};
    r->labels = labels;
    r->n_labels = job->n_labels;
}

static void put_numbered(struct store_unit *u, enum record_kind kind, const struct fm_id *job,
                         uint32_t number, struct fm_bytes body)
{
    struct record *r = add(u, kind, job);
    r->number = number;
    r->body = unit_copy(u, body);
}

void store_put_step(struct store_unit *u, const struct fm_id *job, uint32_t number, struct fm_bytes step)
{
    put_numbered(u, RECORD_STEP, job, number, step);
}

void store_put_input(struct store_unit *u, const struct fm_id *job, uint32_t number, struct fm_bytes task)
{
    put_numbered(u, RECORD_INPUT, job, number, task);
}

void store_put_snapshot(struct store_unit *u, const struct fm_id *job, uint32_t number,
                        uint32_t inputs_through, struct fm_bytes state)
{
    put_numbered(u, RECORD_SNAPSHOT, job, number, state);
    u->last->inputs = inputs_through;
}

void store_put_flow_def(struct store_unit *u, const uint8_t digest[STORE_DIGEST_BYTES], struct fm_bytes flow)
{
    struct record *r = add(u, RECORD_FLOW_DEF, NULL);
    memcpy(r->digest, digest, STORE_DIGEST_BYTES);
    r->body = unit_copy(u, flow);
}

void store_put_flow(struct store_unit *u, const char *name, uint32_t version,
                    const uint8_t digest[STORE_DIGEST_BYTES], struct fm_bytes summary)
{
    struct record *r = add(u, RECORD_FLOW, NULL);
    r->name = unit_text(u, name);
    r->number = version;
    memcpy(r->digest, digest, STORE_DIGEST_BYTES);
    r->body = unit_copy(u, summary);
}

void store_delete_flow(struct store_unit *u, const char *name)
{
    add(u, RECORD_DELETE_FLOW, NULL)->name = unit_text(u, name);
}

void store_put_host(struct store_unit *u, const char *host_id, struct fm_bytes host)
{
    struct record *r = add(u, RECORD_HOST, NULL);
    r->name = unit_text(u, host_id);
    r->body = unit_copy(u, host);
}

void store_delete_host(struct store_unit *u, const char *host_id)
{
    add(u, RECORD_DELETE_HOST, NULL)->name = unit_text(u, host_id);
}

void store_add_usage(struct store_unit *u, const struct store_usage *usage)
{
    struct record *r = add(u, RECORD_USAGE, &usage->job);
    r->usage = *usage;
    r->usage.flow = r->name = unit_text(u, usage->flow);
}

void store_delete_job(struct store_unit *u, const struct fm_id *job)
{
    (void)add(u, RECORD_DELETE_JOB, job);
}

/* ---- completions ---- */

struct done_node *done_new(uint64_t tag, bool is_query, enum store_query_kind kind)
{
    struct done_node *n = fm_xcalloc(1, sizeof(*n));
    fm_arena_init(&n->arena, SIZE_MAX / 2);
    n->done.arena = &n->arena;
    n->done.tag = tag;
    n->done.is_query = is_query;
    n->done.kind = kind;
    return n;
}

void store_done_free(struct store_done *d)
{
    struct done_node *n = (struct done_node *)d;
    fm_err_done(&d->err);
    fm_arena_done(&n->arena);
    free(n);
}

struct fm_bytes done_copy(struct done_node *n, const void *p, size_t size)
{
    uint8_t *copy = fm_arena_alloc(&n->arena, size > 0 ? size : 1);
    if (copy == NULL)
        fm_abort_oom(size);
    if (size > 0)
        memcpy(copy, p, size);
    return (struct fm_bytes){copy, size};
}

void done_queue_init(struct done_queue *q, void (*notify)(void *arg), void *arg)
{
    memset(q, 0, sizeof(*q));
    pthread_mutex_init(&q->lock, NULL);
    q->notify = notify;
    q->arg = arg;
}

void done_queue_done(struct done_queue *q)
{
    struct store_done *d;
    while ((d = done_pop(q)) != NULL)
        store_done_free(d);
    pthread_mutex_destroy(&q->lock);
}

void done_push(struct done_queue *q, struct done_node *first, struct done_node *last)
{
    last->next = NULL;
    pthread_mutex_lock(&q->lock);
    bool was_empty = q->first == NULL;
    if (was_empty)
        q->first = first;
    else
        q->last->next = first;
    q->last = last;
    pthread_mutex_unlock(&q->lock);
    if (was_empty && q->notify != NULL)
        q->notify(q->arg);
}

struct store_done *done_pop(struct done_queue *q)
{
    pthread_mutex_lock(&q->lock);
    struct done_node *n = q->first;
    if (n != NULL) {
        q->first = n->next;
        if (q->first == NULL)
            q->last = NULL;
    }
    pthread_mutex_unlock(&q->lock);
    return n == NULL ? NULL : &n->done;
}

/* ---- queries ---- */

struct query_block {
    struct store_query q; /* first: free() of the query frees the block */
};

static const char *copy_text(char **at, const char *s)
{
    if (s == NULL)
        return NULL;
    size_t n = strlen(s) + 1;
    char *copy = memcpy(*at, s, n);
    *at += n;
    return copy;
}

static size_t text_size(const char *s)
{
    return s == NULL ? 0 : strlen(s) + 1;
}

struct store_query *query_copy(const struct store_query *q)
{
    size_t size = sizeof(struct query_block) + q->n_labels * sizeof(struct store_label) +
                  q->n_statuses * sizeof(int) + text_size(q->flow) + text_size(q->host) + text_size(q->name) +
                  text_size(q->scope) + text_size(q->request_id);
    for (size_t i = 0; i < q->n_labels; i++)
        size += text_size(q->labels[i].key) + text_size(q->labels[i].value);
    struct query_block *b = fm_xmalloc(size);
    b->q = *q;
    struct store_label *labels = (struct store_label *)(b + 1);
    int *statuses = (int *)(labels + q->n_labels);
    char *at = (char *)(statuses + q->n_statuses);
    for (size_t i = 0; i < q->n_statuses; i++)
        statuses[i] = q->statuses[i];
    for (size_t i = 0; i < q->n_labels; i++) {
        labels[i].key = copy_text(&at, q->labels[i].key);
        labels[i].value = copy_text(&at, q->labels[i].value);
    }
    b->q.labels = labels;
    b->q.statuses = statuses;
    b->q.flow = copy_text(&at, q->flow);
    b->q.host = copy_text(&at, q->host);
    b->q.name = copy_text(&at, q->name);
    b->q.scope = copy_text(&at, q->scope);
    b->q.request_id = copy_text(&at, q->request_id);
    return &b->q;
}
