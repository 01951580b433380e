/* The offline check of one job: its row against its record, its inputs and steps without gaps, the
 * fold of all of them from the first against the snapshot and the record, and that something will
 * wake it. */
#include "verify_job.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "buf.h"
#include "digest.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "id.h"
#include "job.h"
#include "job_state.h"
#include "mem.h"
#include "pbc.h"
#include "sql.h"
#include "sum.h"
#include "usage.h"

/* A job that is being checked. */
struct checking {
    struct job *job; /* its state: the fold so far */
    const Fermata__V1__Job *head;
    struct verify_flow *flow;
    uint32_t next; /* number of the step (or input) that must come now */
    bool broken;   /* what comes cannot be folded */
    bool has_snapshot, compared;
    uint32_t generation, base_step, base_inputs; /* the newest one, and how it began */
    uint32_t snapshot_step;
    uint8_t snapshot_digest[STORE_DIGEST_BYTES]; /* of all but the usage */
    Fermata__V1__Usage snapshot_usage;
    int labels;
};

static void complain(struct verify *v, const struct checking *c, const char *fmt, ...) FM_PRINTF(3, 4);
static void complain(struct verify *v, const struct checking *c, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    verify_fault(v, "job %s: %s", c->job->text, text);
}

/* Column `at` is the checksum; one that an older version has not written is accepted. */
static void check_sum(struct verify *v, const struct checking *c, sqlite3_stmt *s, int at, int64_t number,
                      struct fm_bytes body, const char *what)
{
    if (sqlite3_column_type(s, at) == SQLITE_NULL)
        v->unchecked++;
    else if (sqlite3_column_int64(s, at) != sql_sum(&c->job->id, number, body))
        complain(v, c, "%s %lld does not match its checksum", what,
                 (long long)(number < 0 ? -number : number));
}

/* ---- row and record ---- */

static void on_label(struct verify *v, sqlite3_stmt *s, void *arg)
{
    struct checking *c = arg;
    bool known = false;
    for (size_t i = 0; i < c->head->n_labels && !known; i++)
        known = strcmp(c->head->labels[i]->key, sql_text(s, 0)) == 0 &&
                strcmp(c->head->labels[i]->value, sql_text(s, 1)) == 0;
    if (!known)
        complain(v, c, "label %s=%s is stored; its record has none", sql_text(s, 0), sql_text(s, 1));
    c->labels++;
}

static void check_row(struct verify *v, struct checking *c, sqlite3_stmt *row)
{
    const Fermata__V1__Job *h = c->head;
    struct fm_bytes id = {c->job->id.b, sizeof(c->job->id.b)};
    if (strcmp(h->job_id, c->job->text) != 0)
        complain(v, c, "its record is that of job %s", h->job_id);
    if (sqlite3_column_int64(row, 1) != (int64_t)h->status)
        complain(v, c, "its row says status %lld, its record %s", sqlite3_column_int64(row, 1),
                 job_status_name((int)h->status));
    if (strcmp(sql_text(row, 2), h->flow) != 0)
        complain(v, c, "its row says flow \"%s\", its record \"%s\"", sql_text(row, 2), h->flow);
    if (strcmp(sql_text(row, 3), h->host) != 0)
        complain(v, c, "its row says host \"%s\", its record \"%s\"", sql_text(row, 3), h->host);
    verify_each(v, "table labels", "SELECT key, value FROM labels INDEXED BY labels_by_job WHERE job=?1", &id,
                on_label, c);
    if (c->labels != (int)h->n_labels)
        complain(v, c, "%d labels are stored; its record has %zu", c->labels, h->n_labels);
    if (h->flow_digest.len == STORE_DIGEST_BYTES)
        HASH_FIND(hh, v->flows, h->flow_digest.data, STORE_DIGEST_BYTES, c->flow);
    if (c->flow == NULL)
        complain(v, c, "its flow has no sound definition");
}

/* ---- inputs, snapshot, steps ---- */

static void on_input(struct verify *v, sqlite3_stmt *s, void *arg)
{
    struct checking *c = arg;
    long long number = sqlite3_column_int64(s, 0);
    if (number != c->next &&
        !(c->next == 1 && c->head->oldest_generation > 0 && number <= c->base_inputs + 1))
        complain(v, c, "input %lld follows input %u", number, c->next - 1);
    c->next = (uint32_t)number + 1;
    if (sqlite3_column_type(s, 1) == SQLITE_NULL) {
        complain(v, c, "the body of input %lld is missing", number);
        c->broken = true;
        return;
    }
    check_sum(v, c, s, 2, -number, sql_bytes(s, 1), "input");
    fm_auto_pb Fermata__V1__Task *t = verify_decode(&fermata__v1__task__descriptor, sql_bytes(s, 1));
    fm_auto(fm_err) err = {0};
    struct task_item *item = t == NULL ? NULL : task_item_parse(sql_bytes(s, 1), &err);
    if (item == NULL || t->input_number != number) {
        complain(v, c, "input %lld is malformed or another's", number);
        c->broken = true;
        free(item);
    } else {
        item->input_number = (uint32_t)number;
        if (number <= c->base_inputs) {
            free(item);
            return; /* it is in the state with which the generation began */
        }
        DL_APPEND(c->job->inputs, item);
        if (number == 1 && t->initial_shared_data != NULL)
            job_state_set_shared(c->job->state, t->initial_shared_data);
    }
}

/* Earlier versions have stored sums of money without end, which no message may hold: they are read as the
 * coordinator reads them. */
static bool mend_state(struct fm_bytes encoded, struct fm_buf *out)
{
    struct job_state *s = NULL;
    fm_auto(fm_err) err = {0};
    if (job_state_decode(encoded, &s, &err) < 0)
        return false;
    job_state_encode(s, NULL, out);
    job_state_free(s);
    return true;
}

/* Without regard to the order of maps, and without the usage. False when it is malformed. */
static bool state_digest(struct fm_bytes encoded, uint8_t digest[STORE_DIGEST_BYTES], uint32_t *ret_step,
                         uint32_t *ret_inputs, Fermata__V1__Usage *ret_usage)
{
    fm_auto(fm_buf) mended = {0};
    fm_auto_pb Fermata__V1__JobState *state = verify_decode(&fermata__v1__job_state__descriptor, encoded);
    if (state == NULL && mend_state(encoded, &mended))
        state = verify_decode(&fermata__v1__job_state__descriptor, fm_buf_bytes(&mended));
    if (state == NULL)
        return false;
    Fermata__V1__Usage none = FERMATA__V1__USAGE__INIT, *usage = state->usage;
    *ret_usage = usage != NULL ? *usage : none;
    usage_mend(ret_usage);
    state->usage = NULL;
    core_request_digest(&state->base, digest);
    state->usage = usage; /* it is freed with the state */
    *ret_step = state->step_number;
    *ret_inputs = state->inputs_through;
    return true;
}

static void on_snapshot(struct verify *v, sqlite3_stmt *s, void *arg)
{
    struct checking *c = arg;
    uint32_t step, inputs;
    long long number = sqlite3_column_int64(s, 0), through = sqlite3_column_int64(s, 2);
    check_sum(v, c, s, 3, number, sql_bytes(s, 1), "the snapshot of step");
    if (!state_digest(sql_bytes(s, 1), c->snapshot_digest, &step, &inputs, &c->snapshot_usage)) {
        complain(v, c, "its snapshot of step %lld is malformed", number);
        return;
    }
    if (step != number || (through != 0 && through != inputs))
        complain(v, c, "its snapshot is that of step %u and input %u; its row says %lld and %lld", step,
                 inputs, number, through);
    c->has_snapshot = true;
    c->snapshot_step = step;
}

/* Earlier versions have let sums run over: what has reached its limit now is not compared. */
static bool same_usage(const Fermata__V1__Usage *stored, const Fermata__V1__Usage *folded)
{
    return usage_is_full(folded) ||
           (stored->input_tokens == folded->input_tokens && stored->output_tokens == folded->output_tokens &&
            stored->cached_tokens == folded->cached_tokens && stored->calls == folded->calls &&
            fabs(stored->cost - folded->cost) < 1e-6);
}

static void compare_snapshot(struct verify *v, struct checking *c)
{
    if (!c->has_snapshot || c->broken || c->compared || job_state_step(c->job->state) != c->snapshot_step)
        return;
    fm_auto(fm_buf) b = {0};
    uint8_t digest[STORE_DIGEST_BYTES];
    uint32_t step, inputs;
    Fermata__V1__Usage usage;
    job_state_encode(c->job->state, NULL, &b);
    if (!state_digest(fm_buf_bytes(&b), digest, &step, &inputs, &usage) ||
        memcmp(digest, c->snapshot_digest, sizeof(digest)) != 0 || !same_usage(&c->snapshot_usage, &usage))
        complain(v, c, "its snapshot of step %u is not what its steps fold to", c->snapshot_step);
    c->compared = true;
}

/* What the step says it consumed is what the fold found. */
static bool same_task(const Fermata__V1__Task *said, const struct task_item *found)
{
    uint8_t a[STORE_DIGEST_BYTES], b[STORE_DIGEST_BYTES];
    if (said == NULL || found == NULL)
        return said == NULL && found == NULL;
    fm_auto_pb Fermata__V1__Task *t = fermata__v1__task__unpack(NULL, found->body.n, found->body.p);
    if (t == NULL)
        return false;
    core_request_digest(&said->base, a);
    core_request_digest(&t->base, b);
    return memcmp(a, b, sizeof(a)) == 0;
}

/* Column 0 is the generation, then as it is stored. */
static void on_generation(struct verify *v, sqlite3_stmt *s, void *arg)
{
    struct checking *c = arg;
    struct fm_bytes body = sql_bytes(s, 3);
    long long number = sqlite3_column_int64(s, 0), step = sqlite3_column_int64(s, 1);
    if (number <= c->generation || step <= c->base_step)
        complain(v, c, "generation %lld, which begins with step %lld, follows generation %u", number, step,
                 c->generation);
    c->generation = (uint32_t)number;
    c->base_step = (uint32_t)step;
    c->base_inputs = (uint32_t)sqlite3_column_int64(s, 2);
    if (body.n == 0)
        return; /* an older one */
    if (sqlite3_column_int64(s, 4) != sql_sum(&c->job->id, step, body))
        complain(v, c, "generation %lld does not match its checksum", number);
    fm_auto(fm_err) err = {0};
    struct job_state *state = NULL;
    if (job_state_decode(body, &state, &err) < 0 || job_state_step(state) != step ||
        job_state_inputs(state) != c->base_inputs) {
        complain(v, c, "the state with which generation %lld begins is malformed or another's", number);
        job_state_free(state);
        c->broken = true;
        return;
    }
    job_state_free(c->job->state);
    c->job->state = state;
}

/* The first step that is kept is that of a generation, when older ones were deleted. */
static void on_first(struct verify *v, sqlite3_stmt *s, void *arg)
{
    (void)v;
    ((struct checking *)arg)->next = (uint32_t)sqlite3_column_int64(s, 0);
}

static void read_generations(struct verify *v, struct checking *c, const struct fm_bytes *id)
{
    if (v->has_generations)
        verify_each(
            v, "table generations",
            "SELECT generation, step, inputs, body, sum FROM generations WHERE job=?1 ORDER BY generation",
            id, on_generation, c);
    if (c->generation != c->head->generation || c->base_step != c->head->generation_step)
        complain(v, c, "generation %u, which begins with step %u, is stored; its record says %u and %u",
                 c->generation, c->base_step, c->head->generation, c->head->generation_step);
}

static void on_step(struct verify *v, sqlite3_stmt *s, void *arg)
{
    struct checking *c = arg;
    struct fm_bytes body = sql_bytes(s, 1);
    long long number = sqlite3_column_int64(s, 0);
    v->steps++;
    if (number != c->next) {
        complain(v, c, "step %lld does not follow step %u: steps are missing", number, c->next - 1);
        c->broken = true;
    }
    c->next = (uint32_t)number + 1;
    if (sqlite3_column_type(s, 1) == SQLITE_NULL) {
        complain(v, c, "the body of step %lld is missing", number);
        c->broken = true;
        return;
    }
    check_sum(v, c, s, 2, number, body, "step");
    fm_auto_pb Fermata__V1__Step *step = verify_decode(&fermata__v1__step__descriptor, body);
    if (step == NULL || step->number != number) {
        complain(v, c, "step %lld is malformed or another's", number);
        c->broken = true;
    }
    if (!c->broken && number > c->base_step) {
        fm_autofree struct task_item *task = NULL;
        fm_auto(fm_err) err = {0};
        if (job_state_apply(c->job->state, &c->job->inputs, step, body.n, NO_STATE_LIMIT, &task, &err) < 0) {
            complain(v, c, "stored step %lld does not fold: %s", number, err.msg);
            c->broken = true;
        } else if (!same_task(step->task, task)) {
            complain(v, c, "step %lld shows another task than the one that it consumes", number);
        }
        compare_snapshot(v, c);
    }
}

/* All from the first, so that the snapshot can be compared with them. */
static void fold_all(struct verify *v, struct checking *c)
{
    struct fm_bytes id = {c->job->id.b, sizeof(c->job->id.b)};
    c->job->state = job_state_new();
    read_generations(v, c, &id);
    c->next = 1;
    verify_each(v, "table records",
                "SELECT -r.number, b.body, b.sum FROM records r LEFT JOIN bodies b ON b.id=r.at "
                "WHERE r.job=?1 AND r.number<0 ORDER BY r.number DESC",
                &id, on_input, c);
    if (c->next - 1 != c->head->input_count)
        complain(v, c, "%u inputs are stored; its record counts %u", c->next - 1, c->head->input_count);
    verify_each(v, "table snapshots", "SELECT number, body, inputs, sum FROM snapshots WHERE job=?1", &id,
                on_snapshot, c);
    compare_snapshot(v, c);
    c->next = 1;
    if (c->head->oldest_generation > 0)
        verify_each(v, "table generations", "SELECT min(step) FROM generations WHERE job=?1", &id, on_first,
                    c);
    verify_each(v, "table records",
                "SELECT r.number, b.body, b.sum FROM records r LEFT JOIN bodies b ON b.id=r.at "
                "WHERE r.job=?1 AND r.number>=0 ORDER BY r.number",
                &id, on_step, c);
    uint32_t last = c->next - 1, least = c->head->step_count;
    if (last < least)
        complain(v, c, "%u steps are stored; its record counts %u", last, least);
    else if (last > least && c->head->status != JOB_STATUS_RUNNING)
        complain(v, c, "%u steps are stored; its record, which is %s, counts %u", last,
                 job_status_name((int)c->head->status), least);
    if (c->has_snapshot && c->snapshot_step > last)
        complain(v, c, "its snapshot is that of step %u; %u steps are stored", c->snapshot_step, last);
}

/* ---- entries ---- */

static void on_entry(struct verify *v, sqlite3_stmt *s, void *arg)
{
    struct checking *c = arg;
    struct fm_bytes body = sql_bytes(s, 2);
    long long step = sqlite3_column_int64(s, 0), number = sqlite3_column_int64(s, 1);
    if (number != c->next && !(c->next == 1 && c->head->oldest_generation > 0))
        complain(v, c, "entry %lld follows entry %u", number, c->next - 1);
    c->next = (uint32_t)number + 1;
    if (step > job_state_step(c->job->state))
        complain(v, c, "entry %lld stands after step %lld; %u steps are stored", number, step,
                 job_state_step(c->job->state));
    if (sqlite3_column_int64(s, 3) != sql_sum(&c->job->id, SUM_OF_ENTRY(step, number), body))
        complain(v, c, "entry %lld does not match its checksum", number);
    fm_auto_pb Fermata__V1__Entry *e = verify_decode(&fermata__v1__entry__descriptor, body);
    if (e == NULL || e->kind == ENTRY_KIND_UNSPECIFIED || e->number != 0 || e->after_step != 0)
        complain(v, c, "entry %lld is malformed", number);
}

/* A store of an earlier version has none. */
static void check_entries(struct verify *v, struct checking *c)
{
    struct fm_bytes id = {c->job->id.b, sizeof(c->job->id.b)};
    if (!v->has_entries)
        return;
    c->next = 1;
    verify_each(v, "table entries",
                "SELECT step, number, body, sum FROM entries WHERE job=?1 ORDER BY step, number", &id,
                on_entry, c);
    bool deleted = c->next == 1 && c->head->oldest_generation > 0;
    if (c->next - 1 != c->head->entry_count && !deleted)
        complain(v, c, "%u entries are stored; its record counts %u", c->next - 1, c->head->entry_count);
}

/* ---- what wakes it ---- */

static bool has_waker(const struct job *job)
{
    const Fermata__V1__Job *h = job->head;
    return h->n_pauses > 0 || h->n_children > 0 || job_state_next_due(job->state) != 0;
}

static void check_status(struct verify *v, const struct checking *c)
{
    const struct job *job = c->job;
    const Fermata__V1__Job *h = job->head;
    int status = (int)h->status;
    if ((status == JOB_PAUSED || status == JOB_SLEEPING) && !has_waker(job))
        complain(v, c, "it is %s, and nothing would ever wake it", job_status_name(status));
    if (status == JOB_PAUSED && h->n_pauses == 0)
        complain(v, c, "it is PAUSED, but no pause is open");
    if ((status == JOB_RUNNING) != (h->host[0] != '\0'))
        complain(v, c, "it is %s, but on host \"%s\"", job_status_name(status), h->host);
    if (status == JOB_COMPLETED && job_state_pending(job->state) > 0)
        complain(v, c, "it is COMPLETED, but %zu tasks are pending", job_state_pending(job->state));
    if (job_status_final(status) && h->finished_at == NULL)
        complain(v, c, "it is %s, but has no time of its end", job_status_name(status));
}

/* The row's wake time is that of the record, or later when that was over. */
static void check_wake(struct verify *v, const struct checking *c, sqlite3_stmt *row)
{
    if (c->flow == NULL)
        return;
    long long want = job_wake_ms(c->job), is = sqlite3_column_int64(row, 5);
    /* versions up to 0.3.0 let timers beside a question wait for the answer */
    bool old = (int)c->job->head->status == JOB_PAUSED && !c->flow->parallel &&
               job_state_next_due(c->job->state) != 0;
    if (want > 0 && is == 0 && !old)
        complain(v, c, "it must wake at %lld, but its row has no time for it", want);
    else if (want == 0 && is != 0)
        complain(v, c, "its row wakes it at %lld, but it waits for no time", is);
    else if (is < want)
        complain(v, c, "its row wakes it at %lld, but it must wake at %lld", is, want);
}

void verify_job(struct verify *v, sqlite3_stmt *row, void *unused)
{
    (void)unused;
    struct fm_id id = {{0}};
    struct fm_bytes key = sql_bytes(row, 0);
    v->jobs++;
    if (key.n != sizeof(id.b)) {
        verify_fault(v, "a job has an id of %zu bytes", key.n);
        return;
    }
    memcpy(id.b, key.p, sizeof(id.b));
    struct checking c = {.job = job_new(&id)};
    c.job->head = verify_decode(&fermata__v1__job__descriptor, sql_bytes(row, 4));
    c.head = c.job->head;
    if (sqlite3_column_type(row, 6) == SQLITE_NULL)
        v->unchecked++;
    else if (sqlite3_column_int64(row, 6) != sql_sum(&id, 0, sql_bytes(row, 4)))
        complain(v, &c, "its record does not match its checksum");
    if (c.head == NULL) {
        complain(v, &c, "its record is malformed");
    } else if ((int)c.head->status < JOB_PENDING || (int)c.head->status > JOB_CANCELLED) {
        complain(v, &c, "status %d is unknown", (int)c.head->status);
    } else {
        check_row(v, &c, row);
        fold_all(v, &c);
        if (!c.broken) {
            check_entries(v, &c);
            check_status(v, &c);
            check_wake(v, &c, row);
        }
    }
    job_free(c.job);
}
