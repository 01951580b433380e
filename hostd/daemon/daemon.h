/* The shell around the engine: the stream to the coordinator, reconnects, timers, signals. The
 * libuv loop (the main thread) runs the engine; gRPC's loop has a thread of its own and hands over
 * whole messages. */
#ifndef FM_DAEMON_H
#define FM_DAEMON_H

#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "outside.h"

struct daemon_config {
    const char *target;        /* HOST:PORT of the coordinator, or unix:/PATH */
    struct rpc_dialer *dialer; /* connects by TLS; NULL: without */
    int64_t drain_timeout_ms;  /* how long draining may take after SIGTERM */
    struct engine_config engine;
    struct outside_config outside;
    size_t workers;                      /* threads for handlers that block */
    int stop_signal;                     /* means the same as SIGTERM, for the supervisor; 0: none */
    void (*attached)(uint32_t lease_ms); /* the coordinator has accepted the host; may be NULL */
    /* As struct engine_io's; may be NULL. */
    size_t (*task_begins)(const char *job, uint32_t epoch, const char *task_id, const char *routine);
    void (*task_ends)(size_t number);
};

/* Runs until SIGTERM or SIGINT and until draining is done or its time is over. Returns the exit
 * code: 0, or 1 when jobs had to be left behind (their lease decides then). A second signal ends
 * the process at once. */
int daemon_run(const struct daemon_config *cfg);

#endif
