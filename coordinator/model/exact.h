/* Integers beyond ±2^53 at the clients' edge. Inside, such an integer is a Value with its nearest
 * double and a field of Fermata's own (common/data/struct_fields.h); protobuf-c keeps that as an unknown
 * field. Clients see its digits as text instead, and text that comes back unchanged to where it was shown is
 * the integer again. */
#ifndef FM_MODEL_EXACT_H
#define FM_MODEL_EXACT_H

#include <stdbool.h>

#include "buf.h"
#include "err.h"
#include "google/protobuf/struct.pb-c.h"
#include "number.h"
#include "wire.h"

/* Appends an encoded message as clients see it. False, with nothing appended: it has no such
 * integer. The bytes are the coordinator's own. Takes time in proportion to their size. */
bool exact_show(const struct wire_msg *msg, struct fm_bytes message, struct fm_buf *out);

/* The value as a number; false when it is none. */
bool exact_number(const Google__Protobuf__Value *v, struct number *ret);

/* Text in `v` (a message with memory of malloc's) that `shown` has as an integer at the same place becomes
 * that integer. Elements of lists are looked for at the same distance from the beginning, and from the
 * end when the lists differ in length. Either may be NULL. */
void exact_restore(Google__Protobuf__Value *v, const Google__Protobuf__Value *shown);
void exact_restore_struct(Google__Protobuf__Struct *v, const Google__Protobuf__Struct *shown);

#endif
