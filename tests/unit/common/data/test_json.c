/* Values from JSON and as JSON. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"

static struct fm_arena arena;
static struct fm_err err;

static int setup(void **state)
{
    (void)state;
    fm_arena_init(&arena, 8u << 20);
    err = (struct fm_err){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fm_arena_done(&arena);
    return 0;
}

static const struct fm_value *from(const char *text)
{
    const struct fm_value *v = json_value_read(text, strlen(text), &arena, &err);
    if (v == NULL)
        fail_msg("%s: %s", text, err.msg);
    return v;
}

static void becomes(const char *text, const char *want)
{
    struct fm_buf out = {0};
    json_value_write(from(text), &out);
    fm_buf_append(&out, "", 1);
    assert_string_equal((const char *)out.p, want);
    fm_buf_done(&out);
}

static void is_refused(const char *text, size_t n, int code, const char *why)
{
    assert_null(json_value_read(text, n, &arena, &err));
    assert_int_equal(err.code, code);
    if (strstr(err.msg, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, why);
}

static void what_was_read_is_written_again(void **state)
{
    (void)state;
    becomes(" {\"a\" : [1, -2.5, true, false, null, \"x\"], \"b\" : {}} ",
            "{\"a\":[1,-2.5,true,false,null,\"x\"],\"b\":{}}");
    becomes("\"text\"", "\"text\"");
    becomes("[]", "[]");
    becomes("{\"k\":1,\"k\":2}", "{\"k\":2}");
    assert_int_equal(fm_value_kind(from("{\"x\":[0]}")), FM_MAP);
}

static void numbers_keep_all_their_digits(void **state)
{
    (void)state;
    becomes("[0,-0,1e2,123456789012345,0.1,1e-7,3.141592653589793]",
            "[0,0,100,123456789012345,0.1,1e-07,3.141592653589793]");
    becomes("[9007199254740993, 1.7976931348623157e308]", "[9007199254740992,1.7976931348623157e+308]");
    is_refused("1e999", 5, FM_INVALID_ARGUMENT, "not JSON");
}

static void strings_are_escaped(void **state)
{
    (void)state;
    becomes("\"\\u00e4\\\"\\\\\\/\\n\\t\\u0001\"", "\"ä\\\"\\\\/\\n\\u0009\\u0001\"");
    becomes("{\"a\\\"b\":1}", "{\"a\\\"b\":1}");
    is_refused("\"a\\u0000b\"", 9, FM_INVALID_ARGUMENT, "not JSON");
    is_refused("\"\xff\"", 3, FM_INVALID_ARGUMENT, "not JSON");
}

static void what_is_no_json_is_refused_with_its_place(void **state)
{
    (void)state;
    is_refused("", 0, FM_INVALID_ARGUMENT, "line 1");
    is_refused("{\n\"a\":}", 7, FM_INVALID_ARGUMENT, "line 2");
    is_refused("1 2", 3, FM_INVALID_ARGUMENT, "not JSON");
    is_refused("nul", 3, FM_INVALID_ARGUMENT, "not JSON");
}

static void depth_and_memory_are_bounded(void **state)
{
    (void)state;
    char deep[202];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    deep[200] = '\0';
    is_refused(deep, 200, FM_INVALID_ARGUMENT, "nested deeper than 80");
    assert_non_null(json_value_read(deep + 30, 140, &arena, &err));
    char *many = malloc(2000001);
    memset(many, '1', 2000001);
    for (size_t i = 1; i < 2000000; i += 2)
        many[i] = ',';
    many[0] = '[';
    many[1] = many[1999999] = '1';
    many[2000000] = ']';
    is_refused(many, 2000001, FM_RESOURCE_EXHAUSTED, "memory");
    free(many);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_read_is_written_again),
        TEST(numbers_keep_all_their_digits),
        TEST(strings_are_escaped),
        TEST(what_is_no_json_is_refused_with_its_place),
        TEST(depth_and_memory_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
