/* The schema of the file: made, brought up to date, or refused. */
#ifndef FM_STORE_SQLITE_SCHEMA_H
#define FM_STORE_SQLITE_SCHEMA_H

#include "err.h"
#include "sql.h"

#define SCHEMA_VERSION 8          /* that of schema.sql */
#define APPLICATION_ID 0x46524d54 /* "FRMT" */

/* Versions that the offline check reads as they are. */
#define SUMS_VERSION 4    /* the first with checksums */
#define TABLES_VERSION 5  /* the first that is sure to have the tables hosts and usage */
#define NUMBERS_VERSION 6 /* the first with the table flow_numbers */

/* That the file is a store of ours, and which version of the schema it has. Returns 0, or an error:
 * FM_FAILED_PRECONDITION when it is another program's. */
int schema_version(struct sql_conn *c, int64_t *ret, struct fm_err *err) FM_MUST_CHECK;

/* An empty file gets the schema; an older one is brought up to date, in one transaction; a newer
 * one is refused. One that was there is checked for damage. The connection is open. */
int schema_prepare(struct sql_conn *c, struct fm_err *err) FM_MUST_CHECK;

#endif
