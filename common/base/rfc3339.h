/* Times as people write them: RFC 3339. Pure functions. */
#ifndef FM_RFC3339_H
#define FM_RFC3339_H

#include <stdbool.h>
#include <stdint.h>

#define FM_TIME_TEXT_BYTES 40

/* "2030-01-02T03:04:05.678+01:00" to milliseconds since 1970, not rounded; an offset or Z is needed. False
 * when it is no such text. */
bool fm_time_read(const char *s, double *ret_ms);
/* The time in UTC, to the millisecond where it has any. */
const char *fm_time_text(int64_t ms, char out[FM_TIME_TEXT_BYTES]);

#endif
