/* Units of records. See store_unit.h. */
#include "store_unit.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "buf.h"
#include "id.h"
#include "mem.h"
#include "store_int.h"

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
    size_t n = strlen(s) + 1;
    return memcpy(unit_alloc(u, n), s, n);
}

static struct record *record_new(struct store_unit *u, enum record_kind kind, const struct fm_id *job)
{
    struct record *r = unit_alloc(u, sizeof(*r));
    r->kind = kind;
    if (job != NULL)
        r->job = *job;
    return r;
}

static struct record *add(struct store_unit *u, enum record_kind kind, const struct fm_id *job)
{
    struct record *r = record_new(u, kind, job);
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
    struct record *r = record_new(u, RECORD_REQUEST, job);
    r->name = unit_text(u, scope);
    r->key = unit_text(u, request_id);
    memcpy(r->digest, digest, STORE_DIGEST_BYTES);
    r->body = unit_copy(u, reply);
    r->next = u->first; /* it decides whether the others are applied */
    u->first = r;
    if (u->last == NULL)
        u->last = r;
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
    for (size_t i = 0; i < job->n_labels; i++) {
        labels[i].key = unit_text(u, job->labels[i].key);
        labels[i].value = unit_text(u, job->labels[i].value);
    }
    r->labels = labels;
    r->n_labels = job->n_labels;
}

static struct record *put_numbered(struct store_unit *u, enum record_kind kind, const struct fm_id *job,
                                   uint32_t number, struct fm_bytes body)
{
    struct record *r = add(u, kind, job);
    r->number = number;
    r->body = unit_copy(u, body);
    return r;
}

void store_put_step(struct store_unit *u, const struct fm_id *job, uint32_t number, struct fm_bytes step)
{
    (void)put_numbered(u, RECORD_STEP, job, number, step);
}

void store_put_input(struct store_unit *u, const struct fm_id *job, uint32_t number, struct fm_bytes task)
{
    (void)put_numbered(u, RECORD_INPUT, job, number, task);
}

void store_put_entry(struct store_unit *u, const struct fm_id *job, uint32_t step, uint32_t number,
                     struct fm_bytes entry)
{
    put_numbered(u, RECORD_ENTRY, job, number, entry)->step = step;
}

void store_put_snapshot(struct store_unit *u, const struct fm_id *job, uint32_t number,
                        uint32_t inputs_through, struct fm_bytes state)
{
    put_numbered(u, RECORD_SNAPSHOT, job, number, state)->inputs = inputs_through;
}

void store_put_generation(struct store_unit *u, const struct fm_id *job, uint32_t generation, uint32_t step,
                          uint32_t inputs_through, struct fm_bytes state)
{
    struct record *r = put_numbered(u, RECORD_GENERATION, job, generation, state);
    r->step = step;
    r->inputs = inputs_through;
}

void store_delete_history(struct store_unit *u, const struct fm_id *job, uint32_t generation)
{
    add(u, RECORD_DELETE_HISTORY, job)->number = generation;
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
