/* Completions as they are made, and where they wait to be polled: for those who make a store. */
#ifndef FM_STORE_DONE_QUEUE_H
#define FM_STORE_DONE_QUEUE_H

#include <pthread.h>

#include "arena.h"
#include "store.h"

struct done_node {
    struct store_done done; /* first: store_done_free frees the node */
    struct done_node *next;
    struct fm_arena arena;
};

/* A completion: STORE_OK, with nothing found so far. `kind` STORE_UNIT: of a unit. */
struct done_node *done_new(uint64_t tag, enum store_query_kind kind);
/* A copy in the completion's arena. */
struct fm_bytes done_copy(struct done_node *n, const void *p, size_t size);
/* A copy of the text, with its NUL. */
const char *done_text(struct done_node *n, const char *text);

/* Completions in the order in which they came. Any thread. */
struct done_queue {
    pthread_mutex_t lock;
    struct done_node *first, *last;
    struct store_events events;
};

void done_queue_init(struct done_queue *q, const struct store_events *events);
void done_queue_done(struct done_queue *q);
/* Appends a chain; notifies when there was nothing. */
void done_push(struct done_queue *q, struct done_node *first, struct done_node *last);
/* NULL when there is none. */
struct store_done *done_pop(struct done_queue *q);

#endif
