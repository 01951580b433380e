/* Backup of a store. Blocks; for main. */
#ifndef FM_OFFLINE_BACKUP_H
#define FM_OFFLINE_BACKUP_H

#include "err.h"

/* Copies the store in a directory to a new file, also while a coordinator uses it: what was
 * acknowledged before the call is in the copy. The copy is complete and on disk when its name is
 * there. Errors: FM_ALREADY_EXISTS, FM_NOT_FOUND (no store), FM_DATA_LOSS (the copy is not sound),
 * FM_RESOURCE_EXHAUSTED, FM_UNAVAILABLE. */
int store_backup(const char *dir, const char *to, struct fm_err *err) FM_MUST_CHECK;

#endif
