/* What must be true of a simulated world, while it runs and when it has come to rest. See sim.h. */
#include "sim_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "mem.h"

/* ---- handlers that begin ---- */

static struct starts *starts_of(const char *job_id, const char *what)
{
    struct starts *s;
    char key[sizeof(s->key)];
    memset(key, 0, sizeof(key));
    snprintf(key, sizeof(key), "%s/%.64s", job_id, what);
    HASH_FIND_STR(w.starts, key, s);
    if (s != NULL)
        return s;
    s = fm_xcalloc(1, sizeof(*s));
    memcpy(s->key, key, sizeof(key));
    HASH_ADD_STR(w.starts, key, s);
    return s;
}

void grant(const char *job_id, const char *pause_id, const char *task_id)
{
    struct starts *decision = starts_of(job_id, pause_id);
    if (decision->granted++ == 0)
        starts_of(job_id, task_id)->granted++;
}

void release(const char *job_id, const char *task_id)
{
    char what[64];
    snprintf(what, sizeof(what), "break/%.56s", task_id);
    starts_of(job_id, what)->granted++;
}

/* A task that is held by a breakpoint has been let go. */
static void check_held(const char *job_id, const char *routine, const char *task_id, uint32_t epoch)
{
    const struct sim_job *job = NULL;
    char what[64];
    for (size_t j = 0; j < w.n_jobs && job == NULL; j++)
        if (strcmp(w.jobs[j].id, job_id) == 0)
            job = &w.jobs[j];
    if (job == NULL || strcmp(job->break_at, routine) != 0)
        return;
    snprintf(what, sizeof(what), "break/%.56s", task_id);
    Fermata__V1__Job *h = sim_store_head(w.store, job_id);
    if (h != NULL && h->epoch == epoch && (int)h->status == JOB_RUNNING &&
        starts_of(job_id, what)->granted == 0)
        wrong("task %s of job %s begins, and a breakpoint holds it", task_id, job_id);
    if (h != NULL)
        fermata__v1__job__free_unpacked(h, NULL);
}

/* It must not rest on a step that could still vanish. */
void check_effect(const char *job_id, const char *routine, const char *task_id, uint32_t epoch)
{
    unsigned step;
    if (sscanf(task_id, "s%u.", &step) == 1 && sim_store_last_step(w.store, job_id) < step)
        wrong("the effect of task %s of job %s rests on step %u, which is not on disk", task_id, job_id,
              step);
    check_held(job_id, routine, task_id, epoch);
}

static bool has_id(char *const *list, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], id) == 0)
            return true;
    return false;
}

/* It has begun before only if that attempt has a step, or somebody had it run again; and as long as its host
 * has the job, the disk says that it runs. */
void check_once(const char *job_id, const char *task_id, uint32_t epoch)
{
    struct starts *s = starts_of(job_id, task_id);
    size_t allowed = 1 + s->granted + sim_store_attempts(w.store, job_id, task_id);
    trace("task %s of job %s begins under epoch %u", task_id, job_id, epoch);
    if (++s->started > allowed)
        wrong("task %s of job %s begins for the %zuth time; %zu were allowed", task_id, job_id, s->started,
              allowed);
    Fermata__V1__Job *h = sim_store_head(w.store, job_id);
    if (h != NULL && h->epoch == epoch && (int)h->status == JOB_RUNNING &&
        !has_id(h->intents, h->n_intents, task_id))
        wrong("task %s of job %s begins, and the disk does not know", task_id, job_id);
    if (h != NULL)
        fermata__v1__job__free_unpacked(h, NULL);
}

/* ---- hosts ---- */

bool host_talks(size_t host)
{
    for (const struct conn *k = w.conns; k != NULL; k = k->hh.next)
        if (k->host == host && k->core_open && k->heard_at > 0 && w.now < k->heard_at + 2 * HEARTBEAT_MS)
            return true;
    return false;
}

/* ---- what clients are told ---- */

void check_paused(size_t j, int64_t at, const Fermata__V1__PauseJobResponse *r)
{
    Fermata__V1__Job *h = sim_store_head(w.store, w.jobs[j].id);
    bool held = false;
    for (size_t i = 0; h != NULL && i < h->n_pauses; i++)
        held = held || h->pauses[i]->reason == FERMATA__V1__PAUSE_REASON__PAUSE_REASON_OPERATOR;
    bool let_go = w.jobs[j].let_go_at >= at; /* … before that was on disk */
    if (h == NULL || (!held && !let_go && !job_status_final((int)h->status)))
        wrong("job %zu is said to be paused (%s), and on disk it is not", j, job_status_name((int)r->status));
    if (h != NULL)
        fermata__v1__job__free_unpacked(h, NULL);
}

#define PATIENCE_MS 60000

void check_ops(void)
{
    for (const struct op *op = w.ops; op != NULL; op = op->hh.next) {
        int64_t since = op->at > w.healed_at ? op->at : w.healed_at;
        if (w.now > since + PATIENCE_MS)
            wrong("operation %d on %zu is not answered", (int)op->kind,
                  op->job != NO_JOB ? op->job : op->item);
    }
}

/* ---- jobs that have ended ---- */

bool plan_may_fail(const struct sim_plan *p)
{
    return p->on_error == FERMATA__V1__ERROR_POLICY__ERROR_POLICY_STOP || p->deadline_ms > 0;
}

static size_t count_in_list(const Google__Protobuf__Struct *s, const char *key, const char *token)
{
    size_t n = 0;
    for (size_t i = 0; s != NULL && i < s->n_fields; i++) {
        const Google__Protobuf__Value *v = s->fields[i]->value;
        if (strcmp(s->fields[i]->key, key) != 0 || v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE)
            continue;
        for (size_t k = 0; k < v->list_value->n_values; k++)
            n += token == NULL || strcmp(v->list_value->values[k]->string_value, token) == 0;
    }
    return n;
}

static double number_of(const Fermata__V1__JobState *s, const char *routine, const char *key)
{
    for (size_t i = 0; i < s->n_routine_states; i++) {
        const Google__Protobuf__Struct *m = s->routine_states[i]->value;
        if (strcmp(s->routine_states[i]->key, routine) != 0 || m == NULL)
            continue;
        for (size_t k = 0; k < m->n_fields; k++)
            if (strcmp(m->fields[k]->key, key) == 0)
                return m->fields[k]->value->number_value;
    }
    return 0;
}

/* Each input was handled once by each routine; what must not be repeated was done, or is known to be lost. */
static void check_token(size_t j, const Fermata__V1__JobState *s, const char *token, size_t least,
                        size_t most)
{
    const struct sim_job *job = &w.jobs[j];
    const Google__Protobuf__Struct *shared = s->shared_data;
    size_t done = count_in_list(shared, "done", token), late = count_in_list(shared, "late", token),
           logged = 0, once = count_in_list(shared, "once", token) + count_in_list(shared, "lost", token),
           kids = count_in_list(shared, "kids", token);
    for (size_t i = 0; i < s->n_shared_log; i++)
        logged += strcmp(s->shared_log[i]->message, token) == 0;
    if (done < least || done > most || late != done || logged > done ||
        (logged < done && s->log_trimmed == 0))
        wrong("job %zu: token %s was done %zu times, late %zu, logged %zu; wanted %zu to %zu", j, token, done,
              late, logged, least, most);
    if (once != done + (strcmp(token, job->token) == 0)) /* its question's deferred event goes there, too */
        wrong("job %zu: token %s was done %zu times, and %zu times where it must not be repeated", j, token,
              done, once);
    if (kids > done || (kids < done && job->plan.kids && !plan_may_fail(&job->plan)))
        wrong("job %zu: token %s was done %zu times, and by %zu children", j, token, done, kids);
}

/* Its question was answered once: by its client, or by itself when nobody did in time. */
static void check_answers(size_t j, const Fermata__V1__JobState *s)
{
    const struct sim_job *job = &w.jobs[j];
    size_t all = count_in_list(s->shared_data, "answers", NULL),
           yes = count_in_list(s->shared_data, "said", "yes"),
           nobody = count_in_list(s->shared_data, "said", "nobody");
    if (all != 1 || yes + nobody != 1)
        wrong("job %zu: %zu answers, of them %zu by its client, %zu by nobody", j, all, yes, nobody);
    if (nobody > 0 && (job->answer_acked || job->plan.answer_ms == 0))
        wrong("job %zu: its question closed by itself, and %s", j,
              job->answer_acked ? "an answer was acknowledged" : "it has no time for that");
    if (yes > 0 && job->plan.silent)
        wrong("job %zu: somebody has answered its question", j);
}

/* What it has used was allowed, and counted once. */
static void check_usage(size_t j, const Fermata__V1__Job *h, size_t inputs)
{
    const Fermata__V1__JobState *s = h->state;
    size_t spent = count_in_list(s->shared_data, "spent", NULL), wanted = w.jobs[j].plan.budget ? inputs : 0;
    uint32_t calls = s->usage != NULL ? s->usage->calls : 0, shown = h->usage != NULL ? h->usage->calls : 0;
    if (spent != wanted || number_of(s, "s", "n") > number_of(s, "s", "limit"))
        wrong("job %zu: %zu inputs, %zu were paid for; %g of at most %g", j, inputs, spent,
              number_of(s, "s", "n"), number_of(s, "s", "limit"));
    if (calls != shown || (double)calls < number_of(s, "s", "n"))
        wrong("job %zu: %u calls in its state, %u shown, %g made", j, calls, shown, number_of(s, "s", "n"));
    w.jobs[j].calls = calls;
}

static void check_rest(size_t j, const Fermata__V1__Job *h)
{
    const Fermata__V1__JobState *s = h->state;
    double patched = 0;
    for (size_t i = 0; s->shared_data != NULL && i < s->shared_data->n_fields; i++)
        if (strcmp(s->shared_data->fields[i]->key, "patch") == 0)
            patched = s->shared_data->fields[i]->value->number_value;
    if (patched < w.jobs[j].patch_acked || patched > w.jobs[j].patch_sent)
        wrong("job %zu: patch %u was acknowledged, %u sent, and %g is there", j, w.jobs[j].patch_acked,
              w.jobs[j].patch_sent, patched);
    w.jobs[j].logged = s->n_shared_log + s->log_trimmed;
    if (h->continue_wanted != NULL ||
        (h->generation < w.jobs[j].generation_acked && !plan_may_fail(&w.jobs[j].plan)))
        wrong("job %zu is of generation %u, and was said to begin generation %u", j, h->generation,
              w.jobs[j].generation_acked);
    check_answers(j, s);
    if (number_of(s, "c", "asked") != 1)
        wrong("job %zu: its deferred event was emitted %g times", j, number_of(s, "c", "asked"));
    if (count_in_list(s->shared_data, "failed", NULL) > 0 ||
        (w.calm && !plan_may_fail(&w.jobs[j].plan) && count_in_list(s->shared_data, "lost", NULL) > 0))
        wrong("job %zu: a task failed for no reason", j);
    if (s->n_pending_tasks > 0 || s->n_deferred_events > 0 || h->n_pauses > 0)
        wrong("job %zu has ended with %zu tasks, %zu deferred events, %zu pauses", j, s->n_pending_tasks,
              s->n_deferred_events, h->n_pauses);
    if (h->n_intents > 0 || h->n_lost_tasks > 0 || h->n_children > 0)
        wrong("job %zu has ended with %zu intents, %zu lost tasks, %zu children", j, h->n_intents,
              h->n_lost_tasks, h->n_children);
}

void check_final(size_t j, const Fermata__V1__Job *h)
{
    struct sim_job *job = &w.jobs[j];
    const Fermata__V1__JobState *s = h->state;
    int status = (int)h->status;
    job->got_final = true;
    job->steps = h->step_count;
    if (job->cancel_acked && status != JOB_CANCELLED)
        wrong("job %zu: its cancel was acknowledged, but it is %s", j, job_status_name(status));
    if (status == JOB_CANCELLED && !job->cancel_sent)
        wrong("job %zu is CANCELLED, and nobody wanted that", j);
    if (status == JOB_CANCELLED)
        return;
    if (status != JOB_COMPLETED) {
        wrong("job %zu is %s (%s)", j, job_status_name(status), h->error != NULL ? h->error->message : "");
        return;
    }
    size_t inputs = 1;
    check_token(j, s, job->token, 1, 1);
    for (size_t i = 0; i < job->n_inputs; i++) {
        const struct sim_input *in = &job->inputs[i];
        bool refused =
            in->refused && !plan_may_fail(&job->plan); /* else an earlier try may have come later */
        check_token(j, s, in->token, in->acked, in->sent && !refused);
        inputs += count_in_list(s->shared_data, "done", in->token);
    }
    if (number_of(s, "a", "n") != (double)inputs || number_of(s, "b", "n") != (double)inputs)
        wrong("job %zu: %zu inputs, counted %g and %g times", j, inputs, number_of(s, "a", "n"),
              number_of(s, "b", "n"));
    size_t kids, ended;
    sim_store_count_kids(w.store, job->id, &kids, &ended);
    /* children of a job that FAILED for a while were cancelled, some before they existed: that is their
     * result */
    size_t results = count_in_list(s->shared_data, "kids", NULL),
           cut = count_in_list(s->shared_data, "bad_kids", NULL);
    size_t wanted = job->plan.kids ? inputs : 0;
    if (results + cut != wanted || (cut > 0 && !plan_may_fail(&job->plan)))
        wrong("job %zu: %zu inputs, %zu results of children, %zu of cancelled ones", j, inputs, results, cut);
    if (!job->is_fork && (kids > wanted || kids + cut < wanted))
        wrong("job %zu: %zu inputs, and %zu children", j, inputs, kids);
    check_rest(j, h);
    check_usage(j, h, inputs);
}

bool check_kids(void)
{
    for (size_t j = 0; j < w.n_jobs; j++) {
        size_t kids, ended;
        sim_store_count_kids(w.store, w.jobs[j].id, &kids, &ended);
        if (kids != ended)
            return false;
    }
    return true;
}

static bool consumed(const Fermata__V1__Step *s, const char *task_id)
{
    return strcmp(s->task_id, task_id) == 0 && task_id[0] != '\0' &&
           (s->remedy == NULL || s->remedy->task == NULL) &&
           s->outcome != FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_RETRY &&
           s->outcome != FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_FAIL;
}

void plan_kill(const char *job_id, const char *task_id, uint32_t epoch)
{
    for (size_t i = 0; i < w.n_hosts; i++)
        for (size_t k = 0; k < MAX_IN_HAND; k++) {
            const struct in_hand *t = &w.hosts[i].in_hand[k];
            if (!t->used || t->epoch != epoch || strcmp(t->job, job_id) != 0 ||
                strcmp(t->task_id, task_id) != 0)
                continue;
            struct event *e = after((int64_t)rnd(200), EV_KILL);
            e->host = i;
            e->gen = w.hosts[i].gen;
        }
}

/* Only a task that has ended as many hosts as its policy allows fails for that, and none ends more: but what
 * it ended while certificates were lost does not count. */
static void check_losses(size_t j, const Fermata__V1__GetHistoryResponse *r)
{
    const struct sim_job *job = &w.jobs[j];
    size_t failed = 0;
    for (size_t i = 0; i < r->n_steps; i++) {
        const Fermata__V1__Step *s = r->steps[i];
        const char *why = s->error != NULL ? s->error->message : "";
        char key[96];
        struct kills *k;
        if (strstr(why, "max_losses") == NULL)
            continue;
        failed++;
        snprintf(key, sizeof(key), "%s/%s", job->id, s->task_id);
        HASH_FIND_STR(w.kills, key, k);
        if (strcmp(s->routine, "z") != 0)
            wrong("job %zu: task %s of routine %s fails for deaths that it did not cause", j, s->task_id,
                  s->routine);
        else if (!job->is_fork && (k == NULL || k->n < job->plan.kills))
            wrong("job %zu: task %s fails after %u deaths; %u are allowed", j, s->task_id,
                  k == NULL ? 0 : k->n, job->plan.kills);
        else if (k != NULL && k->n_healed > 2 * job->plan.kills + 2)
            wrong("job %zu: task %s has ended %u hosts; %u are allowed", j, s->task_id, k->n_healed,
                  job->plan.kills);
    }
    if (job->plan.kills > 0 && job->status == JOB_COMPLETED && !w.operators && !job->is_fork && failed != 1)
        wrong("job %zu has a task that ends its hosts, and %zu that failed for that", j, failed);
}

void check_history(size_t j, const Fermata__V1__GetHistoryResponse *r)
{
    uint32_t epoch = 0;
    uint64_t calls = 0, own = 0;
    uint64_t logs = 0;
    uint32_t before = r->n_steps > 0 ? r->steps[0]->number - 1 : 0; /* of a fork: not in its generation */
    w.jobs[j].got_history = true;
    check_losses(j, r);
    if (before > 0 && !w.jobs[j].is_fork)
        wrong("job %zu: its history begins with step %u", j, before + 1);
    if (r->n_steps + before != w.jobs[j].steps)
        wrong("job %zu: %zu steps in the history, %u applied", j, r->n_steps, w.jobs[j].steps);
    for (size_t i = 0; i < r->n_steps; i++) {
        const Fermata__V1__Step *s = r->steps[i];
        logs += s->n_log;
        if (s->number != before + i + 1)
            wrong("job %zu: step %u stands at place %zu", j, s->number, before + i + 1);
        if (s->epoch < epoch)
            wrong("job %zu: step %u is of epoch %u, the one before of %u", j, s->number, s->epoch, epoch);
        epoch = s->number == w.jobs[j].forked_at ? 0 : s->epoch; /* a fork's own epochs begin anew */
        calls += s->usage != NULL ? s->usage->calls : 0;
        own += s->usage != NULL && s->number > w.jobs[j].forked_at ? s->usage->calls : 0;
        for (size_t k = 0; k < i; k++)
            if (consumed(r->steps[k], s->task_id))
                wrong("job %zu: task %s was consumed by steps %u and %u", j, s->task_id, r->steps[k]->number,
                      s->number);
    }
    bool completed = w.jobs[j].status == JOB_COMPLETED;
    if (completed && before == 0 && logs != w.jobs[j].logged)
        wrong("job %zu: %llu entries of the log in its steps, and it has had %llu", j,
              (unsigned long long)logs, (unsigned long long)w.jobs[j].logged);
    if ((completed && before == 0 && calls != w.jobs[j].calls) ||
        own != sim_store_calls(w.store, w.jobs[j].id))
        wrong("job %zu: %llu calls in its steps, %u in its state; %llu of its own, %llu in the ledger", j,
              (unsigned long long)calls, w.jobs[j].calls, (unsigned long long)own,
              (unsigned long long)sim_store_calls(w.store, w.jobs[j].id));
}
