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
#include "io.h"
#include "method.h"
#include "store.h"

struct core;
struct program_check;

/* A core; the io table is copied. */
struct core *core_new(const struct core_config *cfg, const struct core_io *io);
/* Frees it; outputs nothing. */
void core_free(struct core *c);

/* Begins recovery: reads the active jobs from the store. */
void core_start(struct core *c, int64_t mono_ms, int64_t wall_ms);

/* Says what time it is; call before every other input. Monotonic time decides leases and how long waits last.
 * Wall time is what its clock begins with; if it is set later, the core's clock follows slowly. */
void core_set_time(struct core *c, int64_t mono_ms, int64_t wall_ms);

/* A client's request, decoded and guarded; `raw` are its bytes. The caller may call the method; NULL: may do
 * all. The answer comes by reply, fail, or watch_*, later or at once. */
void core_request(struct core *c, uint64_t ticket, const struct method *method, const struct caller *caller,
                  const ProtobufCMessage *request, struct fm_bytes raw);
/* The client's call is gone. */
void core_ticket_closed(struct core *c, uint64_t ticket);
/* A watch's queue has room again. */
void core_watch_drained(struct core *c, uint64_t ticket);

/* A host opened a stream; `who` (NULL: nothing was to be proved) may be one. */
void core_host_opened(struct core *c, uint64_t conn, const char *peer, const struct fm_principal *who);
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
/* The core's clock, which stamps records and decides what is due: wall milliseconds. */
int64_t core_wall_ms(const struct core *c);
/* How often it has looked whether a host could have a job that waits: for tests, which count work. */
uint64_t core_looks(const struct core *c);
/* True when no unit is under way. */
bool core_idle(const struct core *c);

#endif
