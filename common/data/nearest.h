/* Which of some names was meant by one that is none of them. Pure functions. */
#ifndef FM_NEAREST_H
#define FM_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *word;
    size_t word_n;
    const char *found; /* the nearest one so far; NULL: none is near */
    size_t distance;
};

struct nearest nearest_to(const char *word);
/* Looks at one name. Near is a name that up to a third of the letters tell from the word:
 * letters that are wrong, missing, too many or exchanged with the next one; large and small
 * letters are alike. Returns how many pairs of letters were compared. */
size_t nearest_try(struct nearest *n, const char *name);

#endif
