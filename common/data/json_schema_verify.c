/* The walk over a schema itself, after which a check need not ask what kind a keyword's value
 * has. See json_schema_verify.h. */
#include "json_schema_verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json_schema_pattern.h"
#include "json_schema_walk.h"
#include "mem.h"
#include "number.h"
#include "value.h"

#define KEYWORD_WORK 8 /* to find out what a keyword is */

static int faulty(struct check *c, const char *what)
{
    return schema_refuse(c, "must be %s", what);
}

static int verify_number(struct check *c, const struct fm_value *v)
{
    return fm_value_kind(v) == FM_NUMBER ? 0 : faulty(c, "a number");
}

static int verify_positive(struct check *c, const struct fm_value *v)
{
    return fm_value_number(v, 0) > 0 ? 0 : faulty(c, "a number greater than 0");
}

static int verify_count(struct check *c, const struct fm_value *v)
{
    double n = fm_value_number(v, -1);
    return n >= 0 && n == floor(n) ? 0 : faulty(c, "a whole number, 0 or greater");
}

static int verify_bool(struct check *c, const struct fm_value *v)
{
    return fm_value_kind(v) == FM_BOOL ? 0 : faulty(c, "true or false");
}

static int verify_any(struct check *c, const struct fm_value *v)
{
    (void)c;
    (void)v;
    return 0;
}

static int verify_list(struct check *c, const struct fm_value *v)
{
    return fm_value_kind(v) == FM_LIST ? 0 : faulty(c, "a list");
}

static int verify_names(struct check *c, const struct fm_value *v)
{
    if (fm_value_kind(v) != FM_LIST)
        return faulty(c, "a list of strings");
    for (size_t i = 0; i < fm_value_size(v); i++)
        if (fm_value_kind(fm_value_at(v, i)) != FM_STRING)
            return faulty(c, "a list of strings");
    return 0;
}

static const char *const types[] = {"null", "boolean", "number", "string", "array", "object", "integer"};
#define N_TYPES (sizeof(types) / sizeof(types[0]))

static bool is_type(const struct fm_value *v)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (strcmp(fm_value_string(v, ""), types[i]) == 0)
            return true;
    return false;
}

static int verify_type(struct check *c, const struct fm_value *v)
{
    bool ok = fm_value_kind(v) == FM_LIST ? fm_value_size(v) > 0 : is_type(v);
    for (size_t i = 0; fm_value_kind(v) == FM_LIST && i < fm_value_size(v); i++)
        ok = ok && is_type(fm_value_at(v, i));
    return ok ? 0 : faulty(c, "null, boolean, number, string, array, object or integer, or a list of these");
}

static int verify_pattern(struct check *c, const struct fm_value *v)
{
    if (fm_value_kind(v) != FM_STRING)
        return faulty(c, "a string");
    return schema_add_pattern(c, fm_value_string(v, ""));
}

static int verify_schemas(struct check *c, const struct fm_value *v)
{
    if (fm_value_kind(v) != FM_LIST || fm_value_size(v) == 0)
        return faulty(c, "a list of schemas");
    for (size_t i = 0; i < fm_value_size(v); i++) {
        size_t was = schema_path_down(c, "[%zu]", i);
        int rc = schema_verify(c, fm_value_at(v, i));
        schema_path_back(c, was);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int verify_properties(struct check *c, const struct fm_value *v)
{
    if (fm_value_kind(v) != FM_MAP)
        return faulty(c, "an object of schemas");
    for (size_t i = 0; i < fm_value_size(v); i++) {
        size_t was = schema_path_key(c, fm_value_key(v, i));
        int rc = schema_verify(c, fm_value_at(v, i));
        schema_path_back(c, was);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* By the patterns of their names. */
static int verify_patterns(struct check *c, const struct fm_value *v)
{
    int rc = verify_properties(c, v);
    for (size_t i = 0; rc == 0 && fm_value_kind(v) == FM_MAP && i < fm_value_size(v); i++) {
        size_t was = schema_path_key(c, fm_value_key(v, i));
        rc = schema_add_pattern(c, fm_value_key(v, i));
        schema_path_back(c, was);
    }
    return rc;
}

static int verify_dependent(struct check *c, const struct fm_value *v)
{
    if (fm_value_kind(v) != FM_MAP)
        return faulty(c, "an object of lists of strings");
    for (size_t i = 0; i < fm_value_size(v); i++) {
        size_t was = schema_path_key(c, fm_value_key(v, i));
        int rc = verify_names(c, fm_value_at(v, i));
        schema_path_back(c, was);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* What a keyword's value is. A format is no demand of ours, but of those who give it a meaning. */
enum meaning { ANNOTATION, DEMAND, SCHEMA, SCHEMAS, NAMED_SCHEMAS };

static const struct keyword {
    const char *name;
    enum meaning meaning;
    int (*holds)(struct check *c, const struct fm_value *v);
} keywords[] = {
    {"type",                 DEMAND,        verify_type      },
    {"enum",                 DEMAND,        verify_list      },
    {"const",                DEMAND,        verify_any       },
    {"properties",           NAMED_SCHEMAS, verify_properties},
    {"required",             DEMAND,        verify_names     },
    {"additionalProperties", SCHEMA,        schema_verify    },
    {"patternProperties",    NAMED_SCHEMAS, verify_patterns  },
    {"propertyNames",        SCHEMA,        schema_verify    },
    {"dependentRequired",    DEMAND,        verify_dependent },
    {"minProperties",        DEMAND,        verify_count     },
    {"maxProperties",        DEMAND,        verify_count     },
    {"items",                SCHEMA,        schema_verify    },
    {"prefixItems",          SCHEMAS,       verify_schemas   },
    {"contains",             SCHEMA,        schema_verify    },
    {"minContains",          DEMAND,        verify_count     },
    {"maxContains",          DEMAND,        verify_count     },
    {"minItems",             DEMAND,        verify_count     },
    {"maxItems",             DEMAND,        verify_count     },
    {"uniqueItems",          DEMAND,        verify_bool      },
    {"minimum",              DEMAND,        verify_number    },
    {"maximum",              DEMAND,        verify_number    },
    {"exclusiveMinimum",     DEMAND,        verify_number    },
    {"exclusiveMaximum",     DEMAND,        verify_number    },
    {"multipleOf",           DEMAND,        verify_positive  },
    {"minLength",            DEMAND,        verify_count     },
    {"maxLength",            DEMAND,        verify_count     },
    {"pattern",              DEMAND,        verify_pattern   },
    {"anyOf",                SCHEMAS,       verify_schemas   },
    {"oneOf",                SCHEMAS,       verify_schemas   },
    {"allOf",                SCHEMAS,       verify_schemas   },
    {"not",                  SCHEMA,        schema_verify    },
    {"if",                   SCHEMA,        schema_verify    },
    {"then",                 SCHEMA,        schema_verify    },
    {"else",                 SCHEMA,        schema_verify    },
    {"$schema",              ANNOTATION,    verify_any       },
    {"$id",                  ANNOTATION,    verify_any       },
    {"$comment",             ANNOTATION,    verify_any       },
    {"title",                ANNOTATION,    verify_any       },
    {"description",          ANNOTATION,    verify_any       },
    {"default",              ANNOTATION,    verify_any       },
    {"examples",             ANNOTATION,    verify_any       },
    {"format",               DEMAND,        verify_any       },
    {"deprecated",           ANNOTATION,    verify_any       },
    {"readOnly",             ANNOTATION,    verify_any       },
    {"writeOnly",            ANNOTATION,    verify_any       },
};
#define N_KEYWORDS (sizeof(keywords) / sizeof(keywords[0]))

/* Whether a keyword is looked at. Schemas for others than us may say more than we know, or in
 * another draft. */
static bool matters(const struct check *c, const char *key, const struct fm_value *v)
{
    static const char *const sure[] = {"type",  "enum",  "properties", "required", "additionalProperties",
                                       "anyOf", "oneOf", "allOf",      "not"};
    if (c->use != JSON_SCHEMA_FOREIGN)
        return true;
    for (size_t i = 0; i < sizeof(sure) / sizeof(sure[0]); i++)
        if (strcmp(sure[i], key) == 0)
            return true;
    return strcmp(key, "items") == 0 && fm_value_kind(v) != FM_LIST;
}

static const struct keyword *keyword_of(const char *name)
{
    for (size_t i = 0; i < N_KEYWORDS; i++)
        if (strcmp(keywords[i].name, name) == 0)
            return &keywords[i];
    return NULL;
}

int schema_verify(struct check *c, const struct fm_value *schema)
{
    if (fm_value_kind(schema) == FM_BOOL)
        return 0;
    if (fm_value_kind(schema) != FM_MAP)
        return faulty(c, "a schema: an object, true or false");
    for (size_t i = 0; i < fm_value_size(schema); i++) {
        const char *key = fm_value_key(schema, i);
        if (!matters(c, key, fm_value_at(schema, i)))
            continue;
        if (!schema_spend(c, KEYWORD_WORK))
            return schema_stop(c, JSON_SCHEMA_TOO_LARGE);
        size_t was = schema_path_key(c, key);
        const struct keyword *k = keyword_of(key);
        int rc = k != NULL ? k->holds(c, fm_value_at(schema, i))
                           : schema_refuse(c, "this keyword of JSON Schema is not supported");
        schema_path_back(c, was);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int json_schema_verify(const struct fm_value *schema, const char *path, enum json_schema_use use,
                       struct fm_err *err)
{
    struct check c = {.err = err, .collect = true, .use = use};
    (void)schema_path_down(&c, "%s", path);
    (void)schema_verify(&c, schema);
    schema_free_patterns(&c);
    return c.n_faults == 0 ? 0 : -FM_INVALID_ARGUMENT;
}

/* ---- two schemas ---- */

struct part {
    const char *key;
    const struct fm_value *v;
    enum meaning meaning;
};

static int by_key(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    return strcmp(x->key, y->key);
}

/* What a map demands, by its keys. Annotations of a schema demand nothing. */
static struct part *parts_of(const struct fm_value *map, enum meaning meaning, size_t *ret_n)
{
    struct part *parts = fm_xcalloc(fm_value_size(map) + 1, sizeof(*parts));
    size_t n = 0;
    for (size_t i = 0; i < fm_value_size(map); i++) {
        const char *key = fm_value_key(map, i);
        const struct keyword *k = meaning == SCHEMA ? keyword_of(key) : NULL;
        enum meaning m = k != NULL ? k->meaning : meaning == NAMED_SCHEMAS ? SCHEMA : DEMAND;
        if (meaning != SCHEMA || (k != NULL && m != ANNOTATION))
            parts[n++] = (struct part){key, fm_value_at(map, i), m};
    }
    qsort(parts, n, sizeof(*parts), by_key);
    *ret_n = n;
    return parts;
}

static bool same(const struct fm_value *a, const struct fm_value *b, enum meaning meaning);

static bool same_map(const struct fm_value *a, const struct fm_value *b, enum meaning meaning)
{
    size_t n, m;
    fm_autofree struct part *x = parts_of(a, meaning, &n);
    fm_autofree struct part *y = parts_of(b, meaning, &m);
    bool ok = n == m;
    for (size_t i = 0; ok && i < n; i++)
        ok = strcmp(x[i].key, y[i].key) == 0 && same(x[i].v, y[i].v, x[i].meaning);
    return ok;
}

static bool same_list(const struct fm_value *a, const struct fm_value *b, enum meaning meaning)
{
    bool ok = fm_value_size(a) == fm_value_size(b);
    for (size_t i = 0; ok && i < fm_value_size(a); i++)
        ok = same(fm_value_at(a, i), fm_value_at(b, i), meaning == SCHEMAS ? SCHEMA : meaning);
    return ok;
}

/* Looks at each part of both once. */
static bool same(const struct fm_value *a, const struct fm_value *b, enum meaning meaning)
{
    if (fm_value_kind(a) != fm_value_kind(b))
        return false;
    switch (fm_value_kind(a)) {
    case FM_NULL:
        return true;
    case FM_BOOL:
        return fm_value_bool(a, false) == fm_value_bool(b, false);
    case FM_NUMBER:
        return number_compare(value_as_number(a), value_as_number(b)) == 0;
    case FM_STRING:
        return strcmp(fm_value_string(a, ""), fm_value_string(b, "")) == 0;
    case FM_LIST:
        return same_list(a, b, meaning);
    case FM_MAP:
        return same_map(a, b, meaning);
    }
    return false;
}

bool json_schema_same(const struct fm_value *a, const struct fm_value *b)
{
    return same(a, b, SCHEMA);
}
