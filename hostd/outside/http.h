/* HTTP requests of handlers, over libcurl's multi interface on the libuv loop: no thread for a
 * call, thousands at a time. On the loop's thread. */
#ifndef FM_HTTP_H
#define FM_HTTP_H

#include <uv.h>

#include "engine_io.h"
#include "err.h"

struct outside_events;
struct http;
struct secrets;

/* Whether the file can be read and has a certificate in it; NULL: none is wanted. Returns 0, or
 * with err:
 * -FM_NOT_FOUND, -FM_PERMISSION_DENIED, -FM_INVALID_ARGUMENT. */
int http_check_ca(const char *file, struct fm_err *err) FM_MUST_CHECK;

/* What `events` and the rest point to must outlive it. */
struct http *http_new(uv_loop_t *loop, const struct outside_events *events, const struct secrets *secrets,
                      const char *ca_file);
/* Starts a request; events->data tells pieces of the body, events->done the response, never before
 * this has returned. */
void http_start(struct http *h, uint64_t id, const struct http_request *r);
/* Ends it; nothing more is told of it. */
void http_cancel(struct http *h, uint64_t id);
/* Ends all; handles are closed as the loop runs on. */
void http_stop(struct http *h);
void http_free(struct http *h);

#endif
