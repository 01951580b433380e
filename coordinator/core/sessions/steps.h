/* What hosts say about jobs: steps and releases. */
#ifndef FM_CORE_SESSIONS_STEPS_H
#define FM_CORE_SESSIONS_STEPS_H

#include "fermata/v1/host_agent.pb-c.h"

struct core;
struct host;

#define MAX_BAD_STEPS 3

void host_on_steps(struct core *c, struct host *h, const Fermata__V1__StepBatch *b);
/* A task is about to be handled; one that the job does not have breaks a rule, as a bad step does. */
void host_on_intent(struct core *c, struct host *h, const Fermata__V1__Intent *m);
void host_on_release(struct core *c, struct host *h, const Fermata__V1__Release *r);

#endif
