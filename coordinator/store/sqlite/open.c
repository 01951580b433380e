/* Opening the SQLite store: the lock, the directory, the file, its schema, its integrity; and connections.
 * Nothing here runs while serving, but for opening a connection again after a fault. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "log.h"
#include "mem.h"
#include "sql.h"

#define QUICK_CHECK_BYTES (256 * 1024 * 1024)

/* Steps (number > 0) and inputs (number < 0) of jobs. Their bodies are stored in the order in which they
 * come, so that a commit fills the last page instead of touching one page for each job; `records` finds them.
 */
#define RECORDS_SCHEMA                                                                                       \
    "CREATE TABLE records(job BLOB, number INTEGER, at INTEGER NOT NULL, PRIMARY KEY(job, number)) WITHOUT " \
    "ROWID;"                                                                                                 \
    "CREATE TABLE bodies(id INTEGER PRIMARY KEY, body BLOB NOT NULL);"

/* Checksums (sql_sum) of records, bodies and snapshots. What an older version has written has none. */
#define SUMS_SCHEMA                                                                                          \
    "ALTER TABLE jobs ADD COLUMN sum INTEGER; ALTER TABLE bodies ADD COLUMN sum INTEGER; "                   \
    "ALTER TABLE snapshots ADD COLUMN sum INTEGER;"

static const char schema[] =
    "CREATE TABLE jobs(id BLOB PRIMARY KEY, status INTEGER NOT NULL, flow TEXT NOT NULL, host TEXT NOT NULL, "
    "head BLOB NOT NULL, wake INTEGER) WITHOUT ROWID;"
    "CREATE INDEX jobs_by_status ON jobs(status, id);"
    "CREATE INDEX jobs_by_wake ON jobs(wake, id) WHERE wake IS NOT NULL;"
    "CREATE INDEX jobs_by_flow ON jobs(flow, id);" RECORDS_SCHEMA
    "CREATE TABLE snapshots(job BLOB PRIMARY KEY, number INTEGER NOT NULL, body BLOB NOT NULL, "
    "inputs INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE TABLE labels(key TEXT, value TEXT, job BLOB, PRIMARY KEY(key, value, job)) WITHOUT ROWID;"
    "CREATE INDEX labels_by_job ON labels(job);"
    "CREATE TABLE requests(scope TEXT, request_id TEXT, job BLOB NOT NULL, digest BLOB NOT NULL, reply BLOB "
    "NOT NULL, "
    "PRIMARY KEY(scope, request_id)) WITHOUT ROWID;"
    "CREATE INDEX requests_by_job ON requests(job);"
    "CREATE TABLE flow_defs(digest BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE flows(name TEXT, version INTEGER, digest BLOB NOT NULL, summary BLOB NOT NULL, PRIMARY "
    "KEY(name, version)) WITHOUT ROWID;" SUMS_SCHEMA;

/* Not part of the schema's version: a store of any version gets them when it is opened, and an older
 * coordinator does not mind them. */
static const char side_tables[] =
    "CREATE TABLE IF NOT EXISTS hosts(id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS usage(day INTEGER, job BLOB, flow TEXT NOT NULL, input INTEGER NOT NULL, "
    "output INTEGER "
    "NOT NULL, cached INTEGER NOT NULL, cost REAL NOT NULL, calls INTEGER NOT NULL, PRIMARY KEY(day, job)) "
    "WITHOUT ROWID;";

/* ---- errors ---- */

#define RETRY_STORE_MS 1000

bool sql_is_fatal(int rc)
{
    int base = rc & 0xff;
    return base == SQLITE_IOERR || base == SQLITE_CORRUPT || base == SQLITE_NOTADB || base == SQLITE_CANTOPEN;
}

/* What passes by itself, or when somebody makes room: worth trying again. */
static int full(const struct sql_conn *c, const char *what, struct fm_err *err)
{
    fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL,
               "the store's disk is full (%s, %s): make room; it goes on by itself", c->path, what);
    return fm_err_retry(err, RETRY_STORE_MS);
}

int sql_error(const struct sql_conn *c, int rc, const char *what, struct fm_err *err)
{
    const char *text = c->db != NULL ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return full(c, what, err);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return fm_err_set(err, FM_DATA_LOSS, NULL,
                          "the store %s is damaged (%s: %s): restore it from a backup", c->path, what, text);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return fm_err_set(err, FM_PERMISSION_DENIED, NULL, "the store %s cannot be written (%s: %s)", c->path,
                          what, text);
    case SQLITE_IOERR:
        if (c->db != NULL && sqlite3_system_errno(c->db) == ENOSPC)
            return full(c, what, err);
        fm_err_set(err, FM_UNAVAILABLE, NULL, "the store %s has an I/O error (%s: %s)", c->path, what, text);
        return fm_err_retry(err, RETRY_STORE_MS);
    case SQLITE_CONSTRAINT:
        return fm_err_set(err, FM_INTERNAL, NULL, "a record is in the store already (%s: %s)", what, text);
    default:
        return fm_err_set(err, FM_UNAVAILABLE, NULL, "the store %s fails (%s: %s)", c->path, what, text);
    }
}

/* ---- connections ---- */

static int run(struct sql_conn *c, const char *sql, const char *what, struct fm_err *err)
{
    int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : sql_error(c, rc, what, err);
}

/* In place of SQLite's own, which copies the log within the commit. */
static int note_log(void *arg, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((struct sql_conn *)arg)->log_pages = pages;
    return SQLITE_OK;
}

int sql_open(struct sql_conn *c, bool writer, struct fm_err *err)
{
    if (c->db != NULL)
        return 0;
    int rc = sqlite3_open_v2(c->path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    int ret = rc == SQLITE_OK ? 0 : sql_error(c, rc, "open", err);
    if (ret == 0) {
        sqlite3_extended_result_codes(c->db, 1);
        sqlite3_busy_timeout(c->db, 5000);
        ret = run(c,
                  "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA "
                  "cache_size=-2000;",
                  "settings", err);
    }
    if (ret == 0 && writer)
        ret = run(c, "PRAGMA journal_size_limit=33554432;", "settings", err);
    if (ret == 0 && writer)
        (void)sqlite3_wal_hook(c->db, note_log, c);
    if (ret < 0)
        sql_close(c);
    return ret;
}

void sql_close(struct sql_conn *c)
{
    for (int i = 0; i < SQL_COUNT; i++) {
        sqlite3_finalize(c->stmts[i]);
        c->stmts[i] = NULL;
    }
    (void)sqlite3_close_v2(c->db);
    c->db = NULL;
}

/* ---- the file ---- */

static int make_dir(const char *dir, struct fm_err *err)
{
    struct stat st;
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return fm_err_set(err, errno == EACCES || errno == EROFS ? FM_PERMISSION_DENIED : FM_UNAVAILABLE,
                          "data", "--data %s cannot be made: %s", dir, strerror(errno));
    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
        return fm_err_set(err, FM_FAILED_PRECONDITION, "data", "--data %s is not a directory", dir);
    return 0;
}

static int take_lock(const char *dir, struct fm_err *err)
{
    fm_autofree char *path = NULL;
    if (asprintf(&path, "%s/fermata.lock", dir) < 0)
        fm_abort_oom(0);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fm_err_set(err, errno == EACCES || errno == EROFS ? FM_PERMISSION_DENIED : FM_UNAVAILABLE,
                          "data", "%s cannot be opened for writing: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        char pid[32] = "";
        ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        close(fd);
        return fm_err_set(err, FM_FAILED_PRECONDITION, "data",
                          "another coordinator (pid %.*s) uses --data %s", (int)strcspn(pid, "\n"), pid, dir);
    }
    char pid[32];
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
        FM_LOG(WARN, STORAGE, "the pid could not be written into the lock file, ignoring",
               FM_STR("file", path));
    return fd;
}

static int64_t pragma_number(struct sql_conn *c, const char *sql, struct fm_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    int64_t v = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : sql_error(c, rc, sql, err);
    sqlite3_finalize(s);
    return v;
}

/* Damage is looked for in the whole of a small store; in a large one only in what is read while opening, for
 * it would take minutes. */
static int check_integrity(struct sql_conn *c, struct fm_err *err)
{
    struct stat st;
    if (stat(c->path, &st) == 0 && st.st_size > QUICK_CHECK_BYTES) {
        FM_LOG(INFO, STORAGE, "the store is large, its full check is left out", FM_I64("bytes", st.st_size));
        return 0;
    }
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(c->db, "PRAGMA quick_check(1)", -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    int ret = 0;
    if (rc != SQLITE_ROW)
        ret = sql_error(c, rc, "integrity check", err);
    else if (strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0)
        ret = fm_err_set(err, FM_DATA_LOSS, "data", "the store %s is damaged (%s): restore it from a backup",
                         c->path, (const char *)sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
    return ret;
}

static int create_schema(struct sql_conn *c, struct fm_err *err)
{
    char ids[128];
    snprintf(ids, sizeof(ids), "PRAGMA application_id=%d; PRAGMA user_version=%d;", APPLICATION_ID,
             SCHEMA_VERSION);
    int ret =
        run(c, "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; BEGIN IMMEDIATE;",
            "create", err);
    if (ret == 0)
        ret = run(c, schema, "create the schema", err);
    if (ret == 0)
        ret = run(c, ids, "create the schema", err);
    if (ret == 0)
        ret = run(c, "COMMIT", "create the schema", err);
    return ret;
}

/* How a store of version i + 1 becomes one of version i + 2. */
static const char *const migrations[SCHEMA_VERSION - 1] = {
    /* There were no wake times, and no job that needed one. */
    "ALTER TABLE jobs ADD COLUMN wake INTEGER;"
    "CREATE INDEX jobs_by_wake ON jobs(wake, id) WHERE wake IS NOT NULL;",
    /* Steps and inputs had tables of their own, by job. */
    RECORDS_SCHEMA
    "INSERT INTO records(job, number, at) SELECT job, number, row_number() OVER (ORDER BY job, abs(number)) "
    "FROM (SELECT job, number FROM steps UNION ALL SELECT job, -number FROM inputs);"
    "INSERT INTO bodies(id, body) SELECT r.at, coalesce("
    "(SELECT s.body FROM steps s WHERE s.job=r.job AND s.number=r.number), "
    "(SELECT i.body FROM inputs i WHERE i.job=r.job AND i.number=-r.number)) FROM records r ORDER BY r.at;"
    "DROP TABLE steps; DROP TABLE inputs; DROP INDEX jobs_by_host; ALTER TABLE jobs DROP COLUMN digest;"
    "ALTER TABLE snapshots ADD COLUMN inputs INTEGER NOT NULL DEFAULT 0;",
    /* There were no checksums. */
    SUMS_SCHEMA};

/* In one transaction. */
static int migrate(struct sql_conn *c, int64_t version, struct fm_err *err)
{
    char end[64];
    snprintf(end, sizeof(end), "PRAGMA user_version=%d; COMMIT;", SCHEMA_VERSION);
    FM_LOG(INFO, STORAGE, "the store's schema is brought up to date", FM_I64("from", version),
           FM_U64("version", SCHEMA_VERSION));
    int ret = run(c, "BEGIN IMMEDIATE", "migrate the schema", err);
    for (int64_t v = version; v < SCHEMA_VERSION && ret == 0; v++)
        ret = run(c, migrations[v - 1], "migrate the schema", err);
    return ret == 0 ? run(c, end, "migrate the schema", err) : ret;
}

static int check_schema(struct sql_conn *c, struct fm_err *err)
{
    int64_t tables = pragma_number(c, "SELECT count(*) FROM sqlite_master", err);
    if (tables < 0)
        return (int)tables;
    if (tables == 0)
        return create_schema(c, err);
    int64_t app = pragma_number(c, "PRAGMA application_id", err),
            version = pragma_number(c, "PRAGMA user_version", err);
    if (app != APPLICATION_ID)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "data", "%s is a database of another program",
                          c->path);
    if (version > SCHEMA_VERSION)
        return fm_err_set(
            err, FM_FAILED_PRECONDITION, "data",
            "%s has schema version %lld; this coordinator knows versions up to %d: use a newer coordinator",
            c->path, (long long)version, SCHEMA_VERSION);
    if (version < 1)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "data", "%s has no schema version that is known",
                          c->path);
    int ret = version < SCHEMA_VERSION ? migrate(c, version, err) : 0;
    return ret < 0 ? ret : check_integrity(c, err);
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
        return fm_err_set(
            err, errno == EACCES || errno == EROFS || errno == EPERM ? FM_PERMISSION_DENIED : FM_UNAVAILABLE,
            "data", "the store %s cannot be opened for writing: %s", path, strerror(errno));
    struct sql_conn c = {.path = path};
    int rc = sqlite3_open_v2(path, &c.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    int ret = rc == SQLITE_OK ? 0 : sql_error(&c, rc, "open", err);
    if (ret == 0 && sqlite3_db_readonly(c.db, "main") == 1)
        ret = fm_err_set(err, FM_PERMISSION_DENIED, "data", "the store %s is read-only", path);
    if (ret == 0)
        ret = check_schema(&c, err);
    if (ret == 0)
        ret = run(&c, side_tables, "create the table of hosts", err);
    sql_close(&c);
    return ret < 0 ? ret : sync_dir(dir, err);
}

int sqlite_prepare_file(const char *dir, char **ret_path, struct fm_err *err)
{
    int ret = make_dir(dir, err);
    if (ret < 0)
        return ret;
    int lock = take_lock(dir, err);
    if (lock < 0)
        return lock;
    char *path = NULL;
    if (asprintf(&path, "%s/fermata.db", dir) < 0)
        fm_abort_oom(0);
    ret = open_file(dir, path, err);
    if (ret < 0) {
        free(path);
        close(lock);
        return ret;
    }
    *ret_path = path;
    return lock;
}
