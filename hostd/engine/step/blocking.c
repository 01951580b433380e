/* Handlers that block (FM_BLOCKING) run on a worker thread. Such a handler gets a context of its
 * own, made of copies: of the task, of its routine's state, of the shared data. So it shares
 * nothing with the loop's thread and needs no lock. When it has returned, what it did moves into
 * the step's real context. When the step is aborted before, the handler runs on, unheard, and its
 * context is freed when it returns. */
#include "blocking.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "asked.h"
#include "ctx.h"
#include "engine_state.h"
#include "hjob.h"
#include "mem.h"
#include "value.h"

struct engine_work {
    struct hjob job; /* the copies */
    struct flow flow;
    struct routine routine;
    struct fm_ctx ctx;
    fm_handler handler;
    int rc;
    atomic_bool cancelled, begun;
};

static void copy_kv(const struct kv *from, struct kv *to)
{
    fm_auto(fm_buf) b = {0};
    kv_put_struct(from, &b);
    if (kv_read_struct(to, fm_buf_bytes(&b)) < 0)
        fm_abort("a state cannot be read back");
}

static void copy_job(const struct fm_ctx *ctx, struct engine_work *w)
{
    struct hjob *job = ctx->job;
    memcpy(w->job.id, job->id, sizeof(w->job.id));
    w->job.epoch = job->epoch;
    w->job.last_step = job->last_step;
    w->job.clock_ms = fm_ctx_now_ms(ctx);
    w->job.flow = &w->flow;
    w->flow.parallelism = job->flow->parallelism;
    const struct asked *a;
    DL_FOREACH (job->asked, a)
        asked_add(&w->job.asked, a);
    copy_kv(&job->shared, &w->job.shared);
    copy_kv(&hjob_routine_state(job, ctx->task->routine)->kv,
            &hjob_routine_state(&w->job, ctx->task->routine)->kv);
    for (const struct task *t = job->scheduled.by_key; t != NULL; t = t->hh.next)
        if (strcmp(t->routine, ctx->task->routine) == 0)
            schedule_add(&w->job.scheduled, task_new(t));
}

static bool copy_ctx(struct fm_ctx *ctx, struct engine_work *w)
{
    fm_auto(fm_err) err = {0};
    w->routine = *ctx->routine; /* of its texts only the type's are used, which live as long as the process */
    w->routine.queue = NULL;
    w->ctx.job = &w->job;
    w->ctx.task = task_new(ctx->task);
    w->routine.id = w->ctx.task->routine;
    w->routine.config = FM_NO_BYTES;
    w->routine.decoded = NULL;
    w->ctx.routine = &w->routine;
    w->ctx.on_worker = true;
    fm_arena_init(&w->ctx.arena, ctx->arena.limit);
    w->ctx.config = value_decode_struct(ctx->routine->config, &w->ctx.arena, &err);
    fm_auto(fm_buf) made = {0}; /* of a slot that appends the data are more than the task's */
    struct fm_bytes data = ctx->task->data;
    if (w->ctx.config != NULL && ctx->datum != NULL) {
        if (value_encode_struct(ctx->data, &made, &err) < 0)
            w->ctx.config = NULL;
        data = fm_buf_bytes(&made);
    }
    w->ctx.data = w->ctx.config == NULL ? NULL : value_decode_struct(data, &w->ctx.arena, &err);
    if (w->ctx.data == NULL)
        (void)fm_ctx_fail(ctx, (enum fm_failure)err.code, "the task's data: %s", err.msg);
    return w->ctx.data != NULL;
}

void blocking_free(struct engine_work *w)
{
    if (w == NULL)
        return;
    ctx_clear(&w->ctx);
    free(w->ctx.task);
    schedule_done(&w->job.scheduled);
    asked_free(&w->job.asked);
    kv_done(&w->job.shared);
    hjob_free_states(&w->job);
    free(w);
}

/* Nobody waits for it any more. */
static void cancel(struct engine *e, const struct call *k)
{
    (void)e;
    atomic_store(&k->work->cancelled, true);
}

int blocking_start(struct fm_ctx *ctx, fm_handler handler)
{
    struct engine *e = ctx->job->engine;
    struct engine_work *w = fm_xcalloc(1, sizeof(*w));
    w->handler = handler;
    atomic_init(&w->cancelled, false);
    atomic_init(&w->begun, false);
    copy_job(ctx, w);
    if (!copy_ctx(ctx, w)) {
        blocking_free(w);
        return -1;
    }
    struct call *k = call_new(&ctx->waits, CALL_WORK, cancel, NULL);
    k->work = w;
    ctx->at_work = false;
    ctx->handed = w;
    e->io.start_work(e->io.arg, k->id, w);
    return 0;
}

void blocking_run(struct engine_work *w)
{
    atomic_store(&w->begun, true);
    if (!atomic_load(&w->cancelled)) /* no handler starts after its step was aborted */
        w->rc = w->handler(&w->ctx, w->ctx.data);
}

bool blocking_has_begun(struct engine_work *w)
{
    return atomic_load(&w->begun);
}

int blocking_adopt(struct fm_ctx *ctx, struct engine_work *w)
{
    ctx->out = w->ctx.out;
    ctx->handed = NULL;
    ctx->at_work = true;
    ctx->work = w; /* all of this lies in its memory */
    w->ctx.out = (struct outcome){0};
    return w->rc;
}
