/* A coordinator and hosts on free ports of loopback, with a store in a temporary directory. */
#ifndef FM_TEST_CLUSTER_H
#define FM_TEST_CLUSTER_H

#include "grpcurl.h"
#include "proc.h"

#define MAX_HOSTS 4

struct cluster {
    const char *lease; /* of the hosts; "2s" unless changed before the coordinator starts */
    char dir[128];     /* temporary */
    char data[160];    /* the store, below it */
    char address[64];  /* of the coordinator, once it has been started */
    struct proc coordinator;
    struct proc hosts[MAX_HOSTS];
};

/* Makes the directory; starts nothing. */
void cluster_init(struct cluster *c);
/* Starts the coordinator with this lease and these further arguments (NULL-terminated, may be NULL);
 * again on the same port if it ran before. */
void cluster_coordinator(struct cluster *c, const char *const more[]);
/* Starts host i with this id and these further arguments; waits until it is attached. */
void cluster_host(struct cluster *c, int i, const char *id, const char *const more[]);
/* Stops everything (every daemon must exit with 0) and removes the directory. */
void cluster_done(struct cluster *c);

/* A coordinator and n hosts "a", "b", … with labels zone=a and so on. */
void cluster_start(struct cluster *c, int n);

/* Puts the one-agent flow "trip" with these further settings of the agent, for example "\"delay_ms\":50"; and
 * submits a job of it. Returns the job's id. */
void put_trip(struct cluster *c, const char *settings);
const char *submit_trip(struct cluster *c, const char *task);
/* Waits until the job has this status ("PAUSED") and returns it with its state. It must get there in time and
 * must not end otherwise. */
json_t *wait_status(struct cluster *c, const char *job, const char *status);

#endif
