/* The coordinator's core alone, for tests: its clients, its hosts and its clock are the test, with a store
 * that does at once what it is asked, or what the test wants. Nothing runs by itself, so every order can be
 * had. Requests and messages are written as
 * JSON (json_text.h, from_json.h), with the names of the proto; replies and what hosts are sent are JSON, too
 * (to_json.h), valid until the end of the test. */
#ifndef FM_CORE_RIG_H
#define FM_CORE_RIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core.h"

/* The wall clock at the start of each test, and its monotonic clock. */
#define RIG_WALL_MS 1700000000000
#define RIG_MONO_MS 1000000
#define RIG_LEASE_MS 10000
#define RIG_HEARTBEAT_MS 1000

struct rig {
    struct core_config config; /* what the next core is made with */
    struct core *core;
    const struct caller *caller; /* who calls and attaches; NULL: somebody who may do all */
    int64_t passed_ms;           /* since the start of the test */
    bool hold;                   /* units stay where they are until rig_settle() with hold false */
    bool hold_reads;             /* the same of queries */
    int fail_units;              /* so many units fail from now on, without being applied, with this error */
    int fail_reads;
    enum fm_code fail_with; /* FM_UNAVAILABLE unless set */
    bool full;              /* queues of watches are full */
    bool with_checks;       /* the next core has programs checked: by rig_check */
    size_t commits, reads;  /* units and queries submitted so far */
    bool recovered;
    uint64_t on_hold; /* the stream of which no more is to be read, since the last change of that; 0: none */
};

extern struct rig rig;

/* setup and teardown of a test: a core with an empty store, recovered. */
int rig_setup(void **state);
int rig_teardown(void **state);
/* The daemon is killed, what is not on disk is lost, and another one starts on the same store with
 * rig.config; it has recovered unless something is held. Calls and streams are gone. */
void rig_restart(void);

/* Gives the core what the store has done, until nothing is left to do but what is held. */
void rig_settle(void);
/* Applies the first n units that are held, or queries, and tells the core. */
void rig_commit(size_t n);
void rig_answer_reads(size_t n);
size_t rig_held(void);
/* How many checks of jq programs and schemas wait; has the first n done: with this fault, NULL for none. */
size_t rig_checks(void);
void rig_check(size_t n, const char *field, const char *fault);
/* Has the first of them really checked. */
void rig_check_really(void);
/* Time passes, as in the daemon: the core's deadlines are kept. */
void rig_pass(int64_t ms);

/* ---- clients ---- */

/* A call that must succeed: "Jobs/SubmitJob" and its request. */
json_t *call(const char *method, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A call that must fail: returns "CODE field: text" ("CODE: text" without a field). */
const char *refusal(const char *method, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Asserts that it fails with a text that begins with `begins`. */
void refuses(const char *begins, const char *method, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Makes a call, settles nothing. Returns its ticket. */
uint64_t begin(const char *method, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What it was answered; NULL: nothing so far, or an error. */
json_t *answer_of(uint64_t ticket);
/* The error it ended with, as refusal(); NULL: none. "OK": a watch ended. */
const char *error_of(uint64_t ticket);
/* The next message of a watch; NULL: nothing more. */
json_t *seen_by(uint64_t ticket);

/* ---- hosts ---- */

/* A host opens a stream and says Hello: its id, and more fields of the Hello (",'capacity': 3", "" for none).
 * Without capacity it takes 10 jobs; it offers type "t" (slots in, more; events out, ask, error) and the
 * built-in "human". Returns the connection; Welcome has been taken. */
uint64_t host_joins(const char *id, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Opens a stream and says this. */
uint64_t host_opens(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The host says this, a body of HostMessage: "'heartbeat': {}". It is numbered, and acknowledges all it was
 * sent unless it says 'seq' or 'ack' itself. Settles. */
void host_says(uint64_t conn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same without settling. */
void host_mutters(uint64_t conn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The stream breaks. */
void host_breaks(uint64_t conn);
/* The next message to it that is not a heartbeat and has not been taken; NULL: none. */
json_t *told(uint64_t conn);
/* The next message of this kind ("assign"); those before it are dropped. It must be there. */
json_t *told_of(uint64_t conn, const char *body);
/* True when nothing but heartbeats is left to take. */
bool told_nothing(uint64_t conn);
/* How the coordinator ended the stream, as refusal(); NULL: it has not. */
const char *closed(uint64_t conn);

/* ---- what tests look at ---- */

/* "a.b[0].c" in it as text: numbers as written by %g, objects as JSON with sorted keys and single quotes; ""
 * when there is none. Valid until the end of the test. */
const char *at(json_t *j, const char *path);
long long number_at(json_t *j, const char *path);

/* Puts flow "f": one routine "r" of type "t", with these further members of the flow (",'parallelism': 2").
 */
void put_flow_f(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Submits a job of it, data {'n': 1}, with these further members of the request. Returns its id. */
const char *submit_f(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* GetJob. */
json_t *job_of(const char *id);
/* The job's status without its prefix: "RUNNING". */
const char *status_of(const char *id);
/* Members of a step that takes the job's first input. */
#define TAKES_I1 ", 'task_id': 'i1', 'routine': 'r', 'slot': 'in', 'inputs_through': 1, 'attempt': 1"
#define OUTCOME(what) ", 'outcome': 'STEP_OUTCOME_" #what "'"
/* The host makes step `number` of the job under this epoch: these further members of the Step. */
void host_steps(uint64_t conn, const char *job, unsigned epoch, unsigned number, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

#endif
