/* JSON Schema over values. First the schema itself is walked, so that the check of the value need not ask
 * what kind a keyword's value has. What both do is bounded by a budget of comparisons. See json_schema.h. */
#include "json_schema.h"

#include <math.h>
#include <regex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUDGET 20000000 /* comparisons: a part of a second */
#define MAX_PATTERN_BYTES 256
#define MAX_REPEATS 100000 /* more are counted as so many */
#define MAX_NESTED 3       /* repetitions inside each other */
#define MAX_EXPANDED 2000  /* a pattern with its repetitions written out: what regcomp makes of it */
#define MAX_PATTERNS 64
#define PATH_BYTES 256

struct pattern {
    const struct fm_value *source;
    regex_t regex;
};

struct check {
    json_schema_fault fault;
    void *arg;
    struct fm_err *err;
    int n_faults;
    size_t work;
    unsigned quiet; /* inside anyOf, oneOf, not: faults only count */
    bool collect;   /* of the schema: all faults are added to err, with their paths as fields */
    bool lenient;   /* what is not known is no fault */
    char path[PATH_BYTES];
    size_t path_n;
    struct pattern *patterns;
    size_t n_patterns;
};

static bool spend(struct check *c, size_t n)
{
    c->work += n;
    return c->work <= BUDGET;
}

/* ---- where we are ---- */

/* Goes down; returns what path_back wants. A path that is too long is cut. */
static size_t path_down(struct check *c, const char *fmt, ...) FM_PRINTF(2, 3);
static size_t path_down(struct check *c, const char *fmt, ...)
{
    size_t was = c->path_n;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(c->path + was, sizeof(c->path) - was, fmt, ap);
    va_end(ap);
    if (n > 0)
        c->path_n = was + (size_t)n < sizeof(c->path) - 1 ? was + (size_t)n : sizeof(c->path) - 1;
    return was;
}

static size_t path_key(struct check *c, const char *key)
{
    return path_down(c, "%s%.128s", c->path_n > 0 ? "." : "", key);
}

static void path_back(struct check *c, size_t was)
{
    c->path_n = was;
    c->path[was] = '\0';
}

static void fault(struct check *c, const char *fmt, ...) FM_PRINTF(2, 3);
static void fault(struct check *c, const char *fmt, ...)
{
    char text[256];
    c->n_faults++;
    if (c->quiet > 0 || c->fault == NULL)
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    c->fault(c->arg, c->path, text);
}

/* ---- values ---- */

static const char *kind_name(const struct fm_value *v)
{
    static const char *const names[] = {"null", "boolean", "number", "string", "array", "object"};
    return names[fm_value_kind(v)];
}

/* A member by its key, which is no path. */
static const struct fm_value *member(struct check *c, const struct fm_value *map, const char *key)
{
    size_t n = fm_value_kind(map) == FM_MAP ? fm_value_size(map) : 0;
    (void)spend(c, n / 8 + 1);
    for (size_t i = n; i-- > 0;)
        if (strcmp(fm_value_key(map, i), key) == 0)
            return fm_value_at(map, i);
    return NULL;
}

static bool has_member(struct check *c, const struct fm_value *map, const char *key)
{
    size_t n = fm_value_kind(map) == FM_MAP ? fm_value_size(map) : 0;
    (void)spend(c, n / 8 + 1);
    for (size_t i = n; i-- > 0;)
        if (strcmp(fm_value_key(map, i), key) == 0)
            return true;
    return false;
}

static bool equal(struct check *c, const struct fm_value *a, const struct fm_value *b)
{
    if (!spend(c, 1) || fm_value_kind(a) != fm_value_kind(b) || fm_value_size(a) != fm_value_size(b))
        return false;
    switch (fm_value_kind(a)) {
    case FM_NULL:
        return true;
    case FM_BOOL:
        return fm_value_bool(a, false) == fm_value_bool(b, false);
    case FM_NUMBER:
        return fm_value_number(a, 0) == fm_value_number(b, 0);
    case FM_STRING:
        return strcmp(fm_value_string(a, ""), fm_value_string(b, "")) == 0;
    case FM_LIST:
        for (size_t i = 0; i < fm_value_size(a); i++)
            if (!equal(c, fm_value_at(a, i), fm_value_at(b, i)))
                return false;
        return true;
    case FM_MAP:
        for (size_t i = 0; i < fm_value_size(a); i++)
            if (!has_member(c, b, fm_value_key(a, i)) ||
                !equal(c, fm_value_at(a, i), member(c, b, fm_value_key(a, i))))
                return false;
        return true;
    }
    return false;
}

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

/* A fault of the schema. Returns 0 when the walk is to go on. */
static int refuse(struct check *c, const char *fmt, ...) FM_PRINTF(2, 3);
static int refuse(struct check *c, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (!c->collect)
        return fm_err_set(c->err, FM_INVALID_ARGUMENT, "schema", "%s: %s", c->path, text);
    c->n_faults++;
    (void)fm_err_add(c->err, FM_INVALID_ARGUMENT, c->path, "%s", text);
    return 0;
}

/* ---- patterns ---- */

/* The size of an expression when its repetitions are written out, as regcomp does: "a+" is "aa*", "a{3}" is
 * "aaa", and what is nested multiplies. Adds up one level of parentheses. */
struct level {
    size_t sum, last; /* of all atoms but the last, and of the last one */
    /* Repetitions inside each other, in all atoms and in the last one: glibc's regcomp takes time exponential
     * in them. */
    unsigned deepest, depth;
};

static size_t end_of_bracket(const char *p, size_t i)
{
    i++;
    if (p[i] == '^')
        i++;
    if (p[i] == ']')
        i++;
    for (; p[i] != '\0' && p[i] != ']'; i++) {
        char kind = p[i] == '[' ? p[i + 1] : '\0';
        if (kind != '.' && kind != ':' && kind != '=')
            continue;
        for (i += 2; p[i] != '\0' && !(p[i] == kind && p[i + 1] == ']'); i++)
            ;
        if (p[i] != '\0')
            i++;
        else
            i--;
    }
    return p[i] == '\0' ? i - 1 : i;
}

/* The last byte of "{3}", "{1,}", "{1,3}" at p[i], and how often it repeats; i itself when it is no interval.
 */
static size_t end_of_interval(const char *p, size_t i, size_t *ret_times)
{
    size_t at = i + 1;
    unsigned long from = 0, to;
    for (; p[at] >= '0' && p[at] <= '9'; at++)
        from = from > MAX_REPEATS ? from : from * 10 + (unsigned long)(p[at] - '0');
    to = from;
    if (p[at] == ',') {
        to = 0;
        if (p[++at] == '}')
            to = from + 1;
        for (; p[at] >= '0' && p[at] <= '9'; at++)
            to = to > MAX_REPEATS ? to : to * 10 + (unsigned long)(p[at] - '0');
    }
    *ret_times = from > to ? from : to;
    return p[at] == '}' ? at : i;
}

static void add_atom(struct level *l, size_t size, unsigned depth)
{
    l->sum += l->last;
    l->last = size > 0 ? size : 1;
    l->depth = depth;
    if (depth > l->deepest)
        l->deepest = depth;
}

static void repeat_atom(struct level *l, size_t size)
{
    l->last = size;
    l->depth++;
    if (l->depth > l->deepest)
        l->deepest = l->depth;
}

/* SIZE_MAX for a back reference. */
static size_t pattern_cost(const char *p)
{
    struct level levels[MAX_PATTERN_BYTES + 1] = {{0}};
    size_t n = 0, times;
    for (size_t i = 0; p[i] != '\0'; i++) {
        struct level *l = &levels[n];
        if (p[i] == '\\') {
            if (p[i + 1] >= '1' && p[i + 1] <= '9')
                return SIZE_MAX;
            if (p[i + 1] != '\0')
                i++;
            add_atom(l, 1, 0);
        } else if (p[i] == '[') {
            i = end_of_bracket(p, i);
            add_atom(l, 1, 0);
        } else if (p[i] == '(') {
            levels[++n] = (struct level){0};
        } else if (p[i] == ')' && n > 0) {
            n--;
            add_atom(&levels[n], l->sum + l->last, l->deepest);
        } else if (p[i] == '+') {
            repeat_atom(l, l->last * 2 + 1);
        } else if (p[i] == '*' || p[i] == '?') {
            repeat_atom(l, l->last + 1);
        } else if (p[i] == '{' && end_of_interval(p, i, &times) != i) {
            i = end_of_interval(p, i, &times);
            repeat_atom(l, l->last * (times > 0 ? times : 1));
        } else {
            add_atom(l, 1, 0);
        }
        if (levels[n].sum + levels[n].last > MAX_EXPANDED || levels[n].deepest > MAX_NESTED)
            return MAX_EXPANDED + 1;
    }
    return 0;
}

static int compile_pattern(struct check *c, const struct fm_value *source, regex_t *ret, bool *ret_ok)
{
    const char *text = fm_value_string(source, "");
    bool is_long = strlen(text) > MAX_PATTERN_BYTES;
    size_t cost = is_long ? 0 : pattern_cost(text);
    if (is_long || cost > 0)
        return refuse(c, "a pattern %s",
                      is_long            ? "has at most 256 bytes"
                      : cost == SIZE_MAX ? "may have no back references"
                                         : "may have at most 3 repetitions inside each other, and 2000 "
                                           "characters when they are written out");
    int rc = regcomp(ret, text, REG_EXTENDED | REG_NOSUB);
    *ret_ok = rc == 0;
    if (rc == 0)
        return 0;
    char message[128];
    (void)regerror(rc, ret, message, sizeof(message));
    return refuse(c, "%s", message);
}

/* Found by the schema's walk, so it is there. */
static bool matches(const struct check *c, const struct fm_value *source, const char *text)
{
    for (size_t i = 0; i < c->n_patterns; i++)
        if (c->patterns[i].source == source)
            return regexec(&c->patterns[i].regex, text, 0, NULL, 0) == 0;
    return false;
}

/* ---- the schema itself ---- */

static int verify(struct check *c, const struct fm_value *schema);

static int faulty(struct check *c, const char *what)
{
    return refuse(c, "must be %s", what);
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
    if (c->n_patterns == MAX_PATTERNS)
        return refuse(c, "the schema has more than %d patterns", MAX_PATTERNS);
    struct pattern *p = &c->patterns[c->n_patterns];
    p->source = v;
    bool ok = false;
    int rc = compile_pattern(c, v, &p->regex, &ok);
    if (ok)
        c->n_patterns++;
    return rc;
}

static int verify_schemas(struct check *c, const struct fm_value *v)
{
    if (fm_value_kind(v) != FM_LIST || fm_value_size(v) == 0)
        return faulty(c, "a list of schemas");
    for (size_t i = 0; i < fm_value_size(v); i++) {
        size_t was = path_down(c, "[%zu]", i);
        int rc = verify(c, fm_value_at(v, i));
        path_back(c, was);
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
        size_t was = path_key(c, fm_value_key(v, i));
        int rc = verify(c, fm_value_at(v, i));
        path_back(c, was);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static const struct keyword {
    const char *name;
    int (*verify)(struct check *c, const struct fm_value *v);
} keywords[] = {
    {"type",                 verify_type      },
    {"enum",                 verify_list      },
    {"const",                verify_any       },
    {"properties",           verify_properties},
    {"required",             verify_names     },
    {"additionalProperties", verify           },
    {"minProperties",        verify_count     },
    {"maxProperties",        verify_count     },
    {"items",                verify           },
    {"minItems",             verify_count     },
    {"maxItems",             verify_count     },
    {"uniqueItems",          verify_bool      },
    {"minimum",              verify_number    },
    {"maximum",              verify_number    },
    {"exclusiveMinimum",     verify_number    },
    {"exclusiveMaximum",     verify_number    },
    {"multipleOf",           verify_positive  },
    {"minLength",            verify_count     },
    {"maxLength",            verify_count     },
    {"pattern",              verify_pattern   },
    {"anyOf",                verify_schemas   },
    {"oneOf",                verify_schemas   },
    {"allOf",                verify_schemas   },
    {"not",                  verify           },
    {"$schema",              verify_any       },
    {"$id",                  verify_any       },
    {"$comment",             verify_any       },
    {"title",                verify_any       },
    {"description",          verify_any       },
    {"default",              verify_any       },
    {"examples",             verify_any       },
    {"format",               verify_any       },
    {"deprecated",           verify_any       },
    {"readOnly",             verify_any       },
    {"writeOnly",            verify_any       },
};
#define N_KEYWORDS (sizeof(keywords) / sizeof(keywords[0]))

/* Whether a keyword is looked at. Schemas for others than us may say more than we know, or in another draft.
 */
static bool matters(const struct check *c, const char *key, const struct fm_value *v)
{
    static const char *const sure[] = {"type",  "enum",  "properties", "required", "additionalProperties",
                                       "anyOf", "oneOf", "allOf",      "not"};
    if (!c->lenient)
        return true;
    for (size_t i = 0; i < sizeof(sure) / sizeof(sure[0]); i++)
        if (strcmp(sure[i], key) == 0)
            return true;
    return strcmp(key, "items") == 0 && fm_value_kind(v) != FM_LIST;
}

static int verify(struct check *c, const struct fm_value *schema)
{
    if (fm_value_kind(schema) == FM_BOOL)
        return 0;
    if (fm_value_kind(schema) != FM_MAP)
        return faulty(c, "a schema: an object, true or false");
    for (size_t i = 0; i < fm_value_size(schema); i++) {
        const char *key = fm_value_key(schema, i);
        if (!matters(c, key, fm_value_at(schema, i)))
            continue;
        size_t was = path_key(c, key), k = 0;
        while (k < N_KEYWORDS && strcmp(keywords[k].name, key) != 0)
            k++;
        int rc = k < N_KEYWORDS ? keywords[k].verify(c, fm_value_at(schema, i))
                                : refuse(c, "this keyword of JSON Schema is not supported");
        path_back(c, was);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- the value ---- */

static void check_value(struct check *c, const struct fm_value *schema, const struct fm_value *v);

/* Faults of a value that is only tried. */
static int faults_of(struct check *c, const struct fm_value *schema, const struct fm_value *v)
{
    int before = c->n_faults;
    c->quiet++;
    check_value(c, schema, v);
    c->quiet--;
    int n = c->n_faults - before;
    c->n_faults = before;
    return n;
}

static bool is_of_type(const struct fm_value *v, const char *type)
{
    if (strcmp(type, "integer") == 0)
        return fm_value_kind(v) == FM_NUMBER && fm_value_number(v, 0) == floor(fm_value_number(v, 0));
    return strcmp(kind_name(v), type) == 0;
}

static void check_type(struct check *c, const struct fm_value *type, const struct fm_value *v)
{
    char allowed[128] = "";
    size_t n = fm_value_kind(type) == FM_LIST ? fm_value_size(type) : 1;
    for (size_t i = 0; i < n; i++) {
        const char *name = fm_value_string(fm_value_kind(type) == FM_LIST ? fm_value_at(type, i) : type, "");
        if (is_of_type(v, name))
            return;
        size_t at = strlen(allowed);
        snprintf(allowed + at, sizeof(allowed) - at, "%s%s", i > 0 ? " or " : "", name);
    }
    fault(c, "is %s; it must be %s", kind_name(v), allowed);
}

static void check_enum(struct check *c, const struct fm_value *allowed, const struct fm_value *v)
{
    for (size_t i = 0; i < fm_value_size(allowed); i++)
        if (equal(c, fm_value_at(allowed, i), v))
            return;
    fault(c, "is none of the values that are allowed");
}

static void check_number(struct check *c, const struct fm_value *schema, double n)
{
    const struct fm_value *k;
    if ((k = member(c, schema, "minimum")) != NULL && n < fm_value_number(k, 0))
        fault(c, "is %.15g; it must be %.15g or more", n, fm_value_number(k, 0));
    if ((k = member(c, schema, "maximum")) != NULL && n > fm_value_number(k, 0))
        fault(c, "is %.15g; it must be %.15g or less", n, fm_value_number(k, 0));
    if ((k = member(c, schema, "exclusiveMinimum")) != NULL && n <= fm_value_number(k, 0))
        fault(c, "is %.15g; it must be more than %.15g", n, fm_value_number(k, 0));
    if ((k = member(c, schema, "exclusiveMaximum")) != NULL && n >= fm_value_number(k, 0))
        fault(c, "is %.15g; it must be less than %.15g", n, fm_value_number(k, 0));
    if ((k = member(c, schema, "multipleOf")) != NULL) {
        double ratio = n / fm_value_number(k, 1);
        if (fabs(ratio - nearbyint(ratio)) > 1e-9 * (fabs(ratio) > 1 ? fabs(ratio) : 1))
            fault(c, "is %.15g; it must be a multiple of %.15g", n, fm_value_number(k, 1));
    }
}

static void check_counts(struct check *c, const struct fm_value *schema, size_t n, const char *min,
                         const char *max, const char *what)
{
    const struct fm_value *k;
    if ((k = member(c, schema, min)) != NULL && (double)n < fm_value_number(k, 0))
        fault(c, "has %zu %s; it must have %.15g or more", n, what, fm_value_number(k, 0));
    if ((k = member(c, schema, max)) != NULL && (double)n > fm_value_number(k, 0))
        fault(c, "has %zu %s; it must have %.15g or fewer", n, what, fm_value_number(k, 0));
}

static void check_string(struct check *c, const struct fm_value *schema, const char *text)
{
    const struct fm_value *pattern = member(c, schema, "pattern");
    check_counts(c, schema, characters(text), "minLength", "maxLength", "characters");
    if (pattern != NULL && spend(c, strlen(text) / 16 + 1) && !matches(c, pattern, text))
        fault(c, "does not match %.128s", fm_value_string(pattern, ""));
}

static void check_unique(struct check *c, const struct fm_value *list)
{
    for (size_t i = 0; i < fm_value_size(list); i++)
        for (size_t k = 0; k < i; k++)
            if (equal(c, fm_value_at(list, i), fm_value_at(list, k))) {
                fault(c, "has the same element at %zu and at %zu", k, i);
                return;
            } else if (c->work > BUDGET) {
                return;
            }
}

static void check_list(struct check *c, const struct fm_value *schema, const struct fm_value *list)
{
    const struct fm_value *items = member(c, schema, "items");
    check_counts(c, schema, fm_value_size(list), "minItems", "maxItems", "elements");
    if (fm_value_bool(member(c, schema, "uniqueItems"), false))
        check_unique(c, list);
    for (size_t i = 0; items != NULL && i < fm_value_size(list) && c->work <= BUDGET; i++) {
        size_t was = path_down(c, "[%zu]", i);
        check_value(c, items, fm_value_at(list, i));
        path_back(c, was);
    }
}

static void check_map(struct check *c, const struct fm_value *schema, const struct fm_value *map)
{
    const struct fm_value *required = member(c, schema, "required");
    const struct fm_value *properties = member(c, schema, "properties");
    const struct fm_value *others = member(c, schema, "additionalProperties");
    check_counts(c, schema, fm_value_size(map), "minProperties", "maxProperties", "properties");
    for (size_t i = 0; i < fm_value_size(required); i++)
        if (!has_member(c, map, fm_value_string(fm_value_at(required, i), "")))
            fault(c, "lacks the property \"%.128s\"", fm_value_string(fm_value_at(required, i), ""));
    for (size_t i = 0; i < fm_value_size(map) && c->work <= BUDGET; i++) {
        const char *key = fm_value_key(map, i);
        bool is_property = has_member(c, properties, key);
        const struct fm_value *of_key = is_property ? member(c, properties, key) : others;
        size_t was = path_key(c, key);
        if (!is_property && fm_value_kind(others) == FM_BOOL && !fm_value_bool(others, true))
            fault(c, "is not one of the properties that are allowed");
        else if (of_key != NULL)
            check_value(c, of_key, fm_value_at(map, i));
        path_back(c, was);
    }
}

static void check_combinations(struct check *c, const struct fm_value *schema, const struct fm_value *v)
{
    const struct fm_value *all = member(c, schema, "allOf"), *any = member(c, schema, "anyOf");
    const struct fm_value *one = member(c, schema, "oneOf"), *not = member(c, schema, "not");
    size_t n = 0;
    for (size_t i = 0; i < fm_value_size(all); i++)
        check_value(c, fm_value_at(all, i), v);
    for (size_t i = 0; i < fm_value_size(any) && n == 0; i++)
        n += faults_of(c, fm_value_at(any, i), v) == 0;
    if (any != NULL && n == 0)
        fault(c, "meets none of the %zu schemas of anyOf", fm_value_size(any));
    n = 0;
    for (size_t i = 0; i < fm_value_size(one); i++)
        n += faults_of(c, fm_value_at(one, i), v) == 0;
    if (one != NULL && n != 1)
        fault(c, "meets %zu of the %zu schemas of oneOf", n, fm_value_size(one));
    if (not != NULL && faults_of(c, not, v) == 0)
        fault(c, "meets the schema of not");
}

static void check_value(struct check *c, const struct fm_value *schema, const struct fm_value *v)
{
    const struct fm_value *k;
    if (!spend(c, 1))
        return;
    if (fm_value_kind(schema) == FM_BOOL) {
        if (!fm_value_bool(schema, true))
            fault(c, "is not allowed");
        return;
    }
    if ((k = member(c, schema, "type")) != NULL)
        check_type(c, k, v);
    if ((k = member(c, schema, "enum")) != NULL)
        check_enum(c, k, v);
    if (has_member(c, schema, "const") && !equal(c, member(c, schema, "const"), v))
        fault(c, "is not the value that is wanted");
    if (fm_value_kind(v) == FM_NUMBER)
        check_number(c, schema, fm_value_number(v, 0));
    else if (fm_value_kind(v) == FM_STRING)
        check_string(c, schema, fm_value_string(v, ""));
    else if (fm_value_kind(v) == FM_LIST)
        check_list(c, schema, v);
    else if (fm_value_kind(v) == FM_MAP)
        check_map(c, schema, v);
    check_combinations(c, schema, v);
}

int json_schema_check(const struct fm_value *schema, const struct fm_value *v, json_schema_fault on_fault,
                      void *arg, struct fm_err *err)
{
    struct pattern patterns[MAX_PATTERNS];
    struct check c = {.fault = on_fault, .arg = arg, .err = err, .patterns = patterns};
    (void)path_down(&c, "schema");
    int rc = verify(&c, schema);
    path_back(&c, 0);
    if (rc == 0) {
        check_value(&c, schema, v);
        rc = c.work <= BUDGET ? c.n_faults
                              : fm_err_set(err, FM_RESOURCE_EXHAUSTED, "schema",
                                           "the schema and the data are too large to be checked");
    }
    for (size_t i = 0; i < c.n_patterns; i++)
        regfree(&patterns[i].regex);
    return rc;
}

int json_schema_verify(const struct fm_value *schema, const char *path, bool lenient, struct fm_err *err)
{
    struct pattern patterns[MAX_PATTERNS];
    struct check c = {.err = err, .patterns = patterns, .collect = true, .lenient = lenient};
    (void)path_down(&c, "%s", path);
    (void)verify(&c, schema);
    for (size_t i = 0; i < c.n_patterns; i++)
        regfree(&patterns[i].regex);
    return c.n_faults == 0 ? 0 : -FM_INVALID_ARGUMENT;
}
