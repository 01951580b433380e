/* Times as messages have them: seconds and nanoseconds, of a Timestamp or a Duration. */
#ifndef FM_TIMES_H
#define FM_TIMES_H

#include <stdint.h>

/* Milliseconds of such a time, and back. */
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
