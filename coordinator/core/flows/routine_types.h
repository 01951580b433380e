/* Tables of what hosts have told of routine types: of each host its own, and of the core the newest of all.
 */
#ifndef FM_CORE_FLOWS_ROUTINE_TYPES_H
#define FM_CORE_FLOWS_ROUTINE_TYPES_H

#include <uthash.h>

#include "arena.h"
#include "catalog.h"
#include "err.h"
#include "fermata/v1/hosts.pb-c.h"

/* The schema of a configuration as hosts have told it, shared by the tables. */
struct told_schema {
    size_t refs;
    char *text;
    struct fm_arena arena;
    const struct fm_value *value;
};

struct type_info {
    UT_hash_handle hh;          /* by spec.name */
    struct type_spec spec;      /* without a text of the schema */
    struct told_schema *schema; /* NULL: none was told */
};

/* Reads a schema, with one reference; NULL with err: it is not sound. */
struct told_schema *told_schema_read(const char *text, struct fm_err *err);
struct told_schema *told_schema_ref(struct told_schema *s);
void told_schema_unref(struct told_schema *s);

struct type_info *type_info_find(struct type_info *types, const char *name);
/* Sets what is known of a name; takes a reference of the schema, which may be NULL. */
void type_info_set(struct type_info **types, const Fermata__V1__RoutineType *m, struct told_schema *schema);
void type_info_remove(struct type_info **types, const char *name);
void type_info_free_all(struct type_info **types);
/* As a message, without its schema, for free_unpacked. */
Fermata__V1__RoutineType *type_info_message(const struct type_info *t);
/* The text of its schema; "": there is none. */
const char *type_info_schema(const struct type_info *t);

/* What the core knows of a type, or NULL; for struct flow_types: arg is the core. */
const struct type_spec *types_find(void *arg, const char *name);

#endif
