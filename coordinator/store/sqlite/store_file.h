/* The directory, the lock and the file of the SQLite store. */
#ifndef FM_STORE_SQLITE_STORE_FILE_H
#define FM_STORE_SQLITE_STORE_FILE_H

#include "err.h"

/* Makes the directory if it is missing, locks it, and has a sound file of the present schema in
 * it. A directory or file that another user may write is refused, and so are links in place of files.
 * Returns the lock's descriptor, and the file's path for free(); or an error, as struct
 * store_kind's open. */
int store_file_prepare(const char *dir, char **ret_path, struct fm_err *err) FM_MUST_CHECK;

/* The pid of who holds the lock, as text; "" when it is not known. */
void store_lock_holder(int fd, char pid[32]);

#endif
