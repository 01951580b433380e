/* What the files of the core share: the tables, and what waits for the store. Private to coordinator/core*.c,
 * hosts.c, sched.c. */
#ifndef FM_CORE_INT_H
#define FM_CORE_INT_H

#include "core.h"

#include <uthash.h>

#include "digest.h"
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
    size_t *meter;             /* where what it owns is counted, NULL: of the core's own */
    struct fm_bytes raw;       /* the caller's, or own once parked */
    bool request_checked;      /* the request id was looked up: it is new … */
    uint32_t request_revision; /* … as long as the job's record has this revision */
    struct fm_buf text;        /* what a handler keeps between two runs */
    char pause_id[64];
    uint64_t unit_tag;           /* of a PauseJob: the unit that brings its pause to the disk; 0: none yet */
    int64_t due_ms;              /* of a DrainHost that waits: until then */
    uint64_t awaited_seq;        /* of a SetBreakpoints that waits: the message to the host, */
    bool stored;                 /* … and whether they are on disk */
    struct fm_id child;          /* of an inner call: the child job it is about */
    struct child_ref *todo;      /* GetJob: jobs whose questions are still to be read */
    bool children_read;          /* … they are in `text` */
    struct fork *fork;           /* ForkJob: what was read so far */
    struct program_check *check; /* its jq programs and schemas: they were checked */
    struct flow_def *def;        /* of a submit: what was read; a reference is held while it runs again */
    uint32_t def_version;
};

/* A definition of a flow, shared by the jobs that use it. */
struct flow_def {
    UT_hash_handle hh;
    uint8_t digest[STORE_DIGEST_BYTES];
    struct fm_buf body;      /* encoded Flow */
    Fermata__V1__Flow *flow; /* decoded, once a submit has wanted it; NULL if it is large */
    char **types;            /* the routine types it needs, each once */
    size_t n_types;
    uint32_t parallelism;
    uint64_t deadline_ms;
    size_t refs;
    bool on_disk;
};

/* The newest version of a name, as far as known. */
struct flow_name {
    UT_hash_handle hh;
    char *name;
    uint32_t version; /* 0: deleted or never there */
    uint8_t digest[STORE_DIGEST_BYTES];
    uint64_t put_tag; /* unit that brings it, perhaps still on its way to the disk */
};

/* A query under way, and who waits for it. */
struct wait {
    UT_hash_handle hh;
    uint64_t tag;
    void (*done)(struct core *c, struct wait *w, struct store_done *d);
    struct op *op;
    struct fm_id job;
    bool has_job;
    uint64_t ticket;    /* of a watch */
    uint32_t from_step; /* first step wanted, of a history */
};

/* What is to be done when a unit is on disk, in order. */
enum effect_kind {
    EFFECT_REPLY,       /* to a client: bytes */
    EFFECT_INPUTS,      /* inputs up to number are on disk: deliver them */
    EFFECT_STEP,        /* step number is on disk: bytes for watches */
    EFFECT_ACK,         /* tell the host; released: the job has left it */
    EFFECT_ASSIGN,      /* send it to the host */
    EFFECT_INTERRUPT,   /* tell a host that lost the job: kind in number */
    EFFECT_PAUSED,      /* PauseJob calls get their answer */
    EFFECT_INTENT,      /* the intent to run a task is on disk: tell the host; bytes: the task's id */
    EFFECT_BREAKPOINTS, /* tell the host */
    EFFECT_FAMILY,      /* start or cancel children, tell the parent: children_look */
    EFFECT_FLOW,        /* a flow definition is on disk */
    EFFECT_MARK         /* what is remembered of a host is on disk; bytes: the host's id */
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
    size_t bytes, *meter;    /* of the unit, and where they are counted, once submitted */
    struct effect *effects;
    bool has_head; /* the head's encoding is in `head` */
    struct fm_buf head;
    int status;      /* in the head */
    int64_t wake_ms; /* the job's wake time in the head */
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

/* What of a host outlives its stay, and the coordinator: it is stored. */
struct host_mark {
    UT_hash_handle hh;
    char *id, *incarnation; /* "": it is not there */
    bool cordoned, draining;
    size_t n_units; /* with it, under way to the disk */
    bool unsaved;   /* one of them failed since it was last sent there */
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
    bool spoken; /* since the last heartbeats */
};

/* A call that the core makes of itself, so that jobs can act on each other; its ticket has INNER_TICKET set.
 */
struct inner {
    UT_hash_handle hh;
    uint64_t ticket;
    void (*done)(struct core *c, struct inner *call, const struct fm_err *err); /* err NULL: it is on disk */
    struct fm_id parent, child;
};
#define INNER_TICKET (1ull << 63)

struct core {
    struct core_config cfg;
    struct core_io io;
    int64_t now_ms, wall_ms;
    struct fm_idgen ids;
    uint64_t next_tag;
    struct fm_buf step_buf; /* the step in hand, encoded */
    struct job *jobs;       /* by id */
    size_t n_pending;
    struct job *pending; /* wait for a host, oldest first */
    struct job *dirty;   /* have a unit to submit */
    struct job *idle;    /* kept to spare a read, oldest first */
    size_t idle_bytes;
    struct host *hosts;
    struct conn *conns;
    struct host_loss *losses;
    struct host_mark *marks;
    bool marks_loaded;
    int64_t marks_sweep_ms; /* forget hosts that did not come back after a restart then; 0: no */
    struct flow_def *defs;
    struct flow_name *names;
    struct type_info *types; /* all that any host ever said, by name */
    struct wait *waits;
    struct commit *commits;
    struct watch *watches;
    struct inner *inner;
    struct sound *sound;       /* digests of jq programs and schemas */
    struct check_wait *checks; /* under way */
    int64_t
        wake_at_ms; /* wall time at which the store is asked which jobs are due; 0: nothing is known to be */
    bool due_reading;
    int64_t watch_beat_ms; /* the next heartbeats of watches */
    int64_t retry_at_ms;   /* try again what failed; 0: nothing did */
    bool started, recovered, stopping, match_wanted;
    struct fm_id recover_after;
    size_t recover_loading;
    bool recover_listed;
    size_t active_bytes;
    size_t waiting_bytes; /* of requests that wait and of units under way to the disk */
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
/* How many rows of a list are read at a time, usually. */
uint32_t core_page(const struct core *c, uint32_t usual);
/* The time of this input, for records. */
Google__Protobuf__Timestamp core_now(const struct core *c);

/* The unit of the job that is being gathered. */
struct commit *job_unit(struct core *c, struct job *job);
struct effect *commit_effect(struct commit *m, enum effect_kind kind, struct fm_bytes bytes);
struct commit *commit_new(struct core *c, struct job *job);
void commit_submit(struct core *c, struct commit *m);
void commit_free(struct commit *m);
void core_retry_later(struct core *c);
/* Answers a ticket, a client's or an inner one. */
void core_reply(struct core *c, uint64_t ticket, struct fm_bytes response);
void core_fail(struct core *c, uint64_t ticket, const struct fm_err *err);
/* Makes a request of its own; the request is copied. */
void core_call(struct core *c, int method, const ProtobufCMessage *request, const struct inner *call);
void pbc_effect_reply(struct commit *m, uint64_t ticket, const ProtobufCMessage *response);

/* ---- core_move.c: from one status to another ---- */

/* Takes the consequences of a job that left its host, or got work: PENDING, and a host if there is one. */
void job_requeue(struct core *c, struct job *job, const char *why);
/* The operator's pause takes effect. */
void job_hold(struct core *c, struct job *job);
/* The job was given to a host, in memory: the rest of the assignment. */
void job_assigned(struct core *c, struct job *job);
/* A job that has left its host, or never had one, gets the status that follows from what is left to do:
 * PENDING, PAUSED, SLEEPING or COMPLETED. */
enum park {
    PARK_BY_STATE, /* what can run runs */
    PARK_ASKED,    /* its last step asked a question and waits for the answer */
    PARK_ASLEEP    /* its host found nothing that is due */
};
void job_park(struct core *c, struct job *job, enum park how);
/* Ends the job. */
void job_end(struct core *c, struct job *job, enum job_event event);
void job_must_move(struct core *c, struct job *job, enum job_event event);
void job_leave_host(struct core *c, struct job *job);
/* Writes a snapshot if one is due. */
void job_checkpoint(struct core *c, struct job *job);
/* The PauseJob calls that wait are answered when the unit is on disk. */
void job_answer_paused(struct job *job, struct commit *m);
/* Answers those that have waited for this unit. */
void job_reply_paused(struct core *c, struct job *job, uint64_t tag);
/* A job that waits goes on if nothing holds it and something can run. */
void job_go_on(struct core *c, struct job *job);

/* ---- core_jobs.c: the Jobs service ---- */

void jobs_request(struct core *c, struct op *op);
/* Adds an input: to the job's list, to its unit. Returns its number. */
uint32_t job_add_input(struct core *c, struct job *job, Fermata__V1__Task *task);
void job_set_error(struct job *job, const char *code, const char *message, const char *routine,
                   const char *task_id);
void job_set_placement(struct job *job, const Fermata__V1__Placement *p);
/* Claims a request id with the response, in the unit; nothing for an empty id. */
void job_claim_request(struct job *job, struct op *op, const char *scope, const char *request_id,
                       const ProtobufCMessage *response, struct commit *m);
/* Whether the answer in the request fits the pause. */
int job_check_answer(const Fermata__V1__Pause *p, const Fermata__V1__ResumeJobRequest *r, struct fm_err *err);
/* The pause is closed, and what its kind asks for is done. */
void job_take_answer(struct core *c, struct job *job, const Fermata__V1__Pause *p,
                     const Fermata__V1__ResumeJobRequest *r);
/* The record of a new job. */
Fermata__V1__Job *job_new_head(struct core *c, const struct job *job, const Fermata__V1__SubmitJobRequest *r,
                               const char *flow_name, uint32_t version, struct flow_def *def);
/* An operator lets a FAILED job go on. */
void job_retry_failed(struct core *c, struct job *job);
/* Folds a step (whose `task` must be NULL) into the state and journals it, sealed with the task it had. As
 * job_state_apply. */
int job_apply_step(struct core *c, struct job *job, const Fermata__V1__Step *step,
                   struct task_item **ret_task, struct fm_err *err);
/* GetJob, ListJobs, GetHistory (core_read.c). */
void read_request(struct core *c, struct op *op);

/* ---- core_timers.c: what time does to jobs ---- */

/* A job that is on disk wakes at this wall time. */
void timers_note(struct core *c, int64_t wake_ms);
void timers_tick(struct core *c);
/* When timers_tick must be called, in monotonic milliseconds; -1: not needed. */
int64_t timers_deadline(const struct core *c);
/* The job's time may have come: its deadline, a question that expires, a task that is due, a child or a
 * parent to look after. Does what is due; harmless when nothing is. */
void job_on_time(struct core *c, struct job *job);
/* A later time than `t`; wall milliseconds of a time, 0 for none. */
int64_t time_to_ms(const Google__Protobuf__Timestamp *t);

/* ---- core_children.c: jobs that start jobs ---- */

/* Methods of inner calls, beside those of clients. */
enum { INNER_CHILD_STARTED = 1000, INNER_CHILD_ENDED, INNER_PARENT_TOLD };
void children_request(struct core *c, struct op *op);
/* The step's children become the job's. */
/* A job that an inner call submits knows its parent. */
void children_set_parent(struct core *c, struct job *job, const struct op *op);
void children_add(struct core *c, struct job *job, const Fermata__V1__Step *step,
                  const struct task_item *task);
int children_check(const Fermata__V1__Step *step, struct fm_err *err);
/* Starts children that are not started, cancels those of an ended job, tells the parent of an ended job. Call
 * only for what is on disk. */
void children_look(struct core *c, struct job *job);
/* True when the job has children to look after or a parent to tell. */
bool children_due(const struct job *job);
/* Collects the open questions of the children of a job for GetJob into op->text. Returns false while they are
 * being read: then the op runs again. */
bool children_questions(struct core *c, struct op *op, struct fm_bytes head);
/* A ResumeJob, ClaimPause or ReleasePause whose pause id begins with a child's id: the request is turned into
 * one to the child. Returns false when the op is parked or failed. */
bool children_forward(struct core *c, struct op *op);
void child_refs_free(struct child_ref *list);

/* ---- core_lost.c: tasks whose loss must not go unnoticed ---- */

void lost_on_intent(struct core *c, struct host *h, const Fermata__V1__Intent *m);
/* What the task has done is known now, or somebody has decided that it runs again. */
void lost_intent_done(struct job *job, const char *task_id);
/* The host says that the task that it announced has not begun. */
void lost_unstarted(struct job *job, const char *task_id);
/* The job leaves its host, or goes on after it has failed: of what was announced and has no step it is not
 * known what it has done. Asks, or has the tasks fail. */
void lost_tasks(struct core *c, struct job *job);
/* The job has ended for good. */
void lost_forget(struct job *job);
/* Checks the answer to a pause with reason OUTCOME_UNKNOWN. */
int lost_check_answer(const Google__Protobuf__Value *answer, struct fm_err *err);
void lost_answer(struct core *c, struct job *job, const Fermata__V1__Pause *p,
                 const Google__Protobuf__Value *answer, const char *by);

/* ---- core_breakpoints.c: SetBreakpoints ---- */

void breakpoints_set(struct core *c, struct op *op);
/* They are on disk, as the call with this ticket wants them: the host is told. */
void breakpoints_stored(struct core *c, struct job *job, uint64_t ticket);
/* The host has the job, on another stream than before. */
void breakpoints_resend(struct core *c, struct job *job);
/* The host has received the messages to it up to this one. */
void breakpoints_received(struct core *c, struct host *h, uint64_t ack);
/* The job leaves its host. */
void breakpoints_left(struct core *c, struct job *job);

/* ---- core_remedy.c: what operators do to a job, as steps of its journal ---- */

/* Whether the job's flow has the routine. */
bool job_has_routine(const struct job *job, const char *routine);

void remedy_request(struct core *c, struct op *op);
/* A task is consumed without running; its routine emits the event (if it is not empty). */
int remedy_skip(struct core *c, struct job *job, const char *task_id, const char *event,
                const Google__Protobuf__Struct *data, const char *by, const char *reason, struct fm_err *err);
/* Changes keys of the shared data (routine "") or of a routine's state. */
int remedy_patch(struct core *c, struct job *job, const Fermata__V1__PatchStateRequest *r,
                 struct fm_err *err);
/* A task gets its attempts anew. */
int remedy_retry(struct core *c, struct job *job, const char *task_id, const char *by, const char *reason,
                 struct fm_err *err);

/* ---- core_inbox.c, core_explain.c: open questions of all jobs, counts, usage; why a job is where it is ----
 */

void inbox_request(struct core *c, struct op *op);
void explain_job(struct core *c, struct op *op);
/* Whether somebody has claimed the pause, and the claim lasts. */
bool inbox_is_claimed(const struct core *c, const Fermata__V1__Pause *p);
/* Takes claims that are over out of a decoded head, for those who read it. Returns whether there was one. */
bool inbox_forget_expired(const struct core *c, Fermata__V1__Job *h);
/* Whether `by`, said in `field` of a request, may answer: nobody else has claimed the pause. */
int inbox_may_answer(const struct core *c, const Fermata__V1__Pause *p, const char *by, const char *field,
                     struct fm_err *err);
/* Counts what the step used in the ledger, in the job's unit. */
void usage_count(struct core *c, struct job *job, const Fermata__V1__Step *step);
/* True when this host cannot have the job now; `why` (may be NULL) gets the reason. */
bool sched_unfit(const struct host *h, const struct job *job, struct fm_buf *why);

/* ---- core_fork.c ---- */

void fork_request(struct core *c, struct op *op);
void fork_free(struct fork *f);

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
/* A new record of a job that is still to be loaded. */
struct job *job_add_loading(struct core *c, const struct fm_id *id);
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

/* ---- core_programs.c ---- */

/* Checks jq programs and schemas of an op; takes ownership of `k`. True: their faults were added to err, if
 * there are any. False: the op was parked and runs again when they have been checked, and err is empty. */
bool programs_checked(struct core *c, struct op *op, struct program_check *k, struct fm_err *err);
void programs_free(struct core *c);

/* ---- core_watch.c ---- */

void watch_request(struct core *c, struct op *op);
void watch_pump_job(struct core *c, struct job *job);
void watch_step(struct core *c, struct job *job, uint32_t number, struct fm_bytes step);
void watch_head(struct core *c, struct job *job);
/* What a task in hand shows goes to the watches that are up to date; it is kept nowhere. */
void watch_progress(struct core *c, const struct host *h, const Fermata__V1__Progress *m);
/* Heartbeats: when the next ones are due (-1: never), and sending those that are. */
int64_t watches_deadline(const struct core *c);
void watches_tick(struct core *c);
void watch_free(struct core *c, struct watch *w);
void watch_fail_job(struct core *c, struct job *job, const struct fm_err *err);
/* The head on disk, with the number of steps on disk. */
void job_put_view(const struct job *job, struct fm_buf *out, uint32_t field);
/* The steps that were read must begin with `from` and have no gap; and be there at all, if the job has
 * `last`. */
int read_check_steps(const struct store_done *d, uint32_t from, uint32_t last, struct fm_err *err);

/* ---- core_hosts.c: the Hosts service and the hosts' side of jobs; hosts.c: records and sessions ---- */

void hosts_request(struct core *c, struct op *op);
void host_send(struct core *c, struct host *h, uint32_t field, struct fm_bytes body);
void host_send_assign(struct core *c, struct job *job);
void host_send_inputs(struct core *c, struct job *job);
void host_send_intent_ack(struct core *c, struct job *job, uint32_t epoch, const char *task_id);
void host_send_breakpoints(struct core *c, struct job *job);
void host_send_interrupt(struct core *c, uint64_t conn, struct job *job, uint32_t epoch, int kind);
void host_queue_ack(struct host *h, const struct job *job, uint32_t epoch, uint32_t number, bool released);
void host_on_steps(struct core *c, struct host *h, const Fermata__V1__StepBatch *b);
void host_on_release(struct core *c, struct host *h, const Fermata__V1__Release *r);
void host_attach_job(struct host *h, struct job *job);
void host_detach_job(struct job *job);
/* A host as clients see it; free with fermata__v1__host__free_unpacked. */
Fermata__V1__Host *host_view(const struct core *c, const struct host *h);
struct host *host_find(struct core *c, const char *id);
struct host *host_add(struct core *c, const char *id);
void host_remove(struct core *c, struct host *h);
/* Gives all its jobs to others. */
void host_requeue_all(struct core *c, struct host *h, const char *why);
void host_flush(struct core *c, struct host *h);
struct host *host_by_conn(struct core *c, uint64_t conn);
/* What the host was to hear is lost, and perhaps true all the same: its stream ends in a moment, and with the
 * next one both sides say what they have. */
void host_resync(struct core *c, uint64_t conn);
/* Ends its stream, gives its jobs to others, forgets it. */
void host_lost(struct core *c, struct host *h, const char *why);
/* Since when it is silent: nothing came from it, or nothing arrives there. */
int64_t host_silent_since(const struct host *h);
void hosts_tick(struct core *c);
int64_t hosts_deadline(const struct core *c);

/* ---- core_life.c: which hosts live ---- */

void certify_death(struct core *c, struct op *op);
/* When its jobs go to others. */
/* Two heartbeats are missing, or its stream is gone. */
bool life_is_silent(const struct core *c, const struct host *h);
int64_t life_lease_end(const struct core *c, const struct host *h);
/* Ends the leases that are over. */
void life_tick(struct core *c);
/* Recovery is complete: hosts may come, and those that have jobs are awaited from now on. */
void life_recovered(struct core *c);
void life_free(struct core *c);

/* ---- core_admit.c: what is refused when the coordinator is full ---- */

/* Returns 0, or -FM_RESOURCE_EXHAUSTED with the time after which to try again. */
int admit_request(const struct core *c, const struct op *op, struct fm_err *err);
/* Whether the job can hold one more input with this message (may be NULL) in it, besides its state and the
 * inputs that wait. `field` is named if not. */
int admit_input(const struct core *c, const struct job *job, const char *field,
                const ProtobufCMessage *message, struct fm_err *err);
/* True when an assignment may go to the host now; else it goes when others have arrived. */
bool pace_assign(struct host *h, struct job *job);
/* An assignment was sent, as the host's last message so far. */
void pace_sent(struct host *h, size_t bytes);
/* The host has everything up to this message: sends what has waited. */
void pace_acked(struct core *c, struct host *h, uint64_t seq);
/* Nothing is under way any more. */
void pace_reset(struct host *h);
/* The job leaves its host. */
void pace_forget(struct host *h, struct job *job);

/* ---- core_drain.c: what is remembered of hosts; CordonHost, DrainHost ---- */

void drain_request(struct core *c, struct op *op);
/* Reads what is remembered; recovery goes on when it is there. */
void marks_load(struct core *c);
/* Gives a new record of a host what is remembered of it. */
void mark_apply(struct core *c, struct host *h);
/* The host has attached. */
void mark_attached(struct core *c, const struct host *h);
/* The host is gone: its jobs are elsewhere. Before host_remove. */
void mark_left(struct core *c, struct host *h);
/* A unit with what is remembered of the host has ended. */
void mark_stored(struct core *c, const char *id, bool ok);
/* Stores again what could not be stored. */
void marks_retry(struct core *c);
/* Forgets hosts that are not there and about which nothing is to be remembered. */
void marks_sweep(struct core *c);
void marks_free(struct core *c);
/* Answers DrainHost calls whose host is empty or whose time is over. */
void drain_look(struct core *c, struct host *h);
/* What is remembered of a host, or NULL. */
struct host_mark *mark_find(struct core *c, const char *id);
/* The mark as a host that is away; free with fermata__v1__host__free_unpacked. */
Fermata__V1__Host *mark_view(const struct host_mark *m);

/* ---- sched.c ---- */

/* The best host for a job, or NULL; then `why` says in words why there is none. */
struct host *sched_pick(struct core *c, const struct job *job, struct fm_buf *why);
/* Chooses a host and assigns, or lets the job wait in line. */
void sched_place(struct core *c, struct job *job);
void sched_unqueue(struct core *c, struct job *job);
/* Gives waiting jobs to hosts that have room. */
void sched_match(struct core *c);

#endif
