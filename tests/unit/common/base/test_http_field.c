/* Which headers others may set. */
#include <string.h>

#include <cmocka.h>

#include "http_field.h"

static void headers_of_the_connection_and_the_message_are_the_client_s(void **state)
{
    (void)state;
    static const char *const refused[] = {"Content-Length",   "content-length", "TRANSFER-ENCODING",
                                          "Connection",       "Keep-Alive",     "TE",
                                          "Trailer",          "Upgrade",        "Host",
                                          "Proxy-Connection", "HTTP2-Settings", "Proxy-Authorization"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const char *why = fm_http_name_fault(refused[i], strlen(refused[i]));
        assert_non_null(why);
        assert_non_null(strstr(why, "cannot be set"));
    }
    static const char *const others[] = {
        "Content-Type", "Content-Lengt", "Content-Length-X", "Hosts", "X-Host", "Authorization", "T",
        "Cookie"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_null(fm_http_name_fault(others[i], strlen(others[i])));
}

static void a_name_is_a_token(void **state)
{
    (void)state;
    static const char *const bad[] = {"A B",  "A:", ":authority", "A\r\nB", "A\n", "Transfer-Encoding ",
                                      "\tTE", "ä"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(fm_http_name_fault(bad[i], strlen(bad[i])));
    assert_non_null(fm_http_name_fault("", 0));
    assert_non_null(fm_http_name_fault("A\0B", 3));
    char name[130];
    memset(name, 'x', sizeof(name));
    assert_null(fm_http_name_fault(name, 128));
    assert_non_null(fm_http_name_fault(name, 129));
}

static void a_value_has_no_line_breaks_and_no_nul(void **state)
{
    (void)state;
    assert_null(fm_http_value_fault("", 0));
    assert_null(fm_http_value_fault("a\tb \xc3\xa4", 6));
    static const char *const bad[] = {"a\r\nB: c", "a\n", "a\r", "\x7f", "\x01"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(fm_http_value_fault(bad[i], strlen(bad[i])));
    assert_non_null(fm_http_value_fault("a\0b", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_of_the_connection_and_the_message_are_the_client_s),
        cmocka_unit_test(a_name_is_a_token),
        cmocka_unit_test(a_value_has_no_line_breaks_and_no_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
