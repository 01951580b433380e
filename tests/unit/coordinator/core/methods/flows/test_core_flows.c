/* The Flows service: versions, what PutFlow says and warns of, what is left after a restart. */
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

#define ROUTINES "'routines': [{'id': 'r', 'type': 't'}]"

static void a_changed_flow_is_a_new_version(void **state)
{
    (void)state;
    (void)host_joins("a", " ");
    json_t *r = call("Flows/PutFlow", "'flow': {'name': 'f', 'description': 'one', " ROUTINES "}");
    assert_string_equal(at(r, ""), "{'created':true,'name':'f','version':1}");
    r = call("Flows/PutFlow", "'flow': {'name': 'f', 'description': 'one', " ROUTINES "}");
    assert_string_equal(at(r, ""), "{'name':'f','version':1}");
    rig_restart();
    (void)host_joins("a", " ");
    r = call("Flows/PutFlow", "'flow': {'name': 'f', 'description': 'one', " ROUTINES "}");
    assert_string_equal(at(r, ""), "{'name':'f','version':1}");
    rig_pass(1000);
    r = call("Flows/PutFlow", "'flow': {'name': 'f', 'description': 'two', " ROUTINES "}");
    assert_string_equal(at(r, ""), "{'created':true,'name':'f','version':2}");
    assert_string_equal(at(call("Flows/GetFlow", "'name': 'f'"), "flow.description"), "two");
    assert_int_equal(number_at(call("Flows/GetFlow", "'name': 'f'"), "flow.version"), 2);
    assert_string_equal(at(call("Flows/GetFlow", "'name': 'f', 'version': 1"), "flow.description"), "one");
    json_t *list = call("Flows/ListFlows", "{}");
    assert_string_equal(at(list, ""), "{'flows':[{'created_at':1700000001000,'description':'two','name':'f',"
                                      "'routine_count':1,'version':2}]}");
    const char *new_job = submit_f(" "), *old_job = submit_f(", 'flow_version': 1");
    assert_int_equal(number_at(job_of(new_job), "flow_version"), 2);
    assert_int_equal(number_at(job_of(old_job), "flow_version"), 1);
}

static void a_flow_that_is_not_there_is_not_found(void **state)
{
    (void)state;
    put_flow_f(" ");
    static const char *const reads[] = {"Flows/GetFlow", "Flows/GetFlowGraph"};
    for (size_t i = 0; i < 2; i++) {
        refuses("NOT_FOUND name: there is no flow \"g\"", reads[i], "'name': 'g'");
        refuses("NOT_FOUND version: there is no version 2 of a flow \"f\"", reads[i],
                "'name': 'f', 'version': 2");
        refuses("INVALID_ARGUMENT name: ", reads[i], "'name': 'no name'");
    }
    refuses("NOT_FOUND name: there is no flow \"g\"", "Flows/DeleteFlow", "'name': 'g'");
    refuses("INVALID_ARGUMENT name: ", "Flows/DeleteFlow", "'name': 'no name'");
    refuses("INVALID_ARGUMENT format: graph format 9 is unknown", "Flows/GetFlowGraph",
            "'name': 'f', 'format': 9");
    refuses("INVALID_ARGUMENT page_token: ", "Flows/ListFlows", "'page_token': 'no name'");
    refuses("INVALID_ARGUMENT flow: flow is missing", "Flows/PutFlow", "{}");
}

static void a_graph_is_in_the_format_that_is_asked_for(void **state)
{
    (void)state;
    put_flow_f(" ");
    json_t *r = call("Flows/GetFlowGraph", "'name': 'f'");
    assert_int_equal(strncmp(at(r, "graph"), "digraph", 7), 0);
    assert_int_equal(number_at(r, "version"), 1);
    assert_int_equal(
        strncmp(at(call("Flows/GetFlowGraph", "'name': 'f', 'format': 1"), "graph"), "digraph", 7), 0);
    assert_int_equal(
        strncmp(at(call("Flows/GetFlowGraph", "'name': 'f', 'format': 2"), "graph"), "flowchart", 9), 0);
}

static void deleted_flows_stay_for_their_jobs(void **state)
{
    (void)state;
    put_flow_f(" ");
    put_flow_f(", 'description': 'two'");
    const char *job = submit_f(" ");
    assert_string_equal(at(call("Flows/DeleteFlow", "'name': 'f'"), ""), "{'versions_deleted':2}");
    refuses("NOT_FOUND flow: ", "Jobs/SubmitJob", "'flow': 'f', 'entry': {'routine': 'r', 'slot': 'in'}");
    refuses("NOT_FOUND name: ", "Flows/DeleteFlow", "'name': 'f'");
    assert_string_equal(at(call("Flows/ListFlows", "{}"), ""), "{}");
    rig_restart();
    uint64_t a = host_joins("a", " ");
    assert_string_equal(at(told_of(a, "assign"), "job_id"), job);
    put_flow_f(" ");
    assert_int_equal(number_at(call("Flows/GetFlow", "'name': 'f'"), "flow.version"), 3);
    put_flow_f(", 'description': 'two'");
    assert_string_equal(at(call("Flows/DeleteFlow", "'name': 'f'"), ""), "{'versions_deleted':2}");
    put_flow_f(" ");
    assert_int_equal(number_at(call("Flows/GetFlow", "'name': 'f'"), "flow.version"), 5);
}

static void flows_are_listed_by_name_and_page(void **state)
{
    (void)state;
    static const char *const names[] = {"c", "a", "b"};
    for (size_t i = 0; i < 3; i++)
        (void)call("Flows/PutFlow", "'flow': {'name': '%s', " ROUTINES "}", names[i]);
    json_t *page = call("Flows/ListFlows", "'page_size': 2");
    assert_string_equal(at(page, "flows[0].name"), "a");
    assert_string_equal(at(page, "flows[1].name"), "b");
    assert_string_equal(at(page, "flows[2]"), "");
    assert_string_equal(at(page, "next_page_token"), "b");
    page = call("Flows/ListFlows", "'page_size': 2, 'page_token': 'b'");
    assert_string_equal(at(page, "flows[0].name"), "c");
    assert_string_equal(at(page, "flows[1]"), "");
    assert_string_equal(at(page, "next_page_token"), "");
}

static void a_flow_with_faults_names_them(void **state)
{
    (void)state;
    refuses("INVALID_ARGUMENT flow.name: the flow has 1 fault: ", "Flows/PutFlow", "'flow': {" ROUTINES "}");
    refuses("INVALID_ARGUMENT flow.name: the flow has 2 faults, the first is: ", "Flows/PutFlow",
            "'flow': {'routines': [{'id': 'r', 'type': 't'}, {'id': 'r', 'type': 't'}]}");
    refuses("INVALID_ARGUMENT inline_flow.", "Jobs/SubmitJob",
            "'inline_flow': {'routines': [{'id': 'no name', 'type': 't'}]}, 'entry': {'routine': 'r', "
            "'slot': 'in'}");
}

static void types_that_nobody_offers_are_warned_of(void **state)
{
    (void)state;
    json_t *r = call("Flows/PutFlow",
                     "'flow': {'name': 'f', 'routines': [{'id': 'r', 'type': 't'}, {'id': 'q', 'type': "
                     "'human', 'config': {'question': 'Q?'}}]}");
    assert_string_equal(at(r, "warnings[0]"),
                        "routine \"r\": no host has offered routine type \"t\" yet: its "
                        "configuration is not checked, and jobs will wait for a host that does");
    assert_string_equal(at(r, "warnings[1]"), ""); /* what is built in is known */
    (void)host_joins("a", " ");
    r = call("Flows/PutFlow", "'flow': {'name': 'f', 'routines': [{'id': 'r', 'type': 't'}]}");
    assert_string_equal(at(r, "warnings"), "");
    refuses("INVALID_ARGUMENT entry", "Jobs/SubmitJob",
            "'flow': 'f', 'entry': {'routine': 'r', 'slot': 'none'}");
}

static void an_answer_to_put_flow_waits_for_the_disk(void **state)
{
    (void)state;
    rig.hold = true;
    uint64_t one = begin("Flows/PutFlow", "'flow': {'name': 'f', " ROUTINES "}");
    rig_settle();
    uint64_t same = begin("Flows/PutFlow", "'flow': {'name': 'f', " ROUTINES "}");
    rig_settle();
    assert_null(answer_of(one));
    assert_null(answer_of(same)); /* also that of the same flow */
    rig.fail_units = 1;
    rig.hold = false;
    rig_settle();
    assert_string_equal(error_of(one), "UNAVAILABLE: the store is out of order");
    rig_pass(1000);
    json_t *r = call("Flows/PutFlow", "'flow': {'name': 'f', " ROUTINES "}");
    assert_int_equal(number_at(r, "version"), 1);
    assert_int_equal(number_at(call("Flows/GetFlow", "'name': 'f'"), "flow.version"), 1);
}

#define T(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_changed_flow_is_a_new_version),
        T(a_flow_that_is_not_there_is_not_found),
        T(a_graph_is_in_the_format_that_is_asked_for),
        T(deleted_flows_stay_for_their_jobs),
        T(flows_are_listed_by_name_and_page),
        T(a_flow_with_faults_names_them),
        T(types_that_nobody_offers_are_warned_of),
        T(an_answer_to_put_flow_waits_for_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
