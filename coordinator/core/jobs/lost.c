/* Tasks whose loss must not go unnoticed (policy on_lost: ask or fail). The host announces that it is about
 * to run such a task (an intent), and starts only when that is on disk. When the job leaves the host, in
 * whatever way, and the task has no step, its outcome is unknown: a person decides, or the task fails on the
 * next host. Only of a task that was never announced, or of which the host says that it has not begun, is it
 * sure that it never started: it simply runs. An attempt that failed, or took too long, has a step: it is a
 * known outcome, and the policy for failures decides.
 *
 * The record has two lists: `intents`, what the present host has announced; and `lost_tasks`, what shall
 * fail.
 *
 * And tasks that end their hosts: with a certificate of death come the tasks that were at work. They are
 * counted (`losses`, model/losses.h), and tried with nothing beside them (apart.c); after as many as the
 * policy allows (max_losses) they are among those that shall fail. Of a task with on_lost ask or fail that
 * rule holds.
 */
#include "lost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "check.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "host.h"
#include "id.h"
#include "job.h"
#include "job_state.h"
#include "log.h"
#include "losses.h"
#include "mem.h"
#include "name.h"
#include "pbc.h"
#include "remedies.h"
#include "send.h"
#include "state.h"
#include "table.h"
#include "unit.h"

#define MAX_INTENTS 1000
#define MAX_AT_WORK 64 /* tasks of a job side by side: the limit of parallelism */

/* ---- lists of task ids ---- */

static bool find_id(char *const *list, size_t n, const char *task_id, size_t *ret_at)
{
    for (*ret_at = 0; *ret_at < n; (*ret_at)++)
        if (strcmp(list[*ret_at], task_id) == 0)
            return true;
    return false;
}

static void add_id(struct job *job, char ***list, size_t *n, const char *task_id)
{
    size_t at;
    if (find_id(*list, *n, task_id, &at))
        return;
    *list = fm_xrealloc(*list, (*n + 1) * sizeof(**list));
    (*list)[(*n)++] = fm_xstrdup(task_id);
    job->head_dirty = true;
}

static void remove_id(struct job *job, char ***list, size_t *n, const char *task_id)
{
    size_t at;
    if (!find_id(*list, *n, task_id, &at))
        return;
    free((*list)[at]);
    memmove(&(*list)[at], &(*list)[at + 1], (*n - at - 1) * sizeof(**list));
    job->head_dirty = true;
    if (--*n > 0)
        return;
    free(*list);
    *list = NULL;
}

/* ---- intents ---- */

void lost_on_intent(struct core *c, struct host *h, const Fermata__V1__Intent *m)
{
    struct fm_id id;
    struct job *job = fm_id_parse(m->job_id, &id) == 0 ? job_in_memory(c, &id) : NULL;
    if (job == NULL || job->loading || job->host != h || job->head->epoch != m->epoch)
        return; /* the host has lost the job: nothing answers, and the handler never starts */
    size_t at;
    Fermata__V1__Job *head = job->head;
    if (find_id(head->lost_tasks, head->n_lost_tasks, m->task_id, &at))
        return; /* it shall fail, and not be run */
    if (!find_id(head->intents, head->n_intents, m->task_id, &at) && head->n_intents >= MAX_INTENTS)
        return;
    add_id(job, &head->intents, &head->n_intents, m->task_id);
    /* Also when it is known: what is known may not be on disk yet. */
    intent_effect(unit_of(c, job), m->epoch, m->task_id);
}

void lost_unstarted(struct job *job, const char *task_id)
{
    remove_id(job, &job->head->intents, &job->head->n_intents, task_id);
}

/* What the task has done is known now, or somebody has decided that it runs again. */
static void lost_intent_done(struct job *job, const char *task_id)
{
    size_t at;
    if (find_id(job->head->intents, job->head->n_intents, task_id, &at)) {
        /* What was announced is answered no more: that would be taken for an answer to the next attempt's. */
        intent_forget(job->inflight, task_id);
        intent_forget(job->next, task_id);
        lost_unstarted(job, task_id);
    }
    remove_id(job, &job->head->lost_tasks, &job->head->n_lost_tasks, task_id);
}

/* Ids say by which step or input tasks are made: when that is there and the task is not, it will not come. */
static bool is_gone(const struct job *job, const char *task_id)
{
    unsigned long number = strtoul(task_id + (task_id[0] != '\0'), NULL, 10);
    uint32_t last = task_id[0] == 'i' ? job->head->input_count : job_state_step(job->state);
    return number <= last && job_find_task(job, task_id) == NULL;
}

bool lost_task_known(struct job *job, const char *task_id)
{
    Fermata__V1__Job *head = job->head;
    bool was_suspect = loss_is_suspect(head);
    lost_intent_done(job, task_id);
    for (size_t i = head->n_losses; i-- > 0;) {
        const char *id = head->losses[i]->task_id;
        if (strcmp(id, task_id) != 0 && !is_gone(job, id))
            continue;
        fm_autofree char *gone = fm_xstrdup(id);
        remove_id(job, &head->lost_tasks, &head->n_lost_tasks, gone);
        (void)loss_forget(head, gone);
        job->head_dirty = true;
    }
    return was_suspect && !loss_is_suspect(head);
}

void lost_forget(struct job *job)
{
    Fermata__V1__Job *h = job->head;
    while (h->n_intents > 0)
        remove_id(job, &h->intents, &h->n_intents, h->intents[0]);
    while (h->n_lost_tasks > 0)
        remove_id(job, &h->lost_tasks, &h->n_lost_tasks, h->lost_tasks[0]);
    job->head_dirty = job->head_dirty || h->n_losses > 0;
    loss_forget_all(h);
}

/* ---- a host was lost ---- */

static Fermata__V1__Flow *flow_of(const struct job *job)
{
    return job->def == NULL ? NULL : fermata__v1__flow__unpack(NULL, job->def->body.n, job->def->body.p);
}

static Fermata__V1__LostPolicy policy_of(const Fermata__V1__Flow *flow, const char *routine)
{
    Fermata__V1__LostPolicy usual = flow->defaults != NULL ? flow->defaults->on_lost : LOST_POLICY_RETRY;
    for (size_t i = 0; i < flow->n_routines; i++) {
        const Fermata__V1__Policy *p = flow->routines[i]->policy;
        if (strcmp(flow->routines[i]->id, routine) == 0 && p != NULL && p->on_lost != LOST_POLICY_UNSPECIFIED)
            return p->on_lost;
    }
    return usual;
}

static bool is_asked(const struct job *job, const char *task_id)
{
    for (size_t i = 0; i < job->head->n_pauses; i++)
        if (job->head->pauses[i]->reason == PAUSE_REASON_OUTCOME_UNKNOWN &&
            strcmp(job->head->pauses[i]->task_id, task_id) == 0)
            return true;
    return false;
}

static void ask(struct core *c, struct job *job, const struct task_item *t, size_t number)
{
    char id[48], question[512];
    snprintf(id, sizeof(id), "u%u.%zu", job->head->revision + 1, number);
    snprintf(
        question, sizeof(question),
        "Host %.128s was lost while it handled task %.64s of routine %.128s. What it has done is not known. "
        "Answer \"retry\", \"fail\", {\"done\": {\"event\": …, \"data\": {…}}}, or {\"done\": {}} when it "
        "emitted nothing.",
        job->head->last_host, t->id, t->routine);
    Fermata__V1__Pause p = FERMATA__V1__PAUSE__INIT;
    Google__Protobuf__Timestamp at = core_now(c);
    p.pause_id = id;
    p.reason = PAUSE_REASON_OUTCOME_UNKNOWN;
    p.question = question;
    p.routine = (char *)(uintptr_t)t->routine;
    p.slot = (char *)(uintptr_t)t->slot;
    p.task_id = (char *)(uintptr_t)t->id;
    p.step = job_state_step(job->state);
    p.at = &at;
    job_add_pause(job, pb_clone(&p));
    FM_LOG(WARN, STATE, "a task's outcome is unknown: somebody must decide", FM_STR("job", job->text),
           FM_STR("task", t->id), FM_STR("host", job->head->last_host));
}

/* What becomes of one announced task without a step. */
static void lose_task(struct core *c, struct job *job, const Fermata__V1__Flow *flow, const char *task_id,
                      size_t number)
{
    const struct task_item *t = job_find_task(job, task_id);
    if (t == NULL)
        return;
    Fermata__V1__LostPolicy policy = flow != NULL ? policy_of(flow, t->routine) : LOST_POLICY_FAIL;
    if (policy == LOST_POLICY_FAIL)
        add_id(job, &job->head->lost_tasks, &job->head->n_lost_tasks, t->id);
    else if (policy == LOST_POLICY_ASK && !is_asked(job, t->id))
        ask(c, job, t, number);
}

void lost_tasks(struct core *c, struct job *job)
{
    if (job->head->n_intents == 0)
        return;
    fm_auto_pb Fermata__V1__Flow *flow = flow_of(job);
    for (size_t i = 0; job->head->n_intents > 0; i++) {
        fm_autofree char *id = fm_xstrdup(job->head->intents[0]);
        lost_unstarted(job, id);
        lose_task(c, job, flow, id, i);
    }
}

/* ---- a host daemon has died ---- */

/* The limit of the routine's policy, when a task with so many losses is near it; else 0. */
static uint32_t near_limit(const struct job *job, const char *routine, uint32_t losses)
{
    if (job->def != NULL && (job->def->min_losses == 0 || losses + 2 < job->def->min_losses))
        return 0;
    fm_auto_pb Fermata__V1__Flow *flow = flow_of(job);
    return loss_limit(flow, routine);
}

/* The task was at work when the daemon died, or may have been. It need not be known: the step that made it
 * may not have come, but when it runs again it has the same id.
 *
 * What others were at work at, too, never ends a task: the last loss is one that it was alone at. So a task
 * that is near its limit is tried alone from now on, and so is one that two daemons have died with. After one
 * death jobs move on at once: most deaths have nothing to do with what was at work. */
static void note_loss(struct job *job, const char *task_id, const char *routine, bool was_alone,
                      Fermata__V1__HostDeath *death)
{
    Fermata__V1__Job *head = job->head;
    const Fermata__V1__TaskLoss *before = loss_find(head, task_id);
    uint32_t had = before == NULL ? 0 : before->losses, limit = near_limit(job, routine, had);
    size_t at;
    death->counts = was_alone || (death->counts && (limit == 0 || had + 1 < limit));
    Fermata__V1__TaskLoss *loss = loss_note(head, task_id, routine, death);
    if (loss == NULL)
        return;
    job->head_dirty = true;
    loss->alone = loss->deaths > 1 || (limit > 0 && loss->losses + 1 >= limit);
    FM_LOG(WARN, STATE, "a task was at work when its host daemon died", FM_STR("job", job->text),
           FM_STR("task", task_id), FM_STR("routine", routine), FM_STR("host", death->host),
           FM_STR("how", death->how), FM_U64("losses", loss->losses), FM_U64("deaths", loss->deaths));
    if (find_id(head->intents, head->n_intents, task_id, &at))
        return; /* its policy on_lost says what becomes of it */
    loss->fails = death->counts && limit > 0 && loss->losses >= limit;
    if (loss->fails)
        add_id(job, &head->lost_tasks, &head->n_lost_tasks, task_id);
}

/* It is not known what was at work: the first task that is due of each routine may have been, of as many as
 * run side by side. */
static void note_unknown(struct core *c, struct job *job, bool was_alone, Fermata__V1__HostDeath *death)
{
    uint32_t most = job->def == NULL || job->def->parallelism < 1 ? 1 : job->def->parallelism, n = 0;
    const struct task_item *found[MAX_AT_WORK], *lists[] = {job_state_tasks(job->state), job->inputs};
    for (size_t k = 0; k < 2; k++)
        for (const struct task_item *t = lists[k]; t != NULL && n < most && n < MAX_AT_WORK; t = t->next) {
            bool behind = t->due_ms > c->wall_ms;
            for (uint32_t i = 0; i < n && !behind; i++)
                behind = strcmp(found[i]->routine, t->routine) == 0;
            if (!behind)
                found[n++] = t;
        }
    for (uint32_t i = 0; i < n; i++) {
        death->counts = false;
        note_loss(job, found[i]->id, found[i]->routine, was_alone, death);
    }
}

void lost_certified(struct core *c, struct host *h, const Fermata__V1__CertifyDeathRequest *q)
{
    Fermata__V1__HostDeath death = FERMATA__V1__HOST_DEATH__INIT;
    Google__Protobuf__Timestamp at = core_now(c);
    struct job *job;
    death.host = h->id;
    death.at = &at;
    death.how = q->how;
    for (size_t i = 0; i < q->n_in_hand; i++) {
        const Fermata__V1__TaskInHand *m = q->in_hand[i];
        struct fm_id id;
        job = fm_id_parse(m->job_id, &id) == 0 ? job_in_memory(c, &id) : NULL;
        if (job == NULL || job->loading || job->host != h || job->head->epoch != m->epoch)
            continue;
        death.counts = true;
        note_loss(job, m->task_id, m->routine, q->n_in_hand == 1, &death);
    }
    if (q->cause == DEATH_CAUSE_UNSPECIFIED)
        DL_FOREACH2 (h->jobs, job, host_next)
            if (!job->loading)
                note_unknown(c, job, h->n_jobs == 1, &death);
}

/* ---- somebody has decided ---- */

static const Google__Protobuf__Value *field(const Google__Protobuf__Value *v, const char *key)
{
    if (v == NULL || v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
        return NULL;
    for (size_t i = 0; i < v->struct_value->n_fields; i++)
        if (strcmp(v->struct_value->fields[i]->key, key) == 0)
            return v->struct_value->fields[i]->value;
    return NULL;
}

static bool says(const Google__Protobuf__Value *v, const char *word)
{
    return v != NULL && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE &&
           strcmp(v->string_value, word) == 0;
}

/* v is an object without other keys than `one` and `other`. */
static int check_keys(const char *where, const Google__Protobuf__Value *v, const char *one, const char *other,
                      struct fm_err *err)
{
    if (v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
        return fm_err_set(err, FM_INVALID_ARGUMENT, where, "%s must be an object", where);
    for (size_t i = 0; i < v->struct_value->n_fields; i++) {
        const char *key = v->struct_value->fields[i]->key;
        if (strcmp(key, one) == 0 || strcmp(key, other) == 0)
            continue;
        return fm_err_set(err, FM_INVALID_ARGUMENT, where,
                          "%s has the key \"%.64s\"; it may have \"%s\"%s%s%s", where, key, one,
                          other[0] != '\0' ? " and \"" : "", other, other[0] != '\0' ? "\"" : "");
    }
    return 0;
}

/* What is not understood is refused: whoever gives a result must not see it vanish. */
static int check_done(const Google__Protobuf__Value *done, struct fm_err *err)
{
    const Google__Protobuf__Value *event = field(done, "event"), *data = field(done, "data");
    if (check_keys("answer.done", done, "event", "data", err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (event == NULL && data != NULL)
        return fm_err_set(
            err, FM_INVALID_ARGUMENT, "answer.done.event",
            "answer.done has data but no event to emit it as; {} is a task that emitted nothing");
    if (event != NULL && event->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "answer.done.event",
                          "answer.done.event must be a string");
    if (event != NULL && fm_name_check("answer.done.event", event->string_value, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (data != NULL && data->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "answer.done.data", "answer.done.data must be an object");
    return 0;
}

int lost_check_answer(const Google__Protobuf__Value *answer, struct fm_err *err)
{
    const Google__Protobuf__Value *done = field(answer, "done");
    if (says(answer, "retry") || says(answer, "fail"))
        return 0;
    if (done != NULL)
        return check_keys("answer", answer, "done", "", err) < 0 ? -FM_INVALID_ARGUMENT
                                                                 : check_done(done, err);
    return fm_err_set(
        err, FM_INVALID_ARGUMENT, "answer",
        "the outcome of a task is unknown: answer \"retry\", \"fail\", {\"done\": {\"event\": …, "
        "\"data\": {…}}}, or {\"done\": {}} when it emitted nothing");
}

/* The task is consumed with the result that somebody knows. False when that cannot be. */
static bool settle(struct core *c, struct job *job, const char *task_id, const Google__Protobuf__Value *done,
                   const char *by)
{
    const Google__Protobuf__Value *event = field(done, "event"), *data = field(done, "data");
    fm_auto(fm_err) err = {0};
    int rc =
        remedy_skip(c, job, task_id, event == NULL ? "" : event->string_value,
                    data == NULL ? NULL : data->struct_value, by, "its outcome was known to somebody", &err);
    if (rc < 0)
        FM_LOG(WARN, STATE, "a task could not be settled, it fails", FM_STR("job", job->text),
               FM_STR("task", task_id), FM_ERR(&err));
    return rc == 0;
}

void lost_answer(struct core *c, struct job *job, const Fermata__V1__Pause *p,
                 const Google__Protobuf__Value *answer, const char *by)
{
    fm_autofree char *task_id = fm_xstrdup(p->task_id);
    bool runs = says(answer, "retry");
    lost_intent_done(job, task_id);
    if (runs || (!says(answer, "fail") && settle(c, job, task_id, field(answer, "done"), by)))
        return;
    add_id(job, &job->head->lost_tasks, &job->head->n_lost_tasks, task_id);
}
