/* What the Hello of a host tells of routine types.
 *
 * A type's version stands for its schema, its slots and its events: flows that were checked with some must
 * not be checked with others because some other host came last. So the definition of the first host holds for
 * as long as any host offers it, whether attached or within its lease; a host that says something else of the
 * same version is refused that type. The refused host need not come back for it: when nobody offers the other
 * definition any more, its own is taken. Of built-in types the catalog decides: a host cannot tell another
 * schema, slots or events of a version that this coordinator knows. What nobody offers any more is forgotten.
 *
 * What is kept has limits: of each name, of each Hello, and of all hosts together. */
#ifndef FM_CORE_HOSTS_TOLD_H
#define FM_CORE_HOSTS_TOLD_H

#include "err.h"
#include "fermata/v1/host_agent.pb-c.h"

struct core;
struct host;

/* The names and the number of its types can be told apart and kept. What is wrong with one type only is a
 * matter of told_take. */
int told_check(const Fermata__V1__Hello *m, struct fm_err *err) FM_MUST_CHECK;
/* Takes the types of a host's Hello, whose earlier ones are forgotten. Those that cannot be taken are
 * refused.
 */
void told_take(struct core *c, struct host *h, const Fermata__V1__Hello *m);
/* Forgets what the host has told. */
void told_forget(struct core *c, struct host *h);
/* Hosts have left or have told anew: types that were refused because of what these said are looked at again.
 */
void told_settle(struct core *c);

/* The host takes work, or offers what it did not: jobs for which there was no host may go there. */
void host_has_news(struct core *c, struct host *h);

#endif
