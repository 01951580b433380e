/* Patterns of JSON Schemas. Private to json_schema*.c. */
#ifndef FM_JSON_SCHEMA_PATTERN_H
#define FM_JSON_SCHEMA_PATTERN_H

#include "json_schema_walk.h"

/* Compiles a pattern of the schema, which stays, and adds it to those of the check. Returns 0, or the error
 * of a fault when they are not collected. */
int schema_add_pattern(struct check *c, const char *source);
/* Whether the pattern, which the schema's walk has found, matches. When that takes too much work or
 * memory, the check stops. */
bool schema_matches(struct check *c, const char *source, const char *text);
void schema_free_patterns(struct check *c);

#endif
