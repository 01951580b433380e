/* The offline check of one job. */
#ifndef FM_OFFLINE_VERIFY_JOB_H
#define FM_OFFLINE_VERIFY_JOB_H

#include "verify_rows.h"

/* Checks the job of a row, which has id, status, flow, host, head, wake, sum. */
void verify_job(struct verify *v, sqlite3_stmt *row, void *unused);

#endif
