/* Queries of the SQLite store. One reader thread carries them out on its own connection, each in one read
 * transaction. */
#include <stdio.h>
#include <string.h>

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "id.h"
#include "sql.h"
#include "store.h"
#include "store_int.h"

static const char *const sql_texts[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_GET_REQUEST] = "SELECT digest, job, reply FROM requests WHERE scope=?1 AND request_id=?2",
    [SQL_PUT_REQUEST] =
        "INSERT INTO requests(scope, request_id, job, digest, reply) VALUES(?1, ?2, ?3, ?4, ?5)",
    [SQL_NEW_JOB] =
        "INSERT INTO jobs(id, status, flow, host, head, wake, sum) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [SQL_SET_JOB] = "UPDATE jobs SET status=?2, host=?3, head=?4, wake=?5, sum=?6 WHERE id=?1",
    [SQL_PUT_LABEL] = "INSERT OR IGNORE INTO labels(key, value, job) VALUES(?1, ?2, ?3)",
    [SQL_PUT_BODY] = "INSERT INTO bodies(body, sum) VALUES(?1, ?2)",
    [SQL_PUT_RECORD] = "INSERT INTO records(job, number, at) VALUES(?1, ?2, ?3)",
    [SQL_PUT_SNAPSHOT] =
        "INSERT OR REPLACE INTO snapshots(job, number, body, inputs, sum) VALUES(?1, ?2, ?3, ?4, ?5)",
    [SQL_PUT_FLOW_DEF] = "INSERT OR IGNORE INTO flow_defs(digest, body) VALUES(?1, ?2)",
    [SQL_PUT_FLOW] = "INSERT INTO flows(name, version, digest, summary) VALUES(?1, ?2, ?3, ?4)",
    [SQL_DELETE_FLOW] = "DELETE FROM flows WHERE name=?1",
    [SQL_DELETE_JOB] = "DELETE FROM jobs WHERE id=?1",
    [SQL_DELETE_BODIES] = "DELETE FROM bodies WHERE id IN (SELECT at FROM records WHERE job=?1)",
    [SQL_DELETE_RECORDS] = "DELETE FROM records WHERE job=?1",
    [SQL_DELETE_SNAPSHOT] = "DELETE FROM snapshots WHERE job=?1",
    [SQL_DELETE_LABELS] = "DELETE FROM labels WHERE job=?1",
    [SQL_DELETE_REQUESTS] = "DELETE FROM requests WHERE job=?1",
    [SQL_READ_JOB] = "SELECT head FROM jobs WHERE id=?1",
    [SQL_READ_SNAPSHOT] = "SELECT number, body, inputs FROM snapshots WHERE job=?1",
    [SQL_READ_STEPS] = "SELECT r.number, b.body FROM records r CROSS JOIN bodies b ON b.id=r.at "
                       "WHERE r.job=?1 AND r.number>=?2 ORDER BY r.number LIMIT ?3",
    [SQL_READ_INPUTS] = "SELECT -r.number, b.body FROM records r CROSS JOIN bodies b ON b.id=r.at "
                        "WHERE r.job=?1 AND r.number BETWEEN ?2 AND ?3 ORDER BY r.number DESC",
    [SQL_READ_FLOW] = "SELECT f.version, f.digest, d.body FROM flows f JOIN flow_defs d ON d.digest=f.digest "
                      "WHERE f.name=?1 AND f.version=?2",
    [SQL_READ_NEWEST_FLOW] = ("SELECT f.version, f.digest, d.body FROM flows f JOIN flow_defs d ON "
                              "d.digest=f.digest WHERE f.name=?1 "
                              "ORDER BY f.version DESC LIMIT 1"),
    [SQL_READ_FLOW_DEF] = "SELECT body FROM flow_defs WHERE digest=?1",
    [SQL_LIST_FLOWS] =
        "SELECT max(version), summary FROM flows WHERE name>?1 GROUP BY name ORDER BY name LIMIT ?2",
    [SQL_LIST_ACTIVE] = "SELECT id, head FROM jobs WHERE id>?1 AND status IN (1, 2) ORDER BY id LIMIT ?2",
    [SQL_ADD_USAGE] =
        "INSERT INTO usage(day, job, flow, input, output, cached, cost, calls) VALUES(?1, ?2, ?3, ?4, ?5, "
        "?6, ?7, ?8) ON CONFLICT(day, job) DO UPDATE SET input=input+?4, output=output+?5, "
        "cached=cached+?6, cost=round(cost+?7, 9), calls=calls+?8",
    [SQL_LIST_DUE] =
        "SELECT id, wake FROM jobs WHERE wake<=?1 AND (wake, id)>(?2, ?3) ORDER BY wake, id LIMIT ?4",
    [SQL_NEXT_WAKE] = "SELECT min(wake) FROM jobs WHERE wake>?1",
    [SQL_PUT_HOST] = "INSERT OR REPLACE INTO hosts(id, body) VALUES(?1, ?2)",
    [SQL_DELETE_HOST] = "DELETE FROM hosts WHERE id=?1",
    [SQL_LIST_HOSTS] = "SELECT 0, body FROM hosts ORDER BY id",
};

sqlite3_stmt *sql_get(struct sql_conn *c, enum sql_id id, struct fm_err *err)
{
    sqlite3_stmt *s = c->stmts[id];
    if (s != NULL) {
        (void)sqlite3_reset(s);
        return s;
    }
    int rc = sqlite3_prepare_v3(c->db, sql_texts[id], -1, SQLITE_PREPARE_PERSISTENT, &c->stmts[id], NULL);
    if (rc == SQLITE_OK)
        return c->stmts[id];
    (void)sql_error(c, rc, "prepare", err);
    return NULL;
}

void sql_bind_bytes(sqlite3_stmt *s, int at, const void *p, size_t n)
{
    (void)sqlite3_bind_blob64(s, at, n > 0 ? p : "", n, SQLITE_STATIC);
}

static struct fm_bytes column(struct done_node *n, sqlite3_stmt *s, int at)
{
    const void *p = sqlite3_column_blob(s, at);
    return done_copy(n, p, (size_t)sqlite3_column_bytes(s, at));
}

static void column_digest(sqlite3_stmt *s, int at, uint8_t out[STORE_DIGEST_BYTES])
{
    const void *p = sqlite3_column_blob(s, at);
    if (sqlite3_column_bytes(s, at) == STORE_DIGEST_BYTES)
        memcpy(out, p, STORE_DIGEST_BYTES);
}

static void column_id(sqlite3_stmt *s, int at, struct fm_id *out)
{
    const void *p = sqlite3_column_blob(s, at);
    if (sqlite3_column_bytes(s, at) == (int)sizeof(out->b))
        memcpy(out->b, p, sizeof(out->b));
}

/* What a query is doing. */
struct reading {
    struct sql_conn *c;
    struct done_node *n;
    struct store_done *d;
    const struct store_query *q;
};

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

/* Collects rows (number, body) into an array. limit 0 and max_bytes 0: no limit. */
static int collect(struct reading *r, sqlite3_stmt *s, uint32_t limit, size_t max_bytes,
                   struct store_row **ret_rows, size_t *ret_n)
{
    struct fm_buf rows = {0};
    size_t n = 0, bytes = 0;
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        size_t size = (size_t)sqlite3_column_bytes(s, 1);
        if ((limit > 0 && n == limit) || (max_bytes > 0 && n > 0 && bytes + size > max_bytes)) {
            r->d->more = true;
            rc = SQLITE_DONE;
            break;
        }
        struct store_row row = {.number = (uint32_t)sqlite3_column_int64(s, 0), .body = column(r->n, s, 1)};
        fm_buf_append(&rows, &row, sizeof(row));
        bytes += size;
        n++;
    }
    *ret_rows = (struct store_row *)(uintptr_t)done_copy(r->n, rows.p, rows.n).p;
    *ret_n = n;
    fm_buf_done(&rows);
    if (rc != SQLITE_DONE)
        return fail(r, rc, "read");
    (void)sqlite3_reset(s);
    return 0;
}

static int read_steps(struct reading *r, uint32_t from, uint32_t limit, size_t max_bytes)
{
    sqlite3_stmt *s = get(r, SQL_READ_STEPS);
    if (s == NULL)
        return -1;
    sql_bind_bytes(s, 1, r->q->job.b, sizeof(r->q->job.b));
    (void)sqlite3_bind_int64(s, 2, from > 0 ? from : 1); /* those below are inputs */
    (void)sqlite3_bind_int64(s, 3, limit > 0 ? (int64_t)limit + 1 : -1);
    return collect(r, s, limit, max_bytes, &r->d->steps, &r->d->n_steps);
}

static int read_inputs(struct reading *r, uint32_t from, uint32_t to)
{
    sqlite3_stmt *s = get(r, SQL_READ_INPUTS);
    if (s == NULL)
        return -1;
    sql_bind_bytes(s, 1, r->q->job.b, sizeof(r->q->job.b));
    (void)sqlite3_bind_int64(s, 2, -(int64_t)to);
    (void)sqlite3_bind_int64(s, 3, from > 0 ? -(int64_t)from : -1);
    return collect(r, s, 0, 0, &r->d->inputs, &r->d->n_inputs);
}

/* Returns 1 when there is a row, 0 when not (status set), -1 after a fault. */
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

static int read_head(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_READ_JOB);
    if (s == NULL)
        return -1;
    sql_bind_bytes(s, 1, r->q->job.b, sizeof(r->q->job.b));
    int got = one_row(r, s);
    if (got == 0)
        r->d->status = STORE_NOT_FOUND;
    if (got != 1)
        return -1;
    r->d->head = column(r->n, s, 0);
    (void)sqlite3_reset(s);
    return 0;
}

static void read_job(struct reading *r)
{
    if (read_head(r) < 0 || !r->q->full)
        return;
    sqlite3_stmt *s = get(r, SQL_READ_SNAPSHOT);
    if (s == NULL)
        return;
    sql_bind_bytes(s, 1, r->q->job.b, sizeof(r->q->job.b));
    uint32_t taken = 0;
    int got = one_row(r, s);
    if (got < 0)
        return;
    if (got == 1) {
        taken = (uint32_t)sqlite3_column_int64(s, 2);
        r->d->snapshot_number = (uint32_t)sqlite3_column_int64(s, 0);
        r->d->snapshot = column(r->n, s, 1);
        (void)sqlite3_reset(s);
    }
    if (read_steps(r, r->d->snapshot_number + 1, 0, 0) == 0)
        (void)read_inputs(r, taken + 1, UINT32_MAX);
}

static void read_request(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_GET_REQUEST);
    if (s == NULL)
        return;
    (void)sqlite3_bind_text(s, 1, r->q->scope, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 2, r->q->request_id, -1, SQLITE_STATIC);
    int got = one_row(r, s);
    if (got == 0)
        r->d->status = STORE_NOT_FOUND;
    if (got != 1)
        return;
    column_digest(s, 0, r->d->digest);
    column_id(s, 1, &r->d->job);
    r->d->reply = column(r->n, s, 2);
    (void)sqlite3_reset(s);
}

static void one_definition(struct reading *r, sqlite3_stmt *s, bool named)
{
    int got = one_row(r, s);
    if (got == 0)
        r->d->status = STORE_NOT_FOUND;
    if (got != 1)
        return;
    struct store_row row = {.number = named ? (uint32_t)sqlite3_column_int64(s, 0) : 0,
                            .body = column(r->n, s, named ? 2 : 0)};
    if (named)
        column_digest(s, 1, r->d->digest);
    r->d->rows = (struct store_row *)(uintptr_t)done_copy(r->n, &row, sizeof(row)).p;
    r->d->n_rows = 1;
    (void)sqlite3_reset(s);
}

static void read_flow(struct reading *r)
{
    sqlite3_stmt *s = get(r, r->q->version > 0 ? SQL_READ_FLOW : SQL_READ_NEWEST_FLOW);
    if (s == NULL)
        return;
    (void)sqlite3_bind_text(s, 1, r->q->name, -1, SQLITE_STATIC);
    if (r->q->version > 0)
        (void)sqlite3_bind_int64(s, 2, r->q->version);
    one_definition(r, s, true);
}

static void read_flow_def(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_READ_FLOW_DEF);
    if (s == NULL)
        return;
    sql_bind_bytes(s, 1, r->q->digest, STORE_DIGEST_BYTES);
    one_definition(r, s, false);
}

static void list_flows(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_LIST_FLOWS);
    if (s == NULL)
        return;
    (void)sqlite3_bind_text(s, 1, r->q->name != NULL ? r->q->name : "", -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 2, (int64_t)r->q->limit + 1);
    (void)collect(r, s, r->q->limit, 0, &r->d->rows, &r->d->n_rows);
}

static void list_hosts(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_LIST_HOSTS);
    if (s != NULL)
        (void)collect(r, s, 0, 0, &r->d->rows, &r->d->n_rows);
}

/* ---- lists of jobs ---- */

static int collect_jobs(struct reading *r, sqlite3_stmt *s)
{
    struct fm_buf rows = {0};
    size_t n = 0;
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        if (n == r->q->limit) {
            r->d->more = true;
            rc = SQLITE_DONE;
            break;
        }
        struct store_row row = {.body = column(r->n, s, 1)};
        column_id(s, 0, &row.job);
        fm_buf_append(&rows, &row, sizeof(row));
        n++;
    }
    r->d->rows = (struct store_row *)(uintptr_t)done_copy(r->n, rows.p, rows.n).p;
    r->d->n_rows = n;
    fm_buf_done(&rows);
    return rc == SQLITE_DONE ? 0 : fail(r, rc, "list");
}

static void list_active(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_LIST_ACTIVE);
    if (s == NULL)
        return;
    sql_bind_bytes(s, 1, r->q->after.b, sizeof(r->q->after.b));
    (void)sqlite3_bind_int64(s, 2, (int64_t)r->q->limit + 1);
    if (collect_jobs(r, s) == 0)
        (void)sqlite3_reset(s);
}

/* min(wake) beyond due_ms, so that the core knows when to ask again. */
static void read_next_wake(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_NEXT_WAKE);
    if (s == NULL)
        return;
    (void)sqlite3_bind_int64(s, 1, r->q->due_ms);
    if (one_row(r, s) != 1)
        return;
    r->d->next_wake_ms = sqlite3_column_int64(s, 0); /* NULL reads as 0 */
    (void)sqlite3_reset(s);
}

static void list_due(struct reading *r)
{
    sqlite3_stmt *s = get(r, SQL_LIST_DUE);
    if (s == NULL)
        return;
    (void)sqlite3_bind_int64(s, 1, r->q->due_ms);
    (void)sqlite3_bind_int64(s, 2, r->q->after_ms);
    sql_bind_bytes(s, 3, r->q->after.b, sizeof(r->q->after.b));
    (void)sqlite3_bind_int64(s, 4, (int64_t)r->q->limit + 1);
    struct fm_buf rows = {0};
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        if (r->d->n_rows == r->q->limit) {
            r->d->more = true;
            rc = SQLITE_DONE;
            break;
        }
        struct store_row row = {.wake_ms = sqlite3_column_int64(s, 1)};
        column_id(s, 0, &row.job);
        fm_buf_append(&rows, &row, sizeof(row));
        r->d->n_rows++;
    }
    r->d->rows = (struct store_row *)(uintptr_t)done_copy(r->n, rows.p, rows.n).p;
    fm_buf_done(&rows);
    if (rc != SQLITE_DONE) {
        (void)fail(r, rc, "list");
        return;
    }
    (void)sqlite3_reset(s);
    read_next_wake(r);
}

static void list_text(const struct store_query *q, char *sql, size_t size)
{
    bool counts = q->kind == STORE_COUNT_JOBS;
    size_t at = (size_t)snprintf(sql, size, "SELECT %s FROM jobs j WHERE 1",
                                 counts ? "status, count(*)" : "id, head");
#define ADD(...) at += at < size ? (size_t)snprintf(sql + at, size - at, __VA_ARGS__) : 0
    if (!fm_id_is_zero(&q->after))
        ADD(" AND id<?1");
    if (q->n_statuses > 0) {
        ADD(" AND status IN (");
        for (size_t i = 0; i < q->n_statuses; i++)
            ADD("%s%d", i > 0 ? "," : "", q->statuses[i]);
        ADD(")");
    }
    if (q->flow != NULL && q->flow[0] != '\0')
        ADD(" AND flow=?2");
    if (q->host != NULL && q->host[0] != '\0')
        ADD(" AND host=?3 AND status=2"); /* only a RUNNING job has a host: jobs_by_status finds it */
    for (size_t i = 0; i < q->n_labels; i++)
        ADD(" AND EXISTS(SELECT 1 FROM labels l WHERE l.key=?%zu AND l.value=?%zu AND l.job=j.id)",
            10 + 2 * i, 11 + 2 * i);
    ADD("%s", counts ? " GROUP BY status ORDER BY status LIMIT ?4" : " ORDER BY id DESC LIMIT ?4");
#undef ADD
}

static void collect_counts(struct reading *r, sqlite3_stmt *s)
{
    struct fm_buf rows = {0};
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct store_row row = {.number = (uint32_t)sqlite3_column_int64(s, 0),
                                .wake_ms = sqlite3_column_int64(s, 1)};
        fm_buf_append(&rows, &row, sizeof(row));
        r->d->n_rows++;
    }
    r->d->rows = (struct store_row *)(uintptr_t)done_copy(r->n, rows.p, rows.n).p;
    fm_buf_done(&rows);
    if (rc != SQLITE_DONE)
        (void)fail(r, rc, "count");
}

static void list_jobs(struct reading *r)
{
    const struct store_query *q = r->q;
    char sql[8192];
    list_text(q, sql, sizeof(sql));
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(r->c->db, sql, -1, &s, NULL);
    if (rc != SQLITE_OK) {
        (void)fail(r, rc, "list");
        return;
    }
    if (!fm_id_is_zero(&q->after))
        sql_bind_bytes(s, 1, q->after.b, sizeof(q->after.b));
    if (q->flow != NULL && q->flow[0] != '\0')
        (void)sqlite3_bind_text(s, 2, q->flow, -1, SQLITE_STATIC);
    if (q->host != NULL && q->host[0] != '\0')
        (void)sqlite3_bind_text(s, 3, q->host, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 4, (int64_t)q->limit + 1);
    for (size_t i = 0; i < q->n_labels; i++) {
        (void)sqlite3_bind_text(s, (int)(10 + 2 * i), q->labels[i].key, -1, SQLITE_STATIC);
        (void)sqlite3_bind_text(s, (int)(11 + 2 * i), q->labels[i].value, -1, SQLITE_STATIC);
    }
    if (q->kind == STORE_COUNT_JOBS)
        collect_counts(r, s);
    else
        (void)collect_jobs(r, s);
    sqlite3_finalize(s);
}

/* ---- the ledger ---- */

/* The sums by key, in `flow`. Labels are those of jobs that are still there. */
static void sum_usage(struct reading *r)
{
    static const char *const keys[] = {"''", "u.flow", "l.value", "CAST(u.day AS TEXT)"};
    const struct store_query *q = r->q;
    char sql[512];
    (void)snprintf(
        sql, sizeof(sql),
        "SELECT %s, sum(u.input), sum(u.output), sum(u.cached), round(sum(u.cost), 9), sum(u.calls) FROM "
        "usage u%s WHERE "
        "u.day BETWEEN ?1 AND ?2 AND (?4='' OR u.flow=?4) GROUP BY 1 HAVING sum(u.calls) IS NOT "
        "NULL ORDER BY 1 LIMIT 10000",
        keys[q->group & 3], q->group == 2 ? " JOIN labels l ON l.job=u.job AND l.key=?3" : "");
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(r->c->db, sql, -1, &s, NULL);
    if (rc != SQLITE_OK) {
        (void)fail(r, rc, "sum");
        return;
    }
    (void)sqlite3_bind_int64(s, 1, q->from);
    (void)sqlite3_bind_int64(s, 2, q->to);
    if (q->group == 2)
        (void)sqlite3_bind_text(s, 3, q->name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 4, q->flow != NULL ? q->flow : "", -1, SQLITE_STATIC);
    struct fm_buf rows = {0};
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct fm_bytes key = column(r->n, s, 0);
        struct store_usage u = {.flow = "",
                                .input_tokens = (uint64_t)sqlite3_column_int64(s, 1),
                                .output_tokens = (uint64_t)sqlite3_column_int64(s, 2),
                                .cached_tokens = (uint64_t)sqlite3_column_int64(s, 3),
                                .cost = sqlite3_column_double(s, 4),
                                .calls = (uint64_t)sqlite3_column_int64(s, 5)};
        char *text = fm_arena_zalloc(&r->n->arena, 1, key.n + 1);
        if (text != NULL && key.n > 0)
            u.flow = memcpy(text, key.p, key.n);
        fm_buf_append(&rows, &u, sizeof(u));
        r->d->n_usage++;
    }
    r->d->usage = (struct store_usage *)(uintptr_t)done_copy(r->n, rows.p, rows.n).p;
    fm_buf_done(&rows);
    if (rc != SQLITE_DONE)
        (void)fail(r, rc, "sum");
    sqlite3_finalize(s);
}

/* ---- the query ---- */

static void dispatch(struct reading *r)
{
    switch (r->q->kind) {
    case STORE_READ_JOB:
        read_job(r);
        return;
    case STORE_READ_STEPS:
        if (read_head(r) == 0) {
            r->d->head = (struct fm_bytes){0};
            (void)read_steps(r, r->q->from, r->q->limit, r->q->max_bytes);
        }
        return;
    case STORE_READ_INPUTS:
        (void)read_inputs(r, r->q->from, r->q->to);
        return;
    case STORE_LIST_JOBS:
    case STORE_COUNT_JOBS:
        list_jobs(r);
        return;
    case STORE_SUM_USAGE:
        sum_usage(r);
        return;
    case STORE_LIST_ACTIVE:
        list_active(r);
        return;
    case STORE_LIST_DUE:
        list_due(r);
        return;
    case STORE_READ_FLOW:
        read_flow(r);
        return;
    case STORE_READ_FLOW_DEF:
        read_flow_def(r);
        return;
    case STORE_READ_REQUEST:
        read_request(r);
        return;
    case STORE_LIST_FLOWS:
        list_flows(r);
        return;
    case STORE_LIST_HOSTS:
        list_hosts(r);
        return;
    }
}

static int run(struct reading *r, enum sql_id id)
{
    sqlite3_stmt *s = get(r, id);
    if (s == NULL)
        return -1;
    int rc = sqlite3_step(s);
    (void)sqlite3_reset(s);
    return rc == SQLITE_DONE ? 0 : fail(r, rc, sql_texts[id]);
}

struct done_node *sqlite_query(struct sql_conn *c, const struct store_query *q)
{
    struct done_node *n = done_new(q->tag, true, q->kind);
    struct reading r = {c, n, &n->done, q};
    if (sql_open(c, false, &n->done.err) < 0) {
        n->done.status = STORE_FAILED;
        return n;
    }
    if (run(&r, SQL_BEGIN_READ) == 0) {
        dispatch(&r);
        if (c->db != NULL && !sqlite3_get_autocommit(c->db))
            (void)run(&r, SQL_COMMIT);
    }
    for (int i = 0; c->db != NULL && i < SQL_COUNT; i++)
        if (c->stmts[i] != NULL && sqlite3_stmt_busy(c->stmts[i]))
            (void)sqlite3_reset(c->stmts[i]);
    return n;
}
