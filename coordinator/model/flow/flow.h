/* Validation of flows: every fault is named, with its path. Pure functions. */
#ifndef FM_FLOW_H
#define FM_FLOW_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"

struct program_check;

/* What is known of a routine type that a host offers. */
struct known_type {
    char *const *slots;
    size_t n_slots;
    char *const *events;
    size_t n_events;
};

/* Looks up types that hosts have offered; returns false for an unknown one. Built-in types are known without.
 */
struct flow_types {
    bool (*find)(void *arg, const char *name, struct known_type *ret);
    void *arg;
};

/* Checks a flow; faults (all of them, up to FM_MAX_VIOLATIONS) are in err, paths begin with `path` ("flow" or
 * "inline_flow"). A type that nobody knows is no fault. Returns 0 or -FM_INVALID_ARGUMENT. */
int flow_validate(const Fermata__V1__Flow *flow, const char *path, bool named, const struct flow_types *known,
                  struct fm_err *err) FM_MUST_CHECK;

/* Adds the jq programs and JSON Schemas in the configurations of a flow's routines to what is to be checked.
 */
void flow_programs(const Fermata__V1__Flow *flow, const char *path, struct program_check *k);

/* Checks where data enters: that routine and slot exist, that the slot is not one of the routine's own (_…),
 * and that fields of the data have the kinds the slot wants. Paths begin with `path` ("entry", "to"). */
int flow_check_entry(const Fermata__V1__Flow *flow, const char *path, const char *routine, const char *slot,
                     const Google__Protobuf__Struct *data, const struct flow_types *known,
                     struct fm_err *err) FM_MUST_CHECK;

/* Checks that a routine ("*": any) exists and its type has the slot ("": any; one of its own, too), as far as
 * types are known. Paths begin with `path`. */
int flow_check_place(const Fermata__V1__Flow *flow, const char *path, const char *routine, const char *slot,
                     const struct flow_types *known, struct fm_err *err) FM_MUST_CHECK;

/* True when the type is built in or known from a host. */
bool flow_type_known(const char *type, const struct flow_types *known);
/* Calls `add` for each tool of an agent whose calls no connection takes: nobody would answer them. */
void flow_untaken_tools(const Fermata__V1__Flow *f,
                        void (*add)(void *arg, const char *routine, const char *tool), void *arg);

#endif
