/* What the parts of the chaos test share. See chaos_run.c. */
#ifndef FM_CHAOS_H
#define FM_CHAOS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define CHAOS_DIR "/run/chaos" /* in the sandbox's own mount namespace: gone with it */
#define CHAOS_DATA CHAOS_DIR "/data"
#define N_HOSTS 3
#define COORDINATOR_LINK N_HOSTS
#define N_LINKS (N_HOSTS + 1)
#define COORDINATOR_PORT 7420 /* of a network namespace of its own */

/* A guarantee was broken: says so, and the run fails. Any thread. */
void chaos_violation(const char *fmt, ...) FM_PRINTF(1, 2);
/* How many there were. */
unsigned chaos_violations(void);
/* A line on standard output, with the time since the beginning. Any thread. */
void chaos_say(const char *fmt, ...) FM_PRINTF(1, 2);
/* Ends the program: the test itself cannot go on. */
void chaos_die(const char *fmt, ...) FM_PRINTF(1, 2) __attribute__((noreturn));
/* Runs a shell command. Returns its exit code; what it printed is shown if that is not 0 and `must`, which
 * also ends the program. Main thread. */
int chaos_shell(bool must, const char *fmt, ...) FM_PRINTF(2, 3);

#endif
