/* What hosts tell of routine types. See told.h. */
#include "told.h"

#include <string.h>

#include "host.h"
#include "mem.h"
#include "pbc.h"
#include "routine_types.h"
#include "state.h"

#define MAX_NAMES 256        /* of slots, and of events, of a type */
#define MAX_ALL_NAMES 20000u /* of all types of a Hello */

/* Names are looked for among each other: their number is bounded. */
static int check_names(const Fermata__V1__RoutineType *m, size_t *all, struct fm_err *err)
{
    size_t most = m->n_slots > m->n_events ? m->n_slots : m->n_events;
    if (m->n_notice_events > most)
        most = m->n_notice_events;
    if (m->n_call_events > most)
        most = m->n_call_events;
    if (most > MAX_NAMES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "it has %zu slots or events; the limit is %d", most,
                          MAX_NAMES);
    *all += m->n_slots + m->n_events;
    if (*all > MAX_ALL_NAMES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL,
                          "with it the host's types have %zu slots and events; the limit is %u", *all,
                          MAX_ALL_NAMES);
    return 0;
}

/* What this program itself knows of the very version; NULL: nothing. No host can say otherwise. */
static const struct type_spec *built_in(const Fermata__V1__RoutineType *m)
{
    const struct type_spec *own = type_catalog_find(m->name);
    return own != NULL && own->version == m->version ? own : NULL;
}

/* A host, other than this one, that offers the very version with a schema; NULL: there is none. */
static const struct host *other_with_schema(const struct core *c, const struct host *h,
                                            const Fermata__V1__RoutineType *m, struct told_schema **ret)
{
    for (const struct host *o = c->hosts; o != NULL; o = o->hh.next) {
        const struct type_info *t = o == h ? NULL : type_info_find(o->types, m->name);
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
    const struct type_info *newest = type_info_find(c->types, m->name);
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
        return told_schema_ref(newest->schema);
    struct told_schema *s = told_schema_read(m->config_schema, err);
    const struct type_spec *own = built_in(m);
    if (s != NULL && own != NULL && own->config != NULL) {
        if (json_schema_same(own->config, s->value))
            return s;
        told_schema_unref(s);
        (void)fm_err_set(err, FM_FAILED_PRECONDITION, NULL,
                         "it is a built-in type, of a version whose configuration schema demands something "
                         "else: give a type of your own another name");
        return NULL;
    }
    const struct host *o = s == NULL ? NULL : other_with_schema(c, h, m, &other);
    if (o == NULL || json_schema_same(other->value, s->value))
        return s;
    told_schema_unref(s);
    (void)fm_err_set(err, FM_FAILED_PRECONDITION, NULL,
                     "host %s offers the same version with a configuration schema that demands something "
                     "else: give one of the two another version",
                     o->id);
    return NULL;
}

/* By a host other than `but` (NULL: by any). */
static bool is_offered(const struct core *c, const char *name, uint32_t version, const struct host *but)
{
    for (const struct host *o = c->hosts; o != NULL; o = o->hh.next) {
        const struct type_info *t = o == but ? NULL : type_info_find(o->types, name);
        if (t != NULL && t->spec.version == version)
            return true;
    }
    return false;
}

/* The newest version counts, unless nobody offers it any more. */
static void learn(struct core *c, const Fermata__V1__RoutineType *m, struct told_schema *schema)
{
    const struct type_info *newest = type_info_find(c->types, m->name);
    if (newest != NULL && newest->spec.version > m->version &&
        is_offered(c, m->name, newest->spec.version, NULL))
        return;
    if (built_in(m) != NULL) { /* the catalog says it, of this version */
        type_info_remove(&c->types, m->name);
        return;
    }
    if (newest != NULL && newest->spec.version == m->version && schema == NULL)
        schema = newest->schema; /* this host only does not say it */
    type_info_set(&c->types, m, schema);
}

void told_take(struct core *c, struct host *h, const Fermata__V1__Hello *m)
{
    size_t bytes = 0, names = 0;
    for (size_t i = 0; i < m->n_routine_types; i++) {
        const Fermata__V1__RoutineType *t = m->routine_types[i];
        fm_auto(fm_err) err = {0};
        struct told_schema *schema = NULL;
        if (check_names(t, &names, &err) == 0)
            schema = schema_of(c, h, t, &bytes, &err);
        if (err.code != FM_OK) {
            if (err.field[0] != '\0')
                fm_err_wrap(&err, "%s", err.field);
            host_refuse_type(h, t->name, t->version, err.msg);
            continue;
        }
        type_info_set(&h->types, t, schema);
        learn(c, t, schema);
        told_schema_unref(schema);
    }
}

/* The newest that the other hosts offer counts from now on; nothing, if they offer none. */
static void learn_from_others(struct core *c, const struct host *h, const char *name)
{
    const struct type_info *best = NULL;
    for (const struct host *o = c->hosts; o != NULL; o = o->hh.next) {
        const struct type_info *t = o == h ? NULL : type_info_find(o->types, name);
        if (t != NULL && (best == NULL || t->spec.version > best->spec.version))
            best = t;
    }
    fm_auto_pb Fermata__V1__RoutineType *m = best == NULL ? NULL : type_info_message(best);
    if (m == NULL || built_in(m) != NULL)
        type_info_remove(&c->types, name);
    else
        type_info_set(&c->types, m, best->schema);
}

void told_forget(struct core *c, const struct host *h)
{
    for (const struct type_info *t = h->types; t != NULL; t = t->hh.next) {
        const struct type_info *known = type_info_find(c->types, t->spec.name);
        if (known != NULL && known->spec.version == t->spec.version &&
            !is_offered(c, t->spec.name, t->spec.version, h))
            learn_from_others(c, h, t->spec.name);
    }
}
