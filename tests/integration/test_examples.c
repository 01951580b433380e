/* Every example under examples/ runs as it stands, and does what its description says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"

static struct cluster cluster;

static int start(void **state)
{
    (void)state;
    const char *source = getenv("SOURCE_DIR");
    assert_int_equal(chdir(source == NULL ? "." : source), 0); /* commands are looked up from there */
    cluster_start(&cluster, 2);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_done(&cluster);
    return 0;
}

/* A sanitizer's build is slower, so all times in milliseconds ("ms", "wait_ms") are longer there. */
static char *slow_down(char *text)
{
    static const char key[] = "ms\": ";
    char *out = NULL, *p = text, *end;
    size_t n;
    FILE *f = open_memstream(&out, &n);
    assert_non_null(f);
    for (char *at; (at = strstr(p, key)) != NULL; p = end) {
        bool is_time = at > text && (at[-1] == '_' || at[-1] == '"');
        end = at + sizeof(key) - 1;
        fprintf(f, "%.*s", (int)(end - p), p);
        if (is_time)
            fprintf(f, "%ld", strtol(end, &end, 10) * test_slow());
    }
    fputs(p, f);
    assert_int_equal(fclose(f), 0);
    free(text);
    return out;
}

static char *example(const char *name)
{
    char path[512];
    const char *source = getenv("SOURCE_DIR");
    snprintf(path, sizeof(path), "%s/examples/%s.json", source == NULL ? "." : source, name);
    return slow_down(file_text(path));
}

/* Submits an example; the job's id is valid until the next call. */
static const char *submit(const char *name)
{
    static char id[32];
    char *text = example(name);
    json_t *r = rpc(cluster.address, "Jobs/SubmitJob", "%s", text);
    snprintf(id, sizeof(id), "%s", at(r, "jobId"));
    json_decref(r);
    free(text);
    return id;
}

static void same(json_t *is, const char *quoted)
{
    json_t *want = json_parse(quoted);
    if (!json_equal(is, want)) {
        char *text = json_dumps(is, JSON_ENCODE_ANY | JSON_INDENT(1));
        fail_msg("%s is not %s", text, quoted);
    }
    json_decref(want);
}

/* The outputs of a job without the numbers of their steps. */
static json_t *outputs(json_t *job)
{
    json_t *list = json_at(job, "job.state.outputs"), *o;
    size_t i;
    json_array_foreach(list, i, o) json_object_del(o, "step");
    return list;
}

/* The job completes with these outputs. */
static void ends_with(const char *job, const char *want)
{
    json_t *done = wait_status(&cluster, job, "COMPLETED");
    same(outputs(done), want);
    json_decref(done);
}

static void answer(const char *job, const char *text)
{
    json_decref(rpc(cluster.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'%s'}", job, text));
}

/* ---- the examples ---- */

static void log_passes_on_what_it_writes(void **state)
{
    (void)state;
    const char *job = submit("log");
    ends_with(job, "[{'routine':'note','event':'output','data':{'x':1}}]");
}

static void exec_counts_words_in_shell(void **state)
{
    (void)state;
    ends_with(submit("exec_shell"), "[{'routine':'count','event':'counted','data':{'words':6}}]");
}

static void exec_asks_in_python_and_goes_on_with_the_answer(void **state)
{
    (void)state;
    const char *job = submit("exec_python");
    json_decref(wait_status(&cluster, job, "PAUSED"));
    json_decref(rpc(cluster.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'Ada'}", job));
    ends_with(job, "[{'routine':'greet','event':'greeting','data':{'text':'Hello, Ada!'}}]");
}

static void exec_in_python_serves_many_tasks(void **state)
{
    (void)state;
    ends_with(submit("exec_serve"),
              "[{'routine':'split','event':'done','data':{'total':3}},"
              "{'routine':'number','event':'number','data':{'word':'one','number':1}},"
              "{'routine':'number','event':'number','data':{'word':'two','number':2}},"
              "{'routine':'number','event':'number','data':{'word':'three','number':3}}]");
}

static void the_research_agent_looks_up_asks_for_approval_and_ends_on_another_host(void **state)
{
    (void)state;
    char job[32], first[16];
    snprintf(job, sizeof(job), "%.31s", submit("research_agent"));
    json_t *paused = wait_status(&cluster, job, "PAUSED");
    assert_string_equal(at(paused, "job.pauses[0].data.tool"), "publish");
    assert_string_equal(at(paused, "job.state.routineStates.agent.messages[2].content"),
                        "what is known of fermata");
    snprintf(first, sizeof(first), "%.15s", at(paused, "job.lastHost"));
    json_decref(rpc(cluster.address, "Jobs/ResumeJob",
                    "{'job_id':'%s','answer':'approve','digest':'%s','answered_by':'ada'}", job,
                    at(paused, "job.pauses[0].digest")));
    json_decref(paused);
    json_t *done = wait_status(&cluster, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.agent.text"), "Published.");
    assert_string_not_equal(at(done, "job.lastHost"), first);
    json_decref(done);
}

static void split_makes_a_task_of_each_element(void **state)
{
    (void)state;
    ends_with(
        submit("split"),
        "[{'routine':'split','event':'done','data':{'order_id':17,'total':3}},"
        "{'routine':'each','event':'output','data':{'order_id':17,'product':'pen','index':0,'total':3}},"
        "{'routine':'each','event':'output','data':{'order_id':17,'product':'ink','index':1,'total':3}},"
        "{'routine':'each','event':'output','data':{'order_id':17,'product':'paper','index':2,'total':3}}]");
}

static void aggregate_waits_for_all_that_split_has_made(void **state)
{
    (void)state;
    ends_with(submit("aggregate"),
              "[{'routine':'split','event':'done','data':{'total':3}},"
              "{'routine':'all','event':'output','data':{'count':3,"
              "'items':[{'item':'a','index':0,'total':3},{'item':'b','index':1,'total':3},"
              "{'item':'c','index':2,'total':3}]}}]");
    char *text = example("aggregate"), *list = strstr(text, "[\"a\", \"b\", \"c\"]");
    assert_non_null(list);
    strcpy(list, "[]}}"); /* an empty list is complete, too */
    json_t *r = rpc(cluster.address, "Jobs/SubmitJob", "%s", text);
    free(text);
    ends_with(at(r, "jobId"), "[{'routine':'all','event':'output','data':{'count':0,'items':[]}}]");
    json_decref(r);
}

static void aggregate_waits_for_each_of_its_sources(void **state)
{
    (void)state;
    json_t *done = wait_status(&cluster, submit("aggregate_sources"), "COMPLETED");
    json_t *data = json_at(done, "job.state.outputs[0].data");
    same(json_object_get(data, "sources"),
         "{'price':{'product':'pen','price':12},'stock':{'product':'pen','stock':3}}");
    assert_int_equal(json_array_size(outputs(done)), 1);
    json_decref(done);
}

static void batch_gathers_by_size_and_time(void **state)
{
    (void)state;
    ends_with(submit("batch"),
              "[{'routine':'split','event':'done','data':{'total':5}},"
              "{'routine':'batch','event':'output','data':{'count':2,'items':[{'n':1},{'n':2}]}},"
              "{'routine':'batch','event':'output','data':{'count':2,'items':[{'n':3},{'n':4}]}},"
              "{'routine':'batch','event':'output','data':{'count':1,'items':[{'n':5}]}}]");
}

static void debounce_lets_the_last_of_each_pass(void **state)
{
    (void)state;
    ends_with(submit("debounce"),
              "[{'routine':'split','event':'done','data':{'total':4}},"
              "{'routine':'last','event':'output','data':{'change':{'doc':'b','text':'2'}}},"
              "{'routine':'last','event':'output','data':{'change':{'doc':'a','text':'4'}}}]");
}

static void a_job_starts_its_journal_over(void **state)
{
    (void)state;
    const char *job = submit("continue");
    ends_with(job, "[{'routine':'end','event':'output','data':{'what':'tea'}}]");
    json_t *j = rpc(cluster.address, "Jobs/GetJob", "{'job_id':'%s'}", job);
    assert_string_equal(at(j, "job.generation"), "1");
    assert_string_equal(at(j, "job.state.logTrimmed"), "1");
    assert_int_equal(json_array_size(json_at(j, "job.state.sharedLog")), 1);
    json_decref(j);
    json_t *history = rpc(cluster.address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_string_equal(at(history, "steps[0].number"), "3"); /* what was before is deleted */
    assert_string_equal(at(history, "steps[0].remedy.kind"), "REMEDY_KIND_CONTINUE");
    assert_string_equal(at(history, "steps[1].taskId"), "s2.0"); /* carried over */
    json_decref(history);
}

static void sleep_goes_on_when_it_is_time(void **state)
{
    (void)state;
    const char *job = submit("sleep");
    ends_with(job, "[{'routine':'remind','event':'output','data':{'what':'tea'}}]");
    json_t *history = rpc(cluster.address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_string_equal(at(history, "steps[1].slot"), "_due");
    json_decref(history);
}

static void validate_says_what_is_wrong(void **state)
{
    (void)state;
    ends_with(submit("validate"), "[{'routine':'refuse','event':'output',"
                                  "'data':{'errors':[{'path':'lines[1].sku',"
                                  "'message':'does not match ^[A-Z]{3}-[0-9]+$'},"
                                  "{'path':'lines[2].qty','message':'is 0; it must be 1 or more'}]}}]");
}

static void human_asks_and_the_answer_chooses_the_way(void **state)
{
    (void)state;
    const char *job = submit("human");
    json_decref(wait_status(&cluster, job, "PAUSED"));
    answer(job, "no");
    ends_with(job, "[{'routine':'drop','event':'output','data':{'letter':'Dear …','question':'Send it?',"
                   "'answer':'no'}}]");
}

static void llm_agent_asks_and_goes_on_with_the_answer(void **state)
{
    (void)state;
    const char *job = submit("llm_agent");
    json_t *paused = wait_status(&cluster, job, "PAUSED");
    assert_string_equal(at(paused, "job.pauses[0].question"), "Sea or mountains?");
    json_decref(paused);
    answer(job, "sea");
    json_t *done = wait_status(&cluster, job, "COMPLETED");
    bool said = false;
    json_t *o;
    size_t i;
    json_array_foreach(outputs(done), i, o) said = said || strcmp(at(o, "data.text"), "Take the train.") == 0;
    assert_true(said);
    json_decref(done);
}

static void jq_maps_filters_and_routes(void **state)
{
    (void)state;
    ends_with(submit("jq"),
              "[{'routine':'large','event':'rejected','data':{'id':2,'country':'JP','total':9}},"
              "{'routine':'home','event':'output','data':{'id':1,'country':'CH','total':120}},"
              "{'routine':'abroad','event':'output','data':{'id':3,'country':'JP','total':125}}]");
}

static void job_waits_for_the_end_of_another_one(void **state)
{
    (void)state;
    char *child = example("job_child");
    json_decref(rpc(cluster.address, "Flows/PutFlow", "%s", child));
    free(child);
    json_t *done = wait_status(&cluster, submit("job"), "COMPLETED");
    json_t *result = json_at(done, "job.state.outputs[0].data");
    assert_string_equal(at(result, "status"), "COMPLETED");
    assert_string_equal(at(result, "outputs[0].routine"), "greet");
    assert_string_equal(at(result, "outputs[0].data.name"), "ann");
    assert_string_equal(at(result, "shared_data.tenant"), "acme");
    assert_int_equal(strlen(at(result, "job_id")), 26);
    json_decref(done);
}

/* ---- what no example shows ---- */

/* The flow's second routine, a job of the flow `child`, with these settings and events "failed" to a log. */
static const char *submit_parent(const char *settings)
{
    static char id[32];
    json_t *r = rpc(cluster.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'call','type':'job',"
                    "'config':{'flow':'faulty','routine':'s','slot':'input'%s}}]},"
                    "'entry':{'routine':'call','slot':'start'},'data':{}}",
                    settings);
    snprintf(id, sizeof(id), "%s", at(r, "jobId"));
    json_decref(r);
    return id;
}

static void a_childs_failure_comes_up(void **state)
{
    (void)state;
    json_decref(rpc(cluster.address, "Flows/PutFlow",
                    "{'flow':{'name':'faulty','routines':[{'id':'s','type':'split'}]}}"));
    json_t *failed = wait_status(&cluster, submit_parent(""), "FAILED");
    assert_string_equal(at(failed, "job.error.code"), "INVALID_ARGUMENT");
    assert_non_null(strstr(at(failed, "job.error.message"), "is FAILED: there is no list at"));
    json_decref(failed);
    json_t *done = wait_status(&cluster, submit_parent(",'on_failure':'event'"), "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].event"), "failed");
    assert_string_equal(at(done, "job.state.outputs[0].data.status"), "FAILED");
    assert_string_equal(at(done, "job.state.outputs[0].data.error.code"), "INVALID_ARGUMENT");
    json_decref(done);
}

/* A program that would never end takes its task down, and no host. */
static void an_endless_program_fails_its_job_only(void **state)
{
    (void)state;
    json_t *r = rpc(cluster.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'j','type':'jq',"
                    "'config':{'program':'def f: f; f','timeout_ms':50}}]},"
                    "'entry':{'routine':'j','slot':'input'}}");
    json_t *failed = wait_status(&cluster, at(r, "jobId"), "FAILED");
    assert_string_equal(at(failed, "job.error.code"), "DEADLINE_EXCEEDED");
    json_decref(failed);
    json_decref(r);
    ends_with(submit("log"), "[{'routine':'note','event':'output','data':{'x':1}}]");
}

static void a_flow_is_fetched_as_a_graph(void **state)
{
    (void)state;
    json_decref(rpc(cluster.address, "Flows/PutFlow",
                    "{'flow':{'name':'drawn','routines':[{'id':'a','type':'log'},{'id':'b','type':'log'}],"
                    "'connections':[{'from':{'routine':'a','event':'output'},"
                    "'to':{'routine':'b','slot':'input'}}]}}"));
    json_t *r = rpc(cluster.address, "Flows/GetFlowGraph", "{'name':'drawn'}");
    assert_non_null(strstr(at(r, "graph"), "digraph \"drawn\" {\n"));
    assert_non_null(strstr(at(r, "graph"), "\"a\" -> \"b\" [label=\"output → input\"];"));
    assert_string_equal(at(r, "version"), "1");
    json_decref(r);
    r = rpc(cluster.address, "Flows/GetFlowGraph",
            "{'name':'drawn','version':1,'format':'FLOW_GRAPH_FORMAT_MERMAID'}");
    assert_non_null(strstr(at(r, "graph"), "r0 -- \"output → input\" --> r1\n"));
    json_decref(r);
    free(rpc_fails(cluster.address, "Flows/GetFlowGraph", "NotFound", "{'name':'drawn','version':2}"));
    free(rpc_fails(cluster.address, "Flows/GetFlowGraph", "NotFound", "{'name':'none'}"));
    free(rpc_fails(cluster.address, "Flows/GetFlowGraph", "InvalidArgument", "{'name':''}"));
    char *text =
        rpc_fails(cluster.address, "Flows/GetFlowGraph", "InvalidArgument", "{'name':'drawn','format':9}");
    assert_non_null(strstr(text, "format 9"));
    free(text);
}

static void ten_thousand_tasks_are_made_in_one_step(void **state)
{
    (void)state;
    enum { N = 10000 };
    char *items = malloc(N * 6 + 3);
    size_t n = 0;
    items[n++] = '[';
    for (int i = 0; i < N; i++)
        n += (size_t)sprintf(items + n, "%s%d", i > 0 ? "," : "", i);
    strcpy(items + n, "]");
    json_t *r = rpc(cluster.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'s','type':'split'},"
                    "{'id':'all','type':'aggregate','config':{'count':10000}}],"
                    "'connections':[{'from':{'routine':'s','event':'item'},"
                    "'to':{'routine':'all','slot':'in'},'mapping':{'item':'n'},'drop_unmapped':true}]},"
                    "'entry':{'routine':'s','slot':'input'},'data':{'items':%s}}",
                    items);
    free(items);
    json_t *done = wait_status(&cluster, at(r, "jobId"), "COMPLETED");
    assert_string_equal(at(done, "job.stepCount"), "10001");
    assert_string_equal(at(done, "job.state.outputs[1].data.count"), "10000");
    json_t *all = json_at(done, "job.state.outputs[1].data.items");
    assert_int_equal(json_array_size(all), N);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(all, i), "n")), i);
    assert_int_equal(json_object_size(json_at(done, "job.state.routineStates.all")), 0);
    json_decref(done);
    json_decref(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_passes_on_what_it_writes),
        cmocka_unit_test(exec_counts_words_in_shell),
        cmocka_unit_test(exec_in_python_serves_many_tasks),
        cmocka_unit_test(exec_asks_in_python_and_goes_on_with_the_answer),
        cmocka_unit_test(the_research_agent_looks_up_asks_for_approval_and_ends_on_another_host),
        cmocka_unit_test(split_makes_a_task_of_each_element),
        cmocka_unit_test(aggregate_waits_for_all_that_split_has_made),
        cmocka_unit_test(aggregate_waits_for_each_of_its_sources),
        cmocka_unit_test(batch_gathers_by_size_and_time),
        cmocka_unit_test(debounce_lets_the_last_of_each_pass),
        cmocka_unit_test(a_job_starts_its_journal_over),
        cmocka_unit_test(sleep_goes_on_when_it_is_time),
        cmocka_unit_test(validate_says_what_is_wrong),
        cmocka_unit_test(human_asks_and_the_answer_chooses_the_way),
        cmocka_unit_test(llm_agent_asks_and_goes_on_with_the_answer),
        cmocka_unit_test(jq_maps_filters_and_routes),
        cmocka_unit_test(job_waits_for_the_end_of_another_one),
        cmocka_unit_test(a_childs_failure_comes_up),
        cmocka_unit_test(an_endless_program_fails_its_job_only),
        cmocka_unit_test(a_flow_is_fetched_as_a_graph),
        cmocka_unit_test(ten_thousand_tasks_are_made_in_one_step),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
