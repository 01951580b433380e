/* A binary heap. See heap.h. */
#include "heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

/* Where an item says that it stands: its index + 1. */
static void put(const struct fm_heap *h, size_t at, void *item)
{
    size_t place = at + 1;
    h->items[at] = item;
    memcpy((uint8_t *)item + h->place, &place, sizeof(place));
}

static size_t place_of(const struct fm_heap *h, const void *item)
{
    size_t place;
    memcpy(&place, (const uint8_t *)item + h->place, sizeof(place));
    return place;
}

static void up(const struct fm_heap *h, size_t at)
{
    void *item = h->items[at];
    for (; at > 0 && h->before(item, h->items[(at - 1) / 2]); at = (at - 1) / 2)
        put(h, at, h->items[(at - 1) / 2]);
    put(h, at, item);
}

static void down(const struct fm_heap *h, size_t at)
{
    void *item = h->items[at];
    for (size_t child = 2 * at + 1; child < h->n; at = child, child = 2 * at + 1) {
        if (child + 1 < h->n && h->before(h->items[child + 1], h->items[child]))
            child++;
        if (!h->before(h->items[child], item))
            break;
        put(h, at, h->items[child]);
    }
    put(h, at, item);
}

void fm_heap_add(struct fm_heap *h, void *item)
{
    if (h->n == h->cap) {
        h->cap = h->cap == 0 ? 4 : 2 * h->cap;
        h->items = fm_xrealloc(h->items, h->cap * sizeof(*h->items));
    }
    put(h, h->n, item);
    up(h, h->n++);
}

void fm_heap_moved(struct fm_heap *h, void *item)
{
    up(h, place_of(h, item) - 1);
    down(h, place_of(h, item) - 1);
}

void fm_heap_remove(struct fm_heap *h, void *item)
{
    size_t at = place_of(h, item) - 1, none = 0;
    void *last = h->items[--h->n];
    memcpy((uint8_t *)item + h->place, &none, sizeof(none));
    if (last == item)
        return;
    put(h, at, last);
    fm_heap_moved(h, last);
}

void fm_heap_done(struct fm_heap *h)
{
    free(h->items);
    h->items = NULL;
    h->n = h->cap = 0;
}
