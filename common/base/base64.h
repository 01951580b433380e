/* Base64 (RFC 4648). Pure functions. */
#ifndef FM_BASE64_H
#define FM_BASE64_H

#include <stdbool.h>

#include "buf.h"

/* Appends the bytes in the standard alphabet (section 4), padded. */
void fm_base64_put(struct fm_buf *out, struct fm_bytes bytes);
/* Appends what the n characters of text stand for: in the standard or the URL-safe alphabet (section 5),
 * padded or not. False, with nothing appended, when it is not base64. */
bool fm_base64_get(struct fm_buf *out, const char *text, size_t n);

#endif
