/* What hosts tell of routine types. See told.h. */
#include "told.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "host.h"
#include "json_schema.h"
#include "log.h"
#include "mem.h"
#include "name.h"
#include "pbc.h"
#include "routine_types.h"
#include "state.h"

#define MAX_TYPES 1000
#define MAX_NAMES 256                 /* of slots, and of events, of a type */
#define MAX_ALL_NAMES 20000u          /* of all types of a Hello */
#define MAX_ALL_NAME_BYTES (1u << 20) /* of those */
#define MAX_TOLD_BYTES (256u << 20)   /* of all hosts */
#define MAX_REFUSED 64                /* of a host, that nothing but another Hello can help */

/* What the types of a Hello have had so far. */
struct told_sums {
    size_t schemas, names, name_bytes, unnamed;
};

/* ---- checks ---- */

int told_check(const Fermata__V1__Hello *m, struct fm_err *err)
{
    if (m->n_routine_types > MAX_TYPES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "hello.routine_types",
                          "%zu routine types; the limit is %d", m->n_routine_types, MAX_TYPES);
    for (size_t i = 0; i < m->n_routine_types; i++)
        if (fm_name_check("hello.routine_types.name", m->routine_types[i]->name, err) < 0)
            return -FM_INVALID_ARGUMENT;
    return 0;
}

static int check_bytes(char *const *names, size_t n, size_t *all, struct fm_err *err)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]);
        if (len > FM_MAX_NAME_BYTES)
            return fm_err_set(err, FM_INVALID_ARGUMENT, NULL,
                              "the name of a slot or event has %zu bytes; the limit is %d", len,
                              FM_MAX_NAME_BYTES);
        *all += len;
    }
    return 0;
}

/* Names are looked for among each other: their number is bounded. */
static int check_names(const Fermata__V1__RoutineType *m, struct told_sums *sums, struct fm_err *err)
{
    size_t most = m->n_slots > m->n_events ? m->n_slots : m->n_events;
    if (m->n_notice_events > most)
        most = m->n_notice_events;
    if (m->n_call_events > most)
        most = m->n_call_events;
    if (most > MAX_NAMES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "it has %zu slots or events; the limit is %d", most,
                          MAX_NAMES);
    if (check_bytes(m->slots, m->n_slots, &sums->name_bytes, err) < 0 ||
        check_bytes(m->events, m->n_events, &sums->name_bytes, err) < 0 ||
        check_bytes(m->notice_events, m->n_notice_events, &sums->name_bytes, err) < 0 ||
        check_bytes(m->call_events, m->n_call_events, &sums->name_bytes, err) < 0)
        return -FM_INVALID_ARGUMENT;
    sums->names += m->n_slots + m->n_events;
    if (sums->names > MAX_ALL_NAMES || sums->name_bytes > MAX_ALL_NAME_BYTES)
        return fm_err_set(
            err, FM_INVALID_ARGUMENT, NULL,
            "with it the host's types have %zu slots and events of %zu bytes; the limits are %u "
            "and %u",
            sums->names, sums->name_bytes, MAX_ALL_NAMES, MAX_ALL_NAME_BYTES);
    return 0;
}

/* What stands for itself, whatever other hosts say. */
static int check_type(const struct core *c, const Fermata__V1__RoutineType *m, struct told_sums *sums,
                      struct fm_err *err)
{
    int rc = check_names(m, sums, err);
    if (rc < 0)
        return rc;
    sums->schemas += strlen(m->config_schema);
    if (sums->schemas > TYPE_SCHEMAS_BYTES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL,
                          "with it the schemas of the host's types have more than %u bytes",
                          TYPE_SCHEMAS_BYTES);
    if (c->told_bytes + fermata__v1__routine_type__get_packed_size(m) > MAX_TOLD_BYTES &&
        told_type_find(c, m->name, m->version) == NULL)
        return fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL,
                          "what hosts have told of routine types has %zu bytes; the limit is %u",
                          c->told_bytes, MAX_TOLD_BYTES);
    return 0;
}

/* ---- taking one ---- */

/* The schema, if it is one that is not known yet; else NULL. Fails when it contradicts: of another host's,
 * with *ret_by. */
static int read_schema(struct told_type *t, const Fermata__V1__RoutineType *m, struct told_schema **ret,
                       struct told_type **ret_by, struct fm_err *err)
{
    const struct type_spec *own = type_built_in(m->name, m->version);
    const struct fm_value *known = own != NULL ? own->config : t != NULL ? t->spec.config : NULL;
    const char *text = own != NULL ? own->config_text : t != NULL && t->schema != NULL ? t->schema->text : "";
    *ret = NULL;
    if (m->config_schema[0] == '\0' || strcmp(m->config_schema, text) == 0)
        return 0;
    struct told_schema *s = told_schema_read(m->config_schema, err);
    if (s == NULL)
        return -(int)err->code;
    if (known == NULL) {
        *ret = s;
        return 0;
    }
    bool same = json_schema_same(known, s->value);
    told_schema_free(s);
    if (same)
        return 0;
    if (own != NULL)
        return fm_err_set(err, FM_FAILED_PRECONDITION, NULL,
                          "it is a built-in type, of a version whose configuration schema demands something "
                          "else: give a type of your own another name");
    *ret_by = t;
    return fm_err_set(err, FM_FAILED_PRECONDITION, NULL,
                      "host %s offers the same version with a configuration schema that demands something "
                      "else: give one of the two another version",
                      t->offers->host->id);
}

/* The host offers it from now on, or it is refused; with *ret_by, for as long as others offer that. */
static int take(struct core *c, struct host *h, const Fermata__V1__RoutineType *m, struct told_type **ret_by,
                struct fm_err *err)
{
    struct told_type *t = told_type_find(c, m->name, m->version);
    struct told_schema *schema;
    *ret_by = NULL;
    if (type_info_find(h->types, m->name) != NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "the host offers a type of this name twice");
    int rc = read_schema(t, m, &schema, ret_by, err);
    if (rc < 0)
        return rc;
    if (t != NULL && !told_type_agrees(t, m)) {
        told_schema_free(schema);
        *ret_by = t;
        return fm_err_set(err, FM_FAILED_PRECONDITION, NULL,
                          "host %s offers the same version with other slots, events or effects: give one of "
                          "the two another version",
                          t->offers->host->id);
    }
    if (t == NULL)
        t = told_type_add(c, m, schema);
    else if (schema != NULL)
        told_type_set_schema(c, t, schema);
    type_info_add(&h->types, h, t);
    c->told_bytes += sizeof(struct type_info);
    return 0;
}

/* ---- refusing ---- */

static void refused_free(struct core *c, struct host *h, struct refused_type *r)
{
    DL_DELETE(h->refused, r);
    c->told_bytes -= r->bytes;
    if (r->wanted != NULL)
        fermata__v1__routine_type__free_unpacked(r->wanted, NULL);
    free(r->name);
    free(r->reason);
    free(r);
}

/* It gets no jobs that need the type. */
static void refuse(struct core *c, struct host *h, const Fermata__V1__RoutineType *m, struct told_type *by,
                   const char *reason, struct told_sums *sums)
{
    const struct refused_type *other;
    size_t n = 0, bytes = sizeof(*other) + strlen(m->name) + strlen(reason);
    if (by != NULL)
        bytes += fermata__v1__routine_type__get_packed_size(m);
    DL_COUNT(h->refused, other, n);
    if ((by == NULL && n >= MAX_REFUSED) || c->told_bytes + bytes > MAX_TOLD_BYTES) {
        sums->unnamed++;
        return;
    }
    struct refused_type *r = fm_xcalloc(1, sizeof(*r));
    r->name = fm_xstrdup(m->name);
    r->version = m->version;
    r->reason = fm_xstrdup(reason);
    r->host = h;
    r->bytes = bytes;
    c->told_bytes += bytes;
    DL_APPEND(h->refused, r);
    if (by != NULL) {
        r->wanted = pb_clone(m);
        r->by = by;
        DL_APPEND2(by->contested, r, contested_prev, contested_next);
    }
    FM_LOG(WARN, HOST, "a routine type of a host is refused: it gets no jobs that need it",
           FM_STR("host", h->id), FM_STR("type", m->name), FM_U64("version", m->version),
           FM_STR("reason", reason));
}

/* ---- hosts ---- */

void told_take(struct core *c, struct host *h, const Fermata__V1__Hello *m)
{
    struct told_sums sums = {0};
    for (size_t i = 0; i < m->n_routine_types; i++) {
        const Fermata__V1__RoutineType *t = m->routine_types[i];
        struct told_type *by = NULL;
        fm_auto(fm_err) err = {0};
        if (check_type(c, t, &sums, &err) == 0 && take(c, h, t, &by, &err) == 0)
            continue;
        if (err.field[0] != '\0')
            fm_err_wrap(&err, "%s", err.field);
        refuse(c, h, t, by, err.msg, &sums);
    }
    if (sums.unnamed > 0)
        FM_LOG(WARN, HOST, "more routine types of a host are refused than are listed", FM_STR("host", h->id),
               FM_U64("others", sums.unnamed));
}

/* Nobody offers it any more: it is forgotten, and who wanted something else is looked at by told_settle. */
static void forget_type(struct core *c, struct told_type *t)
{
    struct refused_type *r, *next;
    DL_FOREACH_SAFE2 (t->contested, r, next, contested_next) {
        DL_DELETE2(t->contested, r, contested_prev, contested_next);
        r->by = NULL;
        DL_APPEND2(c->contested, r, contested_prev, contested_next);
    }
    told_type_free(c, t);
}

void told_forget(struct core *c, struct host *h)
{
    struct refused_type *r, *next;
    DL_FOREACH_SAFE (h->refused, r, next) {
        if (r->by != NULL)
            DL_DELETE2(r->by->contested, r, contested_prev, contested_next);
        else if (r->wanted != NULL)
            DL_DELETE2(c->contested, r, contested_prev, contested_next);
        refused_free(c, h, r);
    }
    struct type_info *info, *tmp;
    HASH_ITER (hh, h->types, info, tmp) {
        struct told_type *t = info->told;
        type_info_free(&h->types, info);
        c->told_bytes -= sizeof(*info);
        if (t->offers == NULL)
            forget_type(c, t);
    }
}

void host_has_news(struct core *c, struct host *h)
{
    h->news = c->hosts_news = c->match_wanted = true;
}

void told_settle(struct core *c)
{
    while (c->contested != NULL) {
        struct refused_type *r = c->contested;
        fm_auto(fm_err) err = {0};
        DL_DELETE2(c->contested, r, contested_prev, contested_next);
        if (take(c, r->host, r->wanted, &r->by, &err) == 0) {
            FM_LOG(INFO, HOST, "a routine type that was refused is taken: nobody offers another one any more",
                   FM_STR("host", r->host->id), FM_STR("type", r->name), FM_U64("version", r->version));
            host_has_news(c, r->host);
            refused_free(c, r->host, r);
            continue;
        }
        c->told_bytes = c->told_bytes - strlen(r->reason) + strlen(err.msg);
        r->bytes = r->bytes - strlen(r->reason) + strlen(err.msg);
        free(r->reason);
        r->reason = fm_xstrdup(err.msg);
        if (r->by != NULL) {
            DL_APPEND2(r->by->contested, r, contested_prev, contested_next);
        } else {
            fermata__v1__routine_type__free_unpacked(r->wanted, NULL);
            r->wanted = NULL;
        }
    }
}
