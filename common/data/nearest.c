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
static void fill_row(size_t i, const char *a, const char *b, const size_t *before_last, const size_t *last,
                     size_t *row)
{
    row[0] = i;
    for (size_t k = 1; k <= strlen(b); k++) {
        size_t wrong = lower(a, i - 1) != lower(b, k - 1);
        row[k] = min(min(last[k] + 1, row[k - 1] + 1), last[k - 1] + wrong);
        if (i > 1 && k > 1 && lower(a, i - 1) == lower(b, k - 2) && lower(a, i - 2) == lower(b, k - 1))
            row[k] = min(row[k], before_last[k - 2] + 1);
    }
}

static size_t distance(const char *a, const char *b)
{
    size_t rows[3][MAX_BYTES + 1], n = strlen(a);
    for (size_t k = 0; k <= strlen(b); k++)
        rows[0][k] = k;
    for (size_t i = 1; i <= n; i++)
        fill_row(i, a, b, rows[(i + 1) % 3], rows[(i + 2) % 3], rows[i % 3]);
    return rows[n % 3][strlen(b)];
}

struct nearest nearest_to(const char *word)
{
    return (struct nearest){.word = word, .distance = (strlen(word) + 2) / 3 + 1};
}

void nearest_try(struct nearest *n, const char *name)
{
    size_t words = strlen(n->word), names = strlen(name);
    if (words == 0 || words > MAX_BYTES || names > MAX_BYTES)
        return;
    size_t d = distance(n->word, name);
    if (d >= n->distance || d >= names)
        return;
    n->distance = d;
    n->found = name;
}
