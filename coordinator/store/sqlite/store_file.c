/* The directory, the lock and the file of the SQLite store. See store_file.h. */
#define _GNU_SOURCE
#include "store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "schema.h"
#include "sql.h"

static enum fm_code code_of(int e)
{
    return e == EACCES || e == EROFS || e == EPERM ? FM_PERMISSION_DENIED : FM_UNAVAILABLE;
}

/* What only the coordinator's user may change. `path` is for the error. */
static int check_owner(const char *path, const struct stat *st, struct fm_err *err)
{
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return fm_err_set(err, FM_PERMISSION_DENIED, "data",
                          "%s may be written by others (its mode is %04o): chmod go-w %s", path,
                          (unsigned)st->st_mode & 07777u, path);
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return fm_err_set(err, FM_PERMISSION_DENIED, "data",
                          "%s belongs to user %u, who may write it: chown it to user %u, who runs this "
                          "coordinator",
                          path, (unsigned)st->st_uid, (unsigned)geteuid());
    return 0;
}

/* Returns a descriptor of the directory, which nobody else may write: so what is found in it by name stays
 * what it is. */
static int open_dir(const char *dir, struct fm_err *err)
{
    struct stat st;
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return fm_err_set(err, code_of(errno), "data", "--data %s cannot be made: %s", dir, strerror(errno));
    fm_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "data", "--data %s is not a directory", dir);
    if (fd < 0 || fstat(fd, &st) < 0)
        return fm_err_set(err, code_of(errno), "data", "--data %s cannot be opened: %s", dir,
                          strerror(errno));
    if (check_owner(dir, &st, err) < 0) {
        fm_err_wrap(err, "--data");
        return -FM_PERMISSION_DENIED;
    }
    int ret = fd;
    fd = -1;
    return ret;
}

/* Opens a file of the directory, with O_CREAT in `flags` also a new one: one of the coordinator's own, and
 * not what a link points to. Returns the descriptor, -FM_NOT_FOUND without err if there is none, or another
 * error. */
static int open_own(int at, const char *dir, const char *name, int flags, struct fm_err *err)
{
    fm_autofree char *path = NULL;
    struct stat st;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        fm_abort_oom(0);
    fm_autoclose int fd = openat(at, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0 && errno == ENOENT && (flags & O_CREAT) == 0)
        return -FM_NOT_FOUND;
    if (fd < 0 && errno == ELOOP)
        return fm_err_set(err, FM_PERMISSION_DENIED, "data",
                          "%s is a symbolic link: the store's files must be files of the directory; name the "
                          "directory itself with --data",
                          path);
    if (fd < 0 || fstat(fd, &st) < 0)
        return fm_err_set(err, code_of(errno), "data", "%s cannot be opened for writing: %s", path,
                          strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fm_err_set(err, FM_PERMISSION_DENIED, "data", "%s is not a regular file", path);
    int rc = check_owner(path, &st, err);
    if (rc < 0)
        return rc;
    int ret = fd;
    fd = -1;
    return ret;
}

void store_lock_holder(int fd, char pid[32])
{
    ssize_t n = pread(fd, pid, 31, 0);
    pid[n > 0 ? n : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
}

static int take_lock(int at, const char *dir, struct fm_err *err)
{
    char pid[32];
    int fd = open_own(at, dir, "fermata.lock", O_RDWR | O_CREAT, err);
    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        store_lock_holder(fd, pid);
        close(fd);
        return fm_err_set(err, FM_FAILED_PRECONDITION, "data", "another coordinator (pid %s) uses --data %s",
                          pid, dir);
    }
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
        FM_LOG(WARN, STORAGE, "the pid could not be written into the lock file, ignoring",
               FM_STR("data", dir));
    return fd;
}

/* SQLite's own files beside the store: what it finds there it reads and writes. */
static int check_beside(int at, const char *dir, struct fm_err *err)
{
    static const char *const names[] = {"fermata.db-wal", "fermata.db-shm", "fermata.db-journal"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        fm_autoclose int fd = open_own(at, dir, names[i], O_RDWR, err);
        if (fd < 0 && fd != -FM_NOT_FOUND)
            return fd;
    }
    return 0;
}

static int open_file(int at, const char *dir, char *path, struct fm_err *err)
{
    fm_autoclose int fd = open_own(at, dir, "fermata.db", O_RDWR | O_CREAT, err);
    if (fd < 0)
        return fd;
    int ret = check_beside(at, dir, err);
    if (ret < 0)
        return ret;
    struct sql_conn c = {.path = path, .says_path = true};
    int rc = sqlite3_open_v2(path, &c.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    ret = rc == SQLITE_OK ? 0 : sql_error(&c, rc, "open", err);
    if (ret == 0 && sqlite3_db_readonly(c.db, "main") == 1)
        ret = fm_err_set(err, FM_PERMISSION_DENIED, "data", "the store %s is read-only", path);
    if (ret == 0)
        ret = schema_prepare(&c, err);
    sql_close(&c);
    if (ret == 0 && fsync(at) < 0)
        ret = fm_err_set(err, FM_UNAVAILABLE, "data", "--data %s cannot be synced: %s", dir, strerror(errno));
    return ret;
}

int store_file_prepare(const char *dir, char **ret_path, struct fm_err *err)
{
    fm_autoclose int at = open_dir(dir, err);
    if (at < 0)
        return at;
    fm_autoclose int lock = take_lock(at, dir, err);
    if (lock < 0)
        return lock;
    fm_autofree char *path = NULL;
    if (asprintf(&path, "%s/fermata.db", dir) < 0)
        fm_abort_oom(0);
    int ret = open_file(at, dir, path, err);
    if (ret < 0)
        return ret;
    *ret_path = fm_take(path);
    ret = lock;
    lock = -1;
    return ret;
}
