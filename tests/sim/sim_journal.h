/* What must be true of the entries of journals: who did what. */
#ifndef SIM_JOURNAL_H
#define SIM_JOURNAL_H

#include "fermata/v1/jobs.pb-c.h"
#include "sim.h"

/* An operator's act on the job was acknowledged: it must have one entry of this kind. `what` is the pause
 * that it is about, or the reason that it gave; "": none. */
void journal_acked(size_t j, int kind, const char *what);
/* The whole history of the job. */
void journal_check(size_t j, const Fermata__V1__GetHistoryResponse *r);
/* The watch of job 0 has shown an entry. */
void journal_watched(const Fermata__V1__Entry *e);

#endif
