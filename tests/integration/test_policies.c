/* What becomes of a task that fails, with real daemons: retries by durable timers, timeouts, every error
 * policy, the deadline of a job. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cluster.h"

static json_t *history(struct cluster *c, const char *job)
{
    return rpc(c->address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
}

static void check_outcomes(struct cluster *c, const char *job, const char *const outcomes[])
{
    json_t *h = history(c, job);
    size_t n = 0;
    for (; outcomes[n] != NULL; n++) {
        char path[64], want[64];
        snprintf(path, sizeof(path), "steps[%zu].outcome", n);
        snprintf(want, sizeof(want), "STEP_OUTCOME_%s", outcomes[n]);
        assert_string_equal(at(h, path), want);
    }
    assert_int_equal(json_array_size(json_at(h, "steps")), n);
    json_decref(h);
}

static void a_failed_attempt_is_tried_again_and_each_one_is_in_the_history(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'count':'n'},"
                                    "{'fail':'UNAVAILABLE','attempts':2},{'emit':'out'}]}},"
                                    "'policy':{'retry':{'max_attempts':3,'initial_delay_ms':10}}}]}",
                                    "{'x':1}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.routineStates.a.n"),
                        "1"); /* what failed attempts did is dropped */
    assert_string_equal(at(done, "job.state.outputs[0].data.x"), "1");
    json_decref(done);
    static const char *const outcomes[] = {"RETRY", "RETRY", "COMPLETE", NULL};
    check_outcomes(&c, job, outcomes);
    json_t *h = history(&c, job);
    assert_string_equal(at(h, "steps[1].attempt"), "2");
    assert_string_equal(at(h, "steps[1].error.code"), "UNAVAILABLE");
    assert_string_equal(at(h, "steps[1].taskId"), at(h, "steps[2].taskId"));
    assert_string_equal(at(h, "steps[2].task.failedAttempts"), "2");
    json_decref(h);
    cluster_done(&c);
}

/* Submits a task that fails four times, with delays from 10 ms on. */
static const char *submit_retried(struct cluster *c, const char *retry)
{
    return submit_flow(c, "{}",
                       "{'routines':[{'id':'a','type':'probe',"
                       "'config':{'do':{'in':[{'fail':'UNAVAILABLE','attempts':4}]}},"
                       "'policy':{'retry':{'max_attempts':5,'initial_delay_ms':10%s}}}]}",
                       retry);
}

static void delays_grow_by_their_factor_up_to_their_cap_and_vary_by_their_jitter(void **state)
{
    (void)state;
    static const int plain[] = {10, 20, 40, 80}, capped[] = {10, 100, 150, 150};
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *jobs[] = {submit_retried(&c, ""), submit_retried(&c, ",'factor':10,'max_delay_ms':150"),
                          submit_retried(&c, ",'factor':10,'max_delay_ms':150,'jitter':0.5")};
    for (size_t k = 0; k < 3; k++) {
        json_decref(wait_status(&c, jobs[k], "COMPLETED"));
        json_t *h = history(&c, jobs[k]);
        assert_int_equal(json_array_size(json_at(h, "steps")), 5);
        bool varies = false;
        for (int i = 0; i < 4; i++) {
            char path[64];
            snprintf(path, sizeof(path), "steps[%d].retryDelayMs", i);
            int ms = atoi(at(h, path)), want = k == 0 ? plain[i] : capped[i];
            varies = varies || ms != want;
            assert_in_range(ms, k < 2 ? want : want / 2 - 1, want); /* less, never more */
        }
        assert_int_equal(varies, k == 2);
        json_decref(h);
    }
    cluster_done(&c);
}

static void a_long_delay_puts_the_job_to_sleep_and_its_count_survives_the_move_to_another_host(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    const char *job = submit_flow(&c, "{}",
                                  "{'routines':[{'id':'a','type':'probe',"
                                  "'config':{'do':{'in':[{'fail':'UNAVAILABLE'}]}},"
                                  "'policy':{'retry':{'max_attempts':3,'initial_delay_ms':%d,"
                                  "'factor':1}}}]}",
                                  4000 * test_slow());
    json_t *asleep = wait_status(&c, job, "SLEEPING");
    assert_string_equal(at(asleep, "job.host"), "");
    assert_string_not_equal(at(asleep, "job.wakeAt"), "");
    assert_string_equal(at(asleep, "job.state.pendingTasks[0].failedAttempts"), "1");
    int first = at(asleep, "job.lastHost")[0] - 'a';
    proc_stop(&c.hosts[first]); /* so it goes on on the other */
    json_t *failed = wait_status(&c, job, "FAILED");
    assert_int_equal(at(failed, "job.lastHost")[0] - 'a', 1 - first);
    assert_string_equal(at(failed, "job.error.code"), "UNAVAILABLE");
    assert_string_equal(at(failed, "job.stepCount"), "3");
    assert_string_equal(at(failed, "job.state.pendingTasks[0].taskId"), "i1"); /* so that it can be resumed */
    json_decref(asleep);
    json_decref(failed);
    static const char *const outcomes[] = {"RETRY", "RETRY", "FAIL", NULL};
    check_outcomes(&c, job, outcomes);
    cluster_done(&c);
}

static void a_timer_survives_a_restart_of_the_coordinator(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_flow(&c, "{'x':7}",
                                  "{'routines':[{'id':'a','type':'probe',"
                                  "'config':{'do':{'in':[{'schedule':'later','ms':%d}],"
                                  "'later':[{'emit':'out'}]}}}]}",
                                  5000 * test_slow());
    json_decref(wait_status(&c, job, "SLEEPING"));
    proc_kill9(&c.coordinator);
    cluster_coordinator(&c, NULL);
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.x"), "7");
    json_decref(done);
    cluster_done(&c);
}

static void an_error_that_is_not_retryable_fails_at_once(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *invalid = submit_inline(&c,
                                        "{'defaults':{'retry':{'max_attempts':5,'initial_delay_ms':1}},"
                                        "'routines':[{'id':'a','type':'probe',"
                                        "'config':{'do':{'in':[{'fail':'INVALID_ARGUMENT'}]}}}]}",
                                        "{}");
    const char *permanent = submit_inline(&c,
                                          "{'defaults':{'retry':{'max_attempts':5,'initial_delay_ms':1}},"
                                          "'routines':[{'id':'a','type':'probe',"
                                          "'config':{'do':{'in':[{'fail':'UNAVAILABLE',"
                                          "'permanent':true}]}}}]}",
                                          "{}");
    const char *listed = submit_inline(&c,
                                       "{'defaults':{'retry':{'max_attempts':2,'initial_delay_ms':1,"
                                       "'retryable_codes':['INVALID_ARGUMENT']}},"
                                       "'routines':[{'id':'a','type':'probe',"
                                       "'config':{'do':{'in':[{'fail':'INVALID_ARGUMENT'}]}}}]}",
                                       "{}");
    static const char *const once[] = {"FAIL", NULL}, *const twice[] = {"RETRY", "FAIL", NULL};
    json_decref(wait_status(&c, invalid, "FAILED"));
    check_outcomes(&c, invalid, once);
    json_decref(wait_status(&c, permanent, "FAILED"));
    check_outcomes(&c, permanent, once);
    json_decref(wait_status(&c, listed, "FAILED"));
    check_outcomes(&c, listed, twice);
    cluster_done(&c);
}

/* The types http and llm_agent make several attempts by themselves; nobody listens at port 1. */
static void attempts_are_those_of_the_routine_else_of_the_flow_else_of_the_type(void **state)
{
    (void)state;
    static const struct {
        const char *defaults, *own, *steps;
    } cases[] = {
        {"{'retry':{'max_attempts':1}}",                      "{}",                           "1"},
        {"{'retry':{'max_attempts':2,'initial_delay_ms':1}}", "{}",                           "2"},
        {"{'retry':{'max_attempts':4,'initial_delay_ms':1}}", "{'retry':{'max_attempts':1}}", "1"},
        {"{'retry':{'max_attempts':1,'initial_delay_ms':1}}", "{'retry':{'max_attempts':2}}", "2"},
        {"{'retry':{'initial_delay_ms':1}}",                  "{}",                           "3"},
    };
    struct cluster c;
    cluster_start_probes(&c, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *r = rpc(c.address, "Jobs/SubmitJob",
                        "{'inline_flow':{'defaults':%s,'routines':[{'id':'a','type':'http',"
                        "'config':{'url':'http://127.0.0.1:1/'},'policy':%s}]},"
                        "'entry':{'routine':'a','slot':'input'}}",
                        cases[i].defaults, cases[i].own);
        json_t *j = wait_status(&c, at(r, "jobId"), "FAILED");
        assert_string_equal(at(j, "job.error.code"), "UNAVAILABLE");
        assert_string_equal(at(j, "job.stepCount"), cases[i].steps);
        json_decref(j);
        json_decref(r);
    }
    cluster_done(&c);
}

/* "a" emits to "b", which fails; "c" shows that the job went on. */
static const char *submit_failing(struct cluster *c, const char *policy)
{
    return submit_flow(c, "{'k':'v'}",
                       "{'routines':[{'id':'a','type':'probe',"
                       "'config':{'do':{'in':[{'emit':'x'},{'emit':'y'}]}}},"
                       "{'id':'b','type':'probe','config':{'do':{'in':[{'count_shared':'b'},"
                       "{'fail':'INTERNAL'}]}},'policy':{'on_error':'%s'}},"
                       "{'id':'c','type':'probe','config':{'do':{'*':[{'append':'seen'}]}}}],"
                       "'connections':[{'from':{'routine':'a','event':'x'},"
                       "'to':{'routine':'b','slot':'in'}},{'from':{'routine':'a','event':'y'},"
                       "'to':{'routine':'c','slot':'in'}}%s]}",
                       policy,
                       strcmp(policy, "ERROR_POLICY_ROUTE") == 0 ? ",{'from':{'routine':'b',"
                                                                   "'event':'error'},'to':{'routine':'c',"
                                                                   "'slot':'error'}}"
                                                                 : "");
}

static void each_error_policy_does_what_it_says(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *stop = submit_failing(&c, "ERROR_POLICY_STOP");
    const char *go_on = submit_failing(&c, "ERROR_POLICY_CONTINUE");
    const char *skip = submit_failing(&c, "ERROR_POLICY_SKIP");
    const char *route = submit_failing(&c, "ERROR_POLICY_ROUTE");
    json_t *j = wait_status(&c, stop, "FAILED");
    assert_string_equal(at(j, "job.error.routine"), "b");
    assert_string_equal(at(j, "job.error.taskId"), "s1.0");
    assert_null(json_at(j, "job.state.sharedData.seen"));
    json_decref(j);
    j = wait_status(&c, go_on, "COMPLETED");
    assert_int_equal(json_array_size(json_at(j, "job.state.sharedData.seen")), 1);
    assert_string_equal(at(j, "job.state.sharedLog[0].message"), "task failed");
    assert_string_equal(at(j, "job.state.sharedLog[0].data.code"), "INTERNAL");
    assert_null(json_at(j, "job.state.sharedData.b")); /* what it did is dropped */
    json_decref(j);
    j = wait_status(&c, skip, "COMPLETED");
    assert_int_equal(json_array_size(json_at(j, "job.state.sharedData.seen")), 1);
    assert_null(json_at(j, "job.state.sharedLog[0]"));
    json_decref(j);
    j = wait_status(&c, route, "COMPLETED");
    assert_int_equal(json_array_size(json_at(j, "job.state.sharedData.seen")), 2);
    assert_string_equal(at(j, "job.state.sharedData.seen[1].code"), "INTERNAL");
    assert_string_equal(at(j, "job.state.sharedData.seen[1].routine"), "b");
    assert_string_equal(at(j, "job.state.sharedData.seen[1].data.k"), "v");
    json_decref(j);
    cluster_done(&c);
}

static void an_attempt_that_takes_too_long_fails_alone(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *slow =
        submit_inline(&c,
                      "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':[{'wait':600000}]}},"
                      "'policy':{'attempt_timeout_ms':50,'retry':{'max_attempts':2,"
                      "'initial_delay_ms':1}}}]}",
                      "{}");
    const char *budget =
        submit_inline(&c,
                      "{'routines':[{'id':'a','type':'probe',"
                      "'config':{'do':{'in':[{'fail':'UNAVAILABLE'}]}},"
                      "'policy':{'timeout_ms':200,'retry':{'max_attempts':1000,'initial_delay_ms':60,"
                      "'factor':1}}}]}",
                      "{}");
    json_t *j = wait_status(&c, slow, "FAILED");
    assert_string_equal(at(j, "job.error.code"), "DEADLINE_EXCEEDED");
    json_decref(j);
    static const char *const twice[] = {"RETRY", "FAIL", NULL};
    check_outcomes(&c, slow, twice);
    j = wait_status(&c, budget, "FAILED");
    assert_true(atoi(at(j, "job.stepCount")) <= 4); /* three delays of 60 ms fit into 200 ms */
    json_decref(j);
    cluster_done(&c);
}

static void retries_of_one_job_do_not_use_up_those_of_another(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    static const char flow[] = "{'routines':[{'id':'a','type':'probe',"
                               "'config':{'do':{'in':[{'fail':'UNAVAILABLE','attempts':2},"
                               "{'emit':'out'}]}},'policy':{'retry':{'max_attempts':3,"
                               "'initial_delay_ms':5}}}]}";
    const char *jobs[5];
    for (int i = 0; i < 5; i++)
        jobs[i] = submit_inline(&c, flow, "{}");
    for (int i = 0; i < 5; i++) {
        json_t *j = wait_status(&c, jobs[i], "COMPLETED");
        assert_string_equal(at(j, "job.stepCount"), "3");
        json_decref(j);
    }
    cluster_done(&c);
}

static void a_job_fails_at_its_deadline_whatever_it_does(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *running = submit_flow(&c, "{}",
                                      "{'deadline_ms':%d,'routines':[{'id':'a','type':'probe',"
                                      "'config':{'do':{'in':[{'wait':600000}]}}}]}",
                                      6000 * test_slow());
    const char *asking = submit_flow(&c, "{}",
                                     "{'deadline_ms':%d,'routines':[{'id':'a','type':'probe',"
                                     "'config':{'do':{'in':[{'ask':'Well?'}]}}}]}",
                                     6000 * test_slow());
    const char *both[] = {running, asking};
    json_decref(wait_status(&c, asking, "PAUSED"));
    for (int i = 0; i < 2; i++) {
        json_t *j = wait_status(&c, both[i], "FAILED");
        assert_string_equal(at(j, "job.error.code"), "DEADLINE_EXCEEDED");
        assert_null(json_at(j, "job.pauses[0]"));
        json_decref(j);
    }
    cluster_done(&c);
}

static void a_20_second_job_is_not_reported_complete_early(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'wait':20000},{'count_shared':'done'}]}}}]}",
                                    "{}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.done"), "1");
    json_t *h = history(&c, job);
    assert_true(atoll(at(h, "steps[0].durationUs")) >= 19900000); /* timers count in milliseconds */
    assert_true(strcmp(at(h, "steps[0].startedAt"), at(h, "steps[0].committedAt")) < 0);
    assert_true(strcmp(at(done, "job.createdAt"), at(h, "steps[0].committedAt")) < 0);
    json_decref(h);
    json_decref(done);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_attempt_is_tried_again_and_each_one_is_in_the_history),
        cmocka_unit_test(delays_grow_by_their_factor_up_to_their_cap_and_vary_by_their_jitter),
        cmocka_unit_test(a_long_delay_puts_the_job_to_sleep_and_its_count_survives_the_move_to_another_host),
        cmocka_unit_test(a_timer_survives_a_restart_of_the_coordinator),
        cmocka_unit_test(an_error_that_is_not_retryable_fails_at_once),
        cmocka_unit_test(attempts_are_those_of_the_routine_else_of_the_flow_else_of_the_type),
        cmocka_unit_test(each_error_policy_does_what_it_says),
        cmocka_unit_test(an_attempt_that_takes_too_long_fails_alone),
        cmocka_unit_test(retries_of_one_job_do_not_use_up_those_of_another),
        cmocka_unit_test(a_job_fails_at_its_deadline_whatever_it_does),
        cmocka_unit_test(a_20_second_job_is_not_reported_complete_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
