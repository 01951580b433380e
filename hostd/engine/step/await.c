/* What a handler may wait for: time, HTTP responses, child processes. Part of the routine API
 * (fermata/routine.h). The engine only keeps who waits (calls.h); the shell does the work. */
#include "agreed.h"
#include "blocking.h"
#include "ctx.h"
#include "engine_state.h"
#include "hflow.h"
#include "hjob.h"
#include "mem.h"
#include "own_types.h"

/* A handler on a worker thread cannot go on in callbacks: it may simply wait. */
static bool on_loop(struct fm_ctx *ctx)
{
    if (ctx->on_worker)
        (void)fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION,
                          "a blocking handler may not make asynchronous calls");
    return !ctx->on_worker;
}

static bool can_call(struct fm_ctx *ctx)
{
    if (!on_loop(ctx))
        return false;
    if (ctx->job->engine->io.start_call == NULL)
        (void)fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION, "this host does not make such calls");
    return !ctx->out.failed;
}

void fm_ctx_call_after(struct fm_ctx *ctx, uint64_t ms, fm_callback cb, void *arg)
{
    if (!on_loop(ctx))
        return;
    struct engine *e = ctx->job->engine;
    struct call *k = call_new(&ctx->waits, CALL_TIMER, call_cancel_timer, arg);
    k->done.timer = cb;
    e->io.start_timer(e->io.arg, k->id, ms < FM_MAX_AHEAD_MS ? ms : FM_MAX_AHEAD_MS);
}

void ctx_http(struct fm_ctx *ctx, const struct http_request *request, fm_chunk_callback on_chunk,
              fm_http_callback done, void *arg)
{
    if (!can_call(ctx))
        return;
    struct engine *e = ctx->job->engine;
    struct call *k = call_new(&ctx->waits, CALL_HTTP, call_cancel_outside, arg);
    k->done.http = done;
    k->data.chunk = on_chunk;
    e->io.start_call(e->io.arg, k->id, CALL_HTTP, request);
}

void fm_ctx_http(struct fm_ctx *ctx, const struct fm_http_request *request, fm_chunk_callback on_chunk,
                 fm_http_callback done, void *arg)
{
    const struct http_request whole = {.request = request};
    ctx_http(ctx, &whole, on_chunk, done, arg);
}

static void start_process(struct fm_ctx *ctx, enum engine_call_kind kind, const void *request,
                          fm_line_callback on_line, fm_process_callback done, void *arg)
{
    struct engine *e = ctx->job->engine;
    struct call *k = call_new(&ctx->waits, kind, call_cancel_outside, arg);
    k->done.process = done;
    k->data.line = on_line;
    e->io.start_call(e->io.arg, k->id, kind, request);
}

void ctx_spawn(struct fm_ctx *ctx, const struct process_request *request, fm_line_callback on_line,
               fm_process_callback done, void *arg)
{
    if (!can_call(ctx))
        return;
    struct process_request whole = *request;
    whole.job = ctx->job->id;
    start_process(ctx, CALL_PROCESS, &whole, on_line, done, arg);
}

void fm_ctx_spawn(struct fm_ctx *ctx, const struct fm_process *p, fm_line_callback on_line,
                  fm_process_callback done, void *arg)
{
    const struct process_request request = {.process = p, .kill_after_ms = PROCESS_KILL_AFTER_MS};
    ctx_spawn(ctx, &request, on_line, done, arg);
}

void ctx_eval(struct fm_ctx *ctx, const struct eval_request *request,
              int (*done)(struct fm_ctx *ctx, void *arg, const struct eval_result *r), void *arg)
{
    if (!can_call(ctx))
        return;
    struct engine *e = ctx->job->engine;
    struct call *k = call_new(&ctx->waits, CALL_EVAL, call_cancel_outside, arg);
    struct eval_request whole = *request;
    fm_auto(fm_buf) shared = {0}, state = {0};
    whole.data = ctx->task->data;
    hjob_put_context(ctx->job, ctx->task->routine, &whole, &shared, &state);
    k->done.eval = done;
    e->io.start_call(e->io.arg, k->id, CALL_EVAL, &whole);
}

int ctx_on_worker(struct fm_ctx *ctx, fm_handler handler)
{
    bool is_there = ctx->on_worker || ctx->job->engine->io.start_work == NULL;
    return is_there ? handler(ctx, ctx->data) : blocking_start(ctx, handler);
}

void ctx_serve(struct fm_ctx *ctx, const struct served_task *t, fm_line_callback on_line,
               fm_process_callback done, void *arg)
{
    if (can_call(ctx))
        start_process(ctx, CALL_SERVED, t, on_line, done, arg);
}
