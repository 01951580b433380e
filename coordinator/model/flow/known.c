/* What is known of routine types. See known.h. */
#include "known.h"

const struct type_spec *flow_type(const char *type, const struct flow_types *known)
{
    const struct type_spec *told = known == NULL ? NULL : known->find(known->arg, type);
    const struct type_spec *builtin = type_catalog_find(type);
    return told != NULL && (told->config != NULL || builtin == NULL) ? told : builtin;
}
