/* What hosts say about jobs: steps and releases. */
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aborted.h"
#include "agreed.h"
#include "buf.h"
#include "children.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "host.h"
#include "host_step.h"
#include "id.h"
#include "job.h"
#include "job_limits.h"
#include "job_state.h"
#include "journal.h"
#include "log.h"
#include "lost.h"
#include "marks.h"
#include "mem.h"
#include "move.h"
#include "pause.h"
#include "pbc.h"
#include "place.h"
#include "remedies.h"
#include "send.h"
#include "state.h"
#include "table.h"
#include "times.h"
#include "unit.h"

#define MAX_WHY_BYTES 1000 /* of what a host says of a breakpoint */
#define SAID_SINGLY 8      /* questions of a step that the log names */

/* What may be done of hosts' steps in a turn of the loop, about 50 ms: so much for a step, and one for each
 * element of its lists. */
#define TURN_WORK 5000
#define WORK_OF_A_STEP 4

static void reject(struct core *c, struct host *h, const char *job_id, const Fermata__V1__Step *step,
                   const char *reason)
{
    FM_LOG(WARN, STATE, "step refused", FM_STR("job", job_id), FM_STR("host", h->id),
           FM_U64("epoch", step->epoch), FM_U64("step", step->number), FM_STR("reason", reason));
    Fermata__V1__StepReject m = FERMATA__V1__STEP_REJECT__INIT;
    m.job_id = (char *)(uintptr_t)job_id;
    m.epoch = step->epoch;
    m.number = step->number;
    m.reason = (char *)(uintptr_t)reason;
    host_send_message(c, h, FIELD_COORDINATOR_MESSAGE_STEP_REJECT, &m);
}

/* ---- steps ---- */

/* A step that breaks a rule: the host drops the job. A state that grew too large fails the job; a host that
 * broke the protocol loses it, and after some such hosts the job fails, too. */
static void on_bad_step(struct core *c, struct host *h, struct job *job, const Fermata__V1__Step *step,
                        const struct fm_err *err)
{
    reject(c, h, job->text, step, err->msg);
    unit_of(c, job);
    if (err->code == FM_RESOURCE_EXHAUSTED || ++job->bad_steps >= MAX_BAD_STEPS) {
        job_set_error(job, fm_code_name((int)err->code), err->msg, step->routine, step->task_id);
        job_end(c, job, JOB_EV_FAIL);
        return;
    }
    free(job->avoid_host);
    job->avoid_host = fm_xstrdup(h->id);
    core_retry_later(c);
    job_note_here(c, job, ENTRY_KIND_LOST, who_none("its host made a step that breaks a rule"), NULL, NULL);
    job_requeue(c, job, "its host made a step that breaks a rule");
}

void host_on_intent(struct core *c, struct host *h, const Fermata__V1__Intent *m)
{
    struct fm_id id;
    struct job *job = fm_id_parse(m->job_id, &id) == 0 ? job_in_memory(c, &id) : NULL;
    if (job == NULL || job->loading || job->host != h || job->head->epoch != m->epoch)
        return; /* the host has lost the job: nothing answers, and the handler never starts */
    if (job_find_task(job, m->task_id) != NULL) {
        lost_on_intent(c, h, m);
        return;
    }
    fm_auto(fm_err) err = {0};
    Fermata__V1__Step none = FERMATA__V1__STEP__INIT;
    none.epoch = m->epoch;
    none.number = job_state_step(job->state) + 1;
    (void)fm_err_set(&err, FM_INVALID_ARGUMENT, "intent.task_id", "no task %.64s waits in job %s", m->task_id,
                     job->text);
    on_bad_step(c, h, job, &none, &err);
}

static int check_room(const struct job *job, const Fermata__V1__Step *step, struct fm_err *err)
{
    size_t open = job_count_questions(job);
    if (step->n_pauses == 0 || open + step->n_pauses <= FM_MAX_OPEN_QUESTIONS)
        return 0;
    return fm_err_set(err, FM_RESOURCE_EXHAUSTED, "step.pauses",
                      "%zu questions of the job are open, and the step asks %zu more; the limit is %d: some "
                      "must be answered first",
                      open, step->n_pauses, FM_MAX_OPEN_QUESTIONS);
}

static int check_pauses(const struct job *job, const Fermata__V1__Step *step, struct fm_err *err)
{
    if (check_room(job, step, err) < 0)
        return -(int)err->code;
    for (size_t i = 0; i < step->n_pauses; i++) {
        const Fermata__V1__Pause *p = step->pauses[i];
        char want[32], other[64];
        snprintf(want, sizeof(want), "p%u.%zu", step->number, i);
        snprintf(other, sizeof(other), "p-%.40s.%zu", step->task_id, i); /* in a flow with parallelism */
        if ((strcmp(p->pause_id, want) != 0 && strcmp(p->pause_id, other) != 0) ||
            job_find_pause(job, p->pause_id) != NULL)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "step.pauses.pause_id",
                              "pause %zu has the id \"%.64s\"; it must be %s, and not open", i, p->pause_id,
                              want);
        int rc = pause_check(p, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The questions that the step asks become open. */
static void open_pauses(struct job *job, const Fermata__V1__Step *step)
{
    for (size_t i = 0; i < step->n_pauses; i++) {
        Fermata__V1__Pause *p = pb_clone(step->pauses[i]);
        p->reason = (Fermata__V1__PauseReason)pause_reason_of(p);
        p->asks_for = PAUSE_REASON_UNSPECIFIED;
        p->step = step->number;
        pb_set_string(&p->routine, step->routine);
        pause_begin(p, time_to_ms(step->committed_at));
        job_add_pause(job, p);
        if (i < SAID_SINGLY)
            FM_LOG(INFO, STATE, "question asked", FM_STR("job", job->text), FM_STR("pause", p->pause_id),
                   FM_U64("epoch", step->epoch), FM_U64("step", step->number));
    }
    if (step->n_pauses > SAID_SINGLY)
        FM_LOG(INFO, STATE, "and more questions", FM_STR("job", job->text),
               FM_U64("questions", step->n_pauses - SAID_SINGLY), FM_U64("epoch", step->epoch),
               FM_U64("step", step->number));
}

/* What the step withdraws is closed; of what nobody can withdraw any more it says nothing then. */
static void find_withdrawn(const struct job *job, Fermata__V1__Step *step)
{
    size_t n = 0;
    for (size_t i = 0; i < step->n_withdrawals; i++) {
        const Fermata__V1__Pause *p = job_find_pause(job, step->withdrawals[i]->pause_id);
        bool twice = false;
        for (size_t k = 0; k < n && !twice; k++)
            twice = strcmp(step->withdrawals[k]->pause_id, step->withdrawals[i]->pause_id) == 0;
        if (p != NULL && !twice && pause_is_question(p))
            step->withdrawals[n++] = step->withdrawals[i];
    }
    step->n_withdrawals = n;
}

static void close_withdrawn(struct core *c, struct job *job, const Fermata__V1__Step *step)
{
    for (size_t i = 0; i < step->n_withdrawals; i++) {
        const Fermata__V1__Withdrawal *w = step->withdrawals[i];
        pause_remember(job->head, job_find_pause(job, w->pause_id), PAUSE_END_WITHDRAWN, w, step->number,
                       c->wall_ms);
        job_remove_pause(job, w->pause_id);
        FM_LOG(INFO, STATE, "a question is withdrawn", FM_STR("job", job->text), FM_STR("pause", w->pause_id),
               FM_U64("step", step->number), FM_STR("why", w->reason));
    }
    if (job->head->n_pauses == 0)
        job->head->halted_at = 0;
}

static int check_outcome(const Fermata__V1__Step *step, struct fm_err *err)
{
    switch (step->outcome) {
    case STEP_OUTCOME_COMPLETE:
        if (step->n_pauses > 0)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "step.outcome",
                              "a step that asks a question must have the outcome PAUSE");
        return 0;
    case STEP_OUTCOME_CONTINUE: /* in a flow with parallelism it may ask, too */
    case STEP_OUTCOME_RETRY:
    case STEP_OUTCOME_PAUSE:
    case STEP_OUTCOME_FAIL:
        return 0;
    case STEP_OUTCOME_UNSPECIFIED:
    default:
        return fm_err_set(err, FM_INVALID_ARGUMENT, "step.outcome", "outcome %d is unknown",
                          (int)step->outcome);
    }
}

/* What the applied step means for the job. Returns true when the job has left the host. */
static bool take_outcome(struct core *c, struct job *job, const Fermata__V1__Step *step)
{
    if (step->outcome == STEP_OUTCOME_FAIL) {
        if (step->error != NULL)
            job_set_error(job, step->error->code, step->error->message, step->routine, step->task_id);
        else
            job_set_error(job, "UNKNOWN", "the step failed and does not say why", step->routine,
                          step->task_id);
        job_end(c, job, JOB_EV_FAIL);
        return true;
    }
    if (step->outcome == STEP_OUTCOME_PAUSE && job->head->n_pauses > 0) {
        /* an answer that has come in the meantime is not made to wait for the next one */
        job_park(c, job, job->head->emit_deferred ? PARK_BY_STATE : PARK_ASKED);
        return true;
    }
    if (step->n_pauses > 0 && job->def->parallelism <= 1) { /* it goes on with what is not halted */
        job->head->halted_at = step->number;
        job->head_dirty = true;
    }
    if (!job_has_work(job)) {
        job_park(c, job,
                 PARK_BY_STATE); /* whatever the host says: nothing is left, and nobody would wake it */
        return true;
    }
    bool goes_on = step->outcome == STEP_OUTCOME_CONTINUE || step->outcome == STEP_OUTCOME_RETRY;
    if (!goes_on && job->inputs == NULL) {
        job_requeue(c, job, "its host stopped, but tasks wait");
        return true;
    }
    job_checkpoint(c, job); /* an input that came in the meantime is delivered, and the host goes on */
    return false;
}

/* A job that has made as many steps as it may before an input comes is paused at the end of its step in hand.
 */
static void limits_look(struct core *c, struct job *job)
{
    Fermata__V1__Job *h = job->head;
    uint32_t steps = job_state_step(job->state);
    struct limits l = limits_of_job(h, &job->def->limits, &c->cfg.limits);
    if (h->steps_from == 0) /* a version before this one has submitted it */
        h->steps_from = steps + 1;
    if (limits_steps_met(h, &l, steps))
        job_limit_met(job, "steps");
}

static void apply_step(struct core *c, struct host *h, struct job *job, Fermata__V1__Step *step)
{
    fm_auto(fm_err) err = {0};
    if (host_step_check(step, &err) < 0) {
        on_bad_step(c, h, job, step, &err);
        return;
    }
    Google__Protobuf__Timestamp at = core_now(c), started = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    int64_t started_ms = step->duration_us / 1000 < (uint64_t)c->wall_ms
                             ? c->wall_ms - (int64_t)(step->duration_us / 1000)
                             : 0;
    started.seconds = fm_ms_seconds(started_ms);
    started.nanos = fm_ms_nanos(started_ms);
    step->committed_at = &at;
    step->started_at = &started;
    step->host = h->id;
    struct task_item *task = NULL;
    find_withdrawn(job, step);
    if (check_outcome(step, &err) < 0 || check_pauses(job, step, &err) < 0 ||
        children_check(job, step, &err) < 0 ||
        (step->continue_as != NULL &&
         remedy_check_continue(c, job, step->continue_as, "step.continue_as", &err) < 0) ||
        job_apply_step(c, job, step, &task, &err) < 0) {
        on_bad_step(c, h, job, step, &err);
        return;
    }
    if (step->n_children > 0)
        children_add(c, job, step, task);
    free(task);
    place_taken(job);
    usage_count(c, job, step);
    if (lost_task_known(job, step->task_id))
        c->match_wanted = true;
    if (job->head->released_task[0] != '\0' && strcmp(job->head->released_task, step->task_id) == 0)
        pb_set_string(&job->head->released_task, "");
    if (job->head->emit_deferred && step->inputs_through >= job->emit_deferred_input) {
        job->head->emit_deferred = false;
        job->head_dirty = true;
    }
    close_withdrawn(c, job, step);
    open_pauses(job, step);
    limits_look(c, job);
    uint64_t conn = h->conn;
    uint32_t epoch = step->epoch;
    bool asked = job->head->continue_wanted != NULL;
    if (step->continue_as != NULL && step->outcome != STEP_OUTCOME_FAIL)
        job_want_continue(job, step->continue_as, "", step->routine);
    bool released = take_outcome(c, job, step);
    if (!released && !asked && job->head->continue_wanted != NULL)
        interrupt_effect(unit_of(c, job), job, INTERRUPT_KIND_DRAIN);
    if (!released && job->head->limit_met[0] != '\0' && job->host != NULL)
        interrupt_effect(unit_of(c, job), job, INTERRUPT_KIND_PAUSE);
    ack_effect(unit_of(c, job), conn, epoch, step->number, released ? JOB_HAS_LEFT : JOB_STAYS);
    job_count_bytes(c, job);
}

/* A step that was sent again after a reconnect: acknowledged as soon as it is on disk. */
static void on_known_step(struct host *h, struct job *job, const Fermata__V1__Step *step)
{
    struct unit *m = job->next != NULL ? job->next : job->inflight;
    if (step->number <= job->steps_on_disk || m == NULL) {
        host_queue_ack(h, job, step->epoch, step->number, JOB_STAYS);
        return;
    }
    ack_effect(m, h->conn, step->epoch, step->number, JOB_STAYS);
}

static void on_step(struct core *c, struct host *h, const char *job_id, Fermata__V1__Step *step)
{
    struct fm_id id;
    struct job *job = fm_id_parse(job_id, &id) == 0 ? job_in_memory(c, &id) : NULL;
    if (job == NULL || job->loading || job->host != h || job->head->epoch != step->epoch) {
        if (job != NULL && job->loading && h->resync_at_ms != 0)
            return; /* its stream ends in a moment, and the step comes again */
        reject(c, h, job_id, step, "the host does not have this job under this epoch (or no longer)");
        return;
    }
    if (step->number <= job_state_step(job->state))
        on_known_step(h, job, step);
    else
        apply_step(c, h, job, step);
}

static size_t work_of(const Fermata__V1__Step *s)
{
    return WORK_OF_A_STEP + s->n_deferred_tasks + s->n_new_tasks + s->n_emissions + s->n_changes + s->n_log +
           s->n_deferred_events + s->n_pauses + s->n_unscheduled + s->n_children + s->n_deferred_outputs;
}

bool steps_may_work(const struct core *c)
{
    return c->turn_work < (c->cfg.turn_work != 0 ? c->cfg.turn_work : TURN_WORK);
}

size_t host_on_steps(struct core *c, struct host *h, const Fermata__V1__StepBatch *b)
{
    size_t i = 0;
    for (; i < b->n_steps && steps_may_work(c); i++) {
        if (b->steps[i]->step == NULL)
            continue;
        c->turn_work += work_of(b->steps[i]->step);
        on_step(c, h, b->steps[i]->job_id, b->steps[i]->step);
    }
    return i;
}

/* ---- releases ---- */

/* A task has reached a breakpoint: the job is held, unless the breakpoint is gone. `why`: what was wrong with
 * its condition, if anything. */
static void hold_task(struct core *c, struct job *job, const char *task_id, const char *why)
{
    const struct task_item *t = job_find_task(job, task_id);
    if (t == NULL || (job->head->n_breakpoints == 0 && !job->head->single_step)) {
        job_requeue(c, job, "its host held a task, but its breakpoint is gone");
        return;
    }
    char id[32], said[MAX_WHY_BYTES + 1];
    snprintf(said, sizeof(said), "%.*s", (int)fm_utf8_cut(why, MAX_WHY_BYTES), why);
    snprintf(id, sizeof(id), "b%u", job->head->revision + 1);
    Fermata__V1__Pause p = FERMATA__V1__PAUSE__INIT;
    Google__Protobuf__Timestamp at = core_now(c);
    p.pause_id = id;
    p.reason = PAUSE_REASON_BREAKPOINT;
    p.question = said;
    p.routine = (char *)(uintptr_t)t->routine;
    p.slot = (char *)(uintptr_t)t->slot;
    p.task_id = (char *)(uintptr_t)t->id;
    p.step = job_state_step(job->state);
    p.at = &at;
    job_add_pause(job, pb_clone(&p));
    job_note_here(c, job, ENTRY_KIND_BREAKPOINT_HIT, who_none(said), id, task_id);
    job->head->single_step = false;
    FM_LOG(INFO, STATE, "task held by a breakpoint", FM_STR("job", job->text), FM_STR("task", task_id),
           FM_U64("epoch", job->head->epoch), FM_U64("step", job_state_step(job->state)));
    job_park(c, job, PARK_BY_STATE);
}

/* Why a host gives a job back that is to go on elsewhere. */
static struct who who_drains(struct core *c, const struct host *h)
{
    if (h->draining)
        return mark_drained_by(mark_find(c, h->id));
    return who_none(h->leaving ? "its host leaves" : "its host was asked to give it back");
}

void host_on_release(struct core *c, struct host *h, const Fermata__V1__Release *r)
{
    struct fm_id id;
    struct job *job = fm_id_parse(r->job_id, &id) == 0 ? job_in_memory(c, &id) : NULL;
    if (r->reason == RELEASE_REASON_ABORTED) {
        aborted_elsewhere(c, h, &id, r);
        return;
    }
    if (job == NULL || job->loading || job->host != h || job->head->epoch != r->epoch)
        return; /* it lost the job before: nothing to give back */
    aborted_here(c, job, r);
    for (size_t i = 0; i < r->n_unstarted_tasks; i++)
        lost_unstarted(job, r->unstarted_tasks[i]);
    const char *why = r->message[0] != '\0' ? r->message : "its host gave it back";
    switch (r->reason) {
    case RELEASE_REASON_REFUSED:
        job->not_taken = true;
        place_refused(c, job, h->id);
        break;
    case RELEASE_REASON_DRAINING: /* perhaps of a drain that was taken back */
        if (job->head->continue_wanted != NULL && !h->draining && !h->leaving)
            break; /* it starts over, here or elsewhere */
        job_note_here(c, job, ENTRY_KIND_DRAINED, who_drains(c, h), NULL, NULL);
        free(job->avoid_host);
        job->avoid_host = fm_xstrdup(h->id);
        core_retry_later(c);
        break;
    case RELEASE_REASON_IDLE:
        if (!job_has_work(job)) {
            job_park(c, job, PARK_BY_STATE);
            return;
        }
        break;
    case RELEASE_REASON_SLEEPING:
        job_park(c, job, PARK_ASLEEP);
        return;
    case RELEASE_REASON_BREAKPOINT:
        hold_task(c, job, r->task_id, r->message);
        return;
    default:
        break;
    }
    job_requeue(c, job, why);
}
