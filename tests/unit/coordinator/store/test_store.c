/* The contract of store.h, kept by every kind of store: units are whole, in order and on disk;
 * queries; faults of one unit; kill -9. A kind of store is a row of `kinds`. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_fixture.h"

static const struct store_under_test *const kinds[] = {&sqlite_under_test};

static void a_job_is_read_back_with_its_snapshot_inputs_and_later_steps(void **state)
{
    (void)state;
    struct fm_id id = store_job_id(1);
    struct store_unit *u = store_unit_new(1);
    store_put_some_job(u, 1, 1, true, "head");
    store_put_input(u, &id, 1, fm_bytes_of("in"));
    for (uint32_t i = 1; i <= 3; i++)
        store_put_step(u, &id, i, fm_bytes_of("step"));
    store_put_input(u, &id, 2, fm_bytes_of("later"));
    store_put_snapshot(u, &id, 2, 1, fm_bytes_of("state"));
    assert_int_equal(store_commit(u), STORE_OK);
    struct store_query whole = store_read_job(&id, STORE_WHOLE);
    whole.tag = 9;
    struct store_done *d = store_answer(whole);
    assert_true(fm_bytes_eq_str(d->job.head, "head"));
    assert_true(fm_bytes_eq_str(d->job.snapshot, "state"));
    assert_int_equal(d->job.snapshot_number, 2);
    assert_int_equal(d->job.steps.n, 1);
    assert_int_equal(d->job.steps.items[0].number, 3);
    assert_int_equal(d->job.inputs.n, 1); /* the first was taken before the snapshot */
    assert_int_equal(d->job.inputs.items[0].number, 2);
    assert_true(fm_bytes_eq_str(d->job.inputs.items[0].body, "later"));
    store_done_free(d);
    d = store_answer(store_read_job(&id, STORE_HEAD));
    assert_true(fm_bytes_eq_str(d->job.head, "head"));
    assert_null(d->job.snapshot.p);
    assert_int_equal(d->job.steps.n + d->job.inputs.n, 0);
    store_done_free(d);
    d = store_answer(store_read_inputs(&id, 1, UINT32_MAX));
    assert_int_equal(d->inputs.n, 2);
    assert_int_equal(d->inputs.items[0].number, 1);
    assert_int_equal(d->inputs.items[1].number, 2);
    store_done_free(d);
    d = store_answer(store_read_inputs(&id, 2, 2));
    assert_int_equal(d->inputs.n, 1);
    assert_int_equal(d->inputs.items[0].number, 2);
    store_done_free(d);
}

/* "1 1.1 1.2 2" and so on: steps, and entries by step and number; "+" at the end when there are more. */
static const char *journal(struct store_query q)
{
    static char text[200];
    struct store_done *d = store_answer(q);
    size_t n = 0;
    assert_int_equal(d->status, STORE_OK);
    text[0] = '\0';
    for (size_t i = 0; i < d->journal.n; i++) {
        const struct store_journal_record *r = &d->journal.items[i];
        assert_true(fm_bytes_eq_str(r->body, r->entry > 0 ? "entry" : "step"));
        n += (size_t)snprintf(text + n, sizeof(text) - n, r->entry > 0 ? "%u.%u " : "%u ", r->step, r->entry);
    }
    (void)snprintf(text + n, sizeof(text) - n, d->journal.more ? "+" : "");
    store_done_free(d);
    return text;
}

static void a_journal_is_read_with_each_entry_in_its_place(void **state)
{
    (void)state;
    struct fm_id id = store_job_id(1), other = store_job_id(2);
    struct store_unit *u = store_unit_new(1);
    store_put_some_job(u, 1, 1, true, "head");
    store_put_some_job(u, 2, 1, true, "head");
    store_put_entry(u, &id, 0, 1, fm_bytes_of("entry"));
    store_put_input(u, &id, 1, fm_bytes_of("in"));
    store_put_step(u, &id, 1, fm_bytes_of("step"));
    store_put_entry(u, &id, 1, 2, fm_bytes_of("entry"));
    store_put_entry(u, &id, 1, 3, fm_bytes_of("entry"));
    store_put_step(u, &id, 2, fm_bytes_of("step"));
    store_put_entry(u, &other, 0, 1, fm_bytes_of("entry"));
    assert_int_equal(store_commit(u), STORE_OK);
    assert_string_equal(journal(store_read_journal(&id, 0, 1, 0, 0)), "0.1 1 1.2 1.3 2 ");
    assert_string_equal(journal(store_read_journal(&id, 0, 1, 3, 0)), "0.1 1 1.2 +");
    assert_string_equal(journal(store_read_journal(&id, 1, 3, 0, 0)), "1.3 2 ");
    assert_string_equal(journal(store_read_journal(&id, 1, 0, 0, 0)), "1 1.2 1.3 2 ");
    assert_string_equal(journal(store_read_journal(&id, 0, 1, 0, 10)), "0.1 1 +");
    assert_string_equal(journal(store_read_journal(&id, 0, 1, 0, 1)), "0.1 +");
    assert_string_equal(journal(store_read_journal(&id, 2, 1, 0, 0)), "");
    struct store_query q = store_read_journal(&id, 0, 1, 0, 0);
    q.journal.to_step = 1;
    assert_string_equal(journal(q), "0.1 1 ");
    u = store_unit_new(2);
    store_put_entry(u, &id, 1, 3, fm_bytes_of("again"));
    assert_int_equal(store_commit(u), STORE_FAILED);
    u = store_unit_new(3);
    store_delete_job(u, &id);
    assert_int_equal(store_commit(u), STORE_OK);
    struct store_done *d = store_answer(store_read_journal(&id, 0, 1, 0, 0));
    assert_int_equal(d->status, STORE_NOT_FOUND);
    store_done_free(d);
    u = store_unit_new(4);
    store_put_some_job(u, 1, 1, true, "head");
    assert_int_equal(store_commit(u), STORE_OK);
    assert_string_equal(journal(store_read_journal(&id, 0, 1, 0, 0)), ""); /* its entries went with it */
    assert_string_equal(journal(store_read_journal(&other, 0, 1, 0, 0)), "0.1 ");
}

static void a_job_that_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct fm_id id = store_job_id(1);
    struct store_done *d = store_answer(store_read_job(&id, STORE_WHOLE));
    assert_int_equal(d->status, STORE_NOT_FOUND);
    store_done_free(d);
    d = store_answer(store_read_steps(&id, 1, 0, 0));
    assert_int_equal(d->status, STORE_NOT_FOUND);
    store_done_free(d);
    d = store_answer(store_read_inputs(&id, 1, UINT32_MAX));
    assert_int_equal(d->status, STORE_OK);
    assert_int_equal(d->inputs.n, 0);
    store_done_free(d);
}

static void steps_are_read_up_to_so_many_or_so_many_bytes_but_at_least_one(void **state)
{
    (void)state;
    struct fm_id id = store_job_id(1);
    struct store_unit *u = store_unit_new(1);
    store_put_some_job(u, 1, 1, true, "head");
    store_put_input(u, &id, 1, fm_bytes_of("an input is not a step"));
    for (uint32_t i = 1; i <= 3; i++)
        store_put_step(u, &id, i, fm_bytes_of("ten bytes."));
    assert_int_equal(store_commit(u), STORE_OK);
    static const struct {
        uint32_t from, limit;
        size_t max_bytes, n;
        bool more;
    } rows[] = {
        {1, 0, 1,  1, true },
        {1, 0, 10, 1, true },
        {1, 0, 19, 1, true },
        {1, 0, 20, 2, true },
        {1, 0, 30, 3, false},
        {1, 0, 0,  3, false},
        {0, 9, 0,  3, false},
        {1, 3, 0,  3, false},
        {1, 2, 0,  2, true },
        {3, 2, 0,  1, false},
        {4, 2, 0,  0, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct store_done *d =
            store_answer(store_read_steps(&id, rows[i].from, rows[i].limit, rows[i].max_bytes));
        assert_int_equal(d->status, STORE_OK);
        assert_int_equal(d->steps.n, rows[i].n);
        assert_int_equal(d->steps.more, rows[i].more);
        if (rows[i].n > 0)
            assert_int_equal(d->steps.items[0].number, rows[i].from > 0 ? rows[i].from : 1);
        store_done_free(d);
    }
}

static void a_unit_that_breaks_a_rule_is_not_applied_and_harms_no_other(void **state)
{
    (void)state;
    struct fm_id id = store_job_id(1);
    struct store_unit *first = store_unit_new(1), *bad = store_unit_new(2), *missing = store_unit_new(3),
                      *last = store_unit_new(4);
    store_put_some_job(first, 1, 1, true, "one");
    store_put_step(first, &id, 1, fm_bytes_of("step"));
    store_put_some_job(bad, 1, 3, false, "two");
    store_put_step(bad, &id, 1, fm_bytes_of("again"));
    store_put_some_job(missing, 9, 3, false, "nobody");
    store_put_some_job(last, 2, 1, true, "last");
    store_submit_more(fx.store, first);
    store_submit_more(fx.store, bad);
    store_submit_more(fx.store, missing);
    store_submit(fx.store, last);
    static const enum store_status want[] = {STORE_OK, STORE_FAILED, STORE_FAILED, STORE_OK};
    for (uint64_t i = 0; i < 4; i++) {
        struct store_done *d = store_next_done();
        assert_int_equal(d->kind, STORE_UNIT);
        assert_int_equal(d->tag, i + 1);
        assert_int_equal(d->status, want[i]);
        if (want[i] == STORE_FAILED)
            assert_int_equal(d->err.code, FM_INTERNAL);
        store_done_free(d);
    }
    struct store_done *d = store_answer(store_read_job(&id, STORE_HEAD));
    assert_true(fm_bytes_eq_str(d->job.head, "one"));
    store_done_free(d);
}

static void a_request_id_is_claimed_once_and_the_first_reply_comes_back(void **state)
{
    (void)state;
    uint8_t d1[STORE_DIGEST_BYTES] = {1}, d2[STORE_DIGEST_BYTES] = {2};
    struct fm_id one = store_job_id(1), two = store_job_id(2);
    struct store_unit *u = store_unit_new(1);
    store_put_some_job(u, 1, 1, true, "one");
    store_put_request(u, "submit", "r", d1, &one, fm_bytes_of("reply"));
    assert_int_equal(store_commit(u), STORE_OK);
    u = store_unit_new(2);
    store_put_some_job(u, 2, 1, true, "two");
    store_put_request(u, "submit", "r", d2, &two, fm_bytes_of("other"));
    store_submit(fx.store, u);
    struct store_done *d = store_next_done();
    assert_int_equal(d->status, STORE_EXISTS);
    assert_memory_equal(d->claim.digest, d1, sizeof(d1));
    assert_true(fm_id_eq(&d->claim.job, &one));
    assert_true(fm_bytes_eq_str(d->claim.reply, "reply"));
    store_done_free(d);
    d = store_answer(store_read_job(&two, STORE_HEAD));
    assert_int_equal(d->status, STORE_NOT_FOUND);
    store_done_free(d);
    d = store_answer(store_read_request("submit", "r"));
    assert_memory_equal(d->claim.digest, d1, sizeof(d1));
    assert_true(fm_id_eq(&d->claim.job, &one));
    assert_true(fm_bytes_eq_str(d->claim.reply, "reply"));
    store_done_free(d);
    d = store_answer(store_read_request("resume", "r"));
    assert_int_equal(d->status, STORE_NOT_FOUND);
    store_done_free(d);
    u = store_unit_new(3);
    store_delete_job(u, &one);
    assert_int_equal(store_commit(u), STORE_OK);
    d = store_answer(store_read_request("submit", "r"));
    assert_int_equal(d->status, STORE_NOT_FOUND);
    store_done_free(d);
}

/* Jobs 1 to 5 are PENDING, 6 to 8 RUNNING, 9 is COMPLETED. */
static void put_nine_jobs(void)
{
    for (uint8_t n = 1; n <= 9; n++) {
        struct store_unit *u = store_unit_new(n);
        store_put_some_job(u, n, n <= 5 ? 1 : n <= 8 ? 2 : 5, true, "head");
        assert_int_equal(store_commit(u), STORE_OK);
    }
}

static void lists_are_filtered_and_paged_newest_first(void **state)
{
    (void)state;
    const struct fm_id none = {{0}};
    const struct store_filter all = {0};
    put_nine_jobs();
    struct store_done *d = store_answer(store_list_jobs(&all, &none, 4));
    assert_int_equal(d->jobs.n, 4);
    assert_int_equal(d->jobs.items[0].id.b[5], 9);
    assert_true(d->jobs.more);
    struct fm_id before = d->jobs.items[3].id;
    store_done_free(d);
    d = store_answer(store_list_jobs(&all, &before, 10));
    assert_int_equal(d->jobs.n, 5);
    assert_false(d->jobs.more);
    store_done_free(d);
    const int running = 2;
    const struct store_filter there = {.statuses = &running, .n_statuses = 1, .host = "h", .flow = "f"};
    d = store_answer(store_list_jobs(&there, &none, 10));
    assert_int_equal(d->jobs.n, 3);
    store_done_free(d);
    const struct store_label even = {"team", "even"};
    const struct store_filter labelled = {.labels = &even, .n_labels = 1};
    d = store_answer(store_list_jobs(&labelled, &none, 10));
    assert_int_equal(d->jobs.n, 4);
    store_done_free(d);
}

static void active_jobs_are_listed_oldest_first(void **state)
{
    (void)state;
    const struct fm_id none = {{0}};
    put_nine_jobs();
    struct store_done *d = store_answer(store_list_active(&none, 6));
    assert_int_equal(d->jobs.n, 6);
    assert_int_equal(d->jobs.items[0].id.b[5], 1);
    assert_true(d->jobs.more);
    struct fm_id after = d->jobs.items[5].id;
    store_done_free(d);
    d = store_answer(store_list_active(&after, 6));
    assert_int_equal(d->jobs.n, 2);
    assert_int_equal(d->jobs.items[1].id.b[5], 8);
    assert_false(d->jobs.more);
    store_done_free(d);
}

static void assert_counts(const struct store_filter *filter, const struct store_count *want, size_t n)
{
    struct store_done *d = store_answer(store_count_jobs(filter));
    assert_int_equal(d->counts.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(d->counts.items[i].status, want[i].status);
        assert_int_equal(d->counts.items[i].jobs, want[i].jobs);
    }
    store_done_free(d);
}

static void jobs_are_counted_by_status_and_filtered_as_in_lists(void **state)
{
    (void)state;
    put_nine_jobs();
    const struct store_filter all = {0};
    static const struct store_count of_all[] = {
        {1, 5},
        {2, 3},
        {5, 1}
    };
    assert_counts(&all, of_all, 3);
    const struct store_label odd = {"team", "odd"};
    const struct store_filter labelled = {.labels = &odd, .n_labels = 1};
    static const struct store_count of_odd[] = {
        {1, 3},
        {2, 1},
        {5, 1}
    };
    assert_counts(&labelled, of_odd, 3);
    const struct store_filter on_host = {.host = "h"};
    assert_counts(&on_host, &of_all[1], 1);
    const struct store_filter of_another_flow = {.flow = "g"};
    assert_counts(&of_another_flow, NULL, 0);
}

static void put_waking(uint8_t n, int64_t wake_ms, bool is_new)
{
    struct store_unit *u = store_unit_new(n);
    struct store_job j = {.id = store_job_id(n),
                          .status = 4,
                          .flow = "f",
                          .host = "",
                          .head = fm_bytes_of("head"),
                          .is_new = is_new,
                          .wake_ms = wake_ms};
    store_put_job(u, &j);
    assert_int_equal(store_commit(u), STORE_OK);
}

static void jobs_that_are_due_are_listed_by_time_and_the_next_wake_time_is_told(void **state)
{
    (void)state;
    const struct fm_id none = {{0}};
    put_waking(1, 300, true);
    put_waking(2, 100, true);
    put_waking(3, 0, true);
    put_waking(4, 100, true);
    put_waking(5, 900, true);
    put_waking(6, 50, true);
    put_waking(6, 0, false); /* it wakes no more */
    struct store_done *d = store_answer(store_list_due(300, 0, &none, 2));
    assert_int_equal(d->due.n, 2);
    assert_int_equal(d->due.items[0].id.b[5], 2);
    assert_int_equal(d->due.items[1].id.b[5], 4);
    assert_int_equal(d->due.items[1].wake_ms, 100);
    assert_true(d->due.more);
    assert_int_equal(d->due.next_wake_ms, 900);
    struct store_due_job last = d->due.items[1];
    store_done_free(d);
    d = store_answer(store_list_due(300, last.wake_ms, &last.id, 2));
    assert_int_equal(d->due.n, 1);
    assert_int_equal(d->due.items[0].id.b[5], 1);
    assert_false(d->due.more);
    store_done_free(d);
    d = store_answer(store_list_due(900, 900, &none, 9));
    assert_int_equal(d->due.n, 1);
    assert_int_equal(d->due.next_wake_ms, 0);
    store_done_free(d);
}

static void flows_keep_their_versions(void **state)
{
    (void)state;
    uint8_t d1[STORE_DIGEST_BYTES] = {1}, d2[STORE_DIGEST_BYTES] = {2};
    struct store_unit *u = store_unit_new(1);
    store_put_flow_def(u, d1, fm_bytes_of("one"));
    store_put_flow(u, "f", 1, d1, fm_bytes_of("summary 1"));
    store_put_flow_def(u, d2, fm_bytes_of("two"));
    store_put_flow(u, "f", 2, d2, fm_bytes_of("summary 2"));
    assert_int_equal(store_commit(u), STORE_OK);
    struct store_done *d = store_answer(store_read_flow("f", 0));
    assert_int_equal(d->flow.version, 2);
    assert_true(fm_bytes_eq_str(d->flow.definition, "two"));
    assert_memory_equal(d->flow.digest, d2, sizeof(d2));
    store_done_free(d);
    d = store_answer(store_read_flow("f", 1));
    assert_int_equal(d->flow.version, 1);
    assert_true(fm_bytes_eq_str(d->flow.definition, "one"));
    store_done_free(d);
    d = store_answer(store_list_flows("", 10));
    assert_int_equal(d->flows.n, 1);
    assert_true(fm_bytes_eq_str(d->flows.items[0], "summary 2"));
    store_done_free(d);
    d = store_answer(store_list_flows("f", 10));
    assert_int_equal(d->flows.n, 0);
    store_done_free(d);
    u = store_unit_new(2);
    store_put_flow(u, "f", 2, d1, fm_bytes_of("again"));
    assert_int_equal(store_commit(u), STORE_FAILED);
    u = store_unit_new(3);
    store_delete_flow(u, "f");
    assert_int_equal(store_commit(u), STORE_OK);
    d = store_answer(store_read_flow("f", 0));
    assert_int_equal(d->status, STORE_NOT_FOUND);
    assert_int_equal(d->flow.used, 2);
    assert_int_equal(d->flow.n_versions, 0);
    store_done_free(d);
    u = store_unit_new(4);
    store_put_flow(u, "f", 3, d1, fm_bytes_of("summary 3"));
    assert_int_equal(store_commit(u), STORE_OK);
    u = store_unit_new(5);
    store_put_flow(u, "f", 4, d2, fm_bytes_of("summary 4"));
    assert_int_equal(store_commit(u), STORE_OK);
    d = store_answer(store_read_flow("f", 0));
    assert_int_equal(d->flow.version, 4);
    assert_int_equal(d->flow.used, 4);
    assert_int_equal(d->flow.n_versions, 2);
    store_done_free(d);
    u = store_unit_new(6);
    store_delete_flow(u, "f");
    store_delete_flow(u, "g"); /* there is none */
    assert_int_equal(store_commit(u), STORE_OK);
    d = store_answer(store_read_flow("f", 0));
    assert_int_equal(d->flow.used, 4);
    store_done_free(d);
    d = store_answer(store_read_flow("g", 0));
    assert_int_equal(d->flow.used, 0);
    store_done_free(d);
    d = store_answer(store_read_flow_def(d2));
    assert_int_equal(d->status, STORE_OK);
    assert_true(fm_bytes_eq_str(d->flow_def, "two"));
    store_done_free(d);
}

static void add_usage(uint8_t job, uint32_t day, const char *flow, uint64_t tokens, double cost)
{
    struct store_unit *u = store_unit_new(1);
    const struct store_usage usage = {
        .job = store_job_id(job),
        .day = day,
        .flow = flow,
        .used = {tokens, 2 * tokens, 3 * tokens, 1, cost}
    };
    store_add_usage(u, &usage);
    assert_int_equal(store_commit(u), STORE_OK);
}

static void usage_is_summed_by_flow_label_and_day(void **state)
{
    (void)state;
    struct store_unit *u = store_unit_new(1);
    store_put_some_job(u, 1, 1, true, "one");
    store_put_some_job(u, 2, 1, true, "two");
    assert_int_equal(store_commit(u), STORE_OK);
    add_usage(1, 9999, "a", 1, 0.25);
    add_usage(1, 9999, "a", 10, 0.25); /* to the same row of the ledger */
    add_usage(2, 10000, "b", 100, 0.5);
    struct store_done *d = store_answer(store_sum_usage(STORE_BY_NOTHING, "", 0, UINT32_MAX, ""));
    assert_int_equal(d->usage.n, 1);
    assert_int_equal(d->usage.items[0].used.input_tokens, 111);
    assert_int_equal(d->usage.items[0].used.output_tokens, 222);
    assert_int_equal(d->usage.items[0].used.cached_tokens, 333);
    assert_int_equal(d->usage.items[0].used.calls, 3);
    assert_true(d->usage.items[0].used.cost == 1.0);
    store_done_free(d);
    d = store_answer(store_sum_usage(STORE_BY_DAY, "", 0, UINT32_MAX, ""));
    assert_int_equal(d->usage.n, 2);
    assert_int_equal(d->usage.items[0].day, 9999);
    assert_int_equal(d->usage.items[0].used.calls, 2);
    assert_int_equal(d->usage.items[1].day, 10000);
    store_done_free(d);
    d = store_answer(store_sum_usage(STORE_BY_FLOW, "", 10000, 10000, ""));
    assert_int_equal(d->usage.n, 1);
    assert_string_equal(d->usage.items[0].key, "b");
    store_done_free(d);
    d = store_answer(store_sum_usage(STORE_BY_LABEL, "team", 0, UINT32_MAX, "a"));
    assert_int_equal(d->usage.n, 1);
    assert_string_equal(d->usage.items[0].key, "odd");
    assert_int_equal(d->usage.items[0].used.input_tokens, 11);
    store_done_free(d);
}

static void sums_of_usage_have_an_end(void **state)
{
    (void)state;
    const uint64_t end = ((uint64_t)1 << 53) - 1, tokens = (uint64_t)1 << 61;
    for (int i = 0; i < 40; i++)
        add_usage((uint8_t)(1 + i % 20), 9999, "a", tokens, 1e308);
    struct store_done *d = store_answer(store_sum_usage(STORE_BY_NOTHING, "", 0, UINT32_MAX, ""));
    assert_int_equal(d->status, STORE_OK);
    assert_int_equal(d->usage.n, 1);
    assert_true(d->usage.items[0].used.input_tokens == end);
    assert_true(d->usage.items[0].used.cached_tokens == end);
    assert_int_equal(d->usage.items[0].used.calls, 40);
    assert_true(d->usage.items[0].used.cost == 1e15);
    store_done_free(d);
}

static void what_is_remembered_of_hosts_is_replaced_listed_by_id_and_forgotten(void **state)
{
    (void)state;
    struct store_unit *u = store_unit_new(1);
    store_put_host(u, "b", fm_bytes_of("b one"));
    store_put_host(u, "a", fm_bytes_of("a one"));
    store_put_host(u, "b", fm_bytes_of("b two"));
    assert_int_equal(store_commit(u), STORE_OK);
    struct store_done *d = store_answer(store_list_hosts());
    assert_int_equal(d->hosts.n, 2);
    assert_true(fm_bytes_eq_str(d->hosts.items[0], "a one"));
    assert_true(fm_bytes_eq_str(d->hosts.items[1], "b two"));
    store_done_free(d);
    u = store_unit_new(2);
    store_delete_host(u, "a");
    store_delete_host(u, "never there");
    assert_int_equal(store_commit(u), STORE_OK);
    d = store_answer(store_list_hosts());
    assert_int_equal(d->hosts.n, 1);
    store_done_free(d);
}

/* What the query points to is gone when the store comes to it. */
static void queries_are_copied(void **state)
{
    (void)state;
    char scope[] = "submit", id[] = "r", key[] = "team", value[] = "odd", flow[] = "f";
    uint8_t digest[STORE_DIGEST_BYTES] = {1};
    struct fm_id job = store_job_id(1), none = {{0}};
    int status = 1;
    struct store_label label = {key, value};
    struct store_unit *u = store_unit_new(1);
    store_put_some_job(u, 1, 1, true, "one");
    store_put_request(u, scope, id, digest, &job, fm_bytes_of("reply"));
    assert_int_equal(store_commit(u), STORE_OK);
    struct store_filter filter = {
        .statuses = &status, .n_statuses = 1, .flow = flow, .labels = &label, .n_labels = 1};
    struct store_query request = store_read_request(scope, id), list = store_list_jobs(&filter, &none, 9);
    store_ask(fx.store, &request);
    store_ask(fx.store, &list);
    scope[0] = id[0] = key[0] = value[0] = flow[0] = 'x';
    status = 5;
    label = (struct store_label){NULL, NULL};
    struct store_done *d = store_next_done();
    assert_int_equal(d->status, STORE_OK);
    store_done_free(d);
    d = store_next_done();
    assert_int_equal(d->jobs.n, 1);
    store_done_free(d);
}

/* A child writes steps and says on a pipe which are acknowledged, until it is killed. */
static void write_until_killed(int pipe_fd, uint32_t from)
{
    struct fm_id id = store_job_id(1);
    store_reopen();
    for (uint32_t i = from;; i++) {
        struct store_unit *u = store_unit_new(i);
        store_put_step(u, &id, i, fm_bytes_of("step"));
        if (store_commit(u) != STORE_OK || write(pipe_fd, &i, sizeof(i)) != sizeof(i))
            _exit(1);
    }
}

static void what_was_acknowledged_survives_kill_9(void **state)
{
    (void)state;
    struct fm_id id = store_job_id(1);
    struct store_unit *u = store_unit_new(1);
    store_put_some_job(u, 1, 1, true, "head");
    assert_int_equal(store_commit(u), STORE_OK);
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
        store_reopen();
        struct store_done *d = store_answer(store_read_job(&id, STORE_WHOLE));
        assert_int_equal(d->status, STORE_OK);
        assert_true(d->job.steps.n >= acked);
        for (size_t i = 0; i < d->job.steps.n; i++)
            assert_int_equal(d->job.steps.items[i].number, i + 1);
        acked = (uint32_t)d->job.steps.n;
        store_done_free(d);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_job_is_read_back_with_its_snapshot_inputs_and_later_steps),
        TEST(a_journal_is_read_with_each_entry_in_its_place),
        TEST(a_job_that_is_not_there_is_not_found),
        TEST(steps_are_read_up_to_so_many_or_so_many_bytes_but_at_least_one),
        TEST(a_unit_that_breaks_a_rule_is_not_applied_and_harms_no_other),
        TEST(a_request_id_is_claimed_once_and_the_first_reply_comes_back),
        TEST(lists_are_filtered_and_paged_newest_first),
        TEST(active_jobs_are_listed_oldest_first),
        TEST(jobs_are_counted_by_status_and_filtered_as_in_lists),
        TEST(jobs_that_are_due_are_listed_by_time_and_the_next_wake_time_is_told),
        TEST(flows_keep_their_versions),
        TEST(usage_is_summed_by_flow_label_and_day),
        TEST(sums_of_usage_have_an_end),
        TEST(what_is_remembered_of_hosts_is_replaced_listed_by_id_and_forgotten),
        TEST(queries_are_copied),
        TEST(what_was_acknowledged_survives_kill_9),
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        fx.kind = kinds[i];
        failed += cmocka_run_group_tests_name(fx.kind->name, tests, NULL, NULL);
    }
    return failed;
}
