/* Child processes of tests: start, wait for a line, stop, look at what they left. Any fault ends the test. */
#ifndef FM_TEST_PROC_H
#define FM_TEST_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "slow.h"

struct proc {
    pid_t pid;          /* 0: not running */
    int out;            /* its standard output */
    int in;             /* its standard input, after proc_talk; else -1 */
    char line[512];     /* the first line of it */
    char err_file[256]; /* where its standard error goes */
};

/* Starts argv (NULL-terminated) and waits for its first line on standard output. */
void proc_start(struct proc *p, const char *err_file, const char *const argv[]);
/* The same, but it must exit instead, with this code (-1: any but 0); its standard error is returned for
 * free(). */
char *proc_fails(const char *err_file, int code, const char *const argv[]);
/* Starts argv with a pipe on standard input, and does not wait for a line. */
void proc_talk(struct proc *p, const char *err_file, const char *const argv[]);
void proc_say(struct proc *p, const char *text);
/* Reads one line into p->line; false at the end. */
bool proc_line(struct proc *p);
/* Reads lines until one contains the text. */
void proc_hear(struct proc *p, const char *text);
void proc_kill(struct proc *p, int signal);
/* The daemon under the supervisor that was started as p; waits until there is one other than `other_than`. */
pid_t proc_daemon(const struct proc *p, pid_t other_than);
/* True when the process is gone, or waits to be reaped. */
bool proc_gone(pid_t pid);
/* Waits for its end and returns its exit code, or -signal. */
int proc_wait(struct proc *p);
/* SIGTERM, and it must exit with 0: a sanitizer's report in a daemon fails the test this way. */
void proc_stop(struct proc *p);
/* kill -9. */
void proc_kill9(struct proc *p);

/* Runs argv to its end with `input` on standard input (may be NULL). Returns the exit code; outputs are for
 * free(). */
int proc_run(const char *const argv[], const char *input, char **ret_out, char **ret_err);

/* The whole file for free(). */
char *file_text(const char *path);
/* Milliseconds of monotonic time. */
long long test_now_ms(void);
/* Waits a moment between two looks at a condition; ends the test when `until_ms` has passed. */
void test_pause(long long until_ms, const char *what);

#endif
