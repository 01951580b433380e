/* A context for tests of routine types without an engine: state and shared data are maps, and what
 * a handler does is kept for the test to look at. The library stands in for engine/step: it has the
 * functions of the routine API (fermata/routine.h) and of own_types.h. */
#ifndef FM_FAKE_CTX_H
#define FM_FAKE_CTX_H

#include "arena.h"
#include "own_types.h"
#include "registry.h"

/* An event, a deferred event, a task at an own slot, or an entry of the log. */
struct fake_item {
    char name[128];
    const struct fm_value *data;
};

struct fake_list {
    struct fake_item items[16];
    size_t n;
};

struct fake_pause {
    char id[16], question[256], slot[64];
    const struct fm_value *data, *choices, *schema, *default_answer;
    uint64_t timeout_ms;
    int what;                 /* enum ask_for */
    struct fm_question asked; /* zero by fm_ctx_pause */
};

struct fake_timer {
    char slot[64], key[257];
    const struct fm_value *data;
    uint64_t ms;
};

struct fm_ctx {
    struct fm_arena arena, scratch;
    const struct fm_routine_type *type;
    struct fm_value *state, *shared;
    const struct fm_value *config, *data;
    char slot[64], pause_id[16];
    enum fm_on_timeout timed_out; /* of the next step */
    char race[400];               /* the last one that was ended: "WINNER|KEY|REASON" */
    char open[64];                /* name of the question that is open */
    uint32_t step;
    struct fake_list emitted, deferred, enqueued, logged, shown;
    struct fake_pause pauses[4];
    size_t n_pauses;
    struct fake_timer timers[8]; /* all that are scheduled and not due */
    size_t n_timers;
    struct fm_child child;  /* the last job started */
    struct fm_continue how; /* of the last fm_ctx_continue */
    size_t n_continues;
    size_t n_children;
    uint64_t input_tokens, output_tokens, cached_tokens, delay_ms;
    uint32_t calls;
    fm_callback later; /* the callback that waits, its argument */
    void *later_arg;
    struct fm_http_request request; /* the last one; texts but for the body are the handler's */
    uint64_t idle_timeout_ms;       /* of it */
    fm_chunk_callback on_chunk;
    fm_http_callback on_response; /* waits for fake_respond */
    void *on_response_arg;
    int fail_code;
    bool permanent, may_be_dropped;
    unsigned moved; /* handlers that went on on a worker thread */
    uint64_t retry_after_ms;
    char failure[256];
    const char *reason;  /* of the failure */
    const char *untaken; /* name of a call that no connection takes; NULL: all are taken */
    const char *call_id; /* of the task; NULL: none */
};

void fake_init(struct fm_ctx *ctx, const struct fm_routine_type *type);

void fake_done(struct fm_ctx *ctx);

/* A step: the handler of the slot and all its callbacks. What earlier steps emitted is forgotten,
 * their state is kept. */
int fake_step(struct fm_ctx *ctx, const char *slot, const char *pause_id, const struct fm_value *data);

/* A piece of the response's body. */
int fake_piece(struct fm_ctx *ctx, const char *text);

/* The response to the request that the step has sent; a status of 0 is none. */
int fake_respond(struct fm_ctx *ctx, const struct fm_http_response *r);

/* Takes the timer i out, whose time has come; returns its data. */
const struct fm_value *fake_due(struct fm_ctx *ctx, size_t i);

/* A map with one text. */
struct fm_value *fake_data(struct fm_ctx *ctx, const char *key, const char *text);

/* The text at a path; "(none)" when there is none. */
const char *fake_text(const struct fm_value *v, const char *path);

#endif
