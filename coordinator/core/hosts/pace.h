/* The pace of assignments: how many bytes of them are under way to a host. */
#ifndef FM_CORE_HOSTS_PACE_H
#define FM_CORE_HOSTS_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host;
struct job;

#define UNDER_WAY_BYTES (16u * 1024 * 1024) /* of assignments, to one host */

/* True when an assignment may go to the host now; else it goes when others have arrived. */
bool pace_assign(struct host *h, struct job *job);
/* An assignment was sent, as the host's last message so far. */
void pace_sent(struct host *h, size_t bytes);
/* Nothing is under way any more. */
void pace_reset(struct host *h);
/* The job leaves its host. */
void pace_forget(struct host *h, struct job *job);
/* Assignments up to this message have arrived. */
void pace_take_acked(struct host *h, uint64_t seq);

#endif
