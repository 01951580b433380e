/* A core on a bench: the test is its clock, its disk (tests/sim/sim_store.h), its clients and its hosts, so
 * that each guard can be met at the moment at which it counts. Messages are JSON with the names of the proto.
 *
 * What needs no time happens at once: units are stored and told, queries answered, until nothing is left to
 * do. With bench.holds units wait on their way to the disk until bench_store_one or bench_store_all. */
#ifndef CORE_BENCH_H
#define CORE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fermata/v1/jobs.pb-c.h"
#include "sim_store.h"

struct bench {
    struct core_config cfg; /* of the next bench_start */
    struct core *core;
    struct sim_store *store;
    int64_t now_ms;
    int64_t clock_set_ms; /* the system's clock was set by this */
    bool holds;           /* units wait */
    bool holds_queries;   /* queries do, too: bench_answer_all */
    int fails;            /* code with which units fail; FM_OK: they do not */
    bool lies;            /* they are stored all the same */
    int reads_fail;       /* code with which queries fail */
};
extern struct bench bench;

/* For cmocka. The store is empty, no core runs. */
int bench_setup(void **state);
int bench_teardown(void **state);
/* A coordinator starts, and recovers. */
void bench_start(void);
/* It is gone, with what is not on disk; streams with it. */
void bench_crash(void);
/* Time passes, and what is due then is done. */
void bench_wait(int64_t ms);
/* The oldest unit under way is stored (or fails) and told; all of them, and those that follow from them.
 * False: there is none. */
bool bench_store_one(void);
void bench_store_all(void);
/* Answers the oldest query that waits, or all; what they find is what is stored when they were asked. */
void bench_answer_one(void);
void bench_answer_all(void);

/* ---- clients ---- */

/* Asks; returns the ticket. `method` as in "Jobs/SubmitJob". */
uint64_t bench_ask(const char *method, const char *json);
/* As bench_ask, with a format. */
uint64_t bench_askf(const char *method, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* -1: no answer has come; FM_OK or the error's code. */
int bench_code(uint64_t ticket);
/* The error's field and message, as "field: message"; "" if there is none. */
const char *bench_error(uint64_t ticket);
/* The decoded response, valid until the end of the test. Fails the test when there is none. */
void *bench_reply(uint64_t ticket, const ProtobufCMessageDescriptor *d);
/* How many steps a watch was sent, and whether it was ended. */
size_t bench_watched(uint64_t ticket, bool *ret_ended);
/* Submits a job of a flow and returns its id. */
const char *bench_submit(const char *flow_json);
/* As it is on disk; NULL: it is not there. */
Fermata__V1__Job *bench_job(const char *job_id);
int bench_status(const char *job_id);

/* ---- hosts ---- */

/* A host opens stream `conn` and says Hello: its id, an incarnation, how many jobs it takes, the routine type
 * "t". `held` is JSON of its held_jobs, "" for none. */
void bench_attach(uint64_t conn, const char *host_id, const char *incarnation, unsigned capacity,
                  const char *held);
/* Says something; the number is added. */
void bench_say(uint64_t conn, const char *json);
void bench_sayf(uint64_t conn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As bench_say, but acknowledges only the first `ack` messages of the coordinator; bench_say acknowledges
 * all. */
void bench_say_ack(uint64_t conn, uint64_t ack, const char *json);
/* A message of the host is lost. */
void bench_skip_message(uint64_t conn);
void bench_close(uint64_t conn);
bool bench_is_open(uint64_t conn);
/* Says one step: of the job, under the epoch, of the task at routine "r", slot "in", which takes inputs up to
 * `inputs`. `more` is JSON of further fields, such as "'outcome': 'STEP_OUTCOME_CONTINUE'". */
struct bench_step {
    const char *job, *task;
    unsigned number, epoch, inputs;
    const char *more;
};
void bench_step(uint64_t conn, const struct bench_step *s);
/* How many messages with this body the host was sent on the stream; the last of them, NULL if none. */
size_t bench_count(uint64_t conn, int body_case);
const Fermata__V1__CoordinatorMessage *bench_last(uint64_t conn, int body_case);
/* The last step that was acknowledged to the stream for the job; 0: none. */
uint32_t bench_acked(uint64_t conn, const char *job_id);
/* Number of messages sent on it. */
uint64_t bench_sent(uint64_t conn);

#endif
