/* Whether work grows in proportion to its size. See linear.h. */
#include "linear.h"

#include <limits.h>
#include <time.h>

#include <cmocka.h>

#define TRIES 15
#define NOTHING_US 1000

long long test_cpu_us(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void test_linear(const char *what, test_work work, size_t n, void *arg)
{
    long long one = LLONG_MAX, four = LLONG_MAX;
    for (int i = 0; i < TRIES; i++) {
        long long us = work(n, arg);
        one = us < one ? us : one;
        us = work(4 * n, arg);
        four = us < four ? us : four;
        if (four < 11 * (one > NOTHING_US ? one : NOTHING_US))
            return;
    }
    fail_msg("%s: %zu take %lld us, %zu take %lld us", what, n, one, 4 * n, four);
}
