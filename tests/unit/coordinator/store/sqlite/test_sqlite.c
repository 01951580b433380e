/* What the SQLite store has of its own: its schema and how older ones get there, checksums, the
 * log. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "mem.h"
#include "schema.h"
#include "store_fixture.h"
#include "store_open.h"
#include "sum.h"
#include "verify.h"

/* ---- the file of a closed store ---- */

static void file_of_store(char *path, size_t n)
{
    snprintf(path, n, "%s/fermata.db", fx.dir);
}

static sqlite3 *open_file(void)
{
    char path[160];
    sqlite3 *db;
    file_of_store(path, sizeof(path));
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    return db;
}

static void run_sql(const char *sql)
{
    sqlite3 *db = open_file();
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The text of a file of schemas/; for free(). */
static char *schema_text(const char *name)
{
    char path[512];
    struct stat st;
    snprintf(path, sizeof(path), "%s/tests/unit/coordinator/store/sqlite/schemas/%s", getenv("SOURCE_DIR"),
             name);
    FILE *f = fopen(path, "r");
    if (f == NULL || stat(path, &st) < 0)
        fail_msg("%s", path);
    char *text = fm_xcalloc(1, (size_t)st.st_size + 1);
    assert_int_equal(fread(text, 1, (size_t)st.st_size, f), st.st_size);
    fclose(f);
    return text;
}

/* In place of the open store one that an older version has written; closed. */
static void make_old(const char *name)
{
    char path[160];
    fm_autofree char *text = schema_text(name);
    store_close(fx.store);
    file_of_store(path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    run_sql(text);
}

static void open_old(const char *name)
{
    make_old(name);
    store_reopen();
}

/* ---- schemas ---- */

static void a_store_of_the_first_version_is_brought_up_to_date(void **state)
{
    (void)state;
    const struct fm_id one = store_job_id(1), two = store_job_id(2);
    open_old("1.sql");
    struct store_done *d = store_answer(store_read_job(&two, STORE_WHOLE));
    assert_int_equal(d->status, STORE_OK);
    assert_true(fm_bytes_eq_str(d->job.head, "two"));
    assert_true(fm_bytes_eq_str(d->job.snapshot, "state"));
    assert_int_equal(d->job.steps.n, 2);
    assert_int_equal(d->job.steps.items[0].number, 2);
    assert_true(fm_bytes_eq_str(d->job.steps.items[1].body, "two step 3"));
    assert_int_equal(d->job.inputs.n, 2);
    assert_true(fm_bytes_eq_str(d->job.inputs.items[0].body, "two input 1"));
    store_done_free(d);
    struct store_unit *u = store_unit_new(1);
    store_put_step(u, &one, 4, fm_bytes_of("new"));
    store_put_some_job(u, 1, 2, false, "one running");
    assert_int_equal(store_commit(u), STORE_OK);
    d = store_answer(store_read_steps(&one, 3, 9, 0));
    assert_int_equal(d->steps.n, 2);
    assert_true(fm_bytes_eq_str(d->steps.items[0].body, "one step 3"));
    assert_true(fm_bytes_eq_str(d->steps.items[1].body, "new"));
    store_done_free(d);
    u = store_unit_new(2);
    store_delete_job(u, &one);
    assert_int_equal(store_commit(u), STORE_OK);
    d = store_answer(store_read_inputs(&one, 1, 9));
    assert_int_equal(d->inputs.n, 0);
    store_done_free(d);
}

/* That the offline check finds the closed store sound. */
static void assert_sound(const char *summary)
{
    char report[4096] = "";
    fm_auto(fm_err) err = {0};
    FILE *out = fmemopen(report, sizeof(report), "w");
    int faults = store_verify(fx.dir, out, &err);
    fclose(out);
    if (faults != 0 || strstr(report, summary) == NULL)
        fail_msg("%s%s", report, err.msg);
}

static void a_store_of_release_0_3_0_is_brought_up_to_date_and_loses_nothing(void **state)
{
    (void)state;
    const struct store_filter all = {0};
    make_old("4.sql");
    assert_sound("4 jobs, 4 steps: 0 faults"); /* it can be checked as it is, too */
    store_reopen();
    struct store_done *d = store_answer(store_count_jobs(&all));
    assert_int_equal(d->counts.n, 4); /* PENDING, PAUSED, SLEEPING, COMPLETED */
    store_done_free(d);
    d = store_answer(store_list_hosts());
    assert_int_equal(d->hosts.n, 1);
    store_done_free(d);
    d = store_answer(store_sum_usage(STORE_BY_NOTHING, "", 0, UINT32_MAX, "trip"));
    assert_int_equal(d->usage.items[0].used.calls, 3);
    store_done_free(d);
    store_close(fx.store);
    assert_sound("4 jobs, 4 steps: 0 faults");
    store_reopen();
}

/* What hosts said of tokens and money was not bounded: sums had run over. */
static void a_ledger_that_an_earlier_version_let_run_over_is_mended(void **state)
{
    (void)state;
    make_old("4.sql");
    run_sql("UPDATE usage SET input=-1, output=9.3e18, cached=9223372036854775807, cost=9e999;");
    store_reopen();
    struct store_done *d = store_answer(store_sum_usage(STORE_BY_NOTHING, "", 0, UINT32_MAX, "trip"));
    assert_int_equal(d->status, STORE_OK);
    assert_true(d->usage.items[0].used.input_tokens == 0);
    assert_true(d->usage.items[0].used.output_tokens == ((uint64_t)1 << 53) - 1);
    assert_true(d->usage.items[0].used.cached_tokens == ((uint64_t)1 << 53) - 1);
    assert_true(d->usage.items[0].used.cost == 1e15);
    assert_int_equal(d->usage.items[0].used.calls, 3);
    store_done_free(d);
    store_close(fx.store);
    assert_sound("4 jobs, 4 steps: 0 faults");
    store_reopen();
}

/* Jobs still know which versions there were: x'20' is the tag of flow_version in a head. */
static void numbers_of_flows_that_an_earlier_version_has_deleted_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t version, used;
    } flows[] = {
        {"gone",  0, 7},
        {"again", 2, 5},
        {"kept",  3, 3},
        {"none",  0, 0}
    };
    make_old("4.sql");
    run_sql(
        "INSERT INTO flow_defs(digest, body) VALUES(zeroblob(32), x'00');"
        "INSERT INTO jobs(id, status, flow, host, head) VALUES(x'01', 5, 'gone', '', x'2007'),"
        "(x'02', 5, 'gone', '', x'2006'), (x'03', 5, 'again', '', x'2005'), (x'04', 5, 'kept', '', x'2002'),"
        "(x'05', 5, 'none', '', x'1005'), (x'06', 5, 'none', '', x'20');"
        "INSERT INTO flows(name, version, digest, summary) VALUES('again', 2, zeroblob(32), x''),"
        "('kept', 3, zeroblob(32), x'');");
    store_reopen();
    for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
        struct store_done *d = store_answer(store_read_flow(flows[i].name, 0));
        assert_int_equal(d->status, flows[i].version > 0 ? STORE_OK : STORE_NOT_FOUND);
        assert_int_equal(d->flow.used, flows[i].used);
        store_done_free(d);
    }
}

static void a_store_without_the_tables_that_were_outside_of_the_schema_gets_them(void **state)
{
    (void)state;
    make_old("4.sql");
    run_sql("DROP TABLE hosts; DROP TABLE usage;");
    assert_sound("4 jobs, 4 steps: 0 faults");
    store_reopen();
    struct store_unit *u = store_unit_new(1);
    const struct store_usage usage = {.flow = "f"};
    store_put_host(u, "a", fm_bytes_of("host"));
    store_add_usage(u, &usage);
    assert_int_equal(store_commit(u), STORE_OK);
}

/* Adds a row, without the blanks of its texts. */
static int add_row(void *arg, int n, char **values, char **names)
{
    struct fm_buf *b = arg;
    (void)names;
    for (int i = 0; i < n; i++) {
        for (const char *p = values[i] != NULL ? values[i] : "-"; *p != '\0'; p++)
            if (*p != ' ' && *p != '\n')
                fm_buf_append(b, p, 1);
        fm_buf_append(b, i < n - 1 ? " " : "\n", 1);
    }
    return 0;
}

/* Of the open store, which is closed for it and opened again; for free(). */
static char *schema_of_store(void)
{
    static const char everything[] =
        "PRAGMA user_version; SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name;";
    struct fm_buf b = {0};
    store_close(fx.store);
    sqlite3 *db = open_file();
    assert_int_equal(sqlite3_exec(db, everything, add_row, &b, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    store_reopen();
    fm_buf_append(&b, "", 1);
    return (char *)b.p;
}

static void an_older_store_gets_the_very_schema_of_a_new_one(void **state)
{
    (void)state;
    fm_autofree char *fresh = schema_of_store();
    assert_non_null(strstr(fresh, "\ntable usage usage CREATETABLEusage("));
    open_old("1.sql");
    fm_autofree char *from_first = schema_of_store();
    assert_string_equal(from_first, fresh);
    open_old("4.sql");
    fm_autofree char *from_fourth = schema_of_store();
    assert_string_equal(from_fourth, fresh);
    open_old("5.sql");
    fm_autofree char *from_fifth = schema_of_store();
    assert_string_equal(from_fifth, fresh);
    open_old("6.sql");
    fm_autofree char *from_sixth = schema_of_store();
    assert_string_equal(from_sixth, fresh);
    open_old("7.sql");
    fm_autofree char *from_seventh = schema_of_store();
    assert_string_equal(from_seventh, fresh);
}

static void assert_refused(const char *sql, const char *why)
{
    fm_auto(fm_err) err = {0};
    const struct store_events none = {0};
    char repair[128];
    store_close(fx.store);
    run_sql(sql);
    assert_null(store_open(fx.url, &none, &err));
    assert_int_equal(err.code, FM_FAILED_PRECONDITION);
    if (strstr(err.msg, why) == NULL)
        fail_msg("%s", err.msg);
    snprintf(repair, sizeof(repair), "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID,
             SCHEMA_VERSION);
    run_sql(repair);
    store_reopen();
}

static void a_newer_store_and_one_of_another_program_are_refused_by_name(void **state)
{
    char both[128];
    (void)state;
    snprintf(both, sizeof(both),
             "/fermata.db has schema version 99; this coordinator knows versions up to %d", SCHEMA_VERSION);
    assert_refused("PRAGMA user_version=99", both);
    assert_refused("PRAGMA user_version=0", "/fermata.db has schema version 0, which does not exist");
    assert_refused("PRAGMA application_id=7", "/fermata.db is a database of another program");
}

/* What fails while a coordinator is at work goes to its clients. */
static void an_error_at_work_names_no_path(void **state)
{
    (void)state;
    run_sql("ALTER TABLE labels RENAME TO away");
    struct store_unit *u = store_unit_new(1);
    store_put_some_job(u, 1, 1, true, "one");
    store_submit(fx.store, u);
    struct store_done *d = store_next_done();
    assert_int_equal(d->status, STORE_FAILED);
    assert_non_null(strstr(d->err.msg, "the store failed (prepare: no such table"));
    assert_null(strchr(d->err.msg, '/'));
    store_done_free(d);
    run_sql("ALTER TABLE away RENAME TO labels");
}

/* ---- checksums, the log ---- */

/* The value is that of another implementation, which goes bit by bit. */
static void a_checksum_is_the_crc_of_job_number_and_body(void **state)
{
    (void)state;
    struct fm_id id;
    for (size_t i = 0; i < sizeof(id.b); i++)
        id.b[i] = (uint8_t)i;
    assert_int_equal(sql_sum(&id, -3, fm_bytes_of("123456789")), 1323085723);
    assert_int_not_equal(sql_sum(&id, 3, fm_bytes_of("123456789")), 1323085723);
}

/* Commits without a pause, a hundred megabytes of them. */
static void the_log_stays_short_while_commits_never_pause(void **state)
{
    enum { UNITS = 3000, AT_ONCE = 50, BODY = 32 * 1024 };
    static uint8_t body[BODY];
    char log[160];
    struct fm_id id = store_job_id(1);
    off_t longest = 0;
    (void)state;
    memset(body, 'x', sizeof(body));
    snprintf(log, sizeof(log), "%s/fermata.db-wal", fx.dir);
    struct store_unit *first = store_unit_new(0);
    store_put_some_job(first, 1, 1, true, "head");
    assert_int_equal(store_commit(first), STORE_OK);
    for (uint32_t sent = 0, done = 0; done < UNITS; done++) {
        for (; sent < UNITS && sent - done < AT_ONCE; sent++) {
            struct store_unit *u = store_unit_new(sent + 1);
            store_put_step(u, &id, sent + 1, (struct fm_bytes){body, sizeof(body)});
            store_submit(fx.store, u);
        }
        struct store_done *d = store_next_done();
        assert_int_equal(d->status, STORE_OK);
        store_done_free(d);
        struct stat st;
        if (stat(log, &st) == 0 && st.st_size > longest)
            longest = st.st_size;
    }
    assert_true(longest > 4 * 1024 * 1024);
    assert_true(longest < 64 * 1024 * 1024); /* at 33 the writer waits; and one commit */
    struct store_done *d = store_answer(store_read_steps(&id, UNITS, 1, 0));
    assert_int_equal(d->steps.n, 1);
    assert_int_equal(d->steps.items[0].body.n, BODY);
    store_done_free(d);
    store_close(fx.store);
    store_reopen();
    d = store_answer(store_read_steps(&id, 1, 1, 0));
    assert_int_equal(d->steps.n, 1);
    store_done_free(d);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_store_of_the_first_version_is_brought_up_to_date),
        TEST(a_store_of_release_0_3_0_is_brought_up_to_date_and_loses_nothing),
        TEST(a_store_without_the_tables_that_were_outside_of_the_schema_gets_them),
        TEST(a_ledger_that_an_earlier_version_let_run_over_is_mended),
        TEST(numbers_of_flows_that_an_earlier_version_has_deleted_are_known),
        TEST(an_older_store_gets_the_very_schema_of_a_new_one),
        TEST(a_newer_store_and_one_of_another_program_are_refused_by_name),
        TEST(an_error_at_work_names_no_path),
        TEST(a_checksum_is_the_crc_of_job_number_and_body),
        TEST(the_log_stays_short_while_commits_never_pause),
    };
    fx.kind = &sqlite_under_test;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
