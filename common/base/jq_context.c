/* What stands beside the data of jq programs. See jq_context.h. */
#include "jq_context.h"

#include <stddef.h>
#include <string.h>

bool jq_wants_context(const char *program)
{
    return strstr(program, "$shared") != NULL || strstr(program, "$state") != NULL;
}
