/* What hosts have told of routine types: the definitions of all attached hosts by name and version, each once
 * however many offer it, and of each host which of them it offers. A definition is gone with the last host
 * that offers it. */
#ifndef FM_CORE_FLOWS_ROUTINE_TYPES_H
#define FM_CORE_FLOWS_ROUTINE_TYPES_H

#include <stdbool.h>
#include <stddef.h>

#include <uthash.h>

#include "arena.h"
#include "catalog.h"
#include "err.h"
#include "fermata/v1/hosts.pb-c.h"

struct core;
struct host;
struct refused_type;

/* The schema of a configuration as a host has told it. */
struct told_schema {
    char *text;
    struct fm_arena arena;
    const struct fm_value *value;
};

/* A version of a type. */
struct told_type {
    struct told_type *prev, *next; /* of the name, newest first */
    struct known_type *of;
    struct type_spec spec;      /* of a built-in version: the catalog's */
    struct told_schema *schema; /* NULL: none was told, or it is a built-in version */
    bool built_in;
    size_t bytes;                   /* about what it takes */
    struct type_info *offers;       /* who offers it, in the order in which they came; NULL: about to go */
    struct refused_type *contested; /* of hosts that say something else (hosts/told.c), in that order */
};

/* A name. */
struct known_type {
    UT_hash_handle hh; /* of the core, by name */
    char *name;
    struct told_type *versions;
};

/* A type that a host offers. */
struct type_info {
    UT_hash_handle hh; /* of the host, by the type's name */
    struct told_type *told;
    const struct host *host;
    struct type_info *prev, *next; /* of the type */
};

/* Reads a schema; NULL with err: it is not sound. */
struct told_schema *told_schema_read(const char *text, struct fm_err *err);
/* NULL is allowed. */
void told_schema_free(struct told_schema *s);

/* What this program itself knows of the very version; NULL: nothing. */
const struct type_spec *type_built_in(const char *name, uint32_t version);
/* The definition that is in use; NULL: nobody offers that version. */
struct told_type *told_type_find(const struct core *c, const char *name, uint32_t version);
/* Adds one that nobody offers yet. Takes over the schema, which may be NULL. */
struct told_type *told_type_add(struct core *c, const Fermata__V1__RoutineType *m,
                                struct told_schema *schema);
/* A host says what another one has left out. Takes over the schema. */
void told_type_set_schema(struct core *c, struct told_type *t, struct told_schema *schema);
/* True when a host says of it the same slots, events and effects, in whatever order. */
bool told_type_agrees(const struct told_type *t, const Fermata__V1__RoutineType *m);
/* Nobody offers it, and nothing is contested. */
void told_type_free(struct core *c, struct told_type *t);

struct type_info *type_info_find(struct type_info *types, const char *name);
/* The host offers it from now on; not twice. */
void type_info_add(struct type_info **types, const struct host *h, struct told_type *t);
/* Forgets one of the host's; the definition stays, also when nobody offers it any more. */
void type_info_free(struct type_info **types, struct type_info *info);
/* As a message, without its schema, for free_unpacked. */
Fermata__V1__RoutineType *type_info_message(const struct type_info *info);
/* The text of its schema; "": there is none. */
const char *type_info_schema(const struct type_info *info);

/* What the core knows of a type, or NULL; for struct flow_types: arg is the core. The newest version that is
 * offered counts; of a built-in one the catalog says it, and not the core. */
const struct type_spec *types_find(void *arg, const char *name);

#endif
