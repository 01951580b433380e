/* Offline check of a store, and its backup. Both block; for main. */
#ifndef FM_VERIFY_H
#define FM_VERIFY_H

#include <stdio.h>

#include "err.h"

/* Checks a store that no coordinator uses: `path` is its directory, or a database file (a backup). Looks at
 * SQLite's own integrity, and of every job that its row agrees with its record, its steps and inputs are
 * without gaps and as many as the record counts, all of them fold, to what the snapshot says, its flow is
 * there, its status is a legal one and fits what is left to do, and a PAUSED or SLEEPING job has somebody or
 * something that wakes it; that flows, hosts, usage are readable; and for rows that belong to no job. Changes
 * nothing. Writes what is wrong, a line each, and a summary. Returns the number of faults, or an error:
 * FM_NOT_FOUND (there is no store), FM_FAILED_PRECONDITION (a coordinator uses it; another schema version),
 * FM_DATA_LOSS (it is no database any more), FM_UNAVAILABLE. */
int store_verify(const char *path, FILE *out, struct fm_err *err) FM_MUST_CHECK;

/* Copies the store in a directory to a new file, also while a coordinator uses it: what was acknowledged
 * before the call is in the copy. The copy is complete and on disk when its name is there. Errors:
 * FM_ALREADY_EXISTS, FM_NOT_FOUND (no store), FM_DATA_LOSS (the copy is not sound), FM_RESOURCE_EXHAUSTED,
 * FM_UNAVAILABLE. */
int store_backup(const char *dir, const char *to, struct fm_err *err) FM_MUST_CHECK;

#endif
