/* A flow as a host needs it ("h" as in struct hjob): parsed once at a job's assignment, with the
 * place of each routine's tasks; and the mapping of data that its connections do. */
#ifndef FM_ENGINE_HFLOW_H
#define FM_ENGINE_HFLOW_H

#include <uthash.h>

#include "arena.h"
#include "data_fields.h"
#include "kinds.h"
#include "policy.h"
#include "registry.h"

struct task;
struct connection;
struct fm_ctx;

/* How the data that come to a slot are put together. */
struct merge {
    const char *slot;
    enum merge_mode mode;
    uint32_t n;
};

struct routine {
    UT_hash_handle hh; /* among the flow's, by id */
    const char *id;
    const struct fm_routine_type *type; /* NULL: of the flow's `unknown` */
    struct fm_bytes config;             /* encoded Struct */
    const struct fm_value *decoded;     /* the same, once a handler has asked for it */
    const struct connection **out;      /* those that begin here, by event, in the flow's order */
    size_t n_out;
    struct policy policy;
    struct merge *merges;
    size_t n_merges;
    int32_t priority;
    /* in the job that the flow was parsed for */
    struct task *queue;    /* tasks that are due, in order */
    struct fm_ctx *run;    /* the handler at work */
    uint64_t asking;       /* call by which conditions of breakpoints are put to the first one; 0: none */
    char *hold_why;        /* what was wrong with the condition that holds the first one; NULL: nothing */
    int64_t held_until_ms; /* the first one waits for its next attempt, and those behind it, too; 0: no */
};

struct mapping {
    const char *from, *to;
};

struct connection {
    const char *from_routine, *event;
    const char *to_routine, *slot;
    struct mapping *mapping;
    size_t n_mapping;
    bool drop_unmapped;
    struct fm_bytes constants, filter; /* encoded Structs */
    uint32_t number;                   /* in the flow, from 1 */
};

/* A parsed flow, all of it in its own arena. */
struct flow {
    struct fm_arena arena;
    struct routine *routines;
    size_t n_routines;
    struct routine *by_id;
    struct connection *connections;
    size_t n_connections;
    uint32_t parallelism;   /* at least 1 */
    struct routine unknown; /* takes the tasks of routines that the flow does not have, and fails them */
};

/* Parses an encoded Flow. NULL with err: malformed, or a routine type that this host does not
 * offer. */
struct flow *flow_parse(struct fm_bytes encoded, const struct registry *registry, struct fm_err *err);
void flow_free(struct flow *f);
/* The routine, or the flow's `unknown`; never NULL. */
struct routine *flow_routine(struct flow *f, const char *id);
/* Applies a connection's mapping, dropping and constants to data: appends the result, an encoded
 * Struct. -1: malformed. */
int mapping_apply(const struct connection *c, const struct data_fields *data, struct fm_buf *out);
/* The connections of a routine that begin at this event, in the flow's order. */
struct out {
    const struct connection *const *first;
    size_t n;
};
struct out routine_out(const struct routine *r, const char *event);
/* True when the connection takes its event with this data. */
bool connection_takes(const struct connection *c, const struct data_fields *data);

#endif
