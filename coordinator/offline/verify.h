/* The offline check of a store. Blocks; for main. */
#ifndef FM_OFFLINE_VERIFY_H
#define FM_OFFLINE_VERIFY_H

#include <stdio.h>

#include "err.h"

/* Checks a store that no coordinator uses: `path` is its directory, or a database file (a backup).
 * Looks at SQLite's own integrity, and of every job that its row agrees with its record, its steps
 * and inputs are without gaps and as many as the record counts, all of them fold, to what the
 * snapshot says, its flow is there, its status is a legal one and fits what is left to do, and a
 * PAUSED or SLEEPING job has somebody or something that wakes it; that flows, hosts and usage are
 * readable; and for rows that belong to no job. Changes nothing. Writes what is wrong, a line each,
 * and a summary. Returns the number of faults, or an error: FM_NOT_FOUND (there is no store),
 * FM_FAILED_PRECONDITION (a coordinator uses it; another schema version), FM_DATA_LOSS (it is no
 * database any more), FM_UNAVAILABLE. */
int store_verify(const char *path, FILE *out, struct fm_err *err) FM_MUST_CHECK;

#endif
