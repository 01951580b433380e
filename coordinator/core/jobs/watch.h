/* WatchJob calls: what they are sent. */
#ifndef FM_CORE_JOBS_WATCH_H
#define FM_CORE_JOBS_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "buf.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"

struct core;
struct host;
struct job;
struct unit;

/* A WatchJob call. */
struct watch {
    struct watch *prev, *next; /* of its job */
    UT_hash_handle hh;         /* by ticket */
    uint64_t ticket;
    struct job *job;
    uint32_t next_step, next_entry;   /* wanted next, and what stands before it */
    uint32_t asked_step, asked_entry; /* what was on disk when it last asked */
    bool need_head, full, reading;
    bool spoken; /* since the last heartbeats */
};

void watch_pump_job(struct core *c, struct job *job);
void watch_head(struct core *c, struct job *job);
/* What a task in hand shows goes to the watches that are up to date; it is kept nowhere. */
void watch_progress(struct core *c, const struct host *h, const Fermata__V1__Progress *m);
/* Heartbeats: when the next ones are due (-1: never), and sending those that are. */
int64_t watches_deadline(const struct core *c);
void watches_tick(struct core *c);
void watch_fail_job(struct core *c, struct job *job, const struct fm_err *err);
/* A WatchJob call begins: shows the steps from this one on (0: the first), and from the step before on the
 * entries with this number or a later one. */
void watch_begin(struct core *c, struct job *job, uint64_t ticket, uint32_t from_step, uint32_t from_entry);
/* The call is gone; a ticket that is not a watch's is ignored. */
void watch_closed(struct core *c, uint64_t ticket);
/* Its queue has room again. */
void watch_drained(struct core *c, uint64_t ticket);
/* Ends all of them with an error. */
void watches_fail(struct core *c, const struct fm_err *err);
void watches_free(struct core *c);
/* The step (encoded, or empty: then watches read it) is on disk with the unit. */
void step_effect(struct unit *u, uint32_t number, struct fm_bytes step);
/* The same of an entry, which stands after this step. */
void entry_effect(struct unit *u, uint32_t step, uint32_t number, struct fm_bytes entry);

#endif
