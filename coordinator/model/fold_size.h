/* How large a state will be: the limit is on that, not on what moves on the way. A step that consumes 6 MiB
 * and makes 6 MiB of it needs no room. */
#ifndef FM_MODEL_FOLD_SIZE_H
#define FM_MODEL_FOLD_SIZE_H

#include <stddef.h>

#include "fermata/v1/types.pb-c.h"
#include "job_state.h"

/* About the bytes of the state after the step, without the inputs that wait in it; never too few. The step
 * has been checked. Linear in the step. */
size_t job_state_own_bytes_after(const struct job_state *s, const Fermata__V1__Step *step);
/* At least as much, from the length of the step's encoding: at once. */
size_t job_state_own_bytes_at_most(const struct job_state *s, const Fermata__V1__Step *step,
                                   size_t step_bytes);

#endif
