/* Whose a store is: what others could have put there or could write is refused. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "err.h"
#include "mem.h"
#include "store_fixture.h"
#include "store_open.h"

static int setup(void **state)
{
    fx.kind = &sqlite_under_test;
    return store_setup(state);
}

static void path_of(char path[160], const char *name)
{
    snprintf(path, 160, "%s%s%s", fx.dir, name[0] != '\0' ? "/" : "", name);
}

/* The closed store is refused, with this in the text. */
static void is_refused(const char *why)
{
    fm_auto(fm_err) err = {0};
    const struct store_events none = {0};
    fx.store = store_open(fx.url, &none, &err);
    assert_null(fx.store);
    assert_int_equal(err.code, FM_PERMISSION_DENIED);
    assert_string_equal(err.field, "data");
    if (strstr(err.msg, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, why);
}

static void what_others_may_write_is_refused_with_what_to_do(void **state)
{
    (void)state;
    static const char *const names[] = {"", "fermata.lock", "fermata.db"};
    static const mode_t modes[] = {0020, 0002, 01777};
    store_close(fx.store);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        for (size_t k = 0; k < sizeof(modes) / sizeof(modes[0]); k++) {
            char path[160], hint[192];
            struct stat st;
            path_of(path, names[i]);
            snprintf(hint, sizeof(hint), "chmod go-w %s", path);
            assert_int_equal(stat(path, &st), 0);
            assert_int_equal(chmod(path, st.st_mode | modes[k]), 0);
            is_refused(hint);
            assert_int_equal(chmod(path, st.st_mode), 0);
        }
    store_reopen();
}

static void what_belongs_to_another_user_is_refused(void **state)
{
    (void)state;
    char path[160];
    if (geteuid() != 0)
        return; /* only root can give files away */
    store_close(fx.store);
    assert_int_equal(chown(fx.dir, 4711, 4711), 0);
    is_refused("belongs to user 4711");
    assert_int_equal(chown(fx.dir, 0, 0), 0);
    path_of(path, "fermata.db");
    assert_int_equal(chown(path, 4711, 4711), 0);
    is_refused("belongs to user 4711");
    assert_int_equal(chown(path, 0, 0), 0);
    store_reopen();
}

static void a_link_in_place_of_a_file_is_refused_and_what_it_points_to_stays(void **state)
{
    (void)state;
    static const char *const names[] = {"fermata.lock", "fermata.db", "fermata.db-wal", "fermata.db-shm"};
    char path[160], aside[160], target[160];
    store_close(fx.store);
    path_of(aside, "aside");
    path_of(target, "target");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct stat st;
        path_of(path, names[i]);
        bool there = rename(path, aside) == 0;
        assert_int_equal(symlink("target", path), 0);
        is_refused("is a symbolic link"); /* to nowhere: it is not made there */
        assert_int_equal(lstat(target, &st), -1);
        FILE *f = fopen(target, "w");
        assert_non_null(f);
        fputs("not a pid", f);
        fclose(f);
        is_refused("is a symbolic link");
        assert_int_equal(stat(target, &st), 0);
        assert_int_equal(st.st_size, 9);
        assert_int_equal(unlink(target), 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkfifo(path, 0600), 0);
        is_refused("is not a regular file");
        assert_int_equal(unlink(path), 0);
        if (there)
            assert_int_equal(rename(aside, path), 0);
    }
    store_reopen();
}

static void a_directory_may_be_named_by_a_link(void **state)
{
    (void)state;
    char link_url[200], link[160];
    fm_auto(fm_err) err = {0};
    const struct store_events none = {0};
    snprintf(link, sizeof(link), "%s-link", fx.dir);
    snprintf(link_url, sizeof(link_url), "sqlite:%s", link);
    store_close(fx.store);
    assert_int_equal(symlink(fx.dir, link), 0);
    struct store *s = store_open(link_url, &none, &err);
    assert_non_null(s);
    store_close(s);
    assert_int_equal(unlink(link), 0);
    store_reopen();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, store_teardown)
    const struct CMUnitTest tests[] = {
        T(what_others_may_write_is_refused_with_what_to_do),
        T(what_belongs_to_another_user_is_refused),
        T(a_link_in_place_of_a_file_is_refused_and_what_it_points_to_stays),
        T(a_directory_may_be_named_by_a_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
