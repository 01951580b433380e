/* A field of variable size in nanopb's messages, and the callback that reads and writes it: what
 * the generated code refers to (see the .options files). Its meaning and its functions are in
 * hostd/wire/pb_var.h. */
#ifndef FM_PB_FIELD_H
#define FM_PB_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pb.h>

struct fm_bytes;

/* A field of variable size: all zero means absent. `present` tells an empty submessage from an
 * absent one. Strings and bytes are written when n > 0 (in a oneof also when `present`),
 * submessages when n > 0 or `present`. */
struct pb_var {
    const uint8_t *p;       /* singular: the bytes */
    struct fm_bytes *items; /* repeated: the elements */
    size_t n;               /* singular: number of bytes; repeated: number of elements */
    bool present;           /* singular: the field occurred */
};

/* The callback of every message (named in the .options files beside the protos). Called by
 * nanopb only. */
bool pb_var_callback(pb_istream_t *in, pb_ostream_t *out, const pb_field_t *field);

#endif
