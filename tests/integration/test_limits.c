/* Limits are met where data enter, and by the job that is too large alone. */
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

#define LARGE 900000

/* The job without its state, which may be too large for grpcurl. */
static json_t *wait_bare(struct cluster *c, const char *job, const char *status, const char *steps)
{
    char want[64];
    snprintf(want, sizeof(want), "JOB_STATUS_%s", status);
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        json_t *j = rpc(c->address, "Jobs/GetJob", "{'job_id':'%s','without_state':true}", job);
        if (strcmp(at(j, "job.status"), want) == 0 && strcmp(at(j, "job.stepCount"), steps) == 0)
            return j;
        if (test_now_ms() > until)
            fail_msg("%s with %s steps wanted, but %s with %s: %s", want, steps, at(j, "job.status"),
                     at(j, "job.stepCount"), at(j, "job.error.message"));
        json_decref(j);
        test_pause(until, want);
    }
}

static void a_step_that_is_too_large_fails_alone_and_is_not_tried_again(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    char *data = large_data(LARGE);
    /* Ten copies are more than the 8 MiB of a step, whoever tries. */
    static const char flow[] = "{'routines':[{'id':'a','type':'probe',"
                               "'config':{'do':{'in':[{'emit':'x','times':10}]}},"
                               "'policy':{'retry':{'max_attempts':5,'initial_delay_ms':1}}},"
                               "{'id':'b','type':'probe','config':{'do':{'in':[{'count':'n'}]}}}],"
                               "'connections':[{'from':{'routine':'a','event':'x'},"
                               "'to':{'routine':'b','slot':'in'}}]}";
    const char *large = submit_inline(&c, flow, data), *small = submit_inline(&c, flow, "{'x':'y'}");
    json_t *failed = wait_bare(&c, large, "FAILED", "1");
    assert_string_equal(at(failed, "job.error.code"), "RESOURCE_EXHAUSTED");
    assert_non_null(strstr(at(failed, "job.error.message"), "8388608"));
    json_decref(failed);
    json_decref(wait_bare(&c, small, "COMPLETED", "11"));
    free(data);
    cluster_done(&c);
}

static void send_more(struct cluster *c, const char *job, const char *data)
{
    json_decref(rpc(c->address, "Jobs/SendInput",
                    "{'job_id':'%s','to':{'routine':'a','slot':'more'},'data':%s}", job, data));
}

/* What is accepted meets no tighter limit on its way: 15 MB of state go to another host and come back; only
 * what goes beyond 16 MiB fails, and only its job. */
static void a_state_up_to_the_limit_moves_between_hosts_and_one_beyond_it_fails_its_job_only(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    char *data = large_data(LARGE);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'schedule':'late','ms':3600000},"
                                    "{'emit':'x','times':8}],'more':[{'emit':'x','times':8}]}}},"
                                    "{'id':'b','type':'probe','config':{"
                                    "'do':{'in':[{'append':'seen'}]}}}],"
                                    "'connections':[{'from':{'routine':'a','event':'x'},"
                                    "'to':{'routine':'b','slot':'in'}}]}",
                                    data);
    static const char *const steps[] = {"9", "18"};
    for (int i = 0; i < 2; i++) { /* 8 MB are moved, then 15 MB */
        json_t *asleep = wait_bare(&c, job, "SLEEPING", steps[i]);
        int last = cluster_host_index(at(asleep, "job.lastHost"));
        const char *ids[] = {"a", "b"};
        json_decref(asleep);
        proc_stop(&c.hosts[last]);
        send_more(&c, job, data);
        asleep = i == 0 ? wait_bare(&c, job, "SLEEPING", steps[1]) : wait_bare(&c, job, "FAILED", steps[1]);
        assert_int_equal(cluster_host_index(at(asleep, "job.lastHost")), 1 - last);
        if (i == 1) {
            assert_string_equal(at(asleep, "job.error.code"), "RESOURCE_EXHAUSTED");
            assert_non_null(strstr(at(asleep, "job.error.message"), "16777216"));
        }
        json_decref(asleep);
        cluster_host(&c, last, ids[last], NULL);
    }
    put_trip(&c, "'ask':false");
    json_decref(wait_status(&c, submit_trip(&c, "t"), "COMPLETED"));
    free(data);
    cluster_done(&c);
}

/* 2.3 million elements in 5 MB: far more than any one request may have, or any message of a host. */
static void a_state_of_many_small_elements_goes_to_a_host_like_any_other(void **state)
{
    (void)state;
    enum { ELEMENTS = 145000, INPUTS = 8 };
    struct cluster c;
    char *data = calloc(1, 5 * ELEMENTS + 64), *p = data;
    assert_non_null(data);
    cluster_init(&c);
    c.probes = true;
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", NULL);
    p += sprintf(p, "{'x':[");
    for (int i = 0; i < ELEMENTS; i++, p += 5)
        memcpy(p, "null,", 5);
    memcpy(p - 1, "]}", 3);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'schedule':'late','ms':3600000}],"
                                    "'more':[{'append':'seen'}]}}}]}",
                                    "{}");
    json_decref(wait_bare(&c, job, "SLEEPING", "1"));
    for (int i = 0; i < INPUTS; i++) { /* with each the job is given to the host anew, with all that it has */
        char steps[8];
        snprintf(steps, sizeof(steps), "%d", i + 2);
        send_more(&c, job, data);
        json_decref(wait_bare(&c, job, "SLEEPING", steps));
    }
    free(data);
    cluster_done(&c);
}

/* What is accepted while a job waits can be handed over when it goes on. */
static void
inputs_that_a_job_could_not_hold_are_refused_at_the_door_and_it_goes_on_with_the_others(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    char *data = large_data(LARGE), steps[8], *error = NULL;
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'ask':'Well?'}],"
                                    "'answer':[{'emit':'said'}]}}}]}",
                                    "{}");
    json_decref(wait_status(&c, job, "PAUSED"));
    for (int i = 0; i < 18; i++) /* 16.2 MB of 16.8 */
        send_more(&c, job, data);
    error = rpc_fails(c.address, "Jobs/SendInput", "ResourceExhausted",
                      "{'job_id':'%s','to':{'routine':'a','slot':'more'},'data':%s}", job, data);
    if (strstr(error, "the limit is 16777216") == NULL || strstr(error, "\"field\": \"data\"") == NULL)
        fail_msg("field and limit wanted, but: %s", error);
    free(error);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'yes'}", job));
    snprintf(steps, sizeof(steps), "%d", 1 + 18 + 1);
    json_decref(wait_bare(&c, job, "COMPLETED", steps));
    free(data);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_that_is_too_large_fails_alone_and_is_not_tried_again),
        cmocka_unit_test(a_state_up_to_the_limit_moves_between_hosts_and_one_beyond_it_fails_its_job_only),
        cmocka_unit_test(a_state_of_many_small_elements_goes_to_a_host_like_any_other),
        cmocka_unit_test(
            inputs_that_a_job_could_not_hold_are_refused_at_the_door_and_it_goes_on_with_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
