/* CountJobs, and GetUsage: the ledger of what models used. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agreed.h"
#include "buf.h"
#include "check.h"
#include "civil.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "job.h"
#include "mem.h"
#include "method.h"
#include "name.h"
#include "op.h"
#include "pbc.h"
#include "query.h"
#include "state.h"
#include "store.h"

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
    for (size_t i = 0; i < d->counts.n && i < JOB_STATUSES; i++) {
        fermata__v1__status_count__init(&counts[i]);
        counts[i].status = (Fermata__V1__JobStatus)d->counts.items[i].status;
        counts[i].count = d->counts.items[i].jobs;
        pointers[r.n_counts++] = &counts[i];
        r.total += counts[i].count;
    }
    op_reply(c, op, &r.base);
}

static int count_jobs(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__CountJobsRequest *r = OP_REQUEST(op, Fermata__V1__CountJobsRequest);
    struct store_label labels[FM_MAX_LABELS];
    int rc = check_label_count(r->n_labels, err);
    if (rc == 0 && r->flow[0] != '\0')
        rc = fm_name_check("flow", r->flow, err);
    if (rc == 0 && r->host[0] != '\0')
        rc = fm_name_check("host", r->host, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < r->n_labels; i++)
        labels[i] = (struct store_label){r->labels[i]->key, r->labels[i]->value};
    const struct store_filter filter = {
        .flow = r->flow, .host = r->host, .labels = labels, .n_labels = r->n_labels};
    core_read(c, store_count_jobs(&filter), on_counted, op);
    return OP_WAITS;
}

const struct method count_jobs_method = {"Jobs/CountJobs",
                                         METHOD_UNARY,
                                         &fermata__v1__count_jobs_request__descriptor,
                                         &fermata__v1__count_jobs_response__descriptor,
                                         ROLE_VIEWER,
                                         ADMIT_ALWAYS,
                                         count_jobs,
                                         NULL};

/* ---- the ledger ---- */

static void day_text(uint32_t day, char *out, size_t n)
{
    time_t t = (time_t)day * 86400;
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL || strftime(out, n, "%Y-%m-%d", &tm) == 0)
        out[0] = '\0';
}

static void on_usage(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    bool days = OP_REQUEST(op, Fermata__V1__GetUsageRequest)->group == USAGE_GROUP_DAY;
    if (d->status != STORE_OK) {
        op_fail(c, op, &d->err);
        return;
    }
    fm_auto(fm_buf) response = {0};
    for (size_t i = 0; i < d->usage.n; i++) {
        const struct store_usage_sum *s = &d->usage.items[i];
        Fermata__V1__UsageSum sum = FERMATA__V1__USAGE_SUM__INIT;
        Fermata__V1__Usage u = FERMATA__V1__USAGE__INIT;
        char day[16];
        if (days)
            day_text(s->day, day, sizeof(day));
        sum.key = days ? day : (char *)(uintptr_t)s->key;
        sum.usage = &u;
        u.input_tokens = s->used.input_tokens;
        u.output_tokens = s->used.output_tokens;
        u.cached_tokens = s->used.cached_tokens;
        u.cost = s->used.cost;
        u.calls = s->used.calls < UINT32_MAX ? (uint32_t)s->used.calls : UINT32_MAX;
        pb_put(&response, FIELD_GET_USAGE_RESPONSE_SUMS, &sum);
    }
    op_reply_bytes(c, op, fm_buf_bytes(&response));
}

/* Days since 1970 of "2026-11-25"; `fallback` for "". */
static int parse_day(const char *field, const char *text, uint32_t fallback, uint32_t *ret,
                     struct fm_err *err)
{
    int y, m, d, end = 0;
    *ret = fallback;
    if (text[0] == '\0')
        return 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &y, &m, &d, &end) != 3 || text[end] != '\0' || y < 1970 || m < 1 ||
        m > 12 || d < 1 || d > 31)
        return fm_err_set(err, FM_INVALID_ARGUMENT, field, "\"%.32s\" is not a day such as 2026-11-25", text);
    *ret = (uint32_t)fm_civil_days(y, m, d);
    return 0;
}

/* By the numbers of the proto. */
static const enum store_group groups[] = {[USAGE_GROUP_UNSPECIFIED] = STORE_BY_NOTHING,
                                          [USAGE_GROUP_FLOW] = STORE_BY_FLOW,
                                          [USAGE_GROUP_LABEL] = STORE_BY_LABEL,
                                          [USAGE_GROUP_DAY] = STORE_BY_DAY};

static int get_usage(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__GetUsageRequest *r = OP_REQUEST(op, Fermata__V1__GetUsageRequest);
    uint32_t from, to;
    bool label = r->group == USAGE_GROUP_LABEL;
    if ((int)r->group < 0 || (int)r->group > USAGE_GROUP_DAY)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "group", "group %d is unknown", (int)r->group);
    if (label != (r->label_key[0] != '\0'))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "label_key",
                          "label_key must be set with group LABEL, and only then");
    int rc = check_text("label_key", r->label_key, err);
    if (rc == 0)
        rc = parse_day("from_day", r->from_day, 0, &from, err);
    if (rc == 0)
        rc = parse_day("to_day", r->to_day, UINT32_MAX, &to, err);
    if (rc == 0 && r->flow[0] != '\0')
        rc = fm_name_check("flow", r->flow, err);
    if (rc < 0)
        return rc;
    core_read(c, store_sum_usage(groups[r->group], r->label_key, from, to, r->flow), on_usage, op);
    return OP_WAITS;
}

const struct method get_usage_method = {"Jobs/GetUsage",
                                        METHOD_UNARY,
                                        &fermata__v1__get_usage_request__descriptor,
                                        &fermata__v1__get_usage_response__descriptor,
                                        ROLE_VIEWER,
                                        ADMIT_ALWAYS,
                                        get_usage,
                                        NULL};
