/* Words of the JSON Schema check. See json_schema.h. */
#ifndef FM_JSON_SCHEMA_TYPES_H
#define FM_JSON_SCHEMA_TYPES_H

#include <stdbool.h>
#include <stddef.h>

enum json_schema_fault_kind {
    JSON_SCHEMA_FAULT,   /* a value is not as it must be */
    JSON_SCHEMA_MISSING, /* an object lacks the property `key` */
    JSON_SCHEMA_UNKNOWN  /* the property `key` is none that its object may have */
};

/* What does not meet the schema. Paths are as for fm_value_get, "" for the whole; valid until
 * the callback returns. */
struct json_schema_fault {
    enum json_schema_fault_kind kind;
    const char *path;   /* of the value; of an unknown property, and of the object that lacks one */
    const char *object; /* of a property: path of the object that lacks or has it */
    const char *key;    /* of a property; else NULL */
    const char *message;
};
typedef void (*json_schema_report)(void *arg, const struct json_schema_fault *fault);

enum json_schema_use {
    JSON_SCHEMA_WHOLE,   /* we check with it: all of it must be understood */
    JSON_SCHEMA_PLAIN,   /* the same, and it has no patterns, so that a check takes no longer than it looks */
    JSON_SCHEMA_FOREIGN, /* others are to read it: only what every draft says of the commonest keywords is
                            looked at */
};

/* The most comparisons of one check, or of several that share this bound: a part of a second. */
#define JSON_SCHEMA_WORK 20000000u
/* The same on a thread that others wait for: some milliseconds. */
#define JSON_SCHEMA_BRIEF_WORK 500000u
#define JSON_SCHEMA_TOO_LARGE "the schema and the data are too large to be checked"

/* What checks that share their bounds may use, and have used so far; at first all is 0. */
struct json_schema_work {
    size_t most;      /* 0: JSON_SCHEMA_WORK */
    bool no_patterns; /* a schema with patterns is too much, too: nobody else's code runs */
    size_t done;
    unsigned n_suggested; /* unknown properties for which the nearest known one was looked for */
};

#endif
