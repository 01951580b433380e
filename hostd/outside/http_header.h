/* Reading the headers of a response. fm_http_header itself is in fermata/routine.h. */
#ifndef FM_HTTP_HEADER_H
#define FM_HTTP_HEADER_H

#include <stdint.h>

#include <fermata/routine.h>

/* How long the server wants to be left alone, by Retry-After: seconds, or a date, which is compared
 * with now_ms (since 1970). At most most_ms; 0: it does not say. */
uint64_t http_retry_after_ms(const struct fm_http_response *r, int64_t now_ms, uint64_t most_ms);
/* A time that a server has asked for, as far as the limit lets it pass; 0 for what is no time. */
uint64_t http_wait_ms(double ms, uint64_t most_ms);

#endif
