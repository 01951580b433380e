/* What the files of the offline check share: going through rows, and saying what is wrong. */
#ifndef FM_OFFLINE_VERIFY_ROWS_H
#define FM_OFFLINE_VERIFY_ROWS_H

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
    size_t jobs, steps, unchecked;     /* rows without a checksum */
    bool has_entries, has_generations; /* the store is of a version that has them */
    int faults;
    struct verify_flow *flows; /* the sound ones */
    struct {
        const char *sql;
        sqlite3_stmt *s;
    } statements[VERIFY_STATEMENTS];
};

/* Writes a line, and counts it. */
void verify_fault(struct verify *v, const char *fmt, ...) FM_PRINTF(2, 3);
/* Calls `row` for each row of a query, whose text must be a constant; ?1 is `key` if that is not
 * NULL. Rows that SQLite cannot read are a fault of `what`. */
void verify_each(struct verify *v, const char *what, const char *sql, const struct fm_bytes *key,
                 void (*row)(struct verify *v, sqlite3_stmt *s, void *arg), void *arg);
/* Decodes a message after the same check as those from outside; NULL when it is malformed. */
void *verify_decode(const ProtobufCMessageDescriptor *d, struct fm_bytes body);

/* Closes the database, and forgets all flows. */
void verify_rows_done(struct verify *v);

#endif
