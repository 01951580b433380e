/* Validation of flows: every fault is named, with its path. Pure functions. */
#ifndef FM_FLOW_H
#define FM_FLOW_H

#include <stdbool.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "known.h"

struct program_check;

/* A stored flow must have a name; an inline one may. */
enum flow_use { FLOW_STORED, FLOW_INLINE };

/* Checks a flow; faults (all of them, up to FM_MAX_VIOLATIONS) are in err, paths begin with `path` ("flow" or
 * "inline_flow"). A type that nobody knows is no fault. The jq programs and JSON Schemas in configurations
 * are added to `programs` (NULL: they are left out): they are still to be checked. Returns 0 or
 * -FM_INVALID_ARGUMENT. */
int flow_validate(const Fermata__V1__Flow *flow, const char *path, enum flow_use use,
                  const struct flow_types *known, struct program_check *programs,
                  struct fm_err *err) FM_MUST_CHECK;

/* Checks where data enters: that routine and slot exist, that the slot is not one of the routine's own (_…),
 * and that fields of the data have the kinds the slot wants. Paths begin with `path` ("entry", "to"). */
int flow_check_entry(const Fermata__V1__Flow *flow, const char *path, const char *routine, const char *slot,
                     const Google__Protobuf__Struct *data, const struct flow_types *known,
                     struct fm_err *err) FM_MUST_CHECK;

/* Checks that a routine ("*": any) exists and its type has the slot ("": any; one of its own, too), as far as
 * types are known. Paths begin with `path`. */
int flow_check_place(const Fermata__V1__Flow *flow, const char *path, const char *routine, const char *slot,
                     const struct flow_types *known, struct fm_err *err) FM_MUST_CHECK;

#endif
