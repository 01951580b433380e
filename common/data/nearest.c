/* The nearest name, by optimal string alignment. See nearest.h. */
#include "nearest.h"

#include <ctype.h>
#include <string.h>

#define MAX_BYTES 64 /* longer words and names are near to nothing */

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int lower(const char *s, size_t i)
{
    return tolower((unsigned char)s[i]);
}

/* Row i of the table of distances between the beginnings of a and b, from the two before it. */
static void fill_row(size_t i, const char *a, const char *b, size_t b_n, const size_t *before_last,
                     const size_t *last, size_t *row)
{
    row[0] = i;
    for (size_t k = 1; k <= b_n; k++) {
        size_t wrong = lower(a, i - 1) != lower(b, k - 1);
        row[k] = min(min(last[k] + 1, row[k - 1] + 1), last[k - 1] + wrong);
        if (i > 1 && k > 1 && lower(a, i - 1) == lower(b, k - 2) && lower(a, i - 2) == lower(b, k - 1))
            row[k] = min(row[k], before_last[k - 2] + 1);
    }
}

static size_t distance(const char *a, size_t a_n, const char *b, size_t b_n)
{
    size_t rows[3][MAX_BYTES + 1];
    for (size_t k = 0; k <= b_n; k++)
        rows[0][k] = k;
    for (size_t i = 1; i <= a_n; i++)
        fill_row(i, a, b, b_n, rows[(i + 1) % 3], rows[(i + 2) % 3], rows[i % 3]);
    return rows[a_n % 3][b_n];
}

struct nearest nearest_to(const char *word)
{
    size_t n = strnlen(word, MAX_BYTES + 1);
    return (struct nearest){.word = word, .word_n = n, .distance = (n + 2) / 3 + 1};
}

size_t nearest_try(struct nearest *n, const char *name)
{
    size_t words = n->word_n, names = strnlen(name, MAX_BYTES + 1);
    if (words == 0 || words > MAX_BYTES || names > MAX_BYTES)
        return 0;
    if ((words > names ? words - names : names - words) >= n->distance)
        return 0; /* so many letters are missing or too many */
    size_t d = distance(n->word, words, name, names);
    if (d < n->distance && d < names) {
        n->distance = d;
        n->found = name;
    }
    return words * names;
}
