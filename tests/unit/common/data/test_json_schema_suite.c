/* The JSON Schema Test Suite (Debian's json-schema-test-suite, draft 7): what we support is as it says, and
 * what we do not support is refused and not silently left out. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"
#include "json_schema.h"

#define SUITE "/usr/share/json-schema-test-suite/tests/draft7"

/* Groups that are refused; "*" is all of the file. */
static const struct {
    const char *file, *group;
} refused[] = {
    {"dependencies.json",    "*"                                   }, /* dependentRequired, dependentSchemas */
    {"additionalItems.json", "*"                                   }, /* prefixItems and items */
    {"items.json",           "an array of schemas for items"       },
    {"items.json",           "items with boolean schemas"          },
    {"refRemote.json",       "*"                                   }, /* other documents, and $id within */
    {"definitions.json",     "*"                                   },
    {"ref.json",             "remote ref, containing refs itself"  },
    {"ref.json",             "Recursive references between schemas"}, /* by $id */
    {"ref.json",             "relative pointer ref to array"       }, /* an array of schemas for items */
    {"ref.json",             "escaped pointer ref"                 }, /* to what is no schema's place */
};

/* What draft 7 says and 2020-12 says otherwise. */
static const char *const otherwise[] = {
    "ref overrides any sibling keywords",
};

static struct fm_arena arena;
static unsigned n_tests, n_refused, n_wrong;

static bool is_refused(const char *file, const char *group)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (strcmp(refused[i].file, file) == 0 &&
            (strcmp(refused[i].group, "*") == 0 || strcmp(refused[i].group, group) == 0))
            return true;
    return false;
}

static bool is_otherwise(const char *group)
{
    for (size_t i = 0; i < sizeof(otherwise) / sizeof(otherwise[0]); i++)
        if (strcmp(otherwise[i], group) == 0)
            return true;
    return false;
}

static void wrong(const char *file, const char *group, const char *what, const char *why)
{
    n_wrong++;
    print_error("%s: %s: %s: %s\n", file, group, what, why);
}

static void run_group(const char *file, const struct fm_value *g)
{
    struct fm_err err = {0};
    const char *name = fm_value_string(fm_value_get(g, "description"), "");
    const struct fm_value *schema = fm_value_get(g, "schema"), *tests = fm_value_get(g, "tests");
    bool ok = json_schema_verify(schema, "schema", JSON_SCHEMA_WHOLE, &err) == 0;
    if (ok == is_refused(file, name))
        wrong(file, name, "the schema", ok ? "is not refused" : err.msg);
    n_refused += !ok;
    fm_err_done(&err);
    for (size_t i = 0; ok && !is_otherwise(name) && i < fm_value_size(tests); i++) {
        const struct fm_value *t = fm_value_at(tests, i);
        int n = json_schema_check(schema, fm_value_get(t, "data"), NULL, NULL, &err);
        if (n < 0 || (n == 0) != fm_value_bool(fm_value_get(t, "valid"), false))
            wrong(file, name, fm_value_string(fm_value_get(t, "description"), ""), n < 0 ? err.msg : "wrong");
        fm_err_done(&err);
        n_tests++;
    }
}

static void run_file(const char *name)
{
    char path[512];
    struct fm_err err = {0};
    snprintf(path, sizeof(path), SUITE "/%s", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    static char text[1 << 20];
    size_t n = fread(text, 1, sizeof(text), f);
    (void)fclose(f);
    const struct fm_value *groups = json_value_read(text, n, &arena, &err);
    if (groups == NULL)
        fail_msg("%s: %s", name, err.msg);
    for (size_t i = 0; i < fm_value_size(groups); i++)
        run_group(name, fm_value_at(groups, i));
}

static void what_is_supported_is_as_the_suite_says(void **state)
{
    (void)state;
    DIR *d = opendir(SUITE);
    if (d == NULL) {
        print_message(SUITE " is not there: scripts/setup installs it\n");
        skip();
    }
    fm_arena_init(&arena, 256u << 20);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (strstr(e->d_name, ".json") != NULL)
            run_file(e->d_name);
    (void)closedir(d);
    fm_arena_done(&arena);
    print_message("%u tests, %u schemas refused\n", n_tests, n_refused);
    assert_int_equal(n_wrong, 0);
    assert_true(n_tests > 340);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_supported_is_as_the_suite_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
