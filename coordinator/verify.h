/* Offline check of a store, and its backup. Both block; for main. */
#ifndef FM_VERIFY_H
#define FM_VERIFY_H

#include <stdio.h>

#include "err.h"

/* Checks the store in a directory that no coordinator uses: SQLite's own integrity; and of every job that its
 * record is readable, its steps are without gaps, snapshot and later steps fold, the status is a legal one
 * and fits what is left to do, and a PAUSED or SLEEPING job has somebody or something that wakes it. Writes
 * what is wrong, a line each, and a summary. Returns the number of faults, or an error (the store cannot be
 * opened). */
int store_verify(const char *dir, FILE *out, struct fm_err *err) FM_MUST_CHECK;

/* Copies the store in a directory to a new file, also while a coordinator uses it: what was acknowledged
 * before the call is in the copy. The copy is complete and on disk when its name is there. Errors:
 * FM_ALREADY_EXISTS, FM_NOT_FOUND (no store), FM_DATA_LOSS (the copy is not sound), FM_RESOURCE_EXHAUSTED,
 * FM_UNAVAILABLE. */
int store_backup(const char *dir, const char *to, struct fm_err *err) FM_MUST_CHECK;

#endif
