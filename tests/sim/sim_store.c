/* Durable records in memory. See sim_store.h. */
#include "sim_store_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "done_queue.h"
#include "fermata/v1/hosts.pb-c.h"
#include "job.h"
#include "mem.h"
#include "store_int.h"

static void set(struct fm_buf *b, struct fm_bytes bytes)
{
    fm_buf_reset(b);
    fm_buf_append(b, bytes.p, bytes.n);
}

struct stored_job *stored_job(struct sim_store *s, const struct fm_id *id)
{
    struct stored_job *j;
    HASH_FIND(hh, s->jobs, id, sizeof(*id), j);
    return j;
}

static void free_bodies(struct bodies *b)
{
    for (size_t i = 0; i < b->n; i++)
        fm_buf_done(&b->items[i].bytes);
    free(b->items);
}

static void free_job(struct stored_job *j)
{
    free_bodies(&j->steps);
    free_bodies(&j->inputs);
    for (size_t i = 0; i < j->n_entries; i++)
        fm_buf_done(&j->entries[i].bytes);
    free(j->entries);
    for (size_t i = 0; i < j->n_generations; i++)
        fm_buf_done(&j->generations[i].state);
    free(j->generations);
    fm_buf_done(&j->head);
    fm_buf_done(&j->snapshot);
    free(j);
}

struct sim_store *sim_store_new(void)
{
    return fm_xcalloc(1, sizeof(struct sim_store));
}

static void free_named(struct stored_named **table)
{
    struct stored_named *n, *tmp;
    HASH_ITER (hh, *table, n, tmp) {
        HASH_DEL(*table, n);
        fm_buf_done(&n->body);
        free(n);
    }
}

void sim_store_free(struct sim_store *s)
{
    struct stored_job *j, *jtmp;
    HASH_ITER (hh, s->jobs, j, jtmp) {
        HASH_DEL(s->jobs, j);
        free_job(j);
    }
    struct stored_request *r, *rtmp;
    HASH_ITER (hh, s->requests, r, rtmp) {
        HASH_DEL(s->requests, r);
        fm_buf_done(&r->reply);
        free(r);
    }
    struct stored_def *d, *dtmp;
    HASH_ITER (hh, s->defs, d, dtmp) {
        HASH_DEL(s->defs, d);
        fm_buf_done(&d->body);
        free(d);
    }
    free_named(&s->flows);
    free_named(&s->deleted);
    free_named(&s->hosts);
    free(s);
}

/* ---- units ---- */

static void request_key(char *key, size_t n, const char *scope, const char *id)
{
    memset(key, 0, n);
    snprintf(key, n, "%.120s\n%.128s", scope, id);
}

struct stored_request *stored_request(struct sim_store *s, const char *scope, const char *id)
{
    char key[256];
    struct stored_request *r;
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
        struct stored_job *j = stored_job(s, &r->job);
        if (r->kind == RECORD_JOB && r->is_new && j != NULL)
            return "a new job is there already";
        if (r->kind == RECORD_JOB && !r->is_new && j == NULL)
            return "the job to be changed is not there";
        if (r->kind == RECORD_STEP && j != NULL && has_number(&j->steps, r->number))
            return "the step is there already";
        if (r->kind == RECORD_ENTRY && j != NULL && j->n_entries > 0 &&
            j->entries[j->n_entries - 1].number >= r->number)
            return "the entry is there already";
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

static void put_entry(struct stored_job *j, const struct record *r)
{
    j->entries = fm_xrealloc(j->entries, (j->n_entries + 1) * sizeof(*j->entries));
    j->entries[j->n_entries] = (struct stored_entry){.step = r->step, .number = r->number};
    fm_buf_append(&j->entries[j->n_entries++].bytes, r->body.p, r->body.n);
}

static void put_generation(struct stored_job *j, const struct record *r)
{
    j->has_snapshot = false;
    fm_buf_reset(&j->snapshot);
    for (size_t i = 0; i < j->n_generations; i++)
        fm_buf_reset(&j->generations[i].state);
    j->generations = fm_xrealloc(j->generations, (j->n_generations + 1) * sizeof(*j->generations));
    j->generations[j->n_generations] =
        (struct stored_generation){.number = r->number, .step = r->step, .inputs = r->inputs};
    fm_buf_append(&j->generations[j->n_generations++].state, r->body.p, r->body.n);
}

static void drop_bodies(struct bodies *b, uint32_t below)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i].number < below)
            fm_buf_done(&b->items[i].bytes);
        else
            b->items[n++] = b->items[i];
    b->n = n;
}

static void delete_history(struct stored_job *j, uint32_t generation)
{
    uint32_t step = 0, inputs = 0;
    size_t n = 0;
    for (size_t i = 0; i < j->n_generations; i++)
        if (j->generations[i].number == generation) {
            step = j->generations[i].step;
            inputs = j->generations[i].inputs;
        }
    drop_bodies(&j->steps, step);
    drop_bodies(&j->inputs, step > 0 ? inputs + 1 : 0);
    for (size_t i = 0; i < j->n_entries; i++)
        if (j->entries[i].step < step)
            fm_buf_done(&j->entries[i].bytes);
        else
            j->entries[n++] = j->entries[i];
    j->n_entries = n;
    n = 0;
    for (size_t i = 0; i < j->n_generations; i++)
        if (j->generations[i].step < step)
            fm_buf_done(&j->generations[i].state);
        else
            j->generations[n++] = j->generations[i];
    j->n_generations = n;
}

static struct stored_job *job_of(struct sim_store *s, const struct fm_id *id)
{
    struct stored_job *j = stored_job(s, id);
    if (j != NULL)
        return j;
    j = fm_xcalloc(1, sizeof(*j));
    j->id = *id;
    HASH_ADD(hh, s->jobs, id, sizeof(j->id), j);
    return j;
}

static void put_request(struct sim_store *s, const struct record *r)
{
    struct stored_request *q = fm_xcalloc(1, sizeof(*q));
    request_key(q->key, sizeof(q->key), r->name, r->key);
    q->job = r->job;
    memcpy(q->digest, r->digest, STORE_DIGEST_BYTES);
    fm_buf_append(&q->reply, r->body.p, r->body.n);
    HASH_ADD_STR(s->requests, key, q);
}

static void put_def(struct sim_store *s, const struct record *r)
{
    struct stored_def *d;
    HASH_FIND(hh, s->defs, r->digest, STORE_DIGEST_BYTES, d);
    if (d != NULL)
        return;
    d = fm_xcalloc(1, sizeof(*d));
    memcpy(d->digest, r->digest, STORE_DIGEST_BYTES);
    fm_buf_append(&d->body, r->body.p, r->body.n);
    HASH_ADD(hh, s->defs, digest, STORE_DIGEST_BYTES, d);
}

static void put_named(struct stored_named **table, const struct record *r)
{
    struct stored_named *n;
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

static void delete_job(struct sim_store *s, const struct fm_id *id)
{
    struct stored_job *j = stored_job(s, id);
    struct stored_request *q, *tmp;
    HASH_ITER (hh, s->requests, q, tmp) {
        if (!fm_id_eq(&q->job, id))
            continue;
        HASH_DEL(s->requests, q);
        fm_buf_done(&q->reply);
        free(q);
    }
    if (j == NULL)
        return;
    HASH_DEL(s->jobs, j);
    free_job(j);
}

static void delete_named(struct stored_named **table, const char *name)
{
    struct stored_named *n;
    HASH_FIND_STR(*table, name, n);
    if (n == NULL)
        return;
    HASH_DEL(*table, n);
    fm_buf_done(&n->body);
    free(n);
}

/* Keeps the number of the newest version. */
static void delete_flow(struct sim_store *s, const char *name)
{
    struct stored_named *n;
    HASH_FIND_STR(s->flows, name, n);
    if (n == NULL)
        return;
    struct record r = {.name = name, .number = n->version};
    put_named(&s->deleted, &r);
    delete_named(&s->flows, name);
}

static void apply_record(struct sim_store *s, const struct record *r)
{
    struct stored_job *j;
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
    case RECORD_ENTRY:
        put_entry(job_of(s, &r->job), r);
        return;
    case RECORD_SNAPSHOT:
        j = job_of(s, &r->job);
        j->has_snapshot = true;
        j->snapshot_number = r->number;
        set(&j->snapshot, r->body);
        return;
    case RECORD_GENERATION:
        put_generation(job_of(s, &r->job), r);
        return;
    case RECORD_DELETE_HISTORY:
        delete_history(job_of(s, &r->job), r->number);
        return;
    case RECORD_FLOW_DEF:
        put_def(s, r);
        return;
    case RECORD_DELETE_JOB:
        delete_job(s, &r->job);
        return;
    case RECORD_FLOW:
        put_named(&s->flows, r);
        return;
    case RECORD_DELETE_FLOW:
        delete_flow(s, r->name);
        return;
    case RECORD_HOST:
        put_named(&s->hosts, r);
        return;
    case RECORD_DELETE_HOST:
        delete_named(&s->hosts, r->name);
        return;
    case RECORD_USAGE:
        job_of(s, &r->job)->calls += r->usage.used.calls;
        return;
    }
}

void stored_claim(struct done_node *n, const struct stored_request *r)
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
        struct stored_request *r = stored_request(s, first->name, first->key);
        if (r != NULL) {
            n->done.status = STORE_EXISTS;
            stored_claim(n, r);
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

struct store_done *sim_store_failure(uint64_t tag, int code)
{
    struct done_node *n = done_new(tag, STORE_UNIT);
    n->done.status = STORE_FAILED;
    (void)fm_err_set(&n->done.err, (enum fm_code)code, NULL,
                     code == FM_RESOURCE_EXHAUSTED ? "the simulated disk is full"
                                                   : "the simulated disk failed");
    return &n->done;
}

/* ---- what is durable now ---- */

static struct stored_job *by_text(struct sim_store *s, const char *job_id)
{
    struct fm_id id;
    return fm_id_parse(job_id, &id) == 0 ? stored_job(s, &id) : NULL;
}

static uint32_t last_of(const struct bodies *b)
{
    return b->n == 0 ? 0 : b->items[b->n - 1].number;
}

uint32_t sim_store_last_step(struct sim_store *s, const char *job_id)
{
    const struct stored_job *j = by_text(s, job_id);
    return j == NULL ? 0 : last_of(&j->steps);
}

uint32_t sim_store_last_input(struct sim_store *s, const char *job_id)
{
    const struct stored_job *j = by_text(s, job_id);
    if (j != NULL && j->inputs.n == 0 && j->n_generations > 0)
        return j->generations[j->n_generations - 1].inputs; /* a fork of one that has started over */
    return j == NULL ? 0 : last_of(&j->inputs);
}

static Fermata__V1__Job *head_of(const struct stored_job *j)
{
    return fermata__v1__job__unpack(NULL, j->head.n, j->head.p);
}

Fermata__V1__Job *sim_store_head(struct sim_store *s, const char *job_id)
{
    const struct stored_job *j = by_text(s, job_id);
    return j == NULL ? NULL : head_of(j);
}

static bool runs_again(const Fermata__V1__Step *step)
{
    return step->outcome == FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_RETRY ||
           (step->remedy != NULL && step->remedy->kind == FERMATA__V1__REMEDY_KIND__REMEDY_KIND_RETRY_TASK);
}

size_t sim_store_attempts(struct sim_store *s, const char *job_id, const char *task_id)
{
    const struct stored_job *j = by_text(s, job_id);
    size_t n = 0;
    for (size_t i = 0; j != NULL && i < j->steps.n; i++) {
        const struct fm_buf *b = &j->steps.items[i].bytes;
        Fermata__V1__Step *step = fermata__v1__step__unpack(NULL, b->n, b->p);
        n += strcmp(step->task_id, task_id) == 0 && runs_again(step);
        fermata__v1__step__free_unpacked(step, NULL);
    }
    return n;
}

uint64_t sim_store_calls(struct sim_store *s, const char *job_id)
{
    const struct stored_job *j = by_text(s, job_id);
    return j == NULL ? 0 : j->calls;
}

void sim_store_count_kids(struct sim_store *s, const char *job_id, size_t *ret_all, size_t *ret_ended)
{
    *ret_all = *ret_ended = 0;
    for (const struct stored_job *j = s->jobs; j != NULL; j = j->hh.next) {
        Fermata__V1__Job *h = head_of(j);
        bool is_kid = strcmp(h->parent, job_id) == 0;
        *ret_all += is_kid;
        *ret_ended += is_kid && job_status_final((int)h->status);
        fermata__v1__job__free_unpacked(h, NULL);
    }
}

void sim_store_each_job(struct sim_store *s,
                        void (*visit)(void *arg, const Fermata__V1__Job *head, int64_t wake_ms), void *arg)
{
    for (const struct stored_job *j = s->jobs; j != NULL; j = j->hh.next) {
        Fermata__V1__Job *h = head_of(j);
        visit(arg, h, j->wake_ms);
        fermata__v1__job__free_unpacked(h, NULL);
    }
}

bool sim_store_has_request(struct sim_store *s, const char *scope, const char *request_id)
{
    return stored_request(s, scope, request_id) != NULL;
}

Fermata__V1__Host *sim_store_host(struct sim_store *s, const char *host_id)
{
    struct stored_named *n;
    HASH_FIND_STR(s->hosts, host_id, n);
    return n == NULL ? NULL : fermata__v1__host__unpack(NULL, n->body.n, n->body.p);
}

bool sim_store_is_cordoned(struct sim_store *s, const char *host_id)
{
    Fermata__V1__Host *h = sim_store_host(s, host_id);
    bool is = h != NULL && h->cordoned;
    if (h != NULL)
        fermata__v1__host__free_unpacked(h, NULL);
    return is;
}

bool sim_store_has_flow(struct sim_store *s, const char *name)
{
    struct stored_named *n;
    HASH_FIND_STR(s->flows, name, n);
    return n != NULL;
}
