/* The hash of all tables: it is SipHash-1-3 under a key that nobody knows. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uthash.h>

#include "id.h"
#include "mem.h"

/* The lower halves of what the reference (github.com/veorq/SipHash, with one and three rounds) gives for the
 * key 00 01 … 0f and the first n bytes of 00 01 02 …. */
static const uint32_t reference[] = {
    0x050fc4dc, 0x7d57ca93, 0x4dc7d44d, 0xe7ddf7fb, 0x88d38328, 0x49533b67, 0xc59f22a7, 0x9bb11140,
    0x8d299a8e, 0x6c063de4, 0x92ff097f, 0xf94dc352, 0x57b4d9a2, 0x1229ffa7, 0xc0f95d34, 0x2a519956,
    0x7d908b66, 0x63dbd80c, 0xb473e63e, 0x8d297d1c, 0xa6cce040, 0x2b45f844, 0xa320872e, 0xdae6c123,
    0x67349c8c, 0x705b0979, 0xca9913a5, 0x4ade3b35, 0xef6cd00d, 0x4ab1e1f4, 0x43c5e663, 0x8c21d1bc,
    0x16a7b60d, 0x7a8ff9bf, 0x1f2a753e, 0xbf186b91, 0xada26206, 0xa3c33057, 0xae3a36a1, 0x7b108392,
    0x99e41531, 0x3f1ad944, 0xc8138825, 0xc28949a6, 0xfaf8876b, 0x9f042196, 0x68b1d623, 0x8b5114fd,
    0xdf074c46, 0x12cc86b3, 0x0a52098f, 0x9d292f9a, 0xa2f41f12, 0x43a71ed0, 0x73f0bce6, 0x70a7e980,
    0x243c6d75, 0xfdb71513, 0xa67d8a08, 0xb7e8f148, 0xf7a644ee, 0x0f1837f2, 0x4b6694e0, 0xb7bbb3a8};

static void it_is_the_references_function(void **state)
{
    (void)state;
    unsigned char key[16], data[64];
    for (unsigned char i = 0; i < 64; i++)
        data[i] = i;
    memcpy(key, data, sizeof(key));
    for (size_t n = 0; n < sizeof(reference) / sizeof(reference[0]); n++)
        assert_int_equal((uint32_t)fm_siphash13(key, data, n), reference[n]);
    assert_true(fm_siphash13(key, data, 0) == 0xabac0158050fc4dcu);
}

/* ---- keys that collide in uthash's own functions ---- */

/* Jenkins' one-at-a-time, without its last lines: from a state and a byte to the next state. */
static uint32_t oat(uint32_t h, const uint8_t *p, size_t n)
{
    while (n-- > 0) {
        h += *p++;
        h += h << 10;
        h ^= h >> 6;
    }
    return h;
}

#define BLOCK 4
#define BLOCKS 12 /* so many places in a key with two choices each: 4,096 keys */
#define TRIES 300000

struct tried {
    uint32_t h;
    uint8_t block[BLOCK];
};

static int by_hash(const void *a, const void *b)
{
    uint32_t x = ((const struct tried *)a)->h, y = ((const struct tried *)b)->h;
    return (x > y) - (x < y);
}

/* Two blocks that lead from a state to the same one, which is returned. */
static uint32_t find_pair(uint32_t from, struct fm_rng *rng, uint8_t pair[2][BLOCK])
{
    fm_autofree struct tried *tried = fm_xcalloc(TRIES, sizeof(*tried));
    for (size_t i = 0; i < TRIES; i++) {
        for (int k = 0; k < BLOCK; k++)
            tried[i].block[k] = (uint8_t)('!' + fm_rng_below(rng, 90));
        tried[i].h = oat(from, tried[i].block, BLOCK);
    }
    qsort(tried, TRIES, sizeof(*tried), by_hash);
    for (size_t i = 1; i < TRIES; i++) {
        if (tried[i].h != tried[i - 1].h || memcmp(tried[i].block, tried[i - 1].block, BLOCK) == 0)
            continue;
        memcpy(pair[0], tried[i - 1].block, BLOCK);
        memcpy(pair[1], tried[i].block, BLOCK);
        return tried[i].h;
    }
    fail_msg("no pair found");
    return 0;
}

struct entry {
    UT_hash_handle hh;
    char key[BLOCK * BLOCKS];
};

/* How many entries all look-ups together go through. */
static size_t cost(const struct entry *table)
{
    size_t n = 0;
    for (unsigned i = 0; i < table->hh.tbl->num_buckets; i++)
        n += (size_t)table->hh.tbl->buckets[i].count * table->hh.tbl->buckets[i].count;
    return n;
}

static void clear(struct entry **table)
{
    struct entry *e, *tmp;
    HASH_ITER (hh, *table, e, tmp) {
        HASH_DEL(*table, e);
        free(e);
    }
}

static void keys_that_collide_elsewhere_cost_no_more_than_others(void **state)
{
    (void)state;
    struct fm_rng rng;
    uint8_t pairs[BLOCKS][2][BLOCK];
    uint32_t h = 0;
    struct entry *chosen = NULL, *others = NULL;
    fm_rng_init(&rng, 1);
    for (size_t i = 0; i < BLOCKS; i++)
        h = find_pair(h, &rng, pairs[i]);
    for (unsigned n = 0; n < 1u << BLOCKS; n++) {
        struct entry *e = fm_xcalloc(1, sizeof(*e)), *o = fm_xcalloc(1, sizeof(*o));
        for (unsigned i = 0; i < BLOCKS; i++)
            memcpy(e->key + BLOCK * i, pairs[i][n >> i & 1], BLOCK);
        assert_true(oat(0, (const uint8_t *)e->key, sizeof(e->key)) == h); /* they do collide there */
        HASH_ADD(hh, chosen, key, sizeof(e->key), e);
        for (size_t i = 0; i < sizeof(o->key); i++)
            o->key[i] = (char)('!' + fm_rng_below(&rng, 90));
        HASH_ADD(hh, others, key, sizeof(o->key), o);
    }
    assert_int_equal(HASH_COUNT(chosen), 1u << BLOCKS);
    if (cost(chosen) > 2 * cost(others))
        fail_msg("chosen keys cost %zu, others %zu", cost(chosen), cost(others));
    clear(&chosen);
    clear(&others);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_references_function),
        cmocka_unit_test(keys_that_collide_elsewhere_cost_no_more_than_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
