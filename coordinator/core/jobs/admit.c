/* Whether a job can hold one more input. See admit.h. */
#include "admit.h"

#include "err.h"
#include "job.h"
#include "job_state.h"
#include "state.h"

#define RETRY_FULL_MS 1000

int admit_input(const struct core *c, const struct job *job, const char *field,
                const ProtobufCMessage *message, struct fm_err *err)
{
    size_t held = job_state_bytes(job->state) + job->input_bytes + job->pause_bytes,
           more = message == NULL ? 0 : protobuf_c_message_get_packed_size(message);
    int status = job_status(job);
    if (held + more <= c->cfg.max_state_bytes)
        return 0;
    (void)fm_err_set(
        err, FM_RESOURCE_EXHAUSTED, field,
        "the state of job %s, its open questions and its inputs that wait have about %zu bytes, this one "
        "would bring %zu; the limit is %zu",
        job->text, held, more, c->cfg.max_state_bytes);
    return status == JOB_RUNNING || status == JOB_PENDING ? fm_err_retry(err, RETRY_FULL_MS)
                                                          : -FM_RESOURCE_EXHAUSTED;
}
