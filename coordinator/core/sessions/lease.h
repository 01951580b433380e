/* Which hosts live: the ends of leases. */
#ifndef FM_CORE_SESSIONS_LEASE_H
#define FM_CORE_SESSIONS_LEASE_H

#include <stdint.h>

struct core;

void hosts_tick(struct core *c);
int64_t hosts_deadline(const struct core *c);
/* Recovery is complete: hosts may come, and those that have jobs are awaited from now on. */
void leases_recovered(struct core *c);
void leases_free(struct core *c);

#endif
