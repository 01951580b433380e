/* What people and operators ask across jobs: the inbox of open questions with claims, counts, and the ledger
 * of what models used. */
#include "core_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "mem.h"

#define MAX_SCANNED 1000
#define MAX_CLAIM_MS (30ull * 86400 * 1000)
#define DEFAULT_CLAIM_MS (15ull * 60 * 1000)
#define MAX_BY 256

bool inbox_is_claimed(const struct core *c, const Fermata__V1__Pause *p)
{
    return p->claimed_by[0] != '\0' && time_to_ms(p->claim_expires_at) > c->wall_ms;
}

bool inbox_forget_expired(const struct core *c, Fermata__V1__Job *h)
{
    bool forgot = false;
    for (size_t i = 0; i < h->n_pauses; i++) {
        Fermata__V1__Pause *p = h->pauses[i];
        if (p->claimed_by[0] == '\0' || inbox_is_claimed(c, p))
            continue;
        pb_set_string(&p->claimed_by, "");
        google__protobuf__timestamp__free_unpacked(p->claim_expires_at, NULL);
        p->claim_expires_at = NULL;
        forgot = true;
    }
    return forgot;
}

int inbox_may_answer(const struct core *c, const Fermata__V1__Pause *p, const char *by, const char *field,
                     struct fm_err *err)
{
    if (!inbox_is_claimed(c, p) || strcmp(p->claimed_by, by) == 0)
        return 0;
    return fm_err_set(err, FM_FAILED_PRECONDITION, field,
                      "pause %s is claimed by %.128s for another %lld s: %s must be that name, or wait",
                      p->pause_id, p->claimed_by,
                      (long long)(time_to_ms(p->claim_expires_at) - c->wall_ms + 999) / 1000, field);
}

/* ---- ListPauses ---- */

static bool wants(const struct core *c, const Fermata__V1__ListPausesRequest *r, const Fermata__V1__Pause *p)
{
    bool reason = r->n_reasons == 0, claimed = inbox_is_claimed(c, p);
    for (size_t i = 0; i < r->n_reasons && !reason; i++)
        reason = r->reasons[i] == p->reason;
    if (!reason || (r->routine[0] != '\0' && strcmp(r->routine, p->routine) != 0))
        return false;
    if (r->claimed_by[0] != '\0' && (!claimed || strcmp(r->claimed_by, p->claimed_by) != 0))
        return false;
    return r->claims == FERMATA__V1__CLAIM_FILTER__CLAIM_FILTER_UNSPECIFIED ||
           claimed == (r->claims == FERMATA__V1__CLAIM_FILTER__CLAIM_FILTER_CLAIMED);
}

/* Appends those of the job's pauses that are wanted; returns how many. */
static size_t put_pauses(const struct core *c, const Fermata__V1__ListPausesRequest *r,
                         struct fm_bytes encoded, struct fm_buf *out)
{
    Fermata__V1__Job *h = fermata__v1__job__unpack(NULL, encoded.n, encoded.p);
    size_t n = 0;
    if (h != NULL)
        (void)inbox_forget_expired(c, h);
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
        struct fm_buf b = {0};
        pb_pack(&m, &b);
        fm_buf_put_len_delim(out, 1, b.p, b.n);
        fm_buf_done(&b);
        free(entries);
        free(labels);
        n++;
    }
    if (h != NULL)
        fermata__v1__job__free_unpacked(h, NULL);
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
    struct fm_buf response = {0};
    for (; i < d->n_rows && n < most && response.n < PAGE_BYTES; i++)
        n += put_pauses(c, r, d->rows[i].body, &response);
    if (i > 0 && (i < d->n_rows || d->more)) {
        char token[27];
        fm_id_text(&d->rows[i - 1].job, token);
        fm_buf_put_string(&response, 2, token);
    }
    core_reply(c, op->ticket, (struct fm_bytes){response.p, response.n});
    op_free(op);
    fm_buf_done(&response);
}

static int check_labels(size_t n, struct fm_err *err)
{
    if (n > MAX_LABELS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "labels", "%zu labels; the limit is %d", n, MAX_LABELS);
    return 0;
}

static void list_pauses(struct core *c, struct op *op)
{
    const Fermata__V1__ListPausesRequest *r = OP_REQUEST(op, Fermata__V1__ListPausesRequest);
    static const int statuses[] = {JOB_PAUSED, JOB_RUNNING, JOB_PENDING};
    struct store_query q = {.kind = STORE_LIST_JOBS,
                            .flow = r->flow,
                            .statuses = statuses,
                            .n_statuses = 3,
                            .limit = core_page(c, MAX_SCANNED)};
    struct store_label labels[MAX_LABELS];
    struct fm_err err = {0};
    uint32_t page;
    if (check_page(r->page_size, &page, &err) == 0 && check_labels(r->n_labels, &err) == 0 &&
        r->flow[0] != '\0')
        (void)check_name("flow", r->flow, &err);
    if (err.code == FM_OK && r->page_token[0] != '\0' && fm_id_parse(r->page_token, &q.after) < 0)
        fm_err_set(&err, FM_INVALID_ARGUMENT, "page_token", "page_token is not one that ListPauses gave");
    if (err.code != FM_OK) {
        op_fail(c, op, &err);
        return;
    }
    for (size_t i = 0; i < r->n_labels; i++)
        labels[i] = (struct store_label){r->labels[i]->key, r->labels[i]->value};
    q.labels = labels;
    q.n_labels = r->n_labels;
    core_read(c, &q, on_pauses_listed, op);
}

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
    Fermata__V1__Pause *p = pause_id[0] != '\0'        ? job_find_pause(job, pause_id)
                            : job->head->n_pauses == 1 ? job->head->pauses[0]
                                                       : NULL;
    if (p == NULL)
        fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id",
                   "pause \"%.64s\" of job %s is not open; %zu are, say which one is meant", pause_id,
                   job->text, job->head->n_pauses);
    return p;
}

static void set_claim(struct core *c, struct job *job, Fermata__V1__Pause *p, const char *by, uint64_t ttl_ms)
{
    pb_set_string(&p->claimed_by, by);
    if (by[0] != '\0') {
        pb_set_time(&p->claim_expires_at, c->wall_ms + (int64_t)ttl_ms);
    } else if (p->claim_expires_at != NULL) {
        google__protobuf__timestamp__free_unpacked(p->claim_expires_at, NULL);
        p->claim_expires_at = NULL;
    }
    job->head_dirty = true;
}

static void claim(struct core *c, struct op *op, const char *job_id, const char *pause_id, const char *by,
                  uint64_t ttl_ms, bool release)
{
    struct fm_err err = {0};
    if (check_by(by, &err) == 0 && check_text("pause_id", pause_id, &err) == 0 && ttl_ms > MAX_CLAIM_MS)
        fm_err_set(&err, FM_INVALID_ARGUMENT, "ttl_ms", "ttl_ms is %llu; the limit is %llu",
                   (unsigned long long)ttl_ms, MAX_CLAIM_MS);
    if (err.code != FM_OK) {
        op_fail(c, op, &err);
        return;
    }
    if (strchr(pause_id, '/') != NULL) {
        if (children_forward(c, op))
            op_run(c, op);
        return;
    }
    struct job *job = job_for_op(c, op, job_id);
    if (job == NULL)
        return;
    Fermata__V1__Pause *p = find_meant(job, pause_id, &err);
    if (p != NULL && inbox_may_answer(c, p, by, "by", &err) < 0)
        p = NULL;
    if (p == NULL) {
        op_fail(c, op, &err);
        job_rest(c, job);
        return;
    }
    set_claim(c, job, p, release ? "" : by, ttl_ms == 0 ? DEFAULT_CLAIM_MS : ttl_ms);
    Fermata__V1__ClaimPauseResponse response = FERMATA__V1__CLAIM_PAUSE_RESPONSE__INIT;
    response.pause = p; /* the response of ReleasePause has the same fields */
    pbc_effect_reply(job_unit(c, job), op->ticket, &response.base);
    op_free(op);
    job_rest(c, job);
}

/* ---- CountJobs ---- */

static void on_counted(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    if (d->status != STORE_OK) {
        op_fail(c, op, &d->err);
        return;
    }
    Fermata__V1__StatusCount counts[JOB_STATUSES], *pointers[JOB_STATUSES];
    Fermata__V1__CountJobsResponse r = FERMATA__V1__COUNT_JOBS_RESPONSE__INIT;
    r.counts = pointers;
    for (size_t i = 0; i < d->n_rows && i < JOB_STATUSES; i++) {
        fermata__v1__status_count__init(&counts[i]);
        counts[i].status = (Fermata__V1__JobStatus)d->rows[i].number;
        counts[i].count = (uint64_t)d->rows[i].wake_ms;
        pointers[r.n_counts++] = &counts[i];
        r.total += counts[i].count;
    }
    op_reply(c, op, &r.base);
}

static void count_jobs(struct core *c, struct op *op)
{
    const Fermata__V1__CountJobsRequest *r = OP_REQUEST(op, Fermata__V1__CountJobsRequest);
    struct store_query q = {
        .kind = STORE_COUNT_JOBS, .flow = r->flow, .host = r->host, .limit = JOB_STATUSES};
    struct store_label labels[MAX_LABELS];
    struct fm_err err = {0};
    if (check_labels(r->n_labels, &err) == 0 && r->flow[0] != '\0')
        (void)check_name("flow", r->flow, &err);
    if (err.code == FM_OK && r->host[0] != '\0')
        (void)check_name("host", r->host, &err);
    if (err.code != FM_OK) {
        op_fail(c, op, &err);
        return;
    }
    for (size_t i = 0; i < r->n_labels; i++)
        labels[i] = (struct store_label){r->labels[i]->key, r->labels[i]->value};
    q.labels = labels;
    q.n_labels = r->n_labels;
    core_read(c, &q, on_counted, op);
}

/* ---- the ledger ---- */

#define DAY_MS 86400000

void usage_count(struct core *c, struct job *job, const Fermata__V1__Step *step)
{
    const Fermata__V1__Usage *u = step->usage;
    if (u == NULL)
        return;
    const struct store_usage row = {.job = job->id,
                                    .day = (uint32_t)(time_to_ms(step->committed_at) / DAY_MS),
                                    .flow = job->head->flow,
                                    .input_tokens = u->input_tokens,
                                    .output_tokens = u->output_tokens,
                                    .cached_tokens = u->cached_tokens,
                                    .cost = u->cost,
                                    .calls = u->calls};
    store_add_usage(job_unit(c, job)->unit, &row);
}

static void day_text(const char *key, char *out, size_t n)
{
    time_t t = (time_t)strtoul(key, NULL, 10) * 86400;
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL || strftime(out, n, "%Y-%m-%d", &tm) == 0)
        out[0] = '\0';
}

static void on_usage(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    bool days =
        OP_REQUEST(op, Fermata__V1__GetUsageRequest)->group == FERMATA__V1__USAGE_GROUP__USAGE_GROUP_DAY;
    if (d->status != STORE_OK) {
        op_fail(c, op, &d->err);
        return;
    }
    struct fm_buf response = {0};
    for (size_t i = 0; i < d->n_usage; i++) {
        const struct store_usage *s = &d->usage[i];
        Fermata__V1__UsageSum sum = FERMATA__V1__USAGE_SUM__INIT;
        Fermata__V1__Usage u = FERMATA__V1__USAGE__INIT;
        char day[16];
        if (days)
            day_text(s->flow, day, sizeof(day));
        sum.key = days ? day : (char *)(uintptr_t)s->flow;
        sum.usage = &u;
        u.input_tokens = s->input_tokens;
        u.output_tokens = s->output_tokens;
        u.cached_tokens = s->cached_tokens;
        u.cost = s->cost;
        u.calls = (uint32_t)s->calls;
        struct fm_buf b = {0};
        pb_pack(&sum, &b);
        fm_buf_put_len_delim(&response, 1, b.p, b.n);
        fm_buf_done(&b);
    }
    core_reply(c, op->ticket, (struct fm_bytes){response.p, response.n});
    op_free(op);
    fm_buf_done(&response);
}

/* Days since 1970 of "2026-11-25"; `fallback` for "". */
static int parse_day(const char *field, const char *text, uint32_t fallback, uint32_t *ret,
                     struct fm_err *err)
{
    struct tm tm;
    int y, m, d, end = 0;
    *ret = fallback;
    if (text[0] == '\0')
        return 0;
    memset(&tm, 0, sizeof(tm));
    if (sscanf(text, "%4d-%2d-%2d%n", &y, &m, &d, &end) != 3 || text[end] != '\0' || y < 1970 || m < 1 ||
        m > 12 || d < 1 || d > 31)
        return fm_err_set(err, FM_INVALID_ARGUMENT, field, "\"%.32s\" is no day such as 2026-11-25", text);
    /* Days from civil (Howard Hinnant, chrono-Compatible Low-Level Date Algorithms). */
    y -= m <= 2;
    int era = y / 400, yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1,
        doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    *ret = (uint32_t)(era * 146097 + doe - 719468);
    return 0;
}

static void get_usage(struct core *c, struct op *op)
{
    const Fermata__V1__GetUsageRequest *r = OP_REQUEST(op, Fermata__V1__GetUsageRequest);
    struct store_query q = {
        .kind = STORE_SUM_USAGE, .group = (int)r->group, .name = r->label_key, .flow = r->flow};
    struct fm_err err = {0};
    bool label = r->group == FERMATA__V1__USAGE_GROUP__USAGE_GROUP_LABEL;
    if ((int)r->group < 0 || (int)r->group > FERMATA__V1__USAGE_GROUP__USAGE_GROUP_DAY)
        fm_err_set(&err, FM_INVALID_ARGUMENT, "group", "group %d is unknown", (int)r->group);
    else if (label != (r->label_key[0] != '\0'))
        fm_err_set(&err, FM_INVALID_ARGUMENT, "label_key",
                   "label_key goes with the group LABEL, and only with it");
    if (err.code != FM_OK || check_text("label_key", r->label_key, &err) < 0 ||
        parse_day("from_day", r->from_day, 0, &q.from, &err) < 0 ||
        parse_day("to_day", r->to_day, UINT32_MAX, &q.to, &err) < 0 ||
        (r->flow[0] != '\0' && check_name("flow", r->flow, &err) < 0))
        op_fail(c, op, &err);
    else
        core_read(c, &q, on_usage, op);
}

void inbox_request(struct core *c, struct op *op)
{
    switch ((int)op->method) {
    case CORE_LIST_PAUSES:
        list_pauses(c, op);
        return;
    case CORE_CLAIM_PAUSE: {
        const Fermata__V1__ClaimPauseRequest *r = OP_REQUEST(op, Fermata__V1__ClaimPauseRequest);
        claim(c, op, r->job_id, r->pause_id, r->by, r->ttl_ms, false);
        return;
    }
    case CORE_RELEASE_PAUSE: {
        const Fermata__V1__ReleasePauseRequest *r = OP_REQUEST(op, Fermata__V1__ReleasePauseRequest);
        claim(c, op, r->job_id, r->pause_id, r->by, 0, true);
        return;
    }
    case CORE_COUNT_JOBS:
        count_jobs(c, op);
        return;
    case CORE_EXPLAIN_JOB:
        explain_job(c, op);
        return;
    default:
        get_usage(c, op);
        return;
    }
}
