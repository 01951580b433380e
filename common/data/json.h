/* Values from JSON text and as JSON text (RFC 8259). */
#ifndef FM_JSON_H
#define FM_JSON_H

#include <fermata/value.h>

#include "arena.h"
#include "buf.h"
#include "err.h"

/* Reads one JSON text, with nothing but white space round it, into the arena. NULL with err:
 * FM_INVALID_ARGUMENT (it is not JSON, has a NUL in a string, or is nested too deeply) or
 * FM_RESOURCE_EXHAUSTED (arena). Of equal keys the last one counts. Integers of int64 and uint64
 * are kept exactly; a number that cannot be kept without a change beyond the rounding of a fraction
 * (number.h) is an error that names it. */
struct fm_value *json_value_read(const char *text, size_t n, struct fm_arena *a,
                                 struct fm_err *err) FM_MUST_CHECK;
/* The same, but equal keys are an error. */
struct fm_value *json_value_read_unique(const char *text, size_t n, struct fm_arena *a,
                                        struct fm_err *err) FM_MUST_CHECK;
/* Appends the value as JSON without white space; NULL is null. Integers up to uint64 have
 * all their digits, other numbers as many as they need. */
void json_value_write(const struct fm_value *v, struct fm_buf *out);
/* Append a string of n bytes of UTF-8, quoted, and a finite number, as they stand in such JSON. */
void json_string_write(const char *s, size_t n, struct fm_buf *out);
void json_number_write(double n, struct fm_buf *out);

#endif
