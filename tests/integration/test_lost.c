/* Tasks whose loss must not go unnoticed (policy on_lost: ask or fail), with real daemons: whatever takes a
 * job away from a host in the middle of such a handler, the handler does not run again unless a person has it
 * so. */
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

static const char *submit_risky(struct cluster *c, const char *policy)
{
    return submit_flow(c, "{'v':1}",
                       "{'routines':[{'id':'a','type':'probe_fx',"
                       "'config':{'do':{'in':[{'touch':'%s'},{'gate':'%s'},{'emit':'out'}]}},"
                       "'policy':{'on_lost':'%s','on_error':'ERROR_POLICY_STOP'}},"
                       "{'id':'b','type':'probe','config':{'do':{'in':[{'append':'seen'}]}}}],"
                       "'connections':[{'from':{'routine':'a','event':'out'},"
                       "'to':{'routine':'b','slot':'in'}}]}",
                       cluster_file(c, "effects"), cluster_file(c, "gate"), policy);
}

static void wait_effects(struct cluster *c, size_t effects)
{
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(c, "effects") < effects)
        test_pause(until, "the handler has started");
}

/* Kills the host that has the job in the middle of its handler. */
static void lose_host(struct cluster *c, const char *job, size_t effects)
{
    wait_effects(c, effects);
    json_t *running = wait_status(c, job, "RUNNING");
    proc_kill9(&c->hosts[at(running, "job.host")[0] - 'a']);
    json_decref(running);
}

/* An answer with a result that would not reach the job is refused, and the question stays open. */
static void refuses_what_it_would_drop(struct cluster *c, const char *job)
{
    static const char *const answers[][2] = {
        {"{'done':{'ok':5}}",                       "answer.done has the key \"ok\"; it may have \"event\" and \"data\""},
        {"{'done':{'event':'out','dat':{'v':8}}}",  "answer.done has the key \"dat\""                                   },
        {"{'done':{'data':{'v':8}}}",               "answer.done has data but no event"                                 },
        {"{'done':{'event':'out'},'data':{'v':8}}", "answer has the key \"data\"; it may have \"done\""                 },
        {"{'done':{'event':5}}",                    "answer.done.event must be a string"                                },
        {"{'done':{'event':''}}",                   "answer.done.event"                                                 },
        {"{'done':{'event':'out','data':5}}",       "answer.done.data must be an object"                                },
        {"{'done':true}",                           "answer.done must be an object"                                     },
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        char *error = rpc_fails(c->address, "Jobs/ResumeJob", "InvalidArgument",
                                "{'job_id':'%s','answer':%s}", job, answers[i][0]);
        if (strstr(error, answers[i][1]) == NULL)
            fail_msg("%s: \"%s\" wanted, but: %s", answers[i][0], answers[i][1], error);
        free(error);
    }
    json_decref(wait_status(c, job, "PAUSED"));
}

static void a_person_decides_when_the_outcome_of_a_task_is_unknown(void **state)
{
    (void)state;
    static const char *const answers[] = {"'retry'", "'fail'", "{'done':{'event':'out','data':{'v':8}}}"};
    for (int i = 0; i < 3; i++) {
        struct cluster c;
        cluster_start_probes(&c, 2);
        const char *job = submit_risky(&c, "LOST_POLICY_ASK");
        lose_host(&c, job, 1);
        json_t *paused = wait_status(&c, job, "PAUSED");
        assert_string_equal(at(paused, "job.pauses[0].reason"), "PAUSE_REASON_OUTCOME_UNKNOWN");
        assert_string_equal(at(paused, "job.pauses[0].taskId"), "i1");
        assert_int_equal(cluster_lines(&c, "effects"), 1); /* not repeated blindly */
        json_decref(paused);
        char *error = rpc_fails(c.address, "Jobs/ResumeJob", "InvalidArgument",
                                "{'job_id':'%s','answer':'maybe'}", job);
        free(error);
        refuses_what_it_would_drop(&c, job);
        cluster_open_gate(&c, "gate");
        json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':%s}", job, answers[i]));
        json_t *end = wait_status(&c, job, i == 1 ? "FAILED" : "COMPLETED");
        assert_int_equal(cluster_lines(&c, "effects"), i == 0 ? 2 : 1);
        if (i == 1)
            assert_string_equal(at(end, "job.error.code"), "ABORTED");
        else
            assert_string_equal(at(end, "job.state.sharedData.seen[0].v"), i == 0 ? "1" : "8");
        json_decref(end);
        cluster_done(&c);
    }
}

static void a_lost_task_fails_or_runs_again_as_its_policy_says(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct cluster c;
        cluster_start_probes(&c, 2);
        const char *job = submit_risky(&c, i == 0 ? "LOST_POLICY_FAIL" : "LOST_POLICY_RETRY");
        lose_host(&c, job, 1);
        cluster_open_gate(&c, "gate");
        json_t *end = wait_status(&c, job, i == 0 ? "FAILED" : "COMPLETED");
        if (i == 0)
            assert_string_equal(at(end, "job.error.code"), "ABORTED");
        assert_int_equal(cluster_lines(&c, "effects"), i == 0 ? 1 : 2);
        json_decref(end);
        cluster_done(&c);
    }
}

/* The job is PAUSED and asks what a task has done that has run once. */
static void expect_question(struct cluster *c, const char *job, const char *task)
{
    json_t *paused = wait_status(c, job, "PAUSED"), *pause;
    size_t i, found = 0;
    json_array_foreach(json_at(paused, "job.pauses"), i, pause) found +=
        strcmp(at(pause, "reason"), "PAUSE_REASON_OUTCOME_UNKNOWN") == 0 &&
        strcmp(at(pause, "taskId"), task) == 0;
    assert_int_equal(found, 1);
    assert_int_equal(cluster_lines(c, "effects"), 1);
    json_decref(paused);
}

static void a_drain_after_a_pause_does_not_hide_that_the_handler_was_aborted(void **state)
{
    (void)state;
    struct cluster c;
    struct proc pause;
    cluster_start_probes(&c, 2);
    const char *job = submit_risky(&c, "LOST_POLICY_ASK");
    wait_effects(&c, 1);
    rpc_start(&pause, cluster_file(&c, "pause.log"), c.address, "Jobs/PauseJob",
              "{'job_id':'%s','grace_ms':1000}", job); /* it answers when the handler has been aborted */
    long long until = test_now_ms() + DEADLINE_MS;
    char host = '?';
    for (bool wanted = false; !wanted; test_pause(until, "the pause is wanted")) {
        json_t *j = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", job);
        wanted = strcmp(at(j, "job.pauseRequested"), "true") == 0 ||
                 strcmp(at(j, "job.status"), "JOB_STATUS_PAUSED") == 0;
        host = at(j, "job.lastHost")[0];
        json_decref(j);
    }
    json_decref(rpc(c.address, "Hosts/DrainHost", "{'host_id':'%c'}", host));
    assert_int_equal(proc_wait(&pause), 0);
    expect_question(&c, job, "i1");
    cluster_done(&c);
}

static void a_job_that_took_too_long_asks_what_its_task_has_done_when_it_goes_on(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct cluster c;
        cluster_start_probes(&c, 1);
        const char *job =
            submit_flow(&c, "{}",
                        "{'deadline_ms':%d,'routines':[{'id':'a','type':'probe_fx',"
                        "'config':{'do':{'in':[{'touch':'%s'},{'gate':'%s'}]}},"
                        "'policy':{'on_lost':'%s'}}]}",
                        5000 * test_slow(), cluster_file(&c, "effects"), cluster_file(&c, "gate"),
                        i == 0 ? "LOST_POLICY_ASK" : "LOST_POLICY_FAIL");
        json_t *failed = wait_status(&c, job, "FAILED");
        assert_string_equal(at(failed, "job.error.code"), "DEADLINE_EXCEEDED");
        json_decref(failed);
        assert_int_equal(cluster_lines(&c, "effects"), 1);
        cluster_open_gate(&c, "gate");
        json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
        if (i == 0) {
            expect_question(&c, job, "i1");
            json_decref(rpc(c.address, "Jobs/SkipTask", "{'job_id':'%s','task_id':'i1'}",
                            job)); /* that answers it, too */
            json_decref(wait_status(&c, job, "COMPLETED"));
        } else {
            long long until = test_now_ms() + DEADLINE_MS;
            for (bool aborted = false; !aborted; test_pause(until, "the task has failed")) {
                json_t *j = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", job);
                aborted = strcmp(at(j, "job.error.code"), "ABORTED") == 0;
                json_decref(j);
            }
        }
        assert_int_equal(cluster_lines(&c, "effects"), 1);
        cluster_done(&c);
    }
}

/* The question's answer emits the deferred event "go", whose task is handled before any step says that it is
 * there. */
static void the_task_of_a_deferred_event_is_not_run_again_when_its_host_is_lost(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    const char *job = submit_flow(&c, "{}",
                                  "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':[{'defer':'x'},"
                                  "{'ask':'Go on?'}]}}},{'id':'b','type':'probe_fx',"
                                  "'config':{'do':{'in':[{'touch':'%s'},{'gate':'%s'},{'append':'seen'}]}},"
                                  "'policy':{'on_lost':'LOST_POLICY_ASK'}}],"
                                  "'connections':[{'from':{'routine':'a','event':'x'},"
                                  "'to':{'routine':'b','slot':'in'}}]}",
                                  cluster_file(&c, "effects"), cluster_file(&c, "gate"));
    json_decref(wait_status(&c, job, "PAUSED"));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':true}", job));
    lose_host(&c, job, 1);
    expect_question(&c, job, "d2.0");
    cluster_open_gate(&c, "gate");
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':{'done':{}}}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_null(json_at(done, "job.state.sharedData.seen"));
    assert_int_equal(cluster_lines(&c, "effects"), 1);
    json_decref(done);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_person_decides_when_the_outcome_of_a_task_is_unknown),
        cmocka_unit_test(a_lost_task_fails_or_runs_again_as_its_policy_says),
        cmocka_unit_test(a_drain_after_a_pause_does_not_hide_that_the_handler_was_aborted),
        cmocka_unit_test(a_job_that_took_too_long_asks_what_its_task_has_done_when_it_goes_on),
        cmocka_unit_test(the_task_of_a_deferred_event_is_not_run_again_when_its_host_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
