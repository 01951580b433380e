/* Who does something, and why: the one place where both come in with a request. (Whoever knows callers by
 * certificates or tokens says so here.) */
#ifndef FM_CORE_WHO_H
#define FM_CORE_WHO_H

#include "err.h"

struct op;

/* Texts are borrowed, never NULL; "" where nothing was said. */
struct who {
    const char *by, *reason;
};

/* From what a request says in the fields of these names, up to 4 KiB each; `reason_field` NULL: it has none.
 * Returns 0 or -FM_INVALID_ARGUMENT. */
int who_asks(const struct op *op, const char *by_field, const char *by, const char *reason_field,
             const char *reason, struct who *ret, struct fm_err *err) FM_MUST_CHECK;
/* The coordinator itself. */
struct who who_none(const char *reason);

#endif
