/* Child processes. Each is started through this very program (process_child_main), which sets
 * limits, makes sure that the child dies with hostd, closes all descriptors but its own three, and
 * becomes the program. A child is the leader
 * of a session, and all of its group is killed when it ends. On the libuv loop's thread.
 *
 * Who uses them: outside.c runs one for each call of a handler, serve.c keeps them for many
 * tasks. */
#ifndef FM_PROCESS_H
#define FM_PROCESS_H

#include <uv.h>

#include "engine_io.h"

struct process;
struct processes;

#define PROCESS_CHILD_ARG "--exec-child"

/* What a child's owner hears of it, never before process_open has returned. */
struct process_events {
    /* A line of its stdout, without the newline. False: the child is killed, and no further line
     * comes. */
    bool (*on_line)(void *arg, const char *line, size_t n);
    /* All lines of what was read at once have been told; may be NULL. */
    void (*on_read)(void *arg);
    /* It has ended and its output, too; nothing more is told, and the process is freed after
     * this. */
    void (*on_end)(void *arg, const struct fm_process_result *r);
    /* It lives for many tasks: one that does not read, or has closed its output, is ended. */
    bool serves;
};

struct processes *processes_new(uv_loop_t *loop);
/* Kills all; their owners hear nothing more. Their handles are closed as the loop runs on. */
void processes_stop(struct processes *all);
void processes_free(struct processes *all);

/* Starts one: argv, env, cwd and the limits of memory and output are taken from `want`, not its
 * input or its time. When it cannot be started, on_end says so. */
struct process *process_open(struct processes *all, const struct fm_process *want,
                             const struct process_events *events, void *arg);
/* Writes to its stdin; the bytes are copied. */
void process_write(struct process *p, const void *bytes, size_t n);
/* Ends its input after what has been written. */
void process_close_input(struct process *p);
/* It works for this job from now on (for the log): its output is counted anew, and when timeout_ms
 * (0: none) are over it gets SIGTERM, after a grace SIGKILL, and has timed out. */
void process_task(struct process *p, const char *job, uint64_t timeout_ms);
/* How long it may take from SIGTERM to its end, before SIGKILL; 0: it gets SIGKILL at once.
 * PROCESS_KILL_AFTER_MS where this is not called. */
void process_kill_after(struct process *p, uint64_t ms);
/* It works for nobody: after `ms` its input is ended, and after a grace the process. */
void process_rest(struct process *p, uint64_t ms);
/* Kills it with its group; on_end comes. */
void process_kill(struct process *p, const char *why);
/* Ends it with its group: SIGTERM, after a grace SIGKILL; on_end comes. */
void process_cancel(struct process *p);
/* The same; its owner hears nothing more. */
void process_drop(struct process *p);
/* It runs, nobody has begun to end it, and it can be written to. */
bool process_usable(const struct process *p);
/* It has said the beginning of a line. */
bool process_in_line(const struct process *p);
int64_t process_pid(const struct process *p);

/* The environment of a child: PATH, HOME, USER, LOGNAME, SHELL, LANG, LANGUAGE, LC_…, TZ, TERM, TMPDIR and
 * LD_LIBRARY_PATH as they are here, and the variables "NAME=value" of `more` (NULL-terminated; may be
 * NULL), to which the texts of the result belong. Nothing else: there are secrets in the rest. For
 * free(). */
char **process_env(const char *const *more);
/* Raises this process's limit of open files as far as it may: each request under way needs one.
 * Children get back what it was. */
void process_raise_files(void);
/* What main does when its first argument is PROCESS_CHILD_ARG: parent's pid, bytes of memory, limit
 * of open files (each 0: as it is), then the program and its arguments. Returns an exit code when
 * the program cannot be started: 127 (there is none) or 126. */
int process_child_main(int argc, char **argv);

#endif
