/* What time does to jobs. The store knows when each job wakes (a deadline, a question that expires, a task
 * that is due); the core only knows the next such time and asks then, so a sleeping job costs nothing here.
 */
#include "timers.h"

#include "family.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/struct.pb-c.h"
#include "id.h"
#include "input.h"
#include "job.h"
#include "job_state.h"
#include "journal.h"
#include "load.h"
#include "log.h"
#include "move.h"
#include "pause.h"
#include "pbc.h"
#include "query.h"
#include "send.h"
#include "state.h"
#include "store.h"
#include "table.h"
#include "unit.h"

#define DUE_PAGE 256
#define EXPIRE_AT_ONCE 1000 /* questions of a job */

int64_t timers_deadline(const struct core *c)
{
    if (c->wake_at_ms == 0 || c->due_reading || !c->recovered || c->stopping)
        return -1;
    return c->wake_at_ms <= c->wall_ms ? c->now_ms : c->now_ms + (c->wake_at_ms - c->wall_ms);
}

/* ---- which jobs are due ---- */

static void read_due(struct core *c, const struct store_due_job *after);

static void wake_job(struct core *c, const struct fm_id *id)
{
    struct job *job = job_in_memory(c, id);
    if (job != NULL && !job->loading) {
        job_on_time(c, job);
        job_rest(c, job);
        return;
    }
    if (job == NULL) {
        job = job_add_loading(c, id);
        job_start_loading(c, job);
    }
    job->time_wanted = true;
}

static void on_due_listed(struct core *c, struct wait *w, struct store_done *d)
{
    (void)w;
    c->due_reading = false;
    if (d->status != STORE_OK) {
        FM_LOG(ERROR, STORAGE, "the jobs that are due could not be listed, trying again", FM_ERR(&d->err));
        timers_note(c, c->wall_ms + RETRY_MS);
        return;
    }
    const struct store_due *due = &d->due;
    for (size_t i = 0; i < due->n; i++)
        wake_job(c, &due->items[i].id);
    if (due->more && due->n > 0)
        read_due(c, &due->items[due->n - 1]);
    else
        timers_note(c, due->next_wake_ms);
}

static void read_due(struct core *c, const struct store_due_job *after)
{
    c->due_reading = true;
    core_read(c, store_list_due(c->wall_ms, after->wake_ms, &after->id, core_page(c, DUE_PAGE)),
              on_due_listed, NULL);
}

void timers_tick(struct core *c)
{
    if (c->wake_at_ms == 0 || c->wake_at_ms > c->wall_ms || c->due_reading || !c->recovered || c->stopping)
        return;
    c->wake_at_ms = 0;
    read_due(c, &(struct store_due_job){.wake_ms = 0});
}

/* ---- what is due of a job ---- */

/* A question that nobody has answered in time: its slot is told, with the default answer or without. */
static void expire(struct core *c, struct job *job, const Fermata__V1__Pause *p)
{
    Fermata__V1__Task task = FERMATA__V1__TASK__INIT;
    task.routine = p->routine;
    task.slot = p->slot;
    task.data = pause_timeout_data(p);
    task.pause_id = p->pause_id;
    task.call_id = p->call_id;
    task.timed_out = p->on_timeout == ON_TIMEOUT_UNSPECIFIED ? ON_TIMEOUT_DEFAULT : p->on_timeout;
    (void)job_add_input(c, job, &task);
    job_note_here(c, job, ENTRY_KIND_ANSWERED, who_none("nobody had answered in time"), p->pause_id, NULL);
    pause_remember(job->head, p, PAUSE_END_EXPIRED, NULL, 0, c->wall_ms);
    google__protobuf__struct__free_unpacked(task.data, NULL);
    FM_LOG(INFO, STATE, "a question expired", FM_STR("job", job->text), FM_STR("pause", p->pause_id));
    job->head->emit_deferred = true;
    job->emit_deferred_input = job->head->input_count;
    job->head_dirty = true;
}

/* What time has done to the open questions: not all of very many at once, the others a second later. Returns
 * whether one has closed. */
static bool look_at_questions(struct core *c, struct job *job)
{
    size_t n = 0;
    for (size_t i = 0; i < job->head->n_pauses && n < EXPIRE_AT_ONCE;) {
        Fermata__V1__Pause *p = job->head->pauses[i];
        if (pause_escalate(p, c->wall_ms)) {
            job->head_dirty = true;
            FM_LOG(INFO, STATE, "a question is given to somebody else", FM_STR("job", job->text),
                   FM_STR("pause", p->pause_id), FM_STR("assignee", p->assignee));
        }
        if (!pause_is_over(p, c->wall_ms)) {
            i++;
            continue;
        }
        Fermata__V1__Pause *copy = pb_clone(p);
        job_remove_pause(job, copy->pause_id);
        expire(c, job, copy);
        fermata__v1__pause__free_unpacked(copy, NULL);
        n++;
    }
    return n > 0;
}

/* The job has taken too long. What runs of it is aborted. */
static void pass_deadline(struct core *c, struct job *job)
{
    if (job->host != NULL)
        interrupt_effect(unit_of(c, job), job, INTERRUPT_KIND_CANCEL);
    job_set_error(job, "DEADLINE_EXCEEDED", "the job took longer than the deadline of its flow", "", "");
    job_end(c, job, JOB_EV_FAIL);
}

static bool timer_is_due(const struct core *c, const struct job *job)
{
    int status = job_status(job);
    bool timers = status == JOB_SLEEPING || (status == JOB_PAUSED && !job_is_held(job));
    int64_t due = job_state_next_due(job->state);
    return timers && due != 0 && due <= c->wall_ms;
}

void job_on_time(struct core *c, struct job *job)
{
    job->time_wanted = false;
    if (children_due(job) && job->next == NULL && job->inflight == NULL)
        family_look(c, job);
    if (!job_status_final(job_status(job))) {
        int64_t deadline = time_to_ms(job->head->deadline_at);
        if (deadline != 0 && deadline <= c->wall_ms)
            pass_deadline(c, job);
        else if (look_at_questions(c, job))
            job_go_on(c, job);
        else if (timer_is_due(c, job))
            job_go_on_by_time(c, job);
    }
    job->head_dirty = true; /* also when nothing was due: its row gets the right wake time */
    unit_of(c, job);
}
