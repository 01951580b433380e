/* Ids. See id.h. */
#include "id.h"

#include <string.h>
#include <sys/random.h>

#include "mem.h"

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void fm_rng_init(struct fm_rng *r, uint64_t seed)
{
    r->state = seed;
}

uint64_t fm_rng_next(struct fm_rng *r)
{
    /* splitmix64, Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014 */
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t fm_rng_below(struct fm_rng *r, uint64_t n)
{
    if (n == 0)
        return 0;
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, v;
    do
        v = fm_rng_next(r);
    while (v >= limit);
    return v % n;
}

uint64_t fm_random_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        fm_abort("the kernel gives no random numbers");
    return seed;
}

void fm_idgen_init(struct fm_idgen *g, uint64_t seed)
{
    memset(g, 0, sizeof(*g));
    fm_rng_init(&g->rng, seed);
}

static void increment(struct fm_id *id)
{
    for (int i = 15; i >= 0; i--)
        if (++id->b[i] != 0)
            return;
}

void fm_id_next(struct fm_idgen *g, int64_t now_ms, struct fm_id *ret)
{
    if (now_ms <= g->last_ms && !fm_id_is_zero(&g->last)) {
        increment(&g->last);
        *ret = g->last;
        return;
    }
    uint64_t hi = fm_rng_next(&g->rng), lo = fm_rng_next(&g->rng);
    for (int i = 0; i < 6; i++)
        g->last.b[i] = (uint8_t)((uint64_t)now_ms >> (8 * (5 - i)));
    for (int i = 0; i < 2; i++)
        g->last.b[6 + i] = (uint8_t)(hi >> (8 * i));
    for (int i = 0; i < 8; i++)
        g->last.b[8 + i] = (uint8_t)(lo >> (8 * i));
    g->last.b[6] &= 0x7f; /* so that counting up within the millisecond does not run into the time */
    g->last_ms = now_ms;
    *ret = g->last;
}

/* The 128 bits, of which a character of the text holds five and the first one three. */
struct bits {
    uint64_t hi, lo;
};

static uint64_t read_half(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static void write_half(uint64_t v, uint8_t *p)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

void fm_id_text(const struct fm_id *id, char ret[27])
{
    struct bits v = {read_half(id->b), read_half(id->b + 8)};
    for (int i = 25; i >= 0; i--) {
        ret[i] = digits[v.lo & 31];
        v.lo = v.lo >> 5 | v.hi << 59;
        v.hi >>= 5;
    }
    ret[26] = '\0';
}

static int digit_value(char ch)
{
    static const signed char letters[] = {10, 11, 12, 13, 14, 15, 16, 17, -1, 18, 19, -1, 20,
                                          21, -1, 22, 23, 24, 25, 26, -1, 27, 28, 29, 30, 31};
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    unsigned letter = ((unsigned char)ch & ~0x20u) - 'A'; /* of either case */
    return letter < sizeof(letters) ? letters[letter] : -1;
}

int fm_id_parse(const char *text, struct fm_id *ret)
{
    struct bits v = {0, 0};
    for (int i = 0; i < 26; i++) {
        int digit = digit_value(text[i]); /* also of the end of a text that is too short */
        if (digit < 0 || (i == 0 && digit > 7))
            return -1;
        v.hi = v.hi << 5 | v.lo >> 59;
        v.lo = v.lo << 5 | (unsigned)digit;
    }
    if (text[26] != '\0')
        return -1;
    write_half(v.hi, ret->b);
    write_half(v.lo, ret->b + 8);
    return 0;
}

bool fm_id_eq(const struct fm_id *a, const struct fm_id *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool fm_id_is_zero(const struct fm_id *id)
{
    static const struct fm_id zero;
    return fm_id_eq(id, &zero);
}
