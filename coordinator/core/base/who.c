/* Who does something, and why. See who.h. */
#include "who.h"

#include <stddef.h>

#include "check.h"
#include "err.h"
#include "op.h"

int who_asks(const struct op *op, const char *by_field, const char *by, const char *reason_field,
             const char *reason, struct who *ret, struct fm_err *err)
{
    (void)op;
    int rc = check_text(by_field, by, err);
    if (rc == 0 && reason_field != NULL)
        rc = check_text(reason_field, reason, err);
    *ret = (struct who){by, reason_field != NULL ? reason : ""};
    return rc;
}

struct who who_none(const char *reason)
{
    return (struct who){"", reason};
}
