/* What hosts have told of routine types: each host's own tables, and the newest of all. */
#ifndef FM_TOLD_H
#define FM_TOLD_H

#include <uthash.h>

#include "catalog.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fermata/v1/host_agent.pb-c.h"

struct core;
struct host;
struct told_schema;

struct type_info {
    UT_hash_handle hh;          /* by spec.name */
    struct type_spec spec;      /* without a text of the schema */
    struct told_schema *schema; /* of the configuration, shared with whoever has told the same; NULL: none */
};

/* A type that a host offers and that is not taken from it. */
struct refused_type {
    struct refused_type *prev, *next;
    char *name, *reason;
    uint32_t version;
};

/* Takes the types of a host's Hello, whose earlier ones were freed: into its own tables, and into those of the
 * core. Those that cannot be taken are remembered as refused, and logged. */
void told_take(struct core *c, struct host *h, const Fermata__V1__Hello *m);
void type_info_free_all(struct type_info **types);
void refused_free_all(struct refused_type **refused);
/* The newest version of a type that hosts have told of, or NULL; for struct flow_types: arg is the core. */
const struct type_spec *told_find(void *arg, const char *name);

/* As messages, for free_unpacked. */
Fermata__V1__RoutineType *told_message(const struct type_info *t);
Fermata__V1__RefusedType *refused_message(const struct refused_type *r);
/* The schema as text; "": there is none. */
const char *told_schema_text(const struct type_info *t);

#endif
