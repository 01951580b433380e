/* What a job requires of its hosts, and what becomes of that when somebody says more of it. */
#ifndef FM_PLACEMENT_H
#define FM_PLACEMENT_H

#include <stdbool.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"

enum placement_when {
    PLACEMENT_BEGINS, /* a job that begins, with the requirements of another one */
    PLACEMENT_RESUMES /* goes elsewhere unless something else is wished */
};

/* Changes what a job requires (*holds; NULL: nothing) by what was said (may be NULL: nothing was): a host or
 * labels replace all of it, a mode only the mode. */
void placement_say(Fermata__V1__Placement **holds, const Fermata__V1__Placement *said,
                   enum placement_when when);
/* Refuses with err when no host could ever meet what `said` (may be NULL) makes of the job's requirements:
 * -FM_FAILED_PRECONDITION. Else 0. */
int placement_check_said(const Fermata__V1__Job *head, const Fermata__V1__Placement *said,
                         struct fm_err *err) FM_MUST_CHECK;
/* What children are to require of a job that requires this (may be NULL). It points into `holds`. False:
 * nothing. */
bool placement_of_child(const Fermata__V1__Placement *holds, Fermata__V1__Placement *ret);

#endif
