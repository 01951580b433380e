/* The network of a run: a router (the run's own namespace, where the clients are) with a link to each host
 * and to the coordinator, each in a namespace of its own; and what can be done to a link. Main thread. */
#ifndef FM_CHAOS_NET_H
#define FM_CHAOS_NET_H

#include <stdbool.h>

/* Name of the namespace at the end of a link, for nsenter: the path; and its address. */
const char *net_namespace(int link);
const char *net_address(int link);

/* Builds it; says which faults this kernel does not have. */
void net_up(void);
bool net_can_drop(void); /* packets by rule (nft) */

void net_link_down(int link);
/* Packets that come from there, or go there, are lost: this many of a hundred. */
void net_lose_from(int link, unsigned percent);
void net_lose_to(int link, unsigned percent);
/* What goes there takes long: netem's delay, or where the kernel has none a slow link. */
void net_slow(int link);
/* Undoes all of these. */
void net_heal(int link);

#endif
