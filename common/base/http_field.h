/* Headers of HTTP requests that others choose: which ones nobody may set but the client itself. Pure
 * functions. */
#ifndef FM_HTTP_FIELD_H
#define FM_HTTP_FIELD_H

#include <stddef.h>

/* Why a configuration, or data, cannot set the header of this name (n bytes); NULL: it can. Those that
 * say where a message ends, or that are meant for the next hop only, would let data become a request of
 * its own. What is said follows the name: "cannot be set: …". */
const char *fm_http_name_fault(const char *name, size_t n);
/* The same of a value: it has no control characters but tabs. */
const char *fm_http_value_fault(const char *value, size_t n);

#endif
