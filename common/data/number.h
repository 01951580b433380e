/* Numbers as JSON has them, kept without a silent change: what a double is, and integers of int64
 * and uint64 beyond it. Pure functions.
 *
 * Every number has its nearest double. An integer that was written as such and lies beyond ±2^53
 * has its exact value besides, so that nobody need ask which of them a double happens to be. All
 * others are the double. */
#ifndef FM_NUMBER_H
#define FM_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

struct number {
    double near;
    bool exact;    /* it is the integer in `bits`, whose magnitude is more than 2^53 */
    uint64_t bits; /* as int64_t when `near` is negative */
};

#define NUMBER_TEXT_BYTES 32 /* of the longest text, with its NUL */

/* A finite double. */
struct number number_of_double(double n);
struct number number_of_int64(int64_t n);
struct number number_of_uint64(uint64_t n);
/* A number from its nearest double and the bits of an exact integer. Returns false when they do not
 * belong together. */
bool number_join(double near, uint64_t bits, struct number *ret);

/* Reads the text of a number in JSON's grammar, which the caller has checked. Returns NULL, or why the
 * number cannot be kept: an integer that is neither of int64 or uint64 nor written again with the same
 * digits, what is beyond all doubles, what a double could not tell from 0. What is written with a
 * fraction or an exponent is its nearest double, as everybody else reads it. */
const char *number_read(const char *text, size_t n, struct number *ret);
/* Writes it as JSON and returns the length: integers up to uint64 with all their digits, others with
 * the fewest digits that read back to the same double. */
size_t number_print(struct number n, char ret[NUMBER_TEXT_BYTES]);

/* True when it is an integer of that type. */
bool number_is_int64(struct number n, int64_t *ret);
bool number_is_uint64(struct number n, uint64_t *ret);
bool number_is_integer(struct number n);
/* Less than 0, 0, more than 0; exact. */
int number_compare(struct number a, struct number b);
/* Whether n is a multiple of m (> 0), both taken as the decimal numbers that are their texts; exact. */
bool number_is_multiple(struct number n, struct number m);

#endif
