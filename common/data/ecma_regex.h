/* Regular expressions as ECMA-262 (and so JSON Schema) means them, matched by PCRE2 with bounds of
 * work and memory, for patterns and texts that nobody has vetted.
 *
 * A pattern is read as one with the flag "u", case matters, "." matches no line end, "$" only the
 * end; besides, POSIX classes ([[:alpha:]]) are understood, and punctuation may be escaped that need
 * not be. Refused are back references, whatever ECMA-262 does not know (possessive repetitions,
 * inline flags, \A, \Q, …), and what means something else in POSIX expressions ("[]a]", "{,3}",
 * "\<"): a pattern never silently changes its meaning. Lookbehinds must have a fixed length.
 *
 * Work is counted, not timed: a pattern with a text needs the same anywhere. A unit is some
 * nanoseconds. No callouts but those by which work is counted, no JIT, nothing shared: any thread. */
#ifndef FM_ECMA_REGEX_H
#define FM_ECMA_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

#define ECMA_REGEX_MAX_BYTES 1000 /* of a pattern */

struct ecma_regex;
/* Memory for matches, one after the other. */
struct ecma_regex_room;

/* NULL with -FM_INVALID_ARGUMENT in err, without a field: what is wrong with the pattern. */
struct ecma_regex *ecma_regex_new(const char *pattern, struct fm_err *err) FM_MUST_CHECK;
void ecma_regex_free(struct ecma_regex *r);
/* What compiling it was worth, in units of work. */
size_t ecma_regex_work(const struct ecma_regex *r);

struct ecma_regex_room *ecma_regex_room_new(void);
void ecma_regex_room_free(struct ecma_regex_room *room);

enum ecma_regex_result {
    ECMA_REGEX_DIFFERS,
    ECMA_REGEX_MATCHES,
    ECMA_REGEX_TOO_MUCH_WORK,   /* it is not known whether it matches */
    ECMA_REGEX_TOO_MUCH_MEMORY, /* the same: more than 256 KiB, or a byte for each unit of work left, or 8 MiB
                                 */
    ECMA_REGEX_NOT_TEXT         /* the text is not UTF-8 */
};
/* Whether the pattern matches anywhere in the text. `work` is what may be spent; what was is taken
 * off it. */
enum ecma_regex_result ecma_regex_match(const struct ecma_regex *r, struct ecma_regex_room *room,
                                        const char *text, size_t n, size_t *work);

#endif
