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

/* It shall run: starts it, now or when it has ended. */
void daemon_start(int d);
/* Also to what it has started itself. */
void daemon_signal(int d, int signal);
/* It shall not run. */
void daemon_kill(int d);
/* kill -9 of what it has started itself, a host's daemon; not of whoever watches over that, who shall see it
 * and start another. */
void daemon_kill_children(int d);
void daemon_terminate(int d);
bool daemon_runs(int d);
/* Notices what has ended and starts what shall run. An end that was not asked for is a violation, but that of
 * a coordinator that does not start on a full disk. */
void daemons_turn(void);

void disk_fill(void);
void disk_free(void);
/* Host 0's wall clock is now this many seconds off. */
void clock_step(int seconds);

/* Ends all with SIGTERM and waits; each must exit with 0. */
void daemons_stop(void);
/* Copies the daemons' logs to a directory, and shows their ends. */
void daemons_keep_logs(const char *to);

#endif
