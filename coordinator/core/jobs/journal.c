/* The journal: steps are folded into the state and stored, what they used is counted. */
#include "journal.h"

#include <time.h>

#include "buf.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "job.h"
#include "job_state.h"
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

int job_apply_step(struct core *c, struct job *job, const Fermata__V1__Step *step,
                   struct task_item **ret_task, struct fm_err *err)
{
    struct fm_buf *b = &c->step_buf;
    fm_buf_reset(b);
    pb_pack(step, b);
    int rc = job_state_apply(job->state, &job->inputs, step, b->n, c->cfg.max_state_bytes, ret_task, err);
    if (rc < 0)
        return rc;
    if (*ret_task != NULL)
        fm_buf_put_len_delim(b, FIELD_STEP_TASK, (*ret_task)->body.p, (*ret_task)->body.n);
    struct unit *m = unit_of(c, job);
    store_put_step(m->records, &job->id, step->number, fm_buf_bytes(b));
    job->journal_bytes += b->n;
    struct fm_bytes shown = job->watches != NULL ? fm_buf_bytes(b) : FM_NO_BYTES;
    step_effect(m, step->number, shown);
    if (b->cap > STEP_BUF_BYTES)
        fm_buf_done(b);
    return 0;
}
