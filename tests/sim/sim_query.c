/* Queries of the simulated store. See sim_store.h. */
#include <stdlib.h>
#include <string.h>

#include "done_queue.h"
#include "mem.h"
#include "sim_store_int.h"

static struct fm_bytes copy_of(struct done_node *n, const struct fm_buf *b)
{
    return done_copy(n, b->p, b->n);
}

static struct store_records records_of(struct done_node *n, const struct bodies *b, uint32_t from,
                                       uint32_t to, size_t limit)
{
    struct store_record *items = fm_xcalloc(b->n + 1, sizeof(*items));
    struct store_records list = {0};
    for (size_t i = 0; i < b->n && !list.more; i++) {
        if (b->items[i].number < from || b->items[i].number > to)
            continue;
        list.more = limit > 0 && list.n == limit;
        if (!list.more)
            items[list.n++] = (struct store_record){b->items[i].number, copy_of(n, &b->items[i].bytes)};
    }
    list.items = (const void *)done_copy(n, items, list.n * sizeof(*items)).p;
    free(items);
    return list;
}

static void take(struct done_node *n, struct fm_buf *items, uint32_t step, uint32_t entry,
                 const struct fm_buf *body)
{
    const struct store_journal_record r = {step, entry, copy_of(n, body)};
    fm_buf_append(items, &r, sizeof(r));
}

/* Steps and entries in their order, from (step, entry) on. */
static void read_journal(struct done_node *n, const struct stored_job *j, const struct store_query *q)
{
    fm_auto(fm_buf) items = {0};
    struct store_journal *list = &n->done.journal;
    size_t s = 0, e = 0, limit = q->journal.limit;
    uint32_t from = q->journal.from_step, number = q->journal.from_entry, to = q->journal.to_step;
    while (s < j->steps.n && j->steps.items[s].number < from + (number > 0))
        s++;
    while (e < j->n_entries &&
           (j->entries[e].step < from || (j->entries[e].step == from && j->entries[e].number < number)))
        e++;
    uint32_t end = UINT32_MAX, first = 0;
    for (size_t i = 0; q->journal.of_generation && i < j->n_generations; i++)
        if (j->generations[i].number == q->journal.generation)
            first = j->generations[i].step;
        else if (j->generations[i].number > q->journal.generation && j->generations[i].step < end)
            end = j->generations[i].step;
    if (q->journal.of_generation && q->journal.generation > 0 && first == 0)
        return;
    while (s < j->steps.n && j->steps.items[s].number < first)
        s++;
    while (e < j->n_entries && j->entries[e].step < first)
        e++;
    for (;;) {
        bool is_entry =
            e < j->n_entries && (s == j->steps.n || j->entries[e].step < j->steps.items[s].number);
        if (!is_entry && s == j->steps.n)
            break;
        uint32_t step = is_entry ? j->entries[e].step : j->steps.items[s].number;
        if ((to > 0 && step + is_entry > to) || step >= end)
            break;
        list->more = limit > 0 && list->n == limit;
        if (list->more)
            break;
        if (is_entry)
            take(n, &items, step, j->entries[e].number, &j->entries[e].bytes);
        else
            take(n, &items, step, 0, &j->steps.items[s].bytes);
        list->n++;
        *(is_entry ? &e : &s) += 1;
    }
    list->items = (const void *)copy_of(n, &items).p;
}

static void read_job(struct done_node *n, enum store_extent extent, const struct stored_job *j)
{
    struct store_found_job *found = &n->done.job;
    found->head = copy_of(n, &j->head);
    if (extent == STORE_HEAD)
        return;
    if (j->has_snapshot) {
        found->snapshot = copy_of(n, &j->snapshot);
        found->snapshot_number = j->snapshot_number;
    }
    uint32_t taken = 0;
    if (!j->has_snapshot && j->n_generations > 0) {
        const struct stored_generation *g = &j->generations[j->n_generations - 1];
        found->snapshot = copy_of(n, &g->state);
        found->snapshot_number = g->step;
        taken = g->inputs;
    }
    uint32_t from = found->snapshot.p != NULL ? found->snapshot_number + 1 : 1;
    found->steps = records_of(n, &j->steps, from, UINT32_MAX, 0);
    found->inputs = records_of(n, &j->inputs, taken + 1, UINT32_MAX, 0);
}

static void read_generation(struct done_node *n, const struct stored_job *j, uint32_t step)
{
    for (size_t i = 0; i < j->n_generations; i++) {
        const struct stored_generation *g = &j->generations[i];
        if (g->step <= step)
            n->done.generation =
                (struct store_generation){g->number, g->step, g->inputs, copy_of(n, &g->state)};
    }
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

/* All jobs in this order, HASH_COUNT of them; for free(). */
static struct stored_job **sorted(struct sim_store *s, int (*order)(const void *, const void *))
{
    struct stored_job **all = fm_xcalloc(HASH_COUNT(s->jobs) + 1, sizeof(struct stored_job *)), *j, *tmp;
    size_t n = 0;
    HASH_ITER (hh, s->jobs, j, tmp)
        all[n++] = j;
    qsort(all, n, sizeof(*all), order);
    return all;
}

static void list_active(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    struct stored_job **all = sorted(s, by_id);
    struct fm_buf items = {0};
    struct store_job_heads *list = &n->done.jobs;
    for (size_t i = 0; i < HASH_COUNT(s->jobs) && !list->more; i++) {
        const struct stored_job *j = all[i];
        if ((j->status != 1 && j->status != 2) || memcmp(&j->id, &q->active.after, sizeof(j->id)) <= 0)
            continue;
        list->more = list->n == q->active.limit;
        if (list->more)
            break;
        struct store_job_head item = {j->id, copy_of(n, &j->head)};
        fm_buf_append(&items, &item, sizeof(item));
        list->n++;
    }
    list->items = (const void *)copy_of(n, &items).p;
    fm_buf_done(&items);
    free(all);
}

static int newest_first(const void *a, const void *b)
{
    return by_id(b, a);
}

/* Filtered by status alone: nobody in the simulation asks for more. */
static bool is_meant(const struct store_query *q, const struct stored_job *j)
{
    const struct store_filter *f = &q->jobs.filter;
    bool status = f->n_statuses == 0;
    for (size_t i = 0; i < f->n_statuses && !status; i++)
        status = f->statuses[i] == j->status;
    return status && (fm_id_is_zero(&q->jobs.before) || memcmp(&j->id, &q->jobs.before, sizeof(j->id)) < 0);
}

static void list_jobs(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    struct stored_job **all = sorted(s, newest_first);
    struct fm_buf items = {0};
    struct store_job_heads *list = &n->done.jobs;
    for (size_t i = 0; i < HASH_COUNT(s->jobs) && !list->more; i++) {
        const struct stored_job *j = all[i];
        if (!is_meant(q, j))
            continue;
        list->more = list->n == q->jobs.limit;
        if (list->more)
            break;
        struct store_job_head item = {j->id, copy_of(n, &j->head)};
        fm_buf_append(&items, &item, sizeof(item));
        list->n++;
    }
    list->items = (const void *)copy_of(n, &items).p;
    fm_buf_done(&items);
    free(all);
}

static void list_due(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    struct stored_job **all = sorted(s, by_wake);
    struct fm_buf items = {0};
    struct store_due *list = &n->done.due;
    for (size_t i = 0; i < HASH_COUNT(s->jobs); i++) {
        const struct stored_job *j = all[i];
        if (j->wake_ms > q->due.until_ms && list->next_wake_ms == 0)
            list->next_wake_ms = j->wake_ms;
        if (j->wake_ms <= 0 || j->wake_ms > q->due.until_ms || j->wake_ms < q->due.after_ms ||
            (j->wake_ms == q->due.after_ms && memcmp(&j->id, &q->due.after, sizeof(j->id)) <= 0))
            continue;
        if (list->n == q->due.limit) {
            list->more = true;
            continue;
        }
        struct store_due_job item = {j->id, j->wake_ms};
        fm_buf_append(&items, &item, sizeof(item));
        list->n++;
    }
    list->items = (const void *)copy_of(n, &items).p;
    fm_buf_done(&items);
    free(all);
}

static void read_request(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    struct stored_request *r = stored_request(s, q->request.scope, q->request.id);
    if (r == NULL)
        n->done.status = STORE_NOT_FOUND;
    else
        stored_claim(n, r);
}

static void read_def(struct sim_store *s, struct done_node *n, const uint8_t digest[STORE_DIGEST_BYTES],
                     struct fm_bytes *ret)
{
    struct stored_def *d;
    HASH_FIND(hh, s->defs, digest, STORE_DIGEST_BYTES, d);
    if (d == NULL)
        n->done.status = STORE_NOT_FOUND;
    else
        *ret = copy_of(n, &d->body);
}

static void read_flow(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    struct stored_named *f, *deleted;
    HASH_FIND_STR(s->flows, q->flow.name, f);
    HASH_FIND_STR(s->deleted, q->flow.name, deleted);
    uint32_t before = deleted == NULL ? 0 : deleted->version;
    n->done.flow.used = f == NULL ? before : f->version;
    n->done.flow.n_versions = n->done.flow.used - before;
    if (f == NULL || (q->flow.version != 0 && q->flow.version != f->version)) {
        n->done.status = STORE_NOT_FOUND;
        return;
    }
    n->done.flow.version = f->version;
    memcpy(n->done.flow.digest, f->digest, STORE_DIGEST_BYTES);
    read_def(s, n, f->digest, &n->done.flow.definition);
}

static int by_key(const struct stored_named *a, const struct stored_named *b)
{
    return strcmp(a->key, b->key);
}

static void list_hosts(struct sim_store *s, struct done_node *n)
{
    struct fm_buf items = {0};
    HASH_SORT(s->hosts, by_key);
    for (const struct stored_named *h = s->hosts; h != NULL; h = h->hh.next, n->done.hosts.n++) {
        struct fm_bytes body = copy_of(n, &h->body);
        fm_buf_append(&items, &body, sizeof(body));
    }
    n->done.hosts.items = (const void *)copy_of(n, &items).p;
    fm_buf_done(&items);
}

/* A query of one job. */
static void read_of_job(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    const struct fm_id *id = q->kind == STORE_READ_JOB          ? &q->job.id
                             : q->kind == STORE_READ_STEPS      ? &q->steps.job
                             : q->kind == STORE_READ_JOURNAL    ? &q->journal.job
                             : q->kind == STORE_READ_GENERATION ? &q->generation.job
                                                                : &q->inputs.job;
    const struct stored_job *j = stored_job(s, id);
    if (j == NULL)
        n->done.status = q->kind == STORE_READ_INPUTS ? STORE_OK : STORE_NOT_FOUND;
    else if (q->kind == STORE_READ_JOB)
        read_job(n, q->job.extent, j);
    else if (q->kind == STORE_READ_GENERATION)
        read_generation(n, j, q->generation.step);
    else if (q->kind == STORE_READ_JOURNAL)
        read_journal(n, j, q);
    else if (q->kind == STORE_READ_STEPS)
        n->done.steps = records_of(n, &j->steps, q->steps.from, UINT32_MAX, q->steps.limit);
    else
        n->done.inputs = records_of(n, &j->inputs, q->inputs.from, q->inputs.to, 0);
}

struct store_done *sim_store_query(struct sim_store *s, const struct store_query *q)
{
    struct done_node *n = done_new(q->tag, q->kind);
    switch (q->kind) {
    case STORE_READ_JOB:
    case STORE_READ_STEPS:
    case STORE_READ_JOURNAL:
    case STORE_READ_GENERATION:
    case STORE_READ_INPUTS:
        read_of_job(s, n, q);
        break;
    case STORE_LIST_ACTIVE:
        list_active(s, n, q);
        break;
    case STORE_LIST_DUE:
        list_due(s, n, q);
        break;
    case STORE_READ_REQUEST:
        read_request(s, n, q);
        break;
    case STORE_READ_FLOW_DEF:
        read_def(s, n, q->flow_def.digest, &n->done.flow_def);
        break;
    case STORE_READ_FLOW:
        read_flow(s, n, q);
        break;
    case STORE_LIST_HOSTS:
        list_hosts(s, n);
        break;
    case STORE_LIST_JOBS:
        list_jobs(s, n, q);
        break;
    case STORE_UNIT:
    case STORE_LIST_FLOWS:
    case STORE_COUNT_JOBS:
    case STORE_SUM_USAGE:
        break; /* nobody in the simulation asks for them: they are empty */
    }
    return &n->done;
}
