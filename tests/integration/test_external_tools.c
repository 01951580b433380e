/* Calls of tools that nobody in the flow carries out, and conversations that stay open: with real daemons,
 * which are killed while they wait. */
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

static struct cluster c;

static int start(void **state)
{
    (void)state;
    cluster_start(&c, 2);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_done(&c);
    return 0;
}

/* Submits a job of an agent with this script of the mock and more of its configuration, and `more` of the
 * flow after its routines. */
static const char *submit_agent(const char *script, const char *config, const char *more, const char *data)
{
    static char id[32];
    json_t *r = rpc(c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'agent','type':'llm_agent',"
                    "'config':{'provider':'mock','script':[%s]%s}},{'id':'look','type':'log'}]%s},"
                    "'entry':{'routine':'agent','slot':'trigger'},'data':%s}",
                    script, config, more, data);
    snprintf(id, sizeof(id), "%.31s", at(r, "jobId"));
    json_decref(r);
    return id;
}

static void restart_all(void)
{
    proc_kill9(&c.coordinator);
    for (int i = 0; i < 2; i++)
        proc_kill9(&c.hosts[i]);
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", NULL);
    cluster_host(&c, 1, "b", NULL);
}

/* The open pause of this call. */
static json_t *pause_of(json_t *j, const char *call)
{
    json_t *p;
    size_t i;
    json_array_foreach(json_at(j, "job.pauses"), i, p)
    {
        if (strcmp(at(p, "callId"), call) == 0)
            return p;
    }
    fail_msg("no pause has the call %s", call);
    return NULL;
}

static void refused(const char *method, const char *why, const char *request)
{
    char *text = rpc_fails(c.address, method, "FailedPrecondition", "%s", request);
    if (strstr(text, why) == NULL)
        fail_msg("%s", text);
    free(text);
}

/* What the model is told of a call. */
static void told(json_t *j, const char *call, const char *content)
{
    json_t *m;
    size_t i;
    json_array_foreach(json_at(j, "job.state.routineStates.agent.messages"), i, m)
    {
        if (strcmp(at(m, "role"), "tool") != 0 || strcmp(at(m, "callId"), "") != 0)
            continue;
        json_t *id = json_object_get(m, "call_id");
        if (id == NULL || strcmp(json_string_value(id), call) != 0)
            continue;
        json_t *v = json_object_get(m, "content");
        char *said = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
        if (strcmp(said, content) != 0)
            fail_msg("%s was answered with %s, not %s", call, said, content);
        free(said);
        return;
    }
    fail_msg("nothing was said of %s", call);
}

/* Until the job waits by a pause with this reason. */
static json_t *wait_pause(const char *job, const char *reason)
{
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        json_t *j = wait_status(&c, job, "PAUSED");
        if (strcmp(at(j, "job.pauses[0].reason"), reason) == 0)
            return j;
        json_decref(j);
        test_pause(until, reason);
    }
}

/* Until the conversation has so many messages and is open for the next. */
static void wait_messages(const char *job, size_t n)
{
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        json_t *j = wait_pause(job, "PAUSE_REASON_INPUT");
        size_t have = json_array_size(json_at(j, "job.state.routineStates.agent.messages"));
        json_decref(j);
        if (have == n)
            return;
        test_pause(until, "the conversation has gone on");
    }
}

#define THREE_CALLS                                                                                          \
    "{'tools':[{'name':'price','arguments':{'item':'a'}},{'name':'lookup','arguments':{'what':'b'}},"        \
    "{'name':'price','arguments':{'item':'c'}},{'name':'stock'}]},{'say':'Finished.'}"
#define TOOLS                                                                                                \
    ",'tools':[{'name':'price','description':'What it costs.','external':true,"                              \
    "'parameters':{'type':'object','properties':{'item':{'type':'string'}}},"                                \
    "'result_schema':{'type':'object','required':['eur']}},{'name':'lookup'},{'name':'stock'}]"
#define LOOKUP                                                                                               \
    ",'connections':[{'from':{'routine':'agent','event':'tool_call'},"                                       \
    "'to':{'routine':'look','slot':'input'},'filter':{'name':'lookup'}},"                                    \
    "{'from':{'routine':'look','event':'output'},'to':{'routine':'agent','slot':'tool_result'},"             \
    "'mapping':{'arguments':'result'},'drop_unmapped':true}]"

static void results_come_from_outside_in_any_order_after_any_number_of_restarts(void **state)
{
    (void)state;
    char job[32], request[200];
    snprintf(job, sizeof(job), "%s", submit_agent(THREE_CALLS, TOOLS, LOOKUP, "{'task':'Buy it.'}"));
    json_t *j = wait_status(&c, job, "PAUSED");
    assert_int_equal(json_array_size(json_at(j, "job.pauses")), 3); /* a connection took the other one */
    assert_string_equal(at(j, "job.host"), "");
    json_t *p = pause_of(j, "call_1_2");
    assert_string_equal(at(p, "reason"), "PAUSE_REASON_TOOL");
    assert_string_equal(at(p, "data.tool"), "price");
    assert_string_equal(at(p, "data.description"), "What it costs.");
    assert_string_equal(at(p, "data.arguments.item"), "c");
    assert_string_equal(at(p, "data.parameters.properties.item.type"), "string");
    char third[64];
    snprintf(third, sizeof(third), "%s", at(p, "pauseId"));
    json_decref(j);
    restart_all();
    json_t *list = rpc(c.address, "Jobs/ListPauses", "{'reasons':['PAUSE_REASON_TOOL']}");
    assert_int_equal(json_array_size(json_at(list, "pauses")), 3);
    json_decref(list);
    json_decref(rpc(c.address, "Jobs/ResumeJob",
                    "{'job_id':'%s','call_id':'call_1_3','answer':{'error':'sold out'}}",
                    job)); /* of a tool that nobody declared external */
    restart_all();
    char *bad = rpc_fails(c.address, "Jobs/ResumeJob", "InvalidArgument",
                          "{'job_id':'%s','call_id':'call_1_0','answer':{'usd':1}}", job);
    if (strstr(bad, "answer") == NULL || strstr(bad, "anyOf") == NULL)
        fail_msg("%s", bad);
    free(bad);
    snprintf(request, sizeof(request), "{'job_id':'%s','call_id':'call_1_3','answer':1}", job);
    refused("Jobs/ResumeJob", "has the call call_1_3 (or no longer); open are the calls call_1_0, call_1_2",
            request);
    snprintf(request, sizeof(request),
             "{'job_id':'%s','to':{'routine':'agent','slot':'tool_result'},"
             "'data':{'call_id':'call_9','result':1}}",
             job);
    refused("Jobs/SendInput",
            "the call call_9 waits for no result (or no longer); open are call_1_0, call_1_2", request);
    snprintf(request, sizeof(request),
             "{'job_id':'%s','to':{'routine':'agent','slot':'tool_result'},"
             "'data':{'result':1}}",
             job);
    refused("Jobs/SendInput", "several calls wait for a result: say which, with call_id", request);
    json_decref(rpc(c.address, "Jobs/SendInput",
                    "{'job_id':'%s','to':{'routine':'agent','slot':'tool_result'},"
                    "'data':{'call_id':'call_1_0','result':{'eur':5}}}",
                    job));
    json_decref(wait_status(&c, job, "PAUSED"));
    json_decref(
        rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','pause_id':'%s','answer':{'eur':7}}", job, third));
    j = wait_status(&c, job, "COMPLETED");
    told(j, "call_1_0", "{\"eur\":5}");
    told(j, "call_1_1", "{\"what\":\"b\"}");
    told(j, "call_1_2", "{\"eur\":7}");
    told(j, "call_1_3", "\"sold out\"");
    json_decref(j);
}

static void a_result_that_does_not_come_in_time_is_told_to_the_model(void **state)
{
    (void)state;
    json_t *j = wait_status(&c,
                            submit_agent("{'tool':{'name':'price'}},{'say':'Finished.'}",
                                         ",'tools':[{'name':'price','timeout_ms':200}]", "", "{'task':'x'}"),
                            "COMPLETED");
    told(j, "call_1_0", "\"no result came within 200 ms\"");
    json_decref(j);
}

static void an_approval_comes_before_the_wait(void **state)
{
    (void)state;
    const char *job = submit_agent("{'tool':{'name':'price'}},{'say':'Finished.'}",
                                   ",'tools':[{'name':'price','approval':'required'}]", "", "{'task':'x'}");
    json_t *j = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(j, "job.pauses[0].reason"), "PAUSE_REASON_QUESTION");
    json_decref(j);
    json_decref(
        rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'approve','wait_for_host':true}", job));
    json_decref(wait_pause(job, "PAUSE_REASON_TOOL"));
    json_decref(rpc(c.address, "Jobs/SendInput",
                    "{'job_id':'%s','to':{'routine':'agent','slot':'tool_result'},'data':{'result':3}}",
                    job));
    j = wait_status(&c, job, "COMPLETED");
    told(j, "call_1_0", "3");
    json_decref(j);
}

/* ---- conversations that stay open ---- */

static void a_conversation_that_is_kept_open_goes_on_until_somebody_ends_it(void **state)
{
    (void)state;
    char job[32];
    snprintf(job, sizeof(job), "%s", submit_agent("", ",'ask':false,'keep_open':true", "", "{'task':'one'}"));
    json_t *j = wait_pause(job, "PAUSE_REASON_INPUT");
    assert_string_equal(at(j, "job.pauses[0].question"), "");
    assert_string_equal(at(j, "job.host"), "");
    json_decref(j);
    restart_all();
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'two'}", job));
    wait_messages(job, 4);
    json_decref(rpc(c.address, "Jobs/SendInput",
                    "{'job_id':'%s','to':{'routine':'agent','slot':'trigger'},'data':{'task':'three'}}",
                    job));
    wait_messages(job, 6);
    json_decref(rpc(c.address, "Jobs/SendInput",
                    "{'job_id':'%s','to':{'routine':'agent','slot':'user_input'},'data':{'text':'four'}}",
                    job));
    wait_messages(job, 8);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':{'end':true}}", job));
    j = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(j, "job.state.routineStates.agent.messages[4].content"), "three");
    assert_string_equal(at(j, "job.state.routineStates.agent.calls"), "4");
    /* its history begins another conversation */
    char *history = json_dumps(json_at(j, "job.state.routineStates.agent.messages"), JSON_COMPACT),
         *data = NULL;
    assert_true(asprintf(&data, "{'messages':%s,'task':'five'}", history) > 0);
    json_t *next = wait_status(&c, submit_agent("", ",'ask':false", "", data), "COMPLETED");
    assert_int_equal(json_array_size(json_at(next, "job.state.routineStates.agent.messages")), 10);
    assert_string_equal(at(next, "job.state.routineStates.agent.messages[8].content"), "five");
    json_decref(next);
    json_decref(j);
    free(history);
    free(data);
}

static void a_conversation_is_open_for_as_long_as_it_says(void **state)
{
    (void)state;
    json_t *j = wait_status(
        &c, submit_agent("", ",'ask':false,'keep_open':true,'keep_open_ms':200", "", "{'task':'one'}"),
        "COMPLETED");
    assert_int_equal(json_array_size(json_at(j, "job.state.routineStates.agent.messages")), 2);
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_come_from_outside_in_any_order_after_any_number_of_restarts),
        cmocka_unit_test(a_result_that_does_not_come_in_time_is_told_to_the_model),
        cmocka_unit_test(an_approval_comes_before_the_wait),
        cmocka_unit_test(a_conversation_that_is_kept_open_goes_on_until_somebody_ends_it),
        cmocka_unit_test(a_conversation_is_open_for_as_long_as_it_says),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
