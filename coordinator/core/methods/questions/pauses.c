/* The inbox: open questions of all jobs, and who has claimed them. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agreed.h"
#include "buf.h"
#include "check.h"
#include "child_questions.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "id.h"
#include "job.h"
#include "journal.h"
#include "load.h"
#include "mem.h"
#include "method.h"
#include "name.h"
#include "op.h"
#include "pause.h"
#include "pbc.h"
#include "query.h"
#include "state.h"
#include "store.h"
#include "unit.h"
#include "who.h"

#define MAX_SCANNED 1000
#define MAX_CLAIM_MS (30ull * 86400 * 1000)
#define DEFAULT_CLAIM_MS (15ull * 60 * 1000)
#define MAX_BY 256

/* ---- ListPauses ---- */

static bool wants(const struct core *c, const Fermata__V1__ListPausesRequest *r, const Fermata__V1__Pause *p)
{
    bool reason = r->n_reasons == 0, claimed = pause_is_claimed(p, c->wall_ms);
    for (size_t i = 0; i < r->n_reasons && !reason; i++)
        reason = r->reasons[i] == p->reason;
    if (!reason || (r->routine[0] != '\0' && strcmp(r->routine, p->routine) != 0))
        return false;
    if (r->assignee[0] != '\0' && strcmp(r->assignee, p->assignee) != 0)
        return false;
    if (r->claimed_by[0] != '\0' && (!claimed || strcmp(r->claimed_by, p->claimed_by) != 0))
        return false;
    return r->claims == CLAIM_FILTER_UNSPECIFIED || claimed == (r->claims == CLAIM_FILTER_CLAIMED);
}

/* Appends those of the job's pauses that are wanted; returns how many. */
static size_t put_pauses(const struct core *c, const Fermata__V1__ListPausesRequest *r,
                         struct fm_bytes encoded, struct fm_buf *out)
{
    fm_auto_pb Fermata__V1__Job *h = fermata__v1__job__unpack(NULL, encoded.n, encoded.p);
    size_t n = 0;
    if (h != NULL)
        (void)job_forget_expired_claims(h, c->wall_ms);
    for (size_t i = 0; h != NULL && i < h->n_pauses; i++) {
        if (!wants(c, r, h->pauses[i]))
            continue;
        Fermata__V1__OpenPause m = FERMATA__V1__OPEN_PAUSE__INIT;
        m.job_id = h->job_id;
        m.flow = h->flow;
        m.n_labels = h->n_labels;
        m.pause = h->pauses[i];
        Fermata__V1__OpenPause__LabelsEntry *entries = fm_xcalloc(h->n_labels + 1, sizeof(*entries));
        Fermata__V1__OpenPause__LabelsEntry **labels = fm_xcalloc(h->n_labels + 1, sizeof(*labels));
        for (size_t k = 0; k < h->n_labels; k++) {
            fermata__v1__open_pause__labels_entry__init(&entries[k]);
            entries[k].key = h->labels[k]->key;
            entries[k].value = h->labels[k]->value;
            labels[k] = &entries[k];
        }
        m.labels = labels;
        pb_put(out, FIELD_LIST_PAUSES_RESPONSE_PAUSES, &m);
        free(entries);
        free(labels);
        n++;
    }
    return n;
}

static void on_pauses_listed(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    const Fermata__V1__ListPausesRequest *r = OP_REQUEST(op, Fermata__V1__ListPausesRequest);
    if (d->status != STORE_OK) {
        op_fail(c, op, &d->err);
        return;
    }
    size_t most = r->page_size == 0 ? 100 : r->page_size, n = 0, i = 0;
    fm_auto(fm_buf) response = {0};
    const struct store_job_heads *jobs = &d->jobs;
    for (; i < jobs->n && n < most && response.n < PAGE_BYTES; i++)
        n += put_pauses(c, r, jobs->items[i].head, &response);
    if (i > 0 && (i < jobs->n || jobs->more)) {
        char token[27];
        fm_id_text(&jobs->items[i - 1].id, token);
        fm_buf_put_string(&response, FIELD_LIST_PAUSES_RESPONSE_NEXT_PAGE_TOKEN, token);
    }
    op_reply_bytes(c, op, fm_buf_bytes(&response));
}

static int list_pauses(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__ListPausesRequest *r = OP_REQUEST(op, Fermata__V1__ListPausesRequest);
    static const int statuses[] = {JOB_PAUSED, JOB_RUNNING, JOB_PENDING};
    struct fm_id before = {{0}};
    struct store_label labels[FM_MAX_LABELS];
    uint32_t page;
    int rc = check_page(r->page_size, &page, err);
    if (rc == 0)
        rc = check_label_count(r->n_labels, err);
    if (rc == 0 && r->flow[0] != '\0')
        rc = fm_name_check("flow", r->flow, err);
    if (rc == 0)
        rc = check_text("assignee", r->assignee, err);
    if (rc == 0 && r->page_token[0] != '\0' && fm_id_parse(r->page_token, &before) < 0)
        rc = fm_err_set(err, FM_INVALID_ARGUMENT, "page_token", "page_token is not one that ListPauses gave");
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < r->n_labels; i++)
        labels[i] = (struct store_label){r->labels[i]->key, r->labels[i]->value};
    const struct store_filter filter = {
        .statuses = statuses, .n_statuses = 3, .flow = r->flow, .labels = labels, .n_labels = r->n_labels};
    core_read(c, store_list_jobs(&filter, &before, core_page(c, MAX_SCANNED)), on_pauses_listed, op);
    return OP_WAITS;
}

const struct method list_pauses_method = {"Jobs/ListPauses",
                                          METHOD_UNARY,
                                          &fermata__v1__list_pauses_request__descriptor,
                                          &fermata__v1__list_pauses_response__descriptor,
                                          ROLE_VIEWER,
                                          ADMIT_ALWAYS,
                                          list_pauses,
                                          NULL};

/* ---- claims ---- */

static int check_by(const char *by, struct fm_err *err)
{
    size_t n = strlen(by);
    if (n == 0 || n > MAX_BY)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "by", "by has %zu bytes; 1 to %d are allowed", n, MAX_BY);
    return 0;
}

/* The pause that is meant; NULL with err. */
static Fermata__V1__Pause *find_meant(const struct job *job, const char *pause_id, struct fm_err *err)
{
    Fermata__V1__Pause *p = job_find_pause(job, pause_id);
    if (p == NULL && pause_id[0] == '\0')
        (void)fm_err_set(err, FM_FAILED_PRECONDITION, "job_id", "job %s is %s: no question is open",
                         job->text, job_status_name(job_status(job)));
    else if (p == NULL && pause_check_not_closed(job->head, pause_id, err) == 0)
        (void)fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id",
                         "pause \"%.64s\" of job %s is not open; %zu are, say which one is meant", pause_id,
                         job->text, job->head->n_pauses);
    return p;
}

static void set_claim(struct core *c, struct job *job, Fermata__V1__Pause *p, const char *by,
                      const char *on_behalf_of, uint64_t ttl_ms)
{
    if (ttl_ms == 0)
        by = on_behalf_of = "";
    pb_set_string(&p->claimed_by, by);
    pb_set_string(&p->claimed_on_behalf_of, on_behalf_of);
    if (by[0] != '\0') {
        pb_set_time(&p->claim_expires_at, c->wall_ms + (int64_t)ttl_ms);
    } else if (p->claim_expires_at != NULL) {
        google__protobuf__timestamp__free_unpacked(p->claim_expires_at, NULL);
        p->claim_expires_at = NULL;
    }
    job->head_dirty = true;
}

static int check_claim(const char *by, const char *on_behalf_of, const char *pause_id, struct fm_err *err)
{
    int rc = check_by(by, err);
    if (rc == 0)
        rc = check_text("on_behalf_of", on_behalf_of, err);
    return rc < 0 ? rc : check_text("pause_id", pause_id, err);
}

/* `who` claims the pause for so long (0: releases it); nobody else may have claimed it. */
static int claim(struct core *c, struct op *op, const char *job_id, const char *pause_id, struct who who,
                 const char *on_behalf_of, uint64_t ttl_ms, struct fm_err *err)
{
    struct job *job;
    const char *by = who.by;
    int rc = job_for_op(c, op, job_id, &job, err);
    if (rc != 0)
        return rc;
    char only[PAUSE_ID_BYTES] = "";
    if (pause_id[0] == '\0')
        rc = pause_meant(c, op, &job, only, err);
    if (rc != 0)
        return rc;
    Fermata__V1__Pause *p = find_meant(job, pause_id[0] != '\0' ? pause_id : only, err);
    if (p == NULL || pause_check_open(p, c->wall_ms, err) < 0 ||
        pause_may_answer(p, c->wall_ms, by, "by", err) < 0)
        return -(int)err->code;
    if (!pause_is_question(p) && op_needs(op, ROLE_OPERATOR, "claiming a pause that is no question", err) < 0)
        return -FM_PERMISSION_DENIED;
    bool had = pause_is_claimed(p, c->wall_ms); /* by nobody else */
    if (had == (ttl_ms == 0))                   /* one that only lasts longer now is none of its own */
        job_note_here(c, job, had ? ENTRY_KIND_RELEASED : ENTRY_KIND_CLAIMED, who, p->pause_id, NULL);
    set_claim(c, job, p, by, on_behalf_of, ttl_ms);
    Fermata__V1__ClaimPauseResponse response = FERMATA__V1__CLAIM_PAUSE_RESPONSE__INIT;
    response.pause = p; /* the response of ReleasePause has the same fields */
    unit_reply(unit_of(c, job), op->ticket, &response.base);
    return 0;
}

static int claim_pause(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__ClaimPauseRequest *r = OP_REQUEST(op, Fermata__V1__ClaimPauseRequest);
    struct who who;
    int rc = check_claim(r->by, r->on_behalf_of, r->pause_id, err);
    if (rc == 0 && r->ttl_ms > MAX_CLAIM_MS)
        rc = fm_err_set(err, FM_INVALID_ARGUMENT, "ttl_ms", "ttl_ms is %llu; the limit is %llu",
                        (unsigned long long)r->ttl_ms, MAX_CLAIM_MS);
    if (rc == 0)
        rc = children_forward(c, op, err);
    r = OP_REQUEST(op, Fermata__V1__ClaimPauseRequest);
    if (rc == 0)
        rc = who_asks(op, "by", r->by, "reason", r->reason, &who, err);
    if (rc != 0)
        return rc;
    return claim(c, op, r->job_id, r->pause_id, who, r->on_behalf_of,
                 r->ttl_ms == 0 ? DEFAULT_CLAIM_MS : r->ttl_ms, err);
}

const struct method claim_pause_method = {"Jobs/ClaimPause",
                                          METHOD_UNARY,
                                          &fermata__v1__claim_pause_request__descriptor,
                                          &fermata__v1__claim_pause_response__descriptor,
                                          ROLE_RESPONDER,
                                          ADMIT_ALWAYS,
                                          claim_pause,
                                          child_questions_free};

static int release_pause(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__ReleasePauseRequest *r = OP_REQUEST(op, Fermata__V1__ReleasePauseRequest);
    struct who who;
    int rc = check_claim(r->by, r->on_behalf_of, r->pause_id, err);
    if (rc == 0)
        rc = children_forward(c, op, err);
    r = OP_REQUEST(op, Fermata__V1__ReleasePauseRequest);
    if (rc == 0)
        rc = who_asks(op, "by", r->by, "reason", r->reason, &who, err);
    if (rc != 0)
        return rc;
    return claim(c, op, r->job_id, r->pause_id, who, r->on_behalf_of, 0, err);
}

const struct method release_pause_method = {"Jobs/ReleasePause",
                                            METHOD_UNARY,
                                            &fermata__v1__release_pause_request__descriptor,
                                            &fermata__v1__release_pause_response__descriptor,
                                            ROLE_RESPONDER,
                                            ADMIT_ALWAYS,
                                            release_pause,
                                            child_questions_free};
