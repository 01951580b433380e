/* What is read: queries. A query is a value that one of the functions below makes, and store_ask
 * submits. Its completion (store_done.h) has the query's tag and kind, a status, and, if that is
 * STORE_OK, what was found, in the member that the function names. What a query points to is
 * borrowed until store_ask has copied it. See store.h. */
#ifndef FM_STORE_QUERY_H
#define FM_STORE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arena.h"
#include "id.h"
#include "store_types.h"

/* ---- what is asked ---- */

enum store_query_kind {
    STORE_UNIT, /* no query: the completion of a unit */
    STORE_READ_JOB,
    STORE_READ_STEPS,
    STORE_READ_JOURNAL,
    STORE_READ_GENERATION,
    STORE_READ_INPUTS,
    STORE_READ_REQUEST,
    STORE_READ_FLOW,
    STORE_READ_FLOW_DEF,
    STORE_LIST_JOBS,
    STORE_LIST_ACTIVE,
    STORE_LIST_DUE,
    STORE_LIST_FLOWS,
    STORE_LIST_HOSTS,
    STORE_COUNT_JOBS,
    STORE_SUM_USAGE
};

/* How much of a job is read. */
enum store_extent {
    STORE_HEAD, /* its record */
    STORE_WHOLE /* and its snapshot, and the steps and inputs after it */
};

/* Which jobs are meant: those that fit all that is given. {0}: all jobs. */
struct store_filter {
    const int *statuses; /* fermata.v1.JobStatus, one of them; none: any */
    size_t n_statuses;
    const char *flow;                 /* NULL or "": any */
    const char *host;                 /* NULL or "": any */
    const struct store_label *labels; /* all of them */
    size_t n_labels;
};

/* What sums of usage are made of. */
enum store_group { STORE_BY_NOTHING, STORE_BY_FLOW, STORE_BY_LABEL, STORE_BY_DAY };

/* Made by the functions below; only the tag is for everybody to set. */
struct store_query {
    uint64_t tag;
    enum store_query_kind kind;
    union {
        struct {
            struct fm_id id;
            enum store_extent extent;
        } job;
        struct {
            struct fm_id job;
            uint32_t from, limit;
            size_t max_bytes;
        } steps;
        struct {
            struct fm_id job;
            uint32_t from_step, from_entry, limit;
            uint32_t to_step;   /* the last item; 0: all that follows */
            bool of_generation; /* only of this one */
            uint32_t generation;
            size_t max_bytes;
        } journal;
        struct {
            struct fm_id job;
            uint32_t step;
        } generation;
        struct {
            struct fm_id job;
            uint32_t from, to;
        } inputs;
        struct {
            const char *scope, *id;
        } request;
        struct {
            const char *name;
            uint32_t version;
        } flow;
        struct {
            uint8_t digest[STORE_DIGEST_BYTES];
        } flow_def;
        struct {
            struct store_filter filter;
            struct fm_id before;
            uint32_t limit;
        } jobs;
        struct {
            struct fm_id after;
            uint32_t limit;
        } active;
        struct {
            int64_t until_ms, after_ms;
            struct fm_id after;
            uint32_t limit;
        } due;
        struct {
            const char *after;
            uint32_t limit;
        } flows;
        struct {
            struct store_filter filter;
        } counts;
        struct {
            enum store_group group;
            const char *label_key;
            uint32_t from_day, to_day;
            const char *flow;
        } usage;
    };
};

/* ---- the queries ---- */

/* A job: `job`. */
static inline struct store_query store_read_job(const struct fm_id *id, enum store_extent extent)
{
    return (struct store_query){
        .kind = STORE_READ_JOB, .job = {*id, extent}
    };
}

/* Steps of a job from a number on, at most `limit` (0: any number), and together at most
 * `max_bytes` (0: any) but at least one: `steps`. */
static inline struct store_query store_read_steps(const struct fm_id *job, uint32_t from, uint32_t limit,
                                                  size_t max_bytes)
{
    return (struct store_query){
        .kind = STORE_READ_STEPS, .steps = {*job, from, limit, max_bytes}
    };
}

/* The journal of a job in its order: after each step the entries that stand there. From the entry with this
 * number after this step on (0, 0 and 0, 1: all; n, 0: from step n on), at most `limit`, and together at most
 * `max_bytes` (0: any) but at least one: `journal`. */
static inline struct store_query store_read_journal(const struct fm_id *job, uint32_t from_step,
                                                    uint32_t from_entry, uint32_t limit, size_t max_bytes)
{
    return (struct store_query){
        .kind = STORE_READ_JOURNAL, .journal = {*job, from_step, from_entry, limit, 0, false, 0, max_bytes}
    };
}

/* The generation to which a step of a job belongs, or which begins with it; the first one, of which nothing
 * is stored, is all zero: `generation`. */
static inline struct store_query store_read_generation(const struct fm_id *job, uint32_t step)
{
    return (struct store_query){
        .kind = STORE_READ_GENERATION, .generation = {*job, step}
    };
}

/* Inputs of a job, from one number to another, both included: `inputs`. None for a job that is not
 * there. */
static inline struct store_query store_read_inputs(const struct fm_id *job, uint32_t from, uint32_t to)
{
    return (struct store_query){
        .kind = STORE_READ_INPUTS, .inputs = {*job, from, to}
    };
}

/* Who claimed a request id: `claim`. */
static inline struct store_query store_read_request(const char *scope, const char *request_id)
{
    return (struct store_query){
        .kind = STORE_READ_REQUEST, .request = {scope, request_id}
    };
}

/* A version of a named flow, 0 for the newest: `flow`. */
static inline struct store_query store_read_flow(const char *name, uint32_t version)
{
    return (struct store_query){
        .kind = STORE_READ_FLOW, .flow = {name, version}
    };
}

/* A definition: `flow_def`. */
static inline struct store_query store_read_flow_def(const uint8_t digest[STORE_DIGEST_BYTES])
{
    struct store_query q = {.kind = STORE_READ_FLOW_DEF};
    memcpy(q.flow_def.digest, digest, STORE_DIGEST_BYTES);
    return q;
}

/* Jobs, newest id first, with ids below `before` (all zero: from the newest on): `jobs`. */
static inline struct store_query store_list_jobs(const struct store_filter *filter,
                                                 const struct fm_id *before, uint32_t limit)
{
    return (struct store_query){
        .kind = STORE_LIST_JOBS, .jobs = {*filter, *before, limit}
    };
}

/* Jobs that are PENDING or RUNNING, oldest id first, with ids above `after`, for recovery:
 * `jobs`. */
static inline struct store_query store_list_active(const struct fm_id *after, uint32_t limit)
{
    return (struct store_query){
        .kind = STORE_LIST_ACTIVE, .active = {*after, limit}
    };
}

/* Jobs that wake until this time, included, by (wake time, id), above (`after_ms`, `after`):
 * `due`. */
static inline struct store_query store_list_due(int64_t until_ms, int64_t after_ms, const struct fm_id *after,
                                                uint32_t limit)
{
    return (struct store_query){
        .kind = STORE_LIST_DUE, .due = {until_ms, after_ms, *after, limit}
    };
}

/* Summaries of the newest version of each name, by name, with names above `after`: `flows`. */
static inline struct store_query store_list_flows(const char *after, uint32_t limit)
{
    return (struct store_query){
        .kind = STORE_LIST_FLOWS, .flows = {after, limit}
    };
}

/* All that is remembered of hosts, by id: `hosts`. */
static inline struct store_query store_list_hosts(void)
{
    return (struct store_query){.kind = STORE_LIST_HOSTS};
}

/* How many jobs have which status; a status of no job is left out: `counts`. */
static inline struct store_query store_count_jobs(const struct store_filter *filter)
{
    return (struct store_query){.kind = STORE_COUNT_JOBS, .counts = {*filter}};
}

/* Sums of the ledger by `group` (`label_key`: of STORE_BY_LABEL; labels are those of jobs that
 * are still there), of days `from_day` to `to_day`, both included, of jobs of `flow` ("": of
 * all), in the order of the groups, at most 10,000: `usage`. */
static inline struct store_query store_sum_usage(enum store_group group, const char *label_key,
                                                 uint32_t from_day, uint32_t to_day, const char *flow)
{
    return (struct store_query){
        .kind = STORE_SUM_USAGE, .usage = {group, label_key, from_day, to_day, flow}
    };
}

/* ---- for those who make a store ---- */

/* A copy whose texts and arrays are in the arena. */
struct store_query query_copy(const struct store_query *q, struct fm_arena *a);

#endif
