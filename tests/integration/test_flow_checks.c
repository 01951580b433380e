/* jq programs and JSON Schemas in flows and breakpoints are checked when they come, by a real coordinator
 * with its real worker; and nobody waits for a check but who has asked for it. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"

static struct cluster c;

static int start(void **state)
{
    (void)state;
    cluster_start(&c, 1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_done(&c);
    return 0;
}

static void says(const char *text, const char *want)
{
    if (strstr(text, want) == NULL)
        fail_msg("\"%s\" is not in: %s", want, text);
}

static const char faulty[] =
    "'routines':[{'id':'a','type':'jq','config':{'program':'.a | ('}},"
    "{'id':'b','type':'jq','config':{'program':'import \"x\" as x; .'}},"
    "{'id':'c','type':'http','config':{'url_expr':'nofunction','headers_expr':'{','body_expr':'.ok'}},"
    "{'id':'d','type':'validate','config':{'schema':{'type':'strnig',"
    "'properties':{'x':{'minimum':'1'},'y':{'pattern':'('}},'$ref':'#/x'}}},"
    "{'id':'e','type':'llm_agent','config':{'provider':'mock',"
    "'tools':[{'name':'t','parameters':{'type':'object','$ref':'#/known/elsewhere',"
    "'properties':{'q':{'type':'text'}}}},{'approval':'maybe'}]}},"
    "{'id':'f','type':'jq','config':{'program':'.fine'}}],"
    "'connections':[{'from':{'routine':'a','event':'output'},'to':{'routine':'f','slot':'nowhere'}}]";

static void names_all_faults(const char *text, const char *flow)
{
    static const char *const wanted[] = {"routines[0].config.program",
                                         "syntax error",
                                         "routines[1].config.program",
                                         "programs cannot use modules",
                                         "routines[2].config.url_expr",
                                         "nofunction/0 is not defined",
                                         "routines[2].config.headers_expr",
                                         "routines[3].config.schema.type",
                                         "must be null, boolean",
                                         "routines[3].config.schema.properties.x.minimum",
                                         "must be a number",
                                         "routines[3].config.schema.properties.y.pattern",
                                         "routines[3].config.schema.$ref",
                                         "leads to no schema within this one",
                                         "routines[4].config.tools[0].parameters.properties.q.type",
                                         "routines[4].config.tools[1].name",
                                         "routines[4].config.tools[1].approval",
                                         "connections[0].to.slot"};
    says(text, flow);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        says(text, wanted[i]);
    assert_null(strstr(text, "body_expr"));
    assert_null(strstr(text, "parameters.$ref"));
    assert_null(strstr(text, "routines[5]"));
}

static void faulty_programs_and_schemas_are_named_with_all_other_faults_of_a_flow(void **state)
{
    (void)state;
    char *text =
        rpc_fails(c.address, "Flows/PutFlow", "InvalidArgument", "{'flow':{'name':'faulty',%s}}", faulty);
    says(text, "the flow has 12 faults");
    names_all_faults(text, "flow.routines[0].config.program");
    free(text);
    free(rpc_fails(c.address, "Flows/GetFlow", "NotFound", "{'name':'faulty'}"));
    text = rpc_fails(c.address, "Jobs/SubmitJob", "InvalidArgument",
                     "{'inline_flow':{%s},'entry':{'routine':'a','slot':'input'}}", faulty);
    names_all_faults(text, "inline_flow.routines[0].config.program");
    free(text);
}

static void sound_ones_are_accepted_and_run_again_and_again(void **state)
{
    (void)state;
    static const char flow[] = "{'routines':[{'id':'a','type':'jq','config':{'program':'{n: (.n + 1)}'}},"
                               "{'id':'b','type':'validate','config':{'schema':{'type':'object',"
                               "'properties':{'n':{'type':'integer','minimum':3}}}}}],"
                               "'connections':[{'from':{'routine':'a','event':'output'},"
                               "'to':{'routine':'b','slot':'input'}}]}";
    for (int n = 1; n <= 3; n++) {
        json_t *r = rpc(c.address, "Jobs/SubmitJob",
                        "{'inline_flow':%s,'entry':{'routine':'a','slot':'input'},'data':{'n':%d}}", flow, n);
        json_t *done = wait_status(&c, at(r, "jobId"), "COMPLETED");
        assert_string_equal(at(done, "job.state.outputs[0].event"), n + 1 >= 3 ? "valid" : "invalid");
        json_decref(done);
        json_decref(r);
    }
}

static void the_condition_of_a_breakpoint_is_checked(void **state)
{
    (void)state;
    static const char flow[] = "{'routines':[{'id':'a','type':'human','config':{'question':'Go on?'}}]}";
    json_t *r =
        rpc(c.address, "Jobs/SubmitJob", "{'inline_flow':%s,'entry':{'routine':'a','slot':'input'}}", flow);
    json_decref(wait_status(&c, at(r, "jobId"), "PAUSED"));
    char *text = rpc_fails(c.address, "Jobs/SetBreakpoints", "InvalidArgument",
                           "{'job_id':'%s','breakpoints':[{'routine':'a','condition':'.x > 1'},"
                           "{'routine':'a','condition':'.x >'}]}",
                           at(r, "jobId"));
    says(text, "breakpoints[1].condition");
    free(text);
    json_t *job = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", at(r, "jobId"));
    assert_null(json_at(job, "job.breakpoints[0]"));
    json_decref(job);
    json_decref(rpc(c.address, "Jobs/SetBreakpoints",
                    "{'job_id':'%s','breakpoints':[{'routine':'a','condition':'.x > 1'}]}", at(r, "jobId")));
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", at(r, "jobId")));
    json_decref(r);
}

/* The coordinator's worker for jq, which an earlier test has made it start. */
static pid_t worker(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)c.coordinator.pid);
    const char *const find[] = {"sh", "-c", "for t in \"$0\"/*; do cat \"$t/children\"; done", path, NULL};
    char *out = NULL, *err = NULL;
    assert_int_equal(proc_run(find, NULL, &out, &err), 0);
    pid_t pid = (pid_t)strtol(out, NULL, 10);
    assert_true(pid > 0);
    free(out);
    free(err);
    return pid;
}

static void a_check_that_takes_long_keeps_nobody_else_from_anything(void **state)
{
    (void)state;
    pid_t pid = worker();
    assert_int_equal(kill(pid, SIGSTOP), 0);
    struct proc put;
    rpc_start(&put, cluster_file(&c, "put.err"), c.address, "Flows/PutFlow",
              "{'flow':{'name':'slow','routines':[{'id':'a','type':'jq','config':{'program':'.slow'}}]}}");
    cluster_wait_log(&c, "coordinator.log", "a request waits for its jq programs and schemas to be checked");
    /* others put flows, submit and complete jobs meanwhile, with programs that are known, too */
    json_decref(rpc(c.address, "Flows/PutFlow",
                    "{'flow':{'name':'quick','routines':[{'id':'a','type':'jq',"
                    "'config':{'program':'{n: (.n + 1)}'}}]}}"));
    json_t *r = rpc(c.address, "Jobs/SubmitJob",
                    "{'flow':'quick','entry':{'routine':'a','slot':'input'},'data':{'n':1}}");
    json_decref(wait_status(&c, at(r, "jobId"), "COMPLETED"));
    json_decref(r);
    free(rpc_fails(c.address, "Flows/GetFlow", "NotFound", "{'name':'slow'}"));
    assert_false(proc_gone(put.pid));
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(proc_wait(&put), 0);
    json_decref(rpc(c.address, "Flows/GetFlow", "{'name':'slow'}"));
}

static void who_waits_for_a_check_is_told_when_the_coordinator_stops(void **state)
{
    (void)state;
    pid_t pid = worker();
    assert_int_equal(kill(pid, SIGSTOP), 0);
    struct proc put;
    char *log = file_text(cluster_file(&c, "coordinator.log"));
    size_t before = strlen(log);
    free(log);
    rpc_start(
        &put, cluster_file(&c, "put.err"), c.address, "Flows/PutFlow",
        "{'flow':{'name':'stopped','routines':[{'id':'a','type':'jq','config':{'program':'.stopped'}}]}}");
    long long until = test_now_ms() + DEADLINE_MS;
    for (bool waits = false; !waits; free(log)) {
        log = file_text(cluster_file(&c, "coordinator.log"));
        waits = strstr(log + before, "a request waits for its jq programs") != NULL;
        test_pause(until, "the check is under way");
    }
    proc_kill(&c.coordinator, SIGTERM);
    assert_int_not_equal(proc_wait(&put), 0);
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(proc_wait(&c.coordinator), 0);
    cluster_coordinator(&c, NULL);
    free(rpc_fails(c.address, "Flows/GetFlow", "NotFound", "{'name':'stopped'}"));
}

static void schemas_may_be_text_of_json(void **state)
{
    (void)state;
    char *text = rpc_fails(c.address, "Flows/PutFlow", "InvalidArgument",
                           "{'flow':{'name':'text','routines':["
                           "{'id':'a','type':'validate','config':{'schema':'{\"type\":\"strnig\"}'}},"
                           "{'id':'b','type':'validate','config':{'schema':'{\"type\":'}},"
                           "{'id':'c','type':'validate','config':{'schema':'{\"type\":\"string\"}'}},"
                           "{'id':'e','type':'llm_agent','config':{'provider':'mock','tools':[{'name':'t',"
                           "'parameters':'{\"type\":\"object\",\"properties\":7}'}]}}]}}");
    says(text, "routines[0].config.schema.type");
    says(text, "routines[1].config.schema");
    says(text, "not JSON");
    says(text, "routines[3].config.tools[0].parameters.properties");
    assert_null(strstr(text, "routines[2]"));
    free(text);
    json_t *r = rpc(c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'validate',"
                    "'config':{'schema':'{\"required\": [\"x\"]}'}}]},"
                    "'entry':{'routine':'a','slot':'input'},'data':{}}");
    json_t *done = wait_status(&c, at(r, "jobId"), "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].event"), "invalid");
    json_decref(done);
    json_decref(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faulty_programs_and_schemas_are_named_with_all_other_faults_of_a_flow),
        cmocka_unit_test(schemas_may_be_text_of_json),
        cmocka_unit_test(sound_ones_are_accepted_and_run_again_and_again),
        cmocka_unit_test(the_condition_of_a_breakpoint_is_checked),
        cmocka_unit_test(a_check_that_takes_long_keeps_nobody_else_from_anything),
        cmocka_unit_test(who_waits_for_a_check_is_told_when_the_coordinator_stops),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
