/* What the client of a job makes of what it sees of it. */
#ifndef SIM_ANSWERS_H
#define SIM_ANSWERS_H

#include "fermata/v1/types.pb-c.h"
#include "sim.h"

/* The client has seen the job: answers its questions, lets it go on, changes it. */
void client_sees(size_t j, const Fermata__V1__Job *h);

#endif
