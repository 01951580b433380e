/* The supervisor: the process that was started, with the daemon as its child. It has no gRPC and no
 * threads.
 *
 * When the daemon dies (a signal: kill -9, a crash, out of memory), the supervisor ends all that it
 * has left running, has the coordinator told that this incarnation is surely dead (certify.h), and
 * starts a new one, after a wait that grows with each death. An exit of the daemon by itself is
 * passed on with its code. SIGTERM and SIGINT are passed on to it.
 *
 * When the supervisor itself is killed, the daemon ends at once: it executes itself anew as the
 * process that writes its certificate. When both are killed at the same instant (a container, a
 * machine), the lease decides. */
#ifndef FM_SUPERVISOR_H
#define FM_SUPERVISOR_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "tls_files.h"

/* By this SIGTERM and SIGINT are passed on to the daemon: so it can tell them from those that it
 * gets itself.
 */
#define SUPERVISOR_STOP_SIGNAL SIGUSR1

struct supervisor_config {
    const char *target;          /* HOST:PORT of the coordinator, or unix:/PATH */
    const struct tls_files *tls; /* NULL: without */
    const char *host_id;
    const char *log_levels;
    bool log_json, log_absolute;
    /* The daemon: runs in the child, under this incarnation. Returns its exit code. */
    int (*run)(const char *incarnation);
};

/* Call it before anything that has threads. Returns the exit code. */
int supervisor_run(const struct supervisor_config *cfg);
/* A name for one life of a daemon. */
void supervisor_new_incarnation(char ret[27]);
/* In the daemon: the coordinator has accepted it, with this lease. */
void supervisor_attached(uint32_t lease_ms);
/* In the daemon: a handler is at work on a task, until supervisor_task_ends with what this returns. Should
 * the daemon die meanwhile, its certificate says so. */
size_t supervisor_task_begins(const char *job, uint32_t epoch, const char *task_id, const char *routine);
void supervisor_task_ends(size_t number);
/* What the daemon executes when its supervisor is gone: `hostd --certify …`. */
bool supervisor_is_certifier(int argc, char **argv);
int supervisor_certifier_main(char **argv);

#endif
