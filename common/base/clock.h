/* The time, for the shells only: cores are told what time it is. And times as messages have them.
 * Thread-safe. */
#ifndef FM_CLOCK_H
#define FM_CLOCK_H

#include <stdint.h>

/* Monotonic time: never jumps, has no meaning outside this machine. */
int64_t fm_now_mono_us(void);
int64_t fm_now_mono_ms(void);
/* Milliseconds since 1970 UTC. */
int64_t fm_now_wall_ms(void);

/* Milliseconds of the seconds and nanoseconds of a Timestamp or a Duration, and back. */
static inline int64_t fm_time_ms(int64_t seconds, int32_t nanos)
{
    return seconds * 1000 + nanos / 1000000;
}

static inline int64_t fm_ms_seconds(int64_t ms)
{
    return ms / 1000;
}

static inline int32_t fm_ms_nanos(int64_t ms)
{
    return (int32_t)(ms % 1000) * 1000000;
}

#endif
