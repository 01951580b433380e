/* Completions of units and of queries: how it went, and what was found. See store.h. */
#ifndef FM_STORE_DONE_H
#define FM_STORE_DONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "id.h"
#include "store_query.h"
#include "store_types.h"

enum store_status {
    STORE_OK,
    STORE_EXISTS,    /* of a unit: its request id was claimed before; nothing was applied */
    STORE_NOT_FOUND, /* of a query that reads one thing: it is not there */
    STORE_FAILED     /* err says why: FM_UNAVAILABLE (I/O), FM_RESOURCE_EXHAUSTED (disk full),
                        FM_DATA_LOSS (damaged), FM_INTERNAL (a rule of store_unit.h was broken). Of a
                        unit nothing was applied. */
};

/* A step or an input. */
struct store_record {
    uint32_t number;
    struct fm_bytes body;
};

/* A list of a job's steps or inputs, by number. */
struct store_records {
    const struct store_record *items;
    size_t n;
    bool more; /* there are more than the query allowed */
};

/* A step (`entry` is 0), or an entry after it. */
struct store_journal_record {
    uint32_t step, entry;
    struct fm_bytes body;
};

/* Part of a job's journal, in its order. */
struct store_journal {
    const struct store_journal_record *items;
    size_t n;
    bool more; /* there are more than the query allowed */
};

/* How a generation began. */
struct store_generation {
    uint32_t number, step, inputs;
    struct fm_bytes state; /* after that step; empty when it is not the newest one */
};

/* A job. All but the head is empty unless it was read whole. */
struct store_found_job {
    struct fm_bytes head;
    struct fm_bytes snapshot; /* or the state with which the newest generation began; p is NULL when there is
                                 none */
    uint32_t snapshot_number; /* of the last step that it covers */
    struct store_records steps;  /* those after the snapshot */
    struct store_records inputs; /* those that it has not taken; all when that is not known */
};

/* Who claimed a request id. */
struct store_claim {
    uint8_t digest[STORE_DIGEST_BYTES];
    struct fm_id job;
    struct fm_bytes reply;
};

/* A version of a named flow. When the newest was asked for: with how many there are, and the highest number
 * that a version of this name has had, both known even when there is none. */
struct store_flow_version {
    uint32_t version, n_versions, used;
    uint8_t digest[STORE_DIGEST_BYTES];
    struct fm_bytes definition;
};

struct store_job_head {
    struct fm_id id;
    struct fm_bytes head;
};

struct store_job_heads {
    const struct store_job_head *items;
    size_t n;
    bool more;
};

struct store_due_job {
    struct fm_id id;
    int64_t wake_ms;
};

struct store_due {
    const struct store_due_job *items;
    size_t n;
    bool more;
    int64_t next_wake_ms; /* the first later one than was asked for; 0: there is none */
};

/* Flow summaries, or records of hosts. */
struct store_bodies {
    const struct fm_bytes *items;
    size_t n;
    bool more;
};

struct store_count {
    int status; /* fermata.v1.JobStatus */
    uint64_t jobs;
};

struct store_counts {
    const struct store_count *items;
    size_t n;
};

struct store_usage_sum {
    const char *key; /* STORE_BY_FLOW: the flow; STORE_BY_LABEL: the label's value; else "" */
    uint32_t day;    /* STORE_BY_DAY: since 1970; else 0 */
    struct store_amounts used;
};

struct store_usage_sums {
    const struct store_usage_sum *items;
    size_t n;
};

/* A completion of a unit or of a query. Free with store_done_free. */
struct store_done {
    uint64_t tag;
    enum store_query_kind kind;
    enum store_status status;
    struct fm_err err;
    union {
        struct store_claim claim; /* of a unit: STORE_EXISTS */
        struct store_found_job job;
        struct store_records steps;
        struct store_journal journal;
        struct store_generation generation;
        struct store_records inputs;
        struct store_flow_version flow;
        struct fm_bytes flow_def;
        struct store_job_heads jobs;
        struct store_due due;
        struct store_bodies flows;
        struct store_bodies hosts;
        struct store_counts counts;
        struct store_usage_sums usage;
    };
    struct fm_arena *arena; /* owns what was found */
};

void store_done_free(struct store_done *d);

#endif
