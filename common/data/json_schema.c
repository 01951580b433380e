/* JSON Schema over values. First the schema itself is walked, so that the check of the value
 * need not ask what kind a keyword's value has. What both do is bounded by a budget of
 * comparisons. See json_schema.h. */
#include "json_schema.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "buf.h"
#include "json_schema_pattern.h"
#include "json_schema_walk.h"
#include "mem.h"
#include "nearest.h"
#include "number.h"
#include "value.h"

#define MAX_SUGGESTED 16 /* unknown properties of one check for which a known one is looked for */
#define MAX_REFS 256     /* that a check is within */
#define MAX_SAID 1000    /* faults of one check that are reported; more only count */
#define NAME_BYTES 1024  /* besides its text, of a key that is looked at as a value */
#define VALUE_BYTES 80   /* of a value in a message */
#define FAULT_WORK 256   /* of a fault's message, in comparisons */

/* Whether nobody hears of a fault. One that is found when the work is used up may be none. */
static bool is_silent(const struct check *c)
{
    return c->quiet > 0 || c->report == NULL || c->n_faults > MAX_SAID || !schema_can_work(c);
}

static void __attribute__((format(printf, 3, 0)))
say(struct check *c, const struct json_schema_fault *f, const char *fmt, va_list ap)
{
    char text[256];
    struct json_schema_fault said = *f;
    c->n_faults++;
    if (is_silent(c) || !schema_spend(c, c->fault_work))
        return;
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    said.path = c->path;
    said.message = text;
    if (said.object == NULL)
        said.object = c->path;
    c->report(c->arg, &said);
}

static void fault(struct check *c, const char *fmt, ...) FM_PRINTF(2, 3);
static void fault(struct check *c, const char *fmt, ...)
{
    const struct json_schema_fault f = {.kind = JSON_SCHEMA_FAULT};
    va_list ap;
    va_start(ap, fmt);
    say(c, &f, fmt, ap);
    va_end(ap);
}

static void fault_of(struct check *c, const struct json_schema_fault *f, const char *fmt, ...)
    FM_PRINTF(3, 4);
static void fault_of(struct check *c, const struct json_schema_fault *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(c, f, fmt, ap);
    va_end(ap);
}

/* ---- values ---- */

static const char *kind_name(const struct fm_value *v)
{
    static const char *const names[] = {"null", "boolean", "number", "string", "array", "object"};
    return names[fm_value_kind(v)];
}

/* "a number", "an object", "null". */
static const char *article(const char *kind)
{
    return strcmp(kind, "null") == 0 ? "" : strchr("aeiou", kind[0]) != NULL ? "an " : "a ";
}

/* A value as it is shown in a message: scalars as JSON, cut; of others only what they are. */
static void show(const struct fm_value *v, char out[VALUE_BYTES])
{
    const char *text = fm_value_string(v, "");
    size_t n = fm_utf8_cut(text, VALUE_BYTES - 8);
    switch (fm_value_kind(v)) {
    case FM_STRING:
        snprintf(out, VALUE_BYTES, "\"%.*s%s\"", (int)n, text, text[n] != '\0' ? "…" : "");
        break;
    case FM_NUMBER:
        (void)number_print(value_as_number(v), out);
        break;
    case FM_BOOL:
        snprintf(out, VALUE_BYTES, "%s", fm_value_bool(v, false) ? "true" : "false");
        break;
    case FM_NULL:
    case FM_LIST:
    case FM_MAP:
        snprintf(out, VALUE_BYTES, "%s%s", article(kind_name(v)), kind_name(v));
        break;
    }
}

struct number_text {
    char text[NUMBER_TEXT_BYTES];
};

static struct number_text text_of(const struct fm_value *number)
{
    struct number_text t;
    (void)number_print(value_as_number(number), t.text);
    return t;
}

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
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
        return fm_value_kind(v) == FM_NUMBER && number_is_integer(value_as_number(v));
    return strcmp(kind_name(v), type) == 0;
}

static const char *type_at(const struct fm_value *type, size_t i)
{
    return fm_value_string(fm_value_kind(type) == FM_LIST ? fm_value_at(type, i) : type, "");
}

/* False after a fault. */
static bool check_type(struct check *c, const struct fm_value *type, const struct fm_value *v)
{
    char allowed[128] = "";
    size_t n = fm_value_kind(type) == FM_LIST ? fm_value_size(type) : 1;
    for (size_t i = 0; i < n && schema_spend(c, 1); i++)
        if (is_of_type(v, type_at(type, i)))
            return true;
    for (size_t i = 0; i < n && strlen(allowed) < sizeof(allowed) - 1 && !is_silent(c); i++) {
        size_t at = strlen(allowed);
        snprintf(allowed + at, sizeof(allowed) - at, "%s%s%s", i > 0 ? " or " : "", article(type_at(type, i)),
                 type_at(type, i));
    }
    if (fm_value_kind(v) == FM_NUMBER && strstr(allowed, "integer") != NULL)
        fault(c, "is %s; it must be %s", text_of(v).text, allowed);
    else
        fault(c, "is %s%s; it must be %s", article(kind_name(v)), kind_name(v), allowed);
    return false;
}

static void check_enum(struct check *c, const struct fm_value *allowed, const struct fm_value *v)
{
    for (size_t i = 0; i < fm_value_size(allowed) && schema_can_work(c); i++)
        if (schema_equal(c, fm_value_at(allowed, i), v))
            return;
    char shown[VALUE_BYTES], list[120] = "";
    for (size_t i = 0; i < fm_value_size(allowed) && !is_silent(c); i++) {
        size_t at = strlen(list);
        show(fm_value_at(allowed, i), shown);
        if (at + strlen(shown) + 8 > sizeof(list)) {
            snprintf(list + at, sizeof(list) - at, ", …");
            break;
        }
        snprintf(list + at, sizeof(list) - at, "%s%s", i > 0 ? ", " : "", shown);
    }
    show(v, shown);
    fault(c, "is %s; it must be one of: %s", shown, list);
}

/* What a bound of a number says: `wrong` is the order of number and bound, by number_compare, that it
 * forbids, besides equality when `equal` is forbidden, too. */
static void check_bound(struct check *c, const struct fm_value *schema, const struct fm_value *v,
                        const char *keyword, int wrong, bool equal, const char *words)
{
    const struct fm_value *k = schema_member(c, schema, keyword);
    if (k == NULL)
        return;
    int order = number_compare(value_as_number(v), value_as_number(k));
    if (order == wrong || (equal && order == 0))
        fault(c, "is %s; it must be %s%s%s", text_of(v).text, equal ? words : "", text_of(k).text,
              equal ? "" : words);
}

static void check_number(struct check *c, const struct fm_value *schema, const struct fm_value *v)
{
    const struct fm_value *k;
    check_bound(c, schema, v, "minimum", -1, false, " or more");
    check_bound(c, schema, v, "maximum", 1, false, " or less");
    check_bound(c, schema, v, "exclusiveMinimum", -1, true, "more than ");
    check_bound(c, schema, v, "exclusiveMaximum", 1, true, "less than ");
    if ((k = schema_member(c, schema, "multipleOf")) != NULL &&
        !number_is_multiple(value_as_number(v), value_as_number(k)))
        fault(c, "is %s; it must be a multiple of %s", text_of(v).text, text_of(k).text);
}

static void check_counts(struct check *c, const struct fm_value *schema, size_t n, const char *min,
                         const char *max, const char *what)
{
    const struct fm_value *k;
    if ((k = schema_member(c, schema, min)) != NULL && (double)n < fm_value_number(k, 0))
        fault(c, "has %zu %s; it must have %.15g or more", n, what, fm_value_number(k, 0));
    if ((k = schema_member(c, schema, max)) != NULL && (double)n > fm_value_number(k, 0))
        fault(c, "has %zu %s; it must have %.15g or fewer", n, what, fm_value_number(k, 0));
}

static void check_string(struct check *c, const struct fm_value *schema, const char *text)
{
    const char *pattern = fm_value_string(schema_member(c, schema, "pattern"), NULL);
    bool is_counted = schema_has_member(c, schema, "minLength") || schema_has_member(c, schema, "maxLength");
    if (is_counted && schema_spend(c, strlen(text) / 16 + 1))
        check_counts(c, schema, characters(text), "minLength", "maxLength", "characters");
    if (pattern != NULL && schema_spend(c, strlen(text) / 16 + 1) && !schema_matches(c, pattern, text))
        fault(c, "does not match %.128s", pattern);
}

static void check_unique(struct check *c, const struct fm_value *list)
{
    for (size_t i = 0; i < fm_value_size(list); i++)
        for (size_t k = 0; k < i; k++)
            if (schema_equal(c, fm_value_at(list, i), fm_value_at(list, k))) {
                fault(c, "has the same element at %zu and at %zu", k, i);
                return;
            } else if (!schema_can_work(c)) {
                return;
            }
}

static void check_contains(struct check *c, const struct fm_value *schema, const struct fm_value *list)
{
    const struct fm_value *contains = schema_member(c, schema, "contains");
    double least = fm_value_number(schema_member(c, schema, "minContains"), 1);
    const struct fm_value *most = schema_member(c, schema, "maxContains");
    size_t n = 0;
    for (size_t i = 0; contains != NULL && i < fm_value_size(list) && schema_can_work(c); i++)
        n += faults_of(c, contains, fm_value_at(list, i)) == 0;
    if (contains != NULL && (double)n < least)
        fault(c, "has %zu elements that meet the schema of contains; it must have %.15g or more", n, least);
    if (contains != NULL && most != NULL && (double)n > fm_value_number(most, 0))
        fault(c, "has %zu elements that meet the schema of contains; it must have %.15g or fewer", n,
              fm_value_number(most, 0));
}

static void check_list(struct check *c, const struct fm_value *schema, const struct fm_value *list)
{
    const struct fm_value *items = schema_member(c, schema, "items"),
                          *first = schema_member(c, schema, "prefixItems");
    check_counts(c, schema, fm_value_size(list), "minItems", "maxItems", "elements");
    if (fm_value_bool(schema_member(c, schema, "uniqueItems"), false))
        check_unique(c, list);
    for (size_t i = 0; i < fm_value_size(list) && schema_can_work(c); i++) {
        const struct fm_value *of = i < fm_value_size(first) ? fm_value_at(first, i) : items;
        if (of == NULL)
            break;
        size_t was = schema_path_down(c, "[%zu]", i);
        check_value(c, of, fm_value_at(list, i));
        schema_path_back(c, was);
    }
    check_contains(c, schema, list);
}

/* The property that was perhaps meant, or NULL. */
static const char *suggestion(struct check *c, const struct fm_value *properties, const char *key)
{
    struct nearest n = nearest_to(key);
    if (c->work.n_suggested == MAX_SUGGESTED)
        return NULL;
    c->work.n_suggested++;
    for (size_t i = 0; i < fm_value_size(properties); i++)
        if (!schema_spend(c, nearest_try(&n, fm_value_key(properties, i)) / 4 + 1))
            return NULL;
    return n.found;
}

/* Says which property was perhaps meant. */
static void unknown_key(struct check *c, const struct fm_value *properties, const char *key)
{
    char object[PATH_BYTES];
    const struct json_schema_fault f = {.kind = JSON_SCHEMA_UNKNOWN, .object = object, .key = key};
    const char *meant = is_silent(c) ? NULL : suggestion(c, properties, key);
    snprintf(object, sizeof(object), "%s", c->path);
    size_t was = schema_path_key(c, key);
    if (meant != NULL)
        fault_of(c, &f, "unknown key \"%.64s\"; did you mean \"%.64s\"?", key, meant);
    else
        fault_of(c, &f, "unknown key \"%.64s\"", key);
    schema_path_back(c, was);
}

/* Of a key: by each of the patterns that match it. Returns how many do. */
static size_t check_matching(struct check *c, const struct fm_value *patterns, const char *key,
                             const struct fm_value *v)
{
    size_t n = 0;
    for (size_t i = 0; i < fm_value_size(patterns) && schema_can_work(c); i++)
        if (schema_matches(c, fm_value_key(patterns, i), key)) {
            size_t was = schema_path_key(c, key);
            check_value(c, fm_value_at(patterns, i), v);
            schema_path_back(c, was);
            n++;
        }
    return n;
}

static void check_names(struct check *c, const struct fm_value *schema, const struct fm_value *map)
{
    const struct fm_value *names = schema_member(c, schema, "propertyNames"),
                          *dependent = schema_member(c, schema, "dependentRequired");
    for (size_t i = 0; names != NULL && i < fm_value_size(map) && schema_can_work(c); i++) {
        const char *key = fm_value_key(map, i);
        fm_auto(fm_arena) arena = {0};
        fm_arena_init(&arena, strlen(key) + NAME_BYTES);
        const struct fm_value *name = value_string(&arena, key, strlen(key));
        if (name == NULL || faults_of(c, names, name) > 0)
            fault(c, "has the key \"%.64s\", which does not meet the schema of propertyNames", key);
    }
    const struct fm_value *schemas = schema_member(c, schema, "dependentSchemas");
    for (size_t i = 0; i < fm_value_size(schemas) && schema_can_work(c); i++)
        if (schema_has_member(c, map, fm_value_key(schemas, i)))
            check_value(c, fm_value_at(schemas, i), map);
    for (size_t i = 0; i < fm_value_size(dependent) && schema_can_work(c); i++) {
        const char *key = fm_value_key(dependent, i);
        const struct fm_value *wanted = fm_value_at(dependent, i);
        bool is_there = schema_has_member(c, map, key);
        for (size_t k = 0; is_there && k < fm_value_size(wanted) && schema_can_work(c); k++) {
            const struct json_schema_fault f = {.kind = JSON_SCHEMA_MISSING,
                                                .key = fm_value_string(fm_value_at(wanted, k), "")};
            if (!schema_has_member(c, map, f.key))
                fault_of(c, &f, "lacks the property \"%.128s\", which it needs beside \"%.64s\"", f.key, key);
        }
    }
}

static void check_map(struct check *c, const struct fm_value *schema, const struct fm_value *map)
{
    const struct fm_value *patterns = schema_member(c, schema, "patternProperties");
    const struct fm_value *required = schema_member(c, schema, "required");
    const struct fm_value *properties = schema_member(c, schema, "properties");
    const struct fm_value *others = schema_member(c, schema, "additionalProperties");
    check_counts(c, schema, fm_value_size(map), "minProperties", "maxProperties", "properties");
    for (size_t i = 0; i < fm_value_size(required) && schema_can_work(c); i++) {
        const struct json_schema_fault f = {.kind = JSON_SCHEMA_MISSING,
                                            .key = fm_value_string(fm_value_at(required, i), "")};
        if (!schema_has_member(c, map, f.key))
            fault_of(c, &f, "lacks the property \"%.128s\"", f.key);
    }
    for (size_t i = 0; i < fm_value_size(map) && schema_can_work(c); i++) {
        const char *key = fm_value_key(map, i);
        const struct fm_value *property = schema_member(c, properties, key);
        bool is_property = property != NULL;
        const struct fm_value *of_key = is_property ? property : others;
        if (is_property && schema_member(c, map, key) != fm_value_at(map, i))
            continue; /* of a key that came twice the last one counts */
        if (check_matching(c, patterns, key, fm_value_at(map, i)) > 0 && !is_property)
            continue;
        if (!is_property && fm_value_kind(others) == FM_BOOL && !fm_value_bool(others, true)) {
            unknown_key(c, properties, key);
            continue;
        }
        size_t was = schema_path_key(c, key);
        if (of_key != NULL)
            check_value(c, of_key, fm_value_at(map, i));
        schema_path_back(c, was);
    }
    check_names(c, schema, map);
}

/* Whether each of the schemas only demands one property. */
static bool only_require(struct check *c, const struct fm_value *schemas)
{
    for (size_t i = 0; i < fm_value_size(schemas) && schema_can_work(c); i++) {
        const struct fm_value *s = fm_value_at(schemas, i);
        if (fm_value_size(s) != 1 || fm_value_size(schema_member(c, s, "required")) != 1)
            return false;
    }
    return true;
}

/* Of some properties there must be exactly one. */
static void fault_of_choice(struct check *c, const struct fm_value *schemas, const struct fm_value *map)
{
    char wanted[100] = "", had[100] = "";
    for (size_t i = 0; i < fm_value_size(schemas) && !is_silent(c); i++) {
        const char *name =
            fm_value_string(fm_value_at(schema_member(c, fm_value_at(schemas, i), "required"), 0), "");
        size_t at = strlen(wanted), had_at = strlen(had);
        snprintf(wanted + at, sizeof(wanted) - at, "%s%s", at > 0 ? ", " : "", name);
        if (schema_has_member(c, map, name))
            snprintf(had + had_at, sizeof(had) - had_at, "%s%s", had_at > 0 ? ", " : "", name);
    }
    fault(c, "must have exactly one of %s%s%s", wanted, had[0] != '\0' ? "; it has " : "", had);
}

static void check_combinations(struct check *c, const struct fm_value *schema, const struct fm_value *v)
{
    const struct fm_value *all = schema_member(c, schema, "allOf"), *any = schema_member(c, schema, "anyOf");
    const struct fm_value *one = schema_member(c, schema, "oneOf"), *not = schema_member(c, schema, "not");
    size_t n = 0;
    for (size_t i = 0; i < fm_value_size(all) && schema_can_work(c); i++)
        check_value(c, fm_value_at(all, i), v);
    for (size_t i = 0; i < fm_value_size(any) && n == 0 && schema_can_work(c); i++)
        n += faults_of(c, fm_value_at(any, i), v) == 0;
    if (any != NULL && n == 0)
        fault(c, "meets none of the %zu schemas of anyOf", fm_value_size(any));
    n = 0;
    for (size_t i = 0; i < fm_value_size(one) && schema_can_work(c); i++)
        n += faults_of(c, fm_value_at(one, i), v) == 0;
    if (one != NULL && n != 1 && fm_value_kind(v) == FM_MAP && only_require(c, one))
        fault_of_choice(c, one, v);
    else if (one != NULL && n != 1)
        fault(c, "meets %zu of the %zu schemas of oneOf", n, fm_value_size(one));
    if (not != NULL && faults_of(c, not, v) == 0)
        fault(c, "meets the schema of not");
}

static void check_if(struct check *c, const struct fm_value *schema, const struct fm_value *v)
{
    const struct fm_value *condition = schema_member(c, schema, "if");
    if (condition == NULL)
        return;
    bool holds = faults_of(c, condition, v) == 0;
    const struct fm_value *rest = schema_member(c, schema, holds ? "then" : "else");
    if (rest != NULL)
        check_value(c, rest, v);
}

/* A schema may refer to itself: that ends with the value, or it never does. */
static void check_referred(struct check *c, const char *ref, const struct fm_value *v)
{
    if (c->n_refs == MAX_REFS) {
        (void)schema_stop(c, "the schema's references lead round without an end, or are more than %d deep",
                          MAX_REFS);
        return;
    }
    c->n_refs++;
    check_value(c, schema_referred(c, ref), v);
    c->n_refs--;
}

static void check_value(struct check *c, const struct fm_value *schema, const struct fm_value *v)
{
    const struct fm_value *k;
    if (!schema_spend(c, 1))
        return;
    if (fm_value_kind(schema) == FM_BOOL) {
        if (!fm_value_bool(schema, true))
            fault(c, "is not allowed");
        return;
    }
    if ((k = schema_member(c, schema, "$ref")) != NULL)
        check_referred(c, fm_value_string(k, ""), v);
    bool is_type = (k = schema_member(c, schema, "type")) == NULL || check_type(c, k, v);
    if (is_type && (k = schema_member(c, schema, "enum")) != NULL)
        check_enum(c, k, v);
    if (schema_has_member(c, schema, "const") && !schema_equal(c, schema_member(c, schema, "const"), v))
        fault(c, "is not the value that is wanted");
    if (fm_value_kind(v) == FM_NUMBER)
        check_number(c, schema, v);
    else if (fm_value_kind(v) == FM_STRING)
        check_string(c, schema, fm_value_string(v, ""));
    else if (fm_value_kind(v) == FM_LIST)
        check_list(c, schema, v);
    else if (fm_value_kind(v) == FM_MAP)
        check_map(c, schema, v);
    check_combinations(c, schema, v);
    check_if(c, schema, v);
}

/* Checks the value with a schema that is sound. */
static int run(struct check *c, const struct fm_value *schema, const struct fm_value *v)
{
    check_value(c, schema, v);
    return schema_can_work(c) ? c->n_faults : schema_stop(c, JSON_SCHEMA_TOO_LARGE);
}

int json_schema_check_within(const struct fm_value *schema, const struct fm_value *v,
                             struct json_schema_work *work, json_schema_report report, void *arg,
                             struct fm_err *err)
{
    struct check c = {.report = report, .arg = arg, .err = err, .work = *work};
    (void)schema_path_down(&c, "schema");
    int rc = schema_verify_whole(&c, schema);
    schema_path_back(&c, 0);
    if (rc == 0)
        rc = run(&c, schema, v);
    schema_free_patterns(&c);
    *work = c.work;
    return rc;
}

int json_schema_check(const struct fm_value *schema, const struct fm_value *v, json_schema_report report,
                      void *arg, struct fm_err *err)
{
    struct json_schema_work work = {0};
    return json_schema_check_within(schema, v, &work, report, arg, err);
}

int json_schema_check_plain(const struct fm_value *schema, const struct fm_value *v,
                            struct json_schema_work *work, json_schema_report report, void *arg,
                            struct fm_err *err)
{
    struct check c = {.report = report, .arg = arg, .err = err, .work = *work, .fault_work = FAULT_WORK};
    int rc = run(&c, schema, v);
    *work = c.work;
    return rc;
}

void json_schema_report_unknown(const struct fm_value *properties, const struct fm_value *map,
                                struct json_schema_work *work, json_schema_report report, void *arg)
{
    struct check c = {.report = report, .arg = arg, .work = *work, .fault_work = FAULT_WORK};
    size_t n = fm_value_kind(map) == FM_MAP ? fm_value_size(map) : 0;
    for (size_t i = 0; i < n && schema_can_work(&c); i++)
        if (!schema_has_member(&c, properties, fm_value_key(map, i)))
            unknown_key(&c, properties, fm_value_key(map, i));
    *work = c.work;
}
