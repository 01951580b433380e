/* Connections to the SQLite file, their prepared statements, their errors. */
#ifndef FM_STORE_SQLITE_SQL_H
#define FM_STORE_SQLITE_SQL_H

#include <stdint.h>

#include <sqlite3.h>

#include "buf.h"
#include "err.h"
#include "id.h"

enum sql_id {
    SQL_BEGIN,
    SQL_BEGIN_READ,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_GET_REQUEST,
    SQL_PUT_REQUEST,
    SQL_NEW_JOB,
    SQL_SET_JOB,
    SQL_PUT_LABEL,
    SQL_PUT_BODY,
    SQL_PUT_RECORD,
    SQL_PUT_ENTRY,
    SQL_PUT_SNAPSHOT,
    SQL_PUT_GENERATION,
    SQL_EMPTY_GENERATIONS,
    SQL_DROP_SNAPSHOT,
    SQL_GENERATION_STARTS,
    SQL_GENERATION_ENDS,
    SQL_DROP_BODIES,
    SQL_DROP_RECORDS,
    SQL_DROP_ENTRIES,
    SQL_DROP_GENERATIONS,
    SQL_PUT_FLOW_DEF,
    SQL_PUT_FLOW,
    SQL_KEEP_NUMBERS,
    SQL_DELETE_FLOW,
    SQL_DELETE_JOB,
    SQL_DELETE_BODIES,
    SQL_DELETE_RECORDS,
    SQL_DELETE_ENTRIES,
    SQL_DELETE_GENERATIONS,
    SQL_DELETE_SNAPSHOT,
    SQL_DELETE_LABELS,
    SQL_DELETE_REQUESTS,
    SQL_READ_JOB,
    SQL_READ_SNAPSHOT,
    SQL_READ_GENERATION,
    SQL_READ_STEPS,
    SQL_READ_ENTRIES,
    SQL_READ_INPUTS,
    SQL_READ_FLOW,
    SQL_READ_NEWEST_FLOW,
    SQL_READ_FLOW_NUMBERS,
    SQL_READ_FLOW_DEF,
    SQL_LIST_FLOWS,
    SQL_LIST_ACTIVE,
    SQL_LIST_DUE,
    SQL_ADD_USAGE,
    SQL_NEXT_WAKE,
    SQL_PUT_HOST,
    SQL_DELETE_HOST,
    SQL_LIST_HOSTS,
    SQL_COUNT
};

/* A connection with its prepared statements. One thread at a time. */
struct sql_conn {
    char *path;
    bool says_path; /* in errors: those who read them have named it; clients of a coordinator have not */
    sqlite3 *db;    /* NULL while closed */
    int log_pages;  /* a writer's: how long the log was after its last commit */
    sqlite3_stmt *stmts[SQL_COUNT];
};

enum sql_role { SQL_READER, SQL_WRITER };

/* Opens (if it is closed) with the settings every connection needs; never creates. Returns 0 or an
 * error as sql_error. */
int sql_open(struct sql_conn *c, enum sql_role role, struct fm_err *err) FM_MUST_CHECK;
void sql_close(struct sql_conn *c);

/* The prepared statement, reset; NULL with err when it cannot be prepared. */
sqlite3_stmt *sql_get(struct sql_conn *c, enum sql_id id, struct fm_err *err) FM_MUST_CHECK;
/* Runs a prepared statement that takes and returns nothing: returns SQLITE_OK, or SQLite's code
 * with err. */
int sql_exec(struct sql_conn *c, enum sql_id id, struct fm_err *err) FM_MUST_CHECK;
/* Runs statements given as text; `what` says what for. Returns 0 or an error as sql_error. */
int sql_run(struct sql_conn *c, const char *sql, const char *what, struct fm_err *err) FM_MUST_CHECK;
/* The one number that a query given as text returns. Returns 0 or an error as sql_error. */
int sql_number(struct sql_conn *c, const char *sql, int64_t *ret, struct fm_err *err) FM_MUST_CHECK;
/* SQLite's own look through the whole file: *ret_damage is the first fault (for free), or NULL.
 * Returns SQLITE_OK, or SQLite's code when it could not be done. */
int sql_quick_check(sqlite3 *db, char **ret_damage) FM_MUST_CHECK;

/* Sets err from SQLite's last error on this connection; `what` says what was tried. No path is named, unless
 * the connection says so. Returns -code. */
int sql_error(const struct sql_conn *c, int rc, const char *what, struct fm_err *err);
/* True when the connection cannot be trusted any more and has to be opened again. */
bool sql_is_fatal(int rc);

/* Binding, by position; bytes and texts are borrowed until the statement is reset. */
void sql_bind_bytes(sqlite3_stmt *s, int at, struct fm_bytes bytes);
void sql_bind_id(sqlite3_stmt *s, int at, const struct fm_id *id);
void sql_bind_text(sqlite3_stmt *s, int at, const char *text);
void sql_bind_number(sqlite3_stmt *s, int at, int64_t number);

/* A column's bytes, until the next row. */
struct fm_bytes sql_bytes(sqlite3_stmt *s, int at);
/* A column's text, "" for none, until the next row. */
const char *sql_text(sqlite3_stmt *s, int at);

#endif
