/* What the files of the offline check share. Private to coordinator/verify*.c. */
#ifndef FM_VERIFY_INT_H
#define FM_VERIFY_INT_H

#include <stdio.h>

#include <protobuf-c/protobuf-c.h>
#include <sqlite3.h>
#include <uthash.h>

#include "buf.h"
#include "err.h"
#include "store.h"

#define VERIFY_STATEMENTS 24

/* A flow definition of the store. */
struct verify_flow {
    UT_hash_handle hh;
    uint8_t digest[STORE_DIGEST_BYTES];
    bool parallel;
};

struct verify {
    sqlite3 *db;
    FILE *out;
    size_t jobs, steps, unchecked; /* rows without a checksum */
    int faults;
    struct verify_flow *flows; /* the sound ones */
    struct {
        const char *sql;
        sqlite3_stmt *s;
    } statements[VERIFY_STATEMENTS];
};

/* Writes a line, and counts it. */
void verify_fault(struct verify *v, const char *fmt, ...) FM_PRINTF(2, 3);
/* Calls `row` for each row of a query, whose text must be a constant; ?1 is `key` if that is not NULL. Rows
 * that SQLite cannot read are a fault of `what`. */
void verify_each(struct verify *v, const char *what, const char *sql, const struct fm_bytes *key,
                 void (*row)(struct verify *v, sqlite3_stmt *s, void *arg), void *arg);
/* The bytes of a column, until the next row. */
struct fm_bytes verify_bytes(sqlite3_stmt *s, int at);
/* The text of a column, "" for none, until the next row. */
const char *verify_text(sqlite3_stmt *s, int at);
/* Decodes a message after the same check as those from outside; NULL when it is malformed. */
void *verify_decode(const ProtobufCMessageDescriptor *d, struct fm_bytes body);

/* Checks one job: verify_job.c. The row has id, status, flow, host, head, wake, sum. */
void verify_job(struct verify *v, sqlite3_stmt *row, void *unused);

#endif
