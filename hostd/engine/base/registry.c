/* The registry. See registry.h. */
#include "registry.h"

#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "mem.h"
#include "name.h"

#define SCHEMA_MEMORY (16u << 20) /* to read one */
#define OLD_ABI 1                 /* without what follows default_attempts */

struct registry {
    struct fm_routine_type **types;
    size_t n;
    size_t schema_bytes; /* of all types */
};

struct registry *registry_new(void)
{
    return fm_xcalloc(1, sizeof(struct registry));
}

void registry_free(struct registry *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->types[i]);
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
                              "event %zu of routine type %s has no valid name", i, t->name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(t->events[k], t->events[i]) == 0)
                return fm_err_set(err, FM_INVALID_ARGUMENT, "events", "routine type %s has two events \"%s\"",
                                  t->name, t->events[i]);
    }
    return 0;
}

static int check(const struct fm_routine_type *t, struct fm_err *err)
{
    if (!fm_name_ok(t->name))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "name", "a routine type's name must have " FM_NAME_RULE);
    if (t->n_slots == 0 || t->slots == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "slots", "routine type %s has no slots", t->name);
    for (size_t i = 0; i < t->n_slots; i++) {
        const char *name = t->slots[i].name;
        if (t->slots[i].handler == NULL || name == NULL || (!fm_name_ok(name) && strcmp(name, "*") != 0))
            return fm_err_set(err, FM_INVALID_ARGUMENT, "slots",
                              "slot %zu of routine type %s has no handler or no valid name", i, t->name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(t->slots[k].name, t->slots[i].name) == 0)
                return fm_err_set(err, FM_INVALID_ARGUMENT, "slots", "routine type %s has two slots \"%s\"",
                                  t->name, t->slots[i].name);
    }
    return check_events(t, err);
}

/* The coordinator would refuse the type. */
static int check_schema(const struct registry *r, const struct fm_routine_type *t, struct fm_err *err)
{
    struct fm_arena arena;
    size_t n = t->config_schema == NULL ? 0 : strlen(t->config_schema);
    if (n == 0)
        return 0;
    if (n > TYPE_SCHEMAS_BYTES - r->schema_bytes)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "config_schema",
                          "with routine type %s the schemas of all types have more than %u bytes", t->name,
                          TYPE_SCHEMAS_BYTES);
    fm_arena_init(&arena, SCHEMA_MEMORY);
    int rc = type_schema_read(t->config_schema, n, &arena, err) == NULL ? -(int)err->code : 0;
    fm_arena_done(&arena);
    if (rc < 0)
        fm_err_wrap(err, "routine type %s", t->name);
    return rc;
}

bool registry_abi_known(uint32_t abi)
{
    return abi >= OLD_ABI && abi <= FM_ROUTINE_ABI;
}

/* A table of the old ABI ends before what is new. */
static struct fm_routine_type copy_of(const struct fm_routine_type *type)
{
    struct fm_routine_type copy = {0};
    memcpy(&copy, type, type->abi == OLD_ABI ? offsetof(struct fm_routine_type, event_flags) : sizeof(copy));
    return copy;
}

int registry_add(struct registry *r, const struct fm_routine_type *type, struct fm_err *err)
{
    if (!registry_abi_known(type->abi))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "abi",
                          "a routine type was built for ABI version %u; this hostd has version %d", type->abi,
                          FM_ROUTINE_ABI);
    const struct fm_routine_type copy = copy_of(type);
    int rc = check(&copy, err);
    if (rc < 0)
        return rc;
    if (registry_find(r, copy.name) != NULL)
        return fm_err_set(err, FM_ALREADY_EXISTS, "name", "there are two routine types \"%s\"", copy.name);
    if ((rc = check_schema(r, &copy, err)) < 0)
        return rc;
    r->schema_bytes += copy.config_schema == NULL ? 0 : strlen(copy.config_schema);
    r->types = fm_xrealloc(r->types, (r->n + 1) * sizeof(*r->types));
    r->types[r->n] = fm_xcalloc(1, sizeof(copy));
    *r->types[r->n++] = copy;
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

uint32_t registry_event_flags(const struct fm_routine_type *type, const char *event)
{
    if (type->abi == OLD_ABI) /* there, every type's tool_call was a call */
        return strcmp(event, "tool_call") == 0 ? FM_EVENT_CALL : 0;
    for (size_t i = 0; type->event_flags != NULL && i < type->n_events; i++)
        if (strcmp(type->events[i], event) == 0)
            return type->event_flags[i];
    return 0;
}
