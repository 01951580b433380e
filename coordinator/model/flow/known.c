/* What the files that check flows share: names of fields, and what is known of types. See flow_int.h. */
#include "flow_int.h"

#include <stdarg.h>
#include <stdio.h>

void flow_path(char out[FLOW_PATH_BYTES], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(out, FLOW_PATH_BYTES, fmt, ap);
    va_end(ap);
}

const struct type_spec *flow_type(const char *type, const struct flow_types *known)
{
    const struct type_spec *told = known == NULL ? NULL : known->find(known->arg, type);
    const struct type_spec *builtin = type_catalog_find(type);
    return told != NULL && (told->config != NULL || builtin == NULL) ? told : builtin;
}
