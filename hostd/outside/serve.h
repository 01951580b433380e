/* Programs that stay: one process handles many tasks, one after the other, of any job of this host.
 * Tasks with the same program, environment and limits share a pool of processes; those that find
 * all of them at work wait in the order in which they came. A process starts when a task needs it
 * and ends when it has rested for a while; one that must be ended takes only the task in its hand
 * with it. Part of hostd's shell; on the libuv loop's thread. */
#ifndef FM_SERVE_H
#define FM_SERVE_H

#include "engine_io.h"

struct outside_events;
struct processes;
struct servers;

/* What `events` points to must outlive it. */
struct servers *servers_new(struct processes *processes, const struct outside_events *events);
/* Takes a task; events->data tells its lines, events->done its end, never before this has
 * returned. */
void serve_start(struct servers *all, uint64_t id, const struct served_task *t);
/* Nobody waits for it any more: the process that has it in hand is killed, with its group. */
void serve_cancel(struct servers *all, uint64_t id);
/* After processes_stop. */
void servers_free(struct servers *all);

#endif
