/* The state store: typed records in, completions out, asynchronously. It knows nothing of
 * scheduling or of gRPC.
 *
 * Writes come in *units* (store_unit.h): the records of one unit are applied whole or not at
 * all, units in the order of store_submit, and a unit's completion is reported only when it is
 * on disk. The store commits whatever accumulated while the last commit ran (group commit).
 * Reads are *queries* (store_query.h): they run beside the writer and see everything whose
 * completion was reported before they were submitted. Completions of both are store_done.h.
 *
 * Each kind of store has a folder of its own (so far: sqlite). store_open (open/store_open.h)
 * opens the one that a URL names. Threads: submit, ask and poll from one thread (the core's);
 * `notify` is called on the store's threads when there is something to poll.
 *
 * Records hold encoded protobuf: head = fermata.v1.Job without state, step = Step, input = Task,
 * snapshot = JobState, flow = Flow, flow summary = FlowSummary, host = Host. */
#ifndef FM_STORE_H
#define FM_STORE_H

#include "err.h"
#include "store_done.h"
#include "store_query.h"
#include "store_unit.h"

struct store;

/* Whether another unit is submitted at once after this one, so that it is worth waiting for. */
enum store_next { STORE_NOTHING_FOLLOWS, STORE_MORE_FOLLOWS };

struct store_ops {
    /* Takes ownership of the unit. Never blocks. While the store is down, this unit and every later
     * one fail; the store tries to come back by itself. */
    void (*submit)(struct store *s, struct store_unit *u, enum store_next next);
    /* Copies the query. Never blocks. */
    void (*ask)(struct store *s, const struct store_query *q);
    /* Hands out finished units and queries, units in order; returns NULL when there is none. The
     * caller frees with store_done_free. */
    struct store_done *(*poll)(struct store *s);
    /* Finishes the units that were submitted, stops the threads, closes. */
    void (*close)(struct store *s);
};

struct store {
    const struct store_ops *ops;
};

/* What a store tells: `notify` is called on one of its threads when poll has something new. */
struct store_events {
    void (*notify)(void *arg);
    void *arg;
};

/* A kind of store. A folder's header declares its row; open/store_open.c lists them. */
struct store_kind {
    const char *scheme; /* of its URLs, SCHEME:REST */
    const char *rest;   /* what REST is, for people */
    /* Opens the store, or creates it; brings an older one up to date. Returns NULL with err:
     * FM_FAILED_PRECONDITION (in use; of a newer version), FM_DATA_LOSS (damaged),
     * FM_PERMISSION_DENIED, FM_UNAVAILABLE. Blocks; call before serving. */
    struct store *(*open)(const char *rest, const struct store_events *events, struct fm_err *err);
};

static inline void store_submit(struct store *s, struct store_unit *u)
{
    s->ops->submit(s, u, STORE_NOTHING_FOLLOWS);
}
static inline void store_submit_more(struct store *s, struct store_unit *u)
{
    s->ops->submit(s, u, STORE_MORE_FOLLOWS);
}
static inline void store_ask(struct store *s, const struct store_query *q)
{
    s->ops->ask(s, q);
}
static inline struct store_done *store_poll(struct store *s)
{
    return s->ops->poll(s);
}
static inline void store_close(struct store *s)
{
    s->ops->close(s);
}

#endif
