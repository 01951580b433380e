/* The prelude of a step: what the job's deferred events have become since the step before. See
 * prelude.h. */
#include "prelude.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "build.h"
#include "fermata/v1/host_agent.pb.h"
#include "hsession.h"
#include "log.h"
#include "mem.h"
#include "routing.h"

/* A prelude of more than this is a step of its own. */
#define LARGE_BYTES 65536
#define LARGE_TASKS 1000

/* ---- deferred events ---- */

static void encode_task(const struct task *t, const char *from_routine, const char *from_event,
                        struct fm_buf *out)
{
    fermata_v1_Task m;
    memset(&m, 0, sizeof(m));
    m.task_id = pb_var_str(t->id);
    m.routine = pb_var_str(t->routine);
    m.slot = pb_var_str(t->slot);
    m.data = pb_var_bytes(t->data.p, t->data.n);
    m.from_routine = pb_var_str(from_routine);
    m.from_event = pb_var_str(from_event);
    m.connection = t->connection;
    pb_var_pack(fermata_v1_Task_fields, &m, out);
}

static struct fm_buf *add_buf(struct fm_buf **list, size_t *n)
{
    *list = fm_xgrow(*list, *n, sizeof(**list));
    (*list)[*n] = (struct fm_buf){0};
    return &(*list)[(*n)++];
}

/* No connection takes it. */
static void put_deferred_output(struct hjob *job, const struct deferred *d)
{
    fermata_v1_Output m;
    memset(&m, 0, sizeof(m));
    m.routine = pb_var_str(d->routine);
    m.event = pb_var_str(d->event);
    m.data = pb_var_bytes(d->data.p, d->data.n);
    pb_var_pack(fermata_v1_Output_fields, &m, add_buf(&job->prelude_outputs, &job->n_prelude_outputs));
}

/* A notice beside the pause, which shows the same: nobody misses it. */
static bool is_notice(const struct routine *from, const char *event)
{
    return from->type != NULL && (registry_event_flags(from->type, event) & FM_EVENT_NOTICE) != 0;
}

/* A deferred event on its way. */
struct released {
    struct hjob *job;
    const struct deferred *event;
};

static void add_deferred_task(void *arg, const struct connection *c, struct fm_bytes data)
{
    const struct released *way = arg;
    struct hjob *job = way->job;
    char id[48];
    snprintf(id, sizeof(id), "d%u.%zu", job->last_step + 1, job->n_prelude_tasks);
    const struct task t = {.id = id,
                           .routine = c->to_routine,
                           .slot = c->slot,
                           .pause_id = "",
                           .key = "",
                           .call_id = "",
                           .connection = c->number,
                           .data = data};
    struct fm_buf *b = add_buf(&job->prelude_tasks, &job->n_prelude_tasks);
    encode_task(&t, way->event->routine, way->event->event, b);
    hjob_add_task(job, task_new(&t));
}

/* Whether its tasks fit into a step. A step that defers more than that has failed; so it is an event of an
 * operator's step, or of an older host's. */
static bool fits(const struct hjob *job, const struct routine *from, const struct deferred *d)
{
    struct routing counted = {0};
    uint32_t n = routing_event(&counted, job->session->max_step_bytes, from, d->event, d->data, NULL, NULL);
    if (counted.excess == WITHIN_LIMITS && n <= FM_MAX_STEP_ITEMS)
        return true;
    FM_LOG(ERROR, EXECUTION, "a deferred event is too much for one step: it becomes an output of the job",
           FM_STR("job", job->id), FM_STR("routine", d->routine), FM_STR("event", d->event),
           FM_U64("bytes", d->data.n), FM_U64("tasks", n));
    return false;
}

static void emit_one_deferred(struct hjob *job, const struct deferred *d)
{
    const struct routine *from = flow_routine(job->flow, d->routine);
    struct released way = {job, d};
    struct routing made = {0};
    bool too_much = !fits(job, from, d);
    uint32_t taken = too_much ? 0
                              : routing_event(&made, job->session->max_step_bytes, from, d->event, d->data,
                                              add_deferred_task, &way);
    if (taken == 0 && (too_much || !is_notice(from, d->event)))
        put_deferred_output(job, d);
}

/* What the prelude takes of its step, about. */
static size_t prelude_bytes(const struct hjob *job)
{
    size_t n = 0;
    for (size_t i = 0; i < job->n_prelude_tasks; i++)
        n += job->prelude_tasks[i].n;
    for (size_t i = 0; i < job->n_prelude_outputs; i++)
        n += job->prelude_outputs[i].n;
    return n;
}

/* A large prelude is a step of its own, and does not take the room of the next task's. */
void prelude_emit_deferred(struct hjob *job)
{
    struct deferred *d, *tmp;
    DL_FOREACH_SAFE (job->deferred, d, tmp) {
        emit_one_deferred(job, d);
        DL_DELETE(job->deferred, d);
        job->prelude_deferred++;
        free(d);
        if (job->n_prelude_tasks > LARGE_TASKS || prelude_bytes(job) > LARGE_BYTES)
            (void)prelude_make_step(job);
    }
}

/* ---- a step of its own ---- */

bool prelude_make_step(struct hjob *job)
{
    fermata_v1_Step m;
    fm_auto(fm_buf) step = {0};
    fm_auto(fm_err) err = {0};
    memset(&m, 0, sizeof(m));
    m.number = job->last_step + 1;
    m.epoch = job->epoch;
    m.inputs_through = job->inputs_through;
    m.deferred_emitted = job->prelude_deferred;
    m.deferred_tasks = build_views(job->prelude_tasks, job->n_prelude_tasks);
    m.deferred_outputs = build_views(job->prelude_outputs, job->n_prelude_outputs);
    m.outcome = (fermata_v1_StepOutcome)OUTCOME_CONTINUE;
    pb_var_pack(fermata_v1_Step_fields, &m, &step);
    free(m.deferred_tasks.items);
    free(m.deferred_outputs.items);
    bool good = session_check_step(job->session, &step, &err) == 0;
    if (good) {
        hjob_send_step(job, &step);
        hjob_clear_prelude(job);
    }
    return good;
}
