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

static int make_dir(const char *dir, struct fm_err *err)
{
    struct stat st;
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return fm_err_set(err, code_of(errno), "data", "--data %s cannot be made: %s", dir, strerror(errno));
    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
        return fm_err_set(err, FM_FAILED_PRECONDITION, "data", "--data %s is not a directory", dir);
    return 0;
}

void store_lock_holder(int fd, char pid[32])
{
    ssize_t n = pread(fd, pid, 31, 0);
    pid[n > 0 ? n : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
}

static int take_lock(const char *dir, struct fm_err *err)
{
    fm_autofree char *path = NULL;
    if (asprintf(&path, "%s/fermata.lock", dir) < 0)
        fm_abort_oom(0);
    char pid[32];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fm_err_set(err, code_of(errno), "data", "%s cannot be opened for writing: %s", path,
                          strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        store_lock_holder(fd, pid);
        close(fd);
        return fm_err_set(err, FM_FAILED_PRECONDITION, "data", "another coordinator (pid %s) uses --data %s",
                          pid, dir);
    }
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
        FM_LOG(WARN, STORAGE, "the pid could not be written into the lock file, ignoring",
               FM_STR("file", path));
    return fd;
}

static int sync_dir(const char *dir, struct fm_err *err)
{
    fm_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return fm_err_set(err, FM_UNAVAILABLE, "data", "--data %s cannot be synced: %s", dir,
                          strerror(errno));
    return 0;
}

static int open_file(const char *dir, char *path, struct fm_err *err)
{
    fm_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fm_err_set(err, code_of(errno), "data", "the store %s cannot be opened for writing: %s", path,
                          strerror(errno));
    struct sql_conn c = {.path = path};
    int rc = sqlite3_open_v2(path, &c.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    int ret = rc == SQLITE_OK ? 0 : sql_error(&c, rc, "open", err);
    if (ret == 0 && sqlite3_db_readonly(c.db, "main") == 1)
        ret = fm_err_set(err, FM_PERMISSION_DENIED, "data", "the store %s is read-only", path);
    if (ret == 0)
        ret = schema_prepare(&c, err);
    sql_close(&c);
    return ret < 0 ? ret : sync_dir(dir, err);
}

int store_file_prepare(const char *dir, char **ret_path, struct fm_err *err)
{
    int ret = make_dir(dir, err);
    if (ret < 0)
        return ret;
    fm_autoclose int lock = take_lock(dir, err);
    if (lock < 0)
        return lock;
    fm_autofree char *path = NULL;
    if (asprintf(&path, "%s/fermata.db", dir) < 0)
        fm_abort_oom(0);
    ret = open_file(dir, path, err);
    if (ret < 0)
        return ret;
    *ret_path = fm_take(path);
    ret = lock;
    lock = -1;
    return ret;
}
