/* What the stores share: units as lists of records, completions, the queue of completions. Private to
 * coordinator/store*.c. */
#ifndef FM_STORE_INT_H
#define FM_STORE_INT_H

#include <pthread.h>

#include "store.h"

enum record_kind {
    RECORD_REQUEST,
    RECORD_JOB,
    RECORD_STEP,
    RECORD_INPUT,
    RECORD_SNAPSHOT,
    RECORD_FLOW_DEF,
    RECORD_FLOW,
    RECORD_DELETE_FLOW,
    RECORD_DELETE_JOB,
    RECORD_HOST,
    RECORD_DELETE_HOST,
    RECORD_USAGE
};

/* A record of a unit; all pointers into the unit's arena. */
struct record {
    struct record *next;
    enum record_kind kind;
    struct fm_id job;
    uint32_t number, inputs;
    struct fm_bytes body;
    const char *name, *key; /* flow name or request scope; request id */
    const char *host;
    int status;
    int64_t wake_ms;
    struct store_usage usage;
    bool is_new;
    const struct store_label *labels;
    size_t n_labels;
    uint8_t digest[STORE_DIGEST_BYTES];
};

struct store_unit {
    struct store_unit *prev, *next;
    uint64_t tag;
    struct fm_arena arena;
    struct record *first, *last;
};

/* Where completions wait to be polled. */
struct done_queue {
    pthread_mutex_t lock;
    struct done_node *first, *last;
    void (*notify)(void *arg);
    void *arg;
};

struct done_node {
    struct store_done done; /* first: store_done_free frees the node */
    struct done_node *next;
    struct fm_arena arena;
};

void done_queue_init(struct done_queue *q, void (*notify)(void *arg), void *arg);
void done_queue_done(struct done_queue *q);
struct done_node *done_new(uint64_t tag, bool is_query, enum store_query_kind kind);
/* Appends a chain; notifies when there was nothing. */
void done_push(struct done_queue *q, struct done_node *first, struct done_node *last);
struct store_done *done_pop(struct done_queue *q);
/* A copy in the completion's arena. */
struct fm_bytes done_copy(struct done_node *n, const void *p, size_t size);

/* A deep copy of a query; free() it. */
struct store_query *query_copy(const struct store_query *q);

#endif
