/* The wire guard for protobuf-c: every decode of bytes from outside goes through pbc_decode. */
#ifndef FM_WIRE_PBC_H
#define FM_WIRE_PBC_H

#include <protobuf-c/protobuf-c.h>

#include "arena.h"
#include "wire.h"

/* The guard's view of a descriptor and of all it refers to; made once, kept for ever. One thread. */
const struct wire_msg *wire_msg_of(const ProtobufCMessageDescriptor *d);

/* Guards and decodes into the arena. Returns 0 with a message that lives as long as the arena, or as
 * wire_check, or -FM_RESOURCE_EXHAUSTED when the arena is full. One thread. */
int pbc_decode(const ProtobufCMessageDescriptor *d, struct fm_bytes bytes, size_t max_bytes,
               struct fm_arena *arena, ProtobufCMessage **ret, struct fm_err *err) FM_MUST_CHECK;
/* The same with other limits than wire_limits_for(max_bytes). */
int pbc_decode_within(const ProtobufCMessageDescriptor *d, struct fm_bytes bytes,
                      const struct wire_limits *limits, struct fm_arena *arena, ProtobufCMessage **ret,
                      struct fm_err *err) FM_MUST_CHECK;

#endif
