/* JSON Schemas themselves: whether they are sound, and demand the same. Pure functions. See
 * json_schema.h. */
#ifndef FM_JSON_SCHEMA_VERIFY_H
#define FM_JSON_SCHEMA_VERIFY_H

#include <fermata/value.h>

#include "err.h"
#include "json_schema_types.h"

struct check;

/* Checks the schema itself. Adds each fault to err, its path (which begins with `path`) as the
 * field. Returns 0, or -FM_INVALID_ARGUMENT. */
int json_schema_verify(const struct fm_value *schema, const char *path, enum json_schema_use use,
                       struct fm_err *err) FM_MUST_CHECK;

/* Whether two schemas demand the same, as far as it is easily seen: annotations and the order of
 * keys do not matter. For schemas that json_schema_verify has found sound. */
bool json_schema_same(const struct fm_value *a, const struct fm_value *b);

/* For json_schema*.c: walk over a whole schema, and over one within. Return 0, or the error of the
 * first fault when they are not collected. */
int schema_verify_whole(struct check *c, const struct fm_value *schema);
int schema_verify(struct check *c, const struct fm_value *schema);
/* The schema that a reference leads to within the whole one: "#", or "#/" and a JSON pointer whose steps go
 * from schema to schema ("#/$defs/node"), so that the walk over the whole has looked at it. NULL: it leads to
 * none. */
const struct fm_value *schema_referred(struct check *c, const char *ref);

#endif
