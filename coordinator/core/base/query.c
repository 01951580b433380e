/* Queries of the store, and who waits for what they find. */
#include "query.h"

#include <stdlib.h>

#include <uthash.h>

#include "mem.h"
#include "op.h"
#include "state.h"
#include "store.h"

struct wait *core_read(struct core *c, struct store_query q,
                       void (*done)(struct core *, struct wait *, struct store_done *), struct op *op)
{
    struct wait *w = fm_xcalloc(1, sizeof(*w));
    w->tag = q.tag = ++c->next_tag;
    w->done = done;
    w->op = op;
    if (op != NULL)
        op_park(op);
    HASH_ADD(hh, c->waits, tag, sizeof(w->tag), w);
    c->io.read(c->io.arg, &q);
    return w;
}

uint32_t core_page(const struct core *c, uint32_t usual)
{
    return c->cfg.page_rows > 0 ? c->cfg.page_rows : usual;
}

void query_done(struct core *c, struct store_done *d)
{
    struct wait *w;
    HASH_FIND(hh, c->waits, &d->tag, sizeof(d->tag), w);
    if (w == NULL)
        return;
    HASH_DEL(c->waits, w);
    w->done(c, w, d);
    free(w);
}

void queries_free(struct core *c)
{
    struct wait *w, *tmp;
    HASH_ITER (hh, c->waits, w, tmp) {
        HASH_DEL(c->waits, w);
        if (w->op != NULL)
            op_free(c, w->op);
        free(w);
    }
}
