/* Names in certificates. */
#include <stdint.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "principal.h"

static int read_uri(const char *uri, struct fm_principal *p)
{
    memset(p, 0, sizeof(*p));
    return fm_principal_of_uri(uri, strlen(uri), p, NULL);
}

static void users_hosts_and_members_have_names(void **state)
{
    (void)state;
    struct fm_principal p;
    char text[FM_PRINCIPAL_BYTES];
    assert_int_equal(read_uri("spiffe://example.org/user/ann", &p), 0);
    assert_int_equal(p.kind, FM_USER);
    assert_string_equal(fm_principal_text(&p, text), "user:ann");
    assert_int_equal(read_uri("spiffe://x/host/box-1.rack_2", &p), 0);
    assert_int_equal(p.kind, FM_HOST);
    assert_string_equal(fm_principal_text(&p, text), "host:box-1.rack_2");
    assert_int_equal(read_uri("spiffe://x/member/one", &p), 0);
    assert_int_equal(p.kind, FM_MEMBER);
    assert_true(fm_principal_is_proved(&p));
    p = (struct fm_principal){.kind = FM_LOCAL};
    assert_string_equal(fm_principal_text(&p, text), "local");
    assert_false(fm_principal_is_proved(&p));
}

static void everything_else_is_nobody(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "spiffe://",
                                      "spiffe://x",
                                      "spiffe://x/user",
                                      "spiffe://x/user/",
                                      "spiffe:///user/ann",
                                      "SPIFFE://x/user/ann",
                                      "spiffe://X/user/ann",
                                      "spiffe://x:80/user/ann",
                                      "spiffe://u@x/user/ann",
                                      "spiffe://x/User/ann",
                                      "spiffe://x/users/ann",
                                      "spiffe://x/use/ann",
                                      "spiffe://x//ann",
                                      "spiffe://x/user/ann/host/a",
                                      "spiffe://x/user/ann?x",
                                      "spiffe://x/user/ann#x",
                                      "spiffe://x/user/a%6e",
                                      "spiffe://x/user/a b",
                                      "spiffe://x/local/ann",
                                      "spiffe://x/nobody/ann",
                                      "spiffe://x/unix/0",
                                      "https://x/user/ann"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fm_principal p;
        if (read_uri(bad[i], &p) == 0)
            fail_msg("%s was taken", bad[i]);
        assert_int_equal(p.kind, 0);
    }
}

static void lengths_and_nuls_are_not_fooled(void **state)
{
    (void)state;
    char uri[64 + 400] = "spiffe://x/user/";
    static const char with_nul[] = "spiffe://x/user/ann\0.example", in_domain[] = "spiffe://x\0y/user/ann";
    size_t n = strlen(uri);
    struct fm_principal p = {0};
    memset(uri + n, 'a', 129);
    assert_int_equal(fm_principal_of_uri(uri, n + 128, &p, NULL), 0);
    assert_int_equal(strlen(p.name), 128);
    assert_int_not_equal(fm_principal_of_uri(uri, n + 129, &p, NULL), 0);
    assert_int_not_equal(fm_principal_of_uri(with_nul, sizeof(with_nul) - 1, &p, NULL), 0);
    assert_int_not_equal(fm_principal_of_uri(in_domain, sizeof(in_domain) - 1, &p, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_hosts_and_members_have_names),
        cmocka_unit_test(everything_else_is_nobody),
        cmocka_unit_test(lengths_and_nuls_are_not_fooled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
