/* Times as messages have them: seconds and nanoseconds, of a Timestamp or a Duration. */
#ifndef FM_TIMES_H
#define FM_TIMES_H

#include <stdint.h>

/* The first and the last second that a Timestamp may have: of the years 1 to 9999. */
#define FM_MIN_SECONDS (-62135596800)
#define FM_MAX_SECONDS 253402300799

/* Milliseconds of such a time, and back. What lies beyond the years 1 to 9999 counts as their end:
 * all times are so small that a span can be added without a thought. */
static inline int64_t fm_time_ms(int64_t seconds, int32_t nanos)
{
    if (seconds < FM_MIN_SECONDS)
        return FM_MIN_SECONDS * INT64_C(1000);
    if (seconds > FM_MAX_SECONDS)
        return FM_MAX_SECONDS * INT64_C(1000) + 999;
    return seconds * 1000 + nanos / 1000000;
}

/* A whole number from one that came from outside, of milliseconds or of things: 0 for what is
 * negative or no number, at most 2^53. To cast what does not fit would be undefined. */
static inline uint64_t fm_count_from(double n)
{
    return n > 0 ? n < 9007199254740992.0 ? (uint64_t)n : UINT64_C(9007199254740992) : 0;
}

static inline uint32_t fm_count32_from(double n)
{
    return n > 0 ? n < 4294967295.0 ? (uint32_t)n : UINT32_MAX : 0;
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
