/* Hosts: their records, their streams, and since when they are silent. */
#ifndef FM_CORE_HOSTS_HOST_H
#define FM_CORE_HOSTS_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "buf.h"
#include "fermata/v1/hosts.pb-c.h"
#include "principal.h"

struct core;
struct job;
struct op;
struct store_label;
struct told_type;
struct type_info;

struct host {
    UT_hash_handle hh;
    char *id;
    char *incarnation;
    struct fm_principal who; /* that has attached; FM_NOBODY: before a restart */
    uint64_t conn;           /* 0: no stream */
    char *peer, *version;
    struct store_label *labels;
    size_t n_labels;
    struct type_info *types;      /* that it offers, by name */
    struct refused_type *refused; /* that it offers, too, and that are not taken from it */
    uint32_t capacity;
    struct job *jobs;
    size_t n_jobs;
    size_t n_leaving;  /* jobs that have left it while it drains, and on disk they have not yet */
    struct job *trial; /* that is to be alone here (jobs/apart.c), until then; NULL: none is */
    int64_t trial_until_ms;
    bool kept; /* for such a job: others are not placed here */
    bool news; /* it may have what jobs need and no host had before */
    bool cordoned, draining, leaving;
    int64_t last_heard_ms, attached_wall_ms;
    uint64_t mark_seq;                /* a message to it whose arrival is awaited; 0: none */
    int64_t mark_ms;                  /* when that was sent */
    struct job *assigns;              /* assigned, but not sent yet: enough is under way */
    struct sent_assign *sent_assigns; /* under way */
    size_t assign_bytes;              /* of those */
    bool drain_asked;                 /* of this incarnation: that it gives jobs back is not its own wish */
    struct op *drain_ops;             /* DrainHost calls that wait */
    bool breakpoints_awaited;         /* SetBreakpoints calls may wait for it */
    bool braked;                      /* many fell silent with it: its lease counts twice */
    int64_t resync_at_ms; /* end its stream then, so that it sends again what is not on disk; 0: no */
    uint64_t seq_out, seq_in;
    struct fm_buf acks; /* encoded fields of a StepAckBatch */
    bool acks_urgent;   /* among them is one of a job that goes on there */
};

/* A type that a host offers and that is not taken from it. */
struct refused_type {
    struct refused_type *prev, *next;
    char *name, *reason;
    uint32_t version;
    size_t bytes; /* about what it takes */
    struct host *host;
    Fermata__V1__RoutineType *wanted; /* what it offers; NULL: it is not taken whatever others offer */
    struct told_type *by;             /* what others offer; NULL: gone, told_settle is to look */
    struct refused_type *contested_prev, *contested_next; /* of that, or of the core */
};

/* An assignment that was sent, and of which it is not known that it arrived. */
struct sent_assign {
    struct sent_assign *prev, *next;
    uint64_t seq;
    size_t bytes;
};

/* A host whose lease ended a while ago: it counts when more fall silent. */
struct host_loss {
    struct host_loss *prev, *next;
    int64_t silent_since_ms;
};

/* A stream of which no Hello has come, or a host's. */
struct conn {
    UT_hash_handle hh;
    uint64_t id;
    char *peer;
    struct fm_principal who;
    struct host *host; /* NULL before Hello */
    uint64_t seq_in;
    int64_t opened_ms;
    struct said *waiting;                   /* messages that wait for the next turn (backlog.c), in order */
    struct conn *behind_prev, *behind_next; /* among the streams that have such */
};

void host_attach_job(struct host *h, struct job *job);
void host_detach_job(struct job *job);
/* A host as clients see it; free with fermata__v1__host__free_unpacked. */
Fermata__V1__Host *host_view(const struct core *c, const struct host *h);
struct host *host_find(struct core *c, const char *id);
struct host *host_add(struct core *c, const char *id);
void host_remove(struct core *c, struct host *h);
struct host *host_by_conn(struct core *c, uint64_t conn);
/* What the host was to hear is lost, and perhaps true all the same: its stream ends in a moment, and with the
 * next one both sides say what they have. */
void host_resync(struct core *c, uint64_t conn);
/* Since when it is silent: nothing came from it, or nothing arrives there. */
int64_t host_silent_since(const struct host *h);
/* Two heartbeats are missing, or its stream is gone. */
bool host_is_silent(const struct core *c, const struct host *h);
int64_t host_lease_end(const struct core *c, const struct host *h);
/* Forgets what its Hello said; told_settle is to follow. */
void host_clear_hello(struct core *c, struct host *h);
/* Frees all hosts and streams. */
void hosts_free(struct core *c);

#endif
