/* Child processes of handlers. Each is started through this very program (process_child_main), which sets
 * limits, makes sure that the child dies with hostd, and becomes the program. A child is the leader of a
 * session, and all of its group is killed when it ends. On the libuv loop's thread. */
#ifndef FM_PROCESS_H
#define FM_PROCESS_H

#include <uv.h>

#include <fermata/routine.h>

struct outside;
struct processes;

#define PROCESS_CHILD_ARG "--exec-child"

struct processes *processes_new(uv_loop_t *loop, struct outside *owner);
/* Starts one; outside_data tells its lines, outside_done its end, never before this has returned. */
void process_start(struct processes *all, uint64_t id, const struct fm_process *p);
/* Kills it; nothing more is told of it. */
void process_cancel(struct processes *all, uint64_t id);
/* Kills all; their handles are closed as the loop runs on. */
void processes_stop(struct processes *all);
void processes_free(struct processes *all);

/* Raises this process's limit of open files as far as it may: each request under way needs one. Children get
 * back what it was. */
void process_raise_files(void);
/* What main does when its first argument is PROCESS_CHILD_ARG: parent's pid, bytes of memory, limit of open
 * files (each 0: as it is), then the program and its arguments. Returns an exit code when the program cannot
 * be started: 127 (there is none) or 126. */
int process_child_main(int argc, char **argv);

#endif
