/* The coordinator's core: decides everything, does nothing. Deterministic: what it does follows from its
 * inputs, the times it is given and its seed alone.
 *
 * Inputs are the functions below; outputs are the calls of struct core_io, made while an input is handled.
 * The callbacks must not call back into the core. One thread calls all of it (the completion-queue thread in
 * the coordinator, the test in a simulation), so there are no locks.
 *
 * Tickets name calls of clients, connections name streams of hosts; both are chosen by the shell, are never 0
 * and are never used twice. */
#ifndef FM_CORE_H
#define FM_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "buf.h"
#include "err.h"
#include "store.h"

struct core;
struct program_check;

/* The methods of Flows, Jobs and Hosts, one each. */
enum core_method {
    CORE_PUT_FLOW,
    CORE_GET_FLOW,
    CORE_LIST_FLOWS,
    CORE_DELETE_FLOW,
    CORE_GET_FLOW_GRAPH,
    CORE_SUBMIT_JOB,
    CORE_GET_JOB,
    CORE_LIST_JOBS,
    CORE_GET_HISTORY,
    CORE_WATCH_JOB,
    CORE_PAUSE_JOB,
    CORE_RESUME_JOB,
    CORE_CANCEL_JOB,
    CORE_DELETE_JOB,
    CORE_SEND_INPUT,
    CORE_FORK_JOB,
    CORE_SET_BREAKPOINTS,
    CORE_RETRY_TASK,
    CORE_SKIP_TASK,
    CORE_EDIT_TASK,
    CORE_PATCH_STATE,
    CORE_LIST_PAUSES,
    CORE_CLAIM_PAUSE,
    CORE_RELEASE_PAUSE,
    CORE_COUNT_JOBS,
    CORE_EXPLAIN_JOB,
    CORE_GET_USAGE,
    CORE_LIST_HOSTS,
    CORE_GET_HOST,
    CORE_CORDON_HOST,
    CORE_DRAIN_HOST,
    CORE_CERTIFY_DEATH,
    CORE_METHODS
};

/* What the core makes the shell do. All bytes are valid during the call only. */
struct core_io {
    void *arg;
    /* Ends a unary call with an encoded response. A ticket that is gone already is ignored. */
    void (*reply)(void *arg, uint64_t ticket, struct fm_bytes response);
    /* Ends a call (unary or watch) with an error. */
    void (*fail)(void *arg, uint64_t ticket, const struct fm_err *err);
    /* Sends an encoded WatchJobResponse. Returns false when the call's queue is full now: the message was
     * taken, but the core sends no more until core_watch_drained. */
    bool (*watch_send)(void *arg, uint64_t ticket, struct fm_bytes response);
    /* Ends a watch with OK after what was sent. */
    void (*watch_end)(void *arg, uint64_t ticket);
    /* Sends an encoded CoordinatorMessage. Urgent: a job waits for it there. */
    void (*host_send)(void *arg, uint64_t conn, struct fm_bytes message, bool urgent);
    /* Ends a host's stream; err NULL is OK. The core forgets the connection at once; core_host_closed need
     * not follow. */
    void (*host_close)(void *arg, uint64_t conn, const struct fm_err *err);
    /* Submits a unit to the store; takes ownership. Its completion comes back by core_store_done. */
    void (*commit)(void *arg, struct store_unit *unit);
    /* Submits a query. */
    void (*read)(void *arg, const struct store_query *query);
    /* Has program_check_run called on another thread; takes ownership. It comes back by core_checked. NULL:
     * programs are not checked. */
    void (*check)(void *arg, struct program_check *check);
    /* Recovery is complete: clients and hosts may come. Called once. */
    void (*recovered)(void *arg);
};

struct core_config {
    uint32_t lease_ms;           /* how long a silent host keeps its jobs */
    uint32_t heartbeat_ms;       /* how often hosts send heartbeats */
    uint32_t pause_grace_ms;     /* how long a step may still take after PauseJob */
    uint32_t watch_heartbeat_ms; /* a watch to which nothing was said hears so after one to two of these; 0:
                                    never */
    uint32_t snapshot_steps;     /* write a snapshot at the latest after so many steps; 0: 256 */
    size_t snapshot_bytes; /* of journal, below which folding it again costs less than a snapshot; 0: 8 KiB */
    size_t max_state_bytes; /* largest encoded job state; 0: 16 MiB */
    size_t
        max_active_bytes; /* memory of all active jobs' states, above which submits are refused; 0: 2 GiB */
    size_t max_waiting_jobs; /* jobs that wait for a host, above which submits are refused; 0: 1,000,000 */
    size_t cache_bytes;      /* memory for jobs that wait, kept to spare a read; 0: 1 MiB */
    uint32_t page_rows;      /* rows of a list that are read at a time: jobs that are active or due, steps for
                                a watch, jobs searched for pauses; 0: as is usual for each */
    uint64_t seed;           /* for job ids */
};

/* A core; the io table is copied. */
struct core *core_new(const struct core_config *cfg, const struct core_io *io);
/* Frees it; outputs nothing. */
void core_free(struct core *c);

/* Begins recovery: reads the active jobs from the store. */
void core_start(struct core *c, int64_t mono_ms, int64_t wall_ms);

/* Says what time it is; call before every other input. Monotonic time decides leases, wall time stamps
 * records. */
void core_set_time(struct core *c, int64_t mono_ms, int64_t wall_ms);

/* A client's request, decoded and guarded; `raw` are its bytes. The answer comes by reply, fail, or watch_*,
 * later or at once. */
void core_request(struct core *c, uint64_t ticket, enum core_method method, const ProtobufCMessage *request,
                  struct fm_bytes raw);
/* The client's call is gone. */
void core_ticket_closed(struct core *c, uint64_t ticket);
/* A watch's queue has room again. */
void core_watch_drained(struct core *c, uint64_t ticket);

/* A host opened a stream. */
void core_host_opened(struct core *c, uint64_t conn, const char *peer);
/* A decoded and guarded fermata.v1.HostMessage came on it. */
void core_host_message(struct core *c, uint64_t conn, const ProtobufCMessage *message);
/* The stream is gone. */
void core_host_closed(struct core *c, uint64_t conn);

/* The store finished a unit or a query. Frees it. */
void core_store_done(struct core *c, struct store_done *done);

/* What io.check was given has been checked. Frees it. */
void core_checked(struct core *c, struct program_check *check);

/* End of a turn: sends what was gathered for each host (acknowledgements). Call after a burst of inputs. */
void core_flush(struct core *c);

/* When core_tick must be called at the latest, in monotonic milliseconds; -1: not needed. */
int64_t core_next_deadline(const struct core *c);
/* Time has passed: leases, retries. */
void core_tick(struct core *c);

/* Begins shutdown: ends watches and streams of hosts with UNAVAILABLE, refuses requests; what is under way in
 * the store goes on. */
void core_stop(struct core *c);
/* True when no unit is under way. */
bool core_idle(const struct core *c);

/* Numbers for the log and for tests. */
struct core_counts {
    size_t jobs_in_memory, jobs_pending, jobs_running, hosts, watches, units_in_flight, active_bytes;
};
void core_get_counts(const struct core *c, struct core_counts *ret);

#endif
