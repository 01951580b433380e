/* The core's state. The tables belong to the files that are named; what is in them is in those files'
 * headers. */
#ifndef FM_CORE_STATE_H
#define FM_CORE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "id.h"
#include "io.h"

#define RETRY_MS 1000

struct method;
struct job;

struct core {
    struct core_config cfg;
    struct core_io io;
    int64_t now_ms, wall_ms;    /* monotonic; its own clock (core_set_time) */
    int64_t behind_ms, slew_ms; /* that of the system's clock; since its own was moved towards it */
    struct fm_idgen ids;
    uint64_t next_tag;
    bool started, recovered, stopping;
    bool match_wanted;   /* jobs that wait may find a host now */
    int64_t retry_at_ms; /* try again what failed; 0: nothing did */
    int64_t wake_at_ms;  /* wall time at which the store is asked which jobs are due; 0: nothing is
                            known to be */
    size_t active_bytes;
    size_t waiting_bytes; /* of requests that wait and of units under way to the disk */

    /* base */
    struct wait *waits;                /* query.c */
    struct unit *units;                /* unit.c: under way */
    struct inner *inner, *inner_pairs; /* op.c */

    /* flows */
    struct flow_def *defs;     /* defs.c */
    struct flow_name *names;   /* defs.c */
    struct known_type *types;  /* routine_types.c: what hosts have told, by name */
    size_t told_bytes;         /* of those, and what hosts have told besides (told.c) */
    struct sound *sound;       /* programs.c: digests of jq programs and schemas */
    struct check_wait *checks; /* programs.c: under way */

    /* hosts */
    struct host *hosts;             /* host.c */
    struct conn *conns;             /* host.c */
    struct conn *behind;            /* hosts/backlog.c: whose messages wait for the next turn */
    size_t turn_work;               /* sessions/steps.c: done of hosts' steps since the last core_flush */
    struct host_loss *losses;       /* sessions/lease.c */
    struct host_mark *marks;        /* marks.c */
    struct refused_type *contested; /* told.c: types whose refusal is to be looked at again */
    bool marks_loaded;
    int64_t marks_sweep_ms; /* forget hosts that did not come back after a restart then; 0: no */

    /* jobs */
    struct job *jobs;  /* table.c: by id */
    struct job *dirty; /* unit.c: have a unit to submit */
    struct job *idle;  /* table.c: kept to spare a read, oldest first */
    size_t idle_bytes;
    struct waiting *waiting; /* line/line.c: the jobs in line for a host */
    struct job *aside; /* place.c: wait for a host, and are to have none for a moment, or not a certain one */
    struct job *suspects;   /* place.c: wait for a host of their own */
    size_t n_pending;       /* all of these */
    bool hosts_news;        /* some host may have what none had before */
    uint64_t n_looks;       /* how often a host was looked at for a job that waits */
    bool has_trials;        /* apart.c: a host may have one, or be kept */
    int64_t apart_since_ms; /* apart.c: no host is free for the next one since then; 0: one is */
    struct watch *watches;  /* watch.c */
    int64_t watch_beat_ms;  /* the next heartbeats of watches */
    bool due_reading;       /* timers.c */
    struct fm_buf step_buf; /* journal.c: the step in hand, encoded */

    /* recovery.c */
    struct fm_id recover_after;
    size_t recover_loading;
    bool recover_listed;
    bool recover_reading; /* a list of it is on its way */

    /* What stands above the folders that need it: set when the core is made. */
    void (*job_used)(struct core *c, struct job *job);   /* a handler has had the job */
    void (*job_loaded)(struct core *c, struct job *job); /* a job was read; NULL: it is not there, or
                                                            cannot be read */
    /* A unit that changed what a job has to do with its parent or children is on disk. */
    void (*family_changed)(struct core *c, struct job *job);
    const struct method *submit, *cancel; /* which jobs use of each other */
};

#endif
