/* The catalog of built-in routine types: what hostd offers and what the coordinator checks flows against.
 * Knows no message. */
#ifndef FM_BUILTIN_TYPES_H
#define FM_BUILTIN_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum param_kind {
    PARAM_STRING,
    PARAM_NUMBER,
    PARAM_BOOL,
    PARAM_LIST,
    PARAM_STRINGS,
    PARAM_MAP,
    PARAM_CONTENT,
    PARAM_ANY,
    PARAM_JQ,    /* a string: a jq program */
    PARAM_SCHEMA /* a map: a JSON Schema */
};

/* A key of a configuration, or a field of a slot's data. */
struct builtin_param {
    const char *name;
    enum param_kind kind;
    bool required;
    double min, max;            /* of numbers, when max > min */
    const char *const *choices; /* of strings; NULL-terminated; NULL: any */
};

struct builtin_slot {
    const char *name;
    const struct builtin_param *fields; /* of the data; others are admitted */
    size_t n_fields;
};

struct builtin_type {
    const char *name;
    uint32_t version;
    const struct builtin_slot *slots;
    size_t n_slots;
    const char *const *events;
    size_t n_events;
    const struct builtin_param *config;
    size_t n_config;
    /* Keys beyond `config` are refused. But when this is set and config.provider is another one: they are
     * passed on to that provider. */
    const char *closed_provider;
    bool effects; /* handlers have effects outside the job */
    const char *const
        *one_of; /* exactly one of these keys of config must be there; NULL-terminated; NULL: nothing */
};

/* The type of this name, or NULL. */
const struct builtin_type *builtin_type_find(const char *name);
/* All of them. */
const struct builtin_type *builtin_types(size_t *ret_n);
/* "a string", "a number" and so on. */
const char *param_kind_name(enum param_kind kind);

#endif
