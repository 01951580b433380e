/* What a message of a host may hold, whatever it is about. */
#ifndef FM_CORE_SESSIONS_SAID_H
#define FM_CORE_SESSIONS_SAID_H

#include "err.h"
#include "fermata/v1/host_agent.pb-c.h"

struct host;

/* Checks the lengths of texts and lists, and what the message acknowledges; Hello and steps have checks of
 * their own. Returns 0, or -FM_INVALID_ARGUMENT with the field: then the stream ends. */
int said_check(const struct host *h, const Fermata__V1__HostMessage *m, struct fm_err *err) FM_MUST_CHECK;

#endif
