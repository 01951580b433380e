/* The registry. See registry.h. */
#include "registry.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "name.h"

struct registry {
    const struct fm_routine_type **types;
    size_t n;
};

struct registry *registry_new(void)
{
    return fm_xcalloc(1, sizeof(struct registry));
}

void registry_free(struct registry *r)
{
    free(r->types);
    free(r);
}

static int check_events(const struct fm_routine_type *t, struct fm_err *err)
{
    if (t->n_events > 0 && t->events == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "events", "routine type %s has no table of events",
                          t->name);
    for (size_t i = 0; i < t->n_events; i++) {
        if (t->events[i] == NULL || (!fm_name_ok(t->events[i]) && strcmp(t->events[i], "*") != 0))
            return fm_err_set(err, FM_INVALID_ARGUMENT, "events",
                              "event %zu of routine type %s has no proper name", i, t->name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(t->events[k], t->events[i]) == 0)
                return fm_err_set(err, FM_INVALID_ARGUMENT, "events", "routine type %s has two events \"%s\"",
                                  t->name, t->events[i]);
    }
    return 0;
}

static int check(const struct fm_routine_type *t, struct fm_err *err)
{
    if (t->abi != FM_ROUTINE_ABI)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "abi",
                          "a routine type was built for ABI version %u; this hostd has version %d", t->abi,
                          FM_ROUTINE_ABI);
    if (!fm_name_ok(t->name))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "name", "a routine type's name has " FM_NAME_RULE);
    if (t->n_slots == 0 || t->slots == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "slots", "routine type %s has no slots", t->name);
    for (size_t i = 0; i < t->n_slots; i++) {
        const char *name = t->slots[i].name;
        if (t->slots[i].handler == NULL || name == NULL || (!fm_name_ok(name) && strcmp(name, "*") != 0))
            return fm_err_set(err, FM_INVALID_ARGUMENT, "slots",
                              "slot %zu of routine type %s has no handler or no proper name", i, t->name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(t->slots[k].name, t->slots[i].name) == 0)
                return fm_err_set(err, FM_INVALID_ARGUMENT, "slots", "routine type %s has two slots \"%s\"",
                                  t->name, t->slots[i].name);
    }
    return check_events(t, err);
}

int registry_add(struct registry *r, const struct fm_routine_type *type, struct fm_err *err)
{
    int rc = check(type, err);
    if (rc < 0)
        return rc;
    if (registry_find(r, type->name) != NULL)
        return fm_err_set(err, FM_ALREADY_EXISTS, "name", "there are two routine types \"%s\"", type->name);
    r->types = fm_xrealloc(r->types, (r->n + 1) * sizeof(*r->types));
    r->types[r->n++] = type;
    return 0;
}

const struct fm_routine_type *registry_find(const struct registry *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->types[i]->name, name) == 0)
            return r->types[i];
    return NULL;
}

size_t registry_count(const struct registry *r)
{
    return r->n;
}

const struct fm_routine_type *registry_at(const struct registry *r, size_t i)
{
    return i < r->n ? r->types[i] : NULL;
}

fm_handler registry_handler(const struct fm_routine_type *type, const char *slot)
{
    fm_handler any = NULL;
    for (size_t i = 0; i < type->n_slots; i++) {
        if (strcmp(type->slots[i].name, slot) == 0)
            return type->slots[i].handler;
        if (strcmp(type->slots[i].name, "*") == 0)
            any = type->slots[i].handler;
    }
    return any;
}

bool registry_has_event(const struct fm_routine_type *type, const char *event)
{
    for (size_t i = 0; i < type->n_events; i++)
        if (strcmp(type->events[i], event) == 0 || strcmp(type->events[i], "*") == 0)
            return true;
    return false;
}
