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

enum json_schema_fault_kind {
    JSON_SCHEMA_FAULT,   /* a value is not as it must be */
    JSON_SCHEMA_MISSING, /* an object lacks the property `key` */
    JSON_SCHEMA_UNKNOWN  /* the property `key` is none that its object may have */
};

/* What does not meet the schema. Paths are as for fm_value_get, "" for the whole; valid until the callback
 * returns. */
struct json_schema_fault {
    enum json_schema_fault_kind kind;
    const char *path;   /* of the value; of an unknown property, and of the object that lacks one */
    const char *object; /* of a property: path of the object that lacks or has it */
    const char *key;    /* of a property; else NULL */
    const char *message;
};
typedef void (*json_schema_report)(void *arg, const struct json_schema_fault *fault);

/* Checks a value. Returns how many faults there are (each was passed to `report`, which may be NULL), or
 * -FM_INVALID_ARGUMENT (the schema is faulty: err says where), or -FM_RESOURCE_EXHAUSTED (schema and value
 * are too large to be checked). */
int json_schema_check(const struct fm_value *schema, const struct fm_value *v, json_schema_report report,
                      void *arg, struct fm_err *err) FM_MUST_CHECK;

/* The most comparisons of one check: a part of a second. */
#define JSON_SCHEMA_WORK 20000000u
/* The same with a schema that json_schema_verify has found to be JSON_SCHEMA_PLAIN, which is not looked at
 * again. Several checks may share a bound of their work: *work is what they have used so far. */
int json_schema_check_plain(const struct fm_value *schema, const struct fm_value *v, size_t *work,
                            json_schema_report report, void *arg, struct fm_err *err) FM_MUST_CHECK;

enum json_schema_use {
    JSON_SCHEMA_WHOLE,   /* we check with it: all of it must be understood */
    JSON_SCHEMA_PLAIN,   /* the same, and it has no patterns, so that a check takes no longer than it looks */
    JSON_SCHEMA_FOREIGN, /* others are to read it: only what every draft says of the commonest keywords is
                            looked at */
};
/* Checks the schema itself. Adds each fault to err, its path (which begins with `path`) as the field.
 * Returns 0, or -FM_INVALID_ARGUMENT. */
int json_schema_verify(const struct fm_value *schema, const char *path, enum json_schema_use use,
                       struct fm_err *err) FM_MUST_CHECK;

/* Reports the keys of a map that are none of `properties`, as a schema does that admits no others. */
void json_schema_report_unknown(const struct fm_value *properties, const struct fm_value *map,
                                json_schema_report report, void *arg);

/* Whether two schemas demand the same, as far as it is easily seen: annotations and the order of keys do not
 * matter. For schemas that json_schema_verify has found sound. */
bool json_schema_same(const struct fm_value *a, const struct fm_value *b);

#endif
