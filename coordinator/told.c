/* What hosts have told of routine types. See told.h.
 *
 * A type's version stands for its schema: flows that were checked with one must not be checked with another
 * because some other host came last. So of a version that a host offers, which is attached or has its lease, a
 * schema that demands something else is refused; once nobody offers it any more, it may be replaced. */
#include "told.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "core_int.h"
#include "log.h"
#include "mem.h"

#define SCHEMA_MEMORY (16u << 20) /* of one schema, read */

/* ---- schemas ---- */

struct told_schema {
    size_t refs;
    char *text;
    struct fm_arena arena;
    const struct fm_value *value;
};

static struct told_schema *schema_ref(struct told_schema *s)
{
    if (s != NULL)
        s->refs++;
    return s;
}

static void schema_unref(struct told_schema *s)
{
    if (s == NULL || --s->refs > 0)
        return;
    fm_arena_done(&s->arena);
    free(s->text);
    free(s);
}

/* NULL with err: it is not sound. */
static struct told_schema *schema_read(const char *text, struct fm_err *err)
{
    struct told_schema *s = fm_xcalloc(1, sizeof(*s));
    s->refs = 1;
    s->text = fm_xstrdup(text);
    fm_arena_init(&s->arena, SCHEMA_MEMORY);
    s->value = type_schema_read(text, strlen(text), &s->arena, err);
    if (s->value != NULL)
        return s;
    schema_unref(s);
    return NULL;
}

/* ---- tables ---- */

static struct type_info *info_find(struct type_info *types, const char *name)
{
    struct type_info *t;
    HASH_FIND_STR(types, name, t);
    return t;
}

static void info_free(struct type_info **types, struct type_info *t)
{
    HASH_DEL(*types, t);
    for (size_t i = 0; i < t->spec.n_slots; i++)
        free((char *)(uintptr_t)t->spec.slots[i].name);
    for (size_t i = 0; i < t->spec.n_events; i++)
        free((char *)(uintptr_t)t->spec.events[i].name);
    free((struct type_slot *)(uintptr_t)t->spec.slots);
    free((struct type_event *)(uintptr_t)t->spec.events);
    free((char *)(uintptr_t)t->spec.name);
    schema_unref(t->schema);
    free(t);
}

void type_info_free_all(struct type_info **types)
{
    struct type_info *t, *tmp;
    HASH_ITER (hh, *types, t, tmp)
        info_free(types, t);
}

static bool is_among(const char *name, char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* What the program itself knows of the very version: rules, and schemas of data. */
static void add_own_knowledge(struct type_spec *spec, struct type_slot *slots)
{
    const struct type_spec *own = type_catalog_find(spec->name);
    if (own == NULL || own->version != spec->version)
        return;
    spec->rules = own->rules;
    for (size_t i = 0; i < spec->n_slots; i++)
        for (size_t k = 0; k < own->n_slots; k++)
            if (strcmp(slots[i].name, own->slots[k].name) == 0)
                slots[i].data = own->slots[k].data;
}

/* Replaces what is known of the name. */
static void info_set(struct type_info **types, const Fermata__V1__RoutineType *m, struct told_schema *schema)
{
    struct type_info *t = fm_xcalloc(1, sizeof(*t)), *old = info_find(*types, m->name);
    struct type_slot *slots = fm_xcalloc(m->n_slots + 1, sizeof(*slots));
    struct type_event *events = fm_xcalloc(m->n_events + 1, sizeof(*events));
    for (size_t i = 0; i < m->n_slots; i++)
        slots[i].name = fm_xstrdup(m->slots[i]);
    for (size_t i = 0; i < m->n_events; i++)
        events[i] = (struct type_event){
            .name = fm_xstrdup(m->events[i]),
            .notice = is_among(m->events[i], m->notice_events, m->n_notice_events),
            .call = is_among(m->events[i], m->call_events, m->n_call_events),
        };
    t->schema = schema_ref(schema);
    t->spec = (struct type_spec){
        .name = fm_xstrdup(m->name),
        .version = m->version,
        .effects = m->effects != 0,
        .slots = slots,
        .n_slots = m->n_slots,
        .events = events,
        .n_events = m->n_events,
        .config = schema != NULL ? schema->value : NULL,
    };
    add_own_knowledge(&t->spec, slots);
    if (old != NULL)
        info_free(types, old);
    HASH_ADD_KEYPTR(hh, *types, t->spec.name, strlen(t->spec.name), t);
}

/* ---- what is refused ---- */

void refused_free_all(struct refused_type **refused)
{
    struct refused_type *r, *next;
    DL_FOREACH_SAFE (*refused, r, next) {
        DL_DELETE(*refused, r);
        free(r->name);
        free(r->reason);
        free(r);
    }
}

static void refuse(struct host *h, const Fermata__V1__RoutineType *m, const char *reason)
{
    struct refused_type *r = fm_xcalloc(1, sizeof(*r));
    r->name = fm_xstrdup(m->name);
    r->reason = fm_xstrdup(reason);
    r->version = m->version;
    DL_APPEND(h->refused, r);
    FM_LOG(WARN, HOST, "a routine type of a host is refused: it gets no jobs that need it",
           FM_STR("host", h->id), FM_STR("type", m->name), FM_U64("version", m->version),
           FM_STR("reason", reason));
}

/* ---- Hello ---- */

/* A host, other than this one, that offers the very version with a schema; NULL: there is none. */
static const struct host *other_with_schema(const struct core *c, const struct host *h,
                                            const Fermata__V1__RoutineType *m, struct told_schema **ret)
{
    for (const struct host *o = c->hosts; o != NULL; o = o->hh.next) {
        const struct type_info *t = o == h ? NULL : info_find(o->types, m->name);
        if (t == NULL || t->spec.version != m->version || t->schema == NULL)
            continue;
        *ret = t->schema;
        return o;
    }
    return NULL;
}

/* The schema that a host tells, with a reference; NULL: it tells none, or err says why it is refused. */
static struct told_schema *schema_of(struct core *c, const struct host *h, const Fermata__V1__RoutineType *m,
                                     size_t *bytes, struct fm_err *err)
{
    const struct type_info *newest = info_find(c->types, m->name);
    struct told_schema *other = NULL;
    size_t n = strlen(m->config_schema);
    *bytes += n;
    if (n == 0)
        return NULL;
    if (*bytes > TYPE_SCHEMAS_BYTES) {
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, NULL,
                         "with it the schemas of the host's types have more than %u bytes",
                         TYPE_SCHEMAS_BYTES);
        return NULL;
    }
    /* Whoever offers this version now has told what demands the same as the newest that was taken. */
    if (newest != NULL && newest->spec.version == m->version && newest->schema != NULL &&
        strcmp(newest->schema->text, m->config_schema) == 0)
        return schema_ref(newest->schema);
    struct told_schema *s = schema_read(m->config_schema, err);
    const struct host *o = s == NULL ? NULL : other_with_schema(c, h, m, &other);
    if (o == NULL || json_schema_same(other->value, s->value))
        return s;
    schema_unref(s);
    (void)fm_err_set(err, FM_FAILED_PRECONDITION, NULL,
                     "host %s offers the same version of it with another schema of its configuration: what "
                     "is not the same needs another version",
                     o->id);
    return NULL;
}

static bool is_offered(const struct core *c, const char *name, uint32_t version)
{
    for (const struct host *o = c->hosts; o != NULL; o = o->hh.next) {
        const struct type_info *t = info_find(o->types, name);
        if (t != NULL && t->spec.version == version)
            return true;
    }
    return false;
}

/* The newest version counts, unless nobody offers it any more. */
static void learn(struct core *c, const Fermata__V1__RoutineType *m, struct told_schema *schema)
{
    const struct type_info *newest = info_find(c->types, m->name);
    if (newest != NULL && newest->spec.version > m->version &&
        is_offered(c, m->name, newest->spec.version))
        return;
    if (newest != NULL && newest->spec.version == m->version && schema == NULL)
        schema = newest->schema; /* this host only does not say it */
    info_set(&c->types, m, schema);
}

void told_take(struct core *c, struct host *h, const Fermata__V1__Hello *m)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->n_routine_types; i++) {
        const Fermata__V1__RoutineType *t = m->routine_types[i];
        fm_auto(fm_err) err = {0};
        struct told_schema *schema = schema_of(c, h, t, &bytes, &err);
        if (err.code != FM_OK) {
            refuse(h, t, err.msg);
            continue;
        }
        info_set(&h->types, t, schema);
        learn(c, t, schema);
        schema_unref(schema);
    }
}

const struct type_spec *told_find(void *arg, const char *name)
{
    const struct core *c = arg;
    const struct type_info *t = info_find(c->types, name);
    return t == NULL ? NULL : &t->spec;
}

/* ---- messages ---- */

const char *told_schema_text(const struct type_info *t)
{
    return t->schema != NULL ? t->schema->text : "";
}

static void add_name(char ***names, size_t *n, const char *name)
{
    *names = fm_xrealloc(*names, (*n + 1) * sizeof(**names));
    (*names)[(*n)++] = fm_xstrdup(name);
}

Fermata__V1__RoutineType *told_message(const struct type_info *t)
{
    Fermata__V1__RoutineType *m = fm_xcalloc(1, sizeof(*m));
    fermata__v1__routine_type__init(m);
    m->name = fm_xstrdup(t->spec.name);
    m->version = t->spec.version;
    m->effects = t->spec.effects;
    for (size_t i = 0; i < t->spec.n_slots; i++)
        add_name(&m->slots, &m->n_slots, t->spec.slots[i].name);
    for (size_t i = 0; i < t->spec.n_events; i++) {
        const struct type_event *e = &t->spec.events[i];
        add_name(&m->events, &m->n_events, e->name);
        if (e->notice)
            add_name(&m->notice_events, &m->n_notice_events, e->name);
        if (e->call)
            add_name(&m->call_events, &m->n_call_events, e->name);
    }
    return m;
}

Fermata__V1__RefusedType *refused_message(const struct refused_type *r)
{
    Fermata__V1__RefusedType *m = fm_xcalloc(1, sizeof(*m));
    fermata__v1__refused_type__init(m);
    m->name = fm_xstrdup(r->name);
    m->version = r->version;
    m->reason = fm_xstrdup(r->reason);
    return m;
}
