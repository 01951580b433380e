/* Errors. */
#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include "buf.h"
#include "err.h"

static bool valid_utf8(const char *s)
{
    for (size_t n = strlen(s); n > 0;) {
        size_t len = fm_utf8_sequence((const uint8_t *)s, n);
        if (len == 0)
            return false;
        s += len;
        n -= len;
    }
    return true;
}

static void setting_returns_the_negative_code_and_fills_all(void **state)
{
    (void)state;
    struct fm_err err = {0};
    assert_int_equal(fm_err_set(&err, FM_NOT_FOUND, "job_id", "there is no job %d", 7), -5);
    assert_int_equal(err.code, FM_NOT_FOUND);
    assert_string_equal(err.field, "job_id");
    assert_string_equal(err.msg, "there is no job 7");
    assert_null(err.more);
}

static void a_caller_who_wants_no_error_may_pass_null(void **state)
{
    (void)state;
    assert_int_equal(fm_err_set(NULL, FM_ABORTED, NULL, "x"), -FM_ABORTED);
    assert_int_equal(fm_err_add(NULL, FM_ABORTED, NULL, "x"), -FM_ABORTED);
    fm_err_wrap(NULL, "x");
}

static void setting_from_its_own_message_works(void **state)
{
    (void)state;
    struct fm_err err = {0};
    fm_err_set(&err, FM_UNKNOWN, "f", "inner");
    fm_err_set(&err, FM_INTERNAL, NULL, "outer: %s", err.msg);
    assert_string_equal(err.msg, "outer: inner");
    assert_string_equal(err.field, "");
}

static void the_first_violation_is_the_error_and_all_are_listed(void **state)
{
    (void)state;
    struct fm_err err = {0};
    assert_int_equal(fm_err_add(&err, FM_INVALID_ARGUMENT, "a", "first"), -FM_INVALID_ARGUMENT);
    assert_int_equal(err.n_more, 0);
    assert_int_equal(fm_err_add(&err, FM_INVALID_ARGUMENT, "b", "second"), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "a");
    assert_string_equal(err.msg, "first");
    assert_int_equal(err.n_more, 2);
    assert_string_equal(err.more[0].field, "a");
    assert_string_equal(err.more[0].msg, "first");
    assert_string_equal(err.more[1].field, "b");
    assert_string_equal(err.more[1].msg, "second");
    fm_err_done(&err);
    assert_int_equal(err.code, FM_OK);
    assert_null(err.more);
}

static void violations_beyond_the_cap_are_counted(void **state)
{
    (void)state;
    struct fm_err err = {0};
    for (int i = 0; i < FM_MAX_VIOLATIONS + 10; i++)
        fm_err_add(&err, FM_INVALID_ARGUMENT, NULL, "fault %d", i);
    assert_int_equal(err.n_more, FM_MAX_VIOLATIONS);
    assert_int_equal(err.n_cut, 10);
    fm_err_done(&err);
}

static void setting_again_releases_the_violations(void **state)
{
    (void)state;
    struct fm_err err = {0};
    fm_err_add(&err, FM_INVALID_ARGUMENT, "a", "1");
    fm_err_add(&err, FM_INVALID_ARGUMENT, "b", "2");
    fm_err_set(&err, FM_INTERNAL, NULL, "new");
    assert_null(err.more);
    assert_int_equal(err.n_more, 0);
}

static void context_comes_first(void **state)
{
    (void)state;
    struct fm_err err = {0};
    fm_err_set(&err, FM_DATA_LOSS, "f", "bad bytes");
    fm_err_wrap(&err, "step %d", 4);
    fm_err_wrap(&err, "job %s", "J");
    assert_string_equal(err.msg, "job J: step 4: bad bytes");
    assert_string_equal(err.field, "f");
}

static void a_message_that_is_too_long_is_cut_and_marked(void **state)
{
    (void)state;
    struct fm_err err = {0};
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    fm_err_set(&err, FM_INTERNAL, text, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    assert_string_equal(err.msg + sizeof(err.msg) - 4, "...");
    assert_int_equal(strlen(err.field), sizeof(err.field) - 1);
    fm_err_wrap(&err, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

static void texts_are_utf8_whatever_goes_in(void **state)
{
    (void)state;
    struct fm_err err = {0};
    fm_err_set(&err, FM_INTERNAL, "field\xff", "value \"%.3s\"", "a\xe2\x82\xac"); /* cuts the euro sign */
    assert_string_equal(err.field, "field?");
    assert_string_equal(err.msg, "value \"a??\"");
    char text[2000];
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        text[i] = "\xc3\xa4"[i % 2];
    text[sizeof(text) - 1] = '\0';
    for (int shift = 0; shift < 2; shift++) {
        struct fm_err cut = {0};
        fm_err_set(&cut, FM_INTERNAL, text, "%s%.1998s", shift == 1 ? "x" : "", text);
        assert_true(valid_utf8(cut.msg));
        assert_true(valid_utf8(cut.field));
        fm_err_wrap(&cut, "%sabc", shift == 1 ? "" : "y");
        assert_true(valid_utf8(cut.msg));
        fm_err_add(&cut, FM_INTERNAL, text, "%s", text);
        assert_true(valid_utf8(cut.more[0].msg));
        assert_true(valid_utf8(cut.more[1].msg));
        fm_err_done(&cut);
    }
}

static void a_copy_lives_on_its_own(void **state)
{
    (void)state;
    struct fm_err a = {0}, b = {0};
    fm_err_add(&a, FM_INVALID_ARGUMENT, "a", "1");
    fm_err_add(&a, FM_INVALID_ARGUMENT, "b", "2");
    fm_err_copy(&b, &a);
    fm_err_done(&a);
    assert_string_equal(b.more[1].msg, "2");
    fm_err_add(&b, FM_INVALID_ARGUMENT, "c", "3");
    assert_int_equal(b.n_more, 3);
    fm_err_done(&b);
}

static void codes_have_grpcs_names(void **state)
{
    (void)state;
    assert_string_equal(fm_code_name(FM_OK), "OK");
    assert_string_equal(fm_code_name(FM_FAILED_PRECONDITION), "FAILED_PRECONDITION");
    assert_string_equal(fm_code_name(FM_UNAUTHENTICATED), "UNAUTHENTICATED");
    assert_string_equal(fm_code_name(-1), "UNKNOWN");
    assert_string_equal(fm_code_name(17), "UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_returns_the_negative_code_and_fills_all),
        cmocka_unit_test(a_caller_who_wants_no_error_may_pass_null),
        cmocka_unit_test(setting_from_its_own_message_works),
        cmocka_unit_test(the_first_violation_is_the_error_and_all_are_listed),
        cmocka_unit_test(violations_beyond_the_cap_are_counted),
        cmocka_unit_test(setting_again_releases_the_violations),
        cmocka_unit_test(context_comes_first),
        cmocka_unit_test(a_message_that_is_too_long_is_cut_and_marked),
        cmocka_unit_test(texts_are_utf8_whatever_goes_in),
        cmocka_unit_test(a_copy_lives_on_its_own),
        cmocka_unit_test(codes_have_grpcs_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
