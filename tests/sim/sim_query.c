/* Queries of the simulated store. See sim_store.h. */
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "mem.h"
#include "sim_store_int.h"
#include "store_int.h"

/* ---- jobs ---- */

static struct store_row *rows_of(struct done_node *n, const struct bodies *b, uint32_t from, uint32_t to,
                                 size_t limit, size_t *ret_n, bool *ret_more)
{
    struct fm_buf rows = {0};
    *ret_n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].number < from || b->items[i].number > to)
            continue;
        if (limit > 0 && *ret_n == limit) {
            *ret_more = true;
            break;
        }
        struct store_row row = {.number = b->items[i].number,
                                .body = done_copy(n, b->items[i].bytes.p, b->items[i].bytes.n)};
        fm_buf_append(&rows, &row, sizeof(row));
        (*ret_n)++;
    }
    struct store_row *list = (struct store_row *)(uintptr_t)done_copy(n, rows.p, rows.n).p;
    fm_buf_done(&rows);
    return list;
}

static void read_job(struct done_node *n, const struct store_query *q, const struct stored_job *j)
{
    struct store_done *d = &n->done;
    bool more = false;
    d->head = done_copy(n, j->head.p, j->head.n);
    if (!q->full)
        return;
    if (j->has_snapshot) {
        d->snapshot = done_copy(n, j->snapshot.p, j->snapshot.n);
        d->snapshot_number = j->snapshot_number;
    }
    uint32_t from = j->has_snapshot ? j->snapshot_number + 1 : 1;
    d->steps = rows_of(n, &j->steps, from, UINT32_MAX, 0, &d->n_steps, &more);
    d->inputs = rows_of(n, &j->inputs, 1, UINT32_MAX, 0, &d->n_inputs, &more);
}

static int by_id(const void *a, const void *b)
{
    return memcmp(&(*(struct stored_job *const *)a)->id, &(*(struct stored_job *const *)b)->id,
                  sizeof(struct fm_id));
}

static int by_wake(const void *a, const void *b)
{
    const struct stored_job *x = *(struct stored_job *const *)a, *y = *(struct stored_job *const *)b;
    return x->wake_ms != y->wake_ms ? (x->wake_ms > y->wake_ms) - (x->wake_ms < y->wake_ms)
                                    : memcmp(&x->id, &y->id, sizeof(x->id));
}

static void add_row(struct fm_buf *rows, struct done_node *n, const struct stored_job *j)
{
    struct store_row row = {.job = j->id, .wake_ms = j->wake_ms, .body = done_copy(n, j->head.p, j->head.n)};
    fm_buf_append(rows, &row, sizeof(row));
    n->done.n_rows++;
}

static int newest_first(const void *a, const void *b)
{
    return by_id(b, a);
}

static bool has_status(const struct store_query *q, int status)
{
    for (size_t i = 0; i < q->n_statuses; i++)
        if (q->statuses[i] == status)
            return true;
    return q->n_statuses == 0;
}

/* Whether the list names the job. STORE_LIST_JOBS is filtered by status alone. */
static bool is_listed(const struct store_query *q, const struct stored_job *j)
{
    int order = memcmp(&j->id, &q->after, sizeof(j->id));
    switch (q->kind) {
    case STORE_LIST_DUE:
        return j->wake_ms > 0 && j->wake_ms <= q->due_ms &&
               (j->wake_ms > q->after_ms || (j->wake_ms == q->after_ms && order > 0));
    case STORE_LIST_JOBS:
        return has_status(q, j->status) && (fm_id_is_zero(&q->after) || order < 0);
    default:
        return (j->status == JOB_PENDING || j->status == JOB_RUNNING) && order > 0;
    }
}

static void list(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    size_t count = HASH_COUNT(s->jobs), i = 0;
    struct stored_job **all = fm_xcalloc(count + 1, sizeof(struct stored_job *)), *j, *tmp;
    struct fm_buf rows = {0};
    bool due = q->kind == STORE_LIST_DUE;
    HASH_ITER (hh, s->jobs, j, tmp)
        all[i++] = j;
    qsort(all, count, sizeof(*all), due ? by_wake : q->kind == STORE_LIST_JOBS ? newest_first : by_id);
    for (i = 0; i < count; i++) {
        j = all[i];
        if (due && j->wake_ms > q->due_ms && (n->done.next_wake_ms == 0 || j->wake_ms < n->done.next_wake_ms))
            n->done.next_wake_ms = j->wake_ms;
        if (!is_listed(q, j))
            continue;
        if (n->done.n_rows == q->limit)
            n->done.more = true;
        else
            add_row(&rows, n, j);
    }
    n->done.rows = (struct store_row *)(uintptr_t)done_copy(n, rows.p, rows.n).p;
    fm_buf_done(&rows);
    free(all);
}

static void read_request(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    struct stored_request *r = stored_request(s, q->scope, q->request_id);
    if (r == NULL) {
        n->done.status = STORE_NOT_FOUND;
        return;
    }
    n->done.job = r->job;
    memcpy(n->done.digest, r->digest, STORE_DIGEST_BYTES);
    n->done.reply = done_copy(n, r->reply.p, r->reply.n);
}

static void read_def(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    struct stored_def *d;
    HASH_FIND(hh, s->defs, q->digest, STORE_DIGEST_BYTES, d);
    if (d == NULL) {
        n->done.status = STORE_NOT_FOUND;
        return;
    }
    struct store_row row = {.body = done_copy(n, d->body.p, d->body.n)};
    n->done.rows = (struct store_row *)(uintptr_t)done_copy(n, &row, sizeof(row)).p;
    n->done.n_rows = 1;
}

static void read_flow(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    struct stored_named *f;
    struct store_query by_digest = {0};
    HASH_FIND_STR(s->flows, q->name, f);
    if (f == NULL || (q->version != 0 && q->version != f->version)) {
        n->done.status = STORE_NOT_FOUND;
        return;
    }
    memcpy(by_digest.digest, f->digest, STORE_DIGEST_BYTES);
    memcpy(n->done.digest, f->digest, STORE_DIGEST_BYTES);
    read_def(s, n, &by_digest);
    n->done.rows[0].number = f->version;
}

static int by_key(const struct stored_named *a, const struct stored_named *b)
{
    return strcmp(a->key, b->key);
}

static void list_hosts(struct sim_store *s, struct done_node *n)
{
    struct fm_buf rows = {0};
    HASH_SORT(s->hosts, by_key);
    for (const struct stored_named *h = s->hosts; h != NULL; h = h->hh.next, n->done.n_rows++) {
        struct store_row row = {.body = done_copy(n, h->body.p, h->body.n)};
        fm_buf_append(&rows, &row, sizeof(row));
    }
    n->done.rows = (struct store_row *)(uintptr_t)done_copy(n, rows.p, rows.n).p;
    fm_buf_done(&rows);
}

struct store_done *sim_store_query(struct sim_store *s, const struct store_query *q)
{
    struct done_node *n = done_new(q->tag, true, q->kind);
    struct stored_job *j = stored_job(s, &q->job);
    switch (q->kind) {
    case STORE_READ_JOB:
    case STORE_READ_STEPS:
    case STORE_READ_INPUTS:
        if (j == NULL)
            n->done.status = STORE_NOT_FOUND;
        else if (q->kind == STORE_READ_JOB)
            read_job(n, q, j);
        else if (q->kind == STORE_READ_STEPS)
            n->done.steps =
                rows_of(n, &j->steps, q->from, UINT32_MAX, q->limit, &n->done.n_steps, &n->done.more);
        else
            n->done.inputs = rows_of(n, &j->inputs, q->from, q->to, 0, &n->done.n_inputs, &n->done.more);
        break;
    case STORE_LIST_JOBS:
    case STORE_LIST_ACTIVE:
    case STORE_LIST_DUE:
        list(s, n, q);
        break;
    case STORE_READ_REQUEST:
        read_request(s, n, q);
        break;
    case STORE_READ_FLOW_DEF:
        read_def(s, n, q);
        break;
    case STORE_READ_FLOW:
        read_flow(s, n, q);
        break;
    case STORE_LIST_HOSTS:
        list_hosts(s, n);
        break;
    default:
        break; /* lists that are empty here */
    }
    return &n->done;
}
