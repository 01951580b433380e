/* JSON as servers and models write it when they are not careful. Pure functions. */
#ifndef FM_LLM_LENIENT_H
#define FM_LLM_LENIENT_H

#include "arena.h"
#include "json.h"

/* Appends the text with what JSON does not allow mended: a byte order mark is left out; NUL characters, lone
 * surrogates and bytes that are no UTF-8 become U+FFFD; control characters in strings are escaped, escapes
 * that there are not lose their backslash; numbers beyond a double, NaN and Infinity become null. JSON
 * stays as it is. At most six times as long. */
void lenient_mend(const char *text, size_t n, struct fm_buf *out);
/* json_value_read, of the mended text where the text itself is none. */
const struct fm_value *lenient_read(const char *text, size_t n, struct fm_arena *a,
                                    struct fm_err *err) FM_MUST_CHECK;

#endif
