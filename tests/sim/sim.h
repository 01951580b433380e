/* clang-format off */
/* The simulated world, and what the files of the simulation share. All that happens follows from one seed.
 *
 *   sim_run.c      a run: beginning, end, command line
 *   sim_events.c   time, chance, the queue of events, what each event does
 *   sim_coord.c    the coordinator's core: its outputs, start and crash, its store
 *   sim_hosts.c    the hosts' engines: their outputs, start, crash, leaving; streams between them and the core
 *   sim_flows.c    the flows and data of the jobs
 *   sim_clients.c  who submits, answers, decides, pauses, drains, certifies
 *   sim_replies.c  what they make of the replies
 *   sim_oracle.c   what must be true, during a run and after it
 *   sim_copies.c   what the hosts have of the jobs, compared with the journal
 *   sim_faults.c   what goes wrong
 *   sim_types.c    the routine types
 *   sim_store.c    the durable records */
/* clang-format on */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "core.h"
#include "engine.h"
#include "fermata/v1/flows.pb-c.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fermata/v1/jobs.pb-c.h"
#include "id.h"
#include "sim_store.h"

#define MAX_HOSTS 4
#define MAX_JOBS 8 /* with forks */
#define MAX_INPUTS 4
#define LEASE_MS 2000
#define HEARTBEAT_MS 300
#define WALL_MS 1700000000000
#define FAULTS_MS 12000 /* then they stop */
#define LIMIT_MS 200000 /* by then everything has ended, or it is stuck */
#define NO_JOB SIZE_MAX

enum kind {
    EV_COMMIT,
    EV_STORE_DONE,
    EV_TO_CORE,
    EV_TO_HOST,
    EV_CORE_SEES_CLOSE,
    EV_HOST_SEES_CLOSE,
    EV_CONNECT,
    EV_TIMER,
    EV_CLIENT,
    EV_OPERATOR,
    EV_CERTIFY,
    EV_FAULT,
    EV_START_CORE,
    EV_START_HOST,
    EV_STOP_HOST,
    EV_WATCH
};

struct event {
    struct event *prev, *next;
    int64_t at;
    uint64_t seq;
    enum kind kind;
    uint64_t gen, id; /* of whom it is; whose: stale ones are dropped */
    size_t host;
    struct fm_buf bytes;
    struct store_done *done;
    char text[32];
};

/* A stream; either side may believe it open for longer than the other. */
struct conn {
    UT_hash_handle hh;
    uint64_t id;
    size_t host;
    bool core_open, host_open;
    int64_t to_core_at, to_host_at, blocked_until;
    int64_t heard_at; /* when the core last got a message on it */
};

struct sim_host {
    struct engine *engine; /* NULL: it is down */
    uint64_t gen;
    char id[32], incarnation[27];
    struct conn *conn;
    bool drain_acked, drain_empty; /* DrainHost was acknowledged; … when nothing was left there */
    bool may_be_drained;           /* it was asked for, and nobody has surely taken it back */
    bool leaves;                   /* it has drained itself, and ends in a moment */
};

enum op_kind {
    OP_SUBMIT,
    OP_GET,
    OP_RESUME,
    OP_DECIDE, /* what has a task done? */
    OP_GO_ON,
    OP_INPUT,
    OP_CANCEL,
    OP_PAUSE,
    OP_FORK,
    OP_PATCH,
    OP_RETRY,
    OP_SKIP,
    OP_FINAL_GET,
    OP_HISTORY,
    OP_PUT_FLOW,
    OP_DRAIN,
    OP_UNCORDON,
    OP_CERTIFY
};

struct op {
    UT_hash_handle hh;
    uint64_t ticket;
    enum op_kind kind;
    size_t job, item; /* item: an input, a host, a number */
    char text[64];    /* a pause, a request id, an incarnation */
};

struct sim_input {
    char token[80], request[64];
    bool sent, acked, refused;
};

/* What its flow is like. */
struct sim_plan {
    bool parallel, kids;
    int on_lost, on_error; /* of routine "e": LostPolicy, ErrorPolicy */
    bool attempt_timeout;
    uint64_t deadline_ms;
};

struct sim_job {
    char id[32], token[64];
    struct sim_plan plan;
    bool submitted, cancel_acked, cancel_sent, final, is_fork, fork_sent, is_retried;
    int status;
    struct sim_input inputs[MAX_INPUTS];
    size_t n_inputs;
    bool op_open, got_final, got_history;
    uint32_t steps, forked_at;
    uint32_t patch_sent, patch_acked;
};

/* How often a handler began that must not be repeated unnoticed, and how often a person let it. */
struct starts {
    UT_hash_handle hh;
    char key[96]; /* job/task, or job/pause of a decision that was counted */
    size_t started, granted;
};

struct world {
    uint64_t seed;
    struct fm_rng rng;
    int64_t now;
    uint64_t seq, next_conn, next_ticket;
    struct event *events;
    struct sim_store *store;
    struct store_unit *pending; /* submitted, not committed */
    bool commit_set;
    struct core *core; /* NULL while it is down */
    uint64_t core_gen;
    bool core_ready;
    struct conn *conns;
    struct registry *registry;
    struct sim_host hosts[MAX_HOSTS];
    size_t n_hosts;
    struct sim_job jobs[MAX_JOBS];
    size_t n_jobs;
    struct op *ops;
    struct starts *starts;
    uint64_t watch_ticket; /* 0: none */
    uint32_t watch_last;
    uint64_t fault_kinds;
    bool calm;      /* nothing goes wrong: no handler is ever aborted */
    bool operators; /* they pause and patch jobs, drain hosts, which also wakes jobs that sleep */
    bool flow_stored, flow_sent;
    bool watch_ended, healing, faulty_store;
    bool certified;      /* a certificate of death was accepted */
    bool resting;        /* all has ended: no new jobs */
    const char *verdict; /* NULL: fine */
    char text[512];
    bool trace;
};

extern struct world w;

/* ---- sim_events.c ---- */

void trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A fault was found; the first one counts. */
void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint64_t rnd(uint64_t n);
bool chance(unsigned percent);
struct event *after(int64_t ms, enum kind kind);
void event_free(struct event *e);
/* Lets time pass to whatever comes next, and lets that happen. */
void turn(void);

/* ---- sim_coord.c ---- */

void set_time(void);
void start_core(void);
void crash_core(void);
/* Commits what was submitted, or fails. */
void commit(void);
/* A message of a host arrives. */
void to_core(struct event *e);
/* The core notices the end of a stream. */
void core_sees_close(struct event *e);

/* ---- sim_hosts.c ---- */

struct conn *conn_find(uint64_t id);
/* How long the next message on the stream travels; `last` is when the one before it arrives. */
int64_t travel(int64_t *last, const struct conn *k);
void close_host_side(struct conn *k, int64_t ms);
void close_core_side(struct conn *k, int64_t ms);
/* Forgets a stream that both sides have ended. */
void conn_drop(struct conn *k);
void start_host(size_t i);
void crash_host(size_t i);
/* The end of a host that has drained itself. */
void stop_host(size_t i);
void connect_host(size_t i);
void host_sees_close(struct event *e);

/* ---- sim_flows.c ---- */

/* Struct {"t": token, "ask": ask}. */
struct data {
    Google__Protobuf__Struct s;
    Google__Protobuf__Struct__FieldsEntry entries[2], *pointers[2];
    Google__Protobuf__Value values[2];
};
Google__Protobuf__Struct *make_data(struct data *d, char *token, bool ask);
/* For free_unpacked. */
Fermata__V1__Flow *make_flow(const struct sim_plan *plan);
/* The stored flow of child jobs. */
Fermata__V1__Flow *make_kid_flow(void);

/* ---- sim_clients.c ---- */

/* What the client of a job does next. */
void client_acts(size_t j);
/* What those who look after hosts do next. */
void operator_acts(void);
/* A supervisor says that this incarnation of host i is dead. */
void certify(size_t i, const char *incarnation);
void get_job(size_t j, enum op_kind kind);
void get_history(size_t j);
/* The first job is watched. */
void watch(void);
/* The client has seen the job: answers its questions, lets it go on, changes it. */
void client_sees(size_t j, const Fermata__V1__Job *h);

/* ---- sim_replies.c ---- */

/* The answer to a request; err NULL: it was done. */
void take_reply(uint64_t ticket, struct fm_bytes r, const struct fm_err *err);

/* ---- sim_copies.c ---- */

/* A host has taken this message of the core: if it acknowledges steps, the host's data are compared with the
 * journal. */
void check_copies(size_t host, struct fm_bytes message);

/* ---- sim_oracle.c ---- */

/* A handler with effects begins. */
void check_effect(const char *job_id, const char *task_id);
/* A handler begins that must not be repeated unnoticed. */
void check_once(const char *job_id, const char *task_id, uint32_t epoch);
/* A person lets a task run again by answering a question. */
void grant(const char *job_id, const char *pause_id, const char *task_id);
/* A unit is about to be applied. */
void check_unit(const struct store_unit *u);
/* The core says something to a host. */
void check_said(const struct conn *k, struct fm_bytes message);
/* Whether the coordinator has an open stream of the host, and has heard of it lately: then it is not dead. */
bool host_talks(size_t host);
/* Whether the job may be FAILED for a while: then its client lets it go on. */
bool plan_may_fail(const struct sim_plan *p);
void check_final(size_t j, const Fermata__V1__Job *h);
void check_history(size_t j, const Fermata__V1__GetHistoryResponse *r);
/* Child jobs, when their parents have ended. False: they have not ended yet. */
bool check_kids(void);

/* ---- sim_faults.c ---- */

void fault(void);
void heal(void);

#endif
