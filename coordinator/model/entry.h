/* Entries of a journal as clients see them: from what is stored, and from the steps that they follow from. */
#ifndef FM_MODEL_ENTRY_H
#define FM_MODEL_ENTRY_H

#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "store.h"

/* Appends the stored entry as this field of the message that is being built. */
void entry_put(uint32_t step, uint32_t number, struct fm_bytes body, uint32_t field, struct fm_buf *out);
/* The same with the entries that follow from a step and stand before it: ASSIGNED, for the first step under
 * an epoch. Does not decode what is large. */
void entry_put_derived(struct fm_bytes step, uint32_t field, struct fm_buf *out);
/* A step or an entry of a fork's source, as the fork stores it. */
void entry_inherit(const struct store_journal_record *from, struct fm_buf *out);
/* The items that were read begin with this step, or with entries before it, and have no gap between their
 * steps; and there is one, if the job has `last`. Returns 0 or
 * -FM_DATA_LOSS. */
int entry_check_journal(const struct store_journal *journal, uint32_t from, uint32_t last,
                        struct fm_err *err) FM_MUST_CHECK;

/* The first step among them; 0: none is. */
uint32_t entry_first_step(const struct store_journal *journal);

#endif
