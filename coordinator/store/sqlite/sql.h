/* What the files of the SQLite store share: connections, statements, errors. Private to
 * coordinator/store_sqlite*.c. */
#ifndef FM_STORE_SQLITE_INT_H
#define FM_STORE_SQLITE_INT_H

#include <sqlite3.h>

#include "store_int.h"

#define SCHEMA_VERSION 4
#define SUMS_VERSION 4            /* the first with checksums */
#define APPLICATION_ID 0x46524d54 /* "FRMT" */

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
    SQL_PUT_SNAPSHOT,
    SQL_PUT_FLOW_DEF,
    SQL_PUT_FLOW,
    SQL_DELETE_FLOW,
    SQL_DELETE_JOB,
    SQL_DELETE_BODIES,
    SQL_DELETE_RECORDS,
    SQL_DELETE_SNAPSHOT,
    SQL_DELETE_LABELS,
    SQL_DELETE_REQUESTS,
    SQL_READ_JOB,
    SQL_READ_SNAPSHOT,
    SQL_READ_STEPS,
    SQL_READ_INPUTS,
    SQL_READ_FLOW,
    SQL_READ_NEWEST_FLOW,
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
    sqlite3 *db;   /* NULL while closed */
    int log_pages; /* a writer's: how long the log was after its last commit */
    sqlite3_stmt *stmts[SQL_COUNT];
};

/* Opens (if it is closed) with the settings every connection needs; never creates. Returns 0 or an error as
 * sql_error. */
int sql_open(struct sql_conn *c, bool writer, struct fm_err *err) FM_MUST_CHECK;
void sql_close(struct sql_conn *c);
/* The prepared statement, reset; NULL with err when it cannot be prepared. */
sqlite3_stmt *sql_get(struct sql_conn *c, enum sql_id id, struct fm_err *err);
/* Sets err from SQLite's last error on this connection; `what` says what was tried. Returns -code. */
int sql_error(const struct sql_conn *c, int rc, const char *what, struct fm_err *err);
/* True when the connection cannot be trusted any more and has to be opened again. */
bool sql_is_fatal(int rc);
/* The checksum of what is stored of a job under a number: that of a step, the negative one of an input, 0 for
 * its record; of a snapshot, its step. As a signed number SQLite needs at most 4 bytes for it. */
int32_t sql_sum(const struct fm_id *job, int64_t number, struct fm_bytes body);
void sql_bind_bytes(sqlite3_stmt *s, int at, const void *p, size_t n);

/* Lock, directory, file, schema, checks: store_sqlite_open.c. Returns the lock's descriptor or -code. */
int sqlite_prepare_file(const char *dir, char **ret_path, struct fm_err *err) FM_MUST_CHECK;

/* Carries out one query: store_sqlite_read.c. Returns a completion. */
struct done_node *sqlite_query(struct sql_conn *c, const struct store_query *q);

#endif
