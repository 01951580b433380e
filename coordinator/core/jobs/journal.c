/* The journal: steps, entries, the ledger. See journal.h. */
#include "journal.h"

#include <time.h>

#include "buf.h"
#include "children.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "job.h"
#include "job_state.h"
#include "mem.h"
#include "pbc.h"
#include "state.h"
#include "store.h"
#include "unit.h"
#include "watch.h"

#define STEP_BUF_BYTES 65536 /* kept from one step to the next */
#define DAY_MS 86400000

void usage_count(struct core *c, struct job *job, const Fermata__V1__Step *step)
{
    const Fermata__V1__Usage *u = step->usage;
    if (u == NULL)
        return;
    const struct store_usage row = {
        .job = job->id,
        .day = (uint32_t)(time_to_ms(step->committed_at) / DAY_MS),
        .flow = job->head->flow,
        .used = {.input_tokens = u->input_tokens,
                 .output_tokens = u->output_tokens,
                 .cached_tokens = u->cached_tokens,
                 .cost = u->cost,
                 .calls = u->calls}
    };
    store_add_usage(unit_of(c, job)->records, &row);
}

void job_set_error(struct job *job, const char *code, const char *message, const char *routine,
                   const char *task_id)
{
    Fermata__V1__JobError e = FERMATA__V1__JOB_ERROR__INIT;
    e.code = (char *)(uintptr_t)code;
    e.message = (char *)(uintptr_t)message;
    e.routine = (char *)(uintptr_t)routine;
    e.task_id = (char *)(uintptr_t)task_id;
    if (job->head->error != NULL)
        fermata__v1__job_error__free_unpacked(job->head->error, NULL);
    job->head->error = pb_clone(&e);
    job->head_dirty = true;
}

/* ---- entries ---- */

static void put_entry(struct core *c, struct job *job, Fermata__V1__Entry *e)
{
    Google__Protobuf__Timestamp now = core_now(c);
    struct unit *u = unit_of(c, job);
    uint32_t step = job_state_step(job->state), number = ++job->head->entry_count;
    fm_auto(fm_buf) b = {0};
    e->number = e->after_step = 0; /* the store knows them */
    e->generation = job->head->generation;
    if (e->at == NULL)
        e->at = &now;
    pb_pack(e, &b);
    store_put_entry(u->records, &job->id, step, number, fm_buf_bytes(&b));
    entry_effect(u, step, number, job->watches != NULL ? fm_buf_bytes(&b) : FM_NO_BYTES);
    job->head_dirty = true;
}

/* True when neither a step nor an entry has shown the present assignment. */
static bool is_unshown(const struct job *job)
{
    return job->head->assignment != NULL && job_state_step(job->state) == job->head->assignment->after_step;
}

static void show_assignment(struct core *c, struct job *job)
{
    if (is_unshown(job)) {
        const Fermata__V1__Assignment *a = job->head->assignment;
        Fermata__V1__Entry e = FERMATA__V1__ENTRY__INIT;
        e.kind = ENTRY_KIND_ASSIGNED;
        e.at = a->at;
        e.from_host = a->from_host;
        e.to_host = job->head->host;
        e.epoch = job->head->epoch;
        put_entry(c, job, &e);
    }
    job_forget_assignment(job);
}

void job_note(struct core *c, struct job *job, Fermata__V1__EntryKind kind, struct who who,
              const Fermata__V1__Entry *more)
{
    Fermata__V1__Entry e = FERMATA__V1__ENTRY__INIT;
    if (more != NULL)
        e = *more;
    show_assignment(c, job);
    e.kind = kind;
    e.by = (char *)(uintptr_t)who.by;
    e.reason = (char *)(uintptr_t)who.reason;
    put_entry(c, job, &e);
}

void job_note_here(struct core *c, struct job *job, Fermata__V1__EntryKind kind, struct who who,
                   const char *pause_id, const char *task_id)
{
    Fermata__V1__Entry e = FERMATA__V1__ENTRY__INIT;
    if (job->head->host[0] != '\0') {
        e.from_host = job->head->host;
        e.epoch = job->head->epoch;
    }
    if (pause_id != NULL)
        e.pause_id = (char *)(uintptr_t)pause_id;
    if (task_id != NULL)
        e.task_id = (char *)(uintptr_t)task_id;
    job_note(c, job, kind, who, &e);
}

void job_note_left(struct core *c, struct job *job)
{
    if (job->not_taken)
        job_forget_assignment(job);
    else
        show_assignment(c, job);
    job->not_taken = false;
}

/* The first step under an epoch shows the assignment. */
static void put_assignment(struct job *job, const Fermata__V1__Step *step, struct fm_buf *out)
{
    if (!is_unshown(job) || step->remedy != NULL || step->epoch != job->head->epoch)
        return;
    Fermata__V1__Assignment a = FERMATA__V1__ASSIGNMENT__INIT;
    int64_t ms = time_to_ms(step->committed_at) - time_to_ms(job->head->assignment->at);
    a.ms_before = ms > 0 ? (uint64_t)ms : 0;
    a.from_host = job->head->assignment->from_host;
    pb_put(out, FIELD_STEP_ASSIGNMENT, &a);
}

/* ---- steps ---- */

int job_apply_step(struct core *c, struct job *job, const Fermata__V1__Step *step,
                   struct task_item **ret_task, struct fm_err *err)
{
    struct fm_buf *b = &c->step_buf;
    fm_buf_reset(b);
    pb_pack(step, b);
    put_assignment(job, step, b);
    const struct state_limit limit = {c->cfg.max_state_bytes, job->pause_bytes};
    int rc = job_state_apply(job->state, &job->inputs, step, b->n, limit, ret_task, err);
    if (rc < 0)
        return rc;
    job_forget_assignment(job);
    if (*ret_task != NULL)
        fm_buf_put_len_delim(b, FIELD_STEP_TASK, (*ret_task)->body.p, (*ret_task)->body.n);
    struct unit *m = unit_of(c, job);
    store_put_step(m->records, &job->id, step->number, fm_buf_bytes(b));
    job->journal_bytes += b->n;
    struct fm_bytes shown = job->watches != NULL ? fm_buf_bytes(b) : FM_NO_BYTES;
    step_effect(m, step->number, shown);
    if (job->results != NULL)
        children_effect(m); /* there may be room for a result now */
    if (b->cap > STEP_BUF_BYTES)
        fm_buf_done(b);
    return 0;
}
