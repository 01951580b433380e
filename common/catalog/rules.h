/* What schemas of configurations cannot say. See catalog.h. */
#ifndef FM_RULES_H
#define FM_RULES_H

#include "catalog.h"

/* The rules of a built-in type; NULL: it has none. */
type_rules rules_of(const char *type);

#endif
