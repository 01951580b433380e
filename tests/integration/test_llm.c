/* The agent with real HTTP: both providers against a server that speaks their protocols and checks every
 * request against what they publish; tools, questions, approval, budgets, errors. */
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

static void a_model_says_something_with_either_provider_streamed_or_not(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const char *job =
            llm_submit(llm_providers[i % 2], i < 2 ? "say" : "cached", i < 2 ? "" : ",'stream':true", "");
        json_t *j = wait_status(&llm.c, job, "COMPLETED");
        assert_string_equal(at(j, "job.state.outputs[0].data.text"), "Peace is quiet.");
        assert_string_equal(at(j, "job.state.usage.inputTokens"), "100");
        assert_string_equal(at(j, "job.state.usage.outputTokens"), "20");
        assert_string_equal(at(j, "job.state.usage.cachedTokens"), i < 2 ? "" : "60");
        assert_string_equal(at(j, "job.state.usage.calls"), "1");
        if (i % 2 == 0)
            assert_string_equal(at(j, "job.state.usage.cost"), i < 2 ? "0.003" : "0.00246");
        assert_string_equal(at(j, "job.state.sharedLog[0].data.request_id"),
                            i % 2 == 0 ? (i < 2 ? "req-openai" : "") : (i < 2 ? "req-anthropic" : ""));
        assert_int_equal(strlen(at(j, "job.state.sharedLog[0].data.request_sha256")), 64);
        json_decref(j);
    }
    json_t *all = llm_requests("say");
    assert_string_equal(at(json_array_get(all, 0), "key"), "Bearer " LLM_KEY);
    assert_string_equal(at(json_array_get(all, 0), "body.messages[0].content"), "Be brief.");
    assert_string_equal(at(json_array_get(all, 1), "key"), LLM_KEY);
    assert_string_equal(at(json_array_get(all, 1), "body.system"), "Be brief.");
    assert_string_equal(at(json_array_get(all, 1), "version"), "2023-06-01");
    json_decref(all);
}

static void several_tools_are_called_and_the_loop_goes_on_until_the_model_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const char *job = llm_submit(llm_providers[i % 2], "tools", i < 2 ? "" : ",'stream':true", "");
        json_t *j = wait_status(&llm.c, job, "COMPLETED");
        char last[300];
        size_t n = json_array_size(json_at(j, "job.state.outputs"));
        snprintf(last, sizeof(last), "job.state.outputs[%zu].data.text", n - 1);
        assert_string_equal(at(j, last), "I know: {\"what\":\"one\"}, {\"what\":\"two\"}");
        assert_string_equal(at(j, "job.state.usage.calls"), "2");
        assert_int_equal(json_array_size(json_at(j, "job.state.routineStates.agent.messages")), 6);
        json_decref(j);
    }
}

static void the_model_asks_a_person_by_the_built_in_tool(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        char job[32];
        snprintf(job, sizeof(job), "%.31s", llm_submit(llm_providers[i], "ask", "", ""));
        json_t *j = wait_status(&llm.c, job, "PAUSED");
        assert_string_equal(at(j, "job.pauses[0].question"), "Which colour?");
        assert_string_equal(at(j, "job.pauses[0].choices[1]"), "blue");
        assert_string_equal(at(j, "job.state.deferredEvents[0].event"), "question");
        char first[8];
        snprintf(first, sizeof(first), "%.7s", at(j, "job.lastHost"));
        json_decref(j);
        json_decref(rpc(llm.c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'blue'}", job));
        j = wait_status(&llm.c, job, "COMPLETED");
        assert_string_not_equal(at(j, "job.lastHost"), first);
        assert_string_equal(at(j, "job.state.sharedData.agent.text"), "I know: blue");
        json_decref(j);
    }
}

static void a_tool_that_is_not_there_is_told_to_the_model(void **state)
{
    (void)state;
    json_t *j = wait_status(&llm.c, llm_submit("openai", "ask-bad", "", ""), "COMPLETED");
    assert_string_equal(at(j, "job.state.sharedData.agent.text"), "I know: error: there is no tool juggle");
    json_decref(j);
}

static void errors_that_pass_are_tried_again_and_others_are_told_in_the_provider_s_words(void **state)
{
    (void)state;
    static const char quick[] = ",'policy':{'retry':{'max_attempts':4,'initial_delay_ms':1}}";
    static const char *const passing[] = {"busy-2", "down-2"};
    for (int i = 0; i < 4; i++) {
        json_t *j =
            wait_status(&llm.c, llm_submit(llm_providers[i % 2], passing[i / 2], "", quick), "COMPLETED");
        json_decref(j);
    }
    json_t *all = llm_requests("busy-2");
    assert_int_equal(json_array_size(all), 4); /* of both: the first has used up the errors */
    assert_string_equal(at(json_array_get(all, 0), "idempotency"), at(json_array_get(all, 2), "idempotency"));
    json_decref(all);
    json_t *j =
        wait_status(&llm.c, llm_submit("openai", "cutstream-1", ",'stream':true", quick), "COMPLETED");
    assert_string_equal(at(j, "job.state.sharedData.agent.text"), "Peace is quiet.");
    assert_string_equal(at(j, "job.stepCount"), "2");
    json_decref(j);
    static const struct {
        const char *model, *code, *text;
    } lasting[] = {
        {"unauthorized", "FAILED_PRECONDITION", "status 401"              },
        {"wrong",        "INVALID_ARGUMENT",    "max_tokens is too large" },
        {"huge",         "RESOURCE_EXHAUSTED",  "more than 16777216 bytes"},
    };
    for (size_t i = 0; i < 6; i++) {
        j = wait_status(&llm.c, llm_submit(llm_providers[i % 2], lasting[i / 2].model, "", quick), "FAILED");
        assert_string_equal(at(j, "job.error.code"), lasting[i / 2].code);
        if (strstr(at(j, "job.error.message"), lasting[i / 2].text) == NULL)
            fail_msg("%s", at(j, "job.error.message"));
        assert_string_equal(at(j, "job.stepCount"), "1");
        json_decref(j);
    }
    static const char twice[] = ",'policy':{'retry':{'max_attempts':2,'initial_delay_ms':1}}";
    static const char *const odd[] = {"garbage", "cut"};
    for (size_t i = 0; i < 2; i++) {
        j = wait_status(&llm.c, llm_submit("anthropic", odd[i], "", twice), "FAILED");
        assert_string_equal(at(j, "job.error.code"), "UNAVAILABLE");
        assert_string_equal(at(j, "job.stepCount"), "2");
        json_decref(j);
    }
    j = wait_status(&llm.c,
                    llm_submit("openai", "silent", ",'timeouts':{'first_byte_ms':100}",
                               ",'policy':{'retry':{'max_attempts':1}}"),
                    "FAILED");
    assert_string_equal(at(j, "job.error.code"), "DEADLINE_EXCEEDED");
    json_decref(j);
}

static void a_secret_that_is_not_there_and_a_server_that_is_not_there(void **state)
{
    (void)state;
    json_t *r = rpc(llm.c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'llm_agent',"
                    "'config':{'provider':'openai','model':'m','api_key':'NO_SUCH_KEY'}}]},"
                    "'entry':{'routine':'a','slot':'trigger'}}");
    json_t *j = wait_status(&llm.c, at(r, "jobId"), "FAILED");
    assert_string_equal(at(j, "job.error.code"), "FAILED_PRECONDITION");
    assert_non_null(strstr(at(j, "job.error.message"), "NO_SUCH_KEY"));
    json_decref(j);
    json_decref(r);
    r = rpc(llm.c.address, "Jobs/SubmitJob",
            "{'inline_flow':{'routines':[{'id':'a','type':'llm_agent',"
            "'config':{'provider':'openai','model':'m','base_url':'http://127.0.0.1:1/v1'},"
            "'policy':{'retry':{'max_attempts':1}}}]},'entry':{'routine':'a','slot':'trigger'}}");
    j = wait_status(&llm.c, at(r, "jobId"), "FAILED");
    assert_string_equal(at(j, "job.error.code"), "UNAVAILABLE");
    json_decref(j);
    json_decref(r);
}

static void a_tool_that_needs_approval_shows_what_it_will_do_and_waits(void **state)
{
    (void)state;
    static const char *const answers[] = {"approve", "deny"};
    for (int i = 0; i < 2; i++) {
        char job[32];
        json_t *r = rpc(llm.c.address, "Jobs/SubmitJob", "%s",
                        "{'inline_flow':{'routines':[{'id':'agent','type':'llm_agent',"
                        "'config':{'provider':'mock','script':[{'tool':{'name':'pay',"
                        "'arguments':{'sum':12}}},{'say':'Finished.'}],"
                        "'tools':[{'name':'pay','approval':'required'}]}},{'id':'pay','type':'log'}],"
                        "'connections':[{'from':{'routine':'agent','event':'tool_call'},"
                        "'to':{'routine':'pay','slot':'input'}},"
                        "{'from':{'routine':'pay','event':'output'},"
                        "'to':{'routine':'agent','slot':'tool_result'},'mapping':{'arguments':'result'},"
                        "'drop_unmapped':true}]},'entry':{'routine':'agent','slot':'trigger'},"
                        "'data':{'task':'Pay.'}}");
        snprintf(job, sizeof(job), "%.31s", at(r, "jobId"));
        json_decref(r);
        json_t *j = wait_status(&llm.c, job, "PAUSED");
        assert_string_equal(at(j, "job.pauses[0].data.tool"), "pay");
        assert_string_equal(at(j, "job.pauses[0].data.arguments.sum"), "12");
        json_decref(j);
        free(rpc_fails(llm.c.address, "Jobs/ResumeJob", "InvalidArgument",
                       "{'job_id':'%s','answer':'perhaps'}", job));
        json_decref(rpc(llm.c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'%s'}", job, answers[i]));
        j = wait_status(&llm.c, job, "COMPLETED");
        assert_string_equal(at(j, "job.state.routineStates.agent.messages[2].role"), "tool");
        if (i == 0)
            assert_string_equal(at(j, "job.state.routineStates.agent.messages[2].content.sum"), "12");
        else
            assert_non_null(strstr(at(j, "job.state.routineStates.agent.messages[2].content"), "denied"));
        assert_string_equal(at(j, "job.state.sharedData.agent.text"), "Finished.");
        json_decref(j);
    }
}

static void an_open_question_names_the_call_that_it_is_about(void **state)
{
    (void)state;
    static const char *const second[] = {"{'name':'pay','arguments':{'sum':12}}",
                                         "{'name':'ask_user','arguments':{'question':'How much?'}}"};
    for (int i = 0; i < 2; i++) {
        json_t *r = rpc(llm.c.address, "Jobs/SubmitJob",
                        "{'inline_flow':{'routines':[{'id':'agent','type':'llm_agent',"
                        "'config':{'provider':'mock','script':[{'tool':{'name':'look',"
                        "'arguments':{'what':'sum'}}},{'tool':%s},{'say':'Finished.'}],"
                        "'tools':[{'name':'look'},{'name':'pay','approval':'required'}]}},"
                        "{'id':'look','type':'log'}],'connections':[{'from':{'routine':'agent',"
                        "'event':'tool_call'},'to':{'routine':'look','slot':'input'}},"
                        "{'from':{'routine':'look','event':'output'},"
                        "'to':{'routine':'agent','slot':'tool_result'},'mapping':{'arguments':'result'},"
                        "'drop_unmapped':true}]},'entry':{'routine':'agent','slot':'trigger'},"
                        "'data':{'task':'Pay.'}}",
                        second[i]);
        json_t *j = wait_status(&llm.c, at(r, "jobId"), "PAUSED");
        const char *id = at(j, "job.state.routineStates.agent.messages[3].tool_calls[0].id");
        assert_true(id[0] != '\0');
        assert_string_equal(at(j, "job.pauses[0].data.call_id"), id);
        assert_string_equal(at(j, "job.pauses[0].callId"),
                            id); /* not the call whose result led to this one */
        assert_string_not_equal(at(j, "job.state.routineStates.agent.messages[1].tool_calls[0].id"), id);
        json_decref(j);
        json_decref(rpc(llm.c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'%s'}", at(r, "jobId"),
                        i == 0 ? "approve" : "12"));
        json_decref(wait_status(&llm.c, at(r, "jobId"), "COMPLETED"));
        json_decref(r);
    }
}

static void a_budget_that_might_be_exceeded_pauses_and_may_be_raised(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        char job[32];
        snprintf(job, sizeof(job), "%.31s",
                 llm_submit("openai", "say",
                            i == 0 ? ",'max_tokens':50,'limits':{'max_tokens':60}"
                                   : ",'max_tokens':50,'limits':{'max_cost':0.001}",
                            ""));
        json_t *j = wait_status(&llm.c, job, "PAUSED");
        assert_string_equal(at(j, "job.pauses[0].reason"), "PAUSE_REASON_BUDGET");
        assert_string_equal(at(j, "job.state.usage.calls"), ""); /* not called yet */
        json_decref(j);
        json_decref(rpc(llm.c.address, "Jobs/ResumeJob",
                        "{'job_id':'%s','answer':{'max_tokens':5000,'max_cost':1}}", job));
        j = wait_status(&llm.c, job, "COMPLETED");
        assert_string_equal(at(j, "job.state.usage.calls"), "1");
        const char *call = at(j, "job.state.sharedLog[0].data.model");
        assert_string_equal(call, "say");
        assert_string_equal(at(j, "job.state.sharedLog[0].data.parameters.max_tokens"), "50");
        json_decref(j);
    }
    json_t *j =
        wait_status(&llm.c, llm_submit("openai", "tools", ",'limits':{'max_turns':1}", ""), "COMPLETED");
    assert_string_equal(at(j, "job.state.usage.calls"), "1");
    json_decref(j);
}

/* "gated" waits before its text and after the first piece of it. */
static void open_gate(void)
{
    char url[128];
    char *out = NULL, *err = NULL;
    snprintf(url, sizeof(url), "%s/open", llm.base);
    const char *argv[] = {"curl", "-s", url, NULL};
    assert_int_equal(proc_run(argv, NULL, &out, &err), 0);
    free(out);
    free(err);
}

static void who_watches_a_job_sees_the_text_that_a_model_is_still_writing(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct proc watch;
        const char *job = llm_submit(llm_providers[i], "gated", ",'stream':true", "");
        rpc_start(&watch, cluster_file(&llm.c, "watch.log"), llm.c.address, "Jobs/WatchJob",
                  "{'job_id':'%s'}", job);
        proc_hear(&watch, "JOB_STATUS_RUNNING");
        open_gate();
        rpc_hear(&watch, "'routine': 'agent'");
        rpc_hear(&watch, "'text': 'Pea'");
        open_gate();
        proc_hear(&watch, "Peace is quiet."); /* of the step, or shown before it */
        proc_hear(&watch, "JOB_STATUS_COMPLETED");
        assert_int_equal(proc_wait(&watch), 0);
    }
}

/* Only where there is a key: OPENAI_API_KEY, and if wanted OPENAI_BASE_URL and OPENAI_MODEL. */
static void a_live_model_answers(void **state)
{
    (void)state;
    const char *url = getenv("OPENAI_BASE_URL"), *model = getenv("OPENAI_MODEL");
    if (getenv("OPENAI_API_KEY") == NULL)
        skip();
    json_t *r = rpc(llm.c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'agent','type':'llm_agent',"
                    "'config':{'provider':'openai','model':'%s','base_url':'%s',"
                    "'api_key':'OPENAI_API_KEY','max_tokens':200,'stream':true,'ask':false}}]},"
                    "'entry':{'routine':'agent','slot':'trigger'},"
                    "'data':{'task':'Say hello in one word.'}}",
                    model != NULL ? model : "gpt-4o-mini", url != NULL ? url : "https://api.openai.com/v1");
    json_t *j = wait_status(&llm.c, at(r, "jobId"), "COMPLETED");
    assert_string_equal(at(j, "job.state.usage.calls"), "1");
    assert_true(at(j, "job.state.routineStates.agent.messages[1].content")[0] != '\0');
    json_decref(j);
    json_decref(r);
}

static void money_is_summed_up_without_drift(void **state)
{
    (void)state;
    char *script = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&script, &n);
    assert_non_null(f);
    for (int i = 0; i < 150; i++)
        fprintf(f, "%s{'say':'%d','usage':{'input_tokens':400}}", i > 0 ? "," : "", i);
    assert_int_equal(fclose(f), 0);
    for (int i = 0; i < 2; i++) {
        json_t *j = rpc(llm.c.address, "Jobs/SubmitJob",
                        "{'inline_flow':{'name':'money','routines':[{'id':'a','type':'llm_agent',"
                        "'config':{'provider':'mock','limits':{'max_turns':0},'script':[%s]}}]},"
                        "'entry':{'routine':'a','slot':'trigger'}}",
                        script);
        json_t *done = wait_status(&llm.c, at(j, "jobId"), "COMPLETED");
        assert_string_equal(at(done, "job.usage.calls"), "150");
        assert_true(json_number_value(json_at(done, "job.usage.cost")) == 0.06); /* 150 × 0.0004 */
        json_decref(done);
        json_decref(j);
    }
    json_t *r = rpc(llm.c.address, "Jobs/GetUsage", "{'flow':'money'}");
    assert_true(json_number_value(json_at(r, "sums[0].usage.cost")) == 0.12);
    json_decref(r);
    free(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(money_is_summed_up_without_drift),
        cmocka_unit_test(a_model_says_something_with_either_provider_streamed_or_not),
        cmocka_unit_test(several_tools_are_called_and_the_loop_goes_on_until_the_model_ends),
        cmocka_unit_test(the_model_asks_a_person_by_the_built_in_tool),
        cmocka_unit_test(a_tool_that_is_not_there_is_told_to_the_model),
        cmocka_unit_test(errors_that_pass_are_tried_again_and_others_are_told_in_the_provider_s_words),
        cmocka_unit_test(a_secret_that_is_not_there_and_a_server_that_is_not_there),
        cmocka_unit_test(a_tool_that_needs_approval_shows_what_it_will_do_and_waits),
        cmocka_unit_test(an_open_question_names_the_call_that_it_is_about),
        cmocka_unit_test(a_budget_that_might_be_exceeded_pauses_and_may_be_raised),
        cmocka_unit_test(who_watches_a_job_sees_the_text_that_a_model_is_still_writing),
        cmocka_unit_test(a_live_model_answers),
    };
    return cmocka_run_group_tests(tests, llm_start, llm_stop);
}
