/* Queries under way. */
#ifndef FM_CORE_QUERY_H
#define FM_CORE_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "id.h"
#include "store.h"

#define PAGE_BYTES (3u * 1024 * 1024) /* of a reply with a list */

struct core;
struct op;

/* A query under way, and who waits for it. */
struct wait {
    UT_hash_handle hh;
    uint64_t tag;
    void (*done)(struct core *c, struct wait *w, struct store_done *d);
    struct op *op;
    struct fm_id job;   /* of one that is read */
    uint64_t ticket;    /* of a watch */
    uint32_t from_step; /* first step wanted, of a history */
};

/* Submits a query; `done` gets what it finds, in the wait that is returned, in which the caller may
 * leave what it wants to know then. An op (may be NULL) is parked with it: `done` runs it again or
 * ends it. */
struct wait *core_read(struct core *c, struct store_query q,
                       void (*done)(struct core *, struct wait *, struct store_done *), struct op *op);
/* How many rows of a list are read at a time, usually. */
uint32_t core_page(const struct core *c, uint32_t usual);
/* Hands the result to who waits for it. */
void query_done(struct core *c, struct store_done *d);
/* Forgets all queries, and frees the ops that wait for them. */
void queries_free(struct core *c);

#endif
