/* Checks values against a JSON Schema. A documented part of draft 2020-12:
 *   type (with "integer"), enum, const; properties, patternProperties, propertyNames, required,
 * dependentRequired, additionalProperties, minProperties, maxProperties; items (one schema), prefixItems,
 * contains, minContains, maxContains, minItems, maxItems, uniqueItems; minimum, maximum,
 * exclusiveMinimum, exclusiveMaximum, multipleOf; minLength, maxLength (characters), pattern (see
 * ecma_regex.h; up to 64);
 * anyOf, oneOf, allOf, not, if, then, else, dependentSchemas; $ref to a schema within the whole one ("#",
 * "#/$defs/…"), $defs, definitions; true and false as schemas. Annotations ($schema, $id, $comment,
 * title, description, default, examples, format, deprecated, readOnly, writeOnly) are allowed
 * and mean nothing. Any other keyword is refused: nothing that a schema demands is silently not
 * checked. Pure functions. */
#ifndef FM_JSON_SCHEMA_H
#define FM_JSON_SCHEMA_H

#include <fermata/value.h>

#include "err.h"
#include "json_schema_types.h"
#include "json_schema_verify.h"

/* Checks a value. Returns how many faults there are (the first thousand were passed to `report`,
 * which may be NULL), or -FM_INVALID_ARGUMENT (the schema is faulty: err says where), or
 * -FM_RESOURCE_EXHAUSTED (schema and value are too large to be checked, or a pattern needs too much
 * work or memory: err names it). */
int json_schema_check(const struct fm_value *schema, const struct fm_value *v, json_schema_report report,
                      void *arg, struct fm_err *err) FM_MUST_CHECK;

/* The same within a bound of work, which several checks may share. */
int json_schema_check_within(const struct fm_value *schema, const struct fm_value *v,
                             struct json_schema_work *work, json_schema_report report, void *arg,
                             struct fm_err *err) FM_MUST_CHECK;

/* The same with a schema that json_schema_verify has found to be JSON_SCHEMA_PLAIN, which is not
 * looked at again. Several checks may share the bound of their work; what is reported is work too. */
int json_schema_check_plain(const struct fm_value *schema, const struct fm_value *v,
                            struct json_schema_work *work, json_schema_report report, void *arg,
                            struct fm_err *err) FM_MUST_CHECK;

/* Reports the keys of a map that are none of `properties`, as a schema does that admits no
 * others; until the work is used up. */
void json_schema_report_unknown(const struct fm_value *properties, const struct fm_value *map,
                                struct json_schema_work *work, json_schema_report report, void *arg);

#endif
