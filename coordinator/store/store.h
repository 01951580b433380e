/* The state store: typed records in, completions out, asynchronously. It knows nothing of scheduling or of
 * gRPC.
 *
 * Writes come in *units*: the records of one unit are applied whole or not at all, units in the order of
 * store_submit, and a unit's completion is reported only when it is on disk. The store commits whatever
 * accumulated while the last commit ran (group commit). Reads run beside the writer and see everything whose
 * completion was reported before they were submitted.
 *
 * One implementation so far: store_sqlite.c. Threads: submit, query and
 * poll from one thread (the core's); `notify` is called on the store's threads when there is something to
 * poll.
 *
 * Records hold encoded protobuf: head = fermata.v1.Job without state, step = Step, input = Task, snapshot =
 * JobState, flow = Flow. */
#ifndef FM_STORE_H
#define FM_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "id.h"

#define STORE_DIGEST_BYTES 32

struct store;
struct store_unit;

struct store_label {
    const char *key;
    const char *value;
};

/* What of a job is a column, beside its encoded head. */
struct store_job {
    struct fm_id id;
    int status;       /* fermata.v1.JobStatus */
    const char *flow; /* name, "" for none */
    const char *host; /* "" for none; only a RUNNING job has one */
    struct fm_bytes head;
    const struct store_label *labels; /* read only when is_new */
    size_t n_labels;
    int64_t wake_ms; /* wall time at which STORE_LIST_DUE names it; 0: never */
    bool is_new;     /* insert: an existing row fails the unit; else update: a missing row fails the unit */
};

/* ---- writing ---- */

/* A new empty unit. Everything put into it is copied. `tag` comes back with the completion. */
struct store_unit *store_unit_new(uint64_t tag);
void store_unit_free(struct store_unit *u);
bool store_unit_empty(const struct store_unit *u);
size_t store_unit_bytes(const struct store_unit *u);

/* Claims a request id within `scope` ("submit", or a job id's text with a verb). When it was claimed before,
 * the whole unit is not applied and its completion is STORE_EXISTS with the earlier digest, job and reply.
 * Put it first. */
void store_put_request(struct store_unit *u, const char *scope, const char *request_id,
                       const uint8_t digest[STORE_DIGEST_BYTES], const struct fm_id *job,
                       struct fm_bytes reply);
/* Inserts or updates a job's row. */
void store_put_job(struct store_unit *u, const struct store_job *job);
/* Appends a step; a number that exists fails the unit. */
void store_put_step(struct store_unit *u, const struct fm_id *job, uint32_t number, struct fm_bytes step);
/* Appends an input; a number that exists fails the unit. */
void store_put_input(struct store_unit *u, const struct fm_id *job, uint32_t number, struct fm_bytes task);
/* Replaces a job's snapshot; it covers all steps up to `number` and all inputs up to `inputs_through`. */
void store_put_snapshot(struct store_unit *u, const struct fm_id *job, uint32_t number,
                        uint32_t inputs_through, struct fm_bytes state);
/* Stores a definition by its digest; storing it twice is fine. */
void store_put_flow_def(struct store_unit *u, const uint8_t digest[STORE_DIGEST_BYTES], struct fm_bytes flow);
/* Stores a named version of a definition. `summary` is an encoded FlowSummary. An existing (name, version)
 * fails the unit. */
void store_put_flow(struct store_unit *u, const char *name, uint32_t version,
                    const uint8_t digest[STORE_DIGEST_BYTES], struct fm_bytes summary);
/* Removes all versions of a name; definitions stay for the jobs that use them. */
void store_delete_flow(struct store_unit *u, const char *name);
/* Stores what is remembered of a host: an encoded fermata.v1.Host; replaces an earlier one. */
void store_put_host(struct store_unit *u, const char *host_id, struct fm_bytes host);
void store_delete_host(struct store_unit *u, const char *host_id);
/* Removes a job with its steps, inputs, snapshot, labels and requests. */
void store_delete_job(struct store_unit *u, const struct fm_id *job);

/* What model calls of a job used on a day (days since 1970). */
struct store_usage {
    struct fm_id job;
    uint32_t day;
    const char *flow;
    uint64_t input_tokens, output_tokens, cached_tokens, calls;
    double cost;
};

/* Adds to the ledger; it outlives the job. */
void store_add_usage(struct store_unit *u, const struct store_usage *usage);

/* ---- reading ---- */

enum store_query_kind {
    STORE_READ_JOB = 1, /* head of `job`; with `full`: snapshot, inputs after it, steps after it */
    STORE_READ_STEPS,  /* steps of `job` from `from`, at most `limit`, at most `max_bytes` (but at least one),
                          and all inputs they consumed are  found by STORE_READ_INPUTS */
    STORE_READ_INPUTS, /* inputs of `job` numbered from `from` to `to` */
    STORE_LIST_JOBS,   /* heads, newest id first, after `after` exclusive, filtered */
    STORE_LIST_ACTIVE, /* heads of jobs in PENDING and RUNNING, oldest id first, after `after` exclusive: for
                          recovery */
    STORE_LIST_DUE, /* ids of jobs whose wake time is at most `due_ms`, by (wake time, id), after (`after_ms`,
                       `after`) exclusive: row.wake_ms; and in next_wake_ms the first wake time after due_ms
                     */
    STORE_COUNT_JOBS, /* rows: number = status, wake_ms = how many; filtered as STORE_LIST_JOBS */
    STORE_SUM_USAGE,  /* sums of usage by `group` (a UsageGroup; `name` is the label's key) of days `from` to
                         `to`,  of jobs of `flow` if that is not empty: in `usage`, its `flow` being the key */
    STORE_READ_FLOW,  /* `name`, `version` (0: newest): digest, version and definition */
    STORE_READ_FLOW_DEF, /* by `digest`: definition */
    STORE_READ_REQUEST,  /* `scope`, `request_id`: digest, job and reply of the unit that claimed it; status
                            STORE_NOT_FOUND when none did */
    STORE_LIST_FLOWS,    /* summaries of the newest versions, by name, after `name` exclusive */
    STORE_LIST_HOSTS     /* all that is remembered of hosts, by id */
};

struct store_query {
    enum store_query_kind kind;
    uint64_t tag;
    struct fm_id job;
    bool full;
    uint32_t from, to;
    uint32_t limit;
    size_t max_bytes;
    struct fm_id after;       /* all zero: from the start */
    int64_t due_ms, after_ms; /* STORE_LIST_DUE */
    const int *statuses;      /* filters of STORE_LIST_JOBS; none: any. Copied by store_read */
    size_t n_statuses;
    const char *flow; /* NULL or "": any */
    const char *host; /* NULL or "": any */
    const struct store_label *labels;
    size_t n_labels;
    const char *name;
    uint32_t version;
    uint8_t digest[STORE_DIGEST_BYTES];
    int group;         /* STORE_SUM_USAGE */
    const char *scope; /* STORE_READ_REQUEST */
    const char *request_id;
};

struct store_row {
    struct fm_id job;
    uint32_t number; /* step, input, or flow version */
    int64_t wake_ms; /* STORE_LIST_DUE */
    struct fm_bytes body;
};

/* A completion of a unit or of a query. Free with store_done_free. */
enum store_status {
    STORE_OK,
    STORE_EXISTS,    /* unit: the request id was claimed before; nothing was applied */
    STORE_NOT_FOUND, /* query: no such job, flow or definition */
    STORE_FAILED     /* err says why: FM_UNAVAILABLE (I/O), FM_RESOURCE_EXHAUSTED (disk full), FM_DATA_LOSS
                        (corrupt), FM_INTERNAL (a rule above was broken).     Nothing of the unit was applied. */
};

struct store_done {
    uint64_t tag;
    bool is_query;
    enum store_query_kind kind;
    enum store_status status;
    struct fm_err err;
    /* STORE_EXISTS, STORE_READ_REQUEST */
    uint8_t digest[STORE_DIGEST_BYTES]; /* also STORE_READ_FLOW */
    struct fm_id job;
    struct fm_bytes reply;
    /* queries */
    struct fm_bytes head;     /* STORE_READ_JOB */
    struct fm_bytes snapshot; /* STORE_READ_JOB full; p NULL when there is none */
    uint32_t snapshot_number;
    struct store_row *steps; /* STORE_READ_JOB full, STORE_READ_STEPS */
    size_t n_steps;
    struct store_row *inputs; /* STORE_READ_JOB full (those after the snapshot's inputs_through, or all
                                 when that is not known), STORE_READ_INPUTS */
    size_t n_inputs;
    struct store_usage *usage; /* STORE_SUM_USAGE */
    size_t n_usage;
    struct store_row *rows; /* lists; STORE_READ_FLOW(_DEF): one row, body = definition, number = version */
    size_t n_rows;
    int64_t next_wake_ms;   /* STORE_LIST_DUE; 0: there is none */
    bool more;              /* lists and STORE_READ_STEPS: there are more */
    struct fm_arena *arena; /* owns all of the above */
};

void store_done_free(struct store_done *d);

/* ---- the interface ---- */

struct store_ops {
    /* Takes ownership of the unit. Never blocks. Fails every later unit, too, while the store is down; it
     * tries to come back by itself. `more`: another one follows at once, so that it is worth waiting for. */
    void (*submit)(struct store *s, struct store_unit *u, bool more);
    /* Copies the query. Never blocks. */
    void (*read)(struct store *s, const struct store_query *q);
    /* Hands out finished units and queries, units in order; returns NULL when there is none. The caller frees
     * with store_done_free. */
    struct store_done *(*poll)(struct store *s);
    /* Finishes what was submitted, stops the threads, closes. */
    void (*close)(struct store *s);
};

struct store {
    const struct store_ops *ops;
};

static inline void store_submit(struct store *s, struct store_unit *u)
{
    s->ops->submit(s, u, false);
}
static inline void store_submit_more(struct store *s, struct store_unit *u)
{
    s->ops->submit(s, u, true);
}
static inline void store_read(struct store *s, const struct store_query *q)
{
    s->ops->read(s, q);
}
static inline struct store_done *store_poll(struct store *s)
{
    return s->ops->poll(s);
}
static inline void store_close(struct store *s)
{
    s->ops->close(s);
}

struct store_sqlite_config {
    const char *dir;           /* created when missing; the file is fermata.db in it */
    void (*notify)(void *arg); /* called on a store thread when poll has something new */
    void *arg;
    size_t max_batch_units; /* 0: 4096 */
};

/* Opens (creates) the store: lock, integrity check, schema version, WAL with synchronous=FULL. Returns NULL
 * with err: FM_FAILED_PRECONDITION (another coordinator has it; the schema is newer), FM_DATA_LOSS (corrupt),
 * FM_PERMISSION_DENIED, FM_UNAVAILABLE. Blocks; call before serving. */
struct store *store_sqlite_open(const struct store_sqlite_config *cfg, struct fm_err *err);

#endif
