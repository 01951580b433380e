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

/* The 128 bits with two zero bits in front are 26 groups of five. */
static unsigned group(const struct fm_id *id, int i)
{
    unsigned v = 0;
    for (int bit = i * 5; bit < i * 5 + 5; bit++) {
        int at = bit - 2;
        unsigned one = at < 0 ? 0 : (unsigned)(id->b[at / 8] >> (7 - at % 8)) & 1u;
        v = v << 1 | one;
    }
    return v;
}

void fm_id_text(const struct fm_id *id, char ret[27])
{
    for (int i = 0; i < 26; i++)
        ret[i] = digits[group(id, i)];
    ret[26] = '\0';
}

static int digit_value(char ch)
{
    if (ch >= 'a' && ch <= 'z')
        ch = (char)(ch - 'a' + 'A');
    const char *p = ch == '\0' ? NULL : strchr(digits, ch);
    return p == NULL ? -1 : (int)(p - digits);
}

int fm_id_parse(const char *text, struct fm_id *ret)
{
    struct fm_id id = {{0}};
    if (strnlen(text, 27) != 26)
        return -1;
    for (int i = 0; i < 26; i++) {
        int v = digit_value(text[i]);
        if (v < 0 || (i == 0 && v > 7))
            return -1;
        for (int k = 0; k < 5; k++) {
            int at = i * 5 + k - 2;
            if (at >= 0 && (v >> (4 - k) & 1) != 0)
                id.b[at / 8] |= (uint8_t)(0x80u >> (at % 8));
        }
    }
    *ret = id;
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
