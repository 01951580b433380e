/* A coordinator and hosts on free ports of loopback, with a store in a temporary directory. */
#ifndef FM_TEST_CLUSTER_H
#define FM_TEST_CLUSTER_H

#include "grpcurl.h"
#include "proc.h"

#define MAX_HOSTS 4

struct cluster {
    bool alone;     /* hosts run without their supervisors: signals reach the daemon, nobody certifies */
    bool probes;    /* hosts offer the routine types of probe_types.c; set before they are started */
    char lease[16]; /* of the hosts; changed before the coordinator starts. Far beyond every deadline of a
                       test: what happens does not come from its end, however slow the machine is */
    const char *heartbeat; /* "300ms" unless changed before the coordinator starts */
    char dir[128];         /* temporary */
    char data[160];        /* the store, below it */
    char address[64];      /* of the coordinator, once it has been started */
    struct proc coordinator;
    struct proc hosts[MAX_HOSTS];
};

/* Makes the directory; starts nothing. */
void cluster_init(struct cluster *c);
/* A lease that ends within the test, after so many seconds of a usual machine. */
void cluster_lease(struct cluster *c, int seconds);
/* Starts the coordinator with this lease and these further arguments (NULL-terminated, may be NULL);
 * again on the same port if it ran before. */
void cluster_coordinator(struct cluster *c, const char *const more[]);
/* Starts host i with this id and these further arguments; waits until it is attached. */
void cluster_host(struct cluster *c, int i, const char *id, const char *const more[]);
/* Stops everything (every daemon must exit with 0) and removes the directory. */
void cluster_done(struct cluster *c);

/* Waits until the text stands in this log ("coordinator.log", "host0.log"). */
void cluster_wait_log(struct cluster *c, const char *file, const char *text);
/* Of the host that attached last under this id, as the coordinator's log says; "" when none has. */
void cluster_incarnation(struct cluster *c, const char *host, char ret[64]);
/* Waits until the host is attached under another incarnation than that ("": under any). */
void cluster_wait_attached(struct cluster *c, const char *host, const char *not_incarnation);
/* 0 for "a", and so on. */
int cluster_host_index(const char *id);
/* The same with hosts that have no supervisor. */
void cluster_start_alone(struct cluster *c, int n);
/* The same with hosts that offer the types of probe_types.c. */
void cluster_start_probes(struct cluster *c, int n);
/* A coordinator and n hosts "a", "b", … with labels zone=a and so on. */
void cluster_start(struct cluster *c, int n);

/* Puts the one-agent flow "trip" with these further settings of the agent, for example "'delay_ms':50"; and
 * submits a job of it. Returns the job's id. */
void put_trip(struct cluster *c, const char *settings);
const char *submit_trip(struct cluster *c, const char *task);
/* Submits a job of an inline flow (JSON); its entry is slot "in" of routine "a", its data is JSON. Returns
 * the id. */
const char *submit_inline(struct cluster *c, const char *flow, const char *data);
/* The same with a flow that printf makes. */
const char *submit_flow(struct cluster *c, const char *data, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Submits a job of so many steps (up to 4), for hosts with probes: step N begins, and ends when the test
 * opens the gate "gateN". Returns the id. */
const char *submit_gates(struct cluster *c, int steps);
/* Submits a job that makes one step of some milliseconds after the other until it is cancelled, for hosts
 * with probes; each step adds 1 to the "n" of the job's shared data. Returns the id. */
const char *submit_loop(struct cluster *c);
/* Waits until the daemon of hosts[i] has begun to stop. */
void cluster_wait_stopping(struct cluster *c, int i);
/* {"x": "xx…"} with so many bytes, for free(). */
char *large_data(size_t bytes);
/* A file for gates and marks, in the cluster's directory; valid until the fourth call from here. */
const char *cluster_file(struct cluster *c, const char *name);
void cluster_open_gate(struct cluster *c, const char *name);
/* Number of lines in such a file; 0 when it is not there. */
size_t cluster_lines(struct cluster *c, const char *name);
/* Waits until the job has this status ("PAUSED") and returns it with its state. It must get there in time and
 * must not end otherwise. */
json_t *wait_status(struct cluster *c, const char *job, const char *status);

#endif
