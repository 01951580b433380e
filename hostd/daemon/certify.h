/* Death certificates: a short-lived process that tells the coordinator that a host daemon has
 * surely ended. It is a process of its own because gRPC has threads, and neither a supervisor that
 * forks nor a daemon whose supervisor was killed may have them. */
#ifndef FM_CERTIFY_H
#define FM_CERTIFY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct certificate {
    const char *target; /* HOST:PORT of the coordinator */
    const char *host_id, *incarnation;
    const char *how;  /* for people */
    int64_t lease_ms; /* how long the coordinator may still wait for it; 0: it has not heard of it */
};

/* Tells the coordinator until it has acknowledged or the lease is surely over. Starts gRPC: call it
 * in a process that has forked, or was just executed. Returns the exit code: 0 when the coordinator
 * knows. */
int certify_run(const struct certificate *cert);

/* Kills all children of this process but those in `keep`, and theirs as they come to it (it must be
 * a subreaper), and waits for them, for at most 2 s. Returns 0 when none is left, else -1. */
int end_children(const pid_t *keep, size_t n_keep);

#endif
