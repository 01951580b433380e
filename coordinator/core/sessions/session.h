/* The streams of hosts: one calls these as core_host_opened, core_host_message (core.h). */
#ifndef FM_CORE_SESSION_H
#define FM_CORE_SESSION_H

#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "principal.h"

struct core;

void session_opened(struct core *c, uint64_t conn, const char *peer, const struct fm_principal *who);
/* A decoded and guarded fermata.v1.HostMessage. Steps beyond what a turn may work wait for the next one, and
 * what comes behind them with them. */
void session_message(struct core *c, uint64_t conn, const ProtobufCMessage *message);
/* Takes what waits, as far as this turn may work. */
void sessions_go_on(struct core *c);

#endif
