/* Threads for what blocks: handlers, jq programs. On the libuv loop's thread, but for `run`. */
#ifndef FM_WORKERS_H
#define FM_WORKERS_H

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

struct workers;

/* What is done with the work of a pool. */
struct work_kind {
    void (*run)(void *work);                          /* on a thread of the pool */
    void (*done)(void *arg, uint64_t id, void *work); /* on the loop's thread, when it has returned */
    void (*free)(void *work);                         /* in place of that when nobody waits any more */
};

/* At most `n` threads, started when there is work for them. */
struct workers *workers_new(uv_loop_t *loop, size_t n, const struct work_kind *kind, void *arg);
/* Runs the work as soon as a thread is free. */
void workers_run(struct workers *w, uint64_t id, void *work);
/* Starts nothing more; threads that are idle end. Closes its handle. */
void workers_stop(struct workers *w);
/* After the loop has closed the handle. A thread whose work does not return is left alone: the
 * process ends soon. */
void workers_free(struct workers *w);

#endif
