/* The catalog of built-in routine types: all that is said of a type apart from its handlers,
 * which are hostd's (hostd/types). Both daemons read it: hosts offer what it says, and the
 * coordinator checks flows with it unless a host has told of a newer version. Each type is a file of types/,
 * a JSON object:
 *
 *   name, version, summary; effects: handlers have effects outside the job;
 *   slots: [{name, description, data: JSON Schema of the data}…]; "*" takes every slot that is not named;
 *   events: [{name, description, notice, call}…]; "*" admits any; what notice and call mean is said in
 *     fermata/routine.h (FM_EVENT_NOTICE, FM_EVENT_CALL);
 *   config: JSON Schema of the configuration. In it, "format" says what a string or an object is besides:
 *     "jq": a jq program; "json-schema": a JSON Schema that Fermata checks with; "json-schema-foreign": one
 *     that others are to read. They are checked with the configuration;
 *   examples: files of examples/ that show it.
 *
 * Rules that a schema cannot say are functions (rules.c). Thread-safe; what is returned lives as
 * long as the process. */
#ifndef FM_CATALOG_H
#define FM_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "rules.h"

#define TYPE_SCHEMA_BYTES 65536u      /* the most that a configuration's schema may have, as text */
#define TYPE_SCHEMAS_BYTES (1u << 20) /* the most that those of a host's types may have together */

struct type_slot {
    const char *name;
    const struct fm_value *data; /* JSON Schema of its data; NULL: any */
};

struct type_event {
    const char *name;
    bool notice, call;
};

struct type_spec {
    const char *name;
    uint32_t version;
    bool effects;
    const struct type_slot *slots;
    size_t n_slots;
    const struct type_event *events;
    size_t n_events;
    const struct fm_value *config; /* JSON Schema of the configuration */
    const char *config_text;       /* the same as JSON */
    type_rules rules;              /* NULL: none */
};

/* All of them. */
const struct type_spec *type_catalog(size_t *ret_n);
/* The type of this name, or NULL. */
const struct type_spec *type_catalog_find(const char *name);

/* Reads the schema of a type's configuration from JSON. NULL with err: it is too long, no JSON,
 * no object, has equal keys, or is not a sound schema without patterns. */
const struct fm_value *type_schema_read(const char *text, size_t n, struct fm_arena *a, struct fm_err *err);

#endif
