/* Handlers that block run on worker threads: the host's loop is not held up, and what an aborted one still
 * does counts for nothing. */
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

static const char *submit_blocking(struct cluster *c, const char *more)
{
    return submit_flow(c, "{'x':1}",
                       "{'routines':[{'id':'a','type':'probe_block',"
                       "'config':{'do':{'in':[{'count':'n'},{'touch':'%s'},{'block':'%s'},{'count':'n'},"
                       "{'append':'seen'},{'log':'done'},{'emit':'out'}]}}%s},"
                       "{'id':'b','type':'probe','config':{'do':{'in':[{'append':'seen'}]}}}],"
                       "'connections':[{'from':{'routine':'a','event':'out'},"
                       "'to':{'routine':'b','slot':'in'}}]}",
                       cluster_file(c, "started"), cluster_file(c, "gate"), more);
}

static void wait_started(struct cluster *c, size_t n)
{
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(c, "started") < n)
        test_pause(until, "the handler blocks");
}

static void other_jobs_go_on_while_a_handler_blocks(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_blocking(&c, "");
    wait_started(&c, 1);
    for (int i = 0; i < 3; i++) {
        const char *other = submit_inline(&c,
                                          "{'routines':[{'id':'a','type':'probe',"
                                          "'config':{'do':{'in':[{'emit':'out'}]}}}]}",
                                          "{}");
        json_decref(wait_status(&c, other, "COMPLETED"));
    }
    cluster_open_gate(&c, "gate");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.routineStates.a.n"), "2");
    assert_int_equal(json_array_size(json_at(done, "job.state.sharedData.seen")), 2);
    assert_string_equal(at(done, "job.state.sharedLog[0].message"), "done");
    assert_string_equal(at(done, "job.epoch"), "1");
    json_decref(done);
    cluster_done(&c);
}

static void a_blocking_handler_that_is_cancelled_paused_or_timed_out_counts_for_nothing(void **state)
{
    (void)state;
    struct cluster c;
    char limit[64]; /* the handler has begun before it is over */
    cluster_start_probes(&c, 1);
    const char *cancelled = submit_blocking(&c, "");
    wait_started(&c, 1);
    json_t *r =
        rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", cancelled); /* does not wait for the handler */
    assert_string_equal(at(r, "status"), "JOB_STATUS_CANCELLED");
    json_decref(r);
    snprintf(limit, sizeof(limit), ",'policy':{'attempt_timeout_ms':%d}", 3000 * test_slow());
    const char *slow = submit_blocking(&c, limit);
    json_t *failed = wait_status(&c, slow, "FAILED");
    assert_string_equal(at(failed, "job.error.code"), "DEADLINE_EXCEEDED");
    json_decref(failed);
    wait_started(&c, 2);
    const char *paused = submit_blocking(&c, "");
    wait_started(&c, 3);
    r = rpc(c.address, "Jobs/PauseJob", "{'job_id':'%s','grace_ms':100}", paused);
    assert_string_equal(at(r, "status"), "JOB_STATUS_PAUSED");
    json_decref(r);
    cluster_open_gate(&c, "gate"); /* now all three handlers return */
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", paused));
    json_t *done = wait_status(&c, paused, "COMPLETED");
    assert_string_equal(at(done, "job.state.routineStates.a.n"), "2");
    assert_int_equal(json_array_size(json_at(done, "job.state.sharedData.seen")), 2);
    json_decref(done);
    json_t *j = wait_status(&c, cancelled, "CANCELLED");
    assert_null(json_at(j, "job.state.sharedData.seen"));
    json_decref(j);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_jobs_go_on_while_a_handler_blocks),
        cmocka_unit_test(a_blocking_handler_that_is_cancelled_paused_or_timed_out_counts_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
