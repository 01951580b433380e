/* The table of asynchronous calls. See calls.h. */
#include "calls.h"

#include <utlist.h>

#include "ctx.h"
#include "engine_state.h"
#include "hjob.h"
#include "mem.h"

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

static void call_forget(struct engine *e, struct call *k)
{
    HASH_DEL(e->calls, k);
    if (k->ctx != NULL && !k->is_timeout) {
        DL_DELETE2(k->ctx->calls, k, run_prev, run_next);
        k->ctx->open_calls--;
    }
    free(k);
}

/* ---- calls of handlers ---- */

struct call *call_new(struct fm_ctx *ctx, enum engine_call_kind kind,
                      void (*cancel)(struct engine *e, const struct call *k), void *arg)
{
    struct call *k = call_add(ctx->job->engine, kind);
    k->ctx = ctx;
    k->cancel = cancel;
    k->arg = arg;
    DL_APPEND2(ctx->calls, k, run_prev, run_next);
    ctx->open_calls++;
    return k;
}

void call_cancel_timer(struct engine *e, const struct call *k)
{
    e->io.cancel_timer(e->io.arg, k->id);
}

void call_cancel_outside(struct engine *e, const struct call *k)
{
    e->io.cancel_call(e->io.arg, k->id, k->kind);
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
        k->cancel(e, k);
        call_forget(e, k);
    }
    if (ctx->timeout_call != 0)
        call_cancel(e, ctx->timeout_call);
    ctx->timeout_call = 0;
}

/* ---- what comes of them ---- */

int call_data(struct engine *e, uint64_t id, struct fm_bytes data)
{
    struct call *k = call_find(e, id);
    const char *bytes = (const char *)data.p;
    if (k == NULL)
        return 0;
    if (k->kind == CALL_HTTP && k->data.chunk != NULL)
        return k->data.chunk(k->ctx, k->arg, bytes, data.n);
    if (k->kind != CALL_HTTP && k->data.line != NULL)
        return k->data.line(k->ctx, k->arg, bytes, data.n);
    return 0;
}

bool call_take(struct engine *e, uint64_t id, struct call *ret_was)
{
    struct call *k = call_find(e, id);
    if (k == NULL)
        return false;
    *ret_was = *k;
    call_forget(e, k);
    return true;
}
