/* See ledger.h. */
#include "ledger.h"

#include <stddef.h>
#include <stdlib.h>

#include "mem.h"

static struct entry **entries;
static uint32_t n_entries;

struct entry *ledger_add(void)
{
    struct entry *e = fm_xcalloc(1, sizeof(*e));
    entries = fm_xrealloc(entries, (n_entries + 1) * sizeof(*entries));
    e->no = n_entries;
    entries[n_entries++] = e;
    return e;
}

uint32_t ledger_count(void)
{
    return n_entries;
}

struct entry *ledger_at(uint32_t no)
{
    return no < n_entries ? entries[no] : NULL;
}

void ledger_free(void)
{
    for (uint32_t i = 0; i < n_entries; i++)
        free(entries[i]);
    free(entries);
    entries = NULL;
    n_entries = 0;
}
