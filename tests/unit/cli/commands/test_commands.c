/* The table of commands against the descriptors: every method, field, enum and column is one that there is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "args.h"
#include "commands.h"
#include "descriptors.h"
#include "pb_pool.h"

static struct pb_pool *pool;

static int setup(void **state)
{
    (void)state;
    pool = pb_pool_new((struct fm_bytes){fm_descriptor_set, fm_descriptor_set_size});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pb_pool_free(pool);
    return 0;
}

static const struct pb_method *method_of(const struct cli_command *c)
{
    char service[128];
    const char *slash = strchr(c->method, '/');
    assert_non_null(slash);
    snprintf(service, sizeof(service), "%s%.*s", strncmp(c->method, "grpc.", 5) == 0 ? "" : "fermata.v1.",
             (int)(slash - c->method), c->method);
    const struct pb_method *m = pb_pool_method(pool, service, slash + 1);
    if (m == NULL)
        fail_msg("'%s': there is no method %s", c->name, c->method);
    return m;
}

/* The field at a path such as "placement.host" or "pauses[0].question"; NULL: there is none. Below a Struct
 * or a map everything may be. */
static const struct pb_field *field_at(const struct pb_message *m, const char *path)
{
    char name[64];
    const struct pb_field *f = NULL;
    while (*path != '\0') {
        size_t n = strcspn(path, ".[");
        snprintf(name, sizeof(name), "%.*s", (int)n, path);
        f = m == NULL ? NULL : pb_field_by_name(m, name);
        if (f == NULL)
            return NULL;
        path += n;
        if (*path == '[')
            path += strcspn(path, "]") + 1;
        path += *path == '.';
        m = f->message;
    }
    return f;
}

static void check_words(const struct cli_command *c, const struct cli_word *words, size_t n)
{
    const struct pb_message *input =
        c->method == NULL ? pb_pool_message(pool, "fermata.v1.SubmitJobRequest") : method_of(c)->input;
    for (size_t i = 0; i < n; i++) {
        const struct cli_word *w = &words[i];
        if (w->choices != NULL && pb_pool_enum(pool, w->choices) == NULL)
            fail_msg("'%s' --%s: there is no enum %s", c->name, w->name, w->choices);
        if ((w->kind == CLI_CHOICE || w->kind == CLI_CHOICES) != (w->choices != NULL))
            fail_msg("'%s' --%s: a choice has choices", c->name, w->name);
        if (w->path == NULL || (c->method == NULL && strcmp(c->name, "run") != 0))
            continue;
        const struct pb_field *f = field_at(input, w->path);
        if (f == NULL)
            fail_msg("'%s' --%s: %s has no field %s", c->name, w->name, input->name, w->path);
        bool many = w->kind == CLI_WORDS || w->kind == CLI_CHOICES;
        if (f->is_map != (w->kind == CLI_PAIR) || (many && !f->repeated))
            fail_msg("'%s' --%s: %s is another kind of field", c->name, w->name, w->path);
        if (w->kind == CLI_CHOICE || w->kind == CLI_CHOICES)
            assert_string_equal(f->enumeration->name, w->choices);
    }
}

static void what_the_table_names_exists(void **state)
{
    (void)state;
    for (size_t i = 0; i < cli_n_commands; i++) {
        const struct cli_command *c = cli_commands[i];
        check_words(c, c->args, c->n_args);
        check_words(c, c->options, c->n_options);
        if (c->by_path != NULL && field_at(method_of(c)->input, c->by_path) == NULL)
            fail_msg("'%s': no field %s", c->name, c->by_path);
        if (c->method == NULL || c->run != NULL)
            continue; /* a function may show something else */
        const struct pb_message *row = method_of(c)->output;
        const char *path = c->list != NULL ? c->list : c->one;
        if (path != NULL) {
            const struct pb_field *f = field_at(row, path);
            if (f == NULL)
                fail_msg("'%s': %s has no field %s", c->name, row->name, path);
            row = f->message;
        }
        for (size_t k = 0; k < c->n_columns; k++)
            if (field_at(row, c->columns[k].path) == NULL)
                fail_msg("'%s': %s has no field %s", c->name, row->name, c->columns[k].path);
        if (c->id != NULL && field_at(row, c->id) == NULL)
            fail_msg("'%s': %s has no field %s", c->name, row->name, c->id);
        if (c->pages && field_at(method_of(c)->output, "nextPageToken") == NULL)
            fail_msg("'%s': there are no pages", c->name);
    }
}

/* Each method that is meant for clients is some command's. */
static void every_method_has_its_command(void **state)
{
    (void)state;
    size_t n;
    const struct pb_method *all = pb_pool_methods(pool, &n);
    for (size_t i = 0; i < n; i++) {
        char name[128];
        bool found = false;
        if (strcmp(all[i].service, "fermata.v1.Flows") != 0 &&
            strcmp(all[i].service, "fermata.v1.Jobs") != 0 && strcmp(all[i].service, "fermata.v1.Hosts") != 0)
            continue;
        if (strcmp(all[i].name, "CertifyDeath") == 0)
            continue; /* hostd's supervisor calls it */
        snprintf(name, sizeof(name), "%s/%s", all[i].service + strlen("fermata.v1."), all[i].name);
        for (size_t k = 0; k < cli_n_commands; k++)
            found = found || (cli_commands[k]->method != NULL && strcmp(cli_commands[k]->method, name) == 0);
        if (!found)
            fail_msg("%s has no command", name);
    }
}

static void names_are_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < cli_n_commands; i++) {
        for (size_t k = i + 1; k < cli_n_commands; k++)
            assert_string_not_equal(cli_commands[i]->name, cli_commands[k]->name);
        const struct cli_command *c = cli_commands[i];
        for (size_t k = 0; k < c->n_options; k++) {
            if (cli_option(c, c->options[k].name, strlen(c->options[k].name)) != &c->options[k])
                fail_msg("'%s' has --%s twice", c->name, c->options[k].name);
            for (size_t j = 0; j < cli_n_common_options; j++)
                assert_string_not_equal(c->options[k].name, cli_common_options[j].name);
        }
    }
}

static void words_lead_to_commands(void **state)
{
    (void)state;
    char *argv[] = {(char *)(uintptr_t) "job", (char *)(uintptr_t) "get", (char *)(uintptr_t) "x"};
    char *wrong[] = {(char *)(uintptr_t) "job", (char *)(uintptr_t) "gte"};
    const char *nearest;
    int used;
    assert_ptr_equal(cli_find(cli_commands, cli_n_commands, 3, argv, &used, &nearest), &cli_job_get);
    assert_int_equal(used, 2);
    assert_null(cli_find(cli_commands, cli_n_commands, 2, wrong, &used, &nearest));
    assert_string_equal(nearest, "job get");
    assert_true(cli_group(cli_commands, cli_n_commands, "inbox"));
    assert_false(cli_group(cli_commands, cli_n_commands, "usage"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_table_names_exists),
        cmocka_unit_test(every_method_has_its_command),
        cmocka_unit_test(names_are_told_apart),
        cmocka_unit_test(words_lead_to_commands),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
