/* The arena. See arena.h. */
#include "arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 16u
#define FIRST_CHUNK 1008u /* with its head not more than what glibc keeps for each thread */
#define LARGEST_CHUNK (256u * 1024)

struct fm_arena_chunk {
    struct fm_arena_chunk *next;
    size_t size;
    _Alignas(16) char data[];
};

void fm_arena_init(struct fm_arena *a, size_t limit)
{
    *a = (struct fm_arena){.limit = limit, .next_chunk = FIRST_CHUNK};
}

static int grow(struct fm_arena *a, size_t n)
{
    size_t size = a->next_chunk > n ? a->next_chunk : n;
    struct fm_arena_chunk *c = malloc(sizeof(*c) + size);
    if (c == NULL)
        return -1;
    c->next = a->chunks;
    c->size = size;
    a->chunks = c;
    a->at = c->data;
    a->end = c->data + size;
    if (a->next_chunk < LARGEST_CHUNK)
        a->next_chunk *= 2;
    return 0;
}

void *fm_arena_alloc(struct fm_arena *a, size_t n)
{
    if (n > a->limit || a->limit - n < a->used || n > SIZE_MAX / 2)
        return NULL;
    size_t size = n == 0 ? ALIGN : (n + ALIGN - 1) / ALIGN * ALIGN;
    if ((size_t)(a->end - a->at) < size && grow(a, size) < 0)
        return NULL;
    void *p = a->at;
    a->at += size;
    a->used += size;
    return p;
}

void *fm_arena_zalloc(struct fm_arena *a, size_t n, size_t size)
{
    if (size != 0 && n > SIZE_MAX / size)
        return NULL;
    void *p = fm_arena_alloc(a, n * size);
    if (p != NULL)
        memset(p, 0, n * size);
    return p;
}

char *fm_arena_strndup(struct fm_arena *a, const void *p, size_t n)
{
    if (n == SIZE_MAX)
        return NULL;
    char *s = fm_arena_alloc(a, n + 1);
    if (s == NULL)
        return NULL;
    if (n > 0)
        memcpy(s, p, n);
    s[n] = '\0';
    return s;
}

void fm_arena_reset(struct fm_arena *a)
{
    while (a->chunks != NULL && (a->chunks->next != NULL || a->chunks->size > LARGEST_CHUNK)) {
        struct fm_arena_chunk *c = a->chunks;
        a->chunks = c->next;
        free(c);
    }
    a->used = 0;
    a->at = a->chunks == NULL ? NULL : a->chunks->data;
    a->end = a->chunks == NULL ? NULL : a->chunks->data + a->chunks->size;
    a->next_chunk = FIRST_CHUNK;
}

void fm_arena_done(struct fm_arena *a)
{
    while (a->chunks != NULL) {
        struct fm_arena_chunk *c = a->chunks;
        a->chunks = c->next;
        free(c);
    }
    fm_arena_init(a, a->limit);
}

void *fm_arena_pbc_alloc(void *arena, size_t n)
{
    return fm_arena_alloc(arena, n);
}

void fm_arena_pbc_free(void *arena, void *p)
{
    (void)arena;
    (void)p;
}
