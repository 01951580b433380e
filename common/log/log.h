/* Logging: constant messages with typed keys, for people (text with relative time) or machines
 * (JSON lines).
 *
 *     FM_LOG(INFO, STATE, "job paused", FM_STR("job", id), FM_U64("epoch", epoch));
 *
 * The macro tests level and category before it evaluates anything. Lines are formatted by the
 * caller and written by a thread of their own from a bounded queue: a caller never waits for the
 * output; what does not fit is dropped and counted. Any thread may log. Data never go into the
 * message text. */
#ifndef FM_LOG_H
#define FM_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum fm_log_level { FM_LOG_TRACE, FM_LOG_DEBUG, FM_LOG_INFO, FM_LOG_WARN, FM_LOG_ERROR, FM_LOG_OFF };
enum fm_log_category {
    FM_LOG_FLOW,
    FM_LOG_ROUTINE,
    FM_LOG_STATE,
    FM_LOG_STORAGE,
    FM_LOG_LLM,
    FM_LOG_EVENT,
    FM_LOG_EXECUTION,
    FM_LOG_HOST,
    FM_LOG_RPC,
    FM_LOG_CATEGORIES
};

enum fm_log_kind { FM_KIND_STR, FM_KIND_U64, FM_KIND_I64, FM_KIND_DBL };

struct fm_log_kv {
    const char *key;
    enum fm_log_kind kind;
    union {
        const char *s;
        uint64_t u;
        int64_t i;
        double d;
    } v;
};

#define FM_STR(k, x) ((struct fm_log_kv){.key = (k), .kind = FM_KIND_STR, .v.s = (x)})
#define FM_U64(k, x) ((struct fm_log_kv){.key = (k), .kind = FM_KIND_U64, .v.u = (uint64_t)(x)})
#define FM_I64(k, x) ((struct fm_log_kv){.key = (k), .kind = FM_KIND_I64, .v.i = (int64_t)(x)})
#define FM_DBL(k, x) ((struct fm_log_kv){.key = (k), .kind = FM_KIND_DBL, .v.d = (double)(x)})
/* The message of a struct fm_err pointer. */
#define FM_ERR(e) FM_STR("error", (e)->msg)

/* FM_LOG(level, category, constant message, keys…): levels TRACE DEBUG INFO WARN ERROR,
 * categories FLOW ROUTINE STATE STORAGE LLM EVENT EXECUTION HOST RPC. */
#define FM_LOG(level, category, ...)                                                                         \
    do {                                                                                                     \
        if (fm_log_enabled(FM_LOG_##level, FM_LOG_##category))                                               \
            FM_LOG_CALL(FM_LOG_##level, FM_LOG_##category, __VA_ARGS__, FM_LOG_END);                         \
    } while (0)
#define FM_LOG_END ((struct fm_log_kv){.key = NULL})
#define FM_LOG_CALL(level, category, message, ...)                                                           \
    fm_log_write((level), (category), (message), (const struct fm_log_kv[]){__VA_ARGS__})

bool fm_log_enabled(enum fm_log_level level, enum fm_log_category category);
/* Behind the macro; keys end with FM_LOG_END. */
void fm_log_write(enum fm_log_level level, enum fm_log_category category, const char *message,
                  const struct fm_log_kv *keys);

struct fm_log_config {
    int fd; /* where to write, usually 2; not closed */
    bool json;
    bool absolute;      /* lines for people begin with the time of day, not with that since the start */
    const char *levels; /* "info", or "info,rpc=debug,storage=trace"; NULL: as they are (info) */
    size_t queue_bytes; /* 0: 1 MiB; the writer has as much again */
};

/* Starts the writer thread. Before it, and after fm_log_stop, lines go to stderr at once. Returns
 * -FM_INVALID_ARGUMENT for bad levels, -FM_FAILED_PRECONDITION when it is already running,
 * -FM_RESOURCE_EXHAUSTED when there can be no thread. */
int fm_log_start(const struct fm_log_config *cfg, struct fm_err *err) FM_MUST_CHECK;
/* How lines for people say the time. */
void fm_log_set_absolute(bool is_absolute);
/* Lines for machines, or for people: for a process that logs without the thread. */
void fm_log_set_json(bool json);
/* Writes what is queued, for at most about a second if the output is blocked, and ends the
 * thread. */
void fm_log_stop(void);
/* Sets levels from text as in fm_log_config; all of them or, on an error, none. NULL changes
 * nothing. Any thread. */
int fm_log_set_levels(const char *levels, struct fm_err *err) FM_MUST_CHECK;
/* Lines that the process lost: the queue was full or the output did not take them. */
uint64_t fm_log_dropped(void);

#endif
