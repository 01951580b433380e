/* Opens the store that a URL names: SCHEME:REST, where SCHEME is one of the kinds of store
 * listed in store_open.c. A text without a scheme is a directory, as sqlite:DIR. */
#ifndef FM_STORE_OPEN_H
#define FM_STORE_OPEN_H

#include "store.h"

/* The kind of store that a URL names, and its REST. Returns NULL with err, FM_INVALID_ARGUMENT,
 * when no kind has this scheme. */
const struct store_kind *store_kind_of(const char *url, const char **ret_rest,
                                       struct fm_err *err) FM_MUST_CHECK;

/* As struct store_kind's open; FM_INVALID_ARGUMENT, too, when no kind has this scheme. */
struct store *store_open(const char *url, const struct store_events *events,
                         struct fm_err *err) FM_MUST_CHECK;

#endif
