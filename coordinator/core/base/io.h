/* What the core is told at its birth: its configuration, and the functions by which it makes its
 * shell act. */
#ifndef FM_CORE_IO_H
#define FM_CORE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "job_limits.h"
#include "store.h"

struct program_check;

/* What the core makes the shell do. All bytes are valid during the call only. None of the functions
 * may call back into the core. */
struct core_io {
    void *arg;
    /* Ends a unary call with an encoded response. A ticket that is gone already is ignored. */
    void (*reply)(void *arg, uint64_t ticket, struct fm_bytes response);
    /* Ends a call (unary or watch) with an error. */
    void (*fail)(void *arg, uint64_t ticket, const struct fm_err *err);
    /* Sends an encoded WatchJobResponse. Returns false when the call's queue is full now: the message
     * was taken, but the core sends no more until core_watch_drained. */
    bool (*watch_send)(void *arg, uint64_t ticket, struct fm_bytes response);
    /* Ends a watch with OK after what was sent. */
    void (*watch_end)(void *arg, uint64_t ticket);
    /* Sends an encoded CoordinatorMessage. Urgent: a job waits for it there. */
    void (*host_send)(void *arg, uint64_t conn, struct fm_bytes message, bool urgent);
    /* Ends a host's stream; err NULL is OK. The core forgets the connection at once;
     * core_host_closed need not follow. */
    void (*host_close)(void *arg, uint64_t conn, const struct fm_err *err);
    /* With `hold` no more is read of a host's stream until it is called without; one message may still come.
     * NULL: all that has come is taken in. */
    void (*host_hold)(void *arg, uint64_t conn, bool hold);
    /* Submits a unit to the store; takes ownership. Its completion comes back by core_store_done. */
    void (*commit)(void *arg, struct store_unit *unit);
    /* Submits a query. */
    void (*read)(void *arg, const struct store_query *query);
    /* Has program_check_run called on another thread; takes ownership. It comes back by
     * core_checked. NULL: programs are not checked. */
    void (*check)(void *arg, struct program_check *check);
    /* Recovery is complete: clients and hosts may come. Called once. */
    void (*recovered)(void *arg);
};

struct core_config {
    uint32_t lease_ms;           /* how long a silent host keeps its jobs */
    uint32_t heartbeat_ms;       /* how often hosts send heartbeats */
    uint32_t pause_grace_ms;     /* how long a step may still take after a PauseJob that does not say; 0:
                                    as long as it takes */
    uint32_t watch_heartbeat_ms; /* a watch to which nothing was said hears so after one to two of
                                    these; 0: never */
    uint32_t snapshot_steps;     /* write a snapshot after so many steps at the latest; 0: 256 */
    size_t snapshot_bytes;       /* of journal, below which folding it again costs less than a
                                    snapshot; 0: 8 KiB */
    size_t max_state_bytes;      /* largest encoded job state; 0: 16 MiB */
    size_t max_door_bytes;       /* of a job's inputs that no step has consumed, above which others are
                                    refused and results of children wait; 0: max_state_bytes */
    size_t max_active_bytes;     /* memory of all active jobs' states, above which submits are
                                    refused; 0: 2 GiB */
    size_t max_waiting_jobs;     /* jobs that wait for a host, above which submits are refused; 0:
                                    1,000,000 */
    size_t cache_bytes;          /* memory for jobs that wait, kept to spare a read; 0: 1 MiB */
    uint32_t page_rows;          /* rows of a list that are read at a time: jobs that are active or
                                    due, steps for a watch, jobs searched for pauses; 0: as is
                                    usual for each */
    struct limits limits;        /* of jobs whose flows say nothing (job_limits.h); all 0: none */
    const char *fair_by;         /* hosts go round between the values of this label of jobs that wait;
                                    NULL or "": between their flows */
    size_t turn_work;            /* steps of hosts and their elements, above which the others wait for the
                                    next turn; 0: as is usual */
    uint64_t seed;               /* for job ids */
};

#endif
