/* Death certificates: a short-lived process that tells the coordinator that a host daemon has
 * surely ended. It is a process of its own because gRPC has threads, and neither a supervisor that
 * forks nor a daemon whose supervisor was killed may have them. */
#ifndef FM_CERTIFY_H
#define FM_CERTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "tls_files.h"

/* Tasks that were in hand. */
struct certificate_tasks {
    bool known;            /* all of them */
    struct fm_buf encoded; /* fields of the request */
};

struct certificate {
    const char *target;          /* HOST:PORT of the coordinator, or unix:/PATH */
    const struct tls_files *tls; /* NULL: without */
    const char *host_id, *incarnation;
    const char *how;                /* for people */
    bool crashed;                   /* else what it ran has nothing to do with its end */
    struct certificate_tasks tasks; /* of one that has crashed */
    int64_t lease_ms; /* how long the coordinator may still wait for it; 0: it has not heard of it */
};

void certificate_add_task(struct certificate_tasks *t, const char *job, uint32_t epoch, const char *task_id,
                          const char *routine);
/* Tells the coordinator until it has acknowledged or the lease is surely over. Starts gRPC: call it
 * in a process that has forked, or was just executed. Returns the exit code: 0 when the coordinator
 * knows. */
int certify_run(const struct certificate *cert);

/* Kills all children of this process but those in `keep`, and theirs as they come to it (it must be
 * a subreaper), and waits for them, for at most 2 s. Returns 0 when none is left, else -1. */
int end_children(const pid_t *keep, size_t n_keep);

#endif
