/* Validation of what flows say of time, failures, merging and connections' data: every fault, with its path.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow.h"
#include "from_json.h"

static struct fm_err err;

static int setup(void **state)
{
    (void)state;
    from_json_begin();
    err = (struct fm_err){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fm_err_done(&err);
    from_json_end();
    return 0;
}

#define A_TO_B "'from':{'routine':'a','event':'output'},'to':{'routine':'b','slot':'input'}"

/* A flow of the log routines a and b and a connection, with more fields of the flow, of routine b and of the
 * connection. */
static Fermata__V1__Flow *flow(const char *of_flow, const char *of_routine, const char *of_connection)
{
    char text[4096];
    snprintf(text, sizeof(text),
             "{'name':'f','routines':[{'id':'a','type':'log'},{'id':'b','type':'log'%s}],"
             "'connections':[{" A_TO_B "%s}]%s}",
             of_routine, of_connection, of_flow);
    return from_json(&fermata__v1__flow__descriptor, text);
}

static void is_valid(const Fermata__V1__Flow *f)
{
    fm_err_done(&err);
    int rc = flow_validate(f, "flow", FLOW_STORED, NULL, NULL, &err);
    if (rc != 0)
        fail_msg("%s: %s", err.field, err.msg);
}

static void has_fault(const Fermata__V1__Flow *f, const char *field, const char *text)
{
    fm_err_done(&err);
    assert_int_equal(flow_validate(f, "flow", FLOW_STORED, NULL, NULL, &err), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, field);
    if (strstr(err.msg, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
    assert_int_equal(err.n_more, 0);
}

static void flow_has_fault(const char *of_flow, const char *field, const char *text)
{
    has_fault(flow(of_flow, "", ""), field, text);
}

static void routine_has_fault(const char *of_routine, const char *field, const char *text)
{
    has_fault(flow("", of_routine, ""), field, text);
}

static void connection_has_fault(const char *of_connection, const char *field, const char *text)
{
    has_fault(flow("", "", of_connection), field, text);
}

/* ---- the flow's own ---- */

static void parallelism_deadline_and_priority_have_limits(void **state)
{
    (void)state;
    is_valid(flow(",'parallelism':64,'deadline_ms':31622400000", ",'priority':1000", ""));
    is_valid(flow("", ",'priority':-1000", ""));
    flow_has_fault(",'parallelism':65", "flow.parallelism", "65; the limit is 64");
    flow_has_fault(",'deadline_ms':31622400001", "flow.deadline_ms", "366 days");
    routine_has_fault(",'priority':1001", "flow.routines[1].priority", "-1000 to 1000");
    routine_has_fault(",'priority':-1001", "flow.routines[1].priority", "-1001");
}

/* ---- policies ---- */

static void a_policy_with_everything_at_its_limits_is_fine(void **state)
{
    (void)state;
    const char *policy = "{'retry':{'max_attempts':1000000,'initial_delay_ms':31622400000,'factor':100,"
                         "'max_delay_ms':31622400000,'jitter':1,'retryable_codes':['UNAVAILABLE','CANCELLED',"
                         "'UNAUTHENTICATED']},'attempt_timeout_ms':31622400000,'timeout_ms':31622400000,"
                         "'on_error':'ERROR_POLICY_ROUTE','on_lost':'LOST_POLICY_FAIL'}";
    char of_flow[1024], of_routine[1024];
    snprintf(of_flow, sizeof(of_flow), ",'defaults':%s", policy);
    snprintf(of_routine, sizeof(of_routine), ",'policy':%s", policy);
    is_valid(flow(of_flow, of_routine, ""));
    is_valid(flow(",'defaults':{}", ",'policy':{'retry':{}}", ""));
}

static void policy_has_fault(const char *policy, const char *field, const char *text)
{
    char with[512], path[128];
    snprintf(with, sizeof(with), ",'policy':%s", policy);
    snprintf(path, sizeof(path), "flow.routines[1].policy.%s", field);
    routine_has_fault(with, path, text);
    snprintf(with, sizeof(with), ",'defaults':%s", policy);
    snprintf(path, sizeof(path), "flow.defaults.%s", field);
    flow_has_fault(with, path, text);
}

static void numbers_of_a_policy_have_bounds(void **state)
{
    (void)state;
    policy_has_fault("{'retry':{'max_attempts':1000001}}", "retry.max_attempts", "the limit is 1000000");
    policy_has_fault("{'retry':{'initial_delay_ms':31622400001}}", "retry.initial_delay_ms", "366 days");
    policy_has_fault("{'retry':{'max_delay_ms':31622400001}}", "retry.max_delay_ms", "366 days");
    policy_has_fault("{'retry':{'factor':0.5}}", "retry.factor", "0.5; 1 to 100");
    policy_has_fault("{'retry':{'factor':100.5}}", "retry.factor", "1 to 100");
    policy_has_fault("{'retry':{'factor':-2}}", "retry.factor", "-2");
    policy_has_fault("{'retry':{'jitter':1.5}}", "retry.jitter", "0 to 1");
    policy_has_fault("{'retry':{'jitter':-0.1}}", "retry.jitter", "-0.1");
    policy_has_fault("{'attempt_timeout_ms':31622400001}", "attempt_timeout_ms", "366 days");
    policy_has_fault("{'timeout_ms':31622400001}", "timeout_ms", "366 days");
}

static void no_number_is_no_number(void **state)
{
    (void)state;
    Fermata__V1__Flow *f = flow("", ",'policy':{'retry':{}}", "");
    f->routines[1]->policy->retry->factor = strtod("nan", NULL);
    has_fault(f, "flow.routines[1].policy.retry.factor", "nan");
    f->routines[1]->policy->retry->factor = 0;
    f->routines[1]->policy->retry->jitter = strtod("nan", NULL);
    has_fault(f, "flow.routines[1].policy.retry.jitter", "nan");
}

static void words_of_a_policy_are_known(void **state)
{
    (void)state;
    policy_has_fault("{'on_error':17}", "on_error", "error policy 17 is unknown");
    policy_has_fault("{'on_lost':-1}", "on_lost", "policy -1 for lost tasks is unknown");
    policy_has_fault("{'retry':{'retryable_codes':['UNAVAILABLE','OOPS']}}", "retry.retryable_codes[1]",
                     "\"OOPS\"");
    policy_has_fault("{'retry':{'retryable_codes':['OK']}}", "retry.retryable_codes[0]", "of an error");
    policy_has_fault("{'retry':{'retryable_codes':['ABORTED','ABORTED']}}", "retry.retryable_codes[1]",
                     "twice");
}

static void all_faults_of_a_flow_are_named(void **state)
{
    (void)state;
    Fermata__V1__Flow *f = flow(",'parallelism':1000",
                                ",'priority':5000,'policy':{'retry':{'factor':0.1,"
                                "'jitter':9}},'merge':[{'slot':'x','mode':99}]",
                                "");
    static const char *const fields[] = {"flow.parallelism",
                                         "flow.routines[1].priority",
                                         "flow.routines[1].policy.retry.factor",
                                         "flow.routines[1].policy.retry.jitter",
                                         "flow.routines[1].merge[0].mode",
                                         "flow.routines[1].merge[0].slot"};
    assert_int_equal(flow_validate(f, "flow", FLOW_STORED, NULL, NULL, &err), -FM_INVALID_ARGUMENT);
    assert_int_equal(err.n_more, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(err.more[i].field, fields[i]);
}

/* ---- merging ---- */

static void a_merge_is_of_a_slot_that_exists_once_and_has_an_n_when_it_needs_one(void **state)
{
    (void)state;
    is_valid(flow("", ",'merge':[{'slot':'input','mode':'MERGE_MODE_ALL'}]", ""));
    is_valid(flow("", ",'merge':[{'slot':'input','mode':'MERGE_MODE_N_OF_M','n':10000}]", ""));
    is_valid(flow("", ",'merge':[{'slot':'input'}]", ""));
    routine_has_fault(",'merge':[{'slot':'in','mode':'MERGE_MODE_APPEND'}]", "flow.routines[1].merge[0].slot",
                      "it has: input");
    routine_has_fault(",'merge':[{'mode':'MERGE_MODE_APPEND'}]", "flow.routines[1].merge[0].slot", "missing");
    routine_has_fault(",'merge':[{'slot':'input'},{'slot':'input'}]", "flow.routines[1].merge[1].slot",
                      "merge 0 is for slot \"input\" too");
    routine_has_fault(",'merge':[{'slot':'input','mode':9}]", "flow.routines[1].merge[0].mode", "9");
    routine_has_fault(",'merge':[{'slot':'input','mode':'MERGE_MODE_N_OF_M'}]", "flow.routines[1].merge[0].n",
                      "n is 0; 1 to 10000");
    routine_has_fault(",'merge':[{'slot':'input','mode':'MERGE_MODE_N_OF_M','n':10001}]",
                      "flow.routines[1].merge[0].n", "10001");
    routine_has_fault(",'merge':[{'slot':'input','mode':'MERGE_MODE_ALL','n':2}]",
                      "flow.routines[1].merge[0].n", "only mode MERGE_MODE_N_OF_M");
}

static Fermata__V1__Flow *merging_at_the_start(const char *merge)
{
    char json[512];
    snprintf(json, sizeof(json),
             "{'name':'f','routines':[{'id':'a','type':'log','merge':[%s]},{'id':'b','type':'log'}],"
             "'connections':[{" A_TO_B "}]}",
             merge);
    return from_json(&fermata__v1__flow__descriptor, json);
}

static void a_merge_of_all_connections_needs_one(void **state)
{
    (void)state;
    has_fault(merging_at_the_start("{'slot':'input','mode':'MERGE_MODE_ALL'}"),
              "flow.routines[0].merge[0].slot", "nothing to wait for");
    is_valid(merging_at_the_start("{'slot':'input','mode':'MERGE_MODE_N_OF_M','n':2}"));
}

/* In whatever order the connections are written. */
static void a_merge_finds_its_connection_among_many(void **state)
{
    (void)state;
    is_valid(from_json(&fermata__v1__flow__descriptor,
                       "{'name':'f','routines':[{'id':'x','type':'aggregate','config':{'count':2},'merge':["
                       "{'slot':'a','mode':'MERGE_MODE_ALL'},{'slot':'d','mode':'MERGE_MODE_ALL'},"
                       "{'slot':'e','mode':'MERGE_MODE_ALL'}]},"
                       "{'id':'b','type':'log','merge':[{'slot':'input','mode':'MERGE_MODE_ALL'}]}],"
                       "'connections':["
                       "{'from':{'routine':'b','event':'output'},'to':{'routine':'x','slot':'e'}},"
                       "{'from':{'routine':'b','event':'output'},'to':{'routine':'x','slot':'d'}},"
                       "{'from':{'routine':'b','event':'output'},'to':{'routine':'x','slot':'a'}},"
                       "{'from':{'routine':'b','event':'output'},'to':{'routine':'b','slot':'input'}}]}"));
}

static void a_routine_has_at_most_64_merges(void **state)
{
    (void)state;
    Fermata__V1__Flow *f = flow("", ",'merge':[{'slot':'input'}]", "");
    Fermata__V1__SlotMerge **many = from_json_take(65, sizeof(Fermata__V1__SlotMerge *));
    for (size_t i = 0; i < 65; i++)
        many[i] = f->routines[1]->merge[0];
    f->routines[1]->merge = many;
    f->routines[1]->n_merge = 65;
    has_fault(f, "flow.routines[1].merge", "the limit is 64");
}

/* ---- connections ---- */

static Fermata__V1__Flow *with_error_event(const char *of_routine, const char *of_flow)
{
    char json[512];
    snprintf(json, sizeof(json),
             "{'name':'f','routines':[{'id':'a','type':'log'%s},{'id':'b','type':'log'}],'connections':"
             "[{'from':{'routine':'a','event':'error'},'to':{'routine':'b','slot':'input'}}]%s}",
             of_routine, of_flow);
    return from_json(&fermata__v1__flow__descriptor, json);
}

#define ROUTE "{'on_error':'ERROR_POLICY_ROUTE'}"

static void the_error_event_exists_where_errors_are_routed(void **state)
{
    (void)state;
    is_valid(with_error_event(",'policy':" ROUTE, ""));
    is_valid(with_error_event("", ",'defaults':" ROUTE));
    is_valid(with_error_event(",'policy':{'timeout_ms':5}", ",'defaults':" ROUTE));
    has_fault(with_error_event(",'policy':{'on_error':'ERROR_POLICY_SKIP'}", ",'defaults':" ROUTE),
              "flow.connections[0].from.event", "ERROR_POLICY_ROUTE");
    has_fault(with_error_event("", ""), "flow.connections[0].from.event", "ERROR_POLICY_ROUTE");
}

static void constants_and_filters_have_names_and_values(void **state)
{
    (void)state;
    is_valid(flow("", "",
                  ",'drop_unmapped':true,'constants':{'a':[1,{'b':null}]},"
                  "'filter':{'x':1,'y':null,'z':'s','w':false}"));
    connection_has_fault(",'constants':{'':1}", "flow.connections[0].constants", "1 to 256 bytes");
    connection_has_fault(",'filter':{'':1}", "flow.connections[0].filter", "1 to 256 bytes");
    connection_has_fault(",'filter':{'x':[1]}", "flow.connections[0].filter", "\"x\" is a list");
    connection_has_fault(",'filter':{'x':{}}", "flow.connections[0].filter", "\"x\" is an object");
    Fermata__V1__Flow *f = flow("", "", ",'constants':{'a':1}");
    f->connections[0]->constants->fields[0]->value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET;
    has_fault(f, "flow.connections[0].constants", "\"a\" has no value");
    f->connections[0]->constants->fields[0]->value = NULL;
    has_fault(f, "flow.connections[0].constants", "\"a\" has no value");
    f->connections[0]->constants->n_fields = 257;
    has_fault(f, "flow.connections[0].constants", "257 fields; the limit is 256");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parallelism_deadline_and_priority_have_limits),
        TEST(a_policy_with_everything_at_its_limits_is_fine),
        TEST(numbers_of_a_policy_have_bounds),
        TEST(no_number_is_no_number),
        TEST(words_of_a_policy_are_known),
        TEST(all_faults_of_a_flow_are_named),
        TEST(a_merge_is_of_a_slot_that_exists_once_and_has_an_n_when_it_needs_one),
        TEST(a_merge_of_all_connections_needs_one),
        TEST(a_merge_finds_its_connection_among_many),
        TEST(a_routine_has_at_most_64_merges),
        TEST(the_error_event_exists_where_errors_are_routed),
        TEST(constants_and_filters_have_names_and_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
