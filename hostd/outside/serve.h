/* Programs that stay: one process handles many tasks, one after the other, of any job of this host. Tasks
 * with the same program, environment and limits share a pool of processes; those that find all of them at
 * work wait in the order in which they came. A process starts when a task needs it and ends when it has
 * rested for a while; one that must be ended takes only the task in its hand with it. Part of hostd's shell;
 * on the libuv loop's thread. */
#ifndef FM_SERVE_H
#define FM_SERVE_H

#include <fermata/routine.h>

struct outside;
struct processes;
struct servers;

/* A task for such a program: the request of a CALL_SERVED. */
struct served_task {
    /* The program. `input` is what it gets for this task; `timeout_ms` begins when it gets that;
     * `max_output_bytes` is of this task, `max_memory_bytes` of the process. */
    const struct fm_process *process;
    const char *job;    /* for the log */
    uint32_t processes; /* that may run side by side; at least 1 */
    uint64_t idle_ms;   /* how long one rests before it is ended */
};

/* For a handler: gives a task to such a program. `on_line` returns 0 to go on, 1 when the task is done (then
 * `done` is called with exit code 0), -1 to end the process. When the process ends with the task in its hand,
 * `done` is told how. (In call.c; no part of the ABI.) */
void ctx_serve(struct fm_ctx *ctx, const struct served_task *t, fm_line_callback on_line,
               fm_process_callback done, void *arg);

struct servers *servers_new(struct processes *processes, struct outside *owner);
/* Takes a task; outside_data tells its lines, outside_done its end, never before this has returned. */
void serve_start(struct servers *all, uint64_t id, const struct served_task *t);
/* Nobody waits for it any more: the process that has it in hand is killed, with its group. */
void serve_cancel(struct servers *all, uint64_t id);
/* After processes_stop. */
void servers_free(struct servers *all);

#endif
