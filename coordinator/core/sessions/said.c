/* What a message of a host may hold. See said.h. */
#include "said.h"

#include <string.h>

#include "agreed.h"
#include "host.h"

#define MAX_TASK_ID_BYTES 64
#define MAX_WORDS_BYTES 4096 /* why a host gives a job back, or leaves */
#define MAX_UNSTARTED 1000   /* of the intents of a job, which are no more */

static int check_text(const char *field, const char *text, size_t limit, struct fm_err *err)
{
    size_t n = strlen(text);
    if (n <= limit)
        return 0;
    return fm_err_set(err, FM_INVALID_ARGUMENT, field, "%s has %zu bytes; the limit is %zu", field, n, limit);
}

static int check_release(const Fermata__V1__Release *r, struct fm_err *err)
{
    if (r->n_unstarted_tasks > MAX_UNSTARTED)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "release.unstarted_tasks", "%zu tasks; the limit is %d",
                          r->n_unstarted_tasks, MAX_UNSTARTED);
    int rc = check_text("release.message", r->message, MAX_WORDS_BYTES, err);
    return rc < 0 ? rc : check_text("release.task_id", r->task_id, MAX_TASK_ID_BYTES, err);
}

static int check_progress(const Fermata__V1__Progress *p, struct fm_err *err)
{
    int rc = check_text("progress.text", p->text, FM_MAX_PROGRESS_BYTES, err);
    if (rc == 0)
        rc = check_text("progress.task_id", p->task_id, MAX_TASK_ID_BYTES, err);
    return rc < 0 ? rc : check_text("progress.routine", p->routine, FM_MAX_NAME_BYTES, err);
}

int said_check(const struct host *h, const Fermata__V1__HostMessage *m, struct fm_err *err)
{
    if (m->seq != 0 && m->ack > h->seq_out) /* without a number of its own, it acknowledges none by number */
        return fm_err_set(err, FM_INVALID_ARGUMENT, "ack",
                          "message %llu is acknowledged; the last one sent is %llu",
                          (unsigned long long)m->ack, (unsigned long long)h->seq_out);
    switch ((int)m->body_case) {
    case FERMATA__V1__HOST_MESSAGE__BODY_RELEASE:
        return check_release(m->release, err);
    case FERMATA__V1__HOST_MESSAGE__BODY_INTENT:
        return check_text("intent.task_id", m->intent->task_id, MAX_TASK_ID_BYTES, err);
    case FERMATA__V1__HOST_MESSAGE__BODY_PROGRESS:
        return check_progress(m->progress, err);
    case FERMATA__V1__HOST_MESSAGE__BODY_GOODBYE:
        return check_text("goodbye.reason", m->goodbye->reason, MAX_WORDS_BYTES, err);
    default:
        return 0;
    }
}
