/* Numbers, from a model to tools and back, with real daemons: JSON at random is equal to the last digit,
 * whatever moves and restarts there are on the way; and what people see and send back. */
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

#define ID "9007199254740993"

static struct cluster c;
static struct proc server;
static char script[512], base[64];

static void start_server(const char *seed)
{
    char log[256];
    snprintf(script, sizeof(script), "%s/tests/support/number_server.py", getenv("SOURCE_DIR"));
    snprintf(log, sizeof(log), "%s/numbers.log", c.dir);
    const char *argv[] = {"/usr/bin/python3", script, seed, NULL};
    proc_start(&server, log, argv);
    snprintf(base, sizeof(base), "http://127.0.0.1:%d", atoi(server.line + strlen("listening on ")));
}

/* What clients are shown of the call that this question is about. */
static void is_shown_right(const char *seed, json_t *pause)
{
    const char *argv[] = {"/usr/bin/python3", script, "shown", seed, NULL};
    char *out, *err, *text = json_dumps(json_object_get(pause, "data"), JSON_REAL_PRECISION(17));
    if (proc_run(argv, text, &out, &err) != 0)
        fail_msg("%s", err);
    free(text);
    free(out);
    free(err);
}

#define CONNECTED(tool, event)                                                                               \
    "{'from':{'routine':'agent','event':'tool_call'},'to':{'routine':'" tool "','slot':'" event              \
    "'},'filter':{'name':'" tool "'}},"

static const char *submit(void)
{
    json_t *r =
        rpc(c.address, "Jobs/SubmitJob",
            "{'inline_flow':{'routines':[{'id':'agent','type':'llm_agent','config':{'provider':'openai','"
            "model':'m',"
            "'stream':false,'base_url':'%s/v1','limits':{'max_turns':9},'tools':["
            "{'name':'exec','approval':'required'},{'name':'http','approval':'required'},"
            "{'name':'child','approval':'required'},{'name':'jq','approval':'required'},"
            "{'name':'plugin','approval':'required'}]}},"
            "{'id':'exec','type':'exec','config':{'command':['/usr/bin/python3','-c',"
            "'import json,sys; t=json.loads(sys.stdin.readline())[\\\"task\\\"]; "
            "print(json.dumps({\\\"set\\\":\\\"kept\\\",\\\"value\\\":t[\\\"data\\\"]})); "
            "print(json.dumps({\\\"emit\\\":\\\"output\\\",\\\"data\\\":t[\\\"data\\\"]}))']}},"
            "{'id':'http','type':'http','config':{'url':'%s/echo','body_expr':'.arguments'}},"
            "{'id':'child','type':'job','config':{'flow':'echo','routine':'a','slot':'input'}},"
            "{'id':'jq','type':'jq','config':{'program':'{result: .arguments}'}},"
            "{'id':'plugin','type':'probe_copy'}],"
            "'connections':[" CONNECTED("exec", "input") CONNECTED("http", "input")
                CONNECTED("child", "start") CONNECTED("jq", "input") CONNECTED(
                    "plugin", "input") "{'from':{'routine':'exec','event':'output'},'to':{'routine':'agent','"
                                       "slot':'tool_result'},"
                                       "'mapping':{'arguments':'result'}},"
                                       "{'from':{'routine':'http','event':'response'},'to':{'routine':'agent'"
                                       ",'slot':'tool_result'},"
                                       "'mapping':{'body':'result'}},"
                                       "{'from':{'routine':'child','event':'completed'},'to':{'routine':'"
                                       "agent','slot':'tool_result'}},"
                                       "{'from':{'routine':'jq','event':'output'},'to':{'routine':'agent','"
                                       "slot':'tool_result'}},"
                                       "{'from':{'routine':'plugin','event':'output'},'to':{'routine':'agent'"
                                       ",'slot':'tool_result'},"
                                       "'mapping':{'arguments':'result'}}]},"
                                       "'entry':{'routine':'agent','slot':'trigger'},'data':{'task':'Go.'}}",
            base, base);
    static char id[32];
    snprintf(id, sizeof(id), "%.31s", at(r, "jobId"));
    json_decref(r);
    return id;
}

/* The job runs to its end, with people who look at each call; each answer moves it to the other host, and
 * the coordinator starts anew in the middle. */
static void finish(const char *seed, const char *job, bool restart)
{
    for (;;) {
        json_t *j = wait_status(&c, job, "PAUSED");
        size_t n = json_array_size(json_at(j, "job.pauses"));
        for (size_t i = 0; i < n; i++)
            is_shown_right(seed, json_array_get(json_at(j, "job.pauses"), i));
        json_decref(rpc(c.address, "Jobs/ResumeJob",
                        "{'job_id':'%s','pause_id':'%s','digest':'%s','answer':'approve'}", job,
                        at(j, "job.pauses[0].pauseId"), at(j, "job.pauses[0].digest")));
        json_decref(j);
        if (restart) {
            proc_kill9(&c.coordinator);
            cluster_coordinator(&c, NULL);
            restart = false;
        }
        if (n == 1)
            break;
    }
    json_t *j = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(j, "job.state.sharedData.agent.text"), "right");
    json_decref(j);
}

static void json_at_random_comes_back_from_every_tool(void **state)
{
    static const char *const seeds[] = {"1", "2", "3"};
    (void)state;
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        char job[32], fork[32];
        start_server(seeds[i]);
        snprintf(job, sizeof(job), "%s", submit());
        finish(seeds[i], job, i == 0);
        json_t *r = rpc(c.address, "Jobs/ForkJob", "{'job_id':'%s','step':1}", job);
        snprintf(fork, sizeof(fork), "%.31s", at(r, "jobId"));
        json_decref(r);
        finish(seeds[i], fork, false);
        proc_stop(&server);
    }
}

/* ---- what people send back ---- */

/* Programs in Python that see exactly what they get. */
#define READ "import json,sys; t=json.loads(sys.stdin.readline()); d=t[\\\"task\\\"][\\\"data\\\"]; "
#define SAY(event, data) "print(json.dumps({\\\"emit\\\":\\\"" event "\\\",\\\"data\\\":" data "})); "
#define PYTHON(id, program)                                                                                  \
    "{'id':'" id "','type':'exec','config':{'command':['/usr/bin/python3','-c','" program "']}}"

static void what_comes_back_unchanged_from_an_operator_is_the_integer(void **state)
{
    (void)state;
    const char *job = submit_inline(
        &c,
        "{'routines':[" PYTHON(
            "a",
            "import json; v={\\\"id\\\":" ID ",\\\"l\\\":[-" ID ",5]}; "
            "print(json.dumps({\\\"set\\\":\\\"had\\\",\\\"value\\\":v,\\\"shared\\\":True})); " SAY(
                "out",
                "v")) "," PYTHON("b",
                                 READ "assert d.get(\\\"fix\\\"); " SAY(
                                     "seen",
                                     "{\\\"text\\\":json.dumps([d,t[\\\"shared_data\\\"][\\\"had\\\"]],sort_"
                                     "keys=True)}")) "],'connections':[{'from':{'routine':'a','event':'out'},"
                                                     "'to':{'routine':'b','slot':'in'}}]}",
        "{}");
    json_t *j = wait_status(&c, job, "FAILED");
    assert_string_equal(at(j, "job.state.pendingTasks[0].data.id"), ID);
    assert_true(json_is_string(json_at(j, "job.state.pendingTasks[0].data.id")));
    assert_true(json_is_string(json_at(j, "job.state.sharedData.had.l[0]")));
    assert_true(json_is_number(json_at(j, "job.state.sharedData.had.l[1]")));
    json_decref(rpc(c.address, "Jobs/PatchState",
                    "{'job_id':'%s','set':{'had':{'id':'" ID "','l':['new','-" ID "']},'more':'" ID "'}}",
                    job));
    json_decref(rpc(c.address, "Jobs/EditTask",
                    "{'job_id':'%s','task_id':'%s','data':{'id':'" ID "','l':['-" ID "'],'fix':'" ID "'}}",
                    job, at(j, "job.state.pendingTasks[0].taskId")));
    json_decref(j);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    j = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(j, "job.state.outputs[0].data.text"),
                        "[{\"fix\": \"" ID "\", \"id\": " ID ", \"l\": [-" ID "]}, "
                        "{\"id\": " ID ", \"l\": [\"new\", \"-" ID "\"]}]");
    json_decref(j);
}

static void what_comes_back_unchanged_in_an_answer_is_the_integer(void **state)
{
    (void)state;
    const char *job = submit_inline(
        &c,
        "{'routines':[" PYTHON(
            "a",
            "import json; " SAY(
                "out", "{\\\"id\\\":" ID
                       "}")) ","
                             "{'id':'h','type':'human','config':{'question':'Is it right?'}}," PYTHON(
                                 "b",
                                 READ SAY("seen", "{\\\"text\\\":json.dumps(d[\\\"answer\\\"],sort_keys=True)"
                                                  "}")) "],'connections':[{'from':{'routine':'a','event':'"
                                                        "out'},'to':{'routine':'h','slot':'input'}},"
                                                        "{'from':{'routine':'h','event':'output'},'to':{'"
                                                        "routine':'b','slot':'in'}}]}",
        "{}");
    json_t *j = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(j, "job.pauses[0].data.id"), ID);
    json_decref(
        rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':{'id':'" ID "','other':'" ID "'}}", job));
    json_decref(j);
    j = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(j, "job.state.outputs[0].data.text"), "{\"id\": " ID ", \"other\": \"" ID "\"}");
    json_decref(j);
}

#define TEST(name) cmocka_unit_test(name)

static int start(void **state)
{
    (void)state;
    cluster_start_probes(&c, 2);
    json_decref(rpc(c.address, "Flows/PutFlow",
                    "{'flow':{'name':'echo','routines':[{'id':'a','type':'jq','config':{'program':'.'}}]}}"));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_done(&c);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(json_at_random_comes_back_from_every_tool),
        TEST(what_comes_back_unchanged_from_an_operator_is_the_integer),
        TEST(what_comes_back_unchanged_in_an_answer_is_the_integer),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
