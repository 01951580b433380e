/* Encoding of protobuf-c's messages: the same bytes as protobuf_c_message_pack, for a third of the work. It
 * walks from the last field to the first, so that the length of what is nested is known when it is written,
 * where protobuf-c goes through a message once more for each level that it is nested in. */
#ifndef FM_COORD_PACK_H
#define FM_COORD_PACK_H

#include <protobuf-c/protobuf-c.h>

#include "buf.h"

/* Appends the encoding of a message (of proto3). */
void pb_pack(const void *message, struct fm_buf *out);

#endif
