/* Calls of one message and one reply to the coordinator. */
#ifndef FM_CHAOS_CALL_H
#define FM_CHAOS_CALL_H

#include <protobuf-c/protobuf-c.h>

#include "rpc.h"

/* `status->code` FM_OK: `reply` is there. Valid during the call of it. On the loop's thread. */
typedef void (*call_done)(void *user, const struct fm_err *status, struct fm_bytes reply);

/* Any thread. `method`: "Jobs/GetJob". */
void call_start(struct rpc_channel *c, const char *method, const ProtobufCMessage *request,
                int64_t deadline_ms, call_done done, void *user);
/* Waits for the end; any thread but the loop's. Returns 0 and the reply, for
 * protobuf_c_message_free_unpacked, or -code. */
int call_wait(struct rpc_channel *c, const char *method, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *reply_type, ProtobufCMessage **ret_reply,
              struct fm_err *err) FM_MUST_CHECK;

#endif
