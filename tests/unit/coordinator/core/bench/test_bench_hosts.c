/* Hosts as the core sees them: what is remembered of them over restarts, leases, certificates, who gets what.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_bench.h"
#include "job.h"

#define FLOW "{'name': 'f', 'routines': [{'id': 'r', 'type': 't'}]}"
#define CONTINUE "'outcome': 'STEP_OUTCOME_CONTINUE'"
#define ASSIGN FERMATA__V1__COORDINATOR_MESSAGE__BODY_ASSIGN
#define REJECT FERMATA__V1__COORDINATOR_MESSAGE__BODY_STEP_REJECT

static void heartbeats(uint64_t conn, int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 500) {
        bench_wait(500);
        if (bench_is_open(conn))
            bench_say(conn, "{'heartbeat': {}}");
    }
}

/* The incarnation of the host that the disk knows; "" when it knows none. */
static const char *stored_incarnation(const char *host_id)
{
    static char text[64];
    Fermata__V1__Host *h = sim_store_host(bench.store, host_id);
    snprintf(text, sizeof(text), "%s", h == NULL ? "" : h->incarnation);
    if (h != NULL)
        fermata__v1__host__free_unpacked(h, NULL);
    return text;
}

static int certify(const char *host_id, const char *incarnation)
{
    return bench_code(bench_askf("Hosts/CertifyDeath",
                                 "{'host_id': '%s', 'incarnation': '%s', 'how': 'it died'}", host_id,
                                 incarnation));
}

/* ---- what is remembered ---- */

static void who_is_attached_is_remembered_over_restarts(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = bench_submit(FLOW);
    char held[128];
    snprintf(held, sizeof(held), "{'job_id': '%s', 'epoch': 1}", job);
    for (uint64_t conn = 2; conn < 5; conn++) {
        assert_string_equal(stored_incarnation("a"), "one");
        bench_crash();
        bench_start();
        bench_attach(conn, "a", "one", 5, held);
        heartbeats(conn, 6000); /* hosts that did not come back are forgotten by now */
    }
    assert_string_equal(stored_incarnation("a"), "one");
    bench_crash();
    bench_start();
    assert_int_equal(certify("a", "two"), FM_NOT_FOUND);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    assert_int_equal(certify("a", "one"), FM_OK);
    assert_int_equal(bench_status(job), JOB_PENDING);
}

static void who_has_left_is_forgotten(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    bench_say(1, "{'goodbye': {}}");
    assert_string_equal(stored_incarnation("a"), "");
    bench_attach(2, "b", "one", 5, "");
    bench_wait(5000); /* its lease ends */
    assert_string_equal(stored_incarnation("b"), "");
    bench_attach(3, "c", "one", 5, "");
    bench_crash();
    bench_start();
    assert_string_equal(stored_incarnation("c"), "one");
    bench_wait(5000); /* it does not come back */
    assert_string_equal(stored_incarnation("c"), "");
}

static void a_host_that_is_let_in_while_the_disk_fails_is_stored_later(void **state)
{
    (void)state;
    bench_start();
    bench.fails = FM_RESOURCE_EXHAUSTED;
    bench_attach(1, "a", "one", 5, "");
    assert_string_equal(stored_incarnation("a"), "");
    bench.fails = FM_OK;
    heartbeats(1, 1500);
    assert_string_equal(stored_incarnation("a"), "one");
}

static void a_cordon_is_remembered_over_restarts(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    assert_int_equal(bench_code(bench_ask("Hosts/CordonHost", "{'host_id': 'a'}")), FM_OK);
    bench_crash();
    bench_start();
    bench_wait(10000);
    bench_attach(2, "a", "two", 5, "");
    const char *job = bench_submit(FLOW);
    assert_int_equal(bench_status(job), JOB_PENDING);
    assert_int_equal(bench_code(bench_ask("Hosts/CordonHost", "{'host_id': 'a', 'uncordon': true}")), FM_OK);
    assert_int_equal(bench_status(job), JOB_RUNNING);
}

static void a_cordon_that_cannot_be_stored_fails_and_holds_all_the_same(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    bench.fails = FM_UNAVAILABLE;
    assert_int_equal(bench_code(bench_ask("Hosts/CordonHost", "{'host_id': 'a'}")), FM_UNAVAILABLE);
    bench.fails = FM_OK;
    const char *job = bench_submit(FLOW);
    assert_int_equal(bench_status(job), JOB_PENDING);
    heartbeats(1, 1500);
    assert_true(sim_store_is_cordoned(bench.store, "a"));
}

/* ---- leases and identities ---- */

static void jobs_stay_with_a_silent_host_for_its_lease(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = bench_submit(FLOW);
    bench_close(1);
    bench_wait(1900);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    bench_wait(200);
    assert_int_equal(bench_status(job), JOB_PENDING);
}

static void a_host_that_does_not_hear_has_no_lease(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = bench_submit(FLOW);
    for (int i = 0; i < 5 && bench_is_open(1); i++) { /* it talks, and acknowledges nothing */
        bench_wait(500);
        if (bench_is_open(1))
            bench_say_ack(1, 0, "{'heartbeat': {}}");
    }
    assert_false(bench_is_open(1));
    assert_int_equal(bench_status(job), JOB_PENDING);
}

static void another_incarnation_waits_for_the_lease_of_the_first(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    bench_attach(2, "a", "two", 5, "");
    assert_true(bench_is_open(1));
    assert_false(bench_is_open(2));
    bench_close(1);
    bench_attach(3, "a", "two", 5, "");
    assert_false(bench_is_open(3));
    bench_wait(2100);
    bench_attach(4, "a", "two", 5, "");
    assert_true(bench_is_open(4));
}

static void a_second_stream_of_a_host_ends_the_first(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    bench_attach(2, "a", "one", 5, "");
    assert_false(bench_is_open(1));
    assert_true(bench_is_open(2));
}

static void a_certificate_moves_jobs_only_of_a_host_that_does_not_talk(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = bench_submit(FLOW);
    assert_int_equal(certify("a", "one"), FM_FAILED_PRECONDITION);
    assert_int_equal(certify("a", "two"), FM_NOT_FOUND);
    assert_int_equal(certify("b", "one"), FM_NOT_FOUND);
    bench_wait(1000); /* two heartbeats are missing */
    bench_attach(2, "b", "one", 5, "");
    assert_int_equal(certify("a", "one"), FM_OK);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    assert_string_equal(bench_job(job)->host, "b");
    assert_int_equal(bench_job(job)->epoch, 2);
}

/* ---- what hosts say of jobs ---- */

static void what_a_host_says_of_a_job_counts_only_while_it_has_it(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = bench_submit(FLOW);
    bench_attach(2, "b", "one", 5, "");
    struct bench_step s = {job, "i1", 1, 1, 1, "'outcome': 'STEP_OUTCOME_COMPLETE'"};
    bench_step(2, &s); /* another host */
    assert_int_equal(bench_count(2, REJECT), 1);
    s.epoch = 2; /* another epoch */
    bench_step(1, &s);
    assert_int_equal(bench_count(1, REJECT), 1);
    bench_sayf(1, "{'release': {'job_id': '%s', 'epoch': 2, 'reason': 'RELEASE_REASON_IDLE'}}", job);
    bench_sayf(2, "{'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_IDLE'}}", job);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    assert_int_equal(bench_job(job)->epoch, 1);
    assert_int_equal(sim_store_last_step(bench.store, job), 0);
    s.epoch = 1;
    bench_step(1, &s);
    assert_int_equal(bench_status(job), JOB_COMPLETED);
    assert_int_equal(bench_acked(1, job), 1);
}

static void steps_that_break_a_rule_are_refused_and_in_the_end_fail_the_job(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    bench_attach(2, "b", "one", 5, "");
    bench_attach(3, "c", "one", 5, "");
    const char *job = bench_submit(FLOW);
    for (unsigned i = 1; i <= 3; i++) {
        const char *host = bench_job(job)->host;
        uint64_t conn = (uint64_t)(host[0] - 'a' + 1);
        assert_int_equal(bench_status(job), JOB_RUNNING);
        bench_step(conn, &(struct bench_step){job, "i1", 7, i, 1, CONTINUE}); /* a gap */
        assert_int_equal(bench_count(1, REJECT) + bench_count(2, REJECT) + bench_count(3, REJECT), i);
        assert_int_equal(sim_store_last_step(bench.store, job), 0);
        if (i < 3)
            assert_string_not_equal(bench_job(job)->host, host[0] == 'a' ? "a" : host[0] == 'b' ? "b" : "c");
    }
    assert_int_equal(bench_status(job), JOB_FAILED);
}

static void a_job_that_a_host_refuses_goes_elsewhere_and_comes_back_later(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = bench_submit(FLOW);
    bench_sayf(1, "{'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_REFUSED'}}", job);
    assert_int_equal(bench_status(job), JOB_PENDING);
    heartbeats(1, 500);
    assert_int_equal(bench_status(job), JOB_PENDING);
    heartbeats(1, 1000);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    assert_int_equal(bench_job(job)->epoch, 2);
}

static void a_message_that_is_missing_ends_the_stream(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    bench_say(1, "{'heartbeat': {}}");
    assert_true(bench_is_open(1));
    bench_skip_message(1);
    bench_say(1, "{'heartbeat': {}}");
    assert_false(bench_is_open(1));
}

/* ---- who gets what ---- */

static void a_host_gets_no_more_jobs_than_it_takes(void **state)
{
    (void)state;
    const char *jobs[4];
    bench_start();
    bench_attach(1, "a", "one", 2, "");
    for (size_t i = 0; i < 4; i++)
        jobs[i] = bench_submit(FLOW);
    assert_int_equal(bench_status(jobs[1]), JOB_RUNNING);
    assert_int_equal(bench_status(jobs[2]), JOB_PENDING);
    bench_step(1, &(struct bench_step){jobs[0], "i1", 1, 1, 1, "'outcome': 'STEP_OUTCOME_COMPLETE'"});
    assert_int_equal(bench_status(jobs[2]), JOB_RUNNING); /* the older one */
    assert_int_equal(bench_status(jobs[3]), JOB_PENDING);
}

static void a_host_that_drains_gets_nothing_and_gives_back(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = bench_submit(FLOW);
    uint64_t t = bench_ask("Hosts/DrainHost", "{'host_id': 'a', 'deadline_ms': 1000}");
    assert_int_equal(bench_code(t), -1);
    assert_int_equal(bench_last(1, FERMATA__V1__COORDINATOR_MESSAGE__BODY_INTERRUPT)->interrupt->kind,
                     FERMATA__V1__INTERRUPT_KIND__INTERRUPT_KIND_DRAIN);
    const char *other = bench_submit(FLOW);
    assert_int_equal(bench_status(other), JOB_PENDING);
    bench_sayf(1, "{'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_DRAINING'}}", job);
    const Fermata__V1__DrainHostResponse *r = bench_reply(t, &fermata__v1__drain_host_response__descriptor);
    assert_int_equal(r->n_left_job_ids, 0);
    assert_int_equal(bench_status(job), JOB_PENDING);
}

static void a_drain_names_what_is_left_at_its_deadline(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = bench_submit(FLOW);
    uint64_t t = bench_ask("Hosts/DrainHost", "{'host_id': 'a', 'deadline_ms': 1000}");
    heartbeats(1, 500);
    assert_int_equal(bench_code(t), -1);
    heartbeats(1, 500);
    const Fermata__V1__DrainHostResponse *r = bench_reply(t, &fermata__v1__drain_host_response__descriptor);
    assert_int_equal(r->n_left_job_ids, 1);
    assert_string_equal(r->left_job_ids[0], job);
}

/* Assignments under way to one host are bounded: the next go when those have arrived. */
static void large_assignments_are_sent_as_the_host_takes_them(void **state)
{
    (void)state;
    enum { JOBS = 25, BYTES = 1000 * 1000 };
    char *json = malloc(BYTES + 512);
    bench_start();
    int n = snprintf(json, 512,
                     "{'inline_flow': " FLOW ", 'entry': {'routine': 'r', 'slot': 'in'}, 'data': {'x': '");
    memset(json + n, 'x', BYTES);
    memcpy(json + n + BYTES, "'}}", 4);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(bench_code(bench_ask("Jobs/SubmitJob", json)), FM_OK);
    free(json);
    bench_attach(1, "a", "one", JOBS, "");
    size_t sent = bench_count(1, ASSIGN);
    assert_in_range(sent, 16, 18); /* 16 MiB */
    bench_say_ack(1, bench_sent(1) - 1, "{'heartbeat': {}}");
    assert_int_equal(bench_count(1, ASSIGN), JOBS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        TEST(who_is_attached_is_remembered_over_restarts),
        TEST(who_has_left_is_forgotten),
        TEST(a_host_that_is_let_in_while_the_disk_fails_is_stored_later),
        TEST(a_cordon_is_remembered_over_restarts),
        TEST(a_cordon_that_cannot_be_stored_fails_and_holds_all_the_same),
        TEST(jobs_stay_with_a_silent_host_for_its_lease),
        TEST(a_host_that_does_not_hear_has_no_lease),
        TEST(another_incarnation_waits_for_the_lease_of_the_first),
        TEST(a_second_stream_of_a_host_ends_the_first),
        TEST(a_certificate_moves_jobs_only_of_a_host_that_does_not_talk),
        TEST(what_a_host_says_of_a_job_counts_only_while_it_has_it),
        TEST(steps_that_break_a_rule_are_refused_and_in_the_end_fail_the_job),
        TEST(a_job_that_a_host_refuses_goes_elsewhere_and_comes_back_later),
        TEST(a_message_that_is_missing_ends_the_stream),
        TEST(a_host_gets_no_more_jobs_than_it_takes),
        TEST(a_host_that_drains_gets_nothing_and_gives_back),
        TEST(a_drain_names_what_is_left_at_its_deadline),
        TEST(large_assignments_are_sent_as_the_host_takes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
