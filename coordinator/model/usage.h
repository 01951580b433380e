/* What model calls used: limits of what a step may say, and sums that stay within theirs. */
#ifndef FM_MODEL_USAGE_H
#define FM_MODEL_USAGE_H

#include <stdbool.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"

/* What a host says that a step used (FM_MAX_STEP_… in agreed.h). Returns 0, or -FM_INVALID_ARGUMENT. */
int usage_check(const Fermata__V1__Usage *u, struct fm_err *err) FM_MUST_CHECK;
/* Adds to a sum, which stays at its limit (FM_MAX_SUM_… in agreed.h) when it has reached it. What a store of
 * an earlier version brings beyond the limits counts as far as they go. */
void usage_add(Fermata__V1__Usage *sum, const Fermata__V1__Usage *u);
/* Brings a stored sum into its limits. */
void usage_mend(Fermata__V1__Usage *sum);
/* Whether some part of the sum has reached its limit: more may have been used. */
bool usage_is_full(const Fermata__V1__Usage *sum);

#endif
