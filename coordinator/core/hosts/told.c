/* What hosts tell of routine types. See told.h. */
#include "told.h"

#include <string.h>

#include "host.h"
#include "mem.h"
#include "routine_types.h"
#include "state.h"

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

static bool is_offered(const struct core *c, const char *name, uint32_t version)
{
    for (const struct host *o = c->hosts; o != NULL; o = o->hh.next) {
        const struct type_info *t = type_info_find(o->types, name);
        if (t != NULL && t->spec.version == version)
            return true;
    }
    return false;
}

/* The newest version counts, unless nobody offers it any more. */
static void learn(struct core *c, const Fermata__V1__RoutineType *m, struct told_schema *schema)
{
    const struct type_info *newest = type_info_find(c->types, m->name);
    if (newest != NULL && newest->spec.version > m->version && is_offered(c, m->name, newest->spec.version))
        return;
    if (newest != NULL && newest->spec.version == m->version && schema == NULL)
        schema = newest->schema; /* this host only does not say it */
    type_info_set(&c->types, m, schema);
}

void told_take(struct core *c, struct host *h, const Fermata__V1__Hello *m)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->n_routine_types; i++) {
        const Fermata__V1__RoutineType *t = m->routine_types[i];
        fm_auto(fm_err) err = {0};
        struct told_schema *schema = schema_of(c, h, t, &bytes, &err);
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
