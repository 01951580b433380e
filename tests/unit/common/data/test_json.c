/* Values from JSON and as JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
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
    becomes("[9007199254740993, 1.7976931348623157e308]", "[9007199254740993,1.7976931348623157e+308]");
}

static void integers_have_plain_digits(void **state)
{
    (void)state;
    becomes("[1e15,-1e15,1000000000000000,9e17,1e18,12e18]",
            "[1000000000000000,-1000000000000000,1000000000000000,900000000000000000,1000000000000000000,"
            "12000000000000000000]");
    becomes("[9223372036854775807,-9223372036854775808,18446744073709551615,-9007199254740993]",
            "[9223372036854775807,-9223372036854775808,18446744073709551615,-9007199254740993]");
    becomes("[9007199254740992,9007199254740991,1152921504606846976,1.152921504606846976e18]",
            "[9007199254740992,9007199254740991,1152921504606846976,1152921504606846976]");
    becomes("[2.952367779259391e+17,9007199254740993.0]", "[295236777925939072,9007199254740992]");
    becomes("[18446744073709552000,-10000000000000000000,100000000000000000000]",
            "[1.8446744073709552e+19,-1e+19,1e+20]");
    becomes("[6.9346982451126944e+276]", "[6.934698245112694e+276]");
    becomes("[1e21,1e23,-1e300,5e-324]", "[1e+21,1e+23,-1e+300,5e-324]");
}

static void what_cannot_be_kept_is_named(void **state)
{
    (void)state;
    is_refused("1e999", 5, FM_INVALID_ARGUMENT, "the number 1e999 is too large (line 1, column 1)");
    is_refused("[-1e400]", 8, FM_INVALID_ARGUMENT, "-1e400 is too large (line 1, column 2)");
    is_refused("18446744073709551616", 20, FM_INVALID_ARGUMENT,
               "18446744073709551616 cannot be kept exactly");
    is_refused("-9223372036854775809", 20, FM_INVALID_ARGUMENT,
               "-9223372036854775809 cannot be kept exactly");
    is_refused("1e-400", 6, FM_INVALID_ARGUMENT, "1e-400 is too small");
}

static void numbers_have_the_grammar_of_json(void **state)
{
    static const char *const no[] = {"01",  "+1",   "-",   "1.",       ".5",  "1e",
                                     "1e+", "0x10", "--1", "Infinity", "NaN", "1_000"};
    (void)state;
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        is_refused(no[i], strlen(no[i]), FM_INVALID_ARGUMENT, "not JSON");
    becomes("[0e0,0.0,-0.0e5,1E+2,1e-0]", "[0,0,0,100,1]");
}

/* Ten thousand of each are the same after writing and reading; the oracle of fractions is strtod. */
static void numbers_at_random_come_back(void **state)
{
    uint64_t x = 88172645463325252u;
    char text[64];
    (void)state;
    for (int i = 0; i < 10000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t n = x >> (x % 64);
        snprintf(text, sizeof(text), "%" PRIu64, n);
        becomes(text, text);
        uint64_t u;
        assert_true(fm_value_uint64(from(text), &u) && u == n);
        snprintf(text, sizeof(text), "%" PRId64, (int64_t)n);
        becomes(text, text);
        int64_t s;
        assert_true(fm_value_int64(from(text), &s) && s == (int64_t)n);
        double d;
        memcpy(&d, &x, sizeof(d));
        if (!isfinite(d))
            continue;
        snprintf(text, sizeof(text), "%.17g", d);
        struct fm_buf out = {0};
        json_value_write(from(text), &out);
        fm_buf_append(&out, "", 1);
        assert_true(strtod((const char *)out.p, NULL) == d);
        fm_buf_done(&out);
        fm_arena_reset(&arena);
    }
}

static void of_equal_keys_the_last_one_counts(void **state)
{
    (void)state;
    becomes("{\"a\":1,\"b\":2,\"a\":3,\"a\":4}", "{\"a\":4,\"b\":2}");
    becomes("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"\\u0062\":0}",
            "{\"a\":1,\"b\":0,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9}");
    assert_null(json_value_read_unique("[{\"k\":1,\"k\":2}]", 15, &arena, &err));
    assert_non_null(strstr(err.msg, "the key \"k\" occurs twice"));
}

static void strings_are_escaped(void **state)
{
    (void)state;
    becomes("\"\\u00e4\\\"\\\\\\/\\n\\t\\u0001\"", "\"ä\\\"\\\\/\\n\\u0009\\u0001\"");
    becomes("{\"a\\\"b\":1}", "{\"a\\\"b\":1}");
    is_refused("\"a\\u0000b\"", 9, FM_INVALID_ARGUMENT, "not JSON");
    is_refused("\"\xff\"", 3, FM_INVALID_ARGUMENT, "not JSON");
    becomes("\"\\ud83d\\ude00\\u20ac\\b\"", "\"😀€\\u0008\"");
    is_refused("\"\\ud83d\"", 8, FM_INVALID_ARGUMENT, "half of a surrogate pair");
    is_refused("\"\\ude00\"", 8, FM_INVALID_ARGUMENT, "half of a surrogate pair");
    is_refused("\"\\ud83d\\u0041\"", 14, FM_INVALID_ARGUMENT, "half of a surrogate pair");
    is_refused("\"\\x41\"", 6, FM_INVALID_ARGUMENT, "not JSON");
    is_refused("\"a\nb\"", 5, FM_INVALID_ARGUMENT, "must be escaped");
    is_refused("\"a\\", 3, FM_INVALID_ARGUMENT, "ends too early");
    is_refused("\"a\\\"", 4, FM_INVALID_ARGUMENT, "ends too early");
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
        TEST(integers_have_plain_digits),
        TEST(what_cannot_be_kept_is_named),
        TEST(numbers_have_the_grammar_of_json),
        TEST(numbers_at_random_come_back),
        TEST(of_equal_keys_the_last_one_counts),
        TEST(strings_are_escaped),
        TEST(what_is_no_json_is_refused_with_its_place),
        TEST(depth_and_memory_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
