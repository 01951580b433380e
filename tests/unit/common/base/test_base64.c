/* Base64 both ways; the vectors of RFC 4648, section 10. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base64.h"

static void vectors(void **state)
{
    (void)state;
    static const char *const all[][2] = {
        {"",       ""        },
        {"f",      "Zg=="    },
        {"fo",     "Zm8="    },
        {"foo",    "Zm9v"    },
        {"foob",   "Zm9vYg=="},
        {"fooba",  "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct fm_buf out = {0}, back = {0};
        size_t n = strlen(all[i][1]);
        fm_base64_put(&out, fm_bytes_of(all[i][0]));
        assert_true(fm_bytes_eq_str(fm_buf_bytes(&out), all[i][1]));
        while (n > 0 && all[i][1][n - 1] == '=')
            n--;
        assert_true(fm_base64_get(&back, all[i][1], strlen(all[i][1])));
        assert_true(fm_bytes_eq_str(fm_buf_bytes(&back), all[i][0]));
        fm_buf_reset(&back);
        assert_true(fm_base64_get(&back, all[i][1], n)); /* without padding */
        assert_true(fm_bytes_eq_str(fm_buf_bytes(&back), all[i][0]));
        fm_buf_done(&out);
        fm_buf_done(&back);
    }
}

static void both_alphabets(void **state)
{
    (void)state;
    struct fm_buf out = {0};
    assert_true(fm_base64_get(&out, "-_8", 3));
    assert_true(fm_base64_get(&out, "+/8=", 4));
    static const uint8_t want[] = {0xfb, 0xff, 0xfb, 0xff};
    assert_int_equal(out.n, sizeof(want));
    assert_memory_equal(out.p, want, sizeof(want));
    fm_buf_done(&out);
}

static void what_is_not_base64_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"A",   "AAAAA", "AA=A", "A===",  "====",    "=",
                                      "AA=", "AAA==", "A A=", "AAA\n", "\xc3\xa4"};
    struct fm_buf out = {0};
    fm_buf_append(&out, "x", 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (fm_base64_get(&out, bad[i], strlen(bad[i])) || out.n != 1)
            fail_msg("'%s' was taken", bad[i]);
    fm_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(both_alphabets),
        cmocka_unit_test(what_is_not_base64_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
