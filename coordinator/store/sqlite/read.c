/* Queries of the SQLite store. One reader thread carries them out on its own connection, each in
 * one read transaction. See read.h. */
#include "read.h"

#include <stdio.h>
#include <string.h>

#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "mem.h"

/* The statuses of which the statements speak by number. */
_Static_assert(JOB_STATUS_PENDING == 1, "SQL_LIST_ACTIVE");
_Static_assert(JOB_STATUS_RUNNING == 2, "SQL_LIST_ACTIVE, filter_text");

/* What a query is doing. */
struct reading {
    struct sql_conn *c;
    const struct store_query *q;
    struct done_node *n;
    struct store_done *d; /* of n */
    size_t bytes;         /* of the bodies collected so far */
    int64_t end;          /* step with which the next generation begins; 0: none does */
};

/* ---- rows ---- */

static struct fm_bytes column(struct done_node *n, sqlite3_stmt *s, int at)
{
    struct fm_bytes b = sql_bytes(s, at);
    return done_copy(n, b.p, b.n);
}

static void column_digest(sqlite3_stmt *s, int at, uint8_t out[STORE_DIGEST_BYTES])
{
    struct fm_bytes b = sql_bytes(s, at);
    if (b.n == STORE_DIGEST_BYTES)
        memcpy(out, b.p, b.n);
}

static void column_id(sqlite3_stmt *s, int at, struct fm_id *out)
{
    struct fm_bytes b = sql_bytes(s, at);
    if (b.n == sizeof(out->b))
        memcpy(out->b, b.p, b.n);
}

void sqlite_read_claim(struct done_node *n, sqlite3_stmt *row)
{
    column_digest(row, 0, n->done.claim.digest);
    column_id(row, 1, &n->done.claim.job);
    n->done.claim.reply = column(n, row, 2);
}

static int fail(struct reading *r, int rc, const char *what)
{
    r->d->status = STORE_FAILED;
    if (r->d->err.code == FM_OK)
        (void)sql_error(r->c, rc, what, &r->d->err);
    if (sql_is_fatal(rc))
        sql_close(r->c);
    return -1;
}

static sqlite3_stmt *get(struct reading *r, enum sql_id id)
{
    sqlite3_stmt *s = sql_get(r->c, id, &r->d->err);
    if (s == NULL)
        (void)fail(r, SQLITE_ERROR, "prepare");
    return s;
}

static sqlite3_stmt *get_of_job(struct reading *r, enum sql_id id, const struct fm_id *job)
{
    sqlite3_stmt *s = get(r, id);
    if (s != NULL)
        sql_bind_id(s, 1, job);
    return s;
}

/* Returns 1 when there is a row, 0 when not, -1 after a fault. */
static int one_row(struct reading *r, sqlite3_stmt *s)
{
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc != SQLITE_DONE)
        return fail(r, rc, "read");
    (void)sqlite3_reset(s);
    return 0;
}

/* As one_row, when the row is all that was asked for. */
static int the_row(struct reading *r, sqlite3_stmt *s)
{
    int got = one_row(r, s);
    if (got == 0)
        r->d->status = STORE_NOT_FOUND;
    return got;
}

/* Items of the completion that were made of rows. */
struct items {
    const void *p;
    size_t n;
    bool more;
};

/* Makes an item, zeroed before, of a row; false: it is one too many. */
typedef bool take_row(struct reading *r, sqlite3_stmt *row, void *item);

/* Makes items of all rows, but of at most `limit` (0: any number). */
static struct items read_items(struct reading *r, sqlite3_stmt *s, uint32_t limit, size_t item_size,
                               take_row *take)
{
    struct fm_buf b = {0};
    struct items got = {0};
    int rc;
    r->bytes = 0;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        fm_buf_reserve(&b, item_size);
        memset(b.p + b.n, 0, item_size);
        got.more = (limit > 0 && got.n == limit) || !take(r, s, b.p + b.n);
        if (got.more)
            break;
        b.n += item_size;
        got.n++;
    }
    got.p = done_copy(r->n, b.p, b.n).p;
    fm_buf_done(&b);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        (void)fail(r, rc, "list");
    else
        (void)sqlite3_reset(s);
    return got;
}

/* ---- a job ---- */

static bool take_record(struct reading *r, sqlite3_stmt *row, void *item)
{
    struct store_record *record = item;
    struct fm_bytes body = sql_bytes(row, 1);
    size_t most = r->q->kind == STORE_READ_STEPS ? r->q->steps.max_bytes : 0;
    if (most > 0 && r->bytes > 0 && r->bytes + body.n > most)
        return false;
    r->bytes += body.n;
    record->number = (uint32_t)sqlite3_column_int64(row, 0);
    record->body = done_copy(r->n, body.p, body.n);
    return true;
}

static int read_steps(struct reading *r, const struct fm_id *job, uint32_t from, uint32_t limit,
                      struct store_records *ret)
{
    sqlite3_stmt *s = get_of_job(r, SQL_READ_STEPS, job);
    if (s == NULL)
        return -1;
    sql_bind_number(s, 2, from > 0 ? from : 1); /* those below are inputs */
    sql_bind_number(s, 3, limit > 0 ? (int64_t)limit + 1 : -1);
    struct items got = read_items(r, s, limit, sizeof(struct store_record), take_record);
    *ret = (struct store_records){got.p, got.n, got.more};
    return r->d->status == STORE_OK ? 0 : -1;
}

static int read_inputs(struct reading *r, const struct fm_id *job, uint32_t from, uint32_t to,
                       struct store_records *ret)
{
    sqlite3_stmt *s = get_of_job(r, SQL_READ_INPUTS, job);
    if (s == NULL)
        return -1;
    sql_bind_number(s, 2, -(int64_t)to);
    sql_bind_number(s, 3, from > 0 ? -(int64_t)from : -1);
    struct items got = read_items(r, s, 0, sizeof(struct store_record), take_record);
    *ret = (struct store_records){got.p, got.n, got.more};
    return r->d->status == STORE_OK ? 0 : -1;
}

static int read_head(struct reading *r, const struct fm_id *job, struct fm_bytes *ret)
{
    sqlite3_stmt *s = get_of_job(r, SQL_READ_JOB, job);
    if (s == NULL || the_row(r, s) != 1)
        return -1;
    *ret = column(r->n, s, 0);
    (void)sqlite3_reset(s);
    return 0;
}

/* Fills in how the generation began to which the step belongs. Returns 1, 0 when it is the first, -1 after a
 * fault. */
static int read_generation(struct reading *r, const struct fm_id *job, uint32_t step,
                           struct store_generation *ret)
{
    sqlite3_stmt *s = get_of_job(r, SQL_READ_GENERATION, job);
    if (s == NULL)
        return -1;
    sql_bind_number(s, 2, step);
    int got = one_row(r, s);
    if (got != 1)
        return got;
    ret->number = (uint32_t)sqlite3_column_int64(s, 0);
    ret->step = (uint32_t)sqlite3_column_int64(s, 1);
    ret->inputs = (uint32_t)sqlite3_column_int64(s, 2);
    ret->state = column(r->n, s, 3);
    (void)sqlite3_reset(s);
    return 1;
}

static void read_generation_of(struct reading *r)
{
    struct fm_bytes head; /* says whether the job is there */
    if (read_head(r, &r->q->generation.job, &head) == 0)
        (void)read_generation(r, &r->q->generation.job, r->q->generation.step, &r->d->generation);
}

static void read_job(struct reading *r)
{
    const struct fm_id *id = &r->q->job.id;
    struct store_found_job *job = &r->d->job;
    if (read_head(r, id, &job->head) < 0 || r->q->job.extent == STORE_HEAD)
        return;
    sqlite3_stmt *s = get_of_job(r, SQL_READ_SNAPSHOT, id);
    if (s == NULL)
        return;
    uint32_t taken = 0;
    int got = one_row(r, s);
    if (got < 0)
        return;
    if (got == 1) {
        taken = (uint32_t)sqlite3_column_int64(s, 2);
        job->snapshot_number = (uint32_t)sqlite3_column_int64(s, 0);
        job->snapshot = column(r->n, s, 1);
        (void)sqlite3_reset(s);
    } else {
        struct store_generation g = {0};
        got = read_generation(r, id, UINT32_MAX, &g);
        if (got < 0)
            return;
        taken = g.inputs;
        job->snapshot_number = g.step;
        job->snapshot = got == 1 ? g.state : FM_NO_BYTES;
    }
    if (read_steps(r, id, job->snapshot_number + 1, 0, &job->steps) == 0)
        (void)read_inputs(r, id, taken + 1, UINT32_MAX, &job->inputs);
}

static void read_steps_of(struct reading *r)
{
    struct fm_bytes head; /* says whether the job is there */
    if (read_head(r, &r->q->steps.job, &head) == 0)
        (void)read_steps(r, &r->q->steps.job, r->q->steps.from, r->q->steps.limit, &r->d->steps);
}

/* What stands next in the journal: a step or an entry, the first of each being the statements' rows (NULL:
 * there are no more). */
static bool entry_is_next(sqlite3_stmt *step, sqlite3_stmt *entry)
{
    return entry != NULL && (step == NULL || sqlite3_column_int64(entry, 0) < sqlite3_column_int64(step, 0));
}

/* Takes the row into the list; false: it is one too many. */
static bool take_journal(struct reading *r, sqlite3_stmt *row, bool is_entry, struct fm_buf *items)
{
    struct fm_bytes body = sql_bytes(row, is_entry ? 2 : 1);
    size_t n = items->n / sizeof(struct store_journal_record), most = r->q->journal.max_bytes;
    if ((r->q->journal.limit > 0 && n == r->q->journal.limit) ||
        (most > 0 && r->bytes > 0 && r->bytes + body.n > most))
        return false;
    r->bytes += body.n;
    const struct store_journal_record item = {.step = (uint32_t)sqlite3_column_int64(row, 0),
                                              .entry = is_entry ? (uint32_t)sqlite3_column_int64(row, 1) : 0,
                                              .body = done_copy(r->n, body.p, body.n)};
    fm_buf_append(items, &item, sizeof(item));
    return true;
}

static void merge_journal(struct reading *r, sqlite3_stmt *step, sqlite3_stmt *entry)
{
    fm_auto(fm_buf) items = {0};
    int has_step = one_row(r, step), has_entry = has_step < 0 ? -1 : one_row(r, entry);
    bool more = false;
    int64_t to = r->q->journal.to_step;
    while (has_step >= 0 && has_entry >= 0 && has_step + has_entry > 0 && !more) {
        bool is_entry = entry_is_next(has_step > 0 ? step : NULL, has_entry > 0 ? entry : NULL);
        if (r->end > 0 && sqlite3_column_int64(is_entry ? entry : step, 0) >= r->end)
            break;
        if (to > 0 && sqlite3_column_int64(is_entry ? entry : step, 0) + (is_entry ? 1 : 0) > to)
            break;
        more = !take_journal(r, is_entry ? entry : step, is_entry, &items);
        if (!more && is_entry)
            has_entry = one_row(r, entry);
        else if (!more)
            has_step = one_row(r, step);
    }
    r->d->journal = (struct store_journal){
        .items = (const void *)done_copy(r->n, items.p, items.n).p,
        .n = items.n / sizeof(struct store_journal_record),
        .more = more,
    };
    (void)sqlite3_reset(step);
    (void)sqlite3_reset(entry);
}

/* Where a generation begins, or the next one; 0: nowhere. */
static int64_t generation_step(struct reading *r, enum sql_id which, const struct fm_id *job,
                               uint32_t generation)
{
    sqlite3_stmt *s = get_of_job(r, which, job);
    if (s == NULL)
        return 0;
    sql_bind_number(s, 2, generation);
    int64_t step = one_row(r, s) == 1 ? sqlite3_column_int64(s, 0) : 0;
    (void)sqlite3_reset(s);
    return step;
}

static void read_journal(struct reading *r)
{
    struct fm_bytes head; /* says whether the job is there */
    const struct fm_id *job = &r->q->journal.job;
    uint32_t from = r->q->journal.from_step, number = r->q->journal.from_entry;
    if (read_head(r, job, &head) < 0)
        return;
    if (r->q->journal.of_generation) {
        uint32_t wanted = r->q->journal.generation;
        int64_t first = generation_step(r, SQL_GENERATION_STARTS, job, wanted);
        r->end = generation_step(r, SQL_GENERATION_ENDS, job, wanted);
        if (first == 0 && wanted > 0)
            return; /* it is not there, or no longer */
        if (first > (int64_t)from + (number > 0)) {
            from = (uint32_t)first;
            number = 0;
        }
    }
    sqlite3_stmt *step = get_of_job(r, SQL_READ_STEPS, job), *entry = get_of_job(r, SQL_READ_ENTRIES, job);
    if (step == NULL || entry == NULL)
        return;
    int64_t limit = r->q->journal.limit > 0 ? (int64_t)r->q->journal.limit + 1 : -1;
    sql_bind_number(step, 2, from == 0 ? 1 : (int64_t)from + (number > 0 ? 1 : 0));
    sql_bind_number(step, 3, limit);
    sql_bind_number(entry, 2, from);
    sql_bind_number(entry, 3, number);
    sql_bind_number(entry, 4, limit);
    merge_journal(r, step, entry);
}

static void read_request(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_GET_REQUEST);
    if (s == NULL)
        return;
    sql_bind_text(s, 1, r->q->request.scope);
    sql_bind_text(s, 2, r->q->request.id);
    if (the_row(r, s) != 1)
        return;
    sqlite_read_claim(r->n, s);
    (void)sqlite3_reset(s);
}

/* ---- flows and hosts ---- */

/* How many versions there are, and the numbers that they have had. */
static bool read_flow_numbers(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_READ_FLOW_NUMBERS);
    if (s == NULL)
        return false;
    sql_bind_text(s, 1, r->q->flow.name);
    if (the_row(r, s) != 1)
        return false;
    r->d->flow.n_versions = (uint32_t)sqlite3_column_int64(s, 0);
    r->d->flow.used = (uint32_t)sqlite3_column_int64(s, 1);
    (void)sqlite3_reset(s);
    return true;
}

static void read_flow(struct reading *r)
{
    uint32_t version = r->q->flow.version;
    if (version == 0 && !read_flow_numbers(r))
        return;
    sqlite3_stmt *s = get(r, version > 0 ? SQL_READ_FLOW : SQL_READ_NEWEST_FLOW);
    if (s == NULL)
        return;
    sql_bind_text(s, 1, r->q->flow.name);
    if (version > 0)
        sql_bind_number(s, 2, version);
    if (the_row(r, s) != 1)
        return;
    r->d->flow.version = (uint32_t)sqlite3_column_int64(s, 0);
    column_digest(s, 1, r->d->flow.digest);
    r->d->flow.definition = column(r->n, s, 2);
    (void)sqlite3_reset(s);
}

static void read_flow_def(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_READ_FLOW_DEF);
    if (s == NULL)
        return;
    sql_bind_bytes(s, 1, (struct fm_bytes){r->q->flow_def.digest, STORE_DIGEST_BYTES});
    if (the_row(r, s) != 1)
        return;
    r->d->flow_def = column(r->n, s, 0);
    (void)sqlite3_reset(s);
}

static bool take_body(struct reading *r, sqlite3_stmt *row, void *item)
{
    *(struct fm_bytes *)item = column(r->n, row, 0);
    return true;
}

static struct store_bodies list_bodies(struct reading *r, sqlite3_stmt *s, uint32_t limit)
{
    struct items got = read_items(r, s, limit, sizeof(struct fm_bytes), take_body);
    return (struct store_bodies){got.p, got.n, got.more};
}

static void list_flows(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_LIST_FLOWS);
    if (s == NULL)
        return;
    sql_bind_text(s, 1, r->q->flows.after);
    sql_bind_number(s, 2, (int64_t)r->q->flows.limit + 1);
    r->d->flows = list_bodies(r, s, r->q->flows.limit);
}

static void list_hosts(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_LIST_HOSTS);
    if (s != NULL)
        r->d->hosts = list_bodies(r, s, 0);
}

/* ---- lists of jobs ---- */

static bool take_head(struct reading *r, sqlite3_stmt *row, void *item)
{
    struct store_job_head *job = item;
    column_id(row, 0, &job->id);
    job->head = column(r->n, row, 1);
    return true;
}

static void list_heads(struct reading *r, sqlite3_stmt *s, uint32_t limit)
{
    struct items got = read_items(r, s, limit, sizeof(struct store_job_head), take_head);
    r->d->jobs = (struct store_job_heads){got.p, got.n, got.more};
}

static void list_active(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_LIST_ACTIVE);
    if (s == NULL)
        return;
    sql_bind_id(s, 1, &r->q->active.after);
    sql_bind_number(s, 2, (int64_t)r->q->active.limit + 1);
    list_heads(r, s, r->q->active.limit);
}

static bool take_due(struct reading *r, sqlite3_stmt *row, void *item)
{
    struct store_due_job *job = item;
    (void)r;
    column_id(row, 0, &job->id);
    job->wake_ms = sqlite3_column_int64(row, 1);
    return true;
}

/* The first wake time that is later, so that the core knows when to ask again. */
static void read_next_wake(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_NEXT_WAKE);
    if (s == NULL)
        return;
    sql_bind_number(s, 1, r->q->due.until_ms);
    if (one_row(r, s) != 1)
        return;
    r->d->due.next_wake_ms = sqlite3_column_int64(s, 0); /* NULL reads as 0 */
    (void)sqlite3_reset(s);
}

static void list_due(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_LIST_DUE);
    if (s == NULL)
        return;
    sql_bind_number(s, 1, r->q->due.until_ms);
    sql_bind_number(s, 2, r->q->due.after_ms);
    sql_bind_id(s, 3, &r->q->due.after);
    sql_bind_number(s, 4, (int64_t)r->q->due.limit + 1);
    struct items got = read_items(r, s, r->q->due.limit, sizeof(struct store_due_job), take_due);
    r->d->due = (struct store_due){.items = got.p, .n = got.n, .more = got.more};
    if (r->d->status == STORE_OK)
        read_next_wake(r);
}

/* ---- lists and counts by a filter ---- */

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* Parameters: ?2 flow, ?3 host, ?10 and ?11 the first label, and so on. */
static void filter_text(const struct store_filter *f, struct fm_buf *sql)
{
    char part[128];
#define ADD(...) fm_buf_append(sql, part, (size_t)snprintf(part, sizeof(part), __VA_ARGS__))
    for (size_t i = 0; i < f->n_statuses; i++)
        ADD("%s%d", i > 0 ? "," : " AND status IN (", f->statuses[i]);
    if (f->n_statuses > 0)
        ADD(")");
    if (given(f->flow))
        ADD(" AND flow=?2");
    if (given(f->host))
        ADD(" AND host=?3 AND status=2"); /* only a RUNNING job has one: jobs_by_status finds it */
    for (size_t i = 0; i < f->n_labels; i++)
        ADD(" AND EXISTS(SELECT 1 FROM labels l WHERE l.key=?%zu AND l.value=?%zu AND l.job=j.id)",
            10 + 2 * i, 11 + 2 * i);
#undef ADD
}

static void bind_filter(sqlite3_stmt *s, const struct store_filter *f)
{
    if (given(f->flow))
        sql_bind_text(s, 2, f->flow);
    if (given(f->host))
        sql_bind_text(s, 3, f->host);
    for (size_t i = 0; i < f->n_labels; i++) {
        sql_bind_text(s, (int)(10 + 2 * i), f->labels[i].key);
        sql_bind_text(s, (int)(11 + 2 * i), f->labels[i].value);
    }
}

/* A statement that is made for one query, with its filter bound; for sqlite3_finalize. NULL after a
 * fault. */
static sqlite3_stmt *filtered(struct reading *r, const char *begin, const struct store_filter *f,
                              const char *end)
{
    fm_auto(fm_buf) sql = {0};
    sqlite3_stmt *s = NULL;
    fm_buf_append(&sql, begin, strlen(begin));
    filter_text(f, &sql);
    fm_buf_append(&sql, end, strlen(end) + 1);
    int rc = sqlite3_prepare_v2(r->c->db, (const char *)sql.p, -1, &s, NULL);
    if (rc != SQLITE_OK)
        (void)fail(r, rc, "list");
    else
        bind_filter(s, f);
    return s;
}

static void list_jobs(struct reading *r)
{
    bool any = fm_id_is_zero(&r->q->jobs.before);
    sqlite3_stmt *s =
        filtered(r, any ? "SELECT id, head FROM jobs j WHERE 1" : "SELECT id, head FROM jobs j WHERE id<?1",
                 &r->q->jobs.filter, " ORDER BY id DESC LIMIT ?4");
    if (s == NULL)
        return;
    if (!any)
        sql_bind_id(s, 1, &r->q->jobs.before);
    sql_bind_number(s, 4, (int64_t)r->q->jobs.limit + 1);
    list_heads(r, s, r->q->jobs.limit);
    (void)sqlite3_finalize(s);
}

static bool take_count(struct reading *r, sqlite3_stmt *row, void *item)
{
    struct store_count *count = item;
    (void)r;
    count->status = sqlite3_column_int(row, 0);
    count->jobs = (uint64_t)sqlite3_column_int64(row, 1);
    return true;
}

static void count_jobs(struct reading *r)
{
    sqlite3_stmt *s = filtered(r, "SELECT status, count(*) FROM jobs j WHERE 1", &r->q->counts.filter,
                               " GROUP BY status ORDER BY status");
    if (s == NULL)
        return;
    struct items got = read_items(r, s, 0, sizeof(struct store_count), take_count);
    r->d->counts = (struct store_counts){got.p, got.n};
    (void)sqlite3_finalize(s);
}

/* ---- the ledger ---- */

/* Sums stay at 2^53-1, up to which they are exact; sum() would fail beyond 2^63. What an earlier version
 * stored as less than nothing counts as nothing. */
#define TOTAL(column) "CAST(min(total(max(u." column ", 0)), 9007199254740991.0) AS INTEGER)"

static bool take_sum(struct reading *r, sqlite3_stmt *row, void *item)
{
    struct store_usage_sum *sum = item;
    sum->key = done_text(r->n, sql_text(row, 0));
    sum->day = (uint32_t)sqlite3_column_int64(row, 1);
    sum->used.input_tokens = (uint64_t)sqlite3_column_int64(row, 2);
    sum->used.output_tokens = (uint64_t)sqlite3_column_int64(row, 3);
    sum->used.cached_tokens = (uint64_t)sqlite3_column_int64(row, 4);
    sum->used.cost = sqlite3_column_double(row, 5);
    sum->used.calls = (uint64_t)sqlite3_column_int64(row, 6);
    return true;
}

static void sum_usage(struct reading *r)
{
    static const char *const groups[] = {[STORE_BY_NOTHING] = "'', 0",
                                         [STORE_BY_FLOW] = "u.flow, 0",
                                         [STORE_BY_LABEL] = "l.value, 0",
                                         [STORE_BY_DAY] = "'', u.day"};
    enum store_group group = r->q->usage.group;
    char sql[1024];
    sqlite3_stmt *s = NULL;
    (void)snprintf(
        sql, sizeof(sql),
        "SELECT %s, " TOTAL("input") ", " TOTAL("output") ", " TOTAL(
            "cached") ", "
                      "min(round(total(max(u.cost, 0.0)), 9), 1e15), " TOTAL(
                          "calls") " FROM usage u%s WHERE u.day BETWEEN ?1 AND ?2 AND (?4='' OR u.flow=?4) "
                                   "GROUP BY 1, 2 HAVING count(*)>0 ORDER BY 1, 2 LIMIT 10000",
        groups[group], group == STORE_BY_LABEL ? " JOIN labels l ON l.job=u.job AND l.key=?3" : "");
    int rc = sqlite3_prepare_v2(r->c->db, sql, -1, &s, NULL);
    if (rc != SQLITE_OK) {
        (void)fail(r, rc, "sum");
        return;
    }
    sql_bind_number(s, 1, r->q->usage.from_day);
    sql_bind_number(s, 2, r->q->usage.to_day);
    if (group == STORE_BY_LABEL)
        sql_bind_text(s, 3, r->q->usage.label_key);
    sql_bind_text(s, 4, r->q->usage.flow);
    struct items got = read_items(r, s, 0, sizeof(struct store_usage_sum), take_sum);
    r->d->usage = (struct store_usage_sums){got.p, got.n};
    (void)sqlite3_finalize(s);
}

/* ---- the query ---- */

static void dispatch(struct reading *r)
{
    switch (r->q->kind) {
    case STORE_UNIT: /* not a query */
        return;
    case STORE_READ_JOB:
        read_job(r);
        return;
    case STORE_READ_STEPS:
        read_steps_of(r);
        return;
    case STORE_READ_GENERATION:
        read_generation_of(r);
        return;
    case STORE_READ_JOURNAL:
        read_journal(r);
        return;
    case STORE_READ_INPUTS:
        (void)read_inputs(r, &r->q->inputs.job, r->q->inputs.from, r->q->inputs.to, &r->d->inputs);
        return;
    case STORE_READ_REQUEST:
        read_request(r);
        return;
    case STORE_READ_FLOW:
        read_flow(r);
        return;
    case STORE_READ_FLOW_DEF:
        read_flow_def(r);
        return;
    case STORE_LIST_JOBS:
        list_jobs(r);
        return;
    case STORE_LIST_ACTIVE:
        list_active(r);
        return;
    case STORE_LIST_DUE:
        list_due(r);
        return;
    case STORE_LIST_FLOWS:
        list_flows(r);
        return;
    case STORE_LIST_HOSTS:
        list_hosts(r);
        return;
    case STORE_COUNT_JOBS:
        count_jobs(r);
        return;
    case STORE_SUM_USAGE:
        sum_usage(r);
        return;
    }
}

static int exec(struct reading *r, enum sql_id id)
{
    int rc = sql_exec(r->c, id, &r->d->err);
    return rc == SQLITE_OK ? 0 : fail(r, rc, "read");
}

struct done_node *sqlite_query(struct sql_conn *c, const struct store_query *q)
{
    struct done_node *n = done_new(q->tag, q->kind);
    struct reading r = {.c = c, .q = q, .n = n, .d = &n->done};
    if (sql_open(c, SQL_READER, &n->done.err) < 0) {
        n->done.status = STORE_FAILED;
        return n;
    }
    if (exec(&r, SQL_BEGIN_READ) == 0) {
        dispatch(&r);
        if (c->db != NULL && !sqlite3_get_autocommit(c->db))
            (void)exec(&r, SQL_COMMIT);
    }
    for (int i = 0; c->db != NULL && i < SQL_COUNT; i++)
        if (c->stmts[i] != NULL && sqlite3_stmt_busy(c->stmts[i]))
            (void)sqlite3_reset(c->stmts[i]);
    return n;
}
