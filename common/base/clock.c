/* The time. See clock.h. */
#include "clock.h"

#include <time.h>

static int64_t now_us(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t); /* cannot fail for these clocks */
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t fm_now_mono_us(void)
{
    return now_us(CLOCK_MONOTONIC);
}

int64_t fm_now_mono_ms(void)
{
    return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t fm_now_coarse_ms(void)
{
    return now_us(CLOCK_MONOTONIC_COARSE) / 1000;
}

int64_t fm_thread_cpu_ms(void)
{
    return now_us(CLOCK_THREAD_CPUTIME_ID) / 1000;
}

int64_t fm_now_wall_ms(void)
{
    return now_us(CLOCK_REALTIME) / 1000;
}
