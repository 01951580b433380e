/* Writes a unit's records into the tables, within a transaction. See apply.h. */
#include "apply.h"

#include "err.h"
#include "read.h"
#include "sql.h"
#include "store_int.h"
#include "sum.h"

struct applying {
    struct sql_conn *c;
    struct done_node *n;
    int rc; /* SQLite's code of the fault */
};

static enum applied fault(struct applying *a, int rc, const char *what)
{
    a->rc = rc;
    a->n->done.status = STORE_FAILED;
    if (a->n->done.err.code == FM_OK)
        (void)sql_error(a->c, rc, what, &a->n->done.err);
    return FAILED;
}

static sqlite3_stmt *get(struct applying *a, enum sql_id id)
{
    sqlite3_stmt *s = sql_get(a->c, id, &a->n->done.err);
    if (s == NULL)
        (void)fault(a, sqlite3_errcode(a->c->db), "prepare");
    return s;
}

static void bind_digest(sqlite3_stmt *s, int at, const uint8_t digest[STORE_DIGEST_BYTES])
{
    sql_bind_bytes(s, at, (struct fm_bytes){digest, STORE_DIGEST_BYTES});
}

static enum applied run(struct applying *a, sqlite3_stmt *s, const char *what)
{
    int rc = sqlite3_step(s);
    (void)sqlite3_reset(s);
    return rc == SQLITE_DONE ? APPLIED : fault(a, rc, what);
}

static enum applied put_request(struct applying *a, const struct record *r)
{
    sqlite3_stmt *s = get(a, SQL_GET_REQUEST);
    if (s == NULL)
        return FAILED;
    sql_bind_text(s, 1, r->name);
    sql_bind_text(s, 2, r->key);
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        a->n->done.status = STORE_EXISTS;
        sqlite_read_claim(a->n, s);
        (void)sqlite3_reset(s);
        return EXISTED;
    }
    (void)sqlite3_reset(s);
    if (rc != SQLITE_DONE)
        return fault(a, rc, "request");
    s = get(a, SQL_PUT_REQUEST);
    if (s == NULL)
        return FAILED;
    sql_bind_text(s, 1, r->name);
    sql_bind_text(s, 2, r->key);
    sql_bind_id(s, 3, &r->job);
    bind_digest(s, 4, r->digest);
    sql_bind_bytes(s, 5, r->body);
    return run(a, s, "request");
}

static enum applied put_labels(struct applying *a, const struct record *r)
{
    for (size_t i = 0; i < r->n_labels; i++) {
        sqlite3_stmt *s = get(a, SQL_PUT_LABEL);
        if (s == NULL)
            return FAILED;
        sql_bind_text(s, 1, r->labels[i].key);
        sql_bind_text(s, 2, r->labels[i].value);
        sql_bind_id(s, 3, &r->job);
        if (run(a, s, "label") == FAILED)
            return FAILED;
    }
    return APPLIED;
}

static enum applied add_usage(struct applying *a, const struct record *r)
{
    sqlite3_stmt *s = get(a, SQL_ADD_USAGE);
    if (s == NULL)
        return FAILED;
    sql_bind_number(s, 1, r->usage.day);
    sql_bind_id(s, 2, &r->job);
    sql_bind_text(s, 3, r->name);
    sql_bind_number(s, 4, (int64_t)r->usage.used.input_tokens);
    sql_bind_number(s, 5, (int64_t)r->usage.used.output_tokens);
    sql_bind_number(s, 6, (int64_t)r->usage.used.cached_tokens);
    (void)sqlite3_bind_double(s, 7, r->usage.used.cost);
    sql_bind_number(s, 8, (int64_t)r->usage.used.calls);
    return run(a, s, "usage");
}

static void bind_wake(sqlite3_stmt *s, int at, int64_t wake_ms)
{
    (void)(wake_ms > 0 ? sqlite3_bind_int64(s, at, wake_ms) : sqlite3_bind_null(s, at));
}

static enum applied put_job(struct applying *a, const struct record *r)
{
    sqlite3_stmt *s = get(a, r->is_new ? SQL_NEW_JOB : SQL_SET_JOB);
    if (s == NULL)
        return FAILED;
    sql_bind_id(s, 1, &r->job);
    sql_bind_number(s, 2, r->status);
    if (r->is_new) {
        sql_bind_text(s, 3, r->name);
        sql_bind_text(s, 4, r->host);
        sql_bind_bytes(s, 5, r->body);
        bind_wake(s, 6, r->wake_ms);
        sql_bind_number(s, 7, sql_sum(&r->job, 0, r->body));
    } else {
        sql_bind_text(s, 3, r->host);
        sql_bind_bytes(s, 4, r->body);
        bind_wake(s, 5, r->wake_ms);
        sql_bind_number(s, 6, sql_sum(&r->job, 0, r->body));
    }
    if (run(a, s, "job") == FAILED)
        return FAILED;
    if (!r->is_new && sqlite3_changes(a->c->db) == 0) {
        (void)fm_err_set(&a->n->done.err, FM_INTERNAL, NULL, "the job to be changed is not in the store");
        return fault(a, SQLITE_CONSTRAINT, "job");
    }
    return put_labels(a, r);
}

/* A step has a number above zero, an input one below. */
static enum applied put_numbered(struct applying *a, int64_t number, const struct record *r)
{
    sqlite3_stmt *s = get(a, SQL_PUT_BODY);
    if (s == NULL)
        return FAILED;
    sql_bind_bytes(s, 1, r->body);
    sql_bind_number(s, 2, sql_sum(&r->job, number, r->body));
    if (run(a, s, "record") == FAILED)
        return FAILED;
    int64_t at = sqlite3_last_insert_rowid(a->c->db);
    s = get(a, SQL_PUT_RECORD);
    if (s == NULL)
        return FAILED;
    sql_bind_id(s, 1, &r->job);
    sql_bind_number(s, 2, number);
    sql_bind_number(s, 3, at);
    return run(a, s, "record");
}

static enum applied put_entry(struct applying *a, const struct record *r)
{
    sqlite3_stmt *s = get(a, SQL_PUT_ENTRY);
    if (s == NULL)
        return FAILED;
    sql_bind_id(s, 1, &r->job);
    sql_bind_number(s, 2, r->step);
    sql_bind_number(s, 3, r->number);
    sql_bind_bytes(s, 4, r->body);
    sql_bind_number(s, 5, sql_sum(&r->job, SUM_OF_ENTRY(r->step, r->number), r->body));
    return run(a, s, "entry");
}

static enum applied put_snapshot(struct applying *a, const struct record *r)
{
    sqlite3_stmt *s = get(a, SQL_PUT_SNAPSHOT);
    if (s == NULL)
        return FAILED;
    sql_bind_id(s, 1, &r->job);
    sql_bind_number(s, 2, r->number);
    sql_bind_bytes(s, 3, r->body);
    sql_bind_number(s, 4, r->inputs);
    sql_bind_number(s, 5, sql_sum(&r->job, r->number, r->body));
    return run(a, s, "snapshot");
}

static enum applied run_of_job(struct applying *a, enum sql_id id, const struct record *r, int64_t number,
                               int64_t inputs)
{
    sqlite3_stmt *s = get(a, id);
    if (s == NULL)
        return FAILED;
    sql_bind_id(s, 1, &r->job);
    if (sqlite3_bind_parameter_count(s) > 1)
        sql_bind_number(s, 2, number);
    if (sqlite3_bind_parameter_count(s) > 2)
        sql_bind_number(s, 3, inputs);
    return run(a, s, "generation");
}

static enum applied put_generation(struct applying *a, const struct record *r)
{
    if (run_of_job(a, SQL_EMPTY_GENERATIONS, r, r->number, 0) == FAILED ||
        run_of_job(a, SQL_DROP_SNAPSHOT, r, 0, 0) == FAILED)
        return FAILED;
    sqlite3_stmt *s = get(a, SQL_PUT_GENERATION);
    if (s == NULL)
        return FAILED;
    sql_bind_id(s, 1, &r->job);
    sql_bind_number(s, 2, r->number);
    sql_bind_number(s, 3, r->step);
    sql_bind_number(s, 4, r->inputs);
    sql_bind_bytes(s, 5, r->body);
    sql_bind_number(s, 6, sql_sum(&r->job, r->step, r->body));
    return run(a, s, "generation");
}

static enum applied delete_history(struct applying *a, const struct record *r)
{
    static const enum sql_id drops[] = {SQL_DROP_BODIES, SQL_DROP_RECORDS, SQL_DROP_ENTRIES,
                                        SQL_DROP_GENERATIONS};
    sqlite3_stmt *s = get(a, SQL_GENERATION_STARTS);
    if (s == NULL)
        return FAILED;
    sql_bind_id(s, 1, &r->job);
    sql_bind_number(s, 2, r->number);
    int rc = sqlite3_step(s);
    int64_t step = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    int64_t inputs = rc == SQLITE_ROW ? sqlite3_column_int64(s, 1) : 0;
    (void)sqlite3_reset(s);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return fault(a, rc, "generation");
    for (size_t i = 0; i < sizeof(drops) / sizeof(drops[0]) && step > 0; i++)
        if (run_of_job(a, drops[i], r, step, inputs > 0 ? -inputs : 0) == FAILED)
            return FAILED;
    return APPLIED;
}

static enum applied put_flow(struct applying *a, const struct record *r)
{
    sqlite3_stmt *s = get(a, r->kind == RECORD_FLOW ? SQL_PUT_FLOW : SQL_PUT_FLOW_DEF);
    if (s == NULL)
        return FAILED;
    if (r->kind == RECORD_FLOW) {
        sql_bind_text(s, 1, r->name);
        sql_bind_number(s, 2, r->number);
        bind_digest(s, 3, r->digest);
        sql_bind_bytes(s, 4, r->body);
    } else {
        bind_digest(s, 1, r->digest);
        sql_bind_bytes(s, 2, r->body);
    }
    return run(a, s, "flow");
}

static enum applied delete_flow(struct applying *a, const struct record *r)
{
    static const enum sql_id statements[] = {SQL_KEEP_NUMBERS, SQL_DELETE_FLOW};
    for (size_t i = 0; i < 2; i++) {
        sqlite3_stmt *s = get(a, statements[i]);
        if (s == NULL)
            return FAILED;
        sql_bind_text(s, 1, r->name);
        if (run(a, s, "delete a flow") == FAILED)
            return FAILED;
    }
    return APPLIED;
}

static enum applied delete_job(struct applying *a, const struct record *r)
{
    for (int id = SQL_DELETE_JOB; id <= SQL_DELETE_REQUESTS; id++) {
        sqlite3_stmt *s = get(a, (enum sql_id)id);
        if (s == NULL)
            return FAILED;
        sql_bind_id(s, 1, &r->job);
        if (run(a, s, "delete a job") == FAILED)
            return FAILED;
    }
    return APPLIED;
}

static enum applied put_host(struct applying *a, const struct record *r)
{
    sqlite3_stmt *s = get(a, r->kind == RECORD_HOST ? SQL_PUT_HOST : SQL_DELETE_HOST);
    if (s == NULL)
        return FAILED;
    sql_bind_text(s, 1, r->name);
    if (r->kind == RECORD_HOST)
        sql_bind_bytes(s, 2, r->body);
    return run(a, s, "host");
}

static enum applied apply_record(struct applying *a, const struct record *r)
{
    switch (r->kind) {
    case RECORD_REQUEST:
        return put_request(a, r);
    case RECORD_JOB:
        return put_job(a, r);
    case RECORD_STEP:
        return put_numbered(a, r->number, r);
    case RECORD_INPUT:
        return put_numbered(a, -(int64_t)r->number, r);
    case RECORD_ENTRY:
        return put_entry(a, r);
    case RECORD_SNAPSHOT:
        return put_snapshot(a, r);
    case RECORD_GENERATION:
        return put_generation(a, r);
    case RECORD_DELETE_HISTORY:
        return delete_history(a, r);
    case RECORD_FLOW_DEF:
    case RECORD_FLOW:
        return put_flow(a, r);
    case RECORD_DELETE_FLOW:
        return delete_flow(a, r);
    case RECORD_DELETE_JOB:
        return delete_job(a, r);
    case RECORD_USAGE:
        return add_usage(a, r);
    case RECORD_HOST:
    case RECORD_DELETE_HOST:
        return put_host(a, r);
    }
    return FAILED;
}

enum applied apply_unit(struct sql_conn *c, const struct store_unit *u, struct done_node *n, int *ret_rc)
{
    struct applying a = {c, n, SQLITE_OK};
    for (const struct record *r = u->first; r != NULL; r = r->next) {
        enum applied got = apply_record(&a, r);
        *ret_rc = a.rc;
        if (got != APPLIED)
            return got; /* a request that existed comes first: nothing of the unit was written */
    }
    return APPLIED;
}
