/* Backups: what they leave beside them, and what comes in their way. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "backup.h"
#include "clock.h"
#include "err.h"
#include "mem.h"
#include "slow.h"
#include "store_fixture.h"

static char copy[160], part[168];

static int setup(void **state)
{
    fx.kind = &sqlite_under_test;
    int rc = store_setup(state);
    snprintf(copy, sizeof(copy), "%s/copy", fx.dir);
    snprintf(part, sizeof(part), "%s.part", copy);
    return rc;
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void assert_file(const char *path, const char *want)
{
    char got[64] = "";
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    (void)!fread(got, 1, sizeof(got) - 1, f);
    fclose(f);
    assert_string_equal(got, want);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void assert_fails(int code, const char *why)
{
    fm_auto(fm_err) err = {0};
    assert_int_equal(store_backup(fx.dir, copy, &err), -code);
    if (strstr(err.msg, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, why);
}

static void assert_copied(void)
{
    fm_auto(fm_err) err = {0};
    struct stat st;
    if (store_backup(fx.dir, copy, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(lstat(copy, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(st.st_nlink, 1);
    assert_false(exists(part));
}

static void a_backup_is_its_owners_and_leaves_nothing_beside_it(void **state)
{
    (void)state;
    assert_copied();
}

static void nothing_is_replaced_by_a_backup_not_even_a_link_to_nowhere(void **state)
{
    (void)state;
    put_file(copy, "mine");
    assert_fails(FM_ALREADY_EXISTS, "a backup never replaces a file");
    assert_file(copy, "mine");
    assert_int_equal(unlink(copy), 0);
    assert_int_equal(symlink("/nowhere", copy), 0);
    assert_fails(FM_ALREADY_EXISTS, "a backup never replaces a file");
    assert_int_equal(unlink(copy), 0);
    assert_copied();
}

static void what_an_interrupted_backup_left_is_removed_and_nothing_else(void **state)
{
    (void)state;
    char other[160];
    put_file(part, "half");
    assert_copied();
    assert_int_equal(unlink(copy), 0);
    snprintf(other, sizeof(other), "%s/other", fx.dir);
    put_file(other, "other");
    assert_int_equal(symlink(other, part), 0);
    assert_fails(FM_ALREADY_EXISTS, "is in the way: remove it");
    assert_file(other, "other");
    assert_int_equal(unlink(part), 0);
    assert_int_equal(mkfifo(part, 0600), 0);
    assert_fails(FM_ALREADY_EXISTS, "is in the way: remove it");
    assert_int_equal(unlink(part), 0);
    assert_copied();
}

/* ---- while a backup is made ---- */

struct running {
    pthread_t thread;
    struct fm_err err;
    int rc;
};

static void *back_up(void *arg)
{
    struct running *r = arg;
    r->rc = store_backup(fx.dir, copy, &r->err);
    return NULL;
}

/* Somebody who has the store for himself: a backup waits, with its file made. */
static sqlite3 *hold_store(struct running *r)
{
    char path[160];
    sqlite3 *db;
    store_close(fx.store);
    snprintf(path, sizeof(path), "%s/fermata.db", fx.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE; BEGIN IMMEDIATE; CREATE TABLE x(y); COMMIT;", NULL,
                     NULL, NULL),
        SQLITE_OK);
    assert_int_equal(pthread_create(&r->thread, NULL, back_up, r), 0);
    int64_t until = fm_now_mono_ms() + DEADLINE_MS;
    while (!exists(part)) {
        if (fm_now_mono_ms() > until)
            fail_msg("no backup is begun");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return db;
}

static void let_go(struct running *r, sqlite3 *db)
{
    assert_int_equal(sqlite3_exec(db, "DROP TABLE x", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    pthread_join(r->thread, NULL);
    store_reopen();
}

static void what_comes_to_the_name_while_a_backup_is_made_stays(void **state)
{
    (void)state;
    struct running r = {0};
    sqlite3 *db = hold_store(&r);
    put_file(copy, "came between");
    let_go(&r, db);
    assert_int_equal(r.rc, -FM_ALREADY_EXISTS);
    assert_file(copy, "came between");
    assert_false(exists(part));
}

static void of_two_backups_to_one_name_one_is_made(void **state)
{
    (void)state;
    struct running r = {0};
    sqlite3 *db = hold_store(&r);
    assert_fails(FM_ALREADY_EXISTS, "another backup is writing");
    let_go(&r, db);
    if (r.rc != 0)
        fail_msg("%s", r.err.msg);
    assert_true(exists(copy) && !exists(part));
}

static void a_file_that_is_put_in_place_of_the_copy_is_no_backup(void **state)
{
    (void)state;
    struct running r = {0};
    sqlite3 *db = hold_store(&r);
    char other[160];
    snprintf(other, sizeof(other), "%s/other", fx.dir);
    put_file(other, "other");
    assert_int_equal(rename(other, part), 0);
    let_go(&r, db);
    assert_int_equal(r.rc, -FM_ABORTED);
    assert_false(exists(copy));
    assert_file(part, "other"); /* not this backup's to remove */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, store_teardown)
    const struct CMUnitTest tests[] = {
        T(a_backup_is_its_owners_and_leaves_nothing_beside_it),
        T(nothing_is_replaced_by_a_backup_not_even_a_link_to_nowhere),
        T(what_an_interrupted_backup_left_is_removed_and_nothing_else),
        T(what_comes_to_the_name_while_a_backup_is_made_stays),
        T(of_two_backups_to_one_name_one_is_made),
        T(a_file_that_is_put_in_place_of_the_copy_is_no_backup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
