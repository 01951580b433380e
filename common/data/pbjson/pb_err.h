/* Paths of fields in errors, which grow at the front as an error travels up: "", "id",
 * "routines[2].id". */
#ifndef FM_PB_ERR_H
#define FM_PB_ERR_H

#include "err.h"

#define PB_NO_INDEX ((size_t)-1)

/* Puts the name (valid UTF-8; cut where it is long) and, but for PB_NO_INDEX, "[at]" in front of the error's
 * field when rc is negative. Returns rc. */
int pb_err_below(struct fm_err *err, int rc, const char *name, size_t at);

#endif
