/* The SQLite store: a writer thread that commits whatever has accumulated while the last commit ran (one
 * fsync for all of it), a reader thread, and one that keeps the log short (store_sqlite_checkpoint.c). A unit
 * that breaks a rule must not harm the others of its batch: then the batch is rolled back and its units are
 * applied one by one. See store.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "checkpoint.h"
#include "err.h"
#include "log.h"
#include "mem.h"
#include "sql.h"
#include "store.h"
#include "store_int.h"

/* What the core has not taken of what was read; then the reader waits. */
#define ANSWER_BYTES (32u << 20)

struct query_node {
    struct query_node *next;
    struct store_query *query;
};

struct sqlite_store {
    struct store base; /* first */
    int lock_fd;
    size_t max_batch;
    struct done_queue done;
    pthread_mutex_t lock;
    pthread_cond_t units_wake, queries_wake;
    struct store_unit *units; /* under lock */
    struct query_node *queries, *last_query;
    size_t answer_bytes; /* under lock */
    bool closing;
    pthread_t writer, reader;
    struct sql_conn write_conn, read_conn; /* each of its thread */
    struct checkpointer checkpointer;
};

/* ---- applying a unit ---- */

enum applied { APPLIED, EXISTED, FAILED };

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

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    (void)sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
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
    bind_text(s, 1, r->name);
    bind_text(s, 2, r->key);
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        struct store_done *d = &a->n->done;
        d->status = STORE_EXISTS;
        if (sqlite3_column_bytes(s, 0) == STORE_DIGEST_BYTES)
            memcpy(d->digest, sqlite3_column_blob(s, 0), STORE_DIGEST_BYTES);
        if (sqlite3_column_bytes(s, 1) == (int)sizeof(d->job.b))
            memcpy(d->job.b, sqlite3_column_blob(s, 1), sizeof(d->job.b));
        const void *reply = sqlite3_column_blob(s, 2);
        d->reply = done_copy(a->n, reply, (size_t)sqlite3_column_bytes(s, 2));
        (void)sqlite3_reset(s);
        return EXISTED;
    }
    (void)sqlite3_reset(s);
    if (rc != SQLITE_DONE)
        return fault(a, rc, "request");
    s = get(a, SQL_PUT_REQUEST);
    if (s == NULL)
        return FAILED;
    bind_text(s, 1, r->name);
    bind_text(s, 2, r->key);
    sql_bind_bytes(s, 3, r->job.b, sizeof(r->job.b));
    sql_bind_bytes(s, 4, r->digest, STORE_DIGEST_BYTES);
    sql_bind_bytes(s, 5, r->body.p, r->body.n);
    return run(a, s, "request");
}

static enum applied put_labels(struct applying *a, const struct record *r)
{
    for (size_t i = 0; i < r->n_labels; i++) {
        sqlite3_stmt *s = get(a, SQL_PUT_LABEL);
        if (s == NULL)
            return FAILED;
        bind_text(s, 1, r->labels[i].key);
        bind_text(s, 2, r->labels[i].value);
        sql_bind_bytes(s, 3, r->job.b, sizeof(r->job.b));
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
    (void)sqlite3_bind_int64(s, 1, r->usage.day);
    sql_bind_bytes(s, 2, r->job.b, sizeof(r->job.b));
    bind_text(s, 3, r->name);
    (void)sqlite3_bind_int64(s, 4, (int64_t)r->usage.input_tokens);
    (void)sqlite3_bind_int64(s, 5, (int64_t)r->usage.output_tokens);
    (void)sqlite3_bind_int64(s, 6, (int64_t)r->usage.cached_tokens);
    (void)sqlite3_bind_double(s, 7, r->usage.cost);
    (void)sqlite3_bind_int64(s, 8, (int64_t)r->usage.calls);
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
    sql_bind_bytes(s, 1, r->job.b, sizeof(r->job.b));
    (void)sqlite3_bind_int(s, 2, r->status);
    if (r->is_new) {
        bind_text(s, 3, r->name);
        bind_text(s, 4, r->host);
        sql_bind_bytes(s, 5, r->body.p, r->body.n);
        bind_wake(s, 6, r->wake_ms);
        (void)sqlite3_bind_int(s, 7, sql_sum(&r->job, 0, r->body));
    } else {
        bind_text(s, 3, r->host);
        sql_bind_bytes(s, 4, r->body.p, r->body.n);
        bind_wake(s, 5, r->wake_ms);
        (void)sqlite3_bind_int(s, 6, sql_sum(&r->job, 0, r->body));
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
    sql_bind_bytes(s, 1, r->body.p, r->body.n);
    (void)sqlite3_bind_int(s, 2, sql_sum(&r->job, number, r->body));
    if (run(a, s, "record") == FAILED)
        return FAILED;
    int64_t at = sqlite3_last_insert_rowid(a->c->db);
    s = get(a, SQL_PUT_RECORD);
    if (s == NULL)
        return FAILED;
    sql_bind_bytes(s, 1, r->job.b, sizeof(r->job.b));
    (void)sqlite3_bind_int64(s, 2, number);
    (void)sqlite3_bind_int64(s, 3, at);
    return run(a, s, "record");
}

static enum applied put_snapshot(struct applying *a, const struct record *r)
{
    sqlite3_stmt *s = get(a, SQL_PUT_SNAPSHOT);
    if (s == NULL)
        return FAILED;
    sql_bind_bytes(s, 1, r->job.b, sizeof(r->job.b));
    (void)sqlite3_bind_int64(s, 2, r->number);
    sql_bind_bytes(s, 3, r->body.p, r->body.n);
    (void)sqlite3_bind_int64(s, 4, r->inputs);
    (void)sqlite3_bind_int(s, 5, sql_sum(&r->job, r->number, r->body));
    return run(a, s, "snapshot");
}

static enum applied put_flow(struct applying *a, const struct record *r)
{
    sqlite3_stmt *s = get(a, r->kind == RECORD_FLOW ? SQL_PUT_FLOW : SQL_PUT_FLOW_DEF);
    if (s == NULL)
        return FAILED;
    if (r->kind == RECORD_FLOW) {
        bind_text(s, 1, r->name);
        (void)sqlite3_bind_int64(s, 2, r->number);
        sql_bind_bytes(s, 3, r->digest, STORE_DIGEST_BYTES);
        sql_bind_bytes(s, 4, r->body.p, r->body.n);
    } else {
        sql_bind_bytes(s, 1, r->digest, STORE_DIGEST_BYTES);
        sql_bind_bytes(s, 2, r->body.p, r->body.n);
    }
    return run(a, s, "flow");
}

static enum applied delete_flow(struct applying *a, const struct record *r)
{
    sqlite3_stmt *s = get(a, SQL_DELETE_FLOW);
    if (s == NULL)
        return FAILED;
    bind_text(s, 1, r->name);
    return run(a, s, "delete a flow");
}

static enum applied delete_job(struct applying *a, const struct record *r)
{
    for (int id = SQL_DELETE_JOB; id <= SQL_DELETE_REQUESTS; id++) {
        sqlite3_stmt *s = get(a, (enum sql_id)id);
        if (s == NULL)
            return FAILED;
        sql_bind_bytes(s, 1, r->job.b, sizeof(r->job.b));
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
    bind_text(s, 1, r->name);
    if (r->kind == RECORD_HOST)
        sql_bind_bytes(s, 2, r->body.p, r->body.n);
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
    case RECORD_SNAPSHOT:
        return put_snapshot(a, r);
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

static enum applied apply_unit(struct applying *a, const struct store_unit *u)
{
    for (const struct record *r = u->first; r != NULL; r = r->next) {
        enum applied got = apply_record(a, r);
        if (got != APPLIED)
            return got; /* a request that existed comes first: nothing of the unit was written */
    }
    return APPLIED;
}

/* ---- batches ---- */

struct batch {
    struct store_unit *units;
    size_t n;
    struct done_node *first, *last;
};

static void batch_report(struct batch *b, struct done_node *n)
{
    if (b->last == NULL)
        b->first = n;
    else
        b->last->next = n;
    b->last = n;
    n->next = NULL;
}

static void drop_reports(struct batch *b)
{
    while (b->first != NULL) {
        struct done_node *n = b->first;
        b->first = n->next;
        store_done_free(&n->done);
    }
    b->last = NULL;
}

static void report_all_failed(struct batch *b, const struct fm_err *err)
{
    struct store_unit *u;
    drop_reports(b);
    DL_FOREACH (b->units, u) {
        struct done_node *n = done_new(u->tag, false, (enum store_query_kind)0);
        n->done.status = STORE_FAILED;
        fm_err_copy(&n->done.err, err);
        batch_report(b, n);
    }
}

static int exec(struct sql_conn *c, enum sql_id id, struct fm_err *err)
{
    sqlite3_stmt *s = sql_get(c, id, err);
    if (s == NULL)
        return sqlite3_errcode(c->db);
    int rc = sqlite3_step(s);
    (void)sqlite3_reset(s);
    if (rc == SQLITE_DONE)
        return SQLITE_OK;
    (void)sql_error(c, rc, id == SQL_COMMIT ? "commit" : "begin", err);
    return rc;
}

static void roll_back(struct sql_conn *c)
{
    struct fm_err ignored = {0};
    if (!sqlite3_get_autocommit(c->db))
        (void)exec(c, SQL_ROLLBACK, &ignored);
    fm_err_done(&ignored);
}

/* One transaction for the whole batch. Returns SQLite's code; then nothing is applied and err says why. */
static int try_batch(struct sql_conn *c, struct batch *b, struct fm_err *err)
{
    int rc = exec(c, SQL_BEGIN, err);
    struct store_unit *u;
    for (u = b->units; u != NULL && rc == SQLITE_OK; u = u->next) {
        struct applying a = {c, done_new(u->tag, false, (enum store_query_kind)0), SQLITE_OK};
        batch_report(b, a.n);
        if (apply_unit(&a, u) == FAILED) {
            rc = a.rc == SQLITE_OK ? SQLITE_ERROR : a.rc;
            fm_err_copy(err, &a.n->done.err);
        }
    }
    if (rc == SQLITE_OK)
        rc = exec(c, SQL_COMMIT, err);
    if (rc != SQLITE_OK)
        roll_back(c);
    return rc;
}

static bool concerns_one_unit(int rc)
{
    int base = rc & 0xff;
    return base == SQLITE_CONSTRAINT || base == SQLITE_TOOBIG || base == SQLITE_MISMATCH ||
           base == SQLITE_ERROR;
}

static void run_batch(struct sqlite_store *s, struct batch *b)
{
    struct sql_conn *c = &s->write_conn;
    struct fm_err err = {0};
    if (sql_open(c, true, &err) < 0) {
        report_all_failed(b, &err);
        fm_err_done(&err);
        return;
    }
    int rc = try_batch(c, b, &err);
    if (rc != SQLITE_OK) {
        if (b->n == 1 || !concerns_one_unit(rc)) {
            report_all_failed(b, &err);
        } else {
            drop_reports(b);
            for (struct store_unit *u = b->units, *next; u != NULL; u = next) {
                next = u->next;
                struct store_unit *list = NULL;
                DL_DELETE(b->units, u);
                DL_APPEND(list, u);
                struct batch one = {list, 1, NULL, NULL};
                run_batch(s, &one);
                while (one.first != NULL) {
                    struct done_node *n = one.first;
                    one.first = n->next;
                    batch_report(b, n);
                }
                store_unit_free(u);
            }
        }
        if (sql_is_fatal(rc)) {
            FM_LOG(ERROR, STORAGE, "the store is opened again after a fault", FM_ERR(&err));
            sql_close(c);
        }
    }
    fm_err_done(&err);
}

static void free_units(struct store_unit *units)
{
    struct store_unit *u, *tmp;
    DL_FOREACH_SAFE (units, u, tmp)
        store_unit_free(u);
}

static struct store_unit *take_units(struct sqlite_store *s, size_t *ret_n)
{
    struct store_unit *list = s->units, *u = list;
    size_t n = 0;
    for (; u != NULL && n < s->max_batch; n++)
        u = u->next;
    if (u == NULL) {
        s->units = NULL;
    } else { /* split the list before u */
        struct store_unit *last = s->units->prev, *end = u->prev;
        list->prev = end;
        end->next = NULL;
        u->prev = last;
        s->units = u;
    }
    *ret_n = n;
    return list;
}

static void *writer_main(void *arg)
{
    struct sqlite_store *s = arg;
    for (;;) {
        struct batch b = {0};
        pthread_mutex_lock(&s->lock);
        while (s->units == NULL && !s->closing)
            pthread_cond_wait(&s->units_wake, &s->lock);
        b.units = take_units(s, &b.n);
        pthread_mutex_unlock(&s->lock);
        if (b.units == NULL)
            break;
        run_batch(s, &b);
        done_push(&s->done, b.first, b.last);
        free_units(b.units);
        checkpoint_after_commit(&s->checkpointer, &s->write_conn);
    }
    if (s->write_conn.db != NULL)
        (void)sqlite3_wal_checkpoint_v2(s->write_conn.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sql_close(&s->write_conn);
    return NULL;
}

static void *reader_main(void *arg)
{
    struct sqlite_store *s = arg;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        while ((s->queries == NULL || s->answer_bytes >= ANSWER_BYTES) && !s->closing)
            pthread_cond_wait(&s->queries_wake, &s->lock);
        struct query_node *q = s->closing ? NULL : s->queries; /* nobody would take the answer */
        if (q != NULL) {
            s->queries = q->next;
            if (s->queries == NULL)
                s->last_query = NULL;
        }
        pthread_mutex_unlock(&s->lock);
        if (q == NULL)
            break;
        struct done_node *n = sqlite_query(&s->read_conn, q->query);
        free(q->query);
        free(q);
        pthread_mutex_lock(&s->lock);
        s->answer_bytes += n->arena.used;
        pthread_mutex_unlock(&s->lock);
        done_push(&s->done, n, n);
    }
    sql_close(&s->read_conn);
    return NULL;
}

/* ---- the interface ---- */

static void sqlite_submit(struct store *base, struct store_unit *u, bool more)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    pthread_mutex_lock(&s->lock);
    DL_APPEND(s->units, u);
    pthread_mutex_unlock(&s->lock);
    if (!more) /* not under the lock: the writer wants it at once */
        pthread_cond_signal(&s->units_wake);
}

static void sqlite_read(struct store *base, const struct store_query *q)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    struct query_node *n = fm_xcalloc(1, sizeof(*n));
    n->query = query_copy(q);
    pthread_mutex_lock(&s->lock);
    if (s->last_query == NULL)
        s->queries = n;
    else
        s->last_query->next = n;
    s->last_query = n;
    pthread_mutex_unlock(&s->lock);
    pthread_cond_signal(&s->queries_wake);
}

static struct store_done *sqlite_poll(struct store *base)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    struct store_done *d = done_pop(&s->done);
    if (d == NULL || !d->is_query)
        return d;
    pthread_mutex_lock(&s->lock);
    s->answer_bytes -= d->arena->used;
    pthread_cond_signal(&s->queries_wake);
    pthread_mutex_unlock(&s->lock);
    return d;
}

static void sqlite_close(struct store *base)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    checkpoint_stop(&s->checkpointer);
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->units_wake);
    pthread_cond_signal(&s->queries_wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->reader, NULL);
    pthread_join(s->writer, NULL);
    checkpoint_done(&s->checkpointer);
    while (s->queries != NULL) {
        struct query_node *q = s->queries;
        s->queries = q->next;
        free(q->query);
        free(q);
    }
    done_queue_done(&s->done);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->units_wake);
    pthread_cond_destroy(&s->queries_wake);
    (void)close(s->lock_fd);
    free(s->write_conn.path);
    free(s->read_conn.path);
    free(s);
}

static const struct store_ops sqlite_ops = {sqlite_submit, sqlite_read, sqlite_poll, sqlite_close};

struct store *store_sqlite_open(const struct store_sqlite_config *cfg, struct fm_err *err)
{
    char *path = NULL;
    int lock = sqlite_prepare_file(cfg->dir, &path, err);
    if (lock < 0)
        return NULL;
    struct sqlite_store *s = fm_xcalloc(1, sizeof(*s));
    s->base.ops = &sqlite_ops;
    s->lock_fd = lock;
    s->max_batch = cfg->max_batch_units > 0 ? cfg->max_batch_units : 4096;
    s->write_conn.path = path;
    s->read_conn.path = fm_xstrdup(path);
    done_queue_init(&s->done, cfg->notify, cfg->arg);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->units_wake, NULL);
    pthread_cond_init(&s->queries_wake, NULL);
    checkpoint_start(&s->checkpointer, path);
    if (pthread_create(&s->writer, NULL, writer_main, s) != 0 ||
        pthread_create(&s->reader, NULL, reader_main, s) != 0)
        fm_abort("a thread of the store could not be started");
    return &s->base;
}
