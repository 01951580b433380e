/* Checks of jq programs and JSON Schemas: what is sound, what is not, what is left out. This program is its
 * own jq worker. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "jq_eval.h"
#include "json.h"
#include "mem.h"
#include "program_check.h"

static struct program_check *k;
static struct fm_arena arena;

static int setup(void **state)
{
    (void)state;
    fm_arena_init(&arena, 1u << 20);
    k = program_check_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    program_check_free(k);
    fm_arena_done(&arena);
    return 0;
}

static void run(bool stop)
{
    atomic_bool stopped = stop;
    program_check_run(k, &stopped);
}

/* A schema, from JSON with single quotes. */
static const struct fm_value *data(const char *quoted)
{
    fm_autofree char *json = fm_xstrdup(quoted);
    struct fm_err err = {0};
    for (char *p = json; *p != '\0'; p++)
        if (*p == '\'')
            *p = '"';
    const struct fm_value *v = json_value_read(json, strlen(json), &arena, &err);
    if (v == NULL)
        fail_msg("%s: %s", json, err.msg);
    return v;
}

static void each_program_is_sound_or_has_its_faults_in_the_list(void **state)
{
    (void)state;
    program_check_add_jq(k, "one", ".a");
    program_check_add_jq(k, "two", ".a |");
    program_check_add_schema(k, "three", PROGRAM_SCHEMA, data("{'type':'object'}"));
    program_check_add_schema(k, "four", PROGRAM_SCHEMA, data("{'type':1,'minLength':-1,'$ref':'#'}"));
    run(false);
    assert_int_equal(k->err.code, FM_INVALID_ARGUMENT);
    assert_int_equal(k->err.n_more, 4);
    assert_string_equal(k->err.more[0].field, "two");
    assert_string_equal(k->err.more[1].field, "four.type");
    assert_string_equal(k->err.more[3].field, "four.$ref");
    assert_true(k->programs[0].ok && !k->programs[1].ok && k->programs[2].ok && !k->programs[3].ok);
    assert_string_equal(k->skipped, "");
}

/* An error is a line of a log, and of what a client shows. */
static void a_compiler_s_message_is_one_line(void **state)
{
    (void)state;
    program_check_add_jq(k, "one", "nothing | nobody");
    run(false);
    const char *text = k->err.msg;
    assert_non_null(strstr(text, "nothing/0 is not defined"));
    assert_non_null(strstr(text, "nobody/0 is not defined"));
    assert_null(strchr(text, '\n'));
}

static void a_schema_for_a_model_may_say_what_we_do_not_know(void **state)
{
    (void)state;
    program_check_add_schema(k, "a", PROGRAM_TOOL_SCHEMA,
                             data("{'$ref':'#/x','items':[{}],'exclusiveMinimum':true,'pattern':'(?=x)'}"));
    run(false);
    assert_int_equal(k->err.code, FM_OK);
    assert_true(k->programs[0].ok);
}

static void the_same_text_of_another_kind_is_something_else(void **state)
{
    (void)state;
    program_check_add_schema(k, "a", PROGRAM_TOOL_SCHEMA, data("{'$ref':'#/x'}"));
    program_check_add_schema(k, "b", PROGRAM_SCHEMA, data("{'$ref':'#/x'}"));
    program_check_add_schema(k, "c", PROGRAM_SCHEMA, data("{'$ref':'#/x'}"));
    assert_memory_not_equal(k->programs[0].digest, k->programs[1].digest, STORE_DIGEST_BYTES);
    assert_memory_equal(k->programs[2].digest, k->programs[1].digest, STORE_DIGEST_BYTES);
    program_check_drop(k, 1);
    assert_int_equal(k->n, 2);
    assert_string_equal(k->programs[1].field, "c");
}

static void what_is_left_out_is_neither_sound_nor_faulty(void **state)
{
    (void)state;
    program_check_add_jq(k, "a", ".a |");
    run(true);
    assert_int_equal(k->err.code, FM_OK);
    assert_false(k->programs[0].ok);
    assert_string_not_equal(k->skipped, "");
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], JQ_WORKER_ARG) == 0)
        return jq_worker_main();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_program_is_sound_or_has_its_faults_in_the_list, setup, teardown),
        cmocka_unit_test_setup_teardown(a_compiler_s_message_is_one_line, setup, teardown),
        cmocka_unit_test_setup_teardown(a_schema_for_a_model_may_say_what_we_do_not_know, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_text_of_another_kind_is_something_else, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_left_out_is_neither_sound_nor_faulty, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
