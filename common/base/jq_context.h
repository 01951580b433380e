/* What jq programs may look at beside their data: "$shared", the job's shared data, and "$state", the
 * state of the routine. */
#ifndef FM_JQ_CONTEXT_H
#define FM_JQ_CONTEXT_H

#include <stdbool.h>

/* Whether a program looks at them: it has one of the two names in it. The JSON of such a program must be a
 * list of three: the data, which are its input, and the values of the two. */
bool jq_wants_context(const char *program);

#endif
