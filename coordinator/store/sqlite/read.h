/* Queries of the SQLite store. */
#ifndef FM_STORE_SQLITE_READ_H
#define FM_STORE_SQLITE_READ_H

#include "done_queue.h"
#include "sql.h"
#include "store_query.h"

/* Carries out one query, in a read transaction of its own. Returns its completion. */
struct done_node *sqlite_query(struct sql_conn *c, const struct store_query *q);

/* Reads a row of SQL_GET_REQUEST into the completion. */
void sqlite_read_claim(struct done_node *n, sqlite3_stmt *row);

#endif
