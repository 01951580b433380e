/* What the Hello of a host tells of routine types.
 *
 * A type's version stands for its schema: flows that were checked with one must not be checked with another
 * because some other host came last. So of a version that a host offers, which is attached or has its lease,
 * a schema that demands something else is refused. Of built-in types the catalog decides: a host cannot tell
 * another schema, slots or events of a version that this coordinator knows. What nobody offers any more is
 * forgotten. */
#ifndef FM_CORE_HOSTS_TOLD_H
#define FM_CORE_HOSTS_TOLD_H

#include "fermata/v1/host_agent.pb-c.h"

struct core;
struct host;

/* Takes the types of a host's Hello, whose earlier ones are gone: into its own table, and into that of the
 * core. Those that cannot be taken are refused. */
void told_take(struct core *c, struct host *h, const Fermata__V1__Hello *m);
/* The host leaves, or tells anew: what only it offered is forgotten. */
void told_forget(struct core *c, const struct host *h);

#endif
