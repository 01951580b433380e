/* The wire guard for nanopb: every decode of bytes from outside goes through nano_decode. */
#ifndef FM_WIRE_NANO_H
#define FM_WIRE_NANO_H

#include "arena.h"
#include "pb_var.h"
#include "wire.h"

/* The guard's view of a descriptor and of all it refers to; made once, kept for ever. nanopb keeps
 * no names, so fields are called by their numbers. One thread. */
const struct wire_msg *wire_msg_of_nano(const pb_msgdesc_t *desc, const char *name);

/* Guards and decodes; as pb_var_decode. One thread. */
int nano_decode(const pb_msgdesc_t *desc, const char *name, void *msg, struct fm_bytes in, size_t max_bytes,
                struct fm_arena *arena, struct fm_err *err) FM_MUST_CHECK;

/* Proves that Debian's nanopb and our code agree on their build flags: what one writes the other
 * reads. Returns 0 or -FM_INTERNAL. At start. */
int nano_self_test(struct fm_err *err) FM_MUST_CHECK;

#endif
