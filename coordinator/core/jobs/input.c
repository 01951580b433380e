/* Inputs of jobs. See input.h. */
#include "input.h"

#include <stdio.h>

#include <utlist.h>

#include "fermata/v1/types.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "job.h"
#include "job_state.h"
#include "send.h"
#include "state.h"
#include "store.h"
#include "unit.h"

uint32_t job_add_input(struct core *c, struct job *job, Fermata__V1__Task *task)
{
    char id[32];
    task->input_number = ++job->head->input_count;
    snprintf(id, sizeof(id), "i%u", task->input_number);
    task->task_id = id;
    Google__Protobuf__Timestamp at = core_now(c);
    task->received_at = &at;
    struct task_item *t = task_item_new(task);
    DL_APPEND(job->inputs, t);
    if (task->child_job_id[0] == '\0')
        job->head->steps_from = job_state_step(job->state) + 1;
    job->head_dirty = true;
    struct unit *m = unit_of(c, job);
    store_put_input(m->records, &job->id, t->input_number, t->body);
    inputs_effect(m, t->input_number);
    return t->input_number;
}
