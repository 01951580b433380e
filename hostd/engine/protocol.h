/* The host's side of the host protocol: Hello, Welcome, what the coordinator says, heartbeats,
 * silence, the lease, Goodbye. The times are the engine's now_ms. */
#ifndef FM_ENGINE_PROTOCOL_H
#define FM_ENGINE_PROTOCOL_H

#include "hsession.h"

/* The stream is open: says Hello. */
void protocol_connected(struct session *s);
void protocol_disconnected(struct session *s);
/* Does what an encoded CoordinatorMessage says; no step is begun. */
void protocol_take(struct session *s, struct fm_bytes message);
/* Lets the coordinator know of what came, n bytes of it now, before it has sent as much as it
 * may. */
void protocol_acknowledge(struct session *s, size_t n);
/* Drops the session's jobs when the lease is over; first thing to be done with every input. */
void protocol_check_lease(struct session *s);
/* Time has passed: the lease, heartbeats, silence. */
void protocol_tick(struct session *s);
/* When protocol_tick must be called at the latest; -1: not needed. */
int64_t protocol_deadline(const struct session *s);
/* The host drains and the last job is given back: says Goodbye. */
void protocol_drained(struct session *s);

#endif
