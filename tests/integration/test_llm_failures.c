/* What is left of an agent when a model call has failed, and which answers its questions take, with real HTTP
 * and real daemons. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "llm_cluster.h"

/* A job of an agent whose first call after a result or an answer is refused for good. What comes from `event`
 * makes somebody tell it to go on. */
static const char *submit_stumbling(const char *provider, const char *model, const char *on_error,
                                    const char *event, const char *more)
{
    static char id[32];
    json_t *r = rpc(llm.c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'agent','type':'llm_agent',"
                    "'policy':{'on_error':'ERROR_POLICY_%s'},"
                    "'config':{'provider':'%s','model':'%s','base_url':'%s',"
                    "'tools':[{'name':'lookup'%s}]}},{'id':'look','type':'log'},"
                    "{'id':'nudge','type':'log'}],'connections':[{'from':{'routine':'agent',"
                    "'event':'tool_call'},'to':{'routine':'look','slot':'input'}},"
                    "{'from':{'routine':'look','event':'output'},"
                    "'to':{'routine':'agent','slot':'tool_result'},'mapping':{'arguments':'result'},"
                    "'drop_unmapped':true},{'from':{'routine':'agent','event':'%s'},"
                    "'to':{'routine':'nudge','slot':'input'}},"
                    "{'from':{'routine':'nudge','event':'output'},"
                    "'to':{'routine':'agent','slot':'user_input'},'drop_unmapped':true,"
                    "'constants':{'answer':'Go on.'}}]},'entry':{'routine':'agent','slot':'trigger'},"
                    "'data':{'task':'Look.'}}",
                    on_error, provider, model, llm.base, more, event);
    snprintf(id, sizeof(id), "%.31s", at(r, "jobId"));
    json_decref(r);
    return id;
}

static void answer(const char *job, const char *value)
{
    json_decref(wait_status(&llm.c, job, "PAUSED"));
    json_decref(rpc(llm.c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':%s}", job, value));
}

static void a_call_that_fails_after_a_result_or_an_answer_leaves_an_agent_that_goes_on(void **state)
{
    (void)state;
    static const char *const policies[] = {"CONTINUE", "SKIP", "ROUTE"},
                             *const kinds[] = {"lookup", "ask", "lookup-approved"},
                             *const knows[] = {"I know: {\"what\":\"one\"}", "I know: blue",
                                               "I know: {\"what\":\"one\"}"};
    for (int i = 0; i < 18; i++) {
        int policy = i % 3, kind = i / 3 % 3;
        bool routed = policy == 2;
        char model[64], job[32];
        snprintf(model, sizeof(model), "stumble-%s-%d", kinds[kind], i);
        snprintf(job, sizeof(job), "%.31s",
                 submit_stumbling(llm_providers[i / 9], model, policies[policy],
                                  routed      ? "error"
                                  : kind == 1 ? "question"
                                              : "tool_call",
                                  kind == 2 ? ",'approval':'required'" : ""));
        if (kind > 0)
            answer(job, kind == 1 ? "'blue'" : "'approve'");
        json_t *j = wait_status(&llm.c, job, "COMPLETED"),
               *messages = json_at(j, "job.state.routineStates.agent.messages");
        assert_string_equal(at(j, "job.state.sharedData.agent.text"), knows[kind]);
        assert_string_equal(at(json_array_get(messages, 2), "role"), "tool");
        assert_string_equal(at(json_array_get(messages, 3), routed ? "content" : "role"),
                            routed ? "Go on." : "assistant");
        assert_int_equal(json_object_size(json_at(j, "job.state.routineStates.agent.asked")), 0);
        assert_int_equal(json_object_size(json_at(j, "job.state.routineStates.agent.waiting")), 0);
        json_decref(j);
        json_decref(llm_requests(model)); /* none broke the order of calls and results */
    }
}

static void an_answer_and_the_next_call_are_one_step_when_a_failure_fails_the_job(void **state)
{
    (void)state;
    char job[32];
    snprintf(job, sizeof(job), "%.31s", llm_submit("openai", "ask", "", ""));
    answer(job, "'blue'");
    json_t *j = wait_status(&llm.c, job, "COMPLETED");
    assert_string_equal(at(j, "job.stepCount"), "2");
    json_decref(j);
}

static void a_choice_that_is_no_text_is_answered_by_its_text_or_by_its_value(void **state)
{
    (void)state;
    static const char *const answers[] = {"2", "'2'", "{'b':[true,null],'a':1}",
                                          "'{\"a\":1,\"b\":[true,null]}'", "'red'"},
                             *const wrong[] = {"3",
                                               "{'a':1}",
                                               "{'a':1,'b':[true,null,1]}",
                                               "{'a':1,'b':[true,false]}",
                                               "null",
                                               "['red']",
                                               "'blue'",
                                               "true"},
                             *const knows[] = {"I know: 2", "I know: 2",
                                               "I know: {\"a\":1,\"b\":[true,null]}",
                                               "I know: {\"a\":1,\"b\":[true,null]}", "I know: red"};
    for (int i = 0; i < 5; i++) {
        char job[32];
        snprintf(job, sizeof(job), "%.31s", llm_submit(llm_providers[i % 2], "ask-any", "", ""));
        json_decref(wait_status(&llm.c, job, "PAUSED"));
        for (size_t k = 0; i == 0 && k < sizeof(wrong) / sizeof(wrong[0]); k++) {
            char *error = rpc_fails(llm.c.address, "Jobs/ResumeJob", "InvalidArgument",
                                    "{'job_id':'%s','answer':%s}", job, wrong[k]);
            if (strstr(error, "one of \"2\", \"{\"a\":1,\"b\":[true,null]}\", \"red\"") == NULL)
                fail_msg("%s", error);
            free(error);
        }
        answer(job, answers[i]);
        json_t *j = wait_status(&llm.c, job, "COMPLETED");
        assert_string_equal(at(j, "job.state.sharedData.agent.text"), knows[i]);
        json_decref(j);
    }
}

static void what_failed_attempts_have_used_counts_for_the_limits(void **state)
{
    (void)state; /* each attempt uses 100 + 20 tokens and is of no use */
    static const char retry[] = ",'policy':{'retry':{'max_attempts':%d,'initial_delay_ms':1}}";
    for (int i = 0; i < 4; i++) {
        char policy[100], job[32];
        snprintf(policy, sizeof(policy), retry, i < 2 ? 10 : 2);
        snprintf(job, sizeof(job), "%.31s",
                 llm_submit("openai", "failed",
                            i % 2 == 0 ? ",'max_tokens':30,'limits':{'max_tokens':500}"
                                       : ",'max_tokens':30,'limits':{'max_cost':0.0125}",
                            policy));
        json_t *j = wait_status(&llm.c, job, i < 2 ? "PAUSED" : "FAILED");
        assert_string_equal(at(j, "job.usage.calls"), i < 2 ? "3" : "2");
        assert_int_equal(json_number_value(json_at(j, "job.state.routineStates.agent.tokens")),
                         i < 2 ? 360 : 240);
        assert_string_equal(at(j, "job.state.routineStates.agent.cost"),
                            i < 2 ? "0.009" : "0.006"); /* not 0.009000000000000001 */
        if (i < 2) {
            assert_string_equal(at(j, "job.pauses[0].reason"), "PAUSE_REASON_BUDGET");
            answer(job, "'stop'");
            json_decref(wait_status(&llm.c, job, "COMPLETED"));
        }
        json_decref(j);
    }
}

static void limits_and_timeouts_that_would_mean_nothing_are_refused(void **state)
{
    (void)state;
    static const char *const settings[] = {"'limits':{'max_turn':8}", "'limits':{'max_tokens':'20000'}",
                                           "'limits':{'max_cost':-1}", "'timeouts':{'total':5}",
                                           "'tools':[{'name':'lookup'},{'name':'lookup'}]"},
                             *const faults[] = {"unknown key \"max_turn\"; did you mean \"max_turns\"?",
                                                "max_tokens is a string; it must be a number",
                                                "max_cost is -1", "unknown key \"total\"",
                                                "has the name \"lookup\", as tools[0] has"};
    for (int i = 0; i < 5; i++) {
        char *error = rpc_fails(llm.c.address, "Jobs/SubmitJob", "InvalidArgument",
                                "{'inline_flow':{'routines':[{'id':'agent','type':'llm_agent',"
                                "'config':{'provider':'openai','model':'say',%s}}]},"
                                "'entry':{'routine':'agent','slot':'trigger'}}",
                                settings[i]);
        if (strstr(error, faults[i]) == NULL)
            fail_msg("%s", error);
        free(error);
    }
}

static void a_limit_is_raised_by_its_name_by_its_number_or_as_the_configuration_has_it(void **state)
{
    (void)state;
    static const char *const answers[] = {"{'max_tokens':9000}", "9000", "{'limits':{'max_tokens':9000}}"};
    for (int i = 0; i < 3; i++) {
        char job[32];
        snprintf(job, sizeof(job), "%.31s", llm_submit("openai", "say", ",'limits':{'max_tokens':10}", ""));
        answer(job, answers[i]);
        json_t *j = wait_status(&llm.c, job, "COMPLETED");
        assert_string_equal(at(j, "job.state.sharedData.agent.text"), "Peace is quiet.");
        assert_int_equal(json_number_value(json_at(j, "job.state.routineStates.agent.limits.max_tokens")),
                         9000);
        json_decref(j);
    }
}

static void an_answer_that_raises_no_limit_is_refused_and_says_what_is_wanted(void **state)
{
    (void)state;
    static const char *const wrong[] = {"-1",
                                        "{'max_tokens':-1}",
                                        "{'max_tokens':10}",
                                        "{'max_tokens':60}",
                                        "60",
                                        "{}",
                                        "null",
                                        "{'max_token':9000}",
                                        "{'max_cost':5}",
                                        "{'max_tokens':9000,'max_turns':-1}",
                                        "{'max_tokens':null}",
                                        "{'limits':{'max_tokens':-1}}",
                                        "'-5'",
                                        "'more'",
                                        "true"};
    char job[32];
    snprintf(job, sizeof(job), "%.31s",
             llm_submit("openai", "say", ",'max_tokens':50,'limits':{'max_tokens':60}", ""));
    json_t *j = wait_status(&llm.c, job, "PAUSED");
    double least = json_number_value(json_at(j, "job.pauses[0].data.at_least"));
    assert_true(least > 60);
    json_decref(j);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char *error = rpc_fails(llm.c.address, "Jobs/ResumeJob", "InvalidArgument",
                                "{'job_id':'%s','answer':%s}", job, wrong[i]);
        if (strstr(error, "wanted is \"stop\", or the new limit, at least ") == NULL)
            fail_msg("%s: %s", wrong[i], error);
        free(error);
    }
    answer(job, "'20'"); /* a text with too low a number: the question comes again */
    j = wait_status(&llm.c, job, "PAUSED");
    assert_string_equal(at(j, "job.pauses[0].reason"), "PAUSE_REASON_BUDGET");
    assert_true(json_number_value(json_at(j, "job.pauses[0].data.most")) == 60);
    json_decref(j);
    char enough[64];
    snprintf(enough, sizeof(enough), "'%.0f'", least);
    answer(job, enough);
    j = wait_status(&llm.c, job, "COMPLETED");
    assert_string_equal(at(j, "job.state.sharedData.agent.text"), "Peace is quiet.");
    assert_true(json_number_value(json_at(j, "job.state.routineStates.agent.limits.max_tokens")) == least);
    json_decref(j);
}

static void a_tool_whose_calls_nobody_takes_is_warned_of(void **state)
{
    (void)state;
    json_t *r = rpc(llm.c.address, "Flows/PutFlow",
                    "{'flow':{'name':'tools','routines':[{'id':'agent','type':'llm_agent',"
                    "'config':{'provider':'openai','model':'m',"
                    "'limits':{'max_turns':9},'tools':[{'name':'one'},{'name':'two'},{'name':'three'}]}},"
                    "{'id':'look','type':'log'}],'connections':[{'from':{'routine':'agent',"
                    "'event':'tool_call'},'to':{'routine':'look','slot':'input'},'filter':{'name':'one'}},"
                    "{'from':{'routine':'agent','event':'tool_call'},"
                    "'to':{'routine':'look','slot':'input'},'filter':{'name':'three'}}]}}");
    assert_int_equal(json_array_size(json_at(r, "warnings")), 1);
    assert_non_null(strstr(at(r, "warnings[0]"), "no connection takes calls of the tool \"two\""));
    json_decref(r);
    r = rpc(llm.c.address, "Flows/PutFlow",
            "{'flow':{'name':'tools','routines':[{'id':'agent','type':'llm_agent',"
            "'config':{'provider':'openai','model':'m','limits':{'max_turns':9},'tools':[{'name':'one'},{'"
            "name':'two'}]}},"
            "{'id':'look','type':'log'}],'connections':[{'from':{'routine':'agent','event':'tool_call'},"
            "'to':{'routine':'look','slot':'input'}}]}}");
    assert_null(json_at(r, "warnings"));
    json_decref(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_fails_after_a_result_or_an_answer_leaves_an_agent_that_goes_on),
        cmocka_unit_test(an_answer_and_the_next_call_are_one_step_when_a_failure_fails_the_job),
        cmocka_unit_test(a_choice_that_is_no_text_is_answered_by_its_text_or_by_its_value),
        cmocka_unit_test(what_failed_attempts_have_used_counts_for_the_limits),
        cmocka_unit_test(an_answer_that_raises_no_limit_is_refused_and_says_what_is_wanted),
        cmocka_unit_test(a_tool_whose_calls_nobody_takes_is_warned_of),
        cmocka_unit_test(limits_and_timeouts_that_would_mean_nothing_are_refused),
        cmocka_unit_test(a_limit_is_raised_by_its_name_by_its_number_or_as_the_configuration_has_it),
    };
    return cmocka_run_group_tests(tests, llm_start, llm_stop);
}
