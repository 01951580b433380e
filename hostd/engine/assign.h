/* What the coordinator says of a job: its assignment, inputs, acknowledgements, interrupts. After each of
 * these the job may be gone. */
#ifndef FM_ENGINE_ASSIGN_H
#define FM_ENGINE_ASSIGN_H

#include "hjob.h"

struct _fermata_v1_Assign;
struct _fermata_v1_Deliver;

void hjob_assign(struct session *s, const struct _fermata_v1_Assign *m);
void hjob_deliver(struct hjob *job, const struct _fermata_v1_Deliver *m);
/* The steps up to this number are on disk, and the coordinator has taken the job back when `released`. */
void hjob_ack(struct hjob *job, uint32_t number, bool released);
void hjob_interrupt(struct hjob *job, int kind, uint32_t grace_ms);

#endif
