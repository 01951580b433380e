/* What hostd's own routine types may ask of a step beyond the routine API (fermata/routine.h). No
 * part of the ABI: plugins cannot see these functions. They are in engine/step. */
#ifndef FM_OWN_TYPES_H
#define FM_OWN_TYPES_H

#include <fermata/routine.h>

#include "arena.h"
#include "engine_io.h"
#include "json.h"

/* The arena of a step: what is made in it lives as long as the step. */
struct fm_arena *ctx_arena(struct fm_ctx *ctx);
/* Memory for one piece of many, such as an event of a stream; empty now, and whatever was in it is
 * gone. Freed with the step. */
struct fm_arena *ctx_scratch(struct fm_ctx *ctx);
/* As json_value_read, in the step's arena. */
static inline struct fm_value *ctx_json(struct fm_ctx *ctx, const char *text, size_t n, struct fm_err *err)
{
    return json_value_read(text, n, ctx_arena(ctx), err);
}

/* After fm_ctx_fail: the event "error" also says this reason, a constant, so that flows can tell it from
 * others with the same code. */
void ctx_fail_reason(struct fm_ctx *ctx, const char *reason);
/* What a question is for: an answer of a person, the result of a tool call, or what is said next in a
 * conversation. */
enum ask_for { ASK_QUESTION, ASK_TOOL, ASK_INPUT };
/* As fm_ctx_ask; the pause has the reason QUESTION, TOOL or INPUT. */
const char *ctx_ask(struct fm_ctx *ctx, const struct fm_question *q, enum ask_for what);
/* Whether a connection of the flow takes this event of the routine with these data. */
bool ctx_is_taken(struct fm_ctx *ctx, const char *event, const struct fm_value *data);

/* Reads the settings of a question (common/catalog/question.h) from a map into `q`; its other members stay.
 * False after fm_ctx_fail: one of them is at fault, or they contradict each other. */
bool ctx_read_question(struct fm_ctx *ctx, const struct fm_value *settings, struct fm_question *q);
/* A race that is decided. */
struct own_race {
    const char *winner;              /* the slot that has won */
    const struct fm_value *slots;    /* all of them */
    const struct fm_value *routines; /* the losers' routines; NULL: those that lead to their slots and not to
                                        the winner's */
    const char *key_path, *key; /* only questions with this key, and timers whose data have it there; NULL:
                                   all */
    const char *reason;
};
/* The questions and timers of the losers are taken back, and attempts of theirs that wait. */
void ctx_end_race(struct fm_ctx *ctx, const struct own_race *r);
/* The text by which a value is a key: text as it is, a number in digits; "" of others. */
const char *ctx_key_text(struct fm_ctx *ctx, const struct fm_value *v);
/* Whether the job may go on without the task that the handler has: when it fails for good (on_error
 * CONTINUE, SKIP or ROUTE), or when its outcome is lost and somebody decides so (on_lost). Then
 * nothing that the task has brought is seen again. */
bool ctx_may_be_dropped(const struct fm_ctx *ctx);
/* Sets a key of the routine's own state for good: it stays set when the step fails, and may be
 * called after fm_ctx_fail. For what has happened outside, such as tokens that were used. */
void ctx_keep_state(struct fm_ctx *ctx, const char *key, const struct fm_value *v);
/* As fm_ctx_http and fm_ctx_spawn, with what a plugin cannot say: the structs of the ABI do not grow. */
void ctx_http(struct fm_ctx *ctx, const struct http_request *request, fm_chunk_callback on_chunk,
              fm_http_callback done, void *arg);
void ctx_spawn(struct fm_ctx *ctx, const struct process_request *request, fm_line_callback on_line,
               fm_process_callback done, void *arg);
/* Gives a task to a program that stays for many of them (served_task). `on_line` returns 0 to go
 * on, 1 when the task is done (then `done` is called with exit code 0), -1 to end the process. When
 * the process ends with the task in its hand, `done` is told how. */
void ctx_serve(struct fm_ctx *ctx, const struct served_task *t, fm_line_callback on_line,
               fm_process_callback done, void *arg);
/* Runs jq programs on the task's data (the request's own data does not count) in worker processes; the
 * engine does not wait for them. The request is copied, the result is valid until `done` returns. */
void ctx_eval(struct fm_ctx *ctx, const struct eval_request *request,
              int (*done)(struct fm_ctx *ctx, void *arg, const struct eval_result *r), void *arg);
/* Goes on with this handler on a worker thread, as one of an FM_BLOCKING type: for what has turned out
 * to take long. The present one has done nothing yet, and returns what this returns. */
int ctx_on_worker(struct fm_ctx *ctx, fm_handler handler);

#endif
