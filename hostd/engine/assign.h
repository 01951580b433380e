/* What the coordinator says of a job: its assignment, inputs, interrupts. After each of these the
 * job may be gone. */
#ifndef FM_ENGINE_ASSIGN_H
#define FM_ENGINE_ASSIGN_H

#include "hjob.h"

struct _fermata_v1_Assign;
struct _fermata_v1_Deliver;

void hjob_assign(struct session *s, const struct _fermata_v1_Assign *m);
void hjob_deliver(struct hjob *job, const struct _fermata_v1_Deliver *m);
void hjob_interrupt(struct hjob *job, enum interrupt_kind kind, uint32_t grace_ms);

#endif
