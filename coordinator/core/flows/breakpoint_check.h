/* Checks of breakpoints, wherever they come from. */
#ifndef FM_CORE_BREAKPOINT_CHECK_H
#define FM_CORE_BREAKPOINT_CHECK_H

#include <stddef.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"

struct core;
struct flow_def;
struct program_check;

/* Their number and their texts. */
int breakpoints_check(size_t n, Fermata__V1__Breakpoint *const *list, struct fm_err *err) FM_MUST_CHECK;
/* Adds their conditions to what is to be checked. */
void breakpoints_add_conditions(struct program_check *k, size_t n, Fermata__V1__Breakpoint *const *list);
/* That the flow has the routines and slots. Returns 0, -FM_INVALID_ARGUMENT or -FM_DATA_LOSS. */
int breakpoints_check_places(struct core *c, const struct flow_def *def, size_t n,
                             Fermata__V1__Breakpoint *const *list, struct fm_err *err) FM_MUST_CHECK;
/* The job has these, and no others. */
void breakpoints_replace(Fermata__V1__Job *h, size_t n, Fermata__V1__Breakpoint *const *list);

#endif
