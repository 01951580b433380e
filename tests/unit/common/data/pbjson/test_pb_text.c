/* Times, spans and masks as text. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pb_text.h"

static const char *written(struct fm_buf *b)
{
    fm_buf_append(b, "", 1);
    return (const char *)b->p;
}

static void times(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        int32_t nanos;
        const char *text;
    } all[] = {
        {0,            0,         "1970-01-01T00:00:00Z"          },
        {-1,           500000000, "1969-12-31T23:59:59.500Z"      },
        {951782400,    0,         "2000-02-29T00:00:00Z"          },
        {-62135596800, 0,         "0001-01-01T00:00:00Z"          },
        {253402300799, 999999999, "9999-12-31T23:59:59.999999999Z"},
        {1700000000,   1000,      "2023-11-14T22:13:20.000001Z"   },
        {4107542400,   0,         "2100-03-01T00:00:00Z"          },
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct fm_buf out = {0};
        int64_t seconds;
        int32_t nanos;
        assert_true(pb_timestamp_put(&out, all[i].seconds, all[i].nanos));
        assert_string_equal(written(&out), all[i].text);
        assert_true(pb_timestamp_get(all[i].text, strlen(all[i].text), &seconds, &nanos));
        assert_true(seconds == all[i].seconds && nanos == all[i].nanos);
        fm_buf_done(&out);
    }
    struct fm_buf out = {0};
    assert_false(pb_timestamp_put(&out, -62135596801, 0));
    assert_false(pb_timestamp_put(&out, 253402300800, 0));
    assert_false(pb_timestamp_put(&out, 0, -1));
    assert_false(pb_timestamp_put(&out, 0, 1000000000));
    fm_buf_done(&out);
}

static void times_from_elsewhere(void **state)
{
    (void)state;
    int64_t seconds;
    int32_t nanos;
    assert_true(pb_timestamp_get("1970-01-01T02:00:00+02:00", 25, &seconds, &nanos));
    assert_int_equal(seconds, 0);
    assert_true(pb_timestamp_get("1969-12-31T23:30:00.1-00:30", 27, &seconds, &nanos));
    assert_true(seconds == 0 && nanos == 100000000);
    static const char *const bad[] = {"",
                                      "1970-01-01",
                                      "1970-01-01T00:00:00",
                                      "1970-01-01t00:00:00Z",
                                      "1970-01-01 00:00:00Z",
                                      "1970-01-01T00:00:00z",
                                      "1970-02-29T00:00:00Z",
                                      "1900-02-29T00:00:00Z",
                                      "1970-13-01T00:00:00Z",
                                      "1970-00-01T00:00:00Z",
                                      "1970-01-01T24:00:00Z",
                                      "1970-01-01T00:60:00Z",
                                      "1970-01-01T00:00:60Z",
                                      "1970-01-01T00:00:00.Z",
                                      "1970-01-01T00:00:00.1234567890Z",
                                      "1970-01-01T00:00:00+24:00",
                                      "1970-01-01T00:00:00Zx",
                                      "0001-01-01T00:00:00+00:01",
                                      "0000-12-31T23:59:59Z",
                                      "10000-01-01T00:00:00Z",
                                      "9999-12-31T23:59:59-00:01"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (pb_timestamp_get(bad[i], strlen(bad[i]), &seconds, &nanos))
            fail_msg("'%s' was taken", bad[i]);
}

static void spans(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        int32_t nanos;
        const char *text;
    } all[] = {
        {0,             0,         "0s"            },
        {1,             500000000, "1.500s"        },
        {-1,            -5000,     "-1.000005s"    },
        {0,             -7,        "-0.000000007s" },
        {315576000000,  0,         "315576000000s" },
        {-315576000000, 0,         "-315576000000s"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct fm_buf out = {0};
        int64_t seconds;
        int32_t nanos;
        assert_true(pb_duration_put(&out, all[i].seconds, all[i].nanos));
        assert_string_equal(written(&out), all[i].text);
        assert_true(pb_duration_get(all[i].text, strlen(all[i].text), &seconds, &nanos));
        assert_true(seconds == all[i].seconds && nanos == all[i].nanos);
        fm_buf_done(&out);
    }
    static const char *const bad[] = {"",
                                      "1",
                                      "s",
                                      "-s",
                                      "1.s",
                                      ".5s",
                                      "1.0000000001s",
                                      "315576000001s",
                                      "1m",
                                      "+1s",
                                      "1s ",
                                      "9999999999999s"};
    int64_t seconds;
    int32_t nanos;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (pb_duration_get(bad[i], strlen(bad[i]), &seconds, &nanos))
            fail_msg("'%s' was taken", bad[i]);
    struct fm_buf out = {0};
    assert_false(pb_duration_put(&out, 1, -1));
    assert_false(pb_duration_put(&out, -1, 1));
    assert_false(pb_duration_put(&out, 315576000001, 0));
    fm_buf_done(&out);
}

static void masks(void **state)
{
    (void)state;
    struct fm_buf out = {0};
    assert_true(pb_mask_path_put(&out, fm_bytes_of("a_b.long_name")));
    assert_string_equal(written(&out), "aB.longName");
    fm_buf_reset(&out);
    assert_true(pb_mask_path_get(&out, "aB.longName", 11));
    assert_string_equal(written(&out), "a_b.long_name");
    fm_buf_reset(&out);
    assert_false(pb_mask_path_put(&out, fm_bytes_of("aB")));
    assert_false(pb_mask_path_put(&out, fm_bytes_of("a__b")));
    assert_false(pb_mask_path_put(&out, fm_bytes_of("a_")));
    assert_false(pb_mask_path_put(&out, fm_bytes_of("a_1")));
    assert_false(pb_mask_path_get(&out, "a_b", 3));
    fm_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times),
        cmocka_unit_test(times_from_elsewhere),
        cmocka_unit_test(spans),
        cmocka_unit_test(masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
