/* The engine's face: its life, its inputs, its turns. See engine.h. */
#include "engine.h"

#include <string.h>

#include <utlist.h>

#include "assign.h"
#include "blocking.h"
#include "calls.h"
#include "engine_state.h"
#include "fermata/v1/host_agent.pb.h"
#include "hold.h"
#include "log.h"
#include "mem.h"
#include "protocol.h"
#include "queue.h"
#include "release.h"
#include "step.h"

#define BURST_STEPS 64

struct engine *engine_new(const struct engine_config *cfg, const struct engine_io *io)
{
    struct engine *e = fm_xcalloc(1, sizeof(*e));
    e->io = *io;
    e->host_id = fm_xstrdup(cfg->host_id);
    e->incarnation = fm_xstrdup(cfg->incarnation);
    e->version = fm_xstrdup(cfg->version);
    e->capacity = cfg->capacity;
    e->inbox_bytes = cfg->inbox_bytes > 0 ? cfg->inbox_bytes : (size_t)1024 * 1024 * 1024;
    e->registry = cfg->registry;
    e->labels = fm_xcalloc(cfg->n_labels + 1, sizeof(*e->labels));
    for (; e->n_labels < cfg->n_labels; e->n_labels++)
        e->labels[e->n_labels] = (struct engine_label){fm_xstrdup(cfg->labels[e->n_labels].key),
                                                       fm_xstrdup(cfg->labels[e->n_labels].value)};
    fm_arena_init(&e->arena, RUN_MEMORY_BYTES);
    fm_rng_init(&e->rng, cfg->seed);
    e->session = fm_xcalloc(1, sizeof(*e->session));
    e->session->engine = e;
    return e;
}

void engine_free(struct engine *e)
{
    e->session->welcomed = false; /* nothing is said any more */
    while (e->jobs != NULL)
        hjob_drop(e->jobs);
    for (size_t i = 0; i < e->n_labels; i++) {
        free((char *)(uintptr_t)e->labels[i].key);
        free((char *)(uintptr_t)e->labels[i].value);
    }
    free(e->labels);
    free(e->host_id);
    free(e->incarnation);
    free(e->version);
    fm_buf_done(&e->session->batch);
    free(e->session);
    fm_arena_done(&e->arena);
    free(e);
}

uint32_t engine_lease_ms(const struct engine *e)
{
    return e->session->lease_ms;
}

size_t engine_job_count(const struct engine *e)
{
    return HASH_COUNT(e->jobs);
}

/* ---- turns ---- */

/* Ready jobs take turns, one step each, so that a job with endless work does not keep the others
 * waiting; after a bounded number of steps the shell gets its thread back and calls again
 * (engine_deadline is then now). */
static void run(struct engine *e)
{
    for (int i = 0; i < BURST_STEPS && e->ready != NULL; i++) {
        struct hjob *job = e->ready;
        DL_DELETE2(e->ready, job, ready_prev, ready_next);
        job->is_ready = false;
        hjob_run_next(job);
    }
    session_flush(e->session);
    if (e->draining && e->jobs == NULL)
        protocol_drained(e->session);
}

/* Interrupts of steps whose time is over. */
static void end_grace(struct engine *e)
{
    struct hjob *job, *tmp;
    if (e->grace_at_ms == 0 || e->now_ms < e->grace_at_ms)
        return;
    e->grace_at_ms = 0;
    HASH_ITER (hh, e->jobs, job, tmp) {
        if (job->interrupt_at_ms == 0)
            continue;
        if (e->now_ms < job->interrupt_at_ms) {
            hjob_set_grace(job, job->interrupt_at_ms);
            continue;
        }
        FM_LOG(INFO, EXECUTION,
               "the step at work did not end in time for the pause; it is aborted and runs again after the "
               "resume",
               FM_STR("job", job->id), FM_U64("epoch", job->epoch), FM_U64("step", job->last_step));
        step_abort_all(job);
        hjob_wake(job);
    }
}

/* ---- the stream ---- */

void engine_connected(struct engine *e, int64_t now_ms)
{
    e->now_ms = now_ms;
    protocol_connected(e->session);
}

void engine_disconnected(struct engine *e, int64_t now_ms)
{
    e->now_ms = now_ms;
    protocol_disconnected(e->session);
    if (e->draining && e->jobs == NULL)
        protocol_drained(e->session);
}

static void give_back_all(struct engine *e)
{
    struct hjob *job, *tmp;
    e->session->drain_due = false;
    HASH_ITER (hh, e->jobs, job, tmp)
        hjob_interrupt(job, INTERRUPT_DRAIN, 0);
    run(e);
    if (e->jobs != NULL && !e->session->welcomed && !e->session->connected)
        FM_LOG(INFO, HOST, "draining while the coordinator is away: the jobs are kept until it is back",
               FM_U64("jobs", HASH_COUNT(e->jobs)));
}

void engine_take(struct engine *e, struct fm_bytes message, int64_t now_ms)
{
    struct session *s = e->session;
    e->now_ms = now_ms;
    protocol_check_lease(s);
    if (!s->connected || s->closing)
        return;
    protocol_take(s, message);
    if (s->drain_due)
        give_back_all(e);
    protocol_acknowledge(s, message.n);
}

void engine_message(struct engine *e, struct fm_bytes message, int64_t now_ms)
{
    engine_take(e, message, now_ms);
    run(e);
}

/* ---- time ---- */

void engine_tick(struct engine *e, int64_t now_ms)
{
    e->now_ms = now_ms;
    protocol_tick(e->session);
    end_grace(e);
    run(e);
}

int64_t engine_deadline(const struct engine *e)
{
    if (e->ready != NULL)
        return e->now_ms;
    int64_t at = protocol_deadline(e->session);
    if (e->grace_at_ms != 0 && (at < 0 || e->grace_at_ms < at))
        at = e->grace_at_ms;
    return at;
}

void engine_drain(struct engine *e, int64_t now_ms)
{
    e->now_ms = now_ms;
    if (e->draining)
        return;
    e->draining = true;
    give_back_all(e);
}

/* ---- what the shell tells of calls ---- */

void engine_timer(struct engine *e, uint64_t id, int64_t now_ms)
{
    e->now_ms = now_ms;
    protocol_check_lease(e->session);
    struct call was;
    if (!call_take(e, id, &was))
        return;
    if (was.ctx == NULL)
        hjob_alarm(was.job);
    else if (was.waits == NULL)
        hjob_timed_out(was.ctx);
    else
        hjob_returned(was.ctx, was.done.timer(was.ctx, was.arg));
    run(e);
}

int engine_call_data(struct engine *e, uint64_t id, struct fm_bytes data, int64_t now_ms)
{
    e->now_ms = now_ms;
    protocol_check_lease(e->session);
    return call_data(e, id, data);
}

/* Calls the handler's callback. */
static int call_ended(const struct call *was, const void *result)
{
    if (was->kind == CALL_HTTP)
        return was->done.http(was->ctx, was->arg, result);
    if (was->kind == CALL_EVAL)
        return was->done.eval(was->ctx, was->arg, result);
    return was->done.process(was->ctx, was->arg, result);
}

void engine_call_done(struct engine *e, uint64_t id, const void *result, int64_t now_ms)
{
    e->now_ms = now_ms;
    protocol_check_lease(e->session);
    struct call was;
    if (!call_take(e, id, &was))
        return;
    if (was.ctx == NULL) {
        hold_verdict(was.job, &was, result);
        hjob_wake(was.job);
    } else {
        hjob_returned(was.ctx, call_ended(&was, result));
    }
    run(e);
}

void engine_work_done(struct engine *e, uint64_t id, struct engine_work *work, int64_t now_ms)
{
    e->now_ms = now_ms;
    struct call was;
    if (!call_take(e, id, &was)) {
        blocking_free(work); /* its step was aborted */
        return;
    }
    hjob_returned(was.ctx, blocking_adopt(was.ctx, work));
    run(e);
}

void engine_work_run(struct engine_work *work)
{
    blocking_run(work);
}

void engine_work_free(struct engine_work *work)
{
    blocking_free(work);
}
