/* What the Hello of a host tells of routine types.
 *
 * A type's version stands for its schema: flows that were checked with one must not be checked with another
 * because some other host came last. So of a version that a host offers, which is attached or has its lease,
 * a schema that demands something else is refused; once nobody offers it any more, it may be replaced. */
#ifndef FM_CORE_HOSTS_TOLD_H
#define FM_CORE_HOSTS_TOLD_H

#include "fermata/v1/host_agent.pb-c.h"

struct core;
struct host;

/* Takes the types of a host's Hello, whose earlier ones are gone: into its own table, and into that of the
 * core. Those that cannot be taken are refused. */
void told_take(struct core *c, struct host *h, const Fermata__V1__Hello *m);

#endif
