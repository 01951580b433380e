/* The catalog of built-in routine types, against what users read of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "builtin_types.h"
#include "mem.h"

static char *read_file(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", getenv("SOURCE_DIR"), name);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        fail_msg("%s cannot be read", path);
    char *text = fm_xcalloc(1, 1 << 20);
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    assert_true(n > 0);
    assert_int_equal(fclose(f), 0);
    return text;
}

/* The cells of the row "| `TYPE` | slots | events | config | effects | examples |". */
struct row {
    char cell[6][2000];
};

static void find_row(const char *text, const char *type, struct row *ret)
{
    char head[160];
    snprintf(head, sizeof(head), "\n| `%s` |", type);
    const char *at = strstr(text, head);
    if (at == NULL)
        fail_msg("the table has no row for %s", type);
    at += 2;
    for (size_t i = 0; i < 6; i++) {
        const char *end = strchr(at, '|');
        assert_non_null(end);
        snprintf(ret->cell[i], sizeof(ret->cell[i]), "%.*s", (int)(end - at), at);
        at = end + 1;
    }
}

static void has(const struct row *r, size_t cell, const char *name)
{
    char quoted[160];
    snprintf(quoted, sizeof(quoted), "`%s`", name);
    if (strstr(r->cell[cell], strcmp(name, "*") == 0 ? "any" : quoted) == NULL)
        fail_msg("%sthe table's row has no %s: %s", r->cell[0], name, r->cell[cell]);
}

static size_t names_in(const char *cell)
{
    size_t n = 0;
    for (const char *p = cell; (p = strchr(p, '`')) != NULL; p++)
        n++;
    return n / 2;
}

/* Links "(examples/x.json)" must lead to files; `from` is the folder of the document. */
static void has_examples(const struct row *r, const char *from)
{
    size_t n = 0;
    for (const char *p = r->cell[5]; (p = strstr(p, "](")) != NULL; n++) {
        char path[600];
        p += 2;
        snprintf(path, sizeof(path), "%s/%s%.*s", getenv("SOURCE_DIR"), from, (int)strcspn(p, ")"), p);
        if (access(path, R_OK) != 0)
            fail_msg("%sno file %s", r->cell[0], path);
    }
    assert_true(n > 0);
}

static void check_row(const struct builtin_type *t, const char *text, const char *from)
{
    struct row row;
    find_row(text, t->name, &row);
    size_t slots = 0, events = 0;
    for (size_t i = 0; i < t->n_slots; i++) {
        if (t->slots[i].name[0] == '_')
            continue; /* its own */
        has(&row, 1, t->slots[i].name);
        slots += strcmp(t->slots[i].name, "*") != 0;
    }
    for (size_t i = 0; i < t->n_events; i++) {
        has(&row, 2, t->events[i]);
        events += strcmp(t->events[i], "*") != 0;
    }
    for (size_t i = 0; i < t->n_config; i++)
        has(&row, 3, t->config[i].name);
    assert_int_equal(names_in(row.cell[1]), slots);
    assert_int_equal(names_in(row.cell[2]), events);
    assert_int_equal(names_in(row.cell[3]), t->n_config);
    assert_memory_equal(row.cell[4], t->effects ? " yes" : " no", t->effects ? 4 : 3);
    has_examples(&row, from);
}

static void the_tables_of_the_documents_have_each_type_with_its_slots_events_and_settings(void **state)
{
    (void)state;
    size_t n;
    const struct builtin_type *types = builtin_types(&n);
    fm_autofree char *readme = read_file("README.md"), *docs = read_file("docs/routine-types.md");
    for (size_t i = 0; i < n; i++) {
        check_row(&types[i], readme, "");
        check_row(&types[i], docs, "docs/");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tables_of_the_documents_have_each_type_with_its_slots_events_and_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
