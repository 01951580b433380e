/* Connections, statements, errors. See sql.h. */
#include "sql.h"

#include <errno.h>
#include <string.h>

#include "mem.h"

/* ---- statements ---- */

/* A column of the ledger with more added to it: it stays at 2^53-1, and what an earlier version stored as
 * less than nothing counts as nothing. */
#define SQL_SUM(column, more) "min(max(" column ", 0)+" more ", 9007199254740991)"

static const char *const sql_texts[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_GET_REQUEST] = "SELECT digest, job, reply FROM requests WHERE scope=?1 AND request_id=?2",
    [SQL_PUT_REQUEST] =
        "INSERT INTO requests(scope, request_id, job, digest, reply) VALUES(?1, ?2, ?3, ?4, ?5)",
    [SQL_NEW_JOB] =
        "INSERT INTO jobs(id, status, flow, host, head, wake, sum) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [SQL_SET_JOB] = "UPDATE jobs SET status=?2, host=?3, head=?4, wake=?5, sum=?6 WHERE id=?1",
    [SQL_PUT_LABEL] = "INSERT OR IGNORE INTO labels(key, value, job) VALUES(?1, ?2, ?3)",
    [SQL_PUT_BODY] = "INSERT INTO bodies(body, sum) VALUES(?1, ?2)",
    [SQL_PUT_RECORD] = "INSERT INTO records(job, number, at) VALUES(?1, ?2, ?3)",
    [SQL_PUT_ENTRY] = "INSERT INTO entries(job, step, number, body, sum) VALUES(?1, ?2, ?3, ?4, ?5)",
    [SQL_PUT_SNAPSHOT] =
        "INSERT OR REPLACE INTO snapshots(job, number, body, inputs, sum) VALUES(?1, ?2, ?3, ?4, ?5)",
    [SQL_PUT_GENERATION] = "INSERT INTO generations(job, generation, step, inputs, body, sum) "
                           "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_EMPTY_GENERATIONS] = "UPDATE generations SET body=x'' WHERE job=?1 AND generation<?2 AND body<>x''",
    [SQL_DROP_SNAPSHOT] = "DELETE FROM snapshots WHERE job=?1",
    [SQL_GENERATION_STARTS] = "SELECT step, inputs FROM generations WHERE job=?1 AND generation=?2",
    [SQL_GENERATION_ENDS] = "SELECT min(step) FROM generations WHERE job=?1 AND generation>?2",
    [SQL_DROP_BODIES] = "DELETE FROM bodies WHERE id IN (SELECT at FROM records WHERE job=?1 AND "
                        "((number>0 AND number<?2) OR (number<0 AND number>=?3)))",
    [SQL_DROP_RECORDS] =
        "DELETE FROM records WHERE job=?1 AND ((number>0 AND number<?2) OR (number<0 AND number>=?3))",
    [SQL_DROP_ENTRIES] = "DELETE FROM entries WHERE job=?1 AND step<?2",
    [SQL_DROP_GENERATIONS] = "DELETE FROM generations WHERE job=?1 AND step<?2",
    [SQL_PUT_FLOW_DEF] = "INSERT OR IGNORE INTO flow_defs(digest, body) VALUES(?1, ?2)",
    [SQL_PUT_FLOW] = "INSERT INTO flows(name, version, digest, summary) VALUES(?1, ?2, ?3, ?4)",
    [SQL_KEEP_NUMBERS] = "INSERT INTO flow_numbers(name, used) SELECT name, max(version) FROM flows "
                         "WHERE name=?1 GROUP BY name "
                         "ON CONFLICT(name) DO UPDATE SET used=max(used, excluded.used)",
    [SQL_DELETE_FLOW] = "DELETE FROM flows WHERE name=?1",
    [SQL_DELETE_JOB] = "DELETE FROM jobs WHERE id=?1",
    [SQL_DELETE_BODIES] = "DELETE FROM bodies WHERE id IN (SELECT at FROM records WHERE job=?1)",
    [SQL_DELETE_RECORDS] = "DELETE FROM records WHERE job=?1",
    [SQL_DELETE_ENTRIES] = "DELETE FROM entries WHERE job=?1",
    [SQL_DELETE_GENERATIONS] = "DELETE FROM generations WHERE job=?1",
    [SQL_DELETE_SNAPSHOT] = "DELETE FROM snapshots WHERE job=?1",
    [SQL_DELETE_LABELS] = "DELETE FROM labels WHERE job=?1",
    [SQL_DELETE_REQUESTS] = "DELETE FROM requests WHERE job=?1",
    [SQL_READ_JOB] = "SELECT head FROM jobs WHERE id=?1",
    [SQL_READ_SNAPSHOT] = "SELECT number, body, inputs FROM snapshots WHERE job=?1",
    [SQL_READ_GENERATION] =
        "SELECT generation, step, inputs, body FROM generations WHERE job=?1 AND step<=?2 "
        "ORDER BY generation DESC LIMIT 1",
    [SQL_READ_STEPS] = "SELECT r.number, b.body FROM records r CROSS JOIN bodies b ON b.id=r.at "
                       "WHERE r.job=?1 AND r.number>=?2 ORDER BY r.number LIMIT ?3",
    [SQL_READ_ENTRIES] = "SELECT step, number, body FROM entries WHERE job=?1 AND (step, number)>=(?2, ?3) "
                         "ORDER BY step, number LIMIT ?4",
    [SQL_READ_INPUTS] = "SELECT -r.number, b.body FROM records r CROSS JOIN bodies b ON b.id=r.at "
                        "WHERE r.job=?1 AND r.number BETWEEN ?2 AND ?3 ORDER BY r.number DESC",
    [SQL_READ_FLOW] = "SELECT f.version, f.digest, d.body FROM flows f JOIN flow_defs d ON d.digest=f.digest "
                      "WHERE f.name=?1 AND f.version=?2",
    [SQL_READ_NEWEST_FLOW] = ("SELECT f.version, f.digest, d.body FROM flows f JOIN flow_defs d ON "
                              "d.digest=f.digest WHERE f.name=?1 "
                              "ORDER BY f.version DESC LIMIT 1"),
    [SQL_READ_FLOW_NUMBERS] = "SELECT count(*), max(ifnull(max(version), 0), "
                              "ifnull((SELECT used FROM flow_numbers WHERE name=?1), 0)) "
                              "FROM flows WHERE name=?1",
    [SQL_READ_FLOW_DEF] = "SELECT body FROM flow_defs WHERE digest=?1",
    [SQL_LIST_FLOWS] =
        "SELECT summary, max(version) FROM flows WHERE name>?1 GROUP BY name ORDER BY name LIMIT ?2",
    [SQL_LIST_ACTIVE] = "SELECT id, head FROM jobs WHERE id>?1 AND status IN (1, 2) ORDER BY id LIMIT ?2",
    [SQL_ADD_USAGE] =
        "INSERT INTO usage(day, job, flow, input, output, cached, cost, calls) VALUES(?1, ?2, ?3, ?4, ?5, "
        "?6, ?7, ?8) ON CONFLICT(day, job) DO UPDATE SET "
        "input=" SQL_SUM("input", "?4") ", output=" SQL_SUM("output", "?5") ", cached=" SQL_SUM(
            "cached", "?6") ", cost=min(max(round(cost+?7, 9), 0.0), 1e15), calls=" SQL_SUM("calls", "?8"),
    [SQL_LIST_DUE] =
        "SELECT id, wake FROM jobs WHERE wake<=?1 AND (wake, id)>(?2, ?3) ORDER BY wake, id LIMIT ?4",
    [SQL_NEXT_WAKE] = "SELECT min(wake) FROM jobs WHERE wake>?1",
    [SQL_PUT_HOST] = "INSERT OR REPLACE INTO hosts(id, body) VALUES(?1, ?2)",
    [SQL_DELETE_HOST] = "DELETE FROM hosts WHERE id=?1",
    [SQL_LIST_HOSTS] = "SELECT body FROM hosts ORDER BY id",
};

sqlite3_stmt *sql_get(struct sql_conn *c, enum sql_id id, struct fm_err *err)
{
    sqlite3_stmt *s = c->stmts[id];
    if (s != NULL) {
        (void)sqlite3_reset(s);
        return s;
    }
    int rc = sqlite3_prepare_v3(c->db, sql_texts[id], -1, SQLITE_PREPARE_PERSISTENT, &c->stmts[id], NULL);
    if (rc == SQLITE_OK)
        return c->stmts[id];
    (void)sql_error(c, rc, "prepare", err);
    return NULL;
}

int sql_exec(struct sql_conn *c, enum sql_id id, struct fm_err *err)
{
    sqlite3_stmt *s = sql_get(c, id, err);
    if (s == NULL)
        return sqlite3_errcode(c->db);
    int rc = sqlite3_step(s);
    (void)sqlite3_reset(s);
    if (rc == SQLITE_DONE)
        return SQLITE_OK;
    (void)sql_error(c, rc, id == SQL_COMMIT ? "commit" : "begin", err);
    return rc;
}

int sql_run(struct sql_conn *c, const char *sql, const char *what, struct fm_err *err)
{
    int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : sql_error(c, rc, what, err);
}

/* The first row of a query given as text, for sqlite3_finalize. Returns SQLite's code:
 * SQLITE_ROW. */
static int first_row(sqlite3 *db, const char *sql, sqlite3_stmt **ret)
{
    int rc = sqlite3_prepare_v2(db, sql, -1, ret, NULL);
    return rc == SQLITE_OK ? sqlite3_step(*ret) : rc;
}

int sql_number(struct sql_conn *c, const char *sql, int64_t *ret, struct fm_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = first_row(c->db, sql, &s), code = 0;
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(s, 0);
    else
        code = sql_error(c, rc, sql, err);
    (void)sqlite3_finalize(s);
    return code;
}

int sql_quick_check(sqlite3 *db, char **ret_damage)
{
    sqlite3_stmt *s = NULL;
    int rc = first_row(db, "PRAGMA quick_check(1)", &s);
    bool damaged = rc == SQLITE_ROW && strcmp(sql_text(s, 0), "ok") != 0;
    *ret_damage = damaged ? fm_xstrdup(sql_text(s, 0)) : NULL;
    (void)sqlite3_finalize(s);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

void sql_bind_bytes(sqlite3_stmt *s, int at, struct fm_bytes bytes)
{
    (void)sqlite3_bind_blob64(s, at, bytes.n > 0 ? (const void *)bytes.p : "", bytes.n, SQLITE_STATIC);
}

void sql_bind_id(sqlite3_stmt *s, int at, const struct fm_id *id)
{
    sql_bind_bytes(s, at, (struct fm_bytes){id->b, sizeof(id->b)});
}

void sql_bind_text(sqlite3_stmt *s, int at, const char *text)
{
    (void)sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

void sql_bind_number(sqlite3_stmt *s, int at, int64_t number)
{
    (void)sqlite3_bind_int64(s, at, number);
}

struct fm_bytes sql_bytes(sqlite3_stmt *s, int at)
{
    const void *p = sqlite3_column_blob(s, at);
    return (struct fm_bytes){p, p == NULL ? 0 : (size_t)sqlite3_column_bytes(s, at)};
}

const char *sql_text(sqlite3_stmt *s, int at)
{
    const unsigned char *p = sqlite3_column_text(s, at);
    return p == NULL ? "" : (const char *)p;
}

/* ---- errors ---- */

#define RETRY_STORE_MS 1000

bool sql_is_fatal(int rc)
{
    int base = rc & 0xff;
    return base == SQLITE_IOERR || base == SQLITE_CORRUPT || base == SQLITE_NOTADB || base == SQLITE_CANTOPEN;
}

/* What passes by itself, or when somebody makes room: worth trying again. */
static int full(const char *what, struct fm_err *err)
{
    fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL,
               "the store's disk is full (%s): free some space; it then continues by itself", what);
    return fm_err_retry(err, RETRY_STORE_MS);
}

static int error_of(const struct sql_conn *c, int rc, const char *what, struct fm_err *err)
{
    const char *text = c->db != NULL ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return full(what, err);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return fm_err_set(err, FM_DATA_LOSS, NULL, "the store is damaged (%s: %s): restore it from a backup",
                          what, text);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return fm_err_set(err, FM_PERMISSION_DENIED, NULL, "the store cannot be written (%s: %s)", what,
                          text);
    case SQLITE_IOERR:
        if (c->db != NULL && sqlite3_system_errno(c->db) == ENOSPC)
            return full(what, err);
        fm_err_set(err, FM_UNAVAILABLE, NULL, "the store has an I/O error (%s: %s)", what, text);
        return fm_err_retry(err, RETRY_STORE_MS);
    case SQLITE_CONSTRAINT:
        return fm_err_set(err, FM_INTERNAL, NULL, "a record is already in the store (%s: %s)", what, text);
    default:
        return fm_err_set(err, FM_UNAVAILABLE, NULL, "the store failed (%s: %s)", what, text);
    }
}

int sql_error(const struct sql_conn *c, int rc, const char *what, struct fm_err *err)
{
    rc = error_of(c, rc, what, err);
    if (c->says_path)
        fm_err_wrap(err, "%s", c->path);
    return rc;
}

/* ---- connections ---- */

/* In place of SQLite's own, which copies the log within the commit. */
static int note_log(void *arg, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((struct sql_conn *)arg)->log_pages = pages;
    return SQLITE_OK;
}

int sql_open(struct sql_conn *c, enum sql_role role, struct fm_err *err)
{
    if (c->db != NULL)
        return 0;
    int rc = sqlite3_open_v2(c->path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    int ret = rc == SQLITE_OK ? 0 : sql_error(c, rc, "open", err);
    if (ret == 0) {
        sqlite3_extended_result_codes(c->db, 1);
        sqlite3_busy_timeout(c->db, 5000);
        ret = sql_run(c,
                      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA "
                      "cache_size=-2000;",
                      "settings", err);
    }
    if (ret == 0 && role == SQL_WRITER)
        ret = sql_run(c, "PRAGMA journal_size_limit=33554432;", "settings", err);
    if (ret == 0 && role == SQL_WRITER)
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
