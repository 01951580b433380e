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

#define MAX_STEP 256   /* bytes of a step of a pointer */
#define MAX_CIRCLE 256 /* references that lead to nothing but a reference */
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

/* ---- references ---- */

static int verify_ref(struct check *c, const struct fm_value *ref)
{
    const char *text = fm_value_string(ref, NULL);
    if (text == NULL)
        return schema_refuse(c, "must be a string");
    if (c->use == JSON_SCHEMA_PLAIN)
        return schema_refuse(c, "this schema may have no references");
    c->has_ref = true;
    if (c->has_inner_id)
        return schema_refuse(c, "references are not supported in a schema that has $id within");
    for (size_t i = 0; text != NULL; i++) {
        const struct fm_value *to = schema_referred(c, text);
        if (to == NULL)
            return schema_refuse(
                c, "%.100s leads to no schema within this one: only \"#\" and \"#/…\" are followed", text);
        if (i == MAX_CIRCLE)
            return schema_refuse(c, "%.100s leads round in a circle", text);
        text = fm_value_string(schema_member(c, to, "$ref"), NULL);
        if (!schema_can_work(c))
            return schema_stop(c, JSON_SCHEMA_TOO_LARGE);
    }
    return 0;
}

static int verify_id(struct check *c, const struct fm_value *id)
{
    if (id == c->root_id)
        return 0;
    c->has_inner_id = true;
    return c->has_ref ? schema_refuse(c, "is not supported within a schema that has references") : 0;
}

/* ---- keywords ---- */

/* What a keyword's value is, as far as schemas are in it. */
enum schema_meaning { SCHEMA_ANNOTATION, SCHEMA_DEMAND, SCHEMA_ONE, SCHEMA_LIST, SCHEMA_NAMED };

/* A format is no demand of ours, but of those who give it a meaning. */
static const struct keyword {
    const char *name;
    enum schema_meaning meaning;
    int (*holds)(struct check *c, const struct fm_value *v);
} keywords[] = {
    {"type",                 SCHEMA_DEMAND,     verify_type      },
    {"enum",                 SCHEMA_DEMAND,     verify_list      },
    {"const",                SCHEMA_DEMAND,     verify_any       },
    {"properties",           SCHEMA_NAMED,      verify_properties},
    {"required",             SCHEMA_DEMAND,     verify_names     },
    {"additionalProperties", SCHEMA_ONE,        schema_verify    },
    {"patternProperties",    SCHEMA_NAMED,      verify_patterns  },
    {"propertyNames",        SCHEMA_ONE,        schema_verify    },
    {"dependentRequired",    SCHEMA_DEMAND,     verify_dependent },
    {"minProperties",        SCHEMA_DEMAND,     verify_count     },
    {"maxProperties",        SCHEMA_DEMAND,     verify_count     },
    {"items",                SCHEMA_ONE,        schema_verify    },
    {"prefixItems",          SCHEMA_LIST,       verify_schemas   },
    {"contains",             SCHEMA_ONE,        schema_verify    },
    {"minContains",          SCHEMA_DEMAND,     verify_count     },
    {"maxContains",          SCHEMA_DEMAND,     verify_count     },
    {"minItems",             SCHEMA_DEMAND,     verify_count     },
    {"maxItems",             SCHEMA_DEMAND,     verify_count     },
    {"uniqueItems",          SCHEMA_DEMAND,     verify_bool      },
    {"minimum",              SCHEMA_DEMAND,     verify_number    },
    {"maximum",              SCHEMA_DEMAND,     verify_number    },
    {"exclusiveMinimum",     SCHEMA_DEMAND,     verify_number    },
    {"exclusiveMaximum",     SCHEMA_DEMAND,     verify_number    },
    {"multipleOf",           SCHEMA_DEMAND,     verify_positive  },
    {"minLength",            SCHEMA_DEMAND,     verify_count     },
    {"maxLength",            SCHEMA_DEMAND,     verify_count     },
    {"pattern",              SCHEMA_DEMAND,     verify_pattern   },
    {"anyOf",                SCHEMA_LIST,       verify_schemas   },
    {"oneOf",                SCHEMA_LIST,       verify_schemas   },
    {"allOf",                SCHEMA_LIST,       verify_schemas   },
    {"not",                  SCHEMA_ONE,        schema_verify    },
    {"if",                   SCHEMA_ONE,        schema_verify    },
    {"then",                 SCHEMA_ONE,        schema_verify    },
    {"else",                 SCHEMA_ONE,        schema_verify    },
    {"dependentSchemas",     SCHEMA_NAMED,      verify_properties},
    {"$defs",                SCHEMA_NAMED,      verify_properties},
    {"definitions",          SCHEMA_NAMED,      verify_properties},
    {"$ref",                 SCHEMA_DEMAND,     verify_ref       },
    {"$schema",              SCHEMA_ANNOTATION, verify_any       },
    {"$id",                  SCHEMA_ANNOTATION, verify_id        },
    {"$comment",             SCHEMA_ANNOTATION, verify_any       },
    {"title",                SCHEMA_ANNOTATION, verify_any       },
    {"description",          SCHEMA_ANNOTATION, verify_any       },
    {"default",              SCHEMA_ANNOTATION, verify_any       },
    {"examples",             SCHEMA_ANNOTATION, verify_any       },
    {"format",               SCHEMA_DEMAND,     verify_any       },
    {"deprecated",           SCHEMA_ANNOTATION, verify_any       },
    {"readOnly",             SCHEMA_ANNOTATION, verify_any       },
    {"writeOnly",            SCHEMA_ANNOTATION, verify_any       },
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

/* One that we do not know demands something. */
static enum schema_meaning meaning_of(const char *keyword)
{
    const struct keyword *k = keyword_of(keyword);
    return k != NULL ? k->meaning : SCHEMA_DEMAND;
}

/* ---- where references lead ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The next character of a pointer that stands in the fragment of a URI; moves on. */
static char next_character(const char **at)
{
    const char *p = *at;
    if (p[0] == '%' && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
        *at = p + 3;
        return (char)(hex(p[1]) * 16 + hex(p[2]));
    }
    *at = p + 1;
    return *p;
}

/* The step between two slashes, with ~1 for /, ~0 for ~. False when it is too long. */
static bool next_step(const char **at, char step[MAX_STEP])
{
    size_t n = 0;
    while (**at != '\0' && **at != '/') {
        char c = next_character(at);
        if (c == '~') {
            c = next_character(at);
            if (c != '0' && c != '1')
                return false;
            c = c == '1' ? '/' : '~';
        }
        if (c == '\0' || n == MAX_STEP - 1)
            return false;
        step[n++] = c;
    }
    step[n] = '\0';
    return true;
}

static const struct fm_value *element(const struct fm_value *list, const char *index)
{
    char *end;
    if (index[0] < '0' || index[0] > '9' || (index[0] == '0' && index[1] != '\0'))
        return NULL;
    unsigned long i = strtoul(index, &end, 10);
    return *end == '\0' ? fm_value_at(list, i) : NULL;
}

const struct fm_value *schema_referred(struct check *c, const char *ref)
{
    char step[MAX_STEP];
    const struct fm_value *at = c->root;
    enum schema_meaning meaning = SCHEMA_ONE;
    if (*ref++ != '#')
        return NULL;
    while (*ref == '/' && at != NULL) {
        ref++;
        if (!next_step(&ref, step))
            return NULL;
        if (meaning == SCHEMA_ONE) {
            meaning = meaning_of(step);
            at = meaning == SCHEMA_ANNOTATION || meaning == SCHEMA_DEMAND ? NULL : schema_member(c, at, step);
        } else {
            at = meaning == SCHEMA_LIST ? element(at, step) : schema_member(c, at, step);
            meaning = SCHEMA_ONE;
        }
    }
    return *ref == '\0' && meaning == SCHEMA_ONE ? at : NULL;
}

/* ---- the walk ---- */

int schema_verify_whole(struct check *c, const struct fm_value *schema)
{
    c->root = schema;
    c->root_id = fm_value_kind(schema) == FM_MAP ? schema_member(c, schema, "$id") : NULL;
    return schema_verify(c, schema);
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
    (void)schema_verify_whole(&c, schema);
    schema_free_patterns(&c);
    return c.n_faults == 0 ? 0 : -FM_INVALID_ARGUMENT;
}

/* ---- two schemas ---- */

struct part {
    const char *key;
    const struct fm_value *v;
    enum schema_meaning meaning;
};

static int by_key(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    return strcmp(x->key, y->key);
}

/* What a map demands, by its keys. Annotations of a schema demand nothing. */
static struct part *parts_of(const struct fm_value *map, enum schema_meaning meaning, size_t *ret_n)
{
    struct part *parts = fm_xcalloc(fm_value_size(map) + 1, sizeof(*parts));
    size_t n = 0;
    for (size_t i = 0; i < fm_value_size(map); i++) {
        const char *key = fm_value_key(map, i);
        const struct keyword *k = meaning == SCHEMA_ONE ? keyword_of(key) : NULL;
        enum schema_meaning m = k != NULL ? k->meaning : meaning == SCHEMA_NAMED ? SCHEMA_ONE : SCHEMA_DEMAND;
        if (meaning != SCHEMA_ONE || (k != NULL && m != SCHEMA_ANNOTATION))
            parts[n++] = (struct part){key, fm_value_at(map, i), m};
    }
    qsort(parts, n, sizeof(*parts), by_key);
    *ret_n = n;
    return parts;
}

static bool same(const struct fm_value *a, const struct fm_value *b, enum schema_meaning meaning);

static bool same_map(const struct fm_value *a, const struct fm_value *b, enum schema_meaning meaning)
{
    size_t n, m;
    fm_autofree struct part *x = parts_of(a, meaning, &n);
    fm_autofree struct part *y = parts_of(b, meaning, &m);
    bool ok = n == m;
    for (size_t i = 0; ok && i < n; i++)
        ok = strcmp(x[i].key, y[i].key) == 0 && same(x[i].v, y[i].v, x[i].meaning);
    return ok;
}

static bool same_list(const struct fm_value *a, const struct fm_value *b, enum schema_meaning meaning)
{
    bool ok = fm_value_size(a) == fm_value_size(b);
    for (size_t i = 0; ok && i < fm_value_size(a); i++)
        ok = same(fm_value_at(a, i), fm_value_at(b, i), meaning == SCHEMA_LIST ? SCHEMA_ONE : meaning);
    return ok;
}

/* Looks at each part of both once. */
static bool same(const struct fm_value *a, const struct fm_value *b, enum schema_meaning meaning)
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
    return same(a, b, SCHEMA_ONE);
}
