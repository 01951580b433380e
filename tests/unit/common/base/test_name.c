/* Names, and times as messages have them. */
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "name.h"
#include "times.h"

static void is_refused(const char *value, const char *why)
{
    fm_auto(fm_err) err = {0};
    assert_false(fm_name_ok(value));
    assert_int_equal(fm_name_check("flow.name", value, &err), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "flow.name");
    assert_string_equal(err.msg, why);
}

static void names_have_1_to_128_characters_of_a_few_kinds(void **state)
{
    (void)state;
    char name[130];
    memset(name, 'n', sizeof(name));
    name[128] = '\0';
    assert_true(fm_name_ok("azAZ09_.-"));
    assert_true(fm_name_ok(name));
    assert_int_equal(fm_name_check("name", name, NULL), 0);
    name[128] = 'n';
    name[129] = '\0';
    is_refused(name, "flow.name has 129 bytes; the limit is 128");
    is_refused("", "flow.name is missing");
    static const char *const others[] = {"ab/", "ab:", "ab@",        "ab[", "ab`",
                                         "ab{", "ab ", "ab\xc3\xa4", "ab,"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        is_refused(others[i], "flow.name may have only the characters A-Z a-z 0-9 _ . - ; byte 2 is another");
    assert_false(fm_name_ok(NULL));
    assert_int_equal(fm_name_span("secret-1}rest"), 8);
}

static void milliseconds_become_seconds_and_nanoseconds_and_back(void **state)
{
    (void)state;
    assert_int_equal(fm_ms_seconds(1999), 1);
    assert_int_equal(fm_ms_nanos(1999), 999000000);
    assert_int_equal(fm_time_ms(1, 999999999), 1999);
    assert_int_equal(fm_time_ms(-2, 0), -2000);
    for (int64_t ms = 0; ms < 5000; ms += 7)
        assert_int_equal(fm_time_ms(fm_ms_seconds(ms), fm_ms_nanos(ms)), ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_1_to_128_characters_of_a_few_kinds),
        cmocka_unit_test(milliseconds_become_seconds_and_nanoseconds_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
