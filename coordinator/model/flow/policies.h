/* What flows say of time, failures and merging. */
#ifndef FM_FLOW_POLICIES_H
#define FM_FLOW_POLICIES_H

#include <stdbool.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"

/* Checks a policy; NULL is fine. */
void flow_check_policy(const Fermata__V1__Policy *p, const char *path, struct fm_err *err);
/* Checks the flow's own numbers and its default policy. */
void flow_check_settings(const Fermata__V1__Flow *f, const char *path, struct fm_err *err);
/* Checks how a routine's slots merge data: not whether they exist. `is_target` tells whether a connection
 * leads to a slot of a routine. */
void flow_check_merges(const Fermata__V1__Routine *r, const char *path,
                       bool (*is_target)(void *arg, const char *routine, const char *slot), void *arg,
                       struct fm_err *err);
/* True when failures of the routine come out of it as event "error". */
bool flow_routes_errors(const Fermata__V1__Flow *f, const Fermata__V1__Routine *r);

#endif
