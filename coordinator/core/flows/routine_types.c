/* Tables of what hosts have told of routine types. See routine_types.h. */
#include "routine_types.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "mem.h"
#include "state.h"

#define SCHEMA_MEMORY (16u << 20) /* of one schema, read */

/* ---- schemas ---- */

struct told_schema *told_schema_ref(struct told_schema *s)
{
    if (s != NULL)
        s->refs++;
    return s;
}

void told_schema_unref(struct told_schema *s)
{
    if (s == NULL || --s->refs > 0)
        return;
    fm_arena_done(&s->arena);
    free(s->text);
    free(s);
}

struct told_schema *told_schema_read(const char *text, struct fm_err *err)
{
    struct told_schema *s = fm_xcalloc(1, sizeof(*s));
    s->refs = 1;
    s->text = fm_xstrdup(text);
    fm_arena_init(&s->arena, SCHEMA_MEMORY);
    s->value = type_schema_read(text, strlen(text), &s->arena, err);
    if (s->value != NULL)
        return s;
    told_schema_unref(s);
    return NULL;
}

/* ---- tables ---- */

struct type_info *type_info_find(struct type_info *types, const char *name)
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
    told_schema_unref(t->schema);
    free(t);
}

void type_info_free_all(struct type_info **types)
{
    struct type_info *t, *tmp;
    HASH_ITER (hh, *types, t, tmp)
        info_free(types, t);
}

void type_info_remove(struct type_info **types, const char *name)
{
    struct type_info *t = type_info_find(*types, name);
    if (t != NULL)
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

void type_info_set(struct type_info **types, const Fermata__V1__RoutineType *m, struct told_schema *schema)
{
    struct type_info *t = fm_xcalloc(1, sizeof(*t)), *old = type_info_find(*types, m->name);
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
    t->schema = told_schema_ref(schema);
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

/* ---- messages ---- */

const char *type_info_schema(const struct type_info *t)
{
    return t->schema != NULL ? t->schema->text : "";
}

static void add_name(char ***names, size_t *n, const char *name)
{
    *names = fm_xrealloc(*names, (*n + 1) * sizeof(**names));
    (*names)[(*n)++] = fm_xstrdup(name);
}

Fermata__V1__RoutineType *type_info_message(const struct type_info *t)
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

const struct type_spec *types_find(void *arg, const char *name)
{
    const struct core *c = arg;
    const struct type_info *t = type_info_find(c->types, name);
    return t == NULL ? NULL : &t->spec;
}
