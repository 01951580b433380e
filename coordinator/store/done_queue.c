/* Completions, and where they wait to be polled. See done_queue.h, store_done.h. */
#include "done_queue.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

struct done_node *done_new(uint64_t tag, enum store_query_kind kind)
{
    struct done_node *n = fm_xcalloc(1, sizeof(*n));
    fm_arena_init(&n->arena, SIZE_MAX / 2);
    n->done.arena = &n->arena;
    n->done.tag = tag;
    n->done.kind = kind;
    return n;
}

void store_done_free(struct store_done *d)
{
    struct done_node *n = (struct done_node *)d;
    fm_err_done(&d->err);
    fm_arena_done(&n->arena);
    free(n);
}

struct fm_bytes done_copy(struct done_node *n, const void *p, size_t size)
{
    uint8_t *copy = fm_arena_alloc(&n->arena, size > 0 ? size : 1);
    if (copy == NULL)
        fm_abort_oom(size);
    if (size > 0)
        memcpy(copy, p, size);
    return (struct fm_bytes){copy, size};
}

const char *done_text(struct done_node *n, const char *text)
{
    return (const char *)done_copy(n, text, strlen(text) + 1).p;
}

void done_queue_init(struct done_queue *q, const struct store_events *events)
{
    memset(q, 0, sizeof(*q));
    pthread_mutex_init(&q->lock, NULL);
    q->events = *events;
}

void done_queue_done(struct done_queue *q)
{
    struct store_done *d;
    while ((d = done_pop(q)) != NULL)
        store_done_free(d);
    pthread_mutex_destroy(&q->lock);
}

void done_push(struct done_queue *q, struct done_node *first, struct done_node *last)
{
    last->next = NULL;
    pthread_mutex_lock(&q->lock);
    bool was_empty = q->first == NULL;
    if (was_empty)
        q->first = first;
    else
        q->last->next = first;
    q->last = last;
    pthread_mutex_unlock(&q->lock);
    if (was_empty && q->events.notify != NULL)
        q->events.notify(q->events.arg);
}

struct store_done *done_pop(struct done_queue *q)
{
    pthread_mutex_lock(&q->lock);
    struct done_node *n = q->first;
    if (n != NULL) {
        q->first = n->next;
        if (q->first == NULL)
            q->last = NULL;
    }
    pthread_mutex_unlock(&q->lock);
    return n == NULL ? NULL : &n->done;
}
