/* Which answers a question takes: choices as text and as the values they stand for, and schemas. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "answer_check.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "from_json.h"
#include "google/protobuf/struct.pb-c.h"
#include "json_text.h"

static int setup(void **state)
{
    (void)state;
    from_json_begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    from_json_end();
    return 0;
}

/* What is wrong with the answer to the question with these members, as "field: text"; "" when it is taken. */
static const char *fault(const char *pause, const char *answer)
{
    static char text[2600];
    struct fm_err err = {0};
    const Fermata__V1__Pause *p = from_json(&fermata__v1__pause__descriptor, pause);
    /* a Value may be no object: it is taken out of one */
    char wrapped[4000];
    json_print(wrapped, sizeof(wrapped), "{'answer': %s}", answer);
    const Fermata__V1__ForkJobRequest *r = from_json(&fermata__v1__fork_job_request__descriptor, wrapped);
    int rc = answer_check(p, r->answer, &err);
    assert_int_equal(rc, -(int)err.code);
    text[0] = '\0';
    if (rc < 0)
        snprintf(text, sizeof(text), "%s: %s", err.field, err.msg);
    fm_err_done(&err);
    return text;
}

static void takes(const char *pause, const char *answer)
{
    assert_string_equal(fault(pause, answer), "");
}

static void refuses(const char *pause, const char *answer, const char *begins)
{
    const char *why = fault(pause, answer);
    if (strncmp(why, begins, strlen(begins)) != 0 || why[0] == '\0')
        fail_msg("%s: \"%s\" instead of \"%s\"", answer, why, begins);
}

static void a_choice_is_answered_by_its_text(void **state)
{
    (void)state;
    static const char choices[] = "{'choices': ['yes', 'no', '5', 'null']}";
    takes(choices, "'yes'");
    takes(choices, "'no'");
    takes(choices, "'5'");
    refuses(choices, "'Yes'", "answer: the answer must be one of \"yes\", \"no\", \"5\", \"null\"");
    refuses(choices, "''", "answer: the answer must be one of ");
    takes("{}", "'anything'");
}

static void a_choice_that_is_json_is_answered_by_its_value_too(void **state)
{
    (void)state;
    static const char choices[] = "{'choices': ['5', 'true', 'null', '[1, \"a\", [false]]', '{\"b\": {\"c\": "
                                  "2}, \"a\": [null]}', 'text']}";
    static const char *const good[] = {
        "5", "true", "null", "[1, 'a', [false]]", "{'a': [null], 'b': {'c': 2}}", "'5'", "'text'"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        takes(choices, good[i]);
    static const char *const bad[] = {"6",
                                      "false",
                                      "[]",
                                      "[1, 'a']",
                                      "[1, 'b', [false]]",
                                      "[2, 'a', [false]]",
                                      "[1, 'a', [true]]",
                                      "[1, 'a', [false], 0]",
                                      "['1', 'a', [false]]",
                                      "[1, 5, [false]]",
                                      "{}",
                                      "{'a': [null]}",
                                      "{'a': [null], 'b': {'c': 3}}",
                                      "{'a': [null], 'b': {'d': 2}}",
                                      "{'a': [0], 'b': {'c': 2}}",
                                      "{'a': [null], 'b': {'c': 2}, 'd': 1}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refuses(choices, bad[i], "answer: the answer must be one of ");
}

static void a_long_list_of_choices_is_cut_where_a_character_ends(void **state)
{
    (void)state;
    char pause[6000] = "{'choices': ['", *end = pause + strlen(pause);
    memset(end, 'x', 199);
    strcpy(end + 199, "üü'"); /* 200 bytes end within a character */
    for (int i = 0; i < 20; i++)
        snprintf(pause + strlen(pause), sizeof(pause) - strlen(pause), ",'%099d'", i);
    strcat(pause, "]}");
    const char *why = fault(pause, "'none'");
    assert_non_null(strstr(why, "xxx…\", \"000"));
    assert_non_null(strstr(why, ", and 18 more")); /* of 21, two have filled the list */
}

static void an_answer_meets_the_schema(void **state)
{
    (void)state;
    static const char schema[] =
        "{'answer_schema': {'type': 'object', 'description': 'a place', 'required': ['x'], 'properties': "
        "{'x': {'type': 'number'}, 'l': {'type': 'array', 'items': {'type': 'string'}}}}}";
    takes(schema, "{'x': 1}");
    takes(schema, "{'x': 1, 'l': ['a']}");
    refuses(schema, "{'x': 'a'}", "answer.x: the answer does not meet its schema: ");
    assert_non_null(strstr(fault(schema, "{'x': 'a'}"), "; wanted is a place"));
    refuses(schema, "{'x': 1, 'l': [2]}", "answer.l[0]: ");
    refuses(schema, "3", "answer: the answer does not meet its schema: ");
    refuses("{'answer_schema': {'type': 'array', 'items': {'type': 'string'}}}", "[2]", "answer[0]: ");
    assert_null(strstr(fault("{'answer_schema': {'type': 'array', 'items': {'type': 'string'}}}", "[2]"),
                       "wanted is"));
}

static void an_answer_meets_choices_and_schema(void **state)
{
    (void)state;
    static const char both[] = "{'choices': ['5', 'six'], 'answer_schema': {'type': 'number'}}";
    takes(both, "5");
    refuses(both, "'six'", "answer: the answer does not meet its schema: ");
    refuses(both, "7", "answer: the answer must be one of ");
}

static void a_schema_that_is_none_is_said_to_be_at_fault(void **state)
{
    (void)state;
    refuses("{'answer_schema': {'type': 'nothing'}}", "1",
            "answer: the answer cannot be checked against its schema: ");
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_choice_is_answered_by_its_text),
        T(a_choice_that_is_json_is_answered_by_its_value_too),
        T(a_long_list_of_choices_is_cut_where_a_character_ends),
        T(an_answer_meets_the_schema),
        T(an_answer_meets_choices_and_schema),
        T(a_schema_that_is_none_is_said_to_be_at_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
