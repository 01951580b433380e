/* Numbers: what is exact, what is compared, what is a multiple. */
#include <string.h>

#include <cmocka.h>

#include "number.h"

static struct number from(const char *text)
{
    struct number n;
    const char *why = number_read(text, strlen(text), &n);
    if (why != NULL)
        fail_msg("%s %s", text, why);
    return n;
}

static void integers_are_told_apart_beyond_doubles(void **state)
{
    (void)state;
    assert_true(number_compare(from("9007199254740993"), from("9007199254740992")) > 0);
    assert_true(number_compare(from("-9007199254740993"), from("-9007199254740992")) < 0);
    assert_true(number_compare(from("9223372036854775807"), from("9223372036854775808")) < 0);
    assert_true(number_compare(from("18446744073709551615"), from("1.8446744073709552e19")) < 0);
    assert_true(number_compare(from("18446744073709551615"), from("1e300")) < 0);
    assert_true(number_compare(from("1152921504606846976"), number_of_double(0x1p60)) == 0);
    assert_true(number_compare(from("0.1"), from("0.2")) < 0);
}

static void integers_know_their_types(void **state)
{
    int64_t s;
    uint64_t u;
    (void)state;
    assert_true(number_is_int64(from("-9223372036854775808"), &s) && s == INT64_MIN);
    assert_true(number_is_int64(from("9223372036854775807"), &s) && s == INT64_MAX);
    assert_false(number_is_int64(from("9223372036854775808"), &s));
    assert_false(number_is_int64(number_of_double(0x1p63), &s));
    assert_true(number_is_int64(number_of_double(-0x1p63), &s) && s == INT64_MIN);
    assert_true(number_is_uint64(from("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_false(number_is_uint64(from("-1"), &u));
    assert_false(number_is_uint64(from("1.5"), &u));
    assert_false(number_is_uint64(number_of_double(0x1p64), &u));
    assert_true(number_is_integer(from("1e300")));
    assert_false(number_is_integer(from("1e-300")));
}

static void an_integer_belongs_to_its_double(void **state)
{
    struct number n;
    (void)state;
    assert_true(number_join(0x1p53, 9007199254740993u, &n) && n.exact);
    assert_true(number_join(-0x1p63, (uint64_t)INT64_MIN, &n) && n.exact);
    assert_true(number_join(0x1p64, UINT64_MAX, &n) && n.exact);
    assert_false(number_join(5, 5, &n));
    assert_false(number_join(0x1p53, 9007199254740999u, &n));
    assert_false(number_join(-0x1p53, 9007199254740993u, &n));
}

static bool is_multiple(const char *n, const char *m)
{
    return number_is_multiple(from(n), from(m));
}

static void multiples_are_those_of_decimal_numbers(void **state)
{
    (void)state;
    assert_true(is_multiple("0.0075", "0.0001"));
    assert_false(is_multiple("0.00751", "0.0001"));
    assert_true(is_multiple("1e308", "0.5"));
    assert_false(is_multiple("1e308", "0.123456789"));
    assert_true(is_multiple("12391239123", "1e-8"));
    assert_true(is_multiple("9007199254740993", "3"));
    assert_false(is_multiple("9007199254740994", "3"));
    assert_true(is_multiple("18446744073709551615", "18446744073709551615"));
    assert_false(is_multiple("18446744073709551614", "18446744073709551615"));
    assert_true(is_multiple("-4.02", "0.01"));
    assert_true(is_multiple("0", "7"));
    assert_true(is_multiple("1e300", "1e-300"));
    assert_false(is_multiple("1e-300", "1e300"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_told_apart_beyond_doubles),
        cmocka_unit_test(integers_know_their_types),
        cmocka_unit_test(an_integer_belongs_to_its_double),
        cmocka_unit_test(multiples_are_those_of_decimal_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
