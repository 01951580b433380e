/* The store in a SQLite file, for one coordinator: sqlite:DIR, where DIR is made if it is
 * missing and the file is fermata.db in it. Opening it takes a lock, checks the file, and brings
 * its schema up to date; it is in WAL mode with synchronous=FULL. */
#ifndef FM_STORE_SQLITE_H
#define FM_STORE_SQLITE_H

#include "store.h"

extern const struct store_kind sqlite_kind;

#endif
