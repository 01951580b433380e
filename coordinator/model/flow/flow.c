/* Validation of flows: their graph, names and configurations. See flow.h; numbers and policies:
 * policies.c; configurations: config.c.
 */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "mem.h"
#include "name.h"
#include "path.h"
#include "policies.h"

#define MAX_ROUTINES 1000
#define MAX_CONNECTIONS 10000
#define MAX_DESCRIPTION 4096
#define MAX_MAPPING 256 /* of one connection */

struct entry {
    const char *id;
    const Fermata__V1__Routine *routine;
    size_t index; /* in the flow */
};

struct check {
    const Fermata__V1__Flow *flow;
    const struct flow_types *known;
    struct entry *by_id;                  /* all routines, sorted */
    const Fermata__V1__SlotRef **targets; /* where connections lead to, sorted */
    size_t n_targets;
    struct flow_values values;
    struct fm_err *err;
};

#define FAULT(c, field, ...) FLOW_FAULT((c)->err, field, __VA_ARGS__)

/* A list of names, for a message. */
struct names {
    char list[200];
    bool any;
};

static void add_name(struct names *n, const char *name)
{
    size_t at = strlen(n->list);
    if (name[0] != '_') /* nobody may name those slots */
        snprintf(n->list + at, sizeof(n->list) - at, "%s%s", at > 0 ? ", " : "", name);
    n->any = n->any || strcmp(name, "*") == 0;
}

/* ---- routines ---- */

static int compare_ids(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->id, ((const struct entry *)b)->id);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int rc = strcmp(x->id, y->id);
    return rc != 0 ? rc : (x->index > y->index) - (x->index < y->index);
}

static const Fermata__V1__Routine *find_routine(const struct check *c, const char *id)
{
    struct entry key = {.id = id};
    const struct entry *found = bsearch(&key, c->by_id, c->flow->n_routines, sizeof(*c->by_id), compare_ids);
    return found == NULL ? NULL : found->routine;
}

/* Sorts the routines by id, for find_routine. */
static void check_ids(struct check *c, const char *path)
{
    for (size_t i = 0; i < c->flow->n_routines; i++)
        c->by_id[i] = (struct entry){c->flow->routines[i]->id, c->flow->routines[i], i};
    qsort(c->by_id, c->flow->n_routines, sizeof(*c->by_id), compare_entries);
    for (size_t i = 1; i < c->flow->n_routines; i++) {
        const struct entry *e = &c->by_id[i];
        char field[FLOW_PATH_BYTES];
        if (strcmp(e->id, e[-1].id) != 0 || e->id[0] == '\0')
            continue;
        flow_path(field, "%s.routines[%zu].id", path, e->index);
        FAULT(c, field, "routine %zu has the id \"%.64s\" too", e[-1].index, e->id);
    }
}

static void check_routines(struct check *c, const char *path)
{
    const Fermata__V1__Flow *f = c->flow;
    char field[FLOW_PATH_BYTES];
    for (size_t i = 0; i < f->n_routines; i++) {
        const Fermata__V1__Routine *r = f->routines[i];
        flow_path(field, "%s.routines[%zu].id", path, i);
        if (!fm_name_ok(r->id))
            FAULT(c, field, "an id has 1 to %d of the characters A-Z a-z 0-9 _ . - ; this is \"%.64s\"",
                  FM_MAX_NAME_BYTES, r->id);
        flow_path(field, "%s.routines[%zu].type", path, i);
        if (!fm_name_ok(r->type))
            FAULT(c, field, "a type has 1 to %d of the characters A-Z a-z 0-9 _ . - ; this is \"%.64s\"",
                  FM_MAX_NAME_BYTES, r->type);
        flow_path(field, "%s.routines[%zu]", path, i);
        flow_check_config(r, flow_type(r->type, c->known), field, &c->values, c->err);
        flow_path(field, "%s.routines[%zu].policy", path, i);
        flow_check_policy(r->policy, field, c->err);
    }
    check_ids(c, path);
}

/* ---- slots and events ---- */

/* True when the type has that slot (or event), or nobody knows the type; else `ret_have` lists what it has.
 */
static bool type_has(const char *type, bool slot, const char *name, const struct flow_types *known,
                     struct names *ret_have)
{
    const struct type_spec *t = flow_type(type, known);
    *ret_have = (struct names){.any = false};
    for (size_t i = 0; t != NULL && i < (slot ? t->n_slots : t->n_events); i++) {
        const char *have = slot ? t->slots[i].name : t->events[i].name;
        if (strcmp(have, name) == 0)
            return true;
        add_name(ret_have, have);
    }
    if (t == NULL)
        return true;
    return ret_have->any;
}

/* True when the slot is one of a routine's own, to which only its timers, answers and children lead. */
static bool own_slot(const char *slot, const char *field, struct fm_err *err)
{
    if (slot[0] != '_')
        return false;
    FLOW_FAULT(err, field,
               "slot \"%.64s\" is the routine's own: nothing may be sent to slots whose names begin with _",
               slot);
    return true;
}

static void check_end(struct check *c, const char *path, const char *routine, bool slot, const char *name)
{
    char field[FLOW_PATH_BYTES];
    const char *what = slot ? "slot" : "event";
    flow_path(field, "%s.routine", path);
    const Fermata__V1__Routine *r = find_routine(c, routine);
    if (r == NULL) {
        FAULT(c, field, "there is no routine \"%.64s\"", routine);
        return;
    }
    struct names have;
    flow_path(field, "%s.%s", path, what);
    if (name[0] == '\0')
        FAULT(c, field, "the %s is missing", what);
    else if ((slot && own_slot(name, field, c->err)) || type_has(r->type, slot, name, c->known, &have))
        return;
    else if (slot || strcmp(name, "error") != 0)
        FAULT(c, field, "routine \"%.64s\" of type %.64s has no %s \"%.64s\"; it has: %s", r->id, r->type,
              what, name, have.list);
    else if (!flow_routes_errors(c->flow, r))
        FAULT(c, field,
              "routine \"%.64s\" of type %.64s emits event \"error\" only with ERROR_POLICY_ROUTE as its "
              "policy.on_error, or the flow's default",
              r->id, r->type);
}

static bool mapped_name_ok(const char *s)
{
    size_t n = strlen(s);
    return n > 0 && n <= 256;
}

static void check_mapping(struct check *c, const char *path, const Fermata__V1__Connection *k)
{
    if (k->n_mapping > MAX_MAPPING) {
        FAULT(c, path, "the mapping has %zu names; the limit is %d", k->n_mapping, MAX_MAPPING);
        return;
    }
    for (size_t i = 0; i < k->n_mapping; i++) {
        const char *from = k->mapping[i]->key, *to = k->mapping[i]->value;
        if (!mapped_name_ok(from) || !mapped_name_ok(to))
            FAULT(c, path, "names in a mapping have 1 to 256 bytes; this is \"%.64s\" to \"%.64s\"", from,
                  to);
        for (size_t j = 0; j < i; j++) {
            bool same_from = strcmp(k->mapping[j]->key, from) == 0;
            if (!same_from && strcmp(k->mapping[j]->value, to) != 0)
                continue;
            if (same_from)
                FAULT(c, path, "\"%.64s\" is mapped twice", from);
            else
                FAULT(c, path, "\"%.64s\" and \"%.64s\" are both mapped to \"%.64s\"", k->mapping[j]->key,
                      from, to);
            break; /* one fault a name is enough, and bounds the work */
        }
    }
}

/* The constants or the filter of a connection. */
static void check_fields(struct check *c, const char *path, const Google__Protobuf__Struct *s, bool scalars)
{
    if (s == NULL)
        return;
    if (s->n_fields > MAX_MAPPING) {
        FAULT(c, path, "there are %zu fields; the limit is %d", s->n_fields, MAX_MAPPING);
        return;
    }
    for (size_t i = 0; i < s->n_fields; i++) {
        const char *key = s->fields[i]->key;
        const Google__Protobuf__Value *v = s->fields[i]->value;
        int kind = v == NULL ? GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET : (int)v->kind_case;
        if (!mapped_name_ok(key))
            FAULT(c, path, "names of fields have 1 to 256 bytes; this is \"%.64s\"", key);
        if (kind == GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET)
            FAULT(c, path, "field \"%.64s\" has no value", key);
        else if (scalars && (kind == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE ||
                             kind == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE))
            FAULT(c, path,
                  "a filter compares with null, true, false, numbers and strings; field \"%.64s\" is %s", key,
                  kind == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE ? "a list" : "an object");
    }
}

static void check_connections(struct check *c, const char *path)
{
    for (size_t i = 0; i < c->flow->n_connections; i++) {
        const Fermata__V1__Connection *k = c->flow->connections[i];
        char field[FLOW_PATH_BYTES];
        flow_path(field, "%s.connections[%zu].from", path, i);
        if (k->from == NULL)
            FAULT(c, field, "from is missing: the routine and the event the data comes from");
        else
            check_end(c, field, k->from->routine, false, k->from->event);
        flow_path(field, "%s.connections[%zu].to", path, i);
        if (k->to == NULL)
            FAULT(c, field, "to is missing: the routine and the slot the data goes to");
        else
            check_end(c, field, k->to->routine, true, k->to->slot);
        flow_path(field, "%s.connections[%zu].mapping", path, i);
        check_mapping(c, field, k);
        flow_path(field, "%s.connections[%zu].constants", path, i);
        check_fields(c, field, k->constants, false);
        flow_path(field, "%s.connections[%zu].filter", path, i);
        check_fields(c, field, k->filter, true);
    }
}

/* ---- merging ---- */

static int compare_targets(const void *a, const void *b)
{
    const Fermata__V1__SlotRef *x = *(const Fermata__V1__SlotRef *const *)a;
    const Fermata__V1__SlotRef *y = *(const Fermata__V1__SlotRef *const *)b;
    int rc = strcmp(x->routine, y->routine);
    return rc != 0 ? rc : strcmp(x->slot, y->slot);
}

static bool is_target(void *arg, const char *routine, const char *slot)
{
    const struct check *c = arg;
    Fermata__V1__SlotRef key = FERMATA__V1__SLOT_REF__INIT;
    key.routine = (char *)routine; /* compared only */
    key.slot = (char *)slot;
    const Fermata__V1__SlotRef *wanted = &key;
    return bsearch(&wanted, c->targets, c->n_targets, sizeof(*c->targets), compare_targets) != NULL;
}

static void check_merges(struct check *c, const char *path)
{
    const Fermata__V1__Flow *f = c->flow;
    fm_autofree const Fermata__V1__SlotRef **targets = fm_xcalloc(f->n_connections + 1, sizeof(*targets));
    c->targets = targets;
    c->n_targets = 0;
    for (size_t i = 0; i < f->n_connections; i++)
        if (f->connections[i]->to != NULL)
            targets[c->n_targets++] = f->connections[i]->to;
    qsort(targets, c->n_targets, sizeof(*targets), compare_targets);
    for (size_t i = 0; i < f->n_routines; i++) {
        char field[FLOW_PATH_BYTES];
        const Fermata__V1__Routine *r = f->routines[i];
        flow_path(field, "%s.routines[%zu]", path, i);
        flow_check_merges(r, field, is_target, c, c->err);
        for (size_t k = 0; k < r->n_merge; k++) {
            struct names have;
            flow_path(field, "%s.routines[%zu].merge[%zu].slot", path, i, k);
            if (r->merge[k]->slot[0] == '\0')
                FAULT(c, field, "the slot is missing");
            else if (!own_slot(r->merge[k]->slot, field, c->err) &&
                     !type_has(r->type, true, r->merge[k]->slot, c->known, &have))
                FAULT(c, field, "routine \"%.64s\" of type %.64s has no slot \"%.64s\"; it has: %s", r->id,
                      r->type, r->merge[k]->slot, have.list);
        }
    }
    c->targets = NULL;
}

/* ---- entry points ---- */

int flow_validate(const Fermata__V1__Flow *flow, const char *path, enum flow_use use,
                  const struct flow_types *known, struct program_check *programs, struct fm_err *err)
{
    fm_autofree struct entry *by_id = fm_xcalloc(flow->n_routines, sizeof(*by_id));
    struct check c = {
        .flow = flow,
        .known = known,
        .by_id = by_id,
        .err = err,
        .values = {.work = {.most = FLOW_WORK}, .programs = programs}
    };
    char field[FLOW_PATH_BYTES];
    flow_path(field, "%s.name", path);
    if (!fm_name_ok(flow->name) && (use == FLOW_STORED || flow->name[0] != '\0'))
        FAULT(&c, field, "a flow's name has 1 to %d of the characters A-Z a-z 0-9 _ . - ; this is \"%.64s\"",
              FM_MAX_NAME_BYTES, flow->name);
    flow_path(field, "%s.description", path);
    if (strlen(flow->description) > MAX_DESCRIPTION)
        FAULT(&c, field, "the description has %zu bytes; the limit is %d", strlen(flow->description),
              MAX_DESCRIPTION);
    flow_path(field, "%s.routines", path);
    if (flow->n_routines == 0)
        FAULT(&c, field, "a flow needs at least one routine");
    if (flow->n_routines > MAX_ROUTINES)
        FAULT(&c, field, "the flow has %zu routines; the limit is %d", flow->n_routines, MAX_ROUTINES);
    flow_path(field, "%s.connections", path);
    if (flow->n_connections > MAX_CONNECTIONS)
        FAULT(&c, field, "the flow has %zu connections; the limit is %d", flow->n_connections,
              MAX_CONNECTIONS);
    if (flow->n_routines <= MAX_ROUTINES && flow->n_connections <= MAX_CONNECTIONS) {
        fm_arena_init(&c.values.arena, FLOW_VALUE_BYTES);
        flow_check_settings(flow, path, err);
        check_routines(&c, path);
        fm_arena_done(&c.values.arena);
        check_connections(&c, path);
        check_merges(&c, path);
    }
    return err->code == FM_OK ? 0 : -FM_INVALID_ARGUMENT;
}

static void list_routines(const Fermata__V1__Flow *flow, struct names *ret)
{
    *ret = (struct names){.any = false};
    for (size_t i = 0; i < flow->n_routines; i++)
        add_name(ret, flow->routines[i]->id);
}

static const Fermata__V1__Routine *routine_of(const Fermata__V1__Flow *flow, const char *path,
                                              const char *routine, struct fm_err *err)
{
    char field[FLOW_PATH_BYTES];
    struct names have;
    for (size_t i = 0; i < flow->n_routines; i++)
        if (strcmp(flow->routines[i]->id, routine) == 0)
            return flow->routines[i];
    list_routines(flow, &have);
    flow_path(field, "%s.routine", path);
    fm_err_set(err, FM_INVALID_ARGUMENT, field, "the flow has no routine \"%.64s\"; it has: %s", routine,
               have.list);
    return NULL;
}

static int has_slot(const Fermata__V1__Routine *r, const char *path, const char *slot,
                    const struct flow_types *known, struct fm_err *err)
{
    char field[FLOW_PATH_BYTES];
    struct names have;
    if (type_has(r->type, true, slot, known, &have))
        return 0;
    flow_path(field, "%s.slot", path);
    return fm_err_set(err, FM_INVALID_ARGUMENT, field,
                      "routine \"%.64s\" of type %.64s has no slot \"%.64s\"; it has: %s", r->id, r->type,
                      slot, have.list);
}

int flow_check_place(const Fermata__V1__Flow *flow, const char *path, const char *routine, const char *slot,
                     const struct flow_types *known, struct fm_err *err)
{
    if (strcmp(routine, "*") == 0)
        return 0;
    const Fermata__V1__Routine *r = routine_of(flow, path, routine, err);
    if (r == NULL)
        return -FM_INVALID_ARGUMENT;
    return slot[0] == '\0' ? 0 : has_slot(r, path, slot, known, err);
}

int flow_check_entry(const Fermata__V1__Flow *flow, const char *path, const char *routine, const char *slot,
                     const Google__Protobuf__Struct *data, const struct flow_types *known, struct fm_err *err)
{
    char field[FLOW_PATH_BYTES];
    const Fermata__V1__Routine *r = routine_of(flow, path, routine, err);
    flow_path(field, "%s.slot", path);
    if (r == NULL || own_slot(slot, field, err) || has_slot(r, path, slot, known, err) < 0)
        return -FM_INVALID_ARGUMENT;
    const struct type_spec *t = flow_type(r->type, known);
    for (size_t i = 0; t != NULL && i < t->n_slots; i++)
        if (t->slots[i].data != NULL && strcmp(t->slots[i].name, slot) == 0)
            flow_check_data(data, t->slots[i].data, "data", err);
    return err->code == FM_OK ? 0 : -FM_INVALID_ARGUMENT;
}
