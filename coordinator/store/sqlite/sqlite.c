/* The SQLite store: a writer thread that commits whatever has accumulated while the last commit
 * ran (one fsync for all of it), a reader thread, and one that keeps the log short
 * (checkpoint.c). A unit that breaks a rule must not harm the others of its batch: then the
 * batch is rolled back and its units are applied one by one. See sqlite.h. */
#include "sqlite.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <utlist.h>

#include "apply.h"
#include "checkpoint.h"
#include "done_queue.h"
#include "log.h"
#include "mem.h"
#include "read.h"
#include "sql.h"
#include "store_file.h"
#include "store_int.h"

/* What the core has not taken of what was read; then the reader waits. */
#define ANSWER_BYTES (32u << 20)
#define MAX_BATCH_UNITS 4096 /* in one transaction */

struct query_node {
    struct query_node *prev, *next;
    struct store_query query;
    struct fm_arena arena; /* what the query points to */
};

struct sqlite_store {
    struct store base; /* first */
    int lock_fd;
    struct done_queue done;
    pthread_mutex_t lock;
    pthread_cond_t units_wake, queries_wake;
    struct store_unit *units;   /* under lock */
    struct query_node *queries; /* under lock */
    size_t answer_bytes;        /* under lock */
    bool closing;               /* under lock */
    pthread_t writer, reader;
    struct sql_conn write_conn, read_conn; /* each of its thread */
    struct checkpointer checkpointer;
};

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
        struct done_node *n = done_new(u->tag, STORE_UNIT);
        n->done.status = STORE_FAILED;
        fm_err_copy(&n->done.err, err);
        batch_report(b, n);
    }
}

/* What fails here is met again by the next transaction. */
static void roll_back(struct sql_conn *c)
{
    fm_auto(fm_err) ignored = {0};
    if (!sqlite3_get_autocommit(c->db))
        (void)!sql_exec(c, SQL_ROLLBACK, &ignored);
}

/* One transaction for the whole batch. Returns SQLite's code; then nothing is applied and err
 * says why. */
static int try_batch(struct sql_conn *c, struct batch *b, struct fm_err *err)
{
    int rc = sql_exec(c, SQL_BEGIN, err);
    for (struct store_unit *u = b->units; u != NULL && rc == SQLITE_OK; u = u->next) {
        struct done_node *n = done_new(u->tag, STORE_UNIT);
        int why = SQLITE_OK;
        batch_report(b, n);
        if (apply_unit(c, u, n, &why) == FAILED) {
            rc = why == SQLITE_OK ? SQLITE_ERROR : why;
            fm_err_copy(err, &n->done.err);
        }
    }
    if (rc == SQLITE_OK)
        rc = sql_exec(c, SQL_COMMIT, err);
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

static void run_batch(struct sql_conn *c, struct batch *b);

/* Each unit in a transaction of its own. */
static void run_one_by_one(struct sql_conn *c, struct batch *b)
{
    for (struct store_unit *u = b->units, *next; u != NULL; u = next) {
        next = u->next;
        struct batch one = {.n = 1};
        DL_DELETE(b->units, u);
        DL_APPEND(one.units, u);
        run_batch(c, &one);
        batch_report(b, one.first);
        store_unit_free(u);
    }
}

/* Reports on every unit; those that are left in the batch are the caller's to free. */
static void run_batch(struct sql_conn *c, struct batch *b)
{
    fm_auto(fm_err) err = {0};
    if (sql_open(c, SQL_WRITER, &err) < 0) {
        report_all_failed(b, &err);
        return;
    }
    int rc = try_batch(c, b, &err);
    if (rc == SQLITE_OK)
        return;
    if (b->n > 1 && concerns_one_unit(rc)) {
        drop_reports(b);
        run_one_by_one(c, b);
    } else {
        report_all_failed(b, &err);
    }
    if (sql_is_fatal(rc)) {
        FM_LOG(ERROR, STORAGE, "the store is opened again after a fault", FM_STR("file", c->path),
               FM_ERR(&err));
        sql_close(c);
    }
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
    for (; u != NULL && n < MAX_BATCH_UNITS; n++)
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
        run_batch(&s->write_conn, &b);
        done_push(&s->done, b.first, b.last);
        free_units(b.units);
        checkpoint_after_commit(&s->checkpointer, &s->write_conn);
    }
    if (s->write_conn.db != NULL)
        (void)sqlite3_wal_checkpoint_v2(s->write_conn.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sql_close(&s->write_conn);
    return NULL;
}

static void query_free(struct query_node *q)
{
    fm_arena_done(&q->arena);
    free(q);
}

/* Waits for a query that may be carried out. NULL: the store closes, and nobody would take the
 * answer. */
static struct query_node *take_query(struct sqlite_store *s)
{
    pthread_mutex_lock(&s->lock);
    while ((s->queries == NULL || s->answer_bytes >= ANSWER_BYTES) && !s->closing)
        pthread_cond_wait(&s->queries_wake, &s->lock);
    struct query_node *q = s->closing ? NULL : s->queries;
    if (q != NULL)
        DL_DELETE(s->queries, q);
    pthread_mutex_unlock(&s->lock);
    return q;
}

static void *reader_main(void *arg)
{
    struct sqlite_store *s = arg;
    struct query_node *q;
    while ((q = take_query(s)) != NULL) {
        struct done_node *n = sqlite_query(&s->read_conn, &q->query);
        query_free(q);
        pthread_mutex_lock(&s->lock);
        s->answer_bytes += n->arena.used;
        pthread_mutex_unlock(&s->lock);
        done_push(&s->done, n, n);
    }
    sql_close(&s->read_conn);
    return NULL;
}

/* ---- the interface ---- */

static void sqlite_submit(struct store *base, struct store_unit *u, enum store_next next)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    pthread_mutex_lock(&s->lock);
    DL_APPEND(s->units, u);
    pthread_mutex_unlock(&s->lock);
    if (next == STORE_NOTHING_FOLLOWS) /* not under the lock: the writer wants it at once */
        pthread_cond_signal(&s->units_wake);
}

static void sqlite_ask(struct store *base, const struct store_query *q)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    struct query_node *n = fm_xcalloc(1, sizeof(*n));
    fm_arena_init(&n->arena, SIZE_MAX / 2);
    n->query = query_copy(q, &n->arena);
    pthread_mutex_lock(&s->lock);
    DL_APPEND(s->queries, n);
    pthread_mutex_unlock(&s->lock);
    pthread_cond_signal(&s->queries_wake);
}

static struct store_done *sqlite_poll(struct store *base)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    struct store_done *d = done_pop(&s->done);
    if (d == NULL || d->kind == STORE_UNIT)
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
    struct query_node *q, *tmp;
    DL_FOREACH_SAFE (s->queries, q, tmp)
        query_free(q);
    done_queue_done(&s->done);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->units_wake);
    pthread_cond_destroy(&s->queries_wake);
    (void)close(s->lock_fd);
    free(s->write_conn.path);
    free(s->read_conn.path);
    free(s);
}

static const struct store_ops sqlite_ops = {sqlite_submit, sqlite_ask, sqlite_poll, sqlite_close};

static struct store *sqlite_open(const char *dir, const struct store_events *events, struct fm_err *err)
{
    char *path = NULL;
    int lock = store_file_prepare(dir, &path, err);
    if (lock < 0)
        return NULL;
    struct sqlite_store *s = fm_xcalloc(1, sizeof(*s));
    s->base.ops = &sqlite_ops;
    s->lock_fd = lock;
    s->write_conn.path = path;
    s->read_conn.path = fm_xstrdup(path);
    done_queue_init(&s->done, events);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->units_wake, NULL);
    pthread_cond_init(&s->queries_wake, NULL);
    checkpoint_start(&s->checkpointer, path);
    if (pthread_create(&s->writer, NULL, writer_main, s) != 0 ||
        pthread_create(&s->reader, NULL, reader_main, s) != 0)
        fm_abort("a thread of the store could not be started");
    return &s->base;
}

const struct store_kind sqlite_kind = {"sqlite", "DIR", sqlite_open};
