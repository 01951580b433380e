/* Names: 1 to FM_MAX_NAME_BYTES of the characters A-Z a-z 0-9 _ . - */
#ifndef FM_NAME_H
#define FM_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "agreed.h"
#include "err.h"

/* For error texts: what a name is made of. */
#define FM_NAME_RULE "1 to 128 of the characters A-Z a-z 0-9 _ . -"

/* How many characters at the beginning of the text may be in a name. */
size_t fm_name_span(const char *text);
/* True for a name; false for NULL. */
bool fm_name_ok(const char *text);
/* Returns 0, or -FM_INVALID_ARGUMENT, which names the field and says what is wrong with its
 * value. */
int fm_name_check(const char *field, const char *value, struct fm_err *err) FM_MUST_CHECK;

#endif
