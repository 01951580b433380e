/* Time-ordered ids (ULID, https://github.com/ulid/spec: 48 bits of milliseconds, 80 of
 * randomness; 26 characters of Crockford's base32), so that rows of new jobs are neighbours in
 * the store; and the random numbers they come from. Deterministic from the seed. Not
 * thread-safe. */
#ifndef FM_ID_H
#define FM_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct fm_id {
    uint8_t b[16]; /* big-endian: memcmp orders by time */
};

struct fm_rng {
    uint64_t state;
};

void fm_rng_init(struct fm_rng *r, uint64_t seed);
/* The next of a sequence of well-mixed 64-bit numbers (splitmix64). Not for secrets. */
uint64_t fm_rng_next(struct fm_rng *r);
/* Uniform in [0, n); 0 for n = 0. */
uint64_t fm_rng_below(struct fm_rng *r, uint64_t n);
/* A seed from the kernel; ends the process when there is none. For shells. */
uint64_t fm_random_seed(void);

struct fm_idgen {
    struct fm_rng rng;
    int64_t last_ms;
    struct fm_id last;
};

void fm_idgen_init(struct fm_idgen *g, uint64_t seed);
/* A new id, greater than all before it, also within a millisecond and when the clock goes back. */
void fm_id_next(struct fm_idgen *g, int64_t now_ms, struct fm_id *ret);
void fm_id_text(const struct fm_id *id, char ret[27]);
/* Returns 0, or -1 when it is not an id (upper and lower case are the same). */
int fm_id_parse(const char *text, struct fm_id *ret) FM_MUST_CHECK;
bool fm_id_eq(const struct fm_id *a, const struct fm_id *b);
bool fm_id_is_zero(const struct fm_id *id);

#endif
