/* How nanopb sees everything of variable size in Fermata's messages: as views, never as fixed
 * arrays.
 *
 * Each string, bytes, user-data message (Struct, Value) and repeated field of a generated struct is
 * a `struct pb_var`. A singular one is a view of the encoded bytes; a repeated one is an array of
 * such views, one per element (submessages and map entries stay encoded; decode an element with
 * pb_var_decode when you need it). Decoding copies no bytes: the views point into the input, arrays
 * of views come from the arena; both must outlive the message. One callback, bound by name in the
 * .options files, serves all messages. Scalars and small submessages are plain nanopb fields. */
#ifndef FM_PB_VAR_H
#define FM_PB_VAR_H

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "pb_field.h"

/* Decodes `in` into the zeroed message struct `msg` of type `desc`: nanopb leaves fields alone that
 * do not occur. The bytes must have
 * passed the wire guard (wire_nano.h) when they come from outside. Returns 0, or
 * -FM_INVALID_ARGUMENT with err set (then *msg is poison), or -FM_RESOURCE_EXHAUSTED when the arena
 * is full. */
int pb_var_decode(const pb_msgdesc_t *desc, void *msg, struct fm_bytes in, struct fm_arena *arena,
                  struct fm_err *err) FM_MUST_CHECK;

/* Appends the encoding of `msg` to `out`. Returns 0 or -FM_INTERNAL with err set. */
int pb_var_encode(const pb_msgdesc_t *desc, const void *msg, struct fm_buf *out,
                  struct fm_err *err) FM_MUST_CHECK;

/* The same of a message that we have made ourselves: one that cannot be encoded is a bug of ours,
 * and ends the process. */
void pb_var_pack(const pb_msgdesc_t *desc, const void *msg, struct fm_buf *out);

/* A view of a NUL-terminated string; absent when s is NULL or empty. */
struct pb_var pb_var_str(const char *s);
/* A view of bytes, present even when empty. */
struct pb_var pb_var_bytes(const void *p, size_t n);
/* The bytes of a singular field. */
static inline struct fm_bytes pb_var_view(struct pb_var v)
{
    return (struct fm_bytes){v.p, v.n};
}

/* A repeated field over n views. */
struct pb_var pb_var_list(struct fm_bytes *items, size_t n);
/* The string as a NUL-terminated copy in the arena; NULL when the arena is full. Never NULL for an
 * absent field: then "". */
char *pb_var_dup(struct pb_var v, struct fm_arena *arena);
/* True when the string equals s. */
bool pb_var_eq(struct pb_var v, const char *s);

#endif
