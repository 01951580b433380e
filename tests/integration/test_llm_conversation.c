/* What an agent's conversation is made of, with real HTTP and a server that refuses what the providers would
 * refuse: input at the wrong moment, ids, thinking, questions, secrets that come back, what is counted. */
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

/* The last text that the agent has said. */
static const char *said(json_t *j)
{
    return at(j, "job.state.sharedData.agent.text");
}

static void send_input(const char *job, const char *slot, const char *data)
{
    json_decref(rpc(llm.c.address, "Jobs/SendInput",
                    "{'job_id':'%s','to':{'routine':'agent','slot':'%s'},'data':%s}", job, slot, data));
}

static void roles_are(json_t *j, const char *const roles[], size_t n)
{
    assert_int_equal(json_array_size(json_at(j, "job.state.routineStates.agent.messages")), n);
    for (size_t i = 0; i < n; i++) {
        char path[80];
        snprintf(path, sizeof(path), "job.state.routineStates.agent.messages[%zu].role", i);
        assert_string_equal(at(j, path), roles[i]);
    }
}

/* A job of an agent whose tool is a person: the job pauses while the tool is at work. */
static const char *submit_with_person(const char *provider)
{
    static char id[32];
    json_t *r = rpc(llm.c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'agent','type':'llm_agent',"
                    "'config':{'provider':'%s','model':'tools','base_url':'%s','api_key':'MY_KEY',"
                    "'tools':[{'name':'lookup'}]}},{'id':'look','type':'human',"
                    "'config':{'question':'What is it?'}}],'connections':[{'from':{'routine':'agent',"
                    "'event':'tool_call'},'to':{'routine':'look','slot':'input'}},"
                    "{'from':{'routine':'look','event':'output'},"
                    "'to':{'routine':'agent','slot':'tool_result'},'mapping':{'answer':'result'},"
                    "'drop_unmapped':true}]},'entry':{'routine':'agent','slot':'trigger'},"
                    "'data':{'task':'Look.'}}",
                    provider, llm.base);
    snprintf(id, sizeof(id), "%.31s", at(r, "jobId"));
    json_decref(r);
    return id;
}

static void input_that_comes_while_tools_are_at_work_is_told_after_their_results(void **state)
{
    (void)state;
    static const char *const roles[] = {"user", "assistant", "tool", "tool", "user", "user", "assistant"};
    for (int i = 0; i < 2; i++) {
        char job[32];
        snprintf(job, sizeof(job), "%.31s", submit_with_person(llm_providers[i]));
        json_t *j = wait_status(&llm.c, job, "PAUSED");
        send_input(job, "user_input", "{'answer':'Hurry up.'}");
        send_input(job, "trigger", "{'task':'Another task.'}");
        for (int k = 0; k < 2; k++) { /* both calls ask */
            json_decref(rpc(llm.c.address, "Jobs/ResumeJob", "{'job_id':'%s','pause_id':'%s','answer':'%d'}",
                            job, at(j, "job.pauses[0].pauseId"), k));
            json_decref(j);
            j = wait_status(&llm.c, job, k == 0 ? "PAUSED" : "COMPLETED");
        }
        assert_string_equal(said(j), "I know: 0, 1");
        roles_are(j, roles, 7);
        assert_string_equal(at(j, "job.state.routineStates.agent.messages[4].content"), "Hurry up.");
        assert_string_equal(at(j, "job.state.routineStates.agent.messages[5].content"), "Another task.");
        assert_string_equal(at(j, "job.state.sharedData.agent.task"), "Another task.");
        assert_null(json_at(j, "job.state.routineStates.agent.held"));
        json_decref(j);
    }
    json_decref(llm_requests("tools")); /* none was refused */
}

static void input_that_comes_while_the_budget_is_asked_for_is_told_after_the_answer(void **state)
{
    (void)state;
    static const char *const roles[] = {"system", "user", "user", "assistant"};
    char job[32];
    snprintf(job, sizeof(job), "%.31s", llm_submit("openai", "say", ",'limits':{'max_tokens':10}", ""));
    json_decref(wait_status(&llm.c, job, "PAUSED"));
    send_input(job, "user_input", "{'answer':'Hurry up.'}");
    json_decref(rpc(llm.c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':{'max_tokens':5000}}", job));
    json_t *j = wait_status(&llm.c, job, "COMPLETED");
    roles_are(j, roles, 4);
    assert_string_equal(at(j, "job.usage.calls"), "1");
    json_decref(j);
}

static void equal_ids_of_calls_are_made_distinct_also_across_turns(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        json_t *j = wait_status(
            &llm.c, llm_submit(llm_providers[i % 2], "same-ids", i < 2 ? "" : ",'stream':true", ""),
            "COMPLETED");
        assert_string_equal(
            said(j),
            "I know: {\"what\":\"one\"}, {\"what\":\"two\"}, {\"what\":\"one\"}, {\"what\":\"two\"}");
        json_decref(j);
    }
    json_decref(llm_requests("same-ids"));
}

static void thinking_goes_back_to_anthropic_unchanged(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        json_t *j = wait_status(
            &llm.c, llm_submit("anthropic", "thinking", i == 0 ? "" : ",'stream':true", ""), "COMPLETED");
        assert_string_equal(said(j), "I know: {\"what\":\"one\"}");
        json_decref(j);
    }
    json_t *all = llm_requests("thinking");
    for (size_t i = 1; i < 4; i += 2) {
        json_t *r = json_array_get(all, i);
        assert_string_equal(at(r, "body.messages[1].content[0].thinking"), "Where would that be?");
        assert_string_equal(at(r, "body.messages[1].content[0].signature"), "c2lnbmF0dXJl");
        assert_string_equal(at(r, "body.messages[1].content[1].data"), "cmVkYWN0ZWQ=");
        assert_string_equal(at(r, "body.messages[1].content[2].text"), "Let me look.");
        assert_string_equal(at(r, "body.messages[1].content[3].name"), "lookup");
    }
    json_decref(all);
}

static void formats_images_stops_and_fields_that_nobody_knows_reach_the_provider(void **state)
{
    (void)state;
    static const char format[] = ",'stop':'END','metadata':{'user_id':'u1'},"
                                 "'response_format':{'type':'json_schema',"
                                 "'json_schema':{'name':'answer','schema':{'type':'object'}}}";
    static const char *const images[] = {
        "{'type':'image_url','image_url':{'url':'https://example.org/a.png'}}",
        "{'type':'image','source':{'type':'url','url':'https://example.org/a.png'}}"};
    for (int i = 0; i < 2; i++) {
        json_t *r = rpc(llm.c.address, "Jobs/SubmitJob",
                        "{'inline_flow':{'routines':[{'id':'agent','type':'llm_agent',"
                        "'config':{'provider':'%s','model':'say-%d','base_url':'%s'%s}}]},"
                        "'entry':{'routine':'agent','slot':'trigger'},"
                        "'data':{'task':[{'type':'text','text':'What is it?'},%s]}}",
                        llm_providers[i], i, llm.base, format, images[1 - i]); /* in the other one's form */
        json_decref(wait_status(&llm.c, at(r, "jobId"), "COMPLETED"));
        json_decref(r);
    }
    json_t *openai = llm_requests("say-0"), *anthropic = llm_requests("say-1");
    assert_string_equal(at(json_array_get(openai, 0), "body.response_format.json_schema.name"), "answer");
    assert_string_equal(at(json_array_get(openai, 0), "body.stop"), "END");
    assert_string_equal(at(json_array_get(openai, 0), "body.metadata.user_id"), "u1");
    assert_string_equal(at(json_array_get(openai, 0), "key"), ""); /* without api_key none is sent */
    assert_string_equal(at(json_array_get(openai, 0), "body.messages[0].content[1].image_url.url"),
                        "https://example.org/a.png");
    assert_string_equal(at(json_array_get(anthropic, 0), "body.output_config.format.schema.type"), "object");
    assert_string_equal(at(json_array_get(anthropic, 0), "body.stop_sequences[0]"), "END");
    assert_string_equal(at(json_array_get(anthropic, 0), "body.metadata.user_id"), "u1");
    assert_string_equal(at(json_array_get(anthropic, 0), "key"), "");
    assert_string_equal(at(json_array_get(anthropic, 0), "body.messages[0].content[1].source.url"),
                        "https://example.org/a.png");
    json_decref(openai);
    json_decref(anthropic);
    free(rpc_fails(llm.c.address, "Jobs/SubmitJob",
                   "InvalidArgument", /* the mock has no provider to pass it to */
                   "{'inline_flow':{'routines':[{'id':'agent','type':'llm_agent',"
                   "'config':{'provider':'mock','metadata':{}}}]},"
                   "'entry':{'routine':'agent','slot':'trigger'}}"));
}

static void a_server_that_does_not_stream_although_it_was_asked_to_is_understood(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        json_t *j =
            wait_status(&llm.c, llm_submit(llm_providers[i], "plain", ",'stream':true", ""), "COMPLETED");
        assert_string_equal(said(j), "Peace is quiet.");
        assert_string_equal(at(j, "job.state.usage.inputTokens"), "100");
        json_decref(j);
    }
}

static void a_call_that_was_cut_off_is_not_run_and_the_model_goes_on(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        json_t *j = wait_status(
            &llm.c, llm_submit(llm_providers[i % 2], "cut-call", i < 2 ? "" : ",'stream':true", ""),
            "COMPLETED");
        if (strstr(said(j), "I know: error: your reply was cut off") == NULL)
            fail_msg("%s", said(j));
        json_t *history = rpc(llm.c.address, "Jobs/GetHistory", "{'job_id':'%s'}", at(j, "job.jobId"));
        for (size_t k = 0; k < json_array_size(json_at(history, "steps")); k++) {
            char path[40];
            snprintf(path, sizeof(path), "steps[%zu].routine", k);
            assert_string_equal(at(history, path), "agent");
        }
        assert_true(json_array_size(json_at(history, "steps")) >= 2);
        json_decref(history);
        json_decref(j);
    }
}

static void usage_is_shown_without_the_state_too_and_counts_replies_of_no_use(void **state)
{
    (void)state;
    json_t *j = wait_status(
        &llm.c,
        llm_submit("openai", "bad-args", "", ",'policy':{'retry':{'max_attempts':3,'initial_delay_ms':1}}"),
        "FAILED");
    if (strstr(at(j, "job.error.message"), "not JSON") == NULL)
        fail_msg("%s", at(j, "job.error.message"));
    json_t *r = rpc(llm.c.address, "Jobs/GetJob", "{'job_id':'%s','without_state':true}", at(j, "job.jobId"));
    assert_null(json_at(r, "job.state"));
    static const char *const fields[] = {"inputTokens", "outputTokens", "cost", "calls"}, *const values[] = {
                                                                                              "300", "60",
                                                                                              "0.009", "3"};
    for (size_t i = 0; i < 4; i++) {
        char path[60], state_path[60];
        snprintf(path, sizeof(path), "job.usage.%s", fields[i]);
        snprintf(state_path, sizeof(state_path), "job.state.usage.%s", fields[i]);
        assert_string_equal(at(r, path), values[i]);
        assert_string_equal(at(j, path), values[i]);
        assert_string_equal(at(j, state_path), values[i]);
    }
    json_decref(r);
    json_decref(j);
}

/* That the key is in no log, no state and no progress is looked at when all is over: see stop. */
static void a_key_that_a_server_gives_back_in_two_pieces_is_blanked_out(void **state)
{
    (void)state;
    static const char *const models[] = {"echo", "echo-parts"};
    for (int i = 0; i < 4; i++) {
        struct proc watch;
        char log[32];
        const char *job = llm_submit(llm_providers[i % 2], models[i / 2], ",'stream':true", "");
        snprintf(log, sizeof(log), "watch%d.log", i);
        rpc_start(&watch, cluster_file(&llm.c, log), llm.c.address, "Jobs/WatchJob", "{'job_id':'%s'}", job);
        json_t *j = wait_status(&llm.c, job, "COMPLETED");
        assert_string_equal(said(j), "Your key: ***********************.");
        json_decref(j);
        while (strstr(watch.line, "JOB_STATUS_COMPLETED") == NULL) {
            proc_hear(&watch, "");
            if (strstr(watch.line, "sk-very") != NULL || strstr(watch.line, "key-7531") != NULL)
                fail_msg("it was shown: %s", watch.line);
        }
        assert_int_equal(proc_wait(&watch), 0);
    }
}

static void max_cost_without_a_price_holds_by_the_other_limits_only_and_says_so(void **state)
{
    (void)state; /* prices are known of openai's models, not of anthropic's */
    json_t *j = wait_status(
        &llm.c,
        llm_submit("anthropic", "say", ",'limits':{'max_turns':8,'max_tokens':20000,'max_cost':0.5}", ""),
        "COMPLETED");
    assert_non_null(strstr(at(j, "job.state.sharedLog[0].message"), "limits.max_cost is not checked"));
    assert_string_equal(at(j, "job.state.sharedLog[0].data.model"), "say");
    json_decref(j);
    j = wait_status(&llm.c, llm_submit("anthropic", "say", ",'limits':{'max_cost':0.5}", ""), "FAILED");
    assert_string_equal(at(j, "job.error.code"), "FAILED_PRECONDITION");
    assert_string_equal(at(j, "job.stepCount"), "1");
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_that_comes_while_tools_are_at_work_is_told_after_their_results),
        cmocka_unit_test(input_that_comes_while_the_budget_is_asked_for_is_told_after_the_answer),
        cmocka_unit_test(equal_ids_of_calls_are_made_distinct_also_across_turns),
        cmocka_unit_test(thinking_goes_back_to_anthropic_unchanged),
        cmocka_unit_test(formats_images_stops_and_fields_that_nobody_knows_reach_the_provider),
        cmocka_unit_test(a_server_that_does_not_stream_although_it_was_asked_to_is_understood),
        cmocka_unit_test(a_call_that_was_cut_off_is_not_run_and_the_model_goes_on),
        cmocka_unit_test(usage_is_shown_without_the_state_too_and_counts_replies_of_no_use),
        cmocka_unit_test(a_key_that_a_server_gives_back_in_two_pieces_is_blanked_out),
        cmocka_unit_test(max_cost_without_a_price_holds_by_the_other_limits_only_and_says_so),
    };
    return cmocka_run_group_tests(tests, llm_start, llm_stop);
}
