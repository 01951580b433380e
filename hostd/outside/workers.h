/* Threads for handlers that block. On the libuv loop's thread, but for the handlers themselves. */
#ifndef FM_WORKERS_H
#define FM_WORKERS_H

#include <uv.h>

#include "engine.h"

struct workers;

/* At most `n` threads, started when there is work for them. done(arg, id, work) is called on the
 * loop's thread when a handler has returned. */
struct workers *workers_new(uv_loop_t *loop, size_t n,
                            void (*done)(void *arg, uint64_t id, struct engine_work *work), void *arg);
/* Runs the work as soon as a thread is free. */
void workers_run(struct workers *w, uint64_t id, struct engine_work *work);
/* Starts nothing more; threads that are idle end. Closes its handle. */
void workers_stop(struct workers *w);
/* After the loop has closed the handle. A thread whose handler does not return is left alone: the
 * process ends soon. */
void workers_free(struct workers *w);

#endif
