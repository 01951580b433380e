/* Reads a pattern of ECMA-262 and writes it for PCRE2. Private to ecma_regex.c. */
#ifndef FM_ECMA_SYNTAX_H
#define FM_ECMA_SYNTAX_H

#include "buf.h"
#include "err.h"

/* A pattern for PCRE2 (with PCRE2_UTF and PCRE2_DOLLAR_ENDONLY, without groups that capture), and
 * what a step of matching it may cost. */
struct ecma_syntax {
    struct fm_buf text;      /* NUL-terminated */
    size_t most_repeats;     /* the largest count in a repetition */
    size_t most_class_items; /* of one class: characters, ranges, properties */
};

/* Returns 0, or -FM_INVALID_ARGUMENT: err says what is wrong. `ret` is for ecma_syntax_done in any case. */
int ecma_syntax_read(const char *pattern, struct ecma_syntax *ret, struct fm_err *err) FM_MUST_CHECK;
void ecma_syntax_done(struct ecma_syntax *s);

#endif
