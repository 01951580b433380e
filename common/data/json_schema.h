/* Checks values against a JSON Schema. A documented part of draft 2020-12:
 *   type (with "integer"), enum, const; properties, required, additionalProperties, minProperties,
 * maxProperties; items (one schema), minItems, maxItems, uniqueItems; minimum, maximum, exclusiveMinimum,
 * exclusiveMaximum, multipleOf; minLength, maxLength (characters), pattern (a POSIX extended regular
 * expression of up to 256 bytes without back references, in bytes); anyOf, oneOf, allOf, not; true and false
 * as schemas. Annotations ($schema, $id, $comment, title, description, default, examples, format, deprecated,
 * readOnly, writeOnly) are allowed and mean nothing. Any other keyword is refused: nothing that a schema
 * demands is silently not checked. Pure functions. */
#ifndef FM_JSON_SCHEMA_H
#define FM_JSON_SCHEMA_H

#include <fermata/value.h>

#include "err.h"

/* What does not meet the schema; path as for fm_value_get, "" for the whole. */
typedef void (*json_schema_fault)(void *arg, const char *path, const char *message);

/* Checks a value. Returns how many faults there are (each was passed to `fault`, which may be NULL), or
 * -FM_INVALID_ARGUMENT (the schema is faulty: err says where), or -FM_RESOURCE_EXHAUSTED (schema and value
 * are too large to be checked). */
int json_schema_check(const struct fm_value *schema, const struct fm_value *v, json_schema_fault fault,
                      void *arg, struct fm_err *err) FM_MUST_CHECK;
/* Checks the schema itself. Adds each fault to err, its path (which begins with `path`) as the field.
 * Lenient: only what every draft says of the commonest keywords is looked at, for schemas that others are to
 * read. Returns 0, or -FM_INVALID_ARGUMENT. */
int json_schema_verify(const struct fm_value *schema, const char *path, bool lenient,
                       struct fm_err *err) FM_MUST_CHECK;

#endif
