/* What is refused or waits when there is too much of it. What is refused when the coordinator is full, before
 * anything is done for it: memory is bounded by bytes and by count, not by what clients send. What the core
 * asks of itself (child jobs) is not refused: it comes from jobs that were admitted. */
#include "admit.h"

#include "err.h"
#include "job.h"
#include "job_state.h"
#include "pace.h"
#include "state.h"

#define RETRY_FULL_MS 1000
#define UNDER_WAY_BYTES (16u * 1024 * 1024) /* of assignments, to one host */

int admit_input(const struct core *c, const struct job *job, const char *field,
                const ProtobufCMessage *message, struct fm_err *err)
{
    size_t held = job_state_bytes(job->state) + job->input_bytes,
           more = message == NULL ? 0 : protobuf_c_message_get_packed_size(message);
    int status = job_status(job);
    if (held + more <= c->cfg.max_state_bytes)
        return 0;
    (void)fm_err_set(
        err, FM_RESOURCE_EXHAUSTED, field,
        "the state of job %s and its inputs that wait have about %zu bytes, this one would bring %zu; "
        "the limit is %zu",
        job->text, held, more, c->cfg.max_state_bytes);
    return status == JOB_RUNNING || status == JOB_PENDING ? fm_err_retry(err, RETRY_FULL_MS)
                                                          : -FM_RESOURCE_EXHAUSTED;
}

/* ---- assignments under way ----
 *
 * After a restart, or when a host comes that is large, thousands of jobs find their host at once. Their
 * states do not all go into the stream's queue: the next ones are sent when the host has those before. */
