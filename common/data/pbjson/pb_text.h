/* The texts that well-known types have in JSON (google/protobuf/timestamp.proto, duration.proto,
 * field_mask.proto). Pure functions. */
#ifndef FM_PB_TEXT_H
#define FM_PB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* RFC 3339 in UTC with 0, 3, 6 or 9 digits of a second; false beyond the years 1 to 9999. */
bool pb_timestamp_put(struct fm_buf *out, int64_t seconds, int32_t nanos);
/* With any offset from UTC; a blank or a small t or z is refused. */
bool pb_timestamp_get(const char *text, size_t n, int64_t *seconds, int32_t *nanos);
/* "1.5s"; false beyond ±315,576,000,000 s, and for signs that differ. */
bool pb_duration_put(struct fm_buf *out, int64_t seconds, int32_t nanos);
bool pb_duration_get(const char *text, size_t n, int64_t *seconds, int32_t *nanos);
/* A path of a mask, snake_case and camelCase; false when it would not come back as it was. */
bool pb_mask_path_put(struct fm_buf *out, struct fm_bytes path);
bool pb_mask_path_get(struct fm_buf *out, const char *text, size_t n);

#endif
