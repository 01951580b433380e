/* What hosts say about jobs: steps and releases. */
#ifndef FM_CORE_SESSIONS_STEPS_H
#define FM_CORE_SESSIONS_STEPS_H

#include <stdbool.h>
#include <stddef.h>

#include "fermata/v1/host_agent.pb-c.h"

struct core;
struct host;

#define MAX_BAD_STEPS 3

/* Takes the steps of a batch, in order, as far as this turn may work. Returns how many it has taken; the
 * others are to come again, in another turn. */
size_t host_on_steps(struct core *c, struct host *h, const Fermata__V1__StepBatch *b);
/* Whether this turn may still take steps. */
bool steps_may_work(const struct core *c);
/* A task is about to be handled; one that the job does not have breaks a rule, as a bad step does. */
void host_on_intent(struct core *c, struct host *h, const Fermata__V1__Intent *m);
void host_on_release(struct core *c, struct host *h, const Fermata__V1__Release *r);

#endif
