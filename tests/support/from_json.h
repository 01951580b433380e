/* Messages of protobuf-c from JSON (json_text.h), for tests: as clients write them, with the names of the
 * proto. A wrong name or kind fails the test. */
#ifndef FM_FROM_JSON_H
#define FM_FROM_JSON_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

#include "arena.h"

/* All messages are valid from the first to the second. */
void from_json_begin(void);
void from_json_end(void);
/* The message that a text describes. */
void *from_json(const ProtobufCMessageDescriptor *d, const char *text);
void *from_json_value(const ProtobufCMessageDescriptor *d, json_t *j);
/* Memory for more of it, zeroed; and a text in it. */
void *from_json_take(size_t n, size_t size);
char *from_json_text(const char *s);
/* … all of it comes from here. */
extern struct fm_arena from_json_arena;

#endif
