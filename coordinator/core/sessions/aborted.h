/* Runs of handlers that hosts have aborted, for the journal. */
#ifndef FM_CORE_SESSIONS_ABORTED_H
#define FM_CORE_SESSIONS_ABORTED_H

#include "fermata/v1/host_agent.pb-c.h"
#include "id.h"

struct core;
struct host;
struct job;

/* The host gives the job back, and names them. */
void aborted_here(struct core *c, struct job *job, const Fermata__V1__Release *r);
/* The job had left the host before: it is read for that if it has to be. */
void aborted_elsewhere(struct core *c, const struct host *h, const struct fm_id *job,
                       const Fermata__V1__Release *r);

#endif
