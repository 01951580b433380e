/* Paths of fields in errors. See path.h. */
#include "path.h"

#include <stdarg.h>
#include <stdio.h>

void flow_path(char out[FLOW_PATH_BYTES], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(out, FLOW_PATH_BYTES, fmt, ap);
    va_end(ap);
}
