/* Durable records in memory. See sim_store.h. */
#include "sim_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "done_queue.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "job.h"
#include "mem.h"
#include "store_int.h"

struct body {
    uint32_t number;
    struct fm_buf bytes;
};

struct bodies {
    struct body *items;
    size_t n;
};

struct sim_job {
    UT_hash_handle hh;
    struct fm_id id;
    int status;
    int64_t wake_ms;
    struct fm_buf head, snapshot;
    uint32_t snapshot_number;
    bool has_snapshot;
    struct bodies steps, inputs;
    uint8_t digest[STORE_DIGEST_BYTES];
};

struct sim_request {
    UT_hash_handle hh;
    char key[256];
    struct fm_id job;
    uint8_t digest[STORE_DIGEST_BYTES];
    struct fm_buf reply;
};

struct sim_def {
    UT_hash_handle hh;
    uint8_t digest[STORE_DIGEST_BYTES];
    struct fm_buf body;
};

/* A version of a named flow, or what is remembered of a host. */
struct sim_named {
    UT_hash_handle hh;
    char key[256];
    uint32_t version; /* of a flow: the newest one; the others are not kept */
    uint8_t digest[STORE_DIGEST_BYTES];
    struct fm_buf body;
};

struct sim_store {
    struct sim_job *jobs;
    struct sim_request *requests;
    struct sim_def *defs;
    struct sim_named *flows, *hosts;
};

static void set(struct fm_buf *b, struct fm_bytes bytes)
{
    fm_buf_reset(b);
    fm_buf_append(b, bytes.p, bytes.n);
}

static struct sim_job *find_job(struct sim_store *s, const struct fm_id *id)
{
    struct sim_job *j;
    HASH_FIND(hh, s->jobs, id, sizeof(*id), j);
    return j;
}

static void free_bodies(struct bodies *b)
{
    for (size_t i = 0; i < b->n; i++)
        fm_buf_done(&b->items[i].bytes);
    free(b->items);
}

static void free_job(struct sim_job *j)
{
    free_bodies(&j->steps);
    free_bodies(&j->inputs);
    fm_buf_done(&j->head);
    fm_buf_done(&j->snapshot);
    free(j);
}

struct sim_store *sim_store_new(void)
{
    return fm_xcalloc(1, sizeof(struct sim_store));
}

static void free_named(struct sim_named **table)
{
    struct sim_named *n, *tmp;
    HASH_ITER (hh, *table, n, tmp) {
        HASH_DEL(*table, n);
        fm_buf_done(&n->body);
        free(n);
    }
}

void sim_store_free(struct sim_store *s)
{
    struct sim_job *j, *jtmp;
    HASH_ITER (hh, s->jobs, j, jtmp) {
        HASH_DEL(s->jobs, j);
        free_job(j);
    }
    struct sim_request *r, *rtmp;
    HASH_ITER (hh, s->requests, r, rtmp) {
        HASH_DEL(s->requests, r);
        fm_buf_done(&r->reply);
        free(r);
    }
    struct sim_def *d, *dtmp;
    HASH_ITER (hh, s->defs, d, dtmp) {
        HASH_DEL(s->defs, d);
        fm_buf_done(&d->body);
        free(d);
    }
    free_named(&s->flows);
    free_named(&s->hosts);
    free(s);
}

/* ---- units ---- */

static void request_key(char *key, size_t n, const char *scope, const char *id)
{
    memset(key, 0, n);
    snprintf(key, n, "%.120s\n%.128s", scope, id);
}

static struct sim_request *find_request(struct sim_store *s, const char *scope, const char *id)
{
    char key[256];
    struct sim_request *r;
    request_key(key, sizeof(key), scope, id);
    HASH_FIND_STR(s->requests, key, r);
    return r;
}

static bool has_number(const struct bodies *b, uint32_t number)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i].number == number)
            return true;
    return false;
}

/* A rule of the interface that the unit breaks; NULL: none. */
static const char *broken_rule(struct sim_store *s, const struct store_unit *u)
{
    for (const struct record *r = u->first; r != NULL; r = r->next) {
        struct sim_job *j = find_job(s, &r->job);
        if (r->kind == RECORD_JOB && r->is_new && j != NULL)
            return "a new job is there already";
        if (r->kind == RECORD_JOB && !r->is_new && j == NULL)
            return "the job to be changed is not there";
        if (r->kind == RECORD_STEP && j != NULL && has_number(&j->steps, r->number))
            return "the step is there already";
        if (r->kind == RECORD_INPUT && j != NULL && has_number(&j->inputs, r->number))
            return "the input is there already";
    }
    return NULL;
}

static void put_body(struct bodies *b, const struct record *r)
{
    b->items = fm_xrealloc(b->items, (b->n + 1) * sizeof(*b->items));
    b->items[b->n] = (struct body){.number = r->number};
    fm_buf_append(&b->items[b->n++].bytes, r->body.p, r->body.n);
}

static struct sim_job *job_of(struct sim_store *s, const struct fm_id *id)
{
    struct sim_job *j = find_job(s, id);
    if (j != NULL)
        return j;
    j = fm_xcalloc(1, sizeof(*j));
    j->id = *id;
    HASH_ADD(hh, s->jobs, id, sizeof(j->id), j);
    return j;
}

static void put_request(struct sim_store *s, const struct record *r)
{
    struct sim_request *q = fm_xcalloc(1, sizeof(*q));
    request_key(q->key, sizeof(q->key), r->name, r->key);
    q->job = r->job;
    memcpy(q->digest, r->digest, STORE_DIGEST_BYTES);
    fm_buf_append(&q->reply, r->body.p, r->body.n);
    HASH_ADD_STR(s->requests, key, q);
}

static void put_def(struct sim_store *s, const struct record *r)
{
    struct sim_def *d;
    HASH_FIND(hh, s->defs, r->digest, STORE_DIGEST_BYTES, d);
    if (d != NULL)
        return;
    d = fm_xcalloc(1, sizeof(*d));
    memcpy(d->digest, r->digest, STORE_DIGEST_BYTES);
    fm_buf_append(&d->body, r->body.p, r->body.n);
    HASH_ADD(hh, s->defs, digest, STORE_DIGEST_BYTES, d);
}

static void put_named(struct sim_named **table, const struct record *r)
{
    struct sim_named *n;
    HASH_FIND_STR(*table, r->name, n);
    if (n == NULL) {
        n = fm_xcalloc(1, sizeof(*n));
        snprintf(n->key, sizeof(n->key), "%s", r->name);
        HASH_ADD_STR(*table, key, n);
    }
    n->version = r->number;
    memcpy(n->digest, r->digest, STORE_DIGEST_BYTES);
    set(&n->body, r->body);
}

static void delete_named(struct sim_named **table, const char *name)
{
    struct sim_named *n;
    HASH_FIND_STR(*table, name, n);
    if (n == NULL)
        return;
    HASH_DEL(*table, n);
    fm_buf_done(&n->body);
    free(n);
}

static void apply_record(struct sim_store *s, const struct record *r)
{
    struct sim_job *j;
    switch (r->kind) {
    case RECORD_REQUEST:
        put_request(s, r);
        return;
    case RECORD_JOB:
        j = job_of(s, &r->job);
        j->status = r->status;
        j->wake_ms = r->wake_ms;
        if (r->is_new)
            memcpy(j->digest, r->digest, STORE_DIGEST_BYTES);
        set(&j->head, r->body);
        return;
    case RECORD_STEP:
        put_body(&job_of(s, &r->job)->steps, r);
        return;
    case RECORD_INPUT:
        put_body(&job_of(s, &r->job)->inputs, r);
        return;
    case RECORD_SNAPSHOT:
        j = job_of(s, &r->job);
        j->has_snapshot = true;
        j->snapshot_number = r->number;
        set(&j->snapshot, r->body);
        return;
    case RECORD_FLOW_DEF:
        put_def(s, r);
        return;
    case RECORD_DELETE_JOB:
        j = find_job(s, &r->job);
        if (j != NULL) {
            HASH_DEL(s->jobs, j);
            free_job(j);
        }
        return;
    case RECORD_FLOW:
        put_named(&s->flows, r);
        return;
    case RECORD_DELETE_FLOW:
        delete_named(&s->flows, r->name);
        return;
    case RECORD_HOST:
        put_named(&s->hosts, r);
        return;
    case RECORD_DELETE_HOST:
        delete_named(&s->hosts, r->name);
        return;
    case RECORD_USAGE:
        return; /* nothing in the simulation asks for them */
    }
}

static void set_claim(struct done_node *n, const struct sim_request *r)
{
    n->done.claim.job = r->job;
    memcpy(n->done.claim.digest, r->digest, STORE_DIGEST_BYTES);
    n->done.claim.reply = done_copy(n, r->reply.p, r->reply.n);
}

struct store_done *sim_store_apply(struct sim_store *s, struct store_unit *u)
{
    struct done_node *n = done_new(u->tag, STORE_UNIT);
    const struct record *first = u->first;
    const char *rule;
    if (first != NULL && first->kind == RECORD_REQUEST) {
        struct sim_request *r = find_request(s, first->name, first->key);
        if (r != NULL) {
            n->done.status = STORE_EXISTS;
            set_claim(n, r);
            return &n->done;
        }
    }
    rule = broken_rule(s, u);
    if (rule != NULL) {
        n->done.status = STORE_FAILED;
        fm_err_set(&n->done.err, FM_INTERNAL, NULL, "%s", rule);
        return &n->done;
    }
    for (const struct record *r = u->first; r != NULL; r = r->next)
        apply_record(s, r);
    return &n->done;
}

struct store_done *sim_store_failure(uint64_t tag)
{
    struct done_node *n = done_new(tag, STORE_UNIT);
    n->done.status = STORE_FAILED;
    fm_err_set(&n->done.err, FM_UNAVAILABLE, NULL, "the simulated disk failed");
    return &n->done;
}

/* ---- queries ---- */

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

static void read_job(struct done_node *n, enum store_extent extent, const struct sim_job *j)
{
    struct store_found_job *found = &n->done.job;
    found->head = copy_of(n, &j->head);
    if (extent == STORE_HEAD)
        return;
    if (j->has_snapshot) {
        found->snapshot = copy_of(n, &j->snapshot);
        found->snapshot_number = j->snapshot_number;
    }
    uint32_t from = j->has_snapshot ? j->snapshot_number + 1 : 1;
    found->steps = records_of(n, &j->steps, from, UINT32_MAX, 0);
    found->inputs = records_of(n, &j->inputs, 1, UINT32_MAX, 0);
}

static int by_id(const void *a, const void *b)
{
    return memcmp(&(*(struct sim_job *const *)a)->id, &(*(struct sim_job *const *)b)->id,
                  sizeof(struct fm_id));
}

static int by_wake(const void *a, const void *b)
{
    const struct sim_job *x = *(struct sim_job *const *)a, *y = *(struct sim_job *const *)b;
    return x->wake_ms != y->wake_ms ? (x->wake_ms > y->wake_ms) - (x->wake_ms < y->wake_ms)
                                    : memcmp(&x->id, &y->id, sizeof(x->id));
}

/* All jobs in this order, HASH_COUNT of them; for free(). */
static struct sim_job **sorted(struct sim_store *s, int (*order)(const void *, const void *))
{
    struct sim_job **all = fm_xcalloc(HASH_COUNT(s->jobs) + 1, sizeof(struct sim_job *)), *j, *tmp;
    size_t n = 0;
    HASH_ITER (hh, s->jobs, j, tmp)
        all[n++] = j;
    qsort(all, n, sizeof(*all), order);
    return all;
}

static void list_active(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    struct sim_job **all = sorted(s, by_id);
    struct fm_buf items = {0};
    struct store_job_heads *list = &n->done.jobs;
    for (size_t i = 0; i < HASH_COUNT(s->jobs) && !list->more; i++) {
        const struct sim_job *j = all[i];
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

static void list_due(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    struct sim_job **all = sorted(s, by_wake);
    struct fm_buf items = {0};
    struct store_due *list = &n->done.due;
    for (size_t i = 0; i < HASH_COUNT(s->jobs); i++) {
        const struct sim_job *j = all[i];
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
    struct sim_request *r = find_request(s, q->request.scope, q->request.id);
    if (r == NULL)
        n->done.status = STORE_NOT_FOUND;
    else
        set_claim(n, r);
}

static void read_def(struct sim_store *s, struct done_node *n, const uint8_t digest[STORE_DIGEST_BYTES],
                     struct fm_bytes *ret)
{
    struct sim_def *d;
    HASH_FIND(hh, s->defs, digest, STORE_DIGEST_BYTES, d);
    if (d == NULL)
        n->done.status = STORE_NOT_FOUND;
    else
        *ret = copy_of(n, &d->body);
}

static void read_flow(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    struct sim_named *f;
    HASH_FIND_STR(s->flows, q->flow.name, f);
    if (f == NULL || (q->flow.version != 0 && q->flow.version != f->version)) {
        n->done.status = STORE_NOT_FOUND;
        return;
    }
    n->done.flow.version = f->version;
    memcpy(n->done.flow.digest, f->digest, STORE_DIGEST_BYTES);
    read_def(s, n, f->digest, &n->done.flow.definition);
}

static int by_key(const struct sim_named *a, const struct sim_named *b)
{
    return strcmp(a->key, b->key);
}

static void list_hosts(struct sim_store *s, struct done_node *n)
{
    struct fm_buf items = {0};
    HASH_SORT(s->hosts, by_key);
    for (const struct sim_named *h = s->hosts; h != NULL; h = h->hh.next, n->done.hosts.n++) {
        struct fm_bytes body = copy_of(n, &h->body);
        fm_buf_append(&items, &body, sizeof(body));
    }
    n->done.hosts.items = (const void *)copy_of(n, &items).p;
    fm_buf_done(&items);
}

/* A query of one job. */
static void read_of_job(struct sim_store *s, struct done_node *n, const struct store_query *q)
{
    const struct fm_id *id = q->kind == STORE_READ_JOB     ? &q->job.id
                             : q->kind == STORE_READ_STEPS ? &q->steps.job
                                                           : &q->inputs.job;
    const struct sim_job *j = find_job(s, id);
    if (j == NULL)
        n->done.status = q->kind == STORE_READ_INPUTS ? STORE_OK : STORE_NOT_FOUND;
    else if (q->kind == STORE_READ_JOB)
        read_job(n, q->job.extent, j);
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
    case STORE_UNIT:
    case STORE_LIST_JOBS:
    case STORE_LIST_FLOWS:
    case STORE_COUNT_JOBS:
    case STORE_SUM_USAGE:
        break; /* nobody in the simulation asks for them: they are empty */
    }
    return &n->done;
}

/* ---- for the oracle ---- */

uint32_t sim_store_last_step(struct sim_store *s, const char *job_id)
{
    struct fm_id id;
    struct sim_job *j = fm_id_parse(job_id, &id) == 0 ? find_job(s, &id) : NULL;
    return j == NULL || j->steps.n == 0 ? 0 : j->steps.items[j->steps.n - 1].number;
}

static Fermata__V1__Job *head_of(const struct sim_job *j)
{
    return fermata__v1__job__unpack(NULL, j->head.n, j->head.p);
}

Fermata__V1__Job *sim_store_head(struct sim_store *s, const char *job_id)
{
    struct fm_id id;
    struct sim_job *j = fm_id_parse(job_id, &id) == 0 ? find_job(s, &id) : NULL;
    return j == NULL ? NULL : head_of(j);
}

size_t sim_store_attempts(struct sim_store *s, const char *job_id, const char *task_id)
{
    struct fm_id id;
    struct sim_job *j = fm_id_parse(job_id, &id) == 0 ? find_job(s, &id) : NULL;
    size_t n = 0;
    for (size_t i = 0; j != NULL && i < j->steps.n; i++) {
        const struct fm_buf *b = &j->steps.items[i].bytes;
        Fermata__V1__Step *step = fermata__v1__step__unpack(NULL, b->n, b->p);
        bool failed = step->outcome == FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_RETRY;
        bool anew =
            step->remedy != NULL && step->remedy->kind == FERMATA__V1__REMEDY_KIND__REMEDY_KIND_RETRY_TASK;
        n += strcmp(step->task_id, task_id) == 0 && (failed || anew);
        fermata__v1__step__free_unpacked(step, NULL);
    }
    return n;
}

void sim_store_count_kids(struct sim_store *s, const char *job_id, size_t *ret_all, size_t *ret_ended)
{
    *ret_all = *ret_ended = 0;
    for (const struct sim_job *j = s->jobs; j != NULL; j = j->hh.next) {
        Fermata__V1__Job *h = head_of(j);
        bool is_kid = strcmp(h->parent, job_id) == 0;
        *ret_all += is_kid;
        *ret_ended += is_kid && job_status_final((int)h->status);
        fermata__v1__job__free_unpacked(h, NULL);
    }
}

bool sim_store_has_request(struct sim_store *s, const char *scope, const char *request_id)
{
    return find_request(s, scope, request_id) != NULL;
}

bool sim_store_is_cordoned(struct sim_store *s, const char *host_id)
{
    struct sim_named *n;
    HASH_FIND_STR(s->hosts, host_id, n);
    Fermata__V1__Host *h = n != NULL ? fermata__v1__host__unpack(NULL, n->body.n, n->body.p) : NULL;
    bool is = h != NULL && h->cordoned;
    if (h != NULL)
        fermata__v1__host__free_unpacked(h, NULL);
    return is;
}
