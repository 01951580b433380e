/* What the files of the core share: the tables, and what waits for the store. Private to coordinator/core*.c,
 * hosts.c, sched.c. */
#ifndef FM_CORE_INT_H
#define FM_CORE_INT_H

#include "core.h"

#include <uthash.h>

#include "fermata/v1/flows.pb-c.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fermata/v1/jobs.pb-c.h"
#include "job.h"

#define MAX_NAME 128
#define MAX_INPUT_BYTES (1024u * 1024)
#define MAX_LABELS 64
#define MAX_LABEL_BYTES 256
#define PAGE_BYTES (3u * 1024 * 1024)
#define RETRY_MS 1000
#define MAX_BAD_STEPS 3

/* A client's request that is being worked on. It may be parked (on a job's list, or with a query) and run
 * again: handlers start from the beginning and park it until what they need is in memory. */
struct op {
    struct op *prev, *next;
    uint64_t ticket;
    enum core_method method;
    ProtobufCMessage *request; /* own copy once parked, else the caller's */
    bool owned;
    struct fm_bytes raw;  /* the caller's, or own once parked */
    bool request_checked; /* the request id was looked up: it is new */
    struct fm_buf text;   /* what a handler keeps between two runs */
    char pause_id[64];
    struct flow_def *def; /* of a submit: what was read; a reference is held while it runs again */
    uint32_t def_version;
};

/* A definition of a flow, shared by the jobs that use it. */
struct flow_def {
    UT_hash_handle hh;
    uint8_t digest[STORE_DIGEST_BYTES];
    struct fm_buf body; /* encoded Flow */
    char **types;       /* the routine types it needs, each once */
    size_t n_types;
    size_t refs;
    bool on_disk;
};

/* The newest version of a name, as far as known. */
struct flow_name {
    UT_hash_handle hh;
    char *name;
    uint32_t version; /* 0: deleted or never there */
    uint8_t digest[STORE_DIGEST_BYTES];
};

/* A query under way, and who waits for it. */
struct wait {
    UT_hash_handle hh;
    uint64_t tag;
    void (*done)(struct core *c, struct wait *w, struct store_done *d);
    struct op *op;
    struct fm_id job;
    bool has_job;
    uint64_t ticket; /* of a watch */
};

/* What is to be done when a unit is on disk, in order. */
enum effect_kind {
    EFFECT_REPLY,     /* to a client: bytes */
    EFFECT_INPUTS,    /* inputs up to number are on disk: deliver them */
    EFFECT_STEP,      /* step number is on disk: bytes for watches */
    EFFECT_ACK,       /* tell the host; released: the job has left it */
    EFFECT_ASSIGN,    /* send it to the host */
    EFFECT_INTERRUPT, /* tell a host that lost the job: kind in number */
    EFFECT_PAUSED,    /* PauseJob calls get their answer */
    EFFECT_FLOW       /* a flow definition is on disk */
};

struct effect {
    struct effect *prev, *next;
    enum effect_kind kind;
    uint64_t ticket, conn;
    uint32_t number, epoch;
    bool released;
    struct flow_def *def;
    struct fm_bytes bytes; /* behind the struct */
};

/* A unit of one job (or of a flow), and what follows from it. A job has at most one under way; what happens
 * meanwhile gathers in the next. */
struct commit {
    UT_hash_handle hh;
    uint64_t tag;
    struct job *job;         /* NULL: of a flow */
    struct store_unit *unit; /* NULL once submitted */
    struct effect *effects;
    bool has_head; /* the head's encoding is in `head` */
    struct fm_buf head;
    bool has_step, creates, deletes;
    uint32_t last_step, last_input;
    uint64_t request_ticket; /* the call whose request id the unit claims; 0: none */
    uint8_t request_digest[STORE_DIGEST_BYTES];
    char *flow_name; /* of a flow's unit: forget the cached name if it fails */
};

struct type_info {
    UT_hash_handle hh;
    char *name;
    uint32_t version;
    char **slots, **events;
    size_t n_slots, n_events;
    bool effects;
};

struct host {
    UT_hash_handle hh;
    char *id;
    char *incarnation;
    uint64_t conn; /* 0: no stream */
    char *peer, *version;
    struct store_label *labels;
    size_t n_labels;
    struct type_info *types; /* by name */
    uint32_t capacity;
    struct job *jobs;
    size_t n_jobs;
    bool cordoned, draining, leaving;
    int64_t last_heard_ms, attached_wall_ms;
    int64_t resync_at_ms; /* end its stream then, so that it sends again what is not on disk; 0: no */
    uint64_t seq_out, seq_in;
    struct fm_buf acks; /* encoded fields of a StepAckBatch */
};

/* A stream of which no Hello has come, or a host's. */
struct conn {
    UT_hash_handle hh;
    uint64_t id;
    char *peer;
    struct host *host; /* NULL before Hello */
    uint64_t seq_in;
    int64_t opened_ms;
};

/* A WatchJob call. */
struct watch {
    struct watch *prev, *next; /* of its job */
    UT_hash_handle hh;         /* by ticket */
    uint64_t ticket;
    struct job *job;
    uint32_t next_step;
    bool need_head, full, reading;
};

struct core {
    struct core_config cfg;
    struct core_io io;
    int64_t now_ms, wall_ms;
    struct fm_idgen ids;
    uint64_t next_tag;
    struct job *jobs;    /* by id */
    struct job *pending; /* wait for a host, oldest first */
    struct job *dirty;   /* have a unit to submit */
    struct job *idle;    /* kept to spare a read, oldest first */
    size_t idle_bytes;
    struct host *hosts;
    struct conn *conns;
    struct flow_def *defs;
    struct flow_name *names;
    struct type_info *types; /* all that any host ever said, by name */
    struct wait *waits;
    struct commit *commits;
    struct watch *watches;
    int64_t retry_at_ms; /* try again what failed; 0: nothing did */
    bool started, recovered, stopping, match_wanted;
    struct fm_id recover_after;
    size_t recover_loading;
    bool recover_listed;
    size_t active_bytes;
};

/* ---- core.c: requests, queries, units ---- */

void op_fail(struct core *c, struct op *op, struct fm_err *err);
void op_reply(struct core *c, struct op *op, const ProtobufCMessage *response);
void op_free(struct op *op);
/* Makes the op own its request, so that it can wait. */
void op_park(struct op *op);
/* Runs it from the beginning. */
void op_run(struct core *c, struct op *op);
#define OP_REQUEST(op, Type) ((const Type *)(const void *)(op)->request)

/* Submits a query; `done` gets the result. */
struct wait *core_read(struct core *c, struct store_query *q,
                       void (*done)(struct core *, struct wait *, struct store_done *), struct op *op);
/* The time of this input, for records. */
Google__Protobuf__Timestamp core_now(const struct core *c);
/* SHA-256. */
void core_digest(struct fm_bytes bytes, uint8_t ret[STORE_DIGEST_BYTES]);
/* SHA-256 of a request without regard to the order of its maps. */
void core_request_digest(const ProtobufCMessage *request, uint8_t ret[STORE_DIGEST_BYTES]);
/* Sorts the entries of all maps in the message by key. */
void canonical_sort(ProtobufCMessage *message);

/* The unit of the job that is being gathered. */
struct commit *job_unit(struct core *c, struct job *job);
struct effect *commit_effect(struct commit *m, enum effect_kind kind, struct fm_bytes bytes);
struct commit *commit_new(struct core *c, struct job *job);
void commit_submit(struct core *c, struct commit *m);
void commit_free(struct commit *m);
void core_retry_later(struct core *c);
void pbc_effect_reply(struct commit *m, uint64_t ticket, const ProtobufCMessage *response);

/* ---- core_jobs.c: the Jobs service ---- */

void jobs_request(struct core *c, struct op *op);
/* Takes the consequences of a job that left its host, or got work: PENDING, and a host if there is one. */
void job_requeue(struct core *c, struct job *job, const char *why);
/* The operator's pause takes effect. */
void job_hold(struct core *c, struct job *job);
/* A job without work left and without a host: paused or completed. */
void job_settle(struct core *c, struct job *job, enum job_event when_done);
/* The job was given to a host, in memory: the rest of the assignment. */
void job_assigned(struct core *c, struct job *job);
/* Writes a snapshot if one is due. */
void job_checkpoint(struct core *c, struct job *job);
/* GetJob, ListJobs, GetHistory (core_read.c). */
void read_request(struct core *c, struct op *op);
void job_reply_paused(struct core *c, struct job *job);

/* ---- core_check.c: all return 0 or -FM_INVALID_ARGUMENT ---- */

/* 1 to 128 of A-Z a-z 0-9 _ . - . */
int check_name(const char *field, const char *value, struct fm_err *err);
/* At most 1000; 0 becomes 100. */
int check_page(uint32_t page_size, uint32_t *ret, struct fm_err *err);
/* The encoded message (may be NULL) has at most 1 MiB. */
int check_size(const char *field, const void *message, struct fm_err *err);
int check_request_id(const char *id, struct fm_err *err);
/* Free text of at most 4 KiB. */
int check_text(const char *field, const char *value, struct fm_err *err);
int check_label(const char *field, const char *key, const char *value, struct fm_err *err);
int check_placement(const Fermata__V1__Placement *p, struct fm_err *err);

/* ---- core_load.c: jobs in and out of memory ---- */

/* The job if it is in memory and ready, else NULL: then the op is parked until it is, or failed when there is
 * none. */
struct job *job_for_op(struct core *c, struct op *op, const char *job_id);
/* Runs the parked requests of a job that is ready. */
void job_run_ops(struct core *c, struct job *job);
struct job *job_in_memory(struct core *c, const struct fm_id *id);
void job_start_loading(struct core *c, struct job *job);
/* The job may have become useless to keep: frees it, or puts it into the cache. Call at the end of whatever
 * touched it. */
void job_rest(struct core *c, struct job *job);
void job_count_bytes(struct core *c, struct job *job);
void job_remove(struct core *c, struct job *job);
/* A unit of the job failed: what is in memory is ahead of the disk. Drops it and reads again. */
void job_reload(struct core *c, struct job *job, struct fm_err *err);
void recovery_next(struct core *c);
void load_retry(struct core *c);

/* ---- core_flows.c ---- */

void flows_request(struct core *c, struct op *op);
struct flow_def *def_find(struct core *c, const uint8_t digest[STORE_DIGEST_BYTES]);
/* Takes a reference. */
struct flow_def *def_add(struct core *c, const Fermata__V1__Flow *flow, struct fm_bytes body,
                         const uint8_t digest[STORE_DIGEST_BYTES], bool on_disk);
void def_unref(struct core *c, struct flow_def *def);
/* The definition that a submit wants, validated, with a reference; NULL: the op is parked or failed.
 * *ret_name and *ret_version say what it is called. */
struct flow_def *flow_for_submit(struct core *c, struct op *op, const Fermata__V1__SubmitJobRequest *r,
                                 const char **ret_name, uint32_t *ret_version);
struct known_type;
/* For struct flow_types: arg is the core. */
bool flow_known_type(void *arg, const char *name, struct known_type *ret);
void flow_forget_name(struct core *c, const char *name);
void types_learn(struct core *c, const Fermata__V1__RoutineType *t);
void type_info_free_all(struct type_info **types);
struct type_info *type_info_add(struct type_info **types, const Fermata__V1__RoutineType *t);

/* ---- core_watch.c ---- */

void watch_request(struct core *c, struct op *op);
void watch_pump_job(struct core *c, struct job *job);
void watch_step(struct core *c, struct job *job, uint32_t number, struct fm_bytes step);
void watch_head(struct core *c, struct job *job);
void watch_free(struct core *c, struct watch *w);
void watch_fail_job(struct core *c, struct job *job, const struct fm_err *err);
/* The head on disk, with the number of steps on disk. */
void job_put_view(const struct job *job, struct fm_buf *out, uint32_t field);

/* ---- core_hosts.c: the Hosts service and the hosts' side of jobs; hosts.c: records and sessions ---- */

void hosts_request(struct core *c, struct op *op);
void host_send(struct core *c, struct host *h, uint32_t field, struct fm_bytes body);
void host_send_assign(struct core *c, struct job *job);
void host_send_inputs(struct core *c, struct job *job);
void host_send_interrupt(struct core *c, uint64_t conn, struct job *job, uint32_t epoch, int kind);
void host_queue_ack(struct host *h, const struct job *job, uint32_t epoch, uint32_t number, bool released);
void host_on_steps(struct core *c, struct host *h, const Fermata__V1__StepBatch *b);
void host_on_release(struct core *c, struct host *h, const Fermata__V1__Release *r);
void host_attach_job(struct host *h, struct job *job);
void host_detach_job(struct job *job);
struct host *host_find(struct core *c, const char *id);
struct host *host_add(struct core *c, const char *id);
void host_remove(struct core *c, struct host *h);
/* Gives all its jobs to others. */
void host_requeue_all(struct core *c, struct host *h, const char *why);
void host_flush(struct core *c, struct host *h);
struct host *host_by_conn(struct core *c, uint64_t conn);
void hosts_tick(struct core *c);
int64_t hosts_deadline(const struct core *c);

/* ---- sched.c ---- */

/* The best host for a job, or NULL; then `why` says in words why there is none. */
struct host *sched_pick(struct core *c, const struct job *job, struct fm_buf *why);
/* Chooses a host and assigns, or lets the job wait in line. */
void sched_place(struct core *c, struct job *job);
void sched_unqueue(struct core *c, struct job *job);
/* Gives waiting jobs to hosts that have room. */
void sched_match(struct core *c);

#endif
