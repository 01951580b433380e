/* Applying units to the tables. */
#ifndef FM_STORE_SQLITE_APPLY_H
#define FM_STORE_SQLITE_APPLY_H

#include "done_queue.h"
#include "sql.h"
#include "store_unit.h"

enum applied {
    APPLIED,
    EXISTED, /* a request id was claimed before: nothing of the unit was written */
    FAILED   /* some of it may have been written */
};

/* Writes a unit within the connection's transaction, and sets its completion `n`. *ret_rc is
 * SQLite's code of a fault. */
enum applied apply_unit(struct sql_conn *c, const struct store_unit *u, struct done_node *n,
                        int *ret_rc) FM_MUST_CHECK;

#endif
