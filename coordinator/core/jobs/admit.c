/* Whether a job can hold one more input. See admit.h. */
#include "admit.h"

#include "err.h"
#include "job.h"
#include "job_state.h"
#include "state.h"

/* Inputs that no step has consumed: taken into the state, or not. */
static size_t door_bytes(const struct job *job)
{
    return job_state_bytes(job->state) - job_state_own_bytes(job->state) + job->input_bytes;
}

static size_t own_bytes(const struct job *job)
{
    return job_state_own_bytes(job->state) + job->pause_bytes;
}

/* What the job has itself is bounded when steps are made, its inputs when they come: so this is room for a
 * quarter more, of answers alone. */
static bool has_room(const struct core *c, const struct job *job, enum admitted what, size_t more)
{
    size_t own = own_bytes(job), door = door_bytes(job) + more, most = c->cfg.max_state_bytes,
           most_door = c->cfg.max_door_bytes;
    if (what == ADMITTED_ANSWER)
        return own + door <= most + most_door + most / 4;
    door += job->result_bytes;
    return own + door <= most && (door <= most_door || door == more);
}

int admit_input(const struct core *c, const struct job *job, enum admitted what, const char *field,
                const ProtobufCMessage *message, struct fm_err *err)
{
    size_t more = message == NULL ? 0 : protobuf_c_message_get_packed_size(message);
    int status = job_status(job);
    if (has_room(c, job, what, more))
        return 0;
    (void)fm_err_set(
        err, FM_RESOURCE_EXHAUSTED, field,
        "the state of job %s, its open questions and its inputs that wait have about %zu bytes, this one "
        "would bring %zu; the limit is %zu",
        job->text, own_bytes(job) + door_bytes(job) + job->result_bytes, more, c->cfg.max_state_bytes);
    return status == JOB_RUNNING || status == JOB_PENDING ? fm_err_retry(err, RETRY_FULL_MS)
                                                          : -FM_RESOURCE_EXHAUSTED;
}

bool admit_result(const struct core *c, const struct job *job, size_t bytes, size_t more)
{
    size_t door = door_bytes(job) + more;
    if (door == 0)
        return true;
    return own_bytes(job) + door + bytes <= c->cfg.max_state_bytes && door + bytes <= c->cfg.max_door_bytes;
}
