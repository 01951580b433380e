/* How a job leaves this host. */
#ifndef FM_ENGINE_RELEASE_H
#define FM_ENGINE_RELEASE_H

#include "hjob.h"

/* Forgets the job: aborts its handlers, frees all. */
void hjob_drop(struct hjob *job);
/* The same of a job that has left this host by the coordinator's word (it was cancelled, or its last step has
 * ended it): the coordinator hears which handlers were at work and were aborted, if any. */
void hjob_end(struct hjob *job);
/* Gives the job back, for a reason and with words for it, and forgets it. What it has sent
 * stands before the release in the stream. Without a session it is only forgotten. */
void hjob_release(struct hjob *job, enum release_reason reason, const char *message);

#endif
