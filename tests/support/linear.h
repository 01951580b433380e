/* Whether work grows in proportion to its size: processor time of n and of four times n, so that a busy
 * machine does not matter. */
#ifndef FM_TEST_LINEAR_H
#define FM_TEST_LINEAR_H

#include <stddef.h>

/* Processor time of this process in microseconds. */
long long test_cpu_us(void);

/* Does work of size n and returns the processor time that counts, in microseconds. */
typedef long long (*test_work)(size_t n, void *arg);

/* Asserts that 4n takes less than eleven times as long as n (linear: four times; quadratic: sixteen), each
 * the best of a few tries. What takes less than a millisecond is nothing. `what` names it when the test
 * fails. */
void test_linear(const char *what, test_work work, size_t n, void *arg);

#endif
