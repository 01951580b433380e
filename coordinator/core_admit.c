/* What is refused or waits when there is too much of it. What is refused when the coordinator is full, before
 * anything is done for it: memory is bounded by bytes and by count, not by what clients send. What the core
 * asks of itself (child jobs) is not refused: it comes from jobs that were admitted. */
#include "core_int.h"

#include <utlist.h>

#include "mem.h"

#define RETRY_FULL_MS 1000
#define UNDER_WAY_BYTES (16u * 1024 * 1024) /* of assignments, to one host */

static int check_bytes(const struct core *c, struct fm_err *err)
{
    /* What is kept to spare a read gives way. */
    size_t bytes = c->active_bytes - c->idle_bytes + c->waiting_bytes;
    if (bytes <= c->cfg.max_active_bytes)
        return 0;
    (void)fm_err_set(
        err, FM_RESOURCE_EXHAUSTED, NULL,
        "active jobs and waiting requests take %zu bytes; the limit is %zu: try again when some have ended",
        bytes, c->cfg.max_active_bytes);
    return fm_err_retry(err, RETRY_FULL_MS);
}

static int check_waiting(const struct core *c, struct fm_err *err)
{
    if (c->n_pending < c->cfg.max_waiting_jobs)
        return 0;
    (void)fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL,
                     "%zu jobs wait for a host; the limit is %zu: try again when some have got one",
                     c->n_pending, c->cfg.max_waiting_jobs);
    return fm_err_retry(err, RETRY_FULL_MS);
}

int admit_request(const struct core *c, const struct op *op, struct fm_err *err)
{
    switch ((int)op->method) {
    case CORE_SUBMIT_JOB:
    case CORE_FORK_JOB: {
        int rc = check_bytes(c, err);
        return rc < 0 ? rc : check_waiting(c, err);
    }
    case CORE_RESUME_JOB:
    case CORE_SEND_INPUT:
        return check_bytes(c, err);
    default:
        return 0;
    }
}

int admit_input(const struct core *c, const struct job *job, const char *field,
                const ProtobufCMessage *message, struct fm_err *err)
{
    size_t held = job_state_bytes(job->state) + job->input_bytes,
           more = message == NULL ? 0 : protobuf_c_message_get_packed_size(message);
    int status = (int)job->head->status;
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

bool pace_assign(struct host *h, struct job *job)
{
    if (h->assign_bytes < UNDER_WAY_BYTES)
        return true;
    if (!job->assign_waits)
        DL_APPEND2(h->assigns, job, assign_prev, assign_next);
    job->assign_waits = true;
    return false;
}

void pace_sent(struct host *h, size_t bytes)
{
    struct sent_assign *s = fm_xcalloc(1, sizeof(*s));
    s->seq = h->seq_out;
    s->bytes = bytes;
    h->assign_bytes += bytes;
    DL_APPEND(h->sent_assigns, s);
}

static void take_acked(struct host *h, uint64_t seq)
{
    while (h->sent_assigns != NULL && h->sent_assigns->seq <= seq) {
        struct sent_assign *s = h->sent_assigns;
        DL_DELETE(h->sent_assigns, s);
        h->assign_bytes -= s->bytes;
        free(s);
    }
}

void pace_acked(struct core *c, struct host *h, uint64_t seq)
{
    take_acked(h, seq);
    while (h->assigns != NULL && h->assign_bytes < UNDER_WAY_BYTES) {
        struct job *job = h->assigns;
        pace_forget(h, job);
        host_send_assign(c, job);
    }
}

void pace_reset(struct host *h)
{
    take_acked(h, UINT64_MAX);
    while (h->assigns != NULL)
        pace_forget(h, h->assigns);
}

void pace_forget(struct host *h, struct job *job)
{
    if (!job->assign_waits)
        return;
    job->assign_waits = false;
    DL_DELETE2(h->assigns, job, assign_prev, assign_next);
}
