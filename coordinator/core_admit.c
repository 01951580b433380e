/* What is refused when the coordinator is full, before anything is done for it: memory is bounded by bytes
 * and by count, not by what clients send. What the core asks of itself (child jobs) is not refused: it comes
 * from jobs that were admitted. */
#include "core_int.h"

#define RETRY_FULL_MS 1000

static int check_bytes(const struct core *c, struct fm_err *err)
{
    size_t bytes = c->active_bytes - c->idle_bytes; /* what is kept to spare a read gives way */
    if (bytes <= c->cfg.max_active_bytes)
        return 0;
    (void)fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL,
                     "the active jobs take %zu bytes; the limit is %zu: try again when some have ended",
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
