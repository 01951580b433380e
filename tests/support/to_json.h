/* Messages of protobuf-c as JSON, for tests: fields under their names in the proto, without those that have
 * the default value; enums by name; google.protobuf.Struct and Value as what they stand for, Timestamp as
 * milliseconds since 1970, bytes in
 * hexadecimal digits (the first 64). */
#ifndef FM_TO_JSON_H
#define FM_TO_JSON_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

/* For json_decref. */
json_t *to_json(const ProtobufCMessage *m);

#endif
