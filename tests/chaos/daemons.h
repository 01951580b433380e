/* The coordinator, the hosts, the disk and the clock of a run. Main thread. */
#ifndef FM_CHAOS_DAEMONS_H
#define FM_CHAOS_DAEMONS_H

#include <stdbool.h>

/* Daemons: hosts by number, then the coordinator. */
#define COORDINATOR N_HOSTS
#define N_DAEMONS (N_HOSTS + 1)

/* Makes the data directory, a file system of its own with this size; says whether host 0 has a clock that can
 * be stepped. */
void daemons_init(const char *build_dir, unsigned data_mib);
bool daemons_can_step_clock(void);

void daemon_start(int d);
/* Also what it has started itself. */
void daemon_signal(int d, int signal);
/* It is expected to end: after kill -9, or with code 0 after SIGTERM. */
void daemon_kill(int d);
void daemon_terminate(int d);
bool daemon_runs(int d);
/* Notices ends: an unexpected one is a violation, but that a coordinator may refuse to start on a full disk;
 * then, and when a daemon has been terminated, it is not running any more. */
void daemons_reap(void);

void disk_fill(void);
void disk_free(void);
/* Host 0's wall clock is now this many seconds off. */
void clock_step(int seconds);

/* Ends all with SIGTERM and waits; each must exit with 0. */
void daemons_stop(void);
/* Copies the daemons' logs to a directory, and shows their ends. */
void daemons_keep_logs(const char *to);

#endif
