/* Which answers a question takes: choices as text and as the values they stand for, and schemas. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "answer_check.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "from_json.h"
#include "google/protobuf/struct.pb-c.h"
#include "json_text.h"
#include "slow.h"

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

/* Of a JSON list with so many of these. */
static char *list_of(const char *element, size_t n)
{
    size_t one = strlen(element) + 1;
    char *text = malloc(n * one + 3);
    assert_non_null(text);
    text[0] = '[';
    for (size_t i = 0; i < n; i++) {
        memcpy(text + 1 + i * one, element, one - 1);
        text[(i + 1) * one] = ',';
    }
    memcpy(text + n * one, "]", 2);
    return text;
}

/* What a brief check says, as the name of its code; it takes less than 20 ms of a usual machine. */
static const char *briefly(const char *pause, const char *answer)
{
    static char text[64];
    struct fm_err err = {0};
    double best = 1e9;
    const Fermata__V1__Pause *p = from_json(&fermata__v1__pause__descriptor, pause);
    char *wrapped = json_format("{'answer': %s}", answer);
    const Fermata__V1__ForkJobRequest *r = from_json(&fermata__v1__fork_job_request__descriptor, wrapped);
    for (int i = 0; i < 3; i++) {
        struct timespec from, to;
        fm_err_done(&err);
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        int rc = answer_check_brief(p, r->answer, &err);
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
        double took = (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
        best = took < best ? took : best;
        snprintf(text, sizeof(text), "%s", fm_code_name(-rc));
        assert_true(rc != -FM_RESOURCE_EXHAUSTED || err.code == FM_OK);
    }
    if (best > 20 * (TEST_SANITIZED ? 20 : 1))
        fail_msg("it took %.1f ms", best);
    fm_err_done(&err);
    free(wrapped);
    return text;
}

static void what_takes_long_is_not_checked_briefly(void **state)
{
    (void)state;
    assert_string_equal(briefly("{}", "1"), "OK");
    assert_string_equal(briefly("{'choices': ['a']}", "'a'"), "OK");
    assert_string_equal(briefly("{'choices': ['a']}", "'b'"), "INVALID_ARGUMENT");
    assert_string_equal(briefly("{'answer_schema': {'type': 'string'}}", "1"), "INVALID_ARGUMENT");
    assert_string_equal(briefly("{'answer_schema': {'type': 'nothing'}}", "1"), "FAILED_PRECONDITION");
    assert_string_equal(briefly("{'answer_schema': {'properties': {'a': {'pattern': 'a'}}}}", "1"),
                        "RESOURCE_EXHAUSTED");
    char *empty = list_of("{}", 12000), *numbers = list_of("1", 4000),
         *choices = list_of("'[[[[1]]]]'", 4000), *many = list_of("'[[[[1]]]]'", 8000);
    char *plain = json_format("{'choices': %s}", choices), *large = json_format("{'choices': %s}", many);
    assert_string_equal(briefly(plain, "[[[[2]]]]"), "INVALID_ARGUMENT");
    assert_string_equal(briefly(large, "[[[[1]]]]"), "RESOURCE_EXHAUSTED");
    assert_string_equal(briefly("{'answer_schema': {'uniqueItems': true}}", empty), "INVALID_ARGUMENT");
    assert_string_equal(briefly("{'answer_schema': {'items': {'type': 'array'}}}", empty),
                        "INVALID_ARGUMENT");
    assert_string_equal(briefly("{'answer_schema': {'items': {'type': 'object'}}}", empty), "OK");
    char *schema = json_format("{'answer_schema': {'items': {'enum': %s}}}", numbers);
    assert_string_equal(briefly(schema, empty), "RESOURCE_EXHAUSTED");
    free(schema);
    free(plain);
    free(large);
    free(empty);
    free(numbers);
    free(choices);
    free(many);
}

static void an_answer_may_be_a_choice_or_else_meet_the_schema(void **state)
{
    (void)state;
    static const char both[] = "{'choices': ['yes', 'no', '2'], 'answer_schema': {'type': 'object', "
                               "'required': ['n'], 'properties': "
                               "{'n': {'type': 'number'}}}, 'choices_or_schema': true}";
    takes(both, "'yes'");
    takes(both, "2");
    takes(both, "{'n': 1}");
    refuses(both, "'maybe'", "answer: the answer must be one of \"yes\", \"no\", \"2\"");
    refuses(both, "{'n': 'x'}", "answer.n: ");
    refuses(both, "{}", "answer");
    refuses(both, "3", "answer: ");
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
        T(an_answer_may_be_a_choice_or_else_meet_the_schema),
        T(what_takes_long_is_not_checked_briefly),
        T(a_schema_that_is_none_is_said_to_be_at_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
