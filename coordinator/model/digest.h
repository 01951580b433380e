/* SHA-256 of bytes and of messages. Pure functions. */
#ifndef FM_DIGEST_H
#define FM_DIGEST_H

#include <protobuf-c/protobuf-c.h>

#include "buf.h"
#include "store.h"

/* SHA-256. */
void core_digest(struct fm_bytes bytes, uint8_t ret[STORE_DIGEST_BYTES]);
/* SHA-256 of a request without regard to the order of its maps. */
void core_request_digest(const ProtobufCMessage *request, uint8_t ret[STORE_DIGEST_BYTES]);
/* Sorts the entries of all maps in the message by key. */
void canonical_sort(ProtobufCMessage *message);

#endif
