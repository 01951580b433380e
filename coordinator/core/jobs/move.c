/* How a job moves between its statuses, whoever brings it about: it gets a host or leaves it, is held, goes
 * on, goes to rest, ends. Changes the job in memory and puts what follows into its unit. */
#include "move.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "breakpoints.h"
#include "buf.h"
#include "children.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "host.h"
#include "job.h"
#include "job_limits.h"
#include "job_state.h"
#include "journal.h"
#include "log.h"
#include "lost.h"
#include "mem.h"
#include "op.h"
#include "pbc.h"
#include "place.h"
#include "remedies.h"
#include "state.h"
#include "store.h"
#include "unit.h"

void job_must_move(struct core *c, struct job *job, enum job_event event)
{
    struct fm_err err = {0};
    if (job_move(job, event, c->wall_ms, &err) < 0)
        fm_abort(err.msg); /* callers have looked at the status */
}

/* The calls that wait for the unit are the effect's own: those that come later wait for their own pause. */
static void paused_done(struct core *c, struct job *job, struct effect *e)
{
    struct op *list = e->own, *op, *tmp;
    e->own = NULL;
    DL_FOREACH_SAFE (list, op, tmp) {
        DL_DELETE(list, op);
        Fermata__V1__PauseJobResponse r = FERMATA__V1__PAUSE_JOB_RESPONSE__INIT;
        r.status = (Fermata__V1__JobStatus)job->disk_status;
        r.step_count = job->steps_on_disk;
        for (size_t i = 0; i < job->head->n_pauses; i++)
            if (job->head->pauses[i]->reason == PAUSE_REASON_OPERATOR)
                r.pause_id = job->head->pauses[i]->pause_id;
        op_reply(c, op, &r.base);
    }
}

static void paused_failed(struct core *c, struct effect *e, const struct fm_err *err)
{
    struct op *list = e->own, *op, *tmp;
    e->own = NULL;
    DL_FOREACH_SAFE (list, op, tmp) {
        struct fm_err copy = {0};
        DL_DELETE(list, op);
        fm_err_copy(&copy, err);
        op_fail(c, op, &copy);
    }
}

static void paused_drop(struct core *c, struct effect *e)
{
    struct op *list = e->own, *op, *tmp;
    DL_FOREACH_SAFE (list, op, tmp)
        op_free(c, op);
}

static const struct effect_kind paused_effect_kind = {"paused", paused_done, paused_failed, NULL,
                                                      paused_drop};

void paused_effect(struct unit *u)
{
    unit_effect(u, &paused_effect_kind, FM_NO_BYTES)->own = u->job->pause_ops;
    u->job->pause_ops = NULL;
}

/* Whether it is on disk or never will be: the host waits no longer for it. */
static void left_drop(struct core *c, struct effect *e)
{
    struct host *h = host_find(c, (const char *)e->bytes.p);
    if (h != NULL && h->n_leaving > 0)
        h->n_leaving--;
}

static void left_done(struct core *c, struct job *job, struct effect *e)
{
    (void)c;
    (void)job;
    (void)e;
}

static const struct effect_kind left_effect = {"left its host", left_done, NULL, NULL, left_drop};

static void job_leave_host(struct core *c, struct job *job)
{
    struct host *h = job->host;
    if (h != NULL && h->draining) { /* DrainHost is answered when that is on disk */
        h->n_leaving++;
        unit_effect(unit_of(c, job), &left_effect,
                    (struct fm_bytes){(const uint8_t *)h->id, strlen(h->id) + 1});
    }
    breakpoints_left(c, job);
    job_note_left(c, job);
    host_detach_job(job);
    pb_set_string(&job->head->host, "");
    job->head_dirty = true;
    job->assign_sent = false;
    job->interrupted = false;
    c->match_wanted = true;
}

static void put_snapshot(struct core *c, struct job *job, bool at_rest)
{
    if (!job_wants_snapshot(job, at_rest, c->cfg.snapshot_steps, c->cfg.snapshot_bytes))
        return;
    struct fm_buf b = {0};
    job_state_encode(job->state, NULL, &b);
    store_put_snapshot(unit_of(c, job)->records, &job->id, job_state_step(job->state),
                       job_state_inputs(job->state), fm_buf_bytes(&b));
    fm_buf_done(&b);
    job->snapshot_step = job_state_step(job->state);
    job->journal_bytes = 0;
}

/* The operator's pause has taken effect, or the job has ended before. */
static void forget_wanted_pause(struct job *job)
{
    Fermata__V1__Job *h = job->head;
    h->pause_requested = false;
    pb_set_string(&h->limit_met, "");
    pb_set_string(&h->pause_by, "");
    pb_set_string(&h->pause_reason, "");
    if (h->pause_abort_at != NULL)
        google__protobuf__timestamp__free_unpacked(h->pause_abort_at, NULL);
    h->pause_abort_at = NULL;
}

/* For the limit that it has met, and by an operator; `question` is of that pause. */
static void add_pause(struct core *c, struct job *job, const char *pause_id, Fermata__V1__PauseReason reason,
                      const char *question)
{
    Fermata__V1__Pause p = FERMATA__V1__PAUSE__INIT;
    Google__Protobuf__Timestamp at = core_now(c);
    p.pause_id = (char *)(uintptr_t)pause_id;
    p.reason = reason;
    p.step = job_state_step(job->state);
    p.at = &at;
    p.question = (char *)(uintptr_t)question;
    job_add_pause(job, pb_clone(&p));
}

static void add_limit_pause(struct core *c, struct job *job)
{
    char id[48], text[400];
    struct limits l = limits_of_job(job->head, &job->def->limits, &c->cfg.limits);
    snprintf(id, sizeof(id), "limit-%.16s%u", job->head->limit_met, job->head->revision + 1);
    limits_question(job->head, &l, job_state_step(job->state), text, sizeof(text));
    add_pause(c, job, id, PAUSE_REASON_LIMIT, text);
    job_note_here(c, job, ENTRY_KIND_PAUSED, (struct who){"", text}, id, NULL);
    FM_LOG(WARN, STATE, "a job has met a limit and waits until somebody raises it", FM_STR("job", job->text),
           FM_STR("limit", job->head->limit_met), FM_U64("step", job_state_step(job->state)),
           FM_U64("depth", job->head->depth));
}

void job_hold(struct core *c, struct job *job)
{
    char id[32];
    bool limited = job->head->limit_met[0] != '\0';
    snprintf(id, sizeof(id), "op%u", job->head->revision + 1);
    if (limited)
        add_limit_pause(c, job);
    if (!limited || job->pause_ops != NULL) {
        add_pause(c, job, id, PAUSE_REASON_OPERATOR, job->head->pause_reason);
        job_note_here(c, job, ENTRY_KIND_PAUSED, (struct who){job->head->pause_by, job->head->pause_reason},
                      id, NULL);
    }
    forget_wanted_pause(job);
    if (job->host != NULL)
        job_leave_host(c, job);
    place_unqueue(c, job);
    if (job->head->status != JOB_STATUS_PAUSED)
        job_must_move(c, job, JOB_EV_HOLD);
    put_snapshot(c, job, true);
    struct unit *m = unit_of(c, job);
    reply_host_ops(c, job, m);
    paused_effect(m);
    FM_LOG(INFO, STATE, limited ? "job paused by a limit" : "job paused by an operator",
           FM_STR("job", job->text), FM_U64("epoch", job->head->epoch),
           FM_U64("step", job_state_step(job->state)));
}

/* The children of a job that ended are cancelled, its parent is told: when that is on disk. */
static void end_family(struct core *c, struct job *job, struct unit *m)
{
    job->head->parent_waits = job->head->parent[0] != '\0';
    if (!children_due(job))
        return;
    job->recheck_ms = c->wall_ms + JOB_RECHECK_MS;
    children_effect(m);
}

void job_end(struct core *c, struct job *job, enum job_event event)
{
    job_must_move(c, job, event);
    place_unqueue(c, job);
    job_leave_host(c, job);
    forget_wanted_pause(job);
    job_forget_continue(job);
    job->head->emit_deferred = false;
    job_close_pauses(job, event == JOB_EV_FAIL ? KEEP_QUESTIONS : KEEP_NONE);
    if (event != JOB_EV_FAIL) /* else it may go on one day, and what was in hand is lost */
        lost_forget(job);
    put_snapshot(c, job, true);
    struct unit *m = unit_of(c, job);
    end_family(c, job, m);
    reply_host_ops(c, job, m);
    if (job->pause_ops != NULL)
        paused_effect(m);
    FM_LOG(INFO, STATE, "job ended", FM_STR("job", job->text),
           FM_STR("status", job_status_name(job_status(job))), FM_U64("epoch", job->head->epoch),
           FM_U64("step", job_state_step(job->state)));
}

static void rest_paused(struct core *c, struct job *job)
{
    job_must_move(c, job, JOB_EV_PAUSE);
    if (job->head->pause_requested)
        job_hold(c, job);
    FM_LOG(INFO, STATE, "job paused", FM_STR("job", job->text), FM_U64("epoch", job->head->epoch),
           FM_U64("step", job_state_step(job->state)), FM_U64("questions", job->head->n_pauses));
}

static void rest_asleep(struct core *c, struct job *job)
{
    if (job->head->pause_requested) {
        job_hold(c, job);
        return;
    }
    job_must_move(c, job, JOB_EV_SLEEP);
    FM_LOG(INFO, STATE, "job sleeps", FM_STR("job", job->text), FM_U64("epoch", job->head->epoch),
           FM_U64("step", job_state_step(job->state)), FM_U64("children", job->head->n_children));
}

static bool has_deferred(const struct job *job)
{
    return job->head->emit_deferred && job_state_deferred(job->state) > 0;
}

/* Something can run now. A host that found nothing due knows of tasks that stand behind a failed one. */
static bool can_run(const struct core *c, const struct job *job, enum park how)
{
    int64_t due = job_state_next_due(job->state);
    if (job->inputs != NULL && job->head->halted_at == 0)
        return true;
    if (how == PARK_ASLEEP && due > c->wall_ms)
        return false;
    return job_state_runnable(job->state, c->wall_ms, job->head->halted_at) > 0;
}

/* It was to start its journal over as soon as nothing of it runs. */
static void continue_if_wanted(struct core *c, struct job *job)
{
    fm_auto(fm_err) err = {0};
    Fermata__V1__Job *h = job->head;
    if (h->continue_wanted == NULL)
        return;
    if (remedy_continue(c, job, h->continue_wanted, (struct who){h->continue_by, h->continue_reason}, &err) <
        0)
        FM_LOG(ERROR, STATE, "the job cannot start its journal over", FM_STR("job", job->text), FM_ERR(&err));
    job_forget_continue(job);
}

void job_park(struct core *c, struct job *job, enum park how)
{
    continue_if_wanted(c, job);
    lost_tasks(c, job);
    bool runs = can_run(c, job, how) || has_deferred(job);
    bool paused = job_is_held(job) || (job->head->n_pauses > 0 && (how == PARK_ASKED || !runs));
    unit_of(c, job);
    if (job->host != NULL)
        job_leave_host(c, job);
    if (paused) {
        rest_paused(c, job);
    } else if (runs) {
        if (job_status(job) == JOB_RUNNING)
            job_must_move(c, job, JOB_EV_REQUEUE);
        if (job->head->pause_requested)
            job_hold(c, job);
        else
            place_job(c, job);
        return;
    } else if (job_has_work(job) || job->head->n_children > 0) {
        rest_asleep(c, job);
    } else {
        job_end(c, job, JOB_EV_COMPLETE);
        return;
    }
    place_unqueue(c, job);
    put_snapshot(c, job, true);
    reply_host_ops(c, job, unit_of(c, job));
}

void job_requeue(struct core *c, struct job *job, const char *why)
{
    FM_LOG(INFO, STATE, "job waits for a host again", FM_STR("job", job->text), FM_STR("why", why),
           FM_U64("epoch", job->head->epoch), FM_U64("step", job_state_step(job->state)),
           FM_STR("host", job->head->host));
    continue_if_wanted(c, job);
    lost_tasks(c, job);
    if (job->head->pause_requested) {
        job_hold(c, job);
        return;
    }
    if (job_is_held(job) || (!job_has_work(job) && !has_deferred(job))) {
        job_park(c, job, PARK_BY_STATE);
        return;
    }
    job_leave_host(c, job);
    job_must_move(c, job, JOB_EV_REQUEUE);
    unit_of(c, job);
    place_job(c, job);
}

void job_checkpoint(struct core *c, struct job *job)
{
    put_snapshot(c, job, false);
}

static void go_on(struct core *c, struct job *job)
{
    int status = job_status(job);
    if ((status != JOB_PAUSED && status != JOB_SLEEPING) || job_is_held(job))
        return;
    bool runs = can_run(c, job, PARK_BY_STATE) || has_deferred(job);
    if (!runs && job->head->n_pauses > 0)
        return;
    if (status == JOB_SLEEPING && !runs)
        return;
    job_must_move(c, job, status == JOB_PAUSED && job->head->n_pauses == 0 ? JOB_EV_RESUME : JOB_EV_WAKE);
    if (runs)
        place_job(c, job);
    else
        job_park(c, job, PARK_BY_STATE);
}

static void set_halt(struct job *job, uint32_t step)
{
    job->head_dirty = job->head_dirty || job->head->halted_at != step;
    job->head->halted_at = step;
}

void job_go_on(struct core *c, struct job *job)
{
    set_halt(job, 0);
    go_on(c, job);
}

void job_go_on_by_time(struct core *c, struct job *job)
{
    uint32_t last = 0;
    for (size_t i = 0; i < job->head->n_pauses; i++)
        if (job->head->pauses[i]->step > last)
            last = job->head->pauses[i]->step;
    if (job_status(job) == JOB_PAUSED && job->def->parallelism <= 1)
        set_halt(job, last);
    go_on(c, job);
}
