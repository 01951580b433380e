/* Asynchronous calls of handlers: timers within a step, HTTP, child processes. The engine only keeps who
 * waits for what; the shell does the work. See engine_int.h. */
#include "engine_int.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "mem.h"
#include "serve.h"

static struct call *call_find(struct engine *e, uint64_t id)
{
    struct call *k;
    HASH_FIND(hh, e->calls, &id, sizeof(id), k);
    return k;
}

static struct call *call_add(struct engine *e, enum engine_call_kind kind)
{
    struct call *k = fm_xcalloc(1, sizeof(*k));
    k->id = ++e->next_call;
    k->kind = kind;
    HASH_ADD(hh, e->calls, id, sizeof(k->id), k);
    return k;
}

static struct call *call_new(struct fm_ctx *ctx, enum engine_call_kind kind, void *arg)
{
    struct call *k = call_add(ctx->job->engine, kind);
    k->ctx = ctx;
    k->arg = arg;
    DL_APPEND2(ctx->calls, k, run_prev, run_next);
    ctx->open_calls++;
    return k;
}

static void call_forget(struct engine *e, struct call *k)
{
    HASH_DEL(e->calls, k);
    if (k->ctx != NULL && !k->is_timeout) {
        DL_DELETE2(k->ctx->calls, k, run_prev, run_next);
        k->ctx->open_calls--;
    }
    free(k);
}

/* ---- timers of the engine itself ---- */

uint64_t call_alarm(struct hjob *job, uint64_t ms)
{
    struct engine *e = job->engine;
    struct call *k = call_add(e, CALL_TIMER);
    k->job = job;
    e->io.start_timer(e->io.arg, k->id, ms);
    return k->id;
}

void call_timeout(struct fm_ctx *ctx, uint64_t ms)
{
    struct engine *e = ctx->job->engine;
    struct call *k = call_add(e, CALL_TIMER);
    k->ctx = ctx;
    k->is_timeout = true;
    ctx->timeout_call = k->id;
    e->io.start_timer(e->io.arg, k->id, ms);
}

void call_cancel(struct engine *e, uint64_t id)
{
    struct call *k = call_find(e, id);
    if (k == NULL)
        return;
    e->io.cancel_timer(e->io.arg, id);
    call_forget(e, k);
}

void calls_cancel(struct fm_ctx *ctx)
{
    struct engine *e = ctx->job->engine;
    while (ctx->calls != NULL) {
        struct call *k = ctx->calls;
        if (k->kind == CALL_WORK)
            blocking_cancel(k->work);
        else if (k->kind == CALL_TIMER)
            e->io.cancel_timer(e->io.arg, k->id);
        else
            e->io.cancel_call(e->io.arg, k->id, k->kind);
        call_forget(e, k);
    }
    if (ctx->timeout_call != 0)
        call_cancel(e, ctx->timeout_call);
    ctx->timeout_call = 0;
}

/* ---- what the shell tells ---- */

/* A callback has returned: its step may be complete, and others may run now. */
static void returned(struct engine *e, struct fm_ctx *ctx, int rc)
{
    step_returned(ctx, rc);
    engine_run(e);
}

void engine_timer(struct engine *e, uint64_t id, int64_t now_ms)
{
    e->now_ms = now_ms;
    session_check_lease(e);
    struct call *k = call_find(e, id);
    if (k == NULL)
        return;
    struct call was = *k;
    call_forget(e, k);
    if (was.ctx == NULL) {
        hjob_alarm(was.job);
        engine_run(e);
    } else if (was.is_timeout) {
        was.ctx->timeout_call = 0;
        step_timed_out(was.ctx);
        engine_run(e);
    } else {
        returned(e, was.ctx, was.done.timer(was.ctx, was.arg));
    }
}

int engine_call_data(struct engine *e, uint64_t id, struct fm_bytes data, int64_t now_ms)
{
    e->now_ms = now_ms;
    session_check_lease(e);
    struct call *k = call_find(e, id);
    if (k == NULL)
        return 0;
    const char *bytes = (const char *)data.p;
    int rc = 0;
    if (k->kind == CALL_HTTP && k->data.chunk != NULL)
        rc = k->data.chunk(k->ctx, k->arg, bytes, data.n);
    else if (k->kind != CALL_HTTP && k->data.line != NULL)
        rc = k->data.line(k->ctx, k->arg, bytes, data.n);
    return rc;
}

void engine_call_done(struct engine *e, uint64_t id, const void *result, int64_t now_ms)
{
    e->now_ms = now_ms;
    session_check_lease(e);
    struct call *k = call_find(e, id);
    if (k == NULL)
        return;
    struct call was = *k;
    call_forget(e, k);
    int rc = was.kind == CALL_HTTP ? was.done.http(was.ctx, was.arg, result)
                                   : was.done.process(was.ctx, was.arg, result);
    returned(e, was.ctx, rc);
}

uint64_t call_work(struct fm_ctx *ctx, struct engine_work *w)
{
    struct call *k = call_new(ctx, CALL_WORK, NULL);
    k->work = w;
    return k->id;
}

void engine_work_done(struct engine *e, uint64_t id, struct engine_work *work, int64_t now_ms)
{
    e->now_ms = now_ms;
    struct call *k = call_find(e, id);
    if (k == NULL) {
        blocking_free(work); /* its step was aborted */
        return;
    }
    struct fm_ctx *ctx = k->ctx;
    call_forget(e, k);
    returned(e, ctx, blocking_adopt(ctx, work));
}

void engine_work_free(struct engine_work *work)
{
    blocking_free(work);
}

/* ---- what handlers ask for ---- */

/* A handler on a worker thread cannot go on in callbacks: it may simply wait. */
static bool on_loop(struct fm_ctx *ctx)
{
    if (ctx->on_worker)
        (void)fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION, "a blocking handler makes no asynchronous calls");
    return !ctx->on_worker;
}

void fm_ctx_call_after(struct fm_ctx *ctx, uint64_t ms, fm_callback cb, void *arg)
{
    if (!on_loop(ctx))
        return;
    struct engine *e = ctx->job->engine;
    struct call *k = call_new(ctx, CALL_TIMER, arg);
    k->done.timer = cb;
    e->io.start_timer(e->io.arg, k->id, ms);
}

static bool can_call(struct fm_ctx *ctx)
{
    if (!on_loop(ctx))
        return false;
    if (ctx->job->engine->io.start_call == NULL)
        (void)fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION, "this host makes no such calls");
    return !ctx->failed;
}

void fm_ctx_http(struct fm_ctx *ctx, const struct fm_http_request *request, fm_chunk_callback on_chunk,
                 fm_http_callback done, void *arg)
{
    if (!can_call(ctx))
        return;
    struct engine *e = ctx->job->engine;
    struct call *k = call_new(ctx, CALL_HTTP, arg);
    k->done.http = done;
    k->data.chunk = on_chunk;
    e->io.start_call(e->io.arg, k->id, CALL_HTTP, request);
}

void fm_ctx_spawn(struct fm_ctx *ctx, const struct fm_process *p, fm_line_callback on_line,
                  fm_process_callback done, void *arg)
{
    if (!can_call(ctx))
        return;
    struct engine *e = ctx->job->engine;
    struct call *k = call_new(ctx, CALL_PROCESS, arg);
    k->done.process = done;
    k->data.line = on_line;
    const struct process_request request = {p, ctx->job->id};
    e->io.start_call(e->io.arg, k->id, CALL_PROCESS, &request);
}

void ctx_serve(struct fm_ctx *ctx, const struct served_task *t, fm_line_callback on_line,
               fm_process_callback done, void *arg)
{
    if (!can_call(ctx))
        return;
    struct engine *e = ctx->job->engine;
    struct call *k = call_new(ctx, CALL_SERVED, arg);
    k->done.process = done;
    k->data.line = on_line;
    e->io.start_call(e->io.arg, k->id, CALL_SERVED, t);
}
