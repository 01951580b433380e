/* Definitions of flows in memory, and the newest versions of their names. */
#include "defs.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "buf.h"
#include "digest.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "job.h"
#include "losses.h"
#include "mem.h"
#include "pbc.h"
#include "routine_types.h"
#include "state.h"
#include "store.h"
#include "unit.h"

#define MAX_NAMES 1024

void strings_free(char **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(list[i]);
    free(list);
}

struct flow_def *def_find(struct core *c, const uint8_t digest[STORE_DIGEST_BYTES])
{
    struct flow_def *d;
    HASH_FIND(hh, c->defs, digest, STORE_DIGEST_BYTES, d);
    if (d != NULL)
        d->refs++;
    return d;
}

static void add_type(struct flow_def *d, const char *type)
{
    for (size_t i = 0; i < d->n_types; i++)
        if (strcmp(d->types[i], type) == 0)
            return;
    d->types = fm_xrealloc(d->types, (d->n_types + 1) * sizeof(*d->types));
    d->types[d->n_types++] = fm_xstrdup(type);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void digest_types(struct flow_def *d)
{
    fm_auto(fm_buf) b = {0};
    char **sorted = fm_xmemdup(d->types, d->n_types * sizeof(*sorted));
    qsort(sorted, d->n_types, sizeof(*sorted), by_name);
    for (size_t i = 0; i < d->n_types; i++)
        fm_buf_append(&b, sorted[i], strlen(sorted[i]) + 1);
    core_digest(fm_buf_bytes(&b), d->types_digest);
    free(sorted);
}

struct flow_def *def_add(struct core *c, const Fermata__V1__Flow *flow, struct fm_bytes body,
                         const uint8_t digest[STORE_DIGEST_BYTES], bool on_disk)
{
    struct flow_def *d = def_find(c, digest);
    if (d != NULL) {
        d->on_disk = d->on_disk || on_disk;
        return d;
    }
    d = fm_xcalloc(1, sizeof(*d));
    memcpy(d->digest, digest, STORE_DIGEST_BYTES);
    fm_buf_append(&d->body, body.p, body.n);
    for (size_t i = 0; i < flow->n_routines; i++)
        add_type(d, flow->routines[i]->type);
    digest_types(d);
    d->parallelism = flow->parallelism;
    d->deadline_ms = flow->deadline_ms;
    d->limits = limits_of_flow(flow);
    for (size_t i = 0; i < flow->n_routines; i++) {
        uint32_t limit = loss_limit_of(flow, flow->routines[i]);
        if (limit > 0 && (d->min_losses == 0 || limit < d->min_losses))
            d->min_losses = limit;
    }
    d->refs = 1;
    d->on_disk = on_disk;
    HASH_ADD(hh, c->defs, digest, STORE_DIGEST_BYTES, d);
    return d;
}

void def_unref(struct core *c, struct flow_def *d)
{
    if (--d->refs > 0)
        return;
    HASH_DEL(c->defs, d);
    strings_free(d->types, d->n_types);
    if (d->flow != NULL)
        fermata__v1__flow__free_unpacked(d->flow, NULL);
    fm_buf_done(&d->body);
    free(d);
}

static void def_stored(struct core *c, struct job *job, struct effect *e)
{
    (void)c;
    (void)job;
    ((struct flow_def *)e->own)->on_disk = true;
}

static void def_drop(struct core *c, struct effect *e)
{
    def_unref(c, e->own);
}

static const struct effect_kind def_effect_kind = {"flow definition", def_stored, NULL, NULL, def_drop};

void def_effect(struct unit *u, struct flow_def *def)
{
    unit_effect(u, &def_effect_kind, FM_NO_BYTES)->own = def;
}

void flow_encode(const Fermata__V1__Flow *flow, struct fm_buf *body, uint8_t digest[STORE_DIGEST_BYTES])
{
    Fermata__V1__Flow *copy = pb_clone(flow);
    copy->version = 0;
    canonical_sort(&copy->base);
    pb_pack(copy, body);
    fermata__v1__flow__free_unpacked(copy, NULL);
    core_digest(fm_buf_bytes(body), digest);
}

struct flow_name *name_find(struct core *c, const char *name)
{
    struct flow_name *n;
    HASH_FIND_STR(c->names, name, n);
    return n;
}

static void name_forget(struct core *c, const char *name)
{
    struct flow_name *n = name_find(c, name);
    if (n == NULL)
        return;
    HASH_DEL(c->names, n);
    free(n->name);
    free(n);
}

struct flow_name *name_set(struct core *c, const char *name, const struct store_flow_version *v)
{
    struct flow_name *n = name_find(c, name);
    if (n == NULL) {
        if (HASH_COUNT(c->names) >= MAX_NAMES)
            name_forget(c, c->names->name);
        n = fm_xcalloc(1, sizeof(*n));
        n->name = fm_xstrdup(name);
        HASH_ADD_KEYPTR(hh, c->names, n->name, strlen(n->name), n);
    }
    n->version = v->version;
    n->n_versions = v->n_versions;
    n->used = v->used;
    memcpy(n->digest, v->digest, STORE_DIGEST_BYTES);
    return n;
}

void name_add_version(struct flow_name *n, const uint8_t digest[STORE_DIGEST_BYTES])
{
    n->version = ++n->used;
    n->n_versions++;
    memcpy(n->digest, digest, STORE_DIGEST_BYTES);
}

void name_delete_versions(struct flow_name *n)
{
    n->version = n->n_versions = 0;
}

static void name_stored(struct core *c, struct job *job, struct effect *e)
{
    (void)c;
    (void)job;
    (void)e;
}

static void name_failed(struct core *c, struct effect *e, const struct fm_err *err)
{
    (void)err;
    name_forget(c, (const char *)e->bytes.p);
}

static const struct effect_kind name_effect_kind = {"flow name", name_stored, name_failed, NULL, NULL};

void name_effect(struct unit *u, const char *name)
{
    unit_effect(u, &name_effect_kind, (struct fm_bytes){(const uint8_t *)name, strlen(name) + 1});
}

void defs_free(struct core *c)
{
    struct flow_name *n, *ntmp;
    HASH_ITER (hh, c->names, n, ntmp)
        name_forget(c, n->name);
    struct flow_def *d, *dtmp;
    HASH_ITER (hh, c->defs, d, dtmp) {
        d->refs = 1;
        def_unref(c, d);
    }
}
