/* What is known of routine types. */
#ifndef FM_FLOW_KNOWN_H
#define FM_FLOW_KNOWN_H

#include "catalog.h"

/* Looks up what hosts have told of a type; NULL: nothing. Built-in types are known without. */
struct flow_types {
    const struct type_spec *(*find)(void *arg, const char *name);
    void *arg;
};

/* What is known of a type: what hosts have told, with its schema; else, of a built-in one, what the catalog
 * says. NULL: nobody knows it. `known` may be NULL. */
const struct type_spec *flow_type(const char *type, const struct flow_types *known);

#endif
