/* HTTP requests of handlers, over libcurl's multi interface on the libuv loop: no thread for a call,
 * thousands at a time. On the loop's thread. */
#ifndef FM_HTTP_H
#define FM_HTTP_H

#include <uv.h>

#include <fermata/routine.h>

struct outside;
struct http;
struct secrets;

struct http *http_new(uv_loop_t *loop, struct outside *owner, const struct secrets *secrets,
                      const char *ca_file);
/* Starts a request; outside_data tells pieces of the body, outside_done the response, never before this has
 * returned. */
void http_start(struct http *h, uint64_t id, const struct fm_http_request *r);
/* Ends it; nothing more is told of it. */
void http_cancel(struct http *h, uint64_t id);
/* Ends all; handles are closed as the loop runs on. */
void http_stop(struct http *h);
void http_free(struct http *h);

#endif
