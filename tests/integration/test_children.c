/* Jobs that start jobs, with real daemons: results come up, failures too, cancels go down, questions are
 * listed with the parent's and answered by their own id, and a crash in between loses and doubles nothing. */
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

static void put_flow(struct cluster *c, const char *flow)
{
    json_decref(rpc(c->address, "Flows/PutFlow", "{'flow':%s}", flow));
}

/* The parent starts one job of flow "child" and keeps its result in the shared data. */
static const char *submit_parent(struct cluster *c, const char *settings)
{
    return submit_flow(c, "{}",
                       "{%s'routines':[{'id':'a','type':'probe',"
                       "'config':{'do':{'in':[{'job':'child','routine':'c','data':{'x':5},"
                       "'shared_data':{'given':1}}],'result':[{'append':'results'}]}}}]}",
                       settings);
}

/* The id of the parent's only child, once it runs. */
static void child_of(struct cluster *c, const char *parent, char out[32])
{
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        json_t *j = rpc(c->address, "Jobs/GetJob", "{'job_id':'%s'}", parent);
        bool started = json_is_true(json_at(j, "job.children[0].started"));
        snprintf(out, 32, "%.31s", at(j, "job.children[0].jobId"));
        json_decref(j);
        if (started)
            return;
        test_pause(until, "the child has started");
    }
}

static void a_child_s_result_comes_back_to_the_routine_that_started_it(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    put_flow(&c, "{'name':'child','routines':[{'id':'c','type':'probe',"
                 "'config':{'do':{'in':[{'wait':20},{'emit':'done'},{'count_shared':'n'}]}}}]}");
    const char *job = submit_parent(&c, "");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_int_equal(json_array_size(json_at(done, "job.state.sharedData.results")), 1);
    assert_string_equal(at(done, "job.state.sharedData.results[0].status"), "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.results[0].outputs[0].event"), "done");
    assert_string_equal(at(done, "job.state.sharedData.results[0].outputs[0].data.x"), "5");
    assert_string_equal(at(done, "job.state.sharedData.results[0].shared_data.given"), "1");
    assert_string_equal(at(done, "job.state.sharedData.results[0].shared_data.n"), "1");
    assert_null(json_at(done, "job.children[0]"));
    char child[32];
    snprintf(child, sizeof(child), "%.31s", at(done, "job.state.sharedData.results[0].job_id"));
    json_t *j = wait_status(&c, child, "COMPLETED");
    assert_string_equal(at(j, "job.parent"), job);
    json_decref(j);
    json_decref(done);
    cluster_done(&c);
}

static void a_child_s_failure_comes_up_and_one_that_cannot_start_fails_too(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *unknown = submit_parent(&c, "");
    json_t *j = wait_status(&c, unknown, "COMPLETED");
    assert_string_equal(at(j, "job.state.sharedData.results[0].status"), "FAILED");
    assert_string_equal(at(j, "job.state.sharedData.results[0].error.code"), "NOT_FOUND");
    json_decref(j);
    put_flow(&c, "{'name':'child','routines':[{'id':'c','type':'probe',"
                 "'config':{'do':{'in':[{'fail':'INTERNAL'}]}}}]}");
    const char *failing = submit_parent(&c, "");
    j = wait_status(&c, failing, "COMPLETED");
    assert_string_equal(at(j, "job.state.sharedData.results[0].status"), "FAILED");
    assert_string_equal(at(j, "job.state.sharedData.results[0].error.code"), "INTERNAL");
    json_decref(j);
    cluster_done(&c);
}

static void put_asking_child(struct cluster *c)
{
    put_flow(c, "{'name':'child','routines':[{'id':'c','type':'probe',"
                "'config':{'do':{'in':[{'ask':'May I?'}],'answer':[{'emit':'said'}]}}}]}");
}

static void a_child_s_question_is_listed_with_its_parent_and_claimed_and_answered_by_its_own_id(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    put_asking_child(&c);
    const char *job = submit_parent(&c, "");
    json_t *asleep = wait_status(&c, job, "SLEEPING");
    char child[32], pause[128];
    child_of(&c, job, child);
    json_decref(wait_status(&c, child, "PAUSED"));
    json_t *j = wait_status(&c, job, "SLEEPING");
    snprintf(pause, sizeof(pause), "%.127s", at(j, "job.pauses[0].pauseId"));
    assert_memory_equal(pause, child, 26);
    assert_string_equal(at(j, "job.pauses[0].question"), "May I?");
    json_decref(j);
    j = rpc(c.address, "Jobs/ClaimPause", "{'job_id':'%s','pause_id':'%s','by':'ann'}", job, pause);
    assert_string_equal(at(j, "pause.claimedBy"), "ann");
    json_decref(j);
    free(rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition",
                   "{'job_id':'%s','pause_id':'%s','answer':'yes','answered_by':'bob'}", job, pause));
    j = wait_status(&c, child, "PAUSED");
    assert_string_equal(at(j, "job.pauses[0].claimedBy"), "ann");
    json_decref(j);
    json_decref(
        rpc(c.address, "Jobs/ReleasePause", "{'job_id':'%s','pause_id':'%s','by':'ann'}", job, pause));
    j = rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','pause_id':'%s','answer':'yes'}", job, pause);
    json_decref(j);
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.results[0].outputs[0].data.answer"), "yes");
    char *error = rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition",
                            "{'job_id':'%s','pause_id':'%s','answer':'yes'}", job, pause);
    free(error);
    json_decref(asleep);
    json_decref(done);
    cluster_done(&c);
}

static void a_cancel_goes_down_to_the_children(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    put_asking_child(&c);
    const char *job = submit_parent(&c, "");
    char child[32];
    child_of(&c, job, child);
    json_decref(wait_status(&c, child, "PAUSED"));
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", job));
    json_t *j = wait_status(&c, child, "CANCELLED");
    assert_string_equal(at(j, "job.error.message"), "the job that started it has ended");
    json_decref(j);
    json_decref(wait_status(&c, job, "CANCELLED"));
    cluster_done(&c);
}

static void a_coordinator_that_is_killed_meanwhile_loses_and_doubles_no_child(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    put_flow(&c, "{'name':'child','routines':[{'id':'c','type':'probe',"
                 "'config':{'do':{'in':[{'wait':100},{'emit':'done'}]}}}]}");
    const char *jobs[8];
    for (int i = 0; i < 8; i++) {
        jobs[i] = submit_parent(&c, "");
        if (i % 3 == 2) {
            proc_kill9(&c.coordinator);
            cluster_coordinator(&c, NULL);
        }
    }
    proc_kill9(&c.coordinator);
    cluster_coordinator(&c, NULL);
    for (int i = 0; i < 8; i++) {
        json_t *done = wait_status(&c, jobs[i], "COMPLETED");
        assert_int_equal(json_array_size(json_at(done, "job.state.sharedData.results")), 1);
        assert_string_equal(at(done, "job.state.sharedData.results[0].status"), "COMPLETED");
        json_decref(done);
    }
    json_t *all = rpc(c.address, "Jobs/ListJobs", "{'flow':'child','page_size':100}");
    assert_int_equal(json_array_size(json_at(all, "jobs")), 8);
    json_decref(all);
    cluster_done(&c);
}

static void a_failed_job_that_goes_on_finds_that_its_child_was_cancelled(void **state)
{
    (void)state;
    struct cluster c;
    char deadline[32]; /* the child has begun before it is over */
    cluster_start_probes(&c, 1);
    char *flow = NULL;
    assert_true(asprintf(&flow,
                         "{'name':'child','routines':[{'id':'c','type':'probe',"
                         "'config':{'do':{'in':[{'gate':'%s'}]}}}]}",
                         cluster_file(&c, "gate")) > 0);
    put_flow(&c, flow);
    free(flow);
    snprintf(deadline, sizeof(deadline), "'deadline_ms':%d,", 6000 * test_slow());
    const char *job = submit_parent(&c, deadline);
    char child[32];
    child_of(&c, job, child);
    json_decref(wait_status(&c, job, "FAILED"));
    json_decref(wait_status(&c, child, "CANCELLED"));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.results[0].status"), "CANCELLED");
    json_decref(done);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_s_result_comes_back_to_the_routine_that_started_it),
        cmocka_unit_test(a_child_s_failure_comes_up_and_one_that_cannot_start_fails_too),
        cmocka_unit_test(a_child_s_question_is_listed_with_its_parent_and_claimed_and_answered_by_its_own_id),
        cmocka_unit_test(a_cancel_goes_down_to_the_children),
        cmocka_unit_test(a_coordinator_that_is_killed_meanwhile_loses_and_doubles_no_child),
        cmocka_unit_test(a_failed_job_that_goes_on_finds_that_its_child_was_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
