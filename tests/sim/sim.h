/* The simulated world, and what happens in it. All of it follows from one seed.
 *
 *   sim_run.c      a run: beginning, end, command line
 *   sim_events.c   time, chance, the queue of events, what each event does
 *   sim_coord.c    the coordinator's core: its outputs, start and crash
 *   sim_disk.c     its disk: how long commits and queries take, what fails
 *   sim_hosts.c    the hosts' engines: their outputs, start, crash, leaving; streams between them and the
 * core sim_flows.c    the flows and data of the jobs sim_clients.c  who submits, answers, decides, pauses,
 * sets breakpoints, drains, certifies sim_answers.c  what the client of a job makes of what it sees of it
 *   sim_replies.c  what they make of the replies
 *   sim_inbox.c    who lists the open questions of all jobs
 *   sim_oracle.c   what must be true, during a run and after it
 *   sim_journal.c  what must be true of the entries of journals
 *   sim_records.c  what must be true of what is stored
 *   sim_said.c     what must be true of what the coordinator says to hosts
 *   sim_copies.c   what the hosts have of the jobs, compared with the journal
 *   sim_faults.c   what goes wrong
 *   sim_types.c    the routine types
 *   sim_store.c    the durable records; sim_query.c: what is asked of them */
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
#define MAX_JOBS 8  /* with forks */
#define MAX_FORKS 3 /* of one job */
#define MAX_INPUTS 4
#define MAX_ACTS 64 /* that are remembered of a job */
#define LEASE_MS 2000
#define HEARTBEAT_MS 300
#define WALL_MS 1700000000000
#define FAULTS_MS 12000 /* then they stop */
#define LIMIT_MS 200000 /* by then everything has ended, or it is stuck */
#define NO_JOB SIZE_MAX

enum kind {
    EV_COMMIT,
    EV_QUERY,
    EV_STORE_DONE,
    EV_TO_CORE,
    EV_TO_HOST,
    EV_CORE_SEES_CLOSE,
    EV_HOST_SEES_CLOSE,
    EV_CONNECT,
    EV_TIMER,
    EV_VERDICT, /* of conditions of breakpoints */
    EV_CLIENT,
    EV_OPERATOR,
    EV_CERTIFY,
    EV_KILL,
    EV_FAULT,
    EV_START_CORE,
    EV_START_HOST,
    EV_STOP_HOST,
    EV_WATCH,
    EV_INBOX,
    EV_LOOK
};

struct event {
    struct event *prev, *next;
    int64_t at;
    uint64_t seq;
    enum kind kind;
    uint64_t gen, id; /* of whom it is; whose: stale ones are dropped */
    size_t host;
    struct fm_buf bytes;
    struct store_query query;
    struct fm_arena query_texts; /* of the query */
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
    int64_t heard_at;    /* when the core last got a message on it */
    int64_t welcomed_at; /* when it said Welcome; 0: not yet */
};

/* A task whose handler is at work. */
struct in_hand {
    bool used;
    uint32_t epoch;
    char job[27], task_id[64], routine[32];
};
#define MAX_IN_HAND 64

struct sim_host {
    struct engine *engine; /* NULL: it is down */
    uint64_t gen;
    char id[32], incarnation[27];
    struct conn *conn;
    bool drain_acked, drain_empty; /* DrainHost was acknowledged; … when nothing was left there */
    bool may_be_drained;           /* it was asked for, and nobody has surely taken it back */
    bool leaves;                   /* it has drained itself, and ends in a moment */
    struct in_hand in_hand[MAX_IN_HAND];
    char crashed[27]; /* the incarnation that one of its tasks has ended, with this at work */
    struct in_hand crashed_with[MAX_IN_HAND];
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
    OP_CERTIFY,
    OP_BREAKPOINTS,
    OP_CONTINUE,
    OP_INBOX
};

struct op {
    UT_hash_handle hh;
    uint64_t ticket;
    enum op_kind kind;
    int64_t at;       /* when it was sent */
    size_t job, item; /* item: an input, a host, a number */
    char text[64];    /* a pause, a request id, an incarnation, a routine */
};

struct sim_input {
    char token[80], request[64];
    bool sent, acked, refused;
};

/* What its flow is like. */
struct sim_plan {
    bool parallel, kids;
    uint32_t kills;        /* a task of it ends its hosts until it fails, after so many; 0: none does */
    bool budget;           /* it may use only so much before a person lets it go on */
    uint32_t answer_ms;    /* its question closes by itself then; 0: never */
    bool silent;           /* nobody answers it before */
    int on_lost, on_error; /* of routine "e": LostPolicy, ErrorPolicy */
    bool attempt_timeout;
    uint64_t deadline_ms;
};

struct sim_job {
    char id[32], token[64];
    struct sim_plan plan;
    bool submitted, cancel_acked, cancel_sent, final, is_fork, fork_open;
    size_t n_forks;
    int64_t let_go_at; /* when somebody last let it go on */
    bool answer_acked; /* that of its question */
    int status;
    struct sim_input inputs[MAX_INPUTS];
    size_t n_inputs;
    bool op_open, got_final, got_history;
    uint32_t steps, forked_at, revision;
    uint32_t patch_sent, patch_acked;
    bool grace_sent;           /* a pause may abort its steps */
    uint32_t generation_acked; /* it has started over so often, for sure */
    uint64_t logged;           /* entries that its log has had */
    struct sim_act {
        int kind; /* EntryKind */
        char what[64];
    } acts[MAX_ACTS]; /* acknowledged */
    size_t n_acts;
    size_t breaks_sent;  /* how often its breakpoints were set */
    char break_at[16];   /* routine whose tasks are held for sure; "": of none */
    char break_sent[16]; /* routine of which that was wanted last */
    uint32_t calls;      /* of models, when it had ended */
};

/* How many hosts a task has ended. */
struct kills {
    UT_hash_handle hh;
    char key[96]; /* job/task */
    uint32_t n, n_healed;
};

/* How often a handler began that must not be repeated unnoticed, and how often a person let it. */
struct starts {
    UT_hash_handle hh;
    char key[96]; /* job/task, or job/pause of a decision that was counted */
    size_t started, granted;
};

struct world {
    int64_t clock_set_ms; /* the coordinator's machine has a clock that is wrong by this */
    uint64_t seed;
    struct fm_rng rng;
    int64_t now;
    uint64_t seq, next_conn, next_ticket;
    struct event *events;
    struct sim_store *store;
    struct store_unit *pending; /* submitted, not committed */
    bool commit_set;
    int64_t slow_until, full_until; /* so long its disk takes its time, has no room */
    int64_t told_at;                /* when the last end of a commit is told */
    struct core *core;              /* NULL while it is down */
    uint64_t core_gen;
    bool core_ready;
    int64_t ready_at; /* since then */
    struct conn *conns;
    struct registry *registry;
    struct sim_host hosts[MAX_HOSTS];
    size_t n_hosts;
    struct sim_job jobs[MAX_JOBS];
    size_t n_jobs;
    struct op *ops;
    struct starts *starts;
    struct kills *kills;
    struct inbox *inbox;
    uint64_t watch_ticket; /* 0: none */
    uint32_t watch_last, watch_entry;
    uint64_t fault_kinds;
    int64_t healed_at;
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

#endif
