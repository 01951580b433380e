/* The pace of assignments: how much of them is under way to a host. */
#include "pace.h"

#include <stdlib.h>

#include <utlist.h>

#include "host.h"
#include "job.h"
#include "mem.h"

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

void pace_take_acked(struct host *h, uint64_t seq)
{
    while (h->sent_assigns != NULL && h->sent_assigns->seq <= seq) {
        struct sent_assign *s = h->sent_assigns;
        DL_DELETE(h->sent_assigns, s);
        h->assign_bytes -= s->bytes;
        free(s);
    }
}

void pace_reset(struct host *h)
{
    pace_take_acked(h, UINT64_MAX);
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
