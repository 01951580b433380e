/* Routine types whose schemas hosts tell: flows before and after, and hosts that contradict each other. */
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

/* Schemas of a type's configuration, as they stand in a text in single quotes. */
#define NUMBER                                                                                               \
    "{\\\"additionalProperties\\\": false, \\\"properties\\\": {\\\"size\\\": {\\\"type\\\": "               \
    "\\\"number\\\"}}}"
#define STRING "{\\\"properties\\\": {\\\"size\\\": {\\\"type\\\": \\\"string\\\"}}}"

#define BOX(config)                                                                                          \
    "{'flow': {'name': 'box', 'routines': [{'id': 'r', 'type': 'acme.box', 'config': " config "}]}}"

/* A host that offers type "acme.box", version 1, with this schema, and type "t". */
static uint64_t box_host(const char *id, const char *schema)
{
    uint64_t conn = host_opens(
        "'hello': {'host_id': '%s', 'protocol_version': 1, 'capacity': 10, 'incarnation': "
        "'01H000000000000000000000A1', 'routine_types': ["
        "{'name': 'acme.box', 'version': 1, 'slots': ['in'], 'events': ['out'], 'config_schema': '%s'},"
        "{'name': 't', 'version': 1, 'slots': ['in'], 'events': ['out']}]}",
        id, schema);
    assert_null(closed(conn));
    return conn;
}

static void a_flow_is_checked_as_soon_as_a_host_has_told_the_schema(void **state)
{
    (void)state;
    json_t *put = call("Flows/PutFlow", BOX("{'sise': 'x'}"));
    assert_non_null(strstr(at(put, "warnings[0]"), "its configuration is not checked"));
    (void)box_host("a", NUMBER);
    refuses(
        "INVALID_ARGUMENT flow.routines[0].config: the flow has 1 fault: unknown key \"sise\"; did you mean "
        "\"size\"?",
        "Flows/PutFlow", BOX("{'sise': 1}"));
    refuses(
        "INVALID_ARGUMENT flow.routines[0].config.size: the flow has 1 fault: size is a string; it must be a "
        "number",
        "Flows/PutFlow", BOX("{'size': 'x'}"));
    refuses(
        "INVALID_ARGUMENT inline_flow.routines[0].config.size: ", "Jobs/SubmitJob",
        "{'inline_flow': {'routines': [{'id': 'r', 'type': 'acme.box', 'config': {'size': 'x'}}]}, 'entry': "
        "{'routine': 'r', 'slot': 'in'}}");
    put = call("Flows/PutFlow", BOX("{'size': 1}"));
    assert_string_equal(at(put, "version"), "2");
    assert_string_equal(at(put, "warnings[0]"), "");
}

static void what_is_stored_stays_valid(void **state)
{
    (void)state;
    (void)call("Flows/PutFlow", BOX("{'size': 'x'}"));
    (void)box_host("a", NUMBER);
    const char *submit = "{'flow': 'box', 'entry': {'routine': 'r', 'slot': 'in'}}";
    json_t *job = call("Jobs/SubmitJob", "%s", submit);
    assert_string_equal(status_of(at(job, "job_id")), "RUNNING");
    rig_restart();
    (void)box_host("a", NUMBER);
    job = call("Jobs/SubmitJob", "%s", submit);
    assert_string_equal(status_of(at(job, "job_id")), "RUNNING");
}

static void a_second_schema_is_refused_on_its_host_and_the_first_goes_on(void **state)
{
    (void)state;
    uint64_t a = box_host("a", NUMBER), b = box_host("b", STRING);
    assert_string_equal(at(told_of(a, "welcome"), "refused_types[0].name"), "");
    json_t *welcome = told_of(b, "welcome");
    assert_string_equal(at(welcome, "refused_types[0].name"), "acme.box");
    assert_non_null(strstr(at(welcome, "refused_types[0].reason"), "host a offers the same version"));
    json_t *hosts = call("Hosts/ListHosts", "{}");
    assert_string_equal(at(hosts, "hosts[0].refused_types[0].name"), "");
    assert_string_equal(at(hosts, "hosts[0].routine_types[1].name"), "t");
    assert_string_equal(at(hosts, "hosts[1].refused_types[0].name"), "acme.box");
    assert_string_equal(at(hosts, "hosts[1].routine_types[0].name"), "t");
    (void)call("Flows/PutFlow", BOX("{'size': 1}"));
    refuses("INVALID_ARGUMENT flow.routines[0].config.size: ", "Flows/PutFlow", BOX("{'size': 'x'}"));
    for (int i = 0; i < 3; i++) {
        json_t *job = call("Jobs/SubmitJob", "{'flow': 'box', 'entry': {'routine': 'r', 'slot': 'in'}}");
        assert_string_equal(at(job_of(at(job, "job_id")), "host"), "a");
    }
}

static void get_host_shows_the_schemas_and_list_hosts_does_not(void **state)
{
    (void)state;
    (void)box_host("a", STRING);
    json_t *host = call("Hosts/GetHost", "{'host_id': 'a'}"), *hosts = call("Hosts/ListHosts", "{}");
    assert_non_null(strstr(at(host, "host.routine_types[0].config_schema"), "properties"));
    assert_string_equal(at(host, "host.routine_types[1].config_schema"), "");
    assert_string_equal(at(hosts, "hosts[0].routine_types[0].config_schema"), "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_flow_is_checked_as_soon_as_a_host_has_told_the_schema),
        TEST(what_is_stored_stays_valid),
        TEST(a_second_schema_is_refused_on_its_host_and_the_first_goes_on),
        TEST(get_host_shows_the_schemas_and_list_hosts_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
