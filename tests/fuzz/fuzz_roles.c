/* A file of roles: it is read, and gives nobody more than an administrator has, or it is refused with a
 * reason. */
#include <stdlib.h>

#include "fuzz.h"
#include "method.h"
#include "roles.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_err err = {0};
    struct roles *r = roles_parse((const char *)data, size, &err);
    if (r != NULL && (roles_of(r, "user:ann") & ~(ALL_RIGHTS & ~RIGHT(ROLE_HOST))) != 0)
        abort();
    if (r == NULL && (err.code != FM_INVALID_ARGUMENT || err.msg[0] == '\0'))
        abort();
    roles_free(r);
    fm_err_done(&err);
    return 0;
}
