/* Secrets: what is read, what is put in, and what is blanked out of what comes back, also when it comes in
 * pieces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem.h"
#include "secrets.h"

#define KEY "sk-abcdefghijklm"
#define ORIGIN "https://api.example.com"
#define URL ORIGIN "/v1?x=1"

static char path[64];

/* A file of secrets with this mode. */
static const char *file_of(const char *text, unsigned mode)
{
    snprintf(path, sizeof(path), "/tmp/test_secrets.%d", (int)getpid());
    (void)unlink(path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static struct secrets *read_text(const char *text)
{
    struct fm_err err = {0};
    struct secrets *s = secrets_read(file_of(text, 0600), NULL, 0, &err);
    if (s == NULL)
        fail_msg("%s", err.msg);
    return s;
}

static void refused(const char *text, unsigned mode, int code)
{
    struct fm_err err = {0};
    assert_null(secrets_read(file_of(text, mode), NULL, 0, &err));
    assert_int_equal(err.code, code);
    fm_err_done(&err);
}

static void values_put(struct fm_buf *b, const char *value)
{
    fm_buf_append(b, value, strlen(value) + 1);
}

/* ---- the file ---- */

static void a_file_that_others_may_read_is_refused(void **state)
{
    (void)state;
    refused("A=1\n", 0640, FM_PERMISSION_DENIED);
    refused("A=1\n", 0604, FM_PERMISSION_DENIED);
    refused("A=1\n", 0620, FM_PERMISSION_DENIED);
    struct fm_err err = {0};
    (void)unlink(path);
    assert_null(secrets_read(path, NULL, 0, &err));
    assert_int_equal(err.code, FM_NOT_FOUND);
    assert_null(secrets_read("/tmp", NULL, 0, &err));
    assert_int_equal(err.code, FM_PERMISSION_DENIED);
    fm_err_done(&err);
}

static void a_line_that_is_none_is_named(void **state)
{
    (void)state;
    char text[300];
    refused("A=1\n\n# more\nnonsense\n", 0600, FM_INVALID_ARGUMENT);
    refused("=1\n", 0600, FM_INVALID_ARGUMENT);
    refused("A B=1\n", 0600, FM_INVALID_ARGUMENT);
    memset(text, 'A', 129);
    memcpy(text + 129, "=1\n", 4);
    refused(text, 0600, FM_INVALID_ARGUMENT);
    struct secrets *s = read_text(text + 1);
    secrets_free(s);
    struct fm_err err = {0};
    assert_null(secrets_read(file_of("A=1\n\nnonsense\n", 0600), NULL, 0, &err));
    assert_non_null(strstr(err.msg, "line 3"));
    fm_err_done(&err);
}

/* ---- putting in ---- */

static void expand(const struct secrets *s, const char *text, const char *want, const char *used)
{
    struct fm_buf out = {0}, values = {0};
    struct fm_err err = {0};
    if (secrets_expand(s, text, URL, &out, &values, &err) < 0)
        fail_msg("%s", err.msg);
    fm_buf_append(&out, "", 1);
    fm_buf_append(&values, "", 1);
    assert_string_equal((const char *)out.p, want);
    assert_string_equal((const char *)values.p, used);
    fm_buf_done(&out);
    fm_buf_done(&values);
}

/* The reference is refused for this URL; the error says why, and names no value. */
static void is_not_put_in(const struct secrets *s, const char *text, const char *url, const char *why)
{
    struct fm_buf out = {0}, used = {0};
    fm_auto(fm_err) err = {0};
    assert_int_equal(secrets_expand(s, text, url, &out, &used, &err), -FM_FAILED_PRECONDITION);
    if (strstr(err.msg, why) == NULL)
        fail_msg("%s: %s", text, err.msg);
    assert_null(strstr(err.msg, "value"));
    assert_int_equal(used.n, 0);
    fm_buf_done(&out);
    fm_buf_done(&used);
}

static void references_become_values(void **state)
{
    (void)state;
    setenv("TEST_SECRET_OF_ENV", "from-env", 1);
    setenv("FERMATA_SECRET_X", ORIGIN " Bearer bound-1", 1);
    struct secrets *s =
        read_text("key=" ORIGIN " " KEY "\r\nother=http://other.example," ORIGIN "  a=b c \n");
    expand(s, "Bearer ${secret:key}!", "Bearer " KEY "!", KEY);
    expand(s, "${secret:key}${secret:key}", KEY KEY, KEY);
    expand(s, "${secret:other}", "a=b c", "a=b c");
    expand(s, "${secret:X}", "Bearer bound-1", "Bearer bound-1");
    expand(s, "${secret:FERMATA_SECRET_X}", "Bearer bound-1", "Bearer bound-1");
    expand(s, "nothing ${secret:key", "nothing ${secret:key", "");
    static const char *const missing[] = {"none", "TEST_SECRET_OF_ENV", "PATH",
                                          "",     "FERMATA_SECRET_",    "key#2"};
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        char text[64];
        snprintf(text, sizeof(text), "${secret:%s}", missing[i]);
        is_not_put_in(s, text, URL, "this host has no secret");
    }
    secrets_free(s);
    unsetenv("TEST_SECRET_OF_ENV");
    unsetenv("FERMATA_SECRET_X");
}

static void a_secret_goes_to_its_origins_only(void **state)
{
    (void)state;
    struct secrets *s =
        read_text("key=https://api.example.com,http://127.0.0.1:8000,http://[::1]:90 the-value\n"
                  "free=the-value\nlink=postgres://x:the-value@y\n");
    static const char *const right[] = {"https://api.example.com",      "https://api.example.com:443/v1",
                                        "HTTPS://API.Example.COM/a",    "https://api.example.com?x",
                                        "https://u:p@api.example.com/", "http://127.0.0.1:8000/v1/../x",
                                        "http://127.1:8000/",           "http://[::1]:90/"};
    static const char *const wrong[] = {"http://api.example.com/",
                                        "https://api.example.com:8443/",
                                        "https://api.example.com.evil/",
                                        "https://api.example.com@evil/",
                                        "https://evil/?https://api.example.com/",
                                        "https://evil/#@api.example.com/",
                                        "https://api.example.comevil/",
                                        "http://127.0.0.1/",
                                        "http://127.0.0.1:80000/",
                                        "ftp://api.example.com/",
                                        "//api.example.com/",
                                        "https://"};
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        struct fm_buf out = {0}, used = {0};
        fm_auto(fm_err) err = {0};
        if (secrets_expand(s, "${secret:key}", right[i], &out, &used, &err) < 0)
            fail_msg("%s: %s", right[i], err.msg);
        fm_buf_done(&out);
        fm_buf_done(&used);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        is_not_put_in(s, "${secret:key}", wrong[i], "the secret key is");
    is_not_put_in(s, "${secret:key}", "https://evil.example/v1", "other than https://evil.example:443");
    is_not_put_in(s, "${secret:free}", "https://api.example.com/",
                  "the secret free has no origin on this host");
    is_not_put_in(s, "${secret:link}", "https://api.example.com/",
                  "the secret link has no origin on this host");
    secrets_free(s);
}

static void what_should_be_an_origin_and_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"ftp://x the-value",        "https:// the-value",
                                      "https://x/path the-value", "https://u@x the-value",
                                      "https://x,y the-value",    "https://x, the-value",
                                      "https://x?q the-value",    "https://x:port the-value"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[100];
        fm_auto(fm_err) err = {0};
        snprintf(text, sizeof(text), "# \nA=%s\n", bad[i]);
        assert_null(secrets_read(file_of(text, 0600), NULL, 0, &err));
        assert_int_equal(err.code, FM_INVALID_ARGUMENT);
        assert_non_null(strstr(err.msg, "line 2"));
        assert_null(strstr(err.msg, "the-value"));
    }
    setenv("FERMATA_SECRET_BAD", "https://x/path the-value", 1);
    fm_auto(fm_err) err = {0};
    assert_null(secrets_read(NULL, NULL, 0, &err));
    assert_non_null(strstr(err.msg, "the variable FERMATA_SECRET_BAD"));
    unsetenv("FERMATA_SECRET_BAD");
}

static void variables_named_on_the_command_line_are_secrets(void **state)
{
    (void)state;
    static const struct secrets_variable named[] = {
        {"TEST_NAMED", ORIGIN}
    };
    struct secrets_variable bad = {"TEST_NAMED", "api.example.com/v1"}, none = {"TEST_NOT_THERE", ORIGIN};
    setenv("TEST_NAMED", "https://is-all the-value", 1);
    fm_auto(fm_err) err = {0}, second = {0};
    struct secrets *s = secrets_read(NULL, named, 1, &err);
    assert_non_null(s);
    expand(s, "${secret:TEST_NAMED}", "https://is-all the-value", "https://is-all the-value");
    is_not_put_in(s, "${secret:TEST_NAMED}", "https://evil/", "other than https://evil:443");
    assert_true(secrets_known("see https://is-all the-value"));
    secrets_free(s);
    assert_null(secrets_read(NULL, &bad, 1, &err));
    assert_int_equal(err.code, FM_INVALID_ARGUMENT);
    assert_null(secrets_read(NULL, &none, 1, &second));
    assert_int_equal(second.code, FM_NOT_FOUND);
    unsetenv("TEST_NAMED");
}

/* ---- blanking out ---- */

static void redact(const struct fm_buf *used, const char *text, const char *want)
{
    char copy[128];
    snprintf(copy, sizeof(copy), "%s", text);
    assert_int_equal(secrets_redact(used, copy, strlen(copy)), strcmp(text, want) != 0);
    assert_string_equal(copy, want);
}

static void values_are_blanked_out_wherever_they_stand(void **state)
{
    (void)state;
    struct fm_buf used = {0};
    values_put(&used, KEY);
    values_put(&used, "sixteen-letters!");
    values_put(&used, "15-letters-only"); /* too short: words that texts have without it */
    values_put(&used, "ollama");
    redact(&used, KEY, "****************");
    redact(&used, "x" KEY "y" KEY, "x****************y****************");
    redact(&used, "sixteen-letters! 15-letters-only", "**************** 15-letters-only");
    redact(&used, "https://ollama.com", "https://ollama.com");
    redact(&used, "sk-abcdefg and abc", "sk-abcdefg and abc");
    redact(&used, "", "");
    fm_buf_done(&used);
}

static void digits_are_blanked_out_as_text_and_not_as_numbers(void **state)
{
    (void)state;
    struct fm_buf used = {0};
    values_put(&used, "1234567890123456");
    redact(&used, "{\"key\":\"1234567890123456\"}", "{\"key\":\"****************\"}");
    redact(&used, "{\"id\": 1234567890123456, \"a\":1}", "{\"id\": 1234567890123456, \"a\":1}");
    redact(&used, "[1234567890123456]", "[1234567890123456]");
    redact(&used, "{\"id\":91234567890123456}", "{\"id\":91234567890123456}");
    redact(&used, "\"x12345678901234567\"", "\"x12345678901234567\"");
    redact(&used, "your key 1234567890123456 is not known", "your key **************** is not known");
    redact(&used, "your key: 1234567890123456", "your key: ****************");
    fm_buf_done(&used);
}

static size_t tail(const struct fm_buf *used, const char *text)
{
    return secrets_tail(used, text, strlen(text));
}

static void the_beginning_of_a_value_at_the_end_is_held_back(void **state)
{
    (void)state;
    struct fm_buf used = {0};
    char text[64];
    values_put(&used, KEY);
    for (size_t n = 1; n < strlen(KEY); n++) { /* all of it but its last bytes, down to the first */
        snprintf(text, sizeof(text), "so far %.*s", (int)n, KEY);
        assert_int_equal(tail(&used, text), n);
        assert_int_equal(secrets_tail(&used, KEY, n), n);
    }
    assert_int_equal(tail(&used, "sk-abcdefg "), 0);
    assert_int_equal(tail(&used, "nothing"), 0);
    assert_int_equal(tail(&used, ""), 0);
    values_put(&used, "abc"); /* too short to be blanked out, so never held back */
    assert_int_equal(tail(&used, "xxab"), 0);
    values_put(&used, "abcdefgzz-abcdefgzz"); /* the longest such end counts */
    assert_int_equal(tail(&used, "sk-abcdefg"), 10);
    assert_int_equal(tail(&used, "abcdefg"), 7);
    fm_buf_done(&used);
}

/* A text that comes in two pieces, cut anywhere: what is let go after each shows nothing of the value. */
static void a_value_that_comes_in_pieces_is_never_let_go(void **state)
{
    (void)state;
    static const char whole[] = "the key is " KEY ", really";
    struct fm_buf used = {0};
    values_put(&used, KEY);
    for (size_t cut = 0; cut <= strlen(whole); cut++) {
        char shown[128], rest[128];
        snprintf(shown, sizeof(shown), "%.*s", (int)cut, whole);
        (void)secrets_redact(&used, shown, cut);
        size_t held = secrets_tail(&used, shown, cut);
        snprintf(rest, sizeof(rest), "%s%s", shown + cut - held, whole + cut);
        shown[cut - held] = '\0';
        (void)secrets_redact(&used, rest, strlen(rest));
        char all[256];
        snprintf(all, sizeof(all), "%s%s", shown, rest);
        assert_string_equal(all, "the key is ****************, really");
    }
    fm_buf_done(&used);
}

static void what_was_put_in_once_is_hidden_from_then_on(void **state)
{
    (void)state;
    struct secrets *s = read_text("key=" ORIGIN " " KEY "\nunused=never-used\nother=" ORIGIN
                                  " another-secret-of-another-job\n");
    struct fm_buf out = {0}, used = {0};
    struct fm_err err = {0};
    char text[64] = "a " KEY " b never-used sk-abcdefg";
    size_t held;
    assert_false(secrets_hide("key", false, text, strlen(text), &held));
    assert_int_equal(held, 0);
    assert_int_equal(secrets_expand(s, "${secret:key}", URL, &out, &used, &err), 0);
    assert_int_equal(secrets_expand(s, "${secret:other}", URL, &out, &used, &err), 0);
    char others[] = "another-secret-of-another-job"; /* is none of the requests with "key" */
    assert_false(secrets_hide("key", false, others, strlen(others), NULL));
    assert_true(secrets_hide("other", false, others, strlen(others), NULL));
    assert_true(secrets_hide("key", false, text, strlen(text), &held));
    assert_string_equal(text, "a **************** b never-used sk-abcdefg");
    assert_int_equal(held, 10);
    assert_false(secrets_hide("key", false, text, 5, NULL));
    secrets_hide_known(text, strlen(text)); /* used or not */
    assert_string_equal(text, "a **************** b ********** sk-abcdefg");
    fm_buf_done(&out);
    fm_buf_done(&used);
    secrets_free(s);
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_file_that_others_may_read_is_refused, teardown),
        cmocka_unit_test_teardown(a_line_that_is_none_is_named, teardown),
        cmocka_unit_test_teardown(references_become_values, teardown),
        cmocka_unit_test_teardown(a_secret_goes_to_its_origins_only, teardown),
        cmocka_unit_test_teardown(what_should_be_an_origin_and_is_none_is_refused, teardown),
        cmocka_unit_test(variables_named_on_the_command_line_are_secrets),
        cmocka_unit_test(values_are_blanked_out_wherever_they_stand),
        cmocka_unit_test(digits_are_blanked_out_as_text_and_not_as_numbers),
        cmocka_unit_test(the_beginning_of_a_value_at_the_end_is_held_back),
        cmocka_unit_test(a_value_that_comes_in_pieces_is_never_let_go),
        cmocka_unit_test_teardown(what_was_put_in_once_is_hidden_from_then_on, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
