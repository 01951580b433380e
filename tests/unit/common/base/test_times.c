/* Times and counts from outside: whatever they say, no sum of them overflows. (What would be undefined fails
 * in the build with sanitizers.) */
#include <math.h>
#include <stdint.h>

#include <cmocka.h>

#include "agreed.h"
#include "times.h"

static void times_beyond_the_calendar_count_as_its_ends(void **state)
{
    (void)state;
    assert_true(fm_time_ms(1, 999999999) == 1999);
    assert_true(fm_time_ms(FM_MAX_SECONDS, 999999999) == 253402300799999);
    assert_true(fm_time_ms(FM_MIN_SECONDS, 0) == -62135596800000);
    const int64_t far[] = {INT64_MAX, INT64_MAX / 1000, INT64_MAX / 1000 + 1, FM_MAX_SECONDS + 1};
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        assert_true(fm_time_ms(far[i], INT32_MAX) == 253402300799999);
        assert_true(fm_time_ms(-far[i], INT32_MIN) == -62135596800000);
    }
    assert_true(fm_time_ms(INT64_MIN, INT32_MIN) == -62135596800000);
}

static void counts_have_an_end(void **state)
{
    (void)state;
    const double odd[] = {NAN, -INFINITY, -1, -0.0, 0, 0.9};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        assert_true(fm_count_from(odd[i]) == 0);
        assert_true(fm_count32_from(odd[i]) == 0);
    }
    assert_true(fm_count_from(1.9) == 1);
    assert_true(fm_count_from(9007199254740991.0) == 9007199254740991u);
    assert_true(fm_count_from(1e300) == 9007199254740992u);
    assert_true(fm_count_from(INFINITY) == 9007199254740992u);
    assert_true(fm_count_from(1e300) > FM_MAX_AHEAD_MS); /* what is scheduled so far ahead is refused */
    assert_true(fm_count32_from(4294967294.0) == 4294967294u);
    assert_true(fm_count32_from(1e300) == UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_beyond_the_calendar_count_as_its_ends),
        cmocka_unit_test(counts_have_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
