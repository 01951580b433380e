/* The main job with real daemons and grpcurl: submit, pause on one host, answer, go on on another, everything
 * intact. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "certs.h"
#include "cluster.h"

static void resume(struct cluster *c, const char *job, const char *answer, const char *placement)
{
    json_decref(rpc(c->address, "Jobs/ResumeJob",
                    "{'job_id':'%s','answer':'%s','placement':%s,'answered_by':'ann'}", job, answer,
                    placement));
}

static void an_agent_asks_on_one_host_and_ends_on_another_with_its_state_intact(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    put_trip(&c, "'delay_ms':50");
    const char *job = submit_trip(&c, "Plan a trip");
    json_t *paused = wait_status(&c, job, "PAUSED");
    char first[8];
    strcpy(first, at(paused, "job.lastHost"));
    assert_string_equal(at(paused, "job.host"), "");
    assert_string_equal(at(paused, "job.stepCount"), "1");
    assert_string_equal(at(paused, "job.pauses[0].reason"), "PAUSE_REASON_QUESTION");
    assert_non_null(strstr(at(paused, "job.pauses[0].question"), "Plan a trip"));
    assert_string_equal(at(paused, "job.pauses[0].data.task"), "Plan a trip");
    assert_string_equal(at(paused, "job.state.sharedData.agent.status"), "asked");
    assert_string_equal(at(paused, "job.state.sharedLog[0].data.result"), "ask");
    assert_string_equal(at(paused, "job.state.routineStates.agent.messages[0].content"), "Plan a trip");
    assert_string_equal(at(paused, "job.state.deferredEvents[0].event"), "question");
    resume(&c, job, "Kyoto, five days", "{'mode':'PLACEMENT_MODE_ANOTHER_HOST'}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_not_equal(at(done, "job.lastHost"), first);
    assert_string_equal(at(done, "job.stepCount"), "2");
    assert_int_equal(json_array_size(json_at(done, "job.state.routineStates.agent.messages")), 4);
    assert_string_equal(at(done, "job.state.routineStates.agent.messages[2].content"), "Kyoto, five days");
    assert_int_equal(json_array_size(json_at(done, "job.state.sharedLog")), 2);
    assert_null(json_at(done, "job.state.deferredEvents"));
    assert_null(json_at(done, "job.state.pendingTasks"));
    assert_string_equal(at(done, "job.state.outputs[0].event"), "output");
    assert_non_null(strstr(at(done, "job.state.outputs[0].data.text"), "Kyoto"));
    assert_string_equal(at(done, "job.state.outputs[1].event"), "completed");
    assert_int_equal(json_array_size(json_at(done, "job.state.outputs")),
                     2); /* the question was in the pause */
    json_t *history = rpc(c.address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_int_equal(json_array_size(json_at(history, "steps")), 2);
    assert_string_equal(at(history, "steps[0].host"), first);
    assert_string_equal(at(history, "steps[1].host"), at(done, "job.lastHost"));
    assert_string_equal(at(history, "steps[1].slot"), "user_input");
    assert_string_equal(at(history, "steps[1].task.answeredBy"), certs_wanted() ? "user:ann" : "ann");
    assert_string_equal(at(history, "steps[1].task.data.answer"), "Kyoto, five days");
    assert_string_equal(at(history, "steps[1].epoch"), "2");
    json_decref(history);
    json_decref(paused);
    json_decref(done);
    cluster_done(&c);
}

static void deferred_events_are_emitted_on_resume_once_and_before_the_answer(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    json_decref(rpc(c.address, "Flows/PutFlow",
                    "{'flow':{'name':'trip','routines':[{'id':'agent','type':'llm_agent',"
                    "'config':{'provider':'mock'}},{'id':'asked','type':'log',"
                    "'config':{'message':'was asked'}},{'id':'said','type':'log',"
                    "'config':{'message':'said'}}],'connections':[{'from':{'routine':'agent',"
                    "'event':'question'},'to':{'routine':'asked','slot':'input'}},"
                    "{'from':{'routine':'agent','event':'output'},'to':{'routine':'said','slot':'input'},"
                    "'mapping':{'text':'answer'}}]}}"));
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "PAUSED"));
    resume(&c, job, "x", "{}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    json_t *log = json_at(done, "job.state.sharedLog");
    assert_int_equal(json_array_size(log), 4);
    assert_string_equal(at(log, "[1].message"), "was asked");
    assert_string_equal(at(log, "[2].data.result"), "say");
    assert_string_equal(at(log, "[3].message"), "said");
    assert_non_null(strstr(at(log, "[3].data.answer"), "x"));
    assert_null(json_at(log, "[3].data.text"));
    json_t *history = rpc(c.address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_string_equal(at(history, "steps[1].taskId"), "d2.0");
    assert_string_equal(at(history, "steps[1].deferredEmitted"), "1");
    json_decref(history);
    json_decref(done);
    cluster_done(&c);
}

static void a_deferred_event_that_no_connection_takes_is_an_output_when_it_is_emitted(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'defer':'note'},{'ask':'Go on?'}],"
                                    "'answer':[{'emit':'end'}]}}}]}",
                                    "{'v':7}");
    json_t *asks = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(asks, "job.state.deferredEvents[0].event"), "note");
    assert_null(json_at(asks, "job.state.outputs"));
    json_decref(asks);
    resume(&c, job, "x", "{}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].event"), "note");
    assert_string_equal(at(done, "job.state.outputs[0].routine"), "a");
    assert_string_equal(at(done, "job.state.outputs[0].data.v"), "7");
    assert_string_equal(at(done, "job.state.outputs[0].step"), "2");
    assert_string_equal(at(done, "job.state.outputs[1].event"), "end");
    assert_int_equal(json_array_size(json_at(done, "job.state.outputs")), 2);
    json_decref(done);
    json_t *history = rpc(c.address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_string_equal(at(history, "steps[1].deferredEmitted"), "1");
    assert_string_equal(at(history, "steps[1].deferredOutputs[0].event"), "note");
    assert_string_equal(at(history, "steps[1].deferredOutputs[0].data.v"), "7");
    json_decref(history);
    cluster_done(&c);
}

/* The connection's filter does not let it pass, and there is no task whose step could carry it. */
static void a_deferred_event_that_is_all_that_is_left_is_an_output_too(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'fail':'INTERNAL'}]}}},"
                                    "{'id':'b','type':'log'}],'connections':[{'from':{'routine':'a',"
                                    "'event':'out'},'to':{'routine':'b','slot':'input'},"
                                    "'filter':{'ok':true}}]}",
                                    "{}");
    json_decref(wait_status(&c, job, "FAILED"));
    json_decref(rpc(c.address, "Jobs/SkipTask", "{'job_id':'%s','event':'out','data':{'ok':false}}", job));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].event"), "out");
    assert_true(json_is_false(json_at(done, "job.state.outputs[0].data.ok")));
    assert_null(json_at(done, "job.state.deferredEvents"));
    json_decref(done);
    cluster_done(&c);
}

static void a_watch_shows_the_steps_and_ends_with_the_job_and_can_be_taken_up(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    put_trip(&c, "'script':[{'say':'one'},{'say':'two'},{'say':'three'}]");
    const char *job = submit_trip(&c, "t");
    json_t *all = rpc_stream_all(c.address, "Jobs/WatchJob", "{'job_id':'%s'}", job);
    size_t n = json_array_size(all), steps = 0;
    for (size_t i = 0; i < n; i++) {
        json_t *step = json_object_get(json_array_get(all, i), "step");
        if (step != NULL)
            assert_int_equal(json_integer_value(json_object_get(step, "number")), ++steps);
    }
    assert_int_equal(steps, 3);
    assert_string_equal(at(json_array_get(all, n - 1), "job.status"), "JOB_STATUS_COMPLETED");
    json_decref(all);
    all = rpc_stream_all(c.address, "Jobs/WatchJob", "{'job_id':'%s','from_step':3}", job);
    assert_int_equal(json_array_size(all), 3);
    assert_string_equal(at(all, "[1].step.number"), "3");
    json_decref(all);
    cluster_done(&c);
}

static void a_resume_that_demands_another_host_waits_for_one_and_says_so(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    put_trip(&c, "");
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "PAUSED"));
    resume(&c, job, "x", "{'mode':'PLACEMENT_MODE_ANOTHER_HOST_ONLY'}");
    json_t *waits = wait_status(&c, job, "PENDING");
    assert_non_null(strstr(at(waits, "job.waitingReason"), "another host than a is required"));
    assert_string_equal(at(waits, "job.state.pendingTasks[0].data.answer"), "x");
    json_decref(waits);
    cluster_host(&c, 1, "b", NULL);
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.lastHost"), "b");
    json_decref(done);
    cluster_done(&c);
}

static void placement_by_name_by_label_and_on_the_same_host_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *placement, *host;
    } cases[] = {
        {"{'host':'b'}",                        "b"},
        {"{'labels':{'zone':'c'}}",             "c"},
        {"{'mode':'PLACEMENT_MODE_SAME_HOST'}", "" }
    };
    struct cluster c;
    cluster_start(&c, 3);
    put_trip(&c, "");
    for (size_t i = 0; i < 3; i++) {
        const char *job = submit_trip(&c, "t");
        json_t *paused = wait_status(&c, job, "PAUSED");
        resume(&c, job, "x", cases[i].placement);
        json_t *done = wait_status(&c, job, "COMPLETED");
        assert_string_equal(at(done, "job.lastHost"),
                            cases[i].host[0] != '\0' ? cases[i].host : at(paused, "job.lastHost"));
        json_decref(paused);
        json_decref(done);
    }
    cluster_done(&c);
}

static void a_script_may_ask_twice_and_end_with_a_question(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    put_trip(&c, "'script':[{'say':'hello'},{'ask':'first?'},{'ask':'second?'}]");
    const char *job = submit_trip(&c, "t");
    static const char *const questions[] = {"first?", "second?"}, *const pauses[] = {"p2.0", "p3.0"};
    for (int i = 0; i < 2; i++) {
        json_t *paused = wait_status(&c, job, "PAUSED");
        assert_string_equal(at(paused, "job.pauses[0].question"), questions[i]);
        assert_string_equal(at(paused, "job.pauses[0].pauseId"), pauses[i]);
        json_decref(paused);
        resume(&c, job, i == 0 ? "one" : "two", "{}");
    }
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.stepCount"), "4");
    assert_non_null(strstr(at(done, "job.state.outputs[1].data.text"), "two"));
    json_decref(done);
    cluster_done(&c);
}

static void a_human_routine_asks_and_hands_the_answer_on(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    json_t *j = rpc(c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'h','type':'human',"
                    "'config':{'question':'Ship it?','choices':['yes','no']}}]},"
                    "'entry':{'routine':'h','slot':'input'},'data':{'version':7}}");
    char job[32];
    strcpy(job, at(j, "jobId"));
    json_decref(j);
    json_t *paused = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(paused, "job.pauses[0].question"), "Ship it?");
    assert_string_equal(at(paused, "job.pauses[0].choices[1]"), "no");
    json_decref(paused);
    resume(&c, job, "yes", "{}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.answer"), "yes");
    assert_string_equal(at(done, "job.state.outputs[0].data.version"), "7");
    assert_string_equal(at(done, "job.state.outputs[0].data.question"), "Ship it?");
    json_decref(done);
    cluster_done(&c);
}

static void pause_from_outside_takes_effect_and_the_job_goes_on_after_it(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    put_trip(&c, "'ask':false,'delay_ms':600000");
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "RUNNING"));
    json_t *r = rpc(c.address, "Jobs/PauseJob", "{'job_id':'%s','reason':'lunch','grace_ms':100}", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_PAUSED");
    json_t *paused = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(paused, "job.pauses[0].reason"), "PAUSE_REASON_OPERATOR");
    assert_string_equal(at(paused, "job.pauses[0].question"), "lunch");
    assert_string_equal(at(paused, "job.state.pendingTasks[0].taskId"), "i1");
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','pause_id':'%s'}", job, at(r, "pauseId")));
    json_decref(wait_status(&c, job, "RUNNING"));
    json_t *cancelled = rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", job);
    assert_string_equal(at(cancelled, "status"), "JOB_STATUS_CANCELLED");
    json_decref(cancelled);
    json_decref(paused);
    json_decref(r);
    cluster_done(&c);
}

static void an_input_is_kept_until_the_job_takes_it(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    put_trip(&c, "");
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "PAUSED"));
    json_t *r = rpc(c.address, "Jobs/SendInput",
                    "{'job_id':'%s','to':{'routine':'agent','slot':'tool_result'},'data':{'n':1}}", job);
    assert_string_equal(at(r, "inputNumber"), "2");
    json_decref(r);
    json_decref(wait_status(&c, job, "PAUSED"));
    resume(&c, job, "x", "{}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.stepCount"), "3");
    assert_string_equal(at(done, "job.state.inputsThrough"), "3");
    json_decref(done);
    free(rpc_fails(c.address, "Jobs/SendInput", "FailedPrecondition",
                   "{'job_id':'%s','to':{'routine':'agent','slot':'tool_result'}}", job));
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_agent_asks_on_one_host_and_ends_on_another_with_its_state_intact),
        cmocka_unit_test(deferred_events_are_emitted_on_resume_once_and_before_the_answer),
        cmocka_unit_test(a_deferred_event_that_no_connection_takes_is_an_output_when_it_is_emitted),
        cmocka_unit_test(a_deferred_event_that_is_all_that_is_left_is_an_output_too),
        cmocka_unit_test(a_watch_shows_the_steps_and_ends_with_the_job_and_can_be_taken_up),
        cmocka_unit_test(a_resume_that_demands_another_host_waits_for_one_and_says_so),
        cmocka_unit_test(placement_by_name_by_label_and_on_the_same_host_is_kept),
        cmocka_unit_test(a_script_may_ask_twice_and_end_with_a_question),
        cmocka_unit_test(a_human_routine_asks_and_hands_the_answer_on),
        cmocka_unit_test(pause_from_outside_takes_effect_and_the_job_goes_on_after_it),
        cmocka_unit_test(an_input_is_kept_until_the_job_takes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
