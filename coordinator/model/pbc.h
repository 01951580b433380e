/* What protobuf-c's messages need beside protobuf-c. Encoding: the same bytes as
 * protobuf_c_message_pack, for a third of the work. It walks from the last field to the first, so that
 * the length of what is nested is known when it is written, where protobuf-c goes through a message
 * once more for each level that it is nested in. */
#ifndef FM_MODEL_PBC_H
#define FM_MODEL_PBC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "buf.h"
#include "google/protobuf/timestamp.pb-c.h"

/* Appends the encoding of a message (of proto3). */
void pb_pack(const void *message, struct fm_buf *out);
/* Appends a message as a field of one that is being put together. */
void pb_put(struct fm_buf *out, uint32_t field, const void *message);
/* Whether a field of a message is set: proto3 tells 0 and "" from nothing only in a oneof. */
bool pb_is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
/* The messages in a field of that type, repeated or not, and how many they are. */
ProtobufCMessage *const *pb_messages(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                                     size_t *ret_n);
/* A deep copy, made by packing and unpacking; NULL for NULL. Free with
 * protobuf_c_message_free_unpacked(m, NULL). */
void *pb_clone(const void *message);
/* A message that is freed at the end of its scope, or NULL: `fm_auto_pb Fermata__V1__Job *job = …;`. */
#define fm_auto_pb __attribute__((cleanup(pb_free_local)))
void pb_free_local(void *message);
/* Replaces a string of a message made by protobuf-c's unpack or by these functions. */
void pb_set_string(char **field, const char *value);
/* Sets or makes a Timestamp. */
void pb_set_time(Google__Protobuf__Timestamp **field, int64_t wall_ms);
/* Wall milliseconds of a time, 0 for none. */
int64_t time_to_ms(const Google__Protobuf__Timestamp *t);

#endif
