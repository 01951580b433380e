/* Patterns of JSON Schemas. Private to json_schema*.c. */
#ifndef FM_JSON_SCHEMA_PATTERN_H
#define FM_JSON_SCHEMA_PATTERN_H

#include "json_schema_walk.h"

int schema_compile_pattern(struct check *c, const struct fm_value *source, regex_t *ret, bool *ret_ok);
/* Whether the pattern, which the schema's walk has found, matches. */
bool schema_matches(const struct check *c, const struct fm_value *source, const char *text);

#endif
