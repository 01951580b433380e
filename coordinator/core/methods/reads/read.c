/* Reading jobs: GetJob, ListJobs, GetHistory. All of it comes from the store, so that nothing is shown that
 * is not on disk; encoded records are put together without being decoded. Only the reason why a job waits
 * comes from memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agreed.h"
#include "buf.h"
#include "check.h"
#include "child_questions.h"
#include "entry.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "guard.h"
#include "id.h"
#include "job.h"
#include "job_state.h"
#include "mem.h"
#include "method.h"
#include "name.h"
#include "op.h"
#include "pause.h"
#include "pbc.h"
#include "place.h"
#include "query.h"
#include "state.h"
#include "store.h"
#include "table.h"
#include "wire.h"

/* What is handed on without being decoded must be sound, or the client could decode nothing of the answer. */
static int check_head(const struct fm_id *id, struct fm_bytes head, struct fm_err *err)
{
    const struct wire_limits any = {SIZE_MAX, WIRE_MAX_DEPTH, SIZE_MAX};
    fm_auto(fm_err) why = {0};
    char text[27];
    if (wire_check(wire_msg_of(&fermata__v1__job__descriptor), head, &any, &why) == 0)
        return 0;
    fm_id_text(id, text);
    (void)fm_err_set(err, FM_DATA_LOSS, "job", "the stored record of job %s is malformed (%s)", text,
                     why.msg);
    return -FM_DATA_LOSS;
}

/* The record as it is stored, without claims that are over. */
static void put_head(const struct core *c, struct fm_bytes stored, struct fm_buf *out)
{
    fm_auto_pb Fermata__V1__Job *h = fermata__v1__job__unpack(NULL, stored.n, stored.p);
    if (h != NULL && job_forget_expired_claims(h, c->wall_ms))
        pb_pack(h, out);
    else
        fm_buf_append(out, stored.p, stored.n);
}

/* ---- GetJob ---- */

/* Why a job waits for a host; nothing for others. */
static void put_waiting_reason(struct core *c, const struct fm_id *id, struct fm_buf *job)
{
    struct job *j = job_in_memory(c, id);
    if (j == NULL || j->loading || !j->queued)
        return;
    fm_auto(fm_buf) why = {0};
    if (place_pick(c, j, &why) == NULL && why.n > 0)
        fm_buf_put_len_delim(job, FIELD_JOB_WAITING_REASON, why.p, why.n);
}

static void on_get_job(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    const Fermata__V1__GetJobRequest *r = OP_REQUEST(op, Fermata__V1__GetJobRequest);
    struct fm_err err = {0};
    if (d->status == STORE_NOT_FOUND)
        (void)fm_err_set(&err, FM_NOT_FOUND, "job_id", "there is no job %s", r->job_id);
    struct job_state *state = NULL;
    struct task_item *inputs = NULL;
    bool sound = d->status == STORE_OK && check_head(&w->job, d->job.head, &err) == 0;
    if (sound && !children_questions(c, op, d->job.head))
        return;
    if (!sound || job_fold_stored(&d->job, &state, &inputs, &err) != 0) {
        op_fail(c, op, d->status == STORE_FAILED ? &d->err : &err);
        return;
    }
    struct fm_buf job = {0}, encoded = {0}, response = {0};
    put_head(c, d->job.head, &job);
    if (job_state_step(state) > 0)
        fm_buf_put_tag_varint(&job, FIELD_JOB_STEP_COUNT, job_state_step(state));
    put_waiting_reason(c, &w->job, &job);
    job_state_put_usage(state, FIELD_JOB_USAGE, &job);
    const struct child_questions *q = op->own;
    fm_buf_append(&job, q->pauses.p, q->pauses.n);
    if (!r->without_state) {
        job_state_encode(state, inputs, &encoded);
        fm_buf_put_len_delim(&job, FIELD_JOB_STATE, encoded.p, encoded.n);
    }
    fm_buf_put_len_delim(&response, FIELD_GET_JOB_RESPONSE_JOB, job.p, job.n);
    job_state_free(state);
    task_list_free(inputs);
    fm_buf_done(&job);
    fm_buf_done(&encoded);
    op_reply_bytes(c, op, fm_buf_bytes(&response));
    fm_buf_done(&response);
}

static int get_job(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__GetJobRequest *r = OP_REQUEST(op, Fermata__V1__GetJobRequest);
    struct fm_id id;
    int rc = check_job_id(r->job_id, &id, err);
    if (rc < 0)
        return rc;
    core_read(c, store_read_job(&id, STORE_WHOLE), on_get_job, op)->job = id;
    return OP_WAITS;
}

const struct method get_job_method = {"Jobs/GetJob",
                                      METHOD_UNARY,
                                      &fermata__v1__get_job_request__descriptor,
                                      &fermata__v1__get_job_response__descriptor,
                                      ROLE_VIEWER,
                                      ADMIT_ALWAYS,
                                      get_job,
                                      child_questions_free};

/* ---- ListJobs ---- */

/* A job as it stands in a list. One whose record is broken is shown with its id and that error. */
static void put_listed(struct core *c, const struct store_job_head *listed, struct fm_buf *job)
{
    fm_auto(fm_err) err = {0};
    fm_buf_reset(job);
    if (check_head(&listed->id, listed->head, &err) == 0) {
        put_head(c, listed->head, job);
        put_waiting_reason(c, &listed->id, job);
        return;
    }
    char text[27], code[] = "DATA_LOSS";
    fm_id_text(&listed->id, text);
    Fermata__V1__Job broken = FERMATA__V1__JOB__INIT;
    Fermata__V1__JobError error = FERMATA__V1__JOB_ERROR__INIT;
    broken.job_id = text;
    broken.error = &error;
    error.code = code;
    error.message = err.msg;
    pb_pack(&broken, job);
}

/* The smallest id of a job submitted at this time: ids begin with it. */
static struct fm_id first_id(const Google__Protobuf__Timestamp *t)
{
    struct fm_id id = {{0}};
    int64_t ms = time_to_ms(t);
    for (int i = 0; i < 6 && ms > 0; i++)
        id.b[i] = (uint8_t)((uint64_t)ms >> (8 * (5 - i)));
    return id;
}

static void on_list_jobs(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    if (d->status != STORE_OK) {
        op_fail(c, op, &d->err);
        return;
    }
    const Fermata__V1__ListJobsRequest *r = OP_REQUEST(op, Fermata__V1__ListJobsRequest);
    struct fm_id oldest = first_id(r->created_after);
    const struct store_job_head *jobs = d->jobs.items;
    size_t n = d->jobs.n;
    while (n > 0 && memcmp(&jobs[n - 1].id, &oldest, sizeof(oldest)) < 0)
        n--; /* newest first: what follows is older still */
    bool more = d->jobs.more && n == d->jobs.n;
    struct fm_buf response = {0}, job = {0};
    size_t i = 0;
    for (; i < n && (i == 0 || response.n + jobs[i].head.n < PAGE_BYTES); i++) {
        put_listed(c, &jobs[i], &job);
        fm_buf_put_len_delim(&response, FIELD_LIST_JOBS_RESPONSE_JOBS, job.p, job.n);
    }
    if (i > 0 && (more || i < n)) {
        char token[27];
        fm_id_text(&jobs[i - 1].id, token);
        fm_buf_put_string(&response, FIELD_LIST_JOBS_RESPONSE_NEXT_PAGE_TOKEN, token);
    }
    fm_buf_done(&job);
    op_reply_bytes(c, op, fm_buf_bytes(&response));
    fm_buf_done(&response);
}

/* What is asked, and the page: its size, and where it begins. */
static int check_list(const Fermata__V1__ListJobsRequest *r, uint32_t *ret_limit, struct fm_id *ret_before,
                      struct fm_err *err)
{
    memset(ret_before, 0, sizeof(*ret_before));
    if (check_page(r->page_size, ret_limit, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (r->flow[0] != '\0' && fm_name_check("flow", r->flow, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (r->host[0] != '\0' && fm_name_check("host", r->host, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (check_label_count(r->n_labels, err) < 0 || check_time("created_after", r->created_after, err) < 0 ||
        check_time("created_before", r->created_before, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (r->n_statuses > JOB_STATUSES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "statuses", "%zu statuses; there are only %d",
                          r->n_statuses, JOB_STATUSES - 1);
    for (size_t i = 0; i < r->n_statuses; i++)
        if ((int)r->statuses[i] <= 0 || (int)r->statuses[i] >= JOB_STATUSES)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "statuses", "status %d is unknown",
                              (int)r->statuses[i]);
    if (r->page_token[0] != '\0' && fm_id_parse(r->page_token, ret_before) < 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "page_token", "page_token is not one that ListJobs gave");
    if (r->created_before != NULL) {
        struct fm_id before = first_id(r->created_before);
        if (fm_id_is_zero(&before))
            before.b[15] = 1; /* zero would be no bound */
        if (fm_id_is_zero(ret_before) || memcmp(&before, ret_before, sizeof(before)) < 0)
            *ret_before = before;
    }
    return 0;
}

static int list_jobs(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__ListJobsRequest *r = OP_REQUEST(op, Fermata__V1__ListJobsRequest);
    uint32_t limit;
    struct fm_id before;
    int rc = check_list(r, &limit, &before, err);
    if (rc < 0)
        return rc;
    int statuses[JOB_STATUSES];
    struct store_label labels[FM_MAX_LABELS];
    for (size_t i = 0; i < r->n_statuses; i++)
        statuses[i] = (int)r->statuses[i];
    for (size_t i = 0; i < r->n_labels; i++)
        labels[i] = (struct store_label){r->labels[i]->key, r->labels[i]->value};
    const struct store_filter filter = {.statuses = statuses,
                                        .n_statuses = r->n_statuses,
                                        .flow = r->flow,
                                        .host = r->host,
                                        .labels = labels,
                                        .n_labels = r->n_labels};
    core_read(c, store_list_jobs(&filter, &before, limit), on_list_jobs, op);
    return OP_WAITS;
}

const struct method list_jobs_method = {"Jobs/ListJobs",
                                        METHOD_UNARY,
                                        &fermata__v1__list_jobs_request__descriptor,
                                        &fermata__v1__list_jobs_response__descriptor,
                                        ROLE_VIEWER,
                                        ADMIT_ALWAYS,
                                        list_jobs,
                                        NULL};

/* ---- GetHistory ---- */

static void on_history(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    const Fermata__V1__GetHistoryRequest *r = OP_REQUEST(op, Fermata__V1__GetHistoryRequest);
    struct fm_err err = {0};
    if (d->status == STORE_NOT_FOUND) {
        (void)fm_err_set(&err, FM_NOT_FOUND, "job_id", "there is no job %s", r->job_id);
        op_fail(c, op, &err);
        return;
    }
    if (d->status != STORE_OK) {
        op_fail(c, op, &d->err);
        return;
    }
    const struct store_journal *journal = &d->journal;
    bool of_generation =
        r->maybe_generation_case == FERMATA__V1__GET_HISTORY_REQUEST__MAYBE_GENERATION_GENERATION;
    if (of_generation && journal->n == 0 && r->page_token[0] == '\0' && r->from_step == 0)
        (void)fm_err_set(&err, FM_NOT_FOUND, "generation",
                         "job %s has no history of generation %u (or no longer)", r->job_id, r->generation);
    bool begins = r->page_token[0] == '\0' && r->from_step == 0; /* with the first step that is kept */
    uint32_t first = begins ? entry_first_step(journal) : w->from_step;
    if (err.code != FM_OK ||
        (first > 0 && journal->n > 0 && entry_check_journal(journal, first, 0, &err) < 0)) {
        op_fail(c, op, &err);
        return;
    }
    fm_auto(fm_buf) response = {0};
    for (size_t i = 0; i < journal->n; i++) {
        const struct store_journal_record *item = &journal->items[i];
        if (item->entry > 0) {
            entry_put(item->step, item->entry, item->body, FIELD_GET_HISTORY_RESPONSE_ENTRIES, &response);
            continue;
        }
        entry_put_derived(item->body, FIELD_GET_HISTORY_RESPONSE_ENTRIES, &response);
        fm_buf_put_len_delim(&response, FIELD_GET_HISTORY_RESPONSE_STEPS, item->body.p, item->body.n);
    }
    if (journal->more && journal->n > 0) {
        const struct store_journal_record *last = &journal->items[journal->n - 1];
        char token[32];
        snprintf(token, sizeof(token), "%u.%u", last->step, last->entry + 1);
        fm_buf_put_string(&response, FIELD_GET_HISTORY_RESPONSE_NEXT_PAGE_TOKEN, token);
    }
    op_reply_bytes(c, op, fm_buf_bytes(&response));
}

/* A number from 0 to 2^32-1 in digits; NULL: there is none. Returns what follows it. */
static const char *parse_number(const char *text, uint32_t *ret)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 24)
        return NULL;
    unsigned long long n = strtoull(text, &end, 10);
    *ret = (uint32_t)n;
    return n > UINT32_MAX ? NULL : end;
}

/* "12.3": from entry 3, which stands after step 12, on. An earlier version gave "13" for all from step 13 on.
 */
static int parse_journal_token(const char *token, uint32_t *ret_step, uint32_t *ret_entry, struct fm_err *err)
{
    const char *end = parse_number(token, ret_step);
    bool old = end != NULL && *end == '\0' && *ret_step > 0;
    *ret_entry = 1;
    if (end != NULL && *end == '.')
        end = parse_number(end + 1, ret_entry);
    else if (old)
        *ret_step -= 1;
    else
        end = NULL;
    if (end == NULL || *end != '\0' || *ret_entry == 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "page_token",
                          "page_token is not one that GetHistory gave");
    return 0;
}

static int get_history(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__GetHistoryRequest *r = OP_REQUEST(op, Fermata__V1__GetHistoryRequest);
    struct fm_id id;
    uint32_t after = r->from_step > 0 ? r->from_step - 1 : 0, entry = 1, limit;
    int rc = check_job_id(r->job_id, &id, err);
    if (rc == 0)
        rc = check_page(r->page_size, &limit, err);
    if (rc == 0 && r->page_token[0] != '\0')
        rc = parse_journal_token(r->page_token, &after, &entry, err);
    if (rc < 0)
        return rc;
    struct store_query q = store_read_journal(&id, after, entry, limit, PAGE_BYTES);
    q.journal.of_generation =
        r->maybe_generation_case == FERMATA__V1__GET_HISTORY_REQUEST__MAYBE_GENERATION_GENERATION;
    q.journal.generation = r->generation;
    core_read(c, q, on_history, op)->from_step = after + 1;
    return OP_WAITS;
}

const struct method get_history_method = {"Jobs/GetHistory",
                                          METHOD_UNARY,
                                          &fermata__v1__get_history_request__descriptor,
                                          &fermata__v1__get_history_response__descriptor,
                                          ROLE_VIEWER,
                                          ADMIT_ALWAYS,
                                          get_history,
                                          NULL};
