/* A bump allocator with a limit: the memory of one message, call or step, freed as a whole.
 * Hostile input ends in NULL, not in swap. Not thread-safe. */
#ifndef FM_ARENA_H
#define FM_ARENA_H

#include <stddef.h>

struct fm_arena_chunk;

struct fm_arena {
    struct fm_arena_chunk *chunks; /* newest first */
    char *at, *end;                /* free space in the newest */
    size_t used, limit;            /* bytes handed out; the most that may be */
    size_t next_chunk;             /* size of the next chunk */
};

/* An empty arena that hands out at most `limit` bytes. Takes no memory yet. */
void fm_arena_init(struct fm_arena *a, size_t limit);
/* Aligned memory, or NULL above the limit or when there is none. Never NULL for 0 bytes below
 * the limit. */
void *fm_arena_alloc(struct fm_arena *a, size_t n);
/* The same, zeroed; n * size is checked for overflow. */
void *fm_arena_zalloc(struct fm_arena *a, size_t n, size_t size);
/* A NUL-terminated copy of n bytes, or NULL. */
char *fm_arena_strndup(struct fm_arena *a, const void *p, size_t n);
/* Frees everything but one chunk, to be used again. */
void fm_arena_reset(struct fm_arena *a);
/* Frees everything. */
void fm_arena_done(struct fm_arena *a);

/* For a ProtobufCAllocator {fm_arena_pbc_alloc, fm_arena_pbc_free, arena}; freeing single pieces
 * does nothing. */
void *fm_arena_pbc_alloc(void *arena, size_t n);
void fm_arena_pbc_free(void *arena, void *p);

#endif
