/* All methods that clients call. */
#ifndef FM_CORE_METHODS_TABLE_H
#define FM_CORE_METHODS_TABLE_H

#include <stddef.h>

#include "method.h"

/* The package that all of them are in. */
#define METHODS_PACKAGE "fermata.v1"

/* Method number i, NULL behind the last one. In the order of the protos. */
const struct method *method_at(size_t i);
/* The method "Service/Method", or NULL. */
const struct method *method_find(const char *name);

#endif
