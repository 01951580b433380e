/* The engine's frame: life, turns, timers, draining. See engine.h. */
#include "engine_int.h"

#include <string.h>

#include <utlist.h>

#include "fermata/v1/host_agent.pb.h"
#include "log.h"
#include "mem.h"

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
    return e;
}

void engine_free(struct engine *e)
{
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
    fm_buf_done(&e->batch);
    fm_arena_done(&e->arena);
    free(e);
}

uint32_t engine_lease_ms(const struct engine *e)
{
    return e->lease_ms;
}

size_t engine_job_count(const struct engine *e)
{
    return HASH_COUNT(e->jobs);
}

/* ---- turns ---- */

/* Ready jobs take turns, one step each, so that a job with endless work does not keep the others waiting;
 * after a bounded number of steps the shell gets its thread back and calls again (engine_deadline is then
 * now). */
void engine_run(struct engine *e)
{
    for (int i = 0; i < BURST_STEPS && e->ready != NULL; i++) {
        struct hjob *job = e->ready;
        DL_DELETE2(e->ready, job, ready_prev, ready_next);
        job->is_ready = false;
        (void)step_start(job);
    }
    session_flush(e);
    if (e->draining && e->jobs == NULL)
        session_drained(e);
}

void engine_note_grace(struct engine *e, int64_t at_ms)
{
    if (e->grace_at_ms == 0 || at_ms < e->grace_at_ms)
        e->grace_at_ms = at_ms;
}

static void end_grace(struct engine *e)
{
    struct hjob *job, *tmp;
    if (e->grace_at_ms == 0 || e->now_ms < e->grace_at_ms)
        return;
    e->grace_at_ms = 0;
    HASH_ITER (hh, e->jobs, job, tmp) {
        if (job->interrupt_at_ms != 0 && e->now_ms < job->interrupt_at_ms)
            engine_note_grace(e, job->interrupt_at_ms);
        if (job->interrupt_at_ms == 0 || e->now_ms < job->interrupt_at_ms)
            continue;
        FM_LOG(INFO, EXECUTION,
               "the step in hand took too long for the pause, it is aborted and runs again after the resume",
               FM_STR("job", job->id), FM_U64("epoch", job->epoch), FM_U64("step", job->last_step));
        hjob_abort_runs(job);
        hjob_wake(job);
    }
}

void engine_tick(struct engine *e, int64_t now_ms)
{
    e->now_ms = now_ms;
    session_tick(e);
    end_grace(e);
    engine_run(e);
}

int64_t engine_deadline(const struct engine *e)
{
    if (e->ready != NULL)
        return e->now_ms;
    int64_t at = session_deadline(e);
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
    struct hjob *job, *tmp;
    HASH_ITER (hh, e->jobs, job, tmp)
        hjob_interrupt(job, fermata_v1_InterruptKind_INTERRUPT_KIND_DRAIN, 0);
    engine_run(e);
    if (e->jobs != NULL && !e->welcomed && !e->connected)
        FM_LOG(INFO, HOST, "draining while the coordinator is away: jobs stay until it is back",
               FM_U64("jobs", HASH_COUNT(e->jobs)));
}
