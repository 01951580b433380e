/* The SQLite store through its interface: units are whole, in order and on disk; queries; faults of one unit;
 * kill -9. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <semaphore.h>
#include <sqlite3.h>

#include "mem.h"
#include "sql.h"

static struct fixture {
    char dir[64];
    struct store *store;
    sem_t wake;
} fx;

static void notify(void *arg)
{
    (void)arg;
    sem_post(&fx.wake);
}

static void open_store(void)
{
    struct fm_err err = {0};
    struct store_sqlite_config cfg = {.dir = fx.dir, .notify = notify};
    fx.store = store_sqlite_open(&cfg, &err);
    if (fx.store == NULL)
        fail_msg("%s", err.msg);
}

static struct store_done *next_done(void)
{
    for (;;) {
        struct store_done *d = store_poll(fx.store);
        if (d != NULL)
            return d;
        sem_wait(&fx.wake);
    }
}

static int setup(void **state)
{
    (void)state;
    snprintf(fx.dir, sizeof(fx.dir), "/tmp/fermata-store-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    sem_init(&fx.wake, 0, 0);
    open_store();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    store_close(fx.store);
    sem_destroy(&fx.wake);
    snprintf(command, sizeof(command), "rm -rf %s", fx.dir);
    return system(command);
}

static struct fm_bytes text(const char *s)
{
    return (struct fm_bytes){(const uint8_t *)s, strlen(s)};
}

static struct fm_id job_id(uint8_t n)
{
    return (struct fm_id){
        {0, 0, 0, 0, 0, n, 1}
    };
}

static void put_job(struct store_unit *u, uint8_t n, int status, bool is_new, const char *head)
{
    struct store_label label = {"team", n % 2 == 0 ? "even" : "odd"};
    struct store_job j = {.id = job_id(n),
                          .status = status,
                          .flow = "f",
                          .host = status == 2 ? "h" : "",
                          .head = text(head),
                          .labels = &label,
                          .n_labels = 1,
                          .is_new = is_new};
    store_put_job(u, &j);
}

static enum store_status commit(struct store_unit *u)
{
    store_submit(fx.store, u);
    struct store_done *d = next_done();
    enum store_status s = d->status;
    store_done_free(d);
    return s;
}

static struct store_done *query(struct store_query q)
{
    store_read(fx.store, &q);
    return next_done();
}

static void a_job_is_read_back_with_its_snapshot_inputs_and_later_steps(void **state)
{
    (void)state;
    struct fm_id id = job_id(1);
    struct store_unit *u = store_unit_new(1);
    put_job(u, 1, 1, true, "head");
    store_put_input(u, &id, 1, text("in"));
    for (uint32_t i = 1; i <= 3; i++)
        store_put_step(u, &id, i, text("step"));
    store_put_input(u, &id, 2, text("later"));
    store_put_snapshot(u, &id, 2, 1, text("state"));
    assert_int_equal(commit(u), STORE_OK);
    struct store_done *d =
        query((struct store_query){.kind = STORE_READ_JOB, .tag = 9, .job = id, .full = true});
    assert_int_equal(d->tag, 9);
    assert_true(fm_bytes_eq_str(d->head, "head"));
    assert_true(fm_bytes_eq_str(d->snapshot, "state"));
    assert_int_equal(d->snapshot_number, 2);
    assert_int_equal(d->n_steps, 1);
    assert_int_equal(d->steps[0].number, 3);
    assert_int_equal(d->n_inputs, 1); /* the first was taken before the snapshot */
    assert_int_equal(d->inputs[0].number, 2);
    assert_true(fm_bytes_eq_str(d->inputs[0].body, "later"));
    store_done_free(d);
    d = query((struct store_query){.kind = STORE_READ_STEPS, .job = id, .from = 1, .limit = 2});
    assert_int_equal(d->n_steps, 2);
    assert_true(d->more);
    store_done_free(d);
    d = query((struct store_query){.kind = STORE_READ_INPUTS, .job = id, .from = 1, .to = UINT32_MAX});
    assert_int_equal(d->n_inputs, 2);
    assert_int_equal(d->inputs[0].number, 1);
    assert_int_equal(d->inputs[1].number, 2);
    store_done_free(d);
    d = query((struct store_query){.kind = STORE_READ_STEPS, .job = id, .limit = 10});
    assert_int_equal(d->n_steps, 3);
    assert_int_equal(d->steps[0].number, 1);
    store_done_free(d);
    struct fm_id other = job_id(2);
    d = query((struct store_query){.kind = STORE_READ_JOB, .job = other});
    assert_int_equal(d->status, STORE_NOT_FOUND);
    store_done_free(d);
}

static void a_unit_that_breaks_a_rule_is_not_applied_and_harms_no_other(void **state)
{
    (void)state;
    struct fm_id id = job_id(1);
    struct store_unit *first = store_unit_new(1), *bad = store_unit_new(2), *missing = store_unit_new(3),
                      *last = store_unit_new(4);
    put_job(first, 1, 1, true, "one");
    store_put_step(first, &id, 1, text("step"));
    put_job(bad, 1, 3, false, "two");
    store_put_step(bad, &id, 1, text("again"));
    put_job(missing, 9, 3, false, "nobody");
    put_job(last, 2, 1, true, "last");
    store_submit(fx.store, first);
    store_submit(fx.store, bad);
    store_submit(fx.store, missing);
    store_submit(fx.store, last);
    static const enum store_status want[] = {STORE_OK, STORE_FAILED, STORE_FAILED, STORE_OK};
    for (uint64_t i = 0; i < 4; i++) {
        struct store_done *d = next_done();
        assert_int_equal(d->tag, i + 1);
        assert_int_equal(d->status, want[i]);
        store_done_free(d);
    }
    struct store_done *d = query((struct store_query){.kind = STORE_READ_JOB, .job = id});
    assert_true(fm_bytes_eq_str(d->head, "one"));
    store_done_free(d);
}

static void a_request_id_is_claimed_once_and_the_first_reply_comes_back(void **state)
{
    (void)state;
    uint8_t d1[STORE_DIGEST_BYTES] = {1}, d2[STORE_DIGEST_BYTES] = {2};
    struct fm_id one = job_id(1), two = job_id(2);
    struct store_unit *u = store_unit_new(1);
    put_job(u, 1, 1, true, "one");
    store_put_request(u, "submit", "r", d1, &one, text("reply"));
    assert_int_equal(commit(u), STORE_OK);
    u = store_unit_new(2);
    put_job(u, 2, 1, true, "two");
    store_put_request(u, "submit", "r", d2, &two, text("other"));
    store_submit(fx.store, u);
    struct store_done *d = next_done();
    assert_int_equal(d->status, STORE_EXISTS);
    assert_memory_equal(d->digest, d1, sizeof(d1));
    assert_true(fm_bytes_eq_str(d->reply, "reply"));
    store_done_free(d);
    d = query((struct store_query){.kind = STORE_READ_JOB, .job = two});
    assert_int_equal(d->status, STORE_NOT_FOUND);
    store_done_free(d);
    u = store_unit_new(3);
    store_delete_job(u, &one);
    assert_int_equal(commit(u), STORE_OK);
    d = query((struct store_query){.kind = STORE_READ_REQUEST, .scope = "submit", .request_id = "r"});
    assert_int_equal(d->status, STORE_NOT_FOUND);
    store_done_free(d);
}

static void lists_are_filtered_and_paged_newest_first(void **state)
{
    (void)state;
    for (uint8_t n = 1; n <= 9; n++) {
        struct store_unit *u = store_unit_new(n);
        put_job(u, n, n <= 5 ? 1 : n <= 8 ? 2 : 5, true, "head");
        assert_int_equal(commit(u), STORE_OK);
    }
    int running = 2;
    struct store_done *d = query((struct store_query){.kind = STORE_LIST_JOBS, .limit = 4});
    assert_int_equal(d->n_rows, 4);
    assert_int_equal(d->rows[0].job.b[5], 9);
    assert_true(d->more);
    struct fm_id after = d->rows[3].job;
    store_done_free(d);
    d = query((struct store_query){.kind = STORE_LIST_JOBS, .limit = 10, .after = after});
    assert_int_equal(d->n_rows, 5);
    assert_false(d->more);
    store_done_free(d);
    d = query((struct store_query){.kind = STORE_LIST_JOBS,
                                   .limit = 10,
                                   .statuses = &running,
                                   .n_statuses = 1,
                                   .host = "h",
                                   .flow = "f"});
    assert_int_equal(d->n_rows, 3);
    store_done_free(d);
    struct store_label even = {"team", "even"};
    d = query((struct store_query){.kind = STORE_LIST_JOBS, .limit = 10, .labels = &even, .n_labels = 1});
    assert_int_equal(d->n_rows, 4);
    store_done_free(d);
    d = query((struct store_query){.kind = STORE_LIST_ACTIVE, .limit = 6});
    assert_int_equal(d->n_rows, 6);
    assert_int_equal(d->rows[0].job.b[5], 1);
    assert_true(d->more);
    store_done_free(d);
}

static void put_waking(uint8_t n, int64_t wake_ms, bool is_new)
{
    struct store_unit *u = store_unit_new(n);
    struct store_job j = {.id = job_id(n),
                          .status = 4,
                          .flow = "f",
                          .host = "",
                          .head = text("head"),
                          .is_new = is_new,
                          .wake_ms = wake_ms};
    store_put_job(u, &j);
    assert_int_equal(commit(u), STORE_OK);
}

static void jobs_that_are_due_are_listed_by_time_and_the_next_wake_time_is_told(void **state)
{
    (void)state;
    put_waking(1, 300, true);
    put_waking(2, 100, true);
    put_waking(3, 0, true);
    put_waking(4, 100, true);
    put_waking(5, 900, true);
    put_waking(6, 50, true);
    put_waking(6, 0, false); /* it wakes no more */
    struct store_done *d = query((struct store_query){.kind = STORE_LIST_DUE, .due_ms = 300, .limit = 2});
    assert_int_equal(d->n_rows, 2);
    assert_int_equal(d->rows[0].job.b[5], 2);
    assert_int_equal(d->rows[1].job.b[5], 4);
    assert_int_equal(d->rows[1].wake_ms, 100);
    assert_true(d->more);
    assert_int_equal(d->next_wake_ms, 900);
    struct store_query rest = {.kind = STORE_LIST_DUE, .due_ms = 300, .limit = 2, .after_ms = 100};
    rest.after = d->rows[1].job;
    store_done_free(d);
    d = query(rest);
    assert_int_equal(d->n_rows, 1);
    assert_int_equal(d->rows[0].job.b[5], 1);
    assert_false(d->more);
    store_done_free(d);
    d = query((struct store_query){.kind = STORE_LIST_DUE, .due_ms = 900, .limit = 9, .after_ms = 900});
    assert_int_equal(d->n_rows, 1);
    assert_int_equal(d->next_wake_ms, 0);
    store_done_free(d);
}

static void flows_keep_their_versions(void **state)
{
    (void)state;
    uint8_t d1[STORE_DIGEST_BYTES] = {1}, d2[STORE_DIGEST_BYTES] = {2};
    struct store_unit *u = store_unit_new(1);
    store_put_flow_def(u, d1, text("one"));
    store_put_flow(u, "f", 1, d1, text("summary 1"));
    store_put_flow_def(u, d2, text("two"));
    store_put_flow(u, "f", 2, d2, text("summary 2"));
    assert_int_equal(commit(u), STORE_OK);
    struct store_done *d = query((struct store_query){.kind = STORE_READ_FLOW, .name = "f"});
    assert_int_equal(d->rows[0].number, 2);
    assert_true(fm_bytes_eq_str(d->rows[0].body, "two"));
    assert_memory_equal(d->digest, d2, sizeof(d2));
    store_done_free(d);
    d = query((struct store_query){.kind = STORE_READ_FLOW, .name = "f", .version = 1});
    assert_true(fm_bytes_eq_str(d->rows[0].body, "one"));
    store_done_free(d);
    d = query((struct store_query){.kind = STORE_LIST_FLOWS, .limit = 10});
    assert_int_equal(d->n_rows, 1);
    assert_true(fm_bytes_eq_str(d->rows[0].body, "summary 2"));
    store_done_free(d);
    u = store_unit_new(2);
    store_delete_flow(u, "f");
    assert_int_equal(commit(u), STORE_OK);
    d = query((struct store_query){.kind = STORE_READ_FLOW, .name = "f"});
    assert_int_equal(d->status, STORE_NOT_FOUND);
    store_done_free(d);
    d = query((struct store_query){.kind = STORE_READ_FLOW_DEF, .digest = {2}});
    assert_int_equal(d->status, STORE_OK);
    store_done_free(d);
}

static void what_is_remembered_of_hosts_is_replaced_listed_by_id_and_forgotten(void **state)
{
    (void)state;
    struct store_unit *u = store_unit_new(1);
    store_put_host(u, "b", text("b one"));
    store_put_host(u, "a", text("a one"));
    store_put_host(u, "b", text("b two"));
    assert_int_equal(commit(u), STORE_OK);
    struct store_done *d = query((struct store_query){.kind = STORE_LIST_HOSTS});
    assert_int_equal(d->n_rows, 2);
    assert_true(fm_bytes_eq_str(d->rows[0].body, "a one"));
    assert_true(fm_bytes_eq_str(d->rows[1].body, "b two"));
    store_done_free(d);
    u = store_unit_new(2);
    store_delete_host(u, "a");
    store_delete_host(u, "never there");
    assert_int_equal(commit(u), STORE_OK);
    d = query((struct store_query){.kind = STORE_LIST_HOSTS});
    assert_int_equal(d->n_rows, 1);
    store_done_free(d);
}

/* A store as the first version wrote it. */
static const char first_version[] =
    "PRAGMA journal_mode=WAL;"
    "CREATE TABLE jobs(id BLOB PRIMARY KEY, status INTEGER NOT NULL, flow TEXT NOT NULL, host TEXT NOT NULL, "
    "digest BLOB NOT NULL, head BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX jobs_by_status ON jobs(status, id);"
    "CREATE INDEX jobs_by_flow ON jobs(flow, id);"
    "CREATE INDEX jobs_by_host ON jobs(host, id) WHERE host <> '';"
    "CREATE TABLE steps(job BLOB, number INTEGER, body BLOB NOT NULL, PRIMARY KEY(job, number)) WITHOUT "
    "ROWID;"
    "CREATE TABLE inputs(job BLOB, number INTEGER, body BLOB NOT NULL, PRIMARY KEY(job, number)) WITHOUT "
    "ROWID;"
    "CREATE TABLE snapshots(job BLOB PRIMARY KEY, number INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE labels(key TEXT, value TEXT, job BLOB, PRIMARY KEY(key, value, job)) WITHOUT ROWID;"
    "CREATE INDEX labels_by_job ON labels(job);"
    "CREATE TABLE requests(scope TEXT, request_id TEXT, job BLOB NOT NULL, digest BLOB NOT NULL, "
    "reply BLOB NOT NULL, PRIMARY KEY(scope, request_id)) WITHOUT ROWID;"
    "CREATE INDEX requests_by_job ON requests(job);"
    "CREATE TABLE flow_defs(digest BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE flows(name TEXT, version INTEGER, digest BLOB NOT NULL, summary BLOB NOT NULL, "
    "PRIMARY KEY(name, version)) WITHOUT ROWID;"
    "INSERT INTO jobs VALUES(x'00000000000101000000000000000000', 3, 'f', '', x'00', CAST('one' AS BLOB));"
    "INSERT INTO jobs VALUES(x'00000000000201000000000000000000', 3, 'f', '', x'00', CAST('two' AS BLOB));"
    "INSERT INTO steps SELECT jobs.id, n.value, CAST(CAST(head AS TEXT) || ' step ' || n.value AS BLOB) "
    "FROM jobs, json_each('[1,2,3]') n;"
    "INSERT INTO inputs SELECT jobs.id, n.value, CAST(CAST(head AS TEXT) || ' input ' || n.value AS BLOB) "
    "FROM jobs, json_each('[1,2]') n;"
    "INSERT INTO snapshots SELECT id, 1, CAST('state' AS BLOB) FROM jobs;"
    "PRAGMA application_id=1179798868; PRAGMA user_version=1;";

static void a_store_of_the_first_version_is_brought_up_to_date(void **state)
{
    (void)state;
    char file[128];
    sqlite3 *db;
    store_close(fx.store);
    snprintf(file, sizeof(file), "%s/fermata.db", fx.dir);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    if (sqlite3_exec(db, first_version, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    open_store();
    struct store_done *d =
        query((struct store_query){.kind = STORE_READ_JOB, .job = job_id(2), .full = true});
    assert_int_equal(d->status, STORE_OK);
    assert_true(fm_bytes_eq_str(d->head, "two"));
    assert_true(fm_bytes_eq_str(d->snapshot, "state"));
    assert_int_equal(d->n_steps, 2);
    assert_int_equal(d->steps[0].number, 2);
    assert_true(fm_bytes_eq_str(d->steps[1].body, "two step 3"));
    assert_int_equal(d->n_inputs, 2);
    assert_true(fm_bytes_eq_str(d->inputs[0].body, "two input 1"));
    store_done_free(d);
    struct fm_id one = job_id(1);
    struct store_unit *u = store_unit_new(1);
    store_put_step(u, &one, 4, text("new"));
    put_job(u, 1, 2, false, "one running");
    assert_int_equal(commit(u), STORE_OK);
    d = query((struct store_query){.kind = STORE_READ_STEPS, .job = one, .from = 3, .limit = 9});
    assert_int_equal(d->n_steps, 2);
    assert_true(fm_bytes_eq_str(d->steps[0].body, "one step 3"));
    assert_true(fm_bytes_eq_str(d->steps[1].body, "new"));
    store_done_free(d);
    u = store_unit_new(2);
    store_delete_job(u, &one);
    assert_int_equal(commit(u), STORE_OK);
    d = query((struct store_query){.kind = STORE_READ_INPUTS, .job = one, .from = 1, .to = 9});
    assert_int_equal(d->n_inputs, 0);
    store_done_free(d);
}

/* The value is that of another implementation, which goes bit by bit. */
static void a_checksum_is_the_crc_of_job_number_and_body(void **state)
{
    (void)state;
    struct fm_id id;
    for (size_t i = 0; i < sizeof(id.b); i++)
        id.b[i] = (uint8_t)i;
    assert_int_equal(sql_sum(&id, -3, text("123456789")), 1323085723);
    assert_int_not_equal(sql_sum(&id, 3, text("123456789")), 1323085723);
}

/* A child writes steps and says on a pipe which are acknowledged, until it is killed. */
static void write_until_killed(int pipe_fd, uint32_t from)
{
    struct fm_id id = job_id(1);
    open_store();
    for (uint32_t i = from;; i++) {
        struct store_unit *u = store_unit_new(i);
        store_put_step(u, &id, i, text("step"));
        if (commit(u) != STORE_OK || write(pipe_fd, &i, sizeof(i)) != sizeof(i))
            _exit(1);
    }
}

static void what_was_acknowledged_survives_kill_9(void **state)
{
    (void)state;
    struct fm_id id = job_id(1);
    struct store_unit *u = store_unit_new(1);
    put_job(u, 1, 1, true, "head");
    assert_int_equal(commit(u), STORE_OK);
    uint32_t acked = 0;
    for (int round = 0; round < 10; round++) {
        int fds[2];
        store_close(fx.store);
        assert_int_equal(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0)
            write_until_killed(fds[1], acked + 1);
        close(fds[1]);
        for (int n = 0; n < 5 + round * 3; n++)
            assert_int_equal(read(fds[0], &acked, sizeof(acked)), sizeof(acked));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(fds[0], &acked, sizeof(acked)) == sizeof(acked))
            continue;
        close(fds[0]);
        open_store();
        struct store_done *d = query((struct store_query){.kind = STORE_READ_JOB, .job = id, .full = true});
        assert_int_equal(d->status, STORE_OK);
        assert_true(d->n_steps >= acked);
        for (size_t i = 0; i < d->n_steps; i++)
            assert_int_equal(d->steps[i].number, i + 1);
        acked = (uint32_t)d->n_steps;
        store_done_free(d);
    }
}

/* Commits without a pause, a hundred megabytes of them. */
static void the_log_stays_short_while_commits_never_pause(void **state)
{
    enum { UNITS = 3000, AT_ONCE = 50, BODY = 32 * 1024 };
    static uint8_t body[BODY];
    char log[128];
    struct fm_id id = job_id(1);
    off_t longest = 0;
    (void)state;
    memset(body, 'x', sizeof(body));
    snprintf(log, sizeof(log), "%s/fermata.db-wal", fx.dir);
    struct store_unit *first = store_unit_new(0);
    put_job(first, 1, 1, true, "head");
    assert_int_equal(commit(first), STORE_OK);
    for (uint32_t sent = 0, done = 0; done < UNITS; done++) {
        for (; sent < UNITS && sent - done < AT_ONCE; sent++) {
            struct store_unit *u = store_unit_new(sent + 1);
            store_put_step(u, &id, sent + 1, (struct fm_bytes){body, sizeof(body)});
            store_submit(fx.store, u);
        }
        struct store_done *d = next_done();
        assert_int_equal(d->status, STORE_OK);
        store_done_free(d);
        struct stat st;
        if (stat(log, &st) == 0 && st.st_size > longest)
            longest = st.st_size;
    }
    assert_true(longest > 4 * 1024 * 1024);
    assert_true(longest < 64 * 1024 * 1024); /* 33 is where the writer waits, and what is in one commit */
    struct store_done *d =
        query((struct store_query){.kind = STORE_READ_STEPS, .job = id, .from = UNITS, .limit = 1});
    assert_int_equal(d->n_steps, 1);
    assert_int_equal(d->steps[0].body.n, BODY);
    store_done_free(d);
    store_close(fx.store);
    open_store();
    d = query((struct store_query){.kind = STORE_READ_STEPS, .job = id, .from = 1, .limit = 1});
    assert_int_equal(d->n_steps, 1);
    store_done_free(d);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_job_is_read_back_with_its_snapshot_inputs_and_later_steps),
        TEST(a_unit_that_breaks_a_rule_is_not_applied_and_harms_no_other),
        TEST(a_request_id_is_claimed_once_and_the_first_reply_comes_back),
        TEST(lists_are_filtered_and_paged_newest_first),
        TEST(jobs_that_are_due_are_listed_by_time_and_the_next_wake_time_is_told),
        TEST(flows_keep_their_versions),
        TEST(what_is_remembered_of_hosts_is_replaced_listed_by_id_and_forgotten),
        TEST(a_checksum_is_the_crc_of_job_number_and_body),
        TEST(a_store_of_the_first_version_is_brought_up_to_date),
        TEST(what_was_acknowledged_survives_kill_9),
        TEST(the_log_stays_short_while_commits_never_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
