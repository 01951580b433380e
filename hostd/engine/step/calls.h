/* Asynchronous calls: who waits for what. The world outside does the work (struct engine_io) and
 * says what came of it by the call's id. */
#ifndef FM_ENGINE_CALLS_H
#define FM_ENGINE_CALLS_H

#include <uthash.h>

#include "engine_io.h"

struct engine;
struct fm_ctx;
struct hjob;

struct call {
    UT_hash_handle hh;
    uint64_t id;
    enum engine_call_kind kind;
    struct fm_ctx *ctx;  /* NULL: a call of the job itself: an alarm, or conditions of breakpoints */
    struct hjob *job;    /* then */
    struct waits *waits; /* NULL: not a call of the handler, but of the job, or the timeout of the attempt */
    union {
        fm_callback timer;
        fm_http_callback http;
        fm_process_callback process;
        int (*eval)(struct fm_ctx *ctx, void *arg, const struct eval_result *r);
    } done;
    union {
        fm_chunk_callback chunk;
        fm_line_callback line;
    } data;
    void *arg;
    void (*cancel)(struct engine *e, const struct call *k); /* what ends it outside, before its time */
    struct engine_work *work;                               /* of a CALL_WORK */
    struct call *prev, *next;                               /* of the same handler */
};

/* What a handler waits for. */
struct waits {
    struct engine *engine;
    struct fm_ctx *ctx;
    struct call *calls;
    size_t n;
    uint64_t timeout; /* of the attempt; 0: none */
};

/* A new call of a handler, to be started outside by its id. `cancel` is done when nobody waits any
 * more. */
struct call *call_new(struct waits *w, enum engine_call_kind kind,
                      void (*cancel)(struct engine *e, const struct call *k), void *arg);
/* For `cancel`: of timers and of calls of the kinds that engine_io starts. */
void call_cancel_timer(struct engine *e, const struct call *k);
void call_cancel_outside(struct engine *e, const struct call *k);
/* The attempt times out after ms. */
void call_timeout(struct waits *w, uint64_t ms);
/* Ends all calls of a handler, its timeout too. */
void calls_cancel(struct waits *w);

/* A timer of a job (hjob_alarm) after ms; returns its id. */
uint64_t call_alarm(struct engine *e, struct hjob *job, uint64_t ms);
/* jq programs of a job (hold_verdict); returns the call's id. */
uint64_t call_eval(struct engine *e, struct hjob *job, const struct eval_request *request);
/* Ends one of these. */
void call_cancel(struct engine *e, uint64_t id);

/* A piece of what a call brings; returns as engine_call_data. */
int call_data(struct engine *e, uint64_t id, struct fm_bytes data);
/* The call is over: forgets it, and says what it was. False: it is gone already. */
bool call_take(struct engine *e, uint64_t id, struct call *ret_was);

#endif
