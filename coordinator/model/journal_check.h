/* Whether steps that were read follow each other. */
#ifndef FM_MODEL_JOURNAL_CHECK_H
#define FM_MODEL_JOURNAL_CHECK_H

#include <stdint.h>

#include "err.h"

struct store_records;

/* The steps that were read must begin with `from` and have no gap; and be there at all, if the job has
 * `last`. */
int read_check_steps(const struct store_records *steps, uint32_t from, uint32_t last,
                     struct fm_err *err) FM_MUST_CHECK;

#endif
