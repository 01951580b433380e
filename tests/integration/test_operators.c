/* What operators do with real daemons: breakpoints, single steps, remedies, resuming a failed job, forks,
 * pausing one job of two. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cluster.h"

/* "a" waits for the gate, then emits three items to "b", which appends them. */
static const char *submit_gated(struct cluster *c, const char *more)
{
    return submit_flow(c, "{}",
                       "{'routines':[{'id':'a','type':'probe',"
                       "'config':{'do':{'in':[{'gate':'%s'},{'emit':'x','times':3}]}}},"
                       "{'id':'b','type':'probe','config':{'do':{'in':[{'append':'seen'}%s]}}}],"
                       "'connections':[{'from':{'routine':'a','event':'x'},"
                       "'to':{'routine':'b','slot':'in'}}]}",
                       cluster_file(c, "gate"), more);
}

static void a_breakpoint_holds_a_task_which_can_be_edited_stepped_and_released(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    const char *job = submit_gated(&c, "");
    json_decref(wait_status(&c, job, "RUNNING"));
    json_decref(rpc(c.address, "Jobs/SetBreakpoints",
                    "{'job_id':'%s','breakpoints':[{'routine':'b','slot':'in'}]}", job));
    cluster_open_gate(&c, "gate");
    json_t *held = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(held, "job.pauses[0].reason"), "PAUSE_REASON_BREAKPOINT");
    assert_string_equal(at(held, "job.pauses[0].taskId"), "s1.0");
    assert_int_equal(json_array_size(json_at(held, "job.state.pendingTasks")), 3);
    json_decref(held);
    json_decref(
        rpc(c.address, "Jobs/EditTask", "{'job_id':'%s','task_id':'s1.0','data':{'i':77},'by':'ada'}", job));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','single_step':true}", job));
    held = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(held, "job.pauses[0].taskId"), "s1.1");
    assert_string_equal(at(held, "job.state.sharedData.seen[0].i"), "77");
    json_decref(held);
    json_decref(rpc(c.address, "Jobs/SetBreakpoints", "{'job_id':'%s'}", job));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_int_equal(json_array_size(json_at(done, "job.state.sharedData.seen")), 3);
    json_decref(done);
    json_t *h = rpc(c.address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_string_equal(at(h, "steps[1].remedy.kind"), "REMEDY_KIND_EDIT_TASK");
    assert_string_equal(at(h, "steps[1].remedy.by"), "ada");
    json_decref(h);
    cluster_done(&c);
}

static void breakpoints_are_answered_when_the_host_has_them(void **state)
{
    (void)state;
    struct cluster c;
    struct proc caller;
    char command[1024], log[256], request[128];
    static const char *const alone[] = {"--no-supervisor", NULL};
    cluster_init(&c);
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", alone);
    put_trip(&c, "'ask':false,'delay_ms':600000");
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "RUNNING"));
    proc_kill(&c.hosts[0], SIGSTOP);
    snprintf(log, sizeof(log), "%s/caller.log", c.dir);
    json_print(request, sizeof(request), "{'job_id':'%s','breakpoints':[{'routine':'agent'}]}", job);
    snprintf(command, sizeof(command), "exec %s -plaintext -d '%s' %s fermata.v1.Jobs/SetBreakpoints > %s",
             grpcurl_program(), request, c.address, cluster_file(&c, "answer"));
    const char *argv[] = {"sh", "-c", command, NULL};
    proc_talk(&caller, log, argv);
    long long until = test_now_ms() + DEADLINE_MS;
    for (bool stored = false; !stored; test_pause(until, "the breakpoint is on disk")) {
        json_t *j = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", job);
        stored = strcmp(at(j, "job.breakpoints[0].routine"), "agent") == 0;
        json_decref(j);
    }
    char *text = file_text(cluster_file(&c, "answer"));
    assert_string_equal(text, "");
    free(text);
    proc_kill(&c.hosts[0], SIGCONT);
    assert_int_equal(proc_wait(&caller), 0);
    text = file_text(cluster_file(&c, "answer"));
    assert_non_null(strstr(text, "JOB_STATUS_RUNNING"));
    free(text);
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", job));
    cluster_done(&c);
}

static void a_breakpoint_with_a_condition_holds_the_tasks_that_meet_it(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_gated(&c, "");
    json_decref(wait_status(&c, job, "RUNNING"));
    json_decref(rpc(c.address, "Jobs/SetBreakpoints",
                    "{'job_id':'%s','breakpoints':[{'routine':'b','condition':'.i == 1'}]}", job));
    cluster_open_gate(&c, "gate");
    json_t *held = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(held, "job.pauses[0].taskId"), "s1.1");
    json_decref(held);
    json_decref(rpc(c.address, "Jobs/SetBreakpoints",
                    "{'job_id':'%s','breakpoints':[{'routine':'b','condition':'.i + {}'}]}", job));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    held = wait_status(&c, job, "PAUSED"); /* a condition that fails holds what comes */
    assert_string_equal(at(held, "job.pauses[0].taskId"), "s1.2");
    json_decref(held);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_decref(wait_status(&c, job, "COMPLETED"));
    cluster_done(&c);
}

static void a_single_step_holds_the_next_task_whatever_it_is(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_gated(&c, "");
    json_decref(wait_status(&c, job, "RUNNING"));
    json_decref(
        rpc(c.address, "Jobs/SetBreakpoints", "{'job_id':'%s','breakpoints':[{'routine':'*'}]}", job));
    cluster_open_gate(&c, "gate");
    json_decref(wait_status(&c, job, "PAUSED"));
    json_decref(rpc(c.address, "Jobs/SetBreakpoints", "{'job_id':'%s'}", job));
    for (int i = 0; i < 2; i++) {
        json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','single_step':true}", job));
        json_t *held = wait_status(&c, job, "PAUSED");
        char want[8];
        snprintf(want, sizeof(want), "s1.%d", i + 1);
        assert_string_equal(at(held, "job.pauses[0].taskId"), want);
        json_decref(held);
    }
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_decref(wait_status(&c, job, "COMPLETED"));
    cluster_done(&c);
}

/* Fails until the gate is open (it looks whether a file is there). */
static const char *submit_failing(struct cluster *c)
{
    return submit_inline(c,
                         "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':[{'emit':'x'}]}}},"
                         "{'id':'b','type':'probe','config':{'do':{'in':[{'fail':'UNAVAILABLE',"
                         "'attempts':1},{'emit':'out'}]}}},{'id':'c','type':'probe',"
                         "'config':{'do':{'in':[{'append':'seen'}]}}}],"
                         "'connections':[{'from':{'routine':'a','event':'x'},"
                         "'to':{'routine':'b','slot':'in'}},{'from':{'routine':'b','event':'out'},"
                         "'to':{'routine':'c','slot':'in'}}]}",
                         "{'v':1}");
}

static void a_failed_task_can_be_skipped_with_a_result_and_the_job_goes_on(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    const char *job = submit_failing(&c);
    json_decref(wait_status(&c, job, "FAILED"));
    json_t *r = rpc(c.address, "Jobs/SkipTask",
                    "{'job_id':'%s','event':'out','data':{'v':9},'by':'ada','reason':'known'}", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_FAILED");
    json_decref(r);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.seen[0].v"), "9");
    assert_null(json_at(done, "job.error"));
    json_decref(done);
    cluster_done(&c);
}

static void a_failed_job_can_be_edited_patched_and_resumed_from_the_task_that_failed(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'count_shared':'n'},{'gate':'/dev/null'},"
                                    "{'emit':'out'},{'fail':'INTERNAL','attempts':1}]}},"
                                    "'policy':{'retry':{'max_attempts':1}}}]}",
                                    "{'v':1}");
    json_t *failed = wait_status(&c, job, "FAILED");
    assert_string_equal(at(failed, "job.state.pendingTasks[0].taskId"), "i1");
    json_decref(failed);
    char *error =
        rpc_fails(c.address, "Jobs/EditTask", "NotFound", "{'job_id':'%s','task_id':'s9.9','data':{}}", job);
    free(error);
    json_decref(rpc(c.address, "Jobs/EditTask", "{'job_id':'%s','task_id':'i1','data':{'v':2}}", job));
    json_decref(rpc(c.address, "Jobs/PatchState", "{'job_id':'%s','set':{'n':10,'who':'ada'}}", job));
    error = rpc_fails(c.address, "Jobs/PatchState", "InvalidArgument",
                      "{'job_id':'%s','routine':'zz','set':{'n':10}}", job);
    free(error);
    /* Attempts are counted anew: the first one fails again. */
    json_t *r = rpc(c.address, "Jobs/RetryTask", "{'job_id':'%s'}", job);
    assert_string_not_equal(at(r, "status"), "JOB_STATUS_FAILED");
    json_decref(r);
    failed = wait_status(&c, job, "FAILED");
    assert_string_equal(at(failed, "job.state.pendingTasks[0].data.v"), "2");
    assert_string_equal(at(failed, "job.state.sharedData.who"), "ada");
    json_decref(failed);
    json_decref(rpc(c.address, "Jobs/SkipTask", "{'job_id':'%s','event':'out','data':{'v':3}}", job));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.v"), "3");
    assert_string_equal(at(done, "job.state.sharedData.n"), "10");
    json_decref(done);
    error =
        rpc_fails(c.address, "Jobs/PatchState", "FailedPrecondition", "{'job_id':'%s','set':{'n':1}}", job);
    free(error);
    cluster_done(&c);
}

static void a_fork_goes_another_way_from_an_earlier_step(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'count_shared':'a'},{'touch':'/dev/null'},"
                                    "{'emit':'x'}]}}},{'id':'b','type':'probe',"
                                    "'config':{'do':{'in':[{'ask':'Where to?'}],"
                                    "'answer':[{'append':'went'},{'emit':'out'}]}}}],"
                                    "'connections':[{'from':{'routine':'a','event':'x'},"
                                    "'to':{'routine':'b','slot':'in'}}]}",
                                    "{'v':1}");
    json_decref(wait_status(&c, job, "PAUSED"));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'Kyoto'}", job));
    json_decref(wait_status(&c, job, "COMPLETED"));
    json_t *r =
        rpc(c.address, "Jobs/ForkJob",
            "{'job_id':'%s','step':2,'answer':'Oslo','shared_data':{'new':true},'request_id':'f1'}", job);
    char fork[32];
    snprintf(fork, sizeof(fork), "%.31s", at(r, "jobId"));
    json_decref(r);
    r = rpc(c.address, "Jobs/ForkJob",
            "{'job_id':'%s','step':2,'answer':'Oslo','shared_data':{'new':true},'request_id':'f1'}", job);
    assert_string_equal(at(r, "jobId"), fork);
    json_decref(r);
    json_t *done = wait_status(&c, fork, "COMPLETED");
    assert_string_equal(at(done, "job.forkedFrom"), job);
    assert_string_equal(at(done, "job.state.sharedData.went[0].answer"), "Oslo");
    assert_true(json_is_true(json_at(done, "job.state.sharedData.new")));
    assert_string_equal(at(done, "job.state.sharedData.a"), "1"); /* nothing before it ran again */
    json_decref(done);
    json_t *old = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(old, "job.state.sharedData.went[0].answer"), "Kyoto");
    json_decref(old);
    /* A fork without an answer asks the question again; from the very beginning everything runs again. */
    r = rpc(c.address, "Jobs/ForkJob", "{'job_id':'%s','step':2}", fork);
    json_t *asks = wait_status(&c, at(r, "jobId"), "PAUSED");
    assert_string_equal(at(asks, "job.pauses[0].question"), "Where to?");
    json_decref(asks);
    json_decref(r);
    r = rpc(c.address, "Jobs/ForkJob", "{'job_id':'%s','step':0}", job);
    asks = wait_status(&c, at(r, "jobId"), "PAUSED");
    assert_string_equal(at(asks, "job.stepCount"), "2");
    json_decref(asks);
    json_decref(r);
    char *error = rpc_fails(c.address, "Jobs/ForkJob", "InvalidArgument", "{'job_id':'%s','step':44}", job);
    assert_non_null(strstr(error, "step"));
    free(error);
    error = rpc_fails(c.address, "Jobs/ForkJob", "FailedPrecondition", "{'job_id':'%s','step':3}", job);
    free(error);
    cluster_done(&c);
}

static void pausing_one_job_does_not_touch_another(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    char *flow = NULL;
    assert_true(asprintf(&flow,
                         "{'routines':[{'id':'a','type':'probe',"
                         "'config':{'do':{'in':[{'gate':'%s'},{'count_shared':'n'}]}}}]}",
                         cluster_file(&c, "gate")) > 0);
    const char *one = submit_inline(&c, flow, "{}"), *two = submit_inline(&c, flow, "{}");
    free(flow);
    json_decref(wait_status(&c, one, "RUNNING"));
    json_decref(wait_status(&c, two, "RUNNING"));
    json_t *r = rpc(c.address, "Jobs/PauseJob", "{'job_id':'%s','grace_ms':100}", one);
    assert_string_equal(at(r, "status"), "JOB_STATUS_PAUSED");
    json_decref(r);
    cluster_open_gate(&c, "gate");
    json_decref(wait_status(&c, two, "COMPLETED"));
    json_t *paused = wait_status(&c, one, "PAUSED");
    assert_null(json_at(paused, "job.state.sharedData.n")); /* nothing of it runs once PAUSED is visible */
    json_decref(paused);
    r = rpc(c.address, "Jobs/GetHistory", "{'job_id':'%s'}", one); /* that a run was aborted is known */
    assert_string_equal(at(r, "entries[2].kind"), "ENTRY_KIND_ABORTED");
    assert_string_equal(at(r, "entries[2].taskId"), "i1");
    assert_string_equal(at(r, "entries[3].kind"), "ENTRY_KIND_PAUSED");
    json_decref(r);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", one));
    json_t *done = wait_status(&c, one, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.n"), "1");
    json_decref(done);
    cluster_done(&c);
}

/* However long it takes: what a step does to the world is done once. (That a pause aborted the step after a
 * second and had it run again was the default once.) */
static void a_pause_waits_for_the_end_of_the_step_in_hand(void **state)
{
    (void)state;
    struct cluster c;
    struct proc pause;
    cluster_start_probes(&c, 1);
    const char *job =
        submit_flow(&c, "{}",
                    "{'routines':[{'id':'a','type':'probe_fx','config':{'do':{'in':[{'touch':'%s'},"
                    "{'gate':'%s'},{'emit':'out'}]}}},"
                    "{'id':'b','type':'probe','config':{'do':{'in':[{'append':'seen'}]}}}],"
                    "'connections':[{'from':{'routine':'a','event':'out'},"
                    "'to':{'routine':'b','slot':'in'}}]}",
                    cluster_file(&c, "effects"), cluster_file(&c, "gate"));
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(&c, "effects") < 1)
        test_pause(until, "the handler has started");
    rpc_start(&pause, cluster_file(&c, "pause.log"), c.address, "Jobs/PauseJob",
              "{'job_id':'%s','by':'ann','reason':'lunch'}", job);
    for (long long end = test_now_ms() + 2500; test_now_ms() < end;) {
        json_t *j = wait_status(&c, job, "RUNNING"); /* never PAUSED while the step is in hand */
        json_decref(j);
        test_pause(until, "time has passed");
    }
    cluster_open_gate(&c, "gate");
    assert_int_equal(proc_wait(&pause), 0);
    json_t *paused = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(paused, "job.stepCount"), "1");
    assert_string_equal(at(paused, "job.pauses[0].question"), "lunch");
    assert_int_equal(cluster_lines(&c, "effects"), 1);
    json_decref(paused);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.stepCount"), "2");
    assert_int_equal(cluster_lines(&c, "effects"), 1);
    json_decref(done);
    proc_kill9(&c.coordinator); /* who did what is as safe as the steps are */
    cluster_coordinator(&c, NULL);
    json_t *r = rpc(c.address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    static const char *const kinds[] = {"ASSIGNED", "PAUSE_REQUESTED", "PAUSED", "RESUMED", "ASSIGNED"};
    assert_int_equal(json_array_size(json_at(r, "entries")), 5);
    for (size_t i = 0; i < 5; i++) {
        json_t *e = json_array_get(json_at(r, "entries"), i);
        assert_string_equal(at(e, "kind") + strlen("ENTRY_KIND_"), kinds[i]);
        if (i == 1 || i == 2)
            assert_string_equal(at(e, "by"), "ann");
    }
    json_decref(r);
    cluster_done(&c);
}

static void input_wakes_a_sleeping_job_and_a_pause_holds_it(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'schedule':'late','ms':3600000,'key':'k'}],"
                                    "'late':[{'fail':'INTERNAL'}],'more':[{'append':'seen'}],"
                                    "'stop':[{'unschedule':'k'}]}}}]}",
                                    "{}");
    json_decref(wait_status(&c, job, "SLEEPING"));
    json_decref(rpc(c.address, "Jobs/SendInput",
                    "{'job_id':'%s','to':{'routine':'a','slot':'more'},'data':{'n':1}}", job));
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        json_t *j = wait_status(&c, job, "SLEEPING");
        bool seen = json_at(j, "job.state.sharedData.seen") != NULL;
        json_decref(j);
        if (seen)
            break;
        test_pause(until, "the input was handled");
    }
    json_t *r = rpc(c.address, "Jobs/PauseJob", "{'job_id':'%s'}", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_PAUSED");
    json_decref(r);
    json_decref(rpc(c.address, "Jobs/SendInput", "{'job_id':'%s','to':{'routine':'a','slot':'stop'}}", job));
    json_t *held = wait_status(&c, job, "PAUSED");
    assert_int_equal(json_array_size(json_at(held, "job.state.pendingTasks")), 2);
    json_decref(held);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_int_equal(json_array_size(json_at(done, "job.state.sharedData.seen")), 1);
    json_decref(done);
    cluster_done(&c);
}

static void a_failed_job_that_goes_on_asks_its_open_question_again(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job =
        submit_flow(&c, "{}",
                    "{'deadline_ms':%d,'routines':[{'id':'a','type':'probe',"
                    "'config':{'do':{'in':[{'ask':'Go on?'}],'answer':[{'append':'answers'}]}}}]}",
                    6000 * test_slow());
    json_decref(wait_status(&c, job, "PAUSED"));
    json_t *failed = wait_status(&c, job, "FAILED");
    assert_null(json_at(failed, "job.pauses[0]"));
    json_decref(failed);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_t *paused = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(paused, "job.pauses[0].question"), "Go on?");
    json_decref(paused);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'yes'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.answers[0].answer"), "yes");
    json_decref(done);
    cluster_done(&c);
}

static void a_fork_behind_a_skipped_task_goes_on_with_the_result_in_its_place(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'fail':'INTERNAL'}]}}},"
                                    "{'id':'b','type':'probe','config':{"
                                    "'do':{'in':[{'append':'seen'}]}}}],"
                                    "'connections':[{'from':{'routine':'a','event':'out'},"
                                    "'to':{'routine':'b','slot':'in'}}]}",
                                    "{}");
    json_decref(wait_status(&c, job, "FAILED"));
    json_t *r = rpc(c.address, "Jobs/SkipTask", "{'job_id':'%s','event':'out','data':{'v':8}}", job);
    assert_string_equal(at(r, "step"), "2");
    json_decref(r);
    r = rpc(c.address, "Jobs/ForkJob", "{'job_id':'%s','step':2}", job);
    json_t *done = wait_status(&c, at(r, "jobId"), "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.seen[0].v"), "8");
    json_decref(done);
    json_decref(r);
    cluster_done(&c);
}

/* Forks `job` at the step, waits until the fork asks, and returns its id, to be used at once. */
static json_t *fork_asks(struct cluster *c, const char *job, int step, const char *shared, char fork[32])
{
    json_t *r =
        rpc(c->address, "Jobs/ForkJob", "{'job_id':'%s','step':%d,'shared_data':%s}", job, step, shared);
    snprintf(fork, 32, "%.31s", at(r, "jobId"));
    json_decref(r);
    return wait_status(c, fork, "PAUSED");
}

static void a_fork_begins_with_the_shared_data_of_the_job_at_whatever_step_and_however_often(void **state)
{
    (void)state;
    struct cluster c;
    char fork[32], again[32];
    cluster_start_probes(&c, 1);
    json_t *r = rpc(c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'probe',"
                    "'config':{'do':{'in':[{'ask':'Well?'}],'answer':[{'append':'said'}]}}}]},"
                    "'entry':{'routine':'a','slot':'in'},'shared_data':{'k':1,'gone':true}}");
    char job[32];
    snprintf(job, sizeof(job), "%.31s", at(r, "jobId"));
    json_decref(r);
    json_decref(wait_status(&c, job, "PAUSED"));
    json_t *asks = fork_asks(&c, job, 0, "{}", fork);
    assert_string_equal(at(asks, "job.state.sharedData.k"), "1");
    json_decref(asks);
    asks = fork_asks(&c, job, 1, "{'z':9,'gone':null}", fork);
    assert_string_equal(at(asks, "job.state.sharedData.k"), "1");
    assert_string_equal(at(asks, "job.state.sharedData.z"), "9");
    assert_null(json_at(asks, "job.state.sharedData.gone"));
    json_decref(asks);
    asks = fork_asks(&c, fork, 1, "{}",
                     again); /* before the step that changed the shared data of the first fork */
    assert_string_equal(at(asks, "job.state.sharedData.k"), "1");
    assert_true(json_is_true(json_at(asks, "job.state.sharedData.gone")));
    json_decref(asks);
    proc_stop(&c.coordinator);
    cluster_coordinator(&c, NULL); /* it is on disk, too */
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'so'}", again));
    json_t *done = wait_status(&c, again, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.k"), "1");
    assert_string_equal(at(done, "job.state.sharedData.said[0].answer"), "so");
    json_decref(done);
    cluster_done(&c);
}

static void nobody_sends_to_a_routines_own_slot_but_its_tasks_can_be_remedied(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    static const char sleeps[] = "{'inline_flow':{'routines':[{'id':'a','type':'sleep',"
                                 "'config':{'ms':36000000}}]},'data':{'v':1},"
                                 "'entry':{'routine':'a','slot':'%s'}}";
    char *error = rpc_fails(c.address, "Jobs/SubmitJob", "InvalidArgument", sleeps, "_due");
    assert_non_null(strstr(error, "entry.slot"));
    free(error);
    json_t *r = rpc(c.address, "Jobs/SubmitJob", sleeps, "input");
    char job[32];
    snprintf(job, sizeof(job), "%.31s", at(r, "jobId"));
    json_decref(r);
    json_decref(wait_status(&c, job, "SLEEPING"));
    error = rpc_fails(c.address, "Jobs/SendInput", "InvalidArgument",
                      "{'job_id':'%s','to':{'routine':'a','slot':'_due'}}", job);
    assert_non_null(strstr(error, "to.slot"));
    assert_non_null(strstr(error, "routine's own"));
    free(error);
    json_decref(rpc(c.address, "Jobs/SetBreakpoints",
                    "{'job_id':'%s','breakpoints':[{'routine':'a','slot':'_due'},"
                    "{'routine':'*','slot':'x'}]}",
                    job));
    error = rpc_fails(c.address, "Jobs/SetBreakpoints", "InvalidArgument",
                      "{'job_id':'%s','breakpoints':[{'routine':'a'},{'routine':'a','slot':'inptu'}]}", job);
    assert_non_null(strstr(error, "breakpoints[1].slot"));
    assert_non_null(strstr(error, "it has: input"));
    free(error);
    error = rpc_fails(c.address, "Jobs/SetBreakpoints", "InvalidArgument",
                      "{'job_id':'%s','breakpoints':[{'routine':'b'}]}", job);
    assert_non_null(strstr(error, "breakpoints[0].routine"));
    free(error);
    json_decref(rpc(c.address, "Jobs/SetBreakpoints", "{'job_id':'%s'}", job));
    json_decref(rpc(c.address, "Jobs/PauseJob", "{'job_id':'%s'}", job));
    json_decref(wait_status(&c, job, "PAUSED"));
    json_decref(rpc(c.address, "Jobs/EditTask", "{'job_id':'%s','task_id':'s1.0','data':{'v':2}}", job));
    json_decref(
        rpc(c.address, "Jobs/RetryTask", "{'job_id':'%s','task_id':'s1.0'}", job)); /* it is due at once */
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.v"), "2");
    json_decref(done);
    cluster_done(&c);
}

/* They hold before the first step: there is none yet. */
static void breakpoints_that_come_with_the_submit_hold_its_first_task(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    json_t *r =
        rpc(c.address, "Jobs/SubmitJob",
            "{'inline_flow':{'routines':[{'id':'a','type':'log'}]},'entry':{'routine':'a','slot':'input'},"
            "'data':{'n':7},'breakpoints':[{'routine':'a','condition':'.n == 7'}]}");
    char job[32];
    snprintf(job, sizeof(job), "%.31s", at(r, "jobId"));
    json_decref(r);
    json_t *held = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(held, "job.pauses[0].reason"), "PAUSE_REASON_BREAKPOINT");
    assert_string_equal(at(held, "job.stepCount"), "");
    json_decref(held);
    char *error = rpc_fails(c.address, "Jobs/SubmitJob", "InvalidArgument",
                            "{'inline_flow':{'routines':[{'id':'a','type':'log'}]},'entry':{'routine':'a',"
                            "'slot':'input'},'breakpoints':[{'routine':'a','condition':'.n =='}]}");
    assert_non_null(strstr(error, "breakpoints[0].condition"));
    free(error);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_decref(wait_status(&c, job, "COMPLETED"));
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(breakpoints_that_come_with_the_submit_hold_its_first_task),
        cmocka_unit_test(a_breakpoint_with_a_condition_holds_the_tasks_that_meet_it),
        cmocka_unit_test(a_breakpoint_holds_a_task_which_can_be_edited_stepped_and_released),
        cmocka_unit_test(breakpoints_are_answered_when_the_host_has_them),
        cmocka_unit_test(a_single_step_holds_the_next_task_whatever_it_is),
        cmocka_unit_test(a_failed_task_can_be_skipped_with_a_result_and_the_job_goes_on),
        cmocka_unit_test(a_failed_job_can_be_edited_patched_and_resumed_from_the_task_that_failed),
        cmocka_unit_test(a_fork_goes_another_way_from_an_earlier_step),
        cmocka_unit_test(a_fork_begins_with_the_shared_data_of_the_job_at_whatever_step_and_however_often),
        cmocka_unit_test(nobody_sends_to_a_routines_own_slot_but_its_tasks_can_be_remedied),
        cmocka_unit_test(pausing_one_job_does_not_touch_another),
        cmocka_unit_test(a_pause_waits_for_the_end_of_the_step_in_hand),
        cmocka_unit_test(input_wakes_a_sleeping_job_and_a_pause_holds_it),
        cmocka_unit_test(a_failed_job_that_goes_on_asks_its_open_question_again),
        cmocka_unit_test(a_fork_behind_a_skipped_task_goes_on_with_the_result_in_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
