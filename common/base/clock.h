/* The time, for the shells only: cores are told what time it is. Thread-safe. */
#ifndef FM_CLOCK_H
#define FM_CLOCK_H

#include <stdint.h>

/* Monotonic time: never jumps, has no meaning outside this machine. */
int64_t fm_now_mono_us(void);
int64_t fm_now_mono_ms(void);
/* The same to some milliseconds, for a few nanoseconds. */
int64_t fm_now_coarse_ms(void);
/* Processor time of the calling thread so far. */
int64_t fm_thread_cpu_ms(void);
/* Milliseconds since 1970 UTC. */
int64_t fm_now_wall_ms(void);

#endif
