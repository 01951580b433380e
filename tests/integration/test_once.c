/* What happens once, whatever is said twice or stopped half-way: answers, calls that were approved, and what
 * operators stop. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <signal.h>

#include <cmocka.h>

#include "cluster.h"

static void wait_lines(struct cluster *c, const char *name, size_t n)
{
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(c, name) < n)
        test_pause(until, name);
}

static void expect_steps(struct cluster *c, const char *job, size_t n)
{
    json_t *h = rpc(c->address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_int_equal(json_array_size(json_at(h, "steps")), n);
    json_decref(h);
}

static void expect_error(char *error, const char *text)
{
    if (strstr(error, text) == NULL)
        fail_msg("\"%s\" wanted, but: %s", text, error);
    free(error);
}

/* A form that is sent twice. The handlers act before they ask. */
static void
an_answer_that_comes_twice_or_late_does_not_touch_the_next_question_and_nothing_runs_again(void **state)
{
    (void)state;
    struct cluster c;
    char *flow = NULL, *request = NULL;
    cluster_start_probes(&c, 2);
    assert_true(asprintf(&flow,
                         "{'routines':[{'id':'a','type':'probe_fx',"
                         "'config':{'do':{'in':[{'touch':'%s'},{'ask':'First?','slot':'first'}],"
                         "'first':[{'touch':'%s'},{'append':'got'},{'ask':'Second?','slot':'second'}],"
                         "'second':[{'append':'got'}]}}}]}",
                         cluster_file(&c, "asked"), cluster_file(&c, "answered")) > 0);
    const char *job = submit_inline(&c, flow, "{}");
    free(flow);
    json_decref(wait_status(&c, job, "PAUSED"));
    assert_true(asprintf(&request, "{'job_id':'%s','answer':'one','request_id':'form'}", job) > 0);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "%s", request));
    wait_lines(&c, "answered", 1);
    json_t *second = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(second, "job.pauses[0].question"), "Second?");
    json_decref(second);
    json_t *again = rpc(c.address, "Jobs/ResumeJob", "%s", request);
    assert_string_equal(at(again, "pauseId"), "p1.0"); /* the first reply */
    json_decref(again);
    expect_error(rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition",
                           "{'job_id':'%s','pause_id':'p1.0','answer':'late'}", job),
                 "open is p2.0");
    second = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(second, "job.pauses[0].pauseId"), "p2.0");
    assert_int_equal(json_array_size(json_at(second, "job.state.sharedData.got")), 1);
    json_decref(second);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','pause_id':'p2.0','answer':'two'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.got[0].answer"), "one");
    assert_string_equal(at(done, "job.state.sharedData.got[1].answer"), "two");
    assert_null(json_at(done, "job.state.sharedData.got[2]"));
    json_decref(done);
    assert_int_equal(cluster_lines(&c, "asked"), 1); /* on whatever host it went on */
    assert_int_equal(cluster_lines(&c, "answered"), 1);
    expect_steps(&c, job, 3);
    free(request);
    cluster_done(&c);
}

/* The key that a tool hands on to the outside world comes from its call: an approval, or the loss of a host,
 * does not change it. */
static void
a_call_that_was_approved_has_one_key_on_every_host_and_is_made_after_the_approval_only(void **state)
{
    (void)state;
    struct cluster c;
    char job[32], key[2][128];
    cluster_start_probes(&c, 2);
    json_t *r = rpc(c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'agent','type':'llm_agent',"
                    "'config':{'provider':'mock','script':[{'tool':{'name':'pay','arguments':{'sum':12}}},"
                    "{'say':'Finished.'}],'tools':[{'name':'pay','approval':'required'}]}},"
                    "{'id':'pay','type':'probe_fx','config':{'do':{'in':[{'touch':'%s'},{'gate':'%s'},"
                    "{'emit':'paid','data':{'result':'done'}}]}}}],"
                    "'connections':[{'from':{'routine':'agent','event':'tool_call'},"
                    "'to':{'routine':'pay','slot':'in'}},{'from':{'routine':'pay','event':'paid'},"
                    "'to':{'routine':'agent','slot':'tool_result'}}]},"
                    "'entry':{'routine':'agent','slot':'trigger'},'data':{'task':'Pay.'}}",
                    cluster_file(&c, "calls"), cluster_file(&c, "gate"));
    snprintf(job, sizeof(job), "%.31s", at(r, "jobId"));
    json_decref(r);
    json_decref(wait_status(&c, job, "PAUSED"));
    assert_int_equal(cluster_lines(&c, "calls"), 0);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'approve'}", job));
    wait_lines(&c, "calls", 1);
    json_t *running = wait_status(&c, job, "RUNNING");
    proc_kill9(&c.hosts[cluster_host_index(at(running, "job.host"))]);
    json_decref(running);
    wait_lines(&c, "calls", 2);
    cluster_open_gate(&c, "gate");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.agent.text"), "Finished.");
    json_decref(done);
    char *calls = file_text(cluster_file(&c, "calls"));
    unsigned epochs[2], attempts[2];
    assert_int_equal(sscanf(calls, "%127s %u %u %127s %u %u", key[0], &epochs[0], &attempts[0], key[1],
                            &epochs[1], &attempts[1]),
                     6);
    free(calls);
    assert_string_equal(key[0], key[1]);
    assert_memory_equal(key[0], job, 26);
    assert_true(epochs[1] > epochs[0]); /* which of the two may write is told by this */
    assert_int_equal(cluster_lines(&c, "calls"), 2);
    cluster_done(&c);
}

/* "a" passes on, "b" leaves a mark and waits at the gate. */
static const char *submit_stopped(struct cluster *c)
{
    return submit_flow(c, "{}",
                       "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':[{'emit':'x'}]}}},"
                       "{'id':'b','type':'probe_fx','config':{'do':{'in':[{'touch':'%s'},{'gate':'%s'},"
                       "{'count_shared':'n'}]}},'policy':{'retry':{'max_attempts':2,'initial_delay_ms':1},"
                       "'on_error':'ERROR_POLICY_CONTINUE'}}],"
                       "'connections':[{'from':{'routine':'a','event':'x'},"
                       "'to':{'routine':'b','slot':'in'}}]}",
                       cluster_file(c, "marks"), cluster_file(c, "gate"));
}

/* A pause, a cancel or the end of a host is no result of the task in hand, and no failed attempt, whatever
 * its policy makes of failures. */
static void what_is_stopped_from_outside_leaves_no_step_and_counts_as_no_attempt(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_stopped(&c);
    wait_lines(&c, "marks", 1);
    json_t *r = rpc(c.address, "Jobs/PauseJob", "{'job_id':'%s','grace_ms':100}", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_PAUSED");
    json_decref(r);
    expect_steps(&c, job, 1);
    json_t *paused = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(paused, "job.state.pendingTasks[0].taskId"), "s1.0");
    assert_string_equal(at(paused, "job.state.pendingTasks[0].failedAttempts"), "");
    json_decref(paused);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    wait_lines(&c, "marks", 2);
    proc_kill(&c.hosts[0], SIGTERM);
    cluster_wait_log(&c, "host0.log", "stopping");
    proc_kill(&c.hosts[0], SIGTERM); /* at once */
    assert_int_equal(proc_wait(&c.hosts[0]), 1);
    json_decref(wait_status(&c, job, "PENDING"));
    expect_steps(&c, job, 1);
    cluster_host(&c, 1, "b", NULL);
    wait_lines(&c, "marks", 3);
    r = rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_CANCELLED");
    assert_string_equal(at(r, "stepCount"), "1");
    json_decref(r);
    cluster_open_gate(&c, "gate"); /* nobody waits there any more */
    json_decref(
        wait_status(&c, submit_stopped(&c), "COMPLETED")); /* whatever the host had to say, it has said */
    json_t *ended = wait_status(&c, job, "CANCELLED");
    assert_null(json_at(ended, "job.state.sharedData.n"));
    assert_string_equal(at(ended, "job.stepCount"), "1");
    json_decref(ended);
    expect_steps(&c, job, 1);
    char *marks = file_text(cluster_file(&c, "marks"));
    const char *p = marks;
    for (int i = 0; i < 3; i++) { /* each run was the first attempt at the same call */
        unsigned epoch, attempt;
        char key[64];
        assert_int_equal(sscanf(p, "%63s %u %u", key, &epoch, &attempt), 3);
        assert_memory_equal(key, job, 26);
        assert_string_equal(key + 26, "/s1.0");
        assert_int_equal(attempt, 1);
        p = strchr(p, '\n') + 1;
    }
    free(marks);
    cluster_done(&c);
}

/* State is a snapshot and steps, nothing is replayed: a call that is gone from the flow, or the flow itself,
 * is no matter for jobs that have begun. */
static void a_job_goes_on_with_the_flow_it_began_with_whatever_becomes_of_that(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    json_decref(rpc(c.address, "Flows/PutFlow",
                    "{'flow':{'name':'f','routines':[{'id':'a','type':'probe',"
                    "'config':{'do':{'in':[{'append':'seen'},{'ask':'Well?'}],'answer':[{'emit':'x'}]}}},"
                    "{'id':'b','type':'probe','config':{'do':{'in':[{'append':'seen'}]}}}],"
                    "'connections':[{'from':{'routine':'a','event':'x'},"
                    "'to':{'routine':'b','slot':'in'}}]}}"));
    json_t *r =
        rpc(c.address, "Jobs/SubmitJob", "{'flow':'f','entry':{'routine':'a','slot':'in'},'data':{'n':1}}");
    char job[32];
    snprintf(job, sizeof(job), "%.31s", at(r, "jobId"));
    json_decref(r);
    json_decref(wait_status(&c, job, "PAUSED"));
    r = rpc(c.address, "Flows/PutFlow", "{'flow':{'name':'f','routines':[{'id':'z','type':'log'}]}}");
    assert_string_equal(at(r, "version"), "2");
    json_decref(r);
    json_decref(rpc(c.address, "Flows/DeleteFlow", "{'name':'f'}"));
    proc_kill9(&c.coordinator);
    cluster_coordinator(&c, NULL);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'yes'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.seen[1].answer"), "yes");
    assert_int_equal(json_array_size(json_at(done, "job.state.sharedData.seen")), 2);
    json_decref(done);
    expect_steps(&c, job, 3);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            an_answer_that_comes_twice_or_late_does_not_touch_the_next_question_and_nothing_runs_again),
        cmocka_unit_test(
            a_call_that_was_approved_has_one_key_on_every_host_and_is_made_after_the_approval_only),
        cmocka_unit_test(what_is_stopped_from_outside_leaves_no_step_and_counts_as_no_attempt),
        cmocka_unit_test(a_job_goes_on_with_the_flow_it_began_with_whatever_becomes_of_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
