/* The jobs that wait for a host: what they cost those that need not wait, and whose turn it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_bench.h"
#include "from_json.h"
#include "job.h"
#include "mem.h"
#include "methods_table.h"
#include "pbc.h"

#define HOSTS 20
#define MANY 20000
#define ASSIGN FERMATA__V1__COORDINATOR_MESSAGE__BODY_ASSIGN
#define COMPLETE "'outcome': 'STEP_OUTCOME_COMPLETE'"
#define ROUTINES "'routines': [{'id': 'r', 'type': 't'}]"

static void start_with_hosts(int n, unsigned capacity)
{
    bench_start();
    for (int i = 0; i < n; i++) {
        char id[16];
        snprintf(id, sizeof(id), "h%d", i);
        bench_attach((uint64_t)i + 1, id, "one", capacity, "");
    }
}

/* Submits a job of this flow with these further members of the request. */
static const char *submit(const char *flow, const char *more)
{
    static char ids[512][27];
    static size_t n;
    uint64_t t =
        bench_askf("Jobs/SubmitJob",
                   "{'inline_flow': {'name': '%s', " ROUTINES "}, 'entry': {'routine': 'r', 'slot': 'in'}%s}",
                   flow, more);
    const Fermata__V1__SubmitJobResponse *r = bench_reply(t, &fermata__v1__submit_job_response__descriptor);
    char *id = ids[n++ % 512];
    snprintf(id, 27, "%s", r->job_id);
    return id;
}

/* The same, many times; nobody waits for the answers. */
static void submit_many(size_t n, const char *more)
{
    char json[512];
    snprintf(json, sizeof(json),
             "{'inline_flow': {'name': 'f', " ROUTINES "}, 'entry': {'routine': 'r', 'slot': 'in'}%s}", more);
    const struct method *m = method_find("Jobs/SubmitJob");
    const ProtobufCMessage *request = from_json(m->request, json);
    fm_auto(fm_buf) raw = {0};
    pb_pack(request, &raw);
    for (size_t i = 0; i < n; i++) {
        core_request(bench.core, 0, m, NULL, request, (struct fm_bytes){raw.p, raw.n});
        if (i % 1000 == 999 || i + 1 == n) {
            core_flush(bench.core);
            bench_store_all();
        }
    }
}

/* The job that stream 1 was assigned last ends; the host gets another one. Its id, until the next call. */
static const char *next_turn(void)
{
    static char id[27];
    const Fermata__V1__Assign *a = bench_last(1, ASSIGN)->assign;
    snprintf(id, sizeof(id), "%s", a->job_id);
    bench_step(1, &(struct bench_step){id, "i1", 1, a->epoch, 1, COMPLETE});
    snprintf(id, sizeof(id), "%s", bench_last(1, ASSIGN)->assign->job_id);
    return id;
}

/* ---- what they cost ---- */

/* How often hosts are looked at while jobs are submitted that hosts take, and when one of them ends. */
static uint64_t looks_of_submits(uint64_t *ret_end)
{
    uint64_t before = core_looks(bench.core);
    submit_many(100, "");
    uint64_t after = core_looks(bench.core);
    const Fermata__V1__Assign *a = bench_last(1, ASSIGN)->assign;
    char id[27];
    snprintf(id, sizeof(id), "%s", a->job_id);
    bench_step(1, &(struct bench_step){id, "i1", 1, a->epoch, 1, COMPLETE});
    *ret_end = core_looks(bench.core) - after;
    return after - before;
}

static void jobs_that_no_host_can_take_cost_those_that_hosts_take_nothing(void **state)
{
    (void)state;
    uint64_t end, end_then;
    start_with_hosts(HOSTS, 1000);
    uint64_t looks = looks_of_submits(&end);
    assert_in_range(looks, 100, 100 * HOSTS);
    uint64_t before = core_looks(bench.core);
    submit_many(MANY, ", 'placement': {'labels': {'gpu': 'yes'}}");
    assert_in_range(core_looks(bench.core) - before, 1, 2 * HOSTS); /* for the first of them */
    assert_int_equal(looks_of_submits(&end_then), looks);
    assert_int_equal(end_then, end);
}

static void jobs_that_wait_for_room_are_looked_at_by_what_they_need(void **state)
{
    (void)state;
    start_with_hosts(HOSTS, 1);
    submit_many(HOSTS, "");
    uint64_t before = core_looks(bench.core);
    submit_many(MANY, "");
    submit_many(MANY, ", 'placement': {'host': 'h3'}");
    assert_in_range(core_looks(bench.core) - before, 1, 4 * HOSTS);
    before = core_looks(bench.core);
    (void)next_turn(); /* one goes, and then there is no room again */
    assert_in_range(core_looks(bench.core) - before, 1, 6 * HOSTS);
}

/* ---- whose turn it is ---- */

static void one_flow_s_many_jobs_do_not_go_before_another_s_single_one(void **state)
{
    (void)state;
    start_with_hosts(1, 1);
    for (int i = 0; i < 100; i++)
        (void)submit("many", "");
    const char *single = submit("single", "");
    int turns = 1;
    while (strcmp(next_turn(), single) != 0)
        turns++;
    assert_in_range(turns, 1, 2);
}

/* How many of the next n turns are had by jobs of this flow. */
static int turns_of(const char *flow, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++) {
        fm_auto_pb Fermata__V1__Job *j = sim_store_head(bench.store, next_turn());
        count += strcmp(j->flow, flow) == 0;
    }
    return count;
}

static void turns_between_flows_are_weighted_by_priority(void **state)
{
    (void)state;
    start_with_hosts(1, 1);
    (void)submit("first", "");
    for (int i = 0; i < 60; i++) {
        (void)submit("usual", "");
        (void)submit("high", ", 'priority': 3");
        (void)submit("low", ", 'priority': -4");
    }
    /* 4 to 1 to 1/5 */
    int high = turns_of("high", 52);
    assert_in_range(high, 39, 41);
    int usual = turns_of("usual", 26); /* the high ones end after 20 of them */
    assert_in_range(usual, 5, 10);
}

static void hosts_go_round_between_the_values_of_a_label_where_that_is_wished(void **state)
{
    (void)state;
    bench.cfg.fair_by = "tenant";
    start_with_hosts(1, 1);
    for (int i = 0; i < 50; i++)
        (void)submit(i % 2 == 0 ? "f" : "g", ", 'labels': {'tenant': 'one'}");
    const char *two = submit("f", ", 'labels': {'tenant': 'two'}"), *none = submit("f", "");
    bool seen_two = false, seen_none = false;
    for (int i = 0; i < 4; i++) {
        const char *id = next_turn();
        seen_two = seen_two || strcmp(id, two) == 0;
        seen_none = seen_none || strcmp(id, none) == 0;
    }
    assert_true(seen_two && seen_none);
}

/* Each job of the flow that goes brings the next one: ten of them count as one point of priority. */
static void a_low_priority_has_its_turn_after_enough_others(void **state)
{
    (void)state;
    start_with_hosts(1, 1);
    (void)submit("f", "");
    const char *low = submit("f", ", 'priority': -3");
    (void)submit("f", "");
    int turns = 1;
    while (strcmp(next_turn(), low) != 0) {
        assert_true(++turns < 60);
        (void)submit("f", "");
    }
    assert_in_range(turns, 29, 33);
}

static void a_minute_of_waiting_is_a_point_of_priority(void **state)
{
    (void)state;
    bench_start();
    const char *low = submit("f", ", 'priority': -2");
    bench_wait(3 * 60000 + 1000);
    const char *usual = submit("f", ""), *high = submit("f", ", 'priority': 2");
    /* what has waited is known after a restart, too */
    bench_crash();
    bench_start();
    bench_attach(1, "h0", "one", 1, "");
    assert_string_equal(bench_last(1, ASSIGN)->assign->job_id, high);
    assert_string_equal(next_turn(), low);
    assert_string_equal(next_turn(), usual);
}

/* A flow whose jobs could not have hosts for long has no more turns than others when they can. */
static void turns_that_could_not_be_had_are_not_saved_up(void **state)
{
    (void)state;
    start_with_hosts(1, 1);
    (void)submit("usual", "");
    for (int i = 0; i < 30; i++)
        (void)submit("patient", ", 'placement': {'host': 'h0', 'labels': {'l': 'none'}}");
    for (int i = 0; i < 40; i++)
        (void)submit("usual", "");
    for (int i = 0; i < 20; i++)
        (void)next_turn();
    /* now these hosts are there for both */
    for (int i = 0; i < 30; i++)
        (void)submit("patient", ", 'placement': {'host': 'h0'}");
    int patient = turns_of("patient", 20);
    assert_in_range(patient, 9, 11);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        TEST(jobs_that_no_host_can_take_cost_those_that_hosts_take_nothing),
        TEST(jobs_that_wait_for_room_are_looked_at_by_what_they_need),
        TEST(one_flow_s_many_jobs_do_not_go_before_another_s_single_one),
        TEST(turns_between_flows_are_weighted_by_priority),
        TEST(hosts_go_round_between_the_values_of_a_label_where_that_is_wished),
        TEST(a_low_priority_has_its_turn_after_enough_others),
        TEST(a_minute_of_waiting_is_a_point_of_priority),
        TEST(turns_that_could_not_be_had_are_not_saved_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
