/* Whether a call may be made, before anything of it is decoded; and who speaks in its request. Loop's thread.
 */
#ifndef FM_SERVER_ACCESS_H
#define FM_SERVER_ACCESS_H

#include <stdbool.h>

#include <protobuf-c/protobuf-c.h>

#include "arena.h"
#include "method.h"

struct roles;
struct rpc_call;

/* What this principal may do; without roles every person is an administrator. */
unsigned access_rights(const struct roles *roles, const struct fm_principal *who);
/* True when the call may be made, and who makes it; else it is refused with PERMISSION_DENIED. `method` is
 * its name, for the error. */
bool access_permits(struct rpc_call *call, const struct roles *roles, const char *method,
                    enum method_role needs, struct caller *ret);
/* Where the caller has proved who it is, that is who answers, claims and so on; what the request says of it
 * becomes on_behalf_of. Texts come from the arena; false: it has no room for them. */
bool access_set_speaker(const struct caller *caller, ProtobufCMessage *request,
                        struct fm_arena *arena) FM_MUST_CHECK;

#endif
