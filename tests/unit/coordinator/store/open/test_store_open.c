/* Which kind of store a URL names. */
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "sqlite.h"
#include "store_open.h"

static void assert_dir(const char *url, const char *want)
{
    fm_auto(fm_err) err = {0};
    const char *rest = NULL;
    assert_ptr_equal(store_kind_of(url, &rest, &err), &sqlite_kind);
    assert_string_equal(rest, want);
}

static void a_directory_is_a_sqlite_store(void **state)
{
    (void)state;
    assert_dir("sqlite:fermata-data", "fermata-data");
    assert_dir("sqlite:/var/lib/fermata", "/var/lib/fermata");
    assert_dir("fermata-data", "fermata-data");
    assert_dir("/var/lib/fermata:1", "/var/lib/fermata:1");
    assert_dir("./a:b", "./a:b");
    assert_dir("Data:1", "Data:1"); /* no scheme has capitals */
}

static void an_unknown_scheme_is_refused_with_what_is_allowed(void **state)
{
    (void)state;
    static const char *const urls[] = {"oracle:host/db", "sqlit:x", "sqlitee:x"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        fm_auto(fm_err) err = {0};
        const struct store_events none = {0};
        assert_null(store_open(urls[i], &none, &err));
        assert_int_equal(err.code, FM_INVALID_ARGUMENT);
        assert_memory_equal(strchr(err.msg, '"') + 1, urls[i], strcspn(urls[i], ":"));
        assert_non_null(strstr(err.msg, "sqlite:DIR"));
    }
}

static void a_scheme_without_a_store_is_refused_by_name(void **state)
{
    (void)state;
    fm_auto(fm_err) err = {0};
    const char *rest = NULL;
    assert_null(store_kind_of("sqlite:", &rest, &err));
    assert_int_equal(err.code, FM_INVALID_ARGUMENT);
    assert_string_equal(err.msg, "--data sqlite: names no store; sqlite:DIR is expected");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_is_a_sqlite_store),
        cmocka_unit_test(an_unknown_scheme_is_refused_with_what_is_allowed),
        cmocka_unit_test(a_scheme_without_a_store_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
