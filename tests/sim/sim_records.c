/* What must be true of what is stored: no record goes back, and each says when and by what its job is woken.
 * See sim.h. */
#include "sim_records.h"

#include <string.h>

#include "job.h"
#include "job_state.h"
#include "mem.h"
#include "sim_oracle.h"
#include "store_int.h"

#define LATE_MS 6000 /* what nobody has done by then is forgotten */
#define RETRY_MS 1000

static int64_t wall(void)
{
    return w.core != NULL ? core_wall_ms(w.core) : WALL_MS + w.now;
}

static int64_t ms_of(const Google__Protobuf__Timestamp *t)
{
    return t == NULL ? 0 : t->seconds * 1000 + t->nanos / 1000000;
}

/* ---- a unit ---- */

/* No step is stored under an epoch that is over. */
static void check_epoch(const struct record *r)
{
    char job_id[27];
    fm_id_text(&r->job, job_id);
    Fermata__V1__Job *h = sim_store_head(w.store, job_id);
    Fermata__V1__Step *step = h != NULL ? fermata__v1__step__unpack(NULL, r->body.n, r->body.p) : NULL;
    if (step != NULL && step->epoch < h->epoch)
        wrong("step %u of job %s is of epoch %u, and the job's epoch is %u", step->number, job_id,
              step->epoch, h->epoch);
    if (step != NULL)
        fermata__v1__step__free_unpacked(step, NULL);
    if (h != NULL)
        fermata__v1__job__free_unpacked(h, NULL);
}

/* What has ended has ended (only a FAILED job can go on), and no number falls. A unit may stand for several
 * changes, so more cannot be said of its status. */
static void check_goes_on(const char *job_id, const Fermata__V1__Job *old, const Fermata__V1__Job *now)
{
    bool ended = (int)old->status == JOB_COMPLETED || (int)old->status == JOB_CANCELLED;
    if (ended && now->status != old->status)
        wrong("job %s was %s and is stored as %s", job_id, job_status_name((int)old->status),
              job_status_name((int)now->status));
    if (now->epoch < old->epoch || now->revision < old->revision || now->input_count < old->input_count)
        wrong("job %s goes back: epoch %u, revision %u, %u inputs after epoch %u, revision %u, %u inputs",
              job_id, now->epoch, now->revision, now->input_count, old->epoch, old->revision,
              old->input_count);
    if (now->generation < old->generation || now->generation_step < old->generation_step ||
        now->entry_count < old->entry_count || now->step_count < old->step_count)
        wrong("job %s goes back: generation %u from step %u, %u entries, %u steps after %u, %u, %u, %u",
              job_id, now->generation, now->generation_step, now->entry_count, now->step_count,
              old->generation, old->generation_step, old->entry_count, old->step_count);
    bool revived = (int)old->status == JOB_FAILED && !job_status_final((int)now->status);
    if (revived && ms_of(now->deadline_at) > 0 && ms_of(now->deadline_at) <= ms_of(old->deadline_at))
        wrong("job %s goes on, and its deadline is the one that it had", job_id);
}

/* It waits for somebody or something, or it does not wait. */
static void check_status(const char *job_id, const Fermata__V1__Job *h)
{
    int status = (int)h->status;
    bool final = job_status_final(status);
    if ((status == JOB_RUNNING) != (h->host[0] != '\0'))
        wrong("job %s is stored as %s, on host \"%s\"", job_id, job_status_name(status), h->host);
    if (h->pause_requested && status != JOB_RUNNING)
        wrong("job %s is stored as %s, and the pause that was asked for is forgotten", job_id,
              job_status_name(status));
    if (status == JOB_PAUSED && h->n_pauses == 0)
        wrong("job %s is stored as PAUSED, and no pause is open", job_id);
    if (final && h->n_pauses > 0)
        wrong("job %s is stored as %s, and a pause is open", job_id, job_status_name(status));
    if (final != (h->finished_at != NULL))
        wrong("job %s is stored as %s, and the time of its end is%s there", job_id, job_status_name(status),
              final ? " not" : "");
    if ((status == JOB_FAILED) != (h->error != NULL) && status != JOB_CANCELLED)
        wrong("job %s is stored as %s, with %s error", job_id, job_status_name(status),
              h->error != NULL ? "an" : "no");
}

static void sooner(int64_t *at, int64_t ms)
{
    if (ms > 0 && (*at == 0 || ms < *at))
        *at = ms;
}

/* When a record says that its job is to be looked at, tasks that are due aside; 0: never. */
static int64_t wake_of(const Fermata__V1__Job *h)
{
    int64_t at = 0;
    bool final = job_status_final((int)h->status), family = final && (h->parent_waits || h->n_children > 0);
    for (size_t i = 0; i < h->n_children; i++)
        family = family || !h->children[i]->started;
    for (size_t i = 0; i < h->n_pauses; i++)
        sooner(&at, ms_of(h->pauses[i]->expires_at));
    if (!final)
        sooner(&at, ms_of(h->deadline_at));
    if (family) /* a child whose parent has no room for its result tries again after a minute */
        sooner(&at, wall() + (final && h->parent_waits ? 60000 : 0) + 2 * LATE_MS);
    return at;
}

static void check_wake(const char *job_id, const Fermata__V1__Job *h, int64_t wake_ms)
{
    int64_t want = wake_of(h), soon = wall() + RETRY_MS;
    if (want > 0 && (wake_ms == 0 || wake_ms > (want > soon ? want : soon)))
        wrong("job %s is to be looked at at %lld, and its row says %lld", job_id, (long long)(want - WALL_MS),
              wake_ms == 0 ? -1 : (long long)(wake_ms - WALL_MS));
}

/* A child begins when the step that starts it is on disk. */
static void check_birth(const char *job_id, const Fermata__V1__Job *h)
{
    const struct sim_job *parent = NULL;
    for (size_t j = 0; j < w.n_jobs && parent == NULL; j++)
        if (h->parent[0] != '\0' && strcmp(w.jobs[j].id, h->parent) == 0)
            parent = &w.jobs[j];
    if (parent == NULL || parent->cancel_sent || plan_may_fail(&parent->plan))
        return; /* one whose parent ends meanwhile may be born too late */
    Fermata__V1__Job *of = sim_store_head(w.store, h->parent);
    bool known = false;
    for (size_t i = 0; of != NULL && i < of->n_children; i++)
        known = known || strcmp(of->children[i]->job_id, job_id) == 0;
    if (!known)
        wrong("job %s is started by job %s, and the disk does not know", job_id, h->parent);
    if (of != NULL)
        fermata__v1__job__free_unpacked(of, NULL);
}

static void check_head(const struct record *r)
{
    char job_id[27];
    fm_id_text(&r->job, job_id);
    Fermata__V1__Job *old = sim_store_head(w.store, job_id);
    Fermata__V1__Job *now = fermata__v1__job__unpack(NULL, r->body.n, r->body.p);
    if (now == NULL) {
        wrong("the record of job %s is malformed", job_id);
    } else {
        if (old != NULL && !r->is_new) /* one that is there already lets the unit fail */
            check_goes_on(job_id, old, now);
        if (old == NULL)
            check_birth(job_id, now);
        check_status(job_id, now);
        check_wake(job_id, now, r->wake_ms);
        fermata__v1__job__free_unpacked(now, NULL);
    }
    if (old != NULL)
        fermata__v1__job__free_unpacked(old, NULL);
}

static bool has_key(const Google__Protobuf__Struct *s, const char *key)
{
    for (size_t i = 0; s != NULL && i < s->n_fields; i++)
        if (strcmp(s->fields[i]->key, key) == 0)
            return true;
    return false;
}

/* A question that closes by itself does so when its time has come. */
static void check_input(const struct record *r)
{
    char job_id[27];
    fm_id_text(&r->job, job_id);
    Fermata__V1__Task *t = fermata__v1__task__unpack(NULL, r->body.n, r->body.p);
    if (t == NULL) {
        wrong("input %u of job %s is malformed", r->number, job_id);
        return;
    }
    Fermata__V1__Job *h =
        t->pause_id[0] != '\0' && has_key(t->data, "expired") ? sim_store_head(w.store, job_id) : NULL;
    for (size_t i = 0; h != NULL && i < h->n_pauses; i++)
        if (strcmp(h->pauses[i]->pause_id, t->pause_id) == 0 &&
            (h->pauses[i]->expires_at == NULL || ms_of(h->pauses[i]->expires_at) > ms_of(t->received_at)))
            wrong("question %s of job %s has closed by itself before its time", t->pause_id, job_id);
    if (h != NULL)
        fermata__v1__job__free_unpacked(h, NULL);
    fermata__v1__task__free_unpacked(t, NULL);
}

void check_unit(const struct store_unit *u)
{
    for (const struct record *r = u->first; r != NULL; r = r->next)
        if (r->kind == RECORD_STEP)
            check_epoch(r);
        else if (r->kind == RECORD_JOB)
            check_head(r);
        else if (r->kind == RECORD_INPUT)
            check_input(r);
}

/* ---- when nothing has gone wrong for a while ---- */

/* When the first of a stored job's tasks is due; 0: none waits for a time. */
static int64_t next_due(const char *job_id)
{
    struct fm_id id;
    fm_auto(fm_err) err = {0};
    if (fm_id_parse(job_id, &id) < 0)
        return 0;
    const struct store_query q = store_read_job(&id, STORE_WHOLE);
    struct store_done *d = sim_store_query(w.store, &q);
    struct job *job = job_new(&id);
    int64_t due = 0;
    if (d->status == STORE_OK && job_load(job, &d->job, &err) == 0)
        due = job_state_next_due(job->state);
    job_free(job);
    store_done_free(d);
    return due;
}

/* An open question keeps no timer from running. */
static void check_timers(const Fermata__V1__Job *h)
{
    bool held = false;
    for (size_t i = 0; i < h->n_pauses; i++)
        held = held || (h->pauses[i]->reason != FERMATA__V1__PAUSE_REASON__PAUSE_REASON_QUESTION &&
                        h->pauses[i]->reason != FERMATA__V1__PAUSE_REASON__PAUSE_REASON_BUDGET);
    int64_t due = (int)h->status == JOB_PAUSED && !held ? next_due(h->job_id) : 0;
    if (due > 0 && due + LATE_MS < wall() && ms_of(h->updated_at) + LATE_MS < wall())
        wrong("job %s is PAUSED, and a task that was due at %lld has not run beside its question", h->job_id,
              (long long)(due - WALL_MS));
}

static void check_is_woken(void *arg, const Fermata__V1__Job *h, int64_t wake_ms)
{
    (void)arg;
    if (wake_ms > 0 && wake_ms + LATE_MS < wall())
        wrong("job %s, which is %s, was to be woken at %lld", h->job_id, job_status_name((int)h->status),
              (long long)(wake_ms - WALL_MS));
    check_timers(h);
}

static void check_host(const struct sim_host *h)
{
    const struct conn *k = h->conn;
    if (h->engine == NULL || h->leaves || k == NULL || !k->core_open || !k->host_open ||
        k->welcomed_at == 0 || w.now < k->welcomed_at + RETRY_MS)
        return;
    Fermata__V1__Host *stored = sim_store_host(w.store, h->id);
    if (stored == NULL || strcmp(stored->incarnation, h->incarnation) != 0)
        wrong("%s is attached, and the disk does not know its incarnation", h->id);
    if (stored != NULL)
        fermata__v1__host__free_unpacked(stored, NULL);
}

void check_rest_of_world(void)
{
    if (w.now < w.healed_at + LATE_MS || w.core == NULL || !w.core_ready || w.now < w.ready_at + LATE_MS)
        return;
    sim_store_each_job(w.store, check_is_woken, NULL);
    for (size_t i = 0; i < w.n_hosts; i++)
        check_host(&w.hosts[i]);
}
