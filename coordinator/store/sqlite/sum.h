/* Checksums of what is stored. */
#ifndef FM_STORE_SQLITE_SUM_H
#define FM_STORE_SQLITE_SUM_H

#include <stdint.h>

#include "buf.h"
#include "id.h"

/* The checksum of what is stored of a job under a number: that of a step, the negative one of an
 * input, 0 for its record; of a snapshot, its step; of an entry, SUM_OF_ENTRY. As a signed number SQLite
 * needs at most 4 bytes for it. */
int32_t sql_sum(const struct fm_id *job, int64_t number, struct fm_bytes body);

#define SUM_OF_ENTRY(step, entry) ((int64_t)(step) << 32 | (int64_t)(entry))

#endif
