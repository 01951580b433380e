/* Whether steps that were read follow each other. See journal_check.h. */
#include "journal_check.h"

#include "err.h"
#include "store.h"

int read_check_steps(const struct store_records *steps, uint32_t from, uint32_t last, struct fm_err *err)
{
    for (size_t i = 0; i < steps->n; i++, from++)
        if (steps->items[i].number != from)
            return fm_err_set(
                err, FM_DATA_LOSS, NULL,
                "step %u is missing in the store: step %u follows in its place; restore a backup, or "
                "ask for the steps from %u on",
                from, steps->items[i].number, steps->items[i].number);
    if (steps->n == 0 && from <= last)
        return fm_err_set(err, FM_DATA_LOSS, NULL, "steps %u to %u are missing in the store", from, last);
    return 0;
}
