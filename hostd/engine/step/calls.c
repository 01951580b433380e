/* The table of asynchronous calls. See calls.h. */
#include "calls.h"

#include <utlist.h>

#include "engine_state.h"
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
    if (k->waits != NULL) {
        DL_DELETE(k->waits->calls, k);
        k->waits->n--;
    }
    free(k);
}

/* ---- calls of handlers ---- */

struct call *call_new(struct waits *w, enum engine_call_kind kind,
                      void (*cancel)(struct engine *e, const struct call *k), void *arg)
{
    struct call *k = call_add(w->engine, kind);
    k->ctx = w->ctx;
    k->waits = w;
    k->cancel = cancel;
    k->arg = arg;
    DL_APPEND(w->calls, k);
    w->n++;
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

/* ---- timers of the engine itself, and calls of its jobs ---- */

uint64_t call_alarm(struct engine *e, struct hjob *job, uint64_t ms)
{
    struct call *k = call_add(e, CALL_TIMER);
    k->job = job;
    e->io.start_timer(e->io.arg, k->id, ms);
    return k->id;
}

uint64_t call_eval(struct engine *e, struct hjob *job, const struct eval_request *request)
{
    struct call *k = call_add(e, CALL_EVAL);
    k->job = job;
    k->cancel = call_cancel_outside;
    e->io.start_call(e->io.arg, k->id, CALL_EVAL, request);
    return k->id;
}

void call_timeout(struct waits *w, uint64_t ms)
{
    struct engine *e = w->engine;
    struct call *k = call_add(e, CALL_TIMER);
    k->ctx = w->ctx;
    w->timeout = k->id;
    e->io.start_timer(e->io.arg, k->id, ms);
}

void call_cancel(struct engine *e, uint64_t id)
{
    struct call *k = call_find(e, id);
    if (k == NULL)
        return;
    if (k->cancel != NULL)
        k->cancel(e, k);
    else
        e->io.cancel_timer(e->io.arg, id);
    call_forget(e, k);
}

void calls_cancel(struct waits *w)
{
    while (w->calls != NULL) {
        struct call *k = w->calls;
        k->cancel(w->engine, k);
        call_forget(w->engine, k);
    }
    if (w->timeout != 0)
        call_cancel(w->engine, w->timeout);
    w->timeout = 0;
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
