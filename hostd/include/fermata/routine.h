/* Fermata's routine API: how a routine type is written, built in or as a plugin. Stable C ABI,
 * version FM_ROUTINE_ABI.
 *
 * A routine type is a table: a name, a version, slots with handlers, names of events. A handler
 * gets a context and the data of one task. Whatever it does — emit, defer, pause, set state, log —
 * becomes visible outside only when its step is committed, whole or not at all. If it starts an
 * asynchronous call, the step stays open until the last callback has returned.
 *
 * Threads: handlers and callbacks run on hostd's loop thread, one at a time; they must not block.
 * Contexts and values are valid until the step is finished; never keep them longer. */
#ifndef FERMATA_ROUTINE_H
#define FERMATA_ROUTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fermata/value.h>

/* Version 2 added event_flags and config_schema to struct fm_routine_type; version 3 what struct
 * fm_question says of times and people. Plugins that were built for an earlier version can be
 * loaded. */
#define FM_ROUTINE_ABI 3

struct fm_ctx;

/* ---- values: read with the functions of fermata/value.h ---- */

/* Builders: values live as long as the step. Strings are copied. Never NULL: when memory is short
 * the step fails by itself. */
struct fm_value *fm_null(struct fm_ctx *ctx);
struct fm_value *fm_bool(struct fm_ctx *ctx, bool b);
/* Numbers must be finite: others become null. */
struct fm_value *fm_number(struct fm_ctx *ctx, double n);
/* Integers, exactly. */
struct fm_value *fm_int64(struct fm_ctx *ctx, int64_t n);
struct fm_value *fm_uint64(struct fm_ctx *ctx, uint64_t n);
/* Text must be valid UTF-8: bytes that are not become '?'. */
struct fm_value *fm_string(struct fm_ctx *ctx, const char *text);
struct fm_value *fm_list(struct fm_ctx *ctx);
struct fm_value *fm_map(struct fm_ctx *ctx);
/* Appends to a list. The value may be shared, but never contain itself. */
void fm_list_add(struct fm_ctx *ctx, struct fm_value *list, const struct fm_value *v);
/* Sets a key of a map; the key is copied. Looks through all keys: to pass a map on with changes,
 * copy it. */
void fm_map_set(struct fm_ctx *ctx, struct fm_value *map, const char *key, const struct fm_value *v);
/* A new map with the keys and values of `map`; an empty one when that is no map. */
struct fm_value *fm_map_copy(struct fm_ctx *ctx, const struct fm_value *map);

/* ---- what a handler knows ---- */

const char *fm_ctx_job_id(const struct fm_ctx *ctx);
const char *fm_ctx_routine_id(const struct fm_ctx *ctx);
const char *fm_ctx_task_id(const struct fm_ctx *ctx);
const char *fm_ctx_slot(const struct fm_ctx *ctx);
/* "<job id>/<task id>": the same for every attempt at this task, on every host. Pass it on to the
 * outside world. */
const char *fm_ctx_idempotency_key(struct fm_ctx *ctx);
/* The fencing token: grows each time the job is given to a host. */
uint32_t fm_ctx_epoch(const struct fm_ctx *ctx);
/* Which attempt at the task this is, from 1, on whatever host. */
uint32_t fm_ctx_attempt(const struct fm_ctx *ctx);
/* Number the step will have. */
uint32_t fm_ctx_step(const struct fm_ctx *ctx);
/* Milliseconds since 1970 by the coordinator's clock, as it went when the job was given to this
 * host plus what has passed since: the same on every host, whatever the clock of its machine says.
 * In a handler that blocks: as it was when the handler began. */
int64_t fm_ctx_now_ms(const struct fm_ctx *ctx);
/* Id of the pause that the task answers; "" when it is no answer. */
const char *fm_ctx_pause_id(const struct fm_ctx *ctx);
/* Id of the tool call that the task descends from: the "call_id" of the data that were emitted at
 * an event with FM_EVENT_CALL, such as an agent's "tool_call"; "" when it does not. */
const char *fm_ctx_call_id(struct fm_ctx *ctx);
/* The routine's configuration: a map. */
const struct fm_value *fm_ctx_config(struct fm_ctx *ctx);
/* The data of the task: what the handler got. For callbacks. */
const struct fm_value *fm_ctx_data(struct fm_ctx *ctx);

/* ---- state: keys of 1 to 256 bytes ---- */

/* The routine's own state, kept between its tasks, on every host. NULL when the key is not set. */
const struct fm_value *fm_ctx_state_get(struct fm_ctx *ctx, const char *key);
void fm_ctx_state_set(struct fm_ctx *ctx, const char *key, const struct fm_value *v);
/* Appends to the list under the key; a missing key is an empty list. Costs what is appended,
 * however long the list is. */
void fm_ctx_state_append(struct fm_ctx *ctx, const char *key, const struct fm_value *v);
void fm_ctx_state_remove(struct fm_ctx *ctx, const char *key);
/* All of it as a map, as it was when the step began. */
const struct fm_value *fm_ctx_state_all(struct fm_ctx *ctx);
const struct fm_value *fm_ctx_shared_all(struct fm_ctx *ctx);
/* The same for the shared data of the job. */
const struct fm_value *fm_ctx_shared_get(struct fm_ctx *ctx, const char *key);
void fm_ctx_shared_set(struct fm_ctx *ctx, const char *key, const struct fm_value *v);
void fm_ctx_shared_append(struct fm_ctx *ctx, const char *key, const struct fm_value *v);
void fm_ctx_shared_remove(struct fm_ctx *ctx, const char *key);
/* Appends to the shared log of the job. `data` is a map, or NULL. */
void fm_ctx_log(struct fm_ctx *ctx, const char *message, const struct fm_value *data);
/* Shows a text to those who watch the job (WatchJob), in the place of what was shown before of this
 * task. It is not stored, and it is left out when the last one was shown less than 250 ms ago or
 * too many handlers show something: for a model's text as it grows, not for results. Without effect
 * in a handler that blocks.
 */
void fm_ctx_progress(struct fm_ctx *ctx, const char *text);

/* ---- what a handler may do ---- */

/* Emits an event of the type: every connection of it makes a task; without a connection the data is
 * an output of the job. `data` is a map, or NULL for an empty one. An event that the type does not
 * have fails the step.
 */
void fm_ctx_emit(struct fm_ctx *ctx, const char *event, const struct fm_value *data);
/* Records an event that is emitted when the job is resumed. */
void fm_ctx_defer(struct fm_ctx *ctx, const char *event, const struct fm_value *data);
/* Makes a task for a slot of this very routine. */
void fm_ctx_enqueue(struct fm_ctx *ctx, const char *slot, const struct fm_value *data);
/* Asks a question: with this step the job pauses and leaves the host. The answer comes to `slot` as
 * {"answer": …}. `data` is a map or NULL, `choices` a list of strings or NULL. Returns the id of
 * the pause, which fm_ctx_pause_id gives back when the answer is there. */
const char *fm_ctx_pause(struct fm_ctx *ctx, const char *question, const char *slot,
                         const struct fm_value *data, const struct fm_value *choices);

/* What follows when nobody has answered a question in time. */
enum fm_on_timeout {
    FM_TIMEOUT_NONE = 0,    /* fm_ctx_timed_out: it is an answer, or none at all; in a question: as DEFAULT */
    FM_TIMEOUT_DEFAULT = 1, /* the slot gets {"answer": default_answer, "expired": true}, null without one */
    FM_TIMEOUT_EVENT = 2,   /* the event "timeout", which the type must have, is emitted with {"answer": null,
                               "expired": true, "question", "pause_id", "data", …} */
    FM_TIMEOUT_FAIL = 3     /* the step fails with DEADLINE_EXCEEDED, without the handler */
};

/* A question that is still open is given to somebody else. */
struct fm_escalation {
    uint64_t after_ms; /* after the question */
    const char *to;    /* 1 to 256 bytes */
};

/* A question with all that may belong to it; what is zero is left out. What contradicts itself fails the
 * step: two ends, an end that has passed, a default answer that is none of the choices or does not meet the
 * schema. */
struct fm_question {
    const char *question, *slot;
    const struct fm_value
        *data; /* a map; its "call_id" is the tool call that it is about, else the task's is */
    const struct fm_value *choices;       /* a list of strings: only these answers are accepted */
    const struct fm_value *answer_schema; /* JSON Schema, a map: only answers that meet it are accepted */
    uint64_t timeout_ms;                  /* then it closes by itself; see on_timeout */
    const struct fm_value *default_answer;
    bool budget; /* it is about the job's budget: the reason of the pause is BUDGET */

    /* Since version 3. */

    int64_t deadline_at_ms;               /* instead of timeout_ms: it closes at this time of fm_ctx_now_ms */
    uint32_t on_timeout;                  /* enum fm_on_timeout */
    const char *assignee;                 /* who is to answer; others may, too; up to 256 bytes */
    const struct fm_escalation *escalate; /* up to 16, each later than the one before */
    size_t n_escalate;
    const char *key;        /* its name in the flow; up to 256 bytes */
    bool choices_or_schema; /* an answer is one of the choices, or else no text, and meets the schema */
};
/* Asks a question, as fm_ctx_pause does. */
const char *fm_ctx_ask(struct fm_ctx *ctx, const struct fm_question *q);
/* What the question that the task answers asked for, if nobody has answered it in time:
 * FM_TIMEOUT_DEFAULT, or FM_TIMEOUT_EVENT in a type with FM_SEES_TIMEOUTS. */
enum fm_on_timeout fm_ctx_timed_out(const struct fm_ctx *ctx);

/* Withdraws the open questions of the job, whichever routine has asked them, that have this key, tool call
 * or pause id: they are closed with the step, and an answer that comes later is refused with the reason
 * (text for people, up to 1,000 bytes). What a routine keeps in its state under the id of such a pause is
 * removed with it. -1 after a fault: none is open by this name. */
int fm_ctx_withdraw(struct fm_ctx *ctx, const char *name, const char *reason);
/* Whether a question with this name is open, as far as the host knows. */
bool fm_ctx_is_open(const struct fm_ctx *ctx, const char *name);

/* A job that the step starts when it is committed. */
struct fm_child {
    const char *flow;                          /* name of a stored flow */
    uint32_t flow_version;                     /* 0: the newest */
    const char *routine, *slot;                /* where the data enters */
    const struct fm_value *data, *shared_data; /* maps, or NULL */
    const char *result_slot; /* of this very routine: gets {"status", "job_id", "outputs", "shared_data",
                                "error"} when the job has ended */
};
/* Starts another job and waits for its end: this job ends only after it, is cancelled with it, and
 * shows its open questions. */
void fm_ctx_start_job(struct fm_ctx *ctx, const struct fm_child *child);

/* A task for a slot of any routine of the flow. */
struct fm_new_task {
    const char *routine, *slot;
    const struct fm_value *data; /* a map, or NULL */
};

/* How a job starts its journal over; all zero: it keeps everything. */
struct fm_continue {
    const struct fm_new_task *tasks; /* that the new generation gets besides what waits; at most 1,000 */
    size_t n_tasks;
    bool trim_log, trim_outputs; /* keep only so many of the newest entries of the shared log, outputs */
    uint32_t log, outputs;
    bool no_shared_data, no_routine_states; /* forget these */
    bool trim_history;                      /* keep the history of only so many older generations */
    uint32_t keep_generations;
};
/* Lets the job start its journal over when the steps in hand have ended, so that neither limits nor bytes on
 * disk grow with its age: under the same id, with the next generation. Numbers go on; all that waits is
 * carried over: tasks, those of this step, too, timers, questions, children, deferred events. The last call
 * of a step counts. */
void fm_ctx_continue(struct fm_ctx *ctx, const struct fm_continue *how);

/* Codes of failures, with gRPC's numbers. */
enum fm_failure {
    FM_FAIL_CANCELLED = 1,
    FM_FAIL_UNKNOWN = 2,
    FM_FAIL_INVALID_ARGUMENT = 3,
    FM_FAIL_DEADLINE_EXCEEDED = 4,
    FM_FAIL_NOT_FOUND = 5,
    FM_FAIL_ALREADY_EXISTS = 6,
    FM_FAIL_PERMISSION_DENIED = 7,
    FM_FAIL_RESOURCE_EXHAUSTED = 8,
    FM_FAIL_FAILED_PRECONDITION = 9,
    FM_FAIL_ABORTED = 10,
    FM_FAIL_OUT_OF_RANGE = 11,
    FM_FAIL_UNIMPLEMENTED = 12,
    FM_FAIL_INTERNAL = 13,
    FM_FAIL_UNAVAILABLE = 14,
    FM_FAIL_DATA_LOSS = 15,
    FM_FAIL_UNAUTHENTICATED = 16
};
/* The step fails; what it has emitted, set and logged is dropped. What follows is the flow's error
 * policy for the routine: a retry (when the code is one of its retryable codes), then stop,
 * continue, skip or route. Returns -1, so that `return fm_ctx_fail(…)` reads well. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
int fm_ctx_fail(struct fm_ctx *ctx, enum fm_failure code, const char *fmt, ...);

/* After fm_ctx_fail: this failure is never retried, whatever its code. */
void fm_ctx_fail_permanent(struct fm_ctx *ctx);
/* After fm_ctx_fail: a retry is to come no sooner than in `ms` milliseconds (a server's
 * Retry-After). */
void fm_ctx_retry_after(struct fm_ctx *ctx, uint64_t ms);

/* Counts what a model call used; added up in the job's state. */
void fm_ctx_usage(struct fm_ctx *ctx, uint64_t input_tokens, uint64_t output_tokens, uint64_t cached_tokens,
                  double cost);

/* ---- time ---- */

/* Makes a task for a slot of this very routine that becomes due `ms` milliseconds after the step is
 * committed. It is durable: it survives the host and the coordinator, and a job that only waits for
 * such tasks leaves its host. `key` may be NULL; else a later task with the same key replaces an
 * earlier one of this routine that is not due yet (debouncing), and fm_ctx_unschedule drops it. */
void fm_ctx_schedule(struct fm_ctx *ctx, const char *slot, const struct fm_value *data, uint64_t ms,
                     const char *key);
/* Drops the task that was scheduled under this key and is not due yet. No such task is no fault. */
void fm_ctx_unschedule(struct fm_ctx *ctx, const char *key);

/* ---- asynchronous calls: the step stays open until the last callback has returned ----
 *
 * If the step is aborted before (cancel, pause, lost lease, timeout), the call is ended and its
 * callback is not called. All text and bytes of a request are copied; what a callback gets is valid
 * until it returns. */

/* A callback of an asynchronous call; returns as a handler does. */
typedef int (*fm_callback)(struct fm_ctx *ctx, void *arg);
/* Calls cb(ctx, arg) after ms milliseconds. Not durable: for waits within a step. */
void fm_ctx_call_after(struct fm_ctx *ctx, uint64_t ms, fm_callback cb, void *arg);

/* An HTTP request. Zero is the default of every field but url. TLS certificates are verified;
 * redirects are not followed; the usual proxy variables of the environment count. In headers,
 * "${secret:NAME}" stands for a secret of the host, which goes to its own origins only: the handler
 * never sees it, and it is blanked out in what comes back. */
struct fm_http_request {
    const char *method;         /* NULL: GET, with a body POST */
    const char *url;            /* http:// or https:// */
    const char *const *headers; /* "Name: value" */
    size_t n_headers;
    const void *body;
    size_t body_bytes;
    uint64_t connect_timeout_ms;    /* 0: 10 s */
    uint64_t first_byte_timeout_ms; /* until the response begins; 0: 60 s */
    uint64_t timeout_ms;            /* for all of it; 0: 600 s */
    size_t max_response_bytes;      /* 0: 8 MiB */
};

struct fm_http_response {
    int status;        /* 0: there was no (complete) response; `error` says why */
    const char *error; /* "" when there was one; never with a secret in it */
    bool timed_out, too_large;
    bool refused; /* it was never sent, for good: the request itself is at fault, a secret it names is not
                     there or not for the URL's origin, or the server's certificate is not to be trusted */
    const char *headers; /* of the response: lines "name: value\n", names in lower case; NUL-terminated */
    const char *body;    /* NUL-terminated */
    size_t body_bytes;
    uint64_t duration_ms;
    bool redacted; /* a secret of the request came back in the body, and was blanked out */
};

/* Value of a response's header, without regard to case: into `out`, cut to its size. Returns false
 * when there is none. */
bool fm_http_header(const struct fm_http_response *r, const char *name, char *out, size_t out_bytes);

/* A piece of the body as it comes, in addition to the whole in the end; -1 ends the call with an
 * error, 1 says that the body need not have this piece in the end. */
typedef int (*fm_chunk_callback)(struct fm_ctx *ctx, void *arg, const char *bytes, size_t n);
typedef int (*fm_http_callback)(struct fm_ctx *ctx, void *arg, const struct fm_http_response *r);
/* Sends a request. `on_chunk` may be NULL. */
void fm_ctx_http(struct fm_ctx *ctx, const struct fm_http_request *request, fm_chunk_callback on_chunk,
                 fm_http_callback done, void *arg);

/* A child process, in a process group of its own, which is killed with it. */
struct fm_process {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up on PATH */
    const char *const *env;  /* "NAME=value", NULL-terminated; NULL: none. Of hostd's own environment a child
                                has PATH, HOME, USER, LOGNAME, SHELL, LANG, LANGUAGE, LC_…, TZ, TERM, TMPDIR
                                and LD_LIBRARY_PATH only */
    const char *cwd;         /* NULL: hostd's */
    const void *input;       /* written to its stdin, which is then closed */
    size_t input_bytes;
    uint64_t timeout_ms;     /* 0: none */
    size_t max_output_bytes; /* of stdout; 0: 8 MiB */
    size_t max_memory_bytes; /* address space (RLIMIT_AS); 0: no limit */
};

struct fm_process_result {
    int exit_code; /* -1: did not exit by itself */
    int signal;    /* that ended it; 0: none */
    bool timed_out, too_much_output;
    const char *error; /* why it could not be run or was ended, in words; "" when it exited by itself */
    const char *said;  /* the last lines of its stderr, up to 200 bytes, known secrets blanked out; "" */
};

/* A line of its stdout without the newline (bytes after the last newline are a line, too); -1 ends
 * the process. Lines of stderr go to hostd's log. */
typedef int (*fm_line_callback)(struct fm_ctx *ctx, void *arg, const char *line, size_t n);
typedef int (*fm_process_callback)(struct fm_ctx *ctx, void *arg, const struct fm_process_result *r);
/* Runs a child process. `on_line` may be NULL. */
void fm_ctx_spawn(struct fm_ctx *ctx, const struct fm_process *p, fm_line_callback on_line,
                  fm_process_callback done, void *arg);

/* Memory that lives as long as the step; zeroed. */
void *fm_ctx_alloc(struct fm_ctx *ctx, size_t n);

/* ---- the table ---- */

/* Handles one task. Returns 0, or -1 after fm_ctx_fail. `data` is a map. */
typedef int (*fm_handler)(struct fm_ctx *ctx, const struct fm_value *data);

struct fm_slot {
    const char *name; /* "*" takes every slot that is not named */
    fm_handler handler;
};

/* Handlers have effects outside the job: each waits until all earlier steps of the job are on
 * disk. */
#define FM_EFFECTS 1u
/* Handlers block: they run on a pool of worker threads, one step of a job at a time. All fm_ctx
 * functions may be called there, but not those of asynchronous calls. */
#define FM_BLOCKING 2u
/* Handlers are also called, to tidy up, when the step has emitted "timeout" for a question of theirs
 * (fm_ctx_timed_out). Not together with FM_BLOCKING. */
#define FM_SEES_TIMEOUTS 4u
/* Handlers neither ask nor have effects: tasks run also while a question is open in a flow without
 * parallelism, so that a timer behind them begins. */
#define FM_BESIDE 8u

/* A notice beside a pause, which shows the same: where no connection takes it, it is no output of
 * the job. */
#define FM_EVENT_NOTICE 1u
/* A call of a tool: what descends from it carries the "call_id" of its data, a text
 * (fm_ctx_call_id). */
#define FM_EVENT_CALL 2u

struct fm_routine_type {
    uint32_t abi;     /* FM_ROUTINE_ABI */
    const char *name; /* 1 to 128 of A-Z a-z 0-9 _ . - */
    uint32_t version; /* of the implementation */
    uint32_t flags;   /* FM_EFFECTS */
    const struct fm_slot *slots;
    size_t n_slots;
    const char *const *events; /* "*" admits any */
    size_t n_events;
    uint32_t default_attempts; /* attempts at a task where the flow's retry policies say nothing; 0: one. When
                                * set, delays vary by a fifth where the policies give no jitter. */

    /* Since version 2. */

    const uint32_t *event_flags; /* FM_EVENT_…, one for each of `events`; NULL: none has any */
    /* The routine's configuration as a JSON Schema, in JSON of up to 64 KiB (1 MiB for all types of
     * a host); NULL: nothing is said of it. The coordinator checks flows with it when they are put
     * or submitted, so that a handler need not. It is an object of the part of JSON Schema that
     * docs/routine-types.md lists under validate, without patterns; "additionalProperties": false
     * finds misspelled keys. "format": "jq" says of a string that it is a jq program, "json-schema"
     * of an object that it is a JSON Schema: they are checked, too. A type with another schema has
     * another version: hosts that offer the same version with schemas that demand different things
     * are refused that type. */
    const char *config_schema;
};

/* ---- plugins ----
 *
 * A plugin is a shared object that defines
 *     const struct fm_plugin fermata_plugin = {.abi = FM_ROUTINE_ABI, .types = types, .n_types = 1};
 * and is named to hostd by --plugins. It needs no library but libc: the functions above are hostd's
 * own. */
struct fm_plugin {
    uint32_t abi;                               /* FM_ROUTINE_ABI */
    const struct fm_routine_type *const *types; /* live as long as the process */
    size_t n_types;
    /* Called once when the plugin has been loaded (and once more before, on trial, in a process of
     * its own), on the main thread; may be NULL. Not 0: hostd does not start, and says `why`. */
    int (*init)(char *why, size_t why_bytes);
};

#endif
