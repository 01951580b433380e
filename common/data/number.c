/* Numbers. See number.h. */
#include "number.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define SAFE 9007199254740992u /* 2^53: doubles have all integers up to here */
#define MAX_DIGITS 1100        /* no more decide which double is nearest */
#define FAR 1000000            /* an exponent that is beyond all doubles in whatever company */
#define TWO_64 18446744073709551616.0
#define TWO_63 9223372036854775808.0

_Static_assert(LDBL_MANT_DIG >= 64, "a long double holds every int64, uint64 and double");
__extension__ typedef unsigned __int128 wide;

struct number number_of_double(double n)
{
    return (struct number){.near = n};
}

struct number number_of_uint64(uint64_t n)
{
    return (struct number){.near = (double)n, .exact = n > SAFE, .bits = n > SAFE ? n : 0};
}

struct number number_of_int64(int64_t n)
{
    if (n >= 0)
        return number_of_uint64((uint64_t)n);
    bool exact = n < -(int64_t)SAFE;
    return (struct number){.near = (double)n, .exact = exact, .bits = exact ? (uint64_t)n : 0};
}

bool number_join(double near, uint64_t bits, struct number *ret)
{
    *ret = near < 0 ? number_of_int64((int64_t)bits) : number_of_uint64(bits);
    return ret->exact && ret->near == near;
}

/* ---- decimal ---- */

/* A decimal number: ±digits × 10^exponent. The digits neither begin nor end with 0; of 0 there are none. */
struct decimal {
    bool negative, is_plain; /* plain: written without a fraction and an exponent */
    const char *first;       /* the first digit that counts, … */
    size_t n;                /* … and how many; a point may stand among them */
    long exponent;
};

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

static long read_exponent(const char *p, const char *end)
{
    bool negative = p < end && *p == '-';
    long n = 0;
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    for (; p < end; p++)
        if (n < FAR)
            n = n * 10 + (*p - '0');
    return negative ? -n : n;
}

static struct decimal read_decimal(const char *p, size_t n)
{
    const char *end = p + n, *last = NULL;
    struct decimal d = {.negative = n > 0 && *p == '-'};
    p += d.negative;
    const char *whole = skip_digits(p, end), *all = whole;
    if (all < end && *all == '.')
        all = skip_digits(all + 1, end);
    d.is_plain = whole == end;
    for (const char *q = p; q < all; q++) {
        if (*q == '.')
            continue;
        if (*q != '0')
            last = q;
        if (*q != '0' && d.first == NULL)
            d.first = q;
    }
    if (d.first == NULL)
        return d;
    bool point_inside = d.first < whole && last > whole;
    d.n = (size_t)(last - d.first) + 1 - point_inside;
    long shift = last < whole ? (long)(whole - last) - 1 : -(long)(last - whole);
    d.exponent = shift + (all < end ? read_exponent(all + 1, end) : 0);
    return d;
}

static char next_digit(const char **at)
{
    if (**at == '.')
        (*at)++;
    return *(*at)++;
}

/* The integer digits × 10^exponent; false when that is more than a uint64. */
static bool magnitude_of(const struct decimal *d, uint64_t *ret)
{
    uint64_t v = 0;
    const char *at = d->first;
    if (d->exponent < 0 || d->n + (size_t)d->exponent > 20)
        return false;
    for (size_t i = 0; i < d->n + (size_t)d->exponent; i++) {
        uint64_t digit = i < d->n ? (uint64_t)(next_digit(&at) - '0') : 0;
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = v;
    return true;
}

/* Whether both have the same digits at the same places. */
static bool is_same_decimal(const struct decimal *a, const struct decimal *b)
{
    const char *x = a->first, *y = b->first;
    bool same = a->n == b->n && a->exponent == b->exponent;
    for (size_t i = 0; same && i < a->n; i++)
        same = next_digit(&x) == next_digit(&y);
    return same;
}

static double read_double(const char *text, size_t n)
{
    char brief[64];
    fm_autofree char *own = n < sizeof(brief) ? NULL : fm_xcalloc(1, n + 1);
    char *copy = own != NULL ? own : brief;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return strtod(copy, NULL);
}

const char *number_read(const char *text, size_t n, struct number *ret)
{
    const struct decimal d = read_decimal(text, n);
    uint64_t whole;
    if (d.n == 0) {
        *ret = number_of_double(0);
        return NULL;
    }
    if (d.n > MAX_DIGITS)
        return "has too many digits";
    if (d.is_plain && magnitude_of(&d, &whole) && !(d.negative && whole > (uint64_t)INT64_MAX + 1)) {
        *ret = d.negative ? number_of_int64((int64_t)(0 - whole)) : number_of_uint64(whole);
        return NULL;
    }
    double near = read_double(text, n);
    if (!isfinite(near))
        return "is too large";
    if (near == 0)
        return "is too small to be told from 0";
    *ret = number_of_double(near);
    if (!d.is_plain)
        return NULL;
    char again[NUMBER_TEXT_BYTES];
    const struct decimal kept = read_decimal(again, number_print(*ret, again));
    return is_same_decimal(&d, &kept)
               ? NULL
               : "cannot be kept exactly: integers go from -9223372036854775808 to 18446744073709551615; "
                 "larger ones are sent as text";
}

/* The fewest digits that read back to the same double. */
static size_t print_shortest(double n, char ret[NUMBER_TEXT_BYTES])
{
    int digits = fabs(n) < DBL_MIN ? 1 : 15, len;
    do
        len = snprintf(ret, NUMBER_TEXT_BYTES, "%.*g", digits, n);
    while (strtod(ret, NULL) != n && ++digits <= 17);
    return (size_t)len;
}

size_t number_print(struct number n, char ret[NUMBER_TEXT_BYTES])
{
    if (n.exact)
        return (size_t)(n.near < 0 ? snprintf(ret, NUMBER_TEXT_BYTES, "%" PRId64, (int64_t)n.bits)
                                   : snprintf(ret, NUMBER_TEXT_BYTES, "%" PRIu64, n.bits));
    if (n.near != floor(n.near) || n.near >= TWO_64 || n.near < -TWO_63)
        return print_shortest(n.near, ret);
    return (size_t)snprintf(ret, NUMBER_TEXT_BYTES, "%.0f", n.near == 0 ? 0 : n.near); /* no -0 */
}

/* ---- integers ---- */

bool number_is_integer(struct number n)
{
    return n.exact || n.near == floor(n.near);
}

bool number_is_int64(struct number n, int64_t *ret)
{
    if (!number_is_integer(n) || n.near < -TWO_63 || n.near >= (n.exact ? TWO_64 : TWO_63) ||
        (n.exact && n.near > 0 && n.bits > (uint64_t)INT64_MAX))
        return false;
    *ret = n.exact ? (int64_t)n.bits : (int64_t)n.near;
    return true;
}

bool number_is_uint64(struct number n, uint64_t *ret)
{
    if (!number_is_integer(n) || n.near < 0 || (!n.exact && n.near >= TWO_64))
        return false;
    *ret = n.exact ? n.bits : (uint64_t)n.near;
    return true;
}

/* ---- comparing ---- */

static long double value_of(struct number n)
{
    if (!n.exact)
        return (long double)n.near;
    return n.near < 0 ? (long double)(int64_t)n.bits : (long double)n.bits;
}

int number_compare(struct number a, struct number b)
{
    long double x = value_of(a), y = value_of(b);
    return (x > y) - (x < y);
}

static uint64_t digits_of(const struct decimal *d)
{
    uint64_t v = 0;
    const char *at = d->first;
    for (size_t i = 0; i < d->n; i++) /* at most the 20 of a uint64 */
        v = v * 10 + (uint64_t)(next_digit(&at) - '0');
    return v;
}

bool number_is_multiple(struct number n, struct number m)
{
    char a[NUMBER_TEXT_BYTES], b[NUMBER_TEXT_BYTES];
    const struct decimal x = read_decimal(a, number_print(n, a)), y = read_decimal(b, number_print(m, b));
    if (x.n == 0)
        return true;
    if (y.n == 0 || x.exponent < y.exponent) /* the last digit of x is no 0 */
        return false;
    uint64_t by = digits_of(&y);
    wide rest = digits_of(&x) % by, ten = 10 % by;
    for (long e = x.exponent - y.exponent; e > 0; e--) /* at most some 640 */
        rest = rest * ten % by;
    return rest == 0;
}
