/* Backup while the coordinator runs, with SQLite's backup interface. See backup.h. */
#define _GNU_SOURCE
#include "backup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "mem.h"
#include "sql.h"

#define PAGES_AT_ONCE 1024

static int fail(struct fm_err *err, int rc, sqlite3 *db, const char *what)
{
    enum fm_code code = (rc & 0xff) == SQLITE_FULL      ? FM_RESOURCE_EXHAUSTED
                        : (rc & 0xff) == SQLITE_CORRUPT ? FM_DATA_LOSS
                                                        : FM_UNAVAILABLE;
    return fm_err_set(err, code, "backup", "%s: %s", what,
                      db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

/* The copy has a consistent state of the store: that of the read transaction of the last page. */
static int copy(sqlite3 *from, sqlite3 *to, struct fm_err *err)
{
    /* One read transaction over all of it: a writer in another process would make the copy begin
     * anew, for ever. */
    int rc = sqlite3_exec(from, "BEGIN; SELECT count(*) FROM sqlite_master;", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return fail(err, rc, from, "the store cannot be read");
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    if (b == NULL)
        return fail(err, sqlite3_errcode(to), to, "the copy cannot be begun");
    do {
        rc = sqlite3_backup_step(b, PAGES_AT_ONCE);
    } while (rc == SQLITE_OK);
    int end = sqlite3_backup_finish(b);
    (void)sqlite3_exec(from, "COMMIT", NULL, NULL, NULL);
    if (rc != SQLITE_DONE)
        return fail(err, rc, to, "the copy stopped");
    return end == SQLITE_OK ? 0 : fail(err, end, to, "the copy could not be ended");
}

static int check_copy(sqlite3 *db, struct fm_err *err)
{
    fm_autofree char *damage = NULL;
    int rc = sql_quick_check(db, &damage);
    if (rc != SQLITE_OK)
        return fail(err, rc, db, "the copy cannot be checked");
    if (damage != NULL)
        return fm_err_set(err, FM_DATA_LOSS, "backup", "the copy is damaged: %s", damage);
    return 0;
}

static int sync_dir(const char *path, struct fm_err *err)
{
    fm_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return fm_err_set(err, FM_UNAVAILABLE, "backup", "%s cannot be synced: %s", path, strerror(errno));
    return 0;
}

/* ---- the file beside the copy's, until that is whole ---- */

static bool is_at(const char *path, int fd)
{
    struct stat a, b;
    return lstat(path, &a) == 0 && fstat(fd, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Removes what a backup has left that was interrupted: nobody holds its lock. True: try again. */
static bool remove_left(const char *path, struct fm_err *err)
{
    struct stat st;
    fm_autoclose int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)fm_err_set(err, FM_ALREADY_EXISTS, "backup", "%s is in the way: remove it", path);
        return false;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        (void)fm_err_set(err, FM_ALREADY_EXISTS, "backup", "another backup is writing %s", path);
        return false;
    }
    if (is_at(path, fd))
        (void)unlink(path);
    return true;
}

/* A new file that nobody but its owner may read, as the store itself; its lock is this process's. */
static int make_file(const char *path, struct fm_err *err)
{
    for (int tries = 0; tries < 10; tries++) {
        fm_autoclose int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST)
            return fm_err_set(err, FM_UNAVAILABLE, "backup", "%s cannot be made: %s", path, strerror(errno));
        if (fd < 0) {
            if (!remove_left(path, err))
                return -FM_ALREADY_EXISTS;
            continue;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_at(path, fd))
            continue; /* another one took it for what was left */
        int ret = fd;
        fd = -1;
        return ret;
    }
    return fm_err_set(err, FM_UNAVAILABLE, "backup", "%s cannot be made: another process keeps creating it",
                      path);
}

/* Gives the file its name, which must be free: never by rename, which replaces what has come there since. */
static int give_name(int fd, const char *from, const char *to, struct fm_err *err)
{
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (fsync(fd) < 0)
        return fm_err_set(err, FM_UNAVAILABLE, "backup", "%s cannot be synced: %s", from, strerror(errno));
    if (!is_at(from, fd))
        return fm_err_set(err, FM_ABORTED, "backup", "%s was replaced while the copy was made", from);
    if (linkat(AT_FDCWD, self, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != EEXIST && renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0; /* a file system without links */
    return fm_err_set(err, errno == EEXIST ? FM_ALREADY_EXISTS : FM_UNAVAILABLE, "backup",
                      errno == EEXIST ? "%s already exists (%s): a backup never replaces a file"
                                      : "%s cannot be named: %s",
                      to, strerror(errno));
}

static int make(const char *from_path, const char *temporary, struct fm_err *err)
{
    sqlite3 *from = NULL, *to = NULL;
    int rc = sqlite3_open_v2(from_path, &from, SQLITE_OPEN_READWRITE, NULL), ret = 0;
    if (rc != SQLITE_OK)
        ret = fail(err, rc, from, "the store cannot be opened");
    if (ret == 0) {
        (void)sqlite3_busy_timeout(from, 10000);
        rc = sqlite3_open_v2(temporary, &to, SQLITE_OPEN_READWRITE, NULL);
        if (rc != SQLITE_OK)
            ret = fail(err, rc, to, "the copy cannot be made");
    }
    if (ret == 0)
        ret = copy(from, to, err);
    if (ret == 0)
        ret = check_copy(to, err);
    (void)sqlite3_close(to);
    (void)sqlite3_close(from);
    return ret;
}

int store_backup(const char *dir, const char *to, struct fm_err *err)
{
    fm_autofree char *from = NULL, *temporary = NULL, *parent = fm_xstrdup(to);
    struct stat st;
    if (asprintf(&from, "%s/fermata.db", dir) < 0 || asprintf(&temporary, "%s.part", to) < 0)
        fm_abort_oom(0);
    if (stat(from, &st) < 0)
        return fm_err_set(err, FM_NOT_FOUND, "data", "there is no store in %s", dir);
    if (lstat(to, &st) == 0)
        return fm_err_set(err, FM_ALREADY_EXISTS, "backup",
                          "%s already exists: a backup never replaces a file", to);
    fm_autoclose int fd = make_file(temporary, err);
    if (fd < 0)
        return fd;
    int rc = make(from, temporary, err);
    if (rc == 0)
        rc = give_name(fd, temporary, to, err);
    if (is_at(temporary, fd))
        (void)unlink(temporary);
    return rc < 0 ? rc : sync_dir(dirname(parent), err);
}
