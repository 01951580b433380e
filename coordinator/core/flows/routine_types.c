/* Tables of what hosts have told of routine types. See routine_types.h. */
#include "routine_types.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "arena.h"
#include "mem.h"
#include "state.h"

#define SCHEMA_MEMORY (16u << 20) /* of one schema, read */

/* ---- schemas ---- */

void told_schema_free(struct told_schema *s)
{
    if (s == NULL)
        return;
    fm_arena_done(&s->arena);
    free(s->text);
    free(s);
}

struct told_schema *told_schema_read(const char *text, struct fm_err *err)
{
    struct told_schema *s = fm_xcalloc(1, sizeof(*s));
    s->text = fm_xstrdup(text);
    fm_arena_init(&s->arena, SCHEMA_MEMORY);
    s->value = type_schema_read(text, strlen(text), &s->arena, err);
    if (s->value != NULL)
        return s;
    told_schema_free(s);
    return NULL;
}

static size_t schema_bytes(const struct told_schema *s)
{
    return s == NULL ? 0 : strlen(s->text) + s->arena.used;
}

/* ---- definitions ---- */

const struct type_spec *type_built_in(const char *name, uint32_t version)
{
    const struct type_spec *own = type_catalog_find(name);
    return own != NULL && own->version == version ? own : NULL;
}

static struct known_type *known_find(const struct core *c, const char *name)
{
    struct known_type *k;
    HASH_FIND_STR(c->types, name, k);
    return k;
}

struct told_type *told_type_find(const struct core *c, const char *name, uint32_t version)
{
    const struct known_type *k = known_find(c, name);
    struct told_type *t = NULL;
    if (k != NULL)
        DL_SEARCH_SCALAR(k->versions, t, spec.version, version);
    return t;
}

static bool is_among(const char *name, char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static struct type_event event_of(const Fermata__V1__RoutineType *m, size_t i)
{
    return (struct type_event){
        .name = m->events[i],
        .notice = is_among(m->events[i], m->notice_events, m->n_notice_events),
        .call = is_among(m->events[i], m->call_events, m->n_call_events),
    };
}

/* Its own copies of all names; the name of the type is the table's. */
static void spec_from(struct told_type *t, const Fermata__V1__RoutineType *m)
{
    struct type_slot *slots = fm_xcalloc(m->n_slots + 1, sizeof(*slots));
    struct type_event *events = fm_xcalloc(m->n_events + 1, sizeof(*events));
    for (size_t i = 0; i < m->n_slots; i++) {
        slots[i].name = fm_xstrdup(m->slots[i]);
        t->bytes += strlen(m->slots[i]) + sizeof(*slots);
    }
    for (size_t i = 0; i < m->n_events; i++) {
        events[i] = event_of(m, i);
        events[i].name = fm_xstrdup(m->events[i]);
        t->bytes += strlen(m->events[i]) + sizeof(*events);
    }
    t->spec = (struct type_spec){
        .name = t->of->name,
        .version = m->version,
        .effects = m->effects != 0,
        .slots = slots,
        .n_slots = m->n_slots,
        .events = events,
        .n_events = m->n_events,
    };
}

static int newest_first(const struct told_type *a, const struct told_type *b)
{
    return a->spec.version > b->spec.version ? -1 : a->spec.version < b->spec.version;
}

struct told_type *told_type_add(struct core *c, const Fermata__V1__RoutineType *m, struct told_schema *schema)
{
    const struct type_spec *own = type_built_in(m->name, m->version);
    struct told_type *t = fm_xcalloc(1, sizeof(*t));
    struct known_type *k = known_find(c, m->name);
    if (k == NULL) {
        k = fm_xcalloc(1, sizeof(*k));
        k->name = fm_xstrdup(m->name);
        HASH_ADD_KEYPTR(hh, c->types, k->name, strlen(k->name), k);
    }
    t->of = k;
    t->bytes = sizeof(*t) + sizeof(*k) + strlen(k->name);
    t->built_in = own != NULL;
    if (own != NULL)
        t->spec = *own;
    else
        spec_from(t, m);
    DL_INSERT_INORDER(k->versions, t, newest_first);
    c->told_bytes += t->bytes;
    if (schema != NULL)
        told_type_set_schema(c, t, schema);
    return t;
}

void told_type_set_schema(struct core *c, struct told_type *t, struct told_schema *schema)
{
    size_t n = schema_bytes(schema);
    t->schema = schema;
    t->spec.config = schema->value;
    t->bytes += n;
    c->told_bytes += n;
}

void told_type_free(struct core *c, struct told_type *t)
{
    struct known_type *k = t->of;
    DL_DELETE(k->versions, t);
    c->told_bytes -= t->bytes;
    if (!t->built_in) {
        for (size_t i = 0; i < t->spec.n_slots; i++)
            free((char *)(uintptr_t)t->spec.slots[i].name);
        for (size_t i = 0; i < t->spec.n_events; i++)
            free((char *)(uintptr_t)t->spec.events[i].name);
        free((struct type_slot *)(uintptr_t)t->spec.slots);
        free((struct type_event *)(uintptr_t)t->spec.events);
    }
    told_schema_free(t->schema);
    free(t);
    if (k->versions != NULL)
        return;
    HASH_DEL(c->types, k);
    free(k->name);
    free(k);
}

static bool has_slot(const struct type_spec *s, const char *name)
{
    for (size_t i = 0; i < s->n_slots; i++)
        if (strcmp(s->slots[i].name, name) == 0)
            return true;
    return false;
}

static bool same_event(const struct type_event *a, const struct type_event *b)
{
    return strcmp(a->name, b->name) == 0 && a->notice == b->notice && a->call == b->call;
}

static bool has_event(const struct type_spec *s, const struct type_event *e)
{
    for (size_t i = 0; i < s->n_events; i++)
        if (same_event(&s->events[i], e))
            return true;
    return false;
}

static bool event_is_said(const Fermata__V1__RoutineType *m, const struct type_event *e)
{
    for (size_t i = 0; i < m->n_events; i++) {
        if (strcmp(m->events[i], e->name) != 0)
            continue;
        struct type_event said = event_of(m, i);
        return same_event(&said, e);
    }
    return false;
}

bool told_type_agrees(const struct told_type *t, const Fermata__V1__RoutineType *m)
{
    const struct type_spec *s = &t->spec;
    if (t->built_in) /* the catalog says it, whatever hosts say */
        return true;
    if (s->effects != (m->effects != 0))
        return false;
    for (size_t i = 0; i < m->n_slots; i++)
        if (!has_slot(s, m->slots[i]))
            return false;
    for (size_t i = 0; i < s->n_slots; i++)
        if (!is_among(s->slots[i].name, m->slots, m->n_slots))
            return false;
    for (size_t i = 0; i < m->n_events; i++) {
        struct type_event e = event_of(m, i);
        if (!has_event(s, &e))
            return false;
    }
    for (size_t i = 0; i < s->n_events; i++)
        if (!event_is_said(m, &s->events[i]))
            return false;
    return true;
}

const struct type_spec *types_find(void *arg, const char *name)
{
    const struct known_type *k = known_find(arg, name);
    return k == NULL || k->versions->built_in ? NULL : &k->versions->spec;
}

/* ---- what a host offers ---- */

struct type_info *type_info_find(struct type_info *types, const char *name)
{
    struct type_info *t;
    HASH_FIND_STR(types, name, t);
    return t;
}

void type_info_add(struct type_info **types, const struct host *h, struct told_type *t)
{
    struct type_info *info = fm_xcalloc(1, sizeof(*info));
    info->told = t;
    info->host = h;
    DL_APPEND(t->offers, info);
    HASH_ADD_KEYPTR(hh, *types, t->spec.name, strlen(t->spec.name), info);
}

void type_info_free(struct type_info **types, struct type_info *info)
{
    HASH_DEL(*types, info);
    DL_DELETE(info->told->offers, info);
    free(info);
}

/* ---- messages ---- */

const char *type_info_schema(const struct type_info *info)
{
    const struct told_type *t = info->told;
    return t->built_in ? t->spec.config_text : t->schema != NULL ? t->schema->text : "";
}

static void add_name(char **names, size_t *n, const char *name)
{
    names[(*n)++] = fm_xstrdup(name);
}

Fermata__V1__RoutineType *type_info_message(const struct type_info *info)
{
    const struct type_spec *s = &info->told->spec;
    Fermata__V1__RoutineType *m = fm_xcalloc(1, sizeof(*m));
    fermata__v1__routine_type__init(m);
    m->name = fm_xstrdup(s->name);
    m->version = s->version;
    m->effects = s->effects;
    m->slots = fm_xcalloc(s->n_slots + 1, sizeof(*m->slots));
    m->events = fm_xcalloc(s->n_events + 1, sizeof(*m->events));
    m->notice_events = fm_xcalloc(s->n_events + 1, sizeof(*m->notice_events));
    m->call_events = fm_xcalloc(s->n_events + 1, sizeof(*m->call_events));
    for (size_t i = 0; i < s->n_slots; i++)
        add_name(m->slots, &m->n_slots, s->slots[i].name);
    for (size_t i = 0; i < s->n_events; i++) {
        const struct type_event *e = &s->events[i];
        add_name(m->events, &m->n_events, e->name);
        if (e->notice)
            add_name(m->notice_events, &m->n_notice_events, e->name);
        if (e->call)
            add_name(m->call_events, &m->n_call_events, e->name);
    }
    return m;
}
