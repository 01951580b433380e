/* A binary heap of pointers: the first one is found at once, and one is added, removed or moved in O(log n).
 * It owns none of them. Each item has a place of its own for where it stands (a size_t; 0: in no heap). */
#ifndef FM_HEAP_H
#define FM_HEAP_H

#include <stdbool.h>
#include <stddef.h>

struct fm_heap {
    void **items;
    size_t n, cap;
    bool (*before)(const void *a, const void *b); /* a total order: equal items do not exist */
    size_t place;                                 /* offset of that size_t in an item */
};

static inline struct fm_heap fm_heap_of(bool (*before)(const void *, const void *), size_t place)
{
    return (struct fm_heap){.before = before, .place = place};
}

/* The first one; NULL: it is empty. */
static inline void *fm_heap_first(const struct fm_heap *h)
{
    return h->n > 0 ? h->items[0] : NULL;
}

void fm_heap_add(struct fm_heap *h, void *item);
void fm_heap_remove(struct fm_heap *h, void *item);
/* What its order depends on has changed. */
void fm_heap_moved(struct fm_heap *h, void *item);
/* Frees the heap's own memory. */
void fm_heap_done(struct fm_heap *h);

#endif
