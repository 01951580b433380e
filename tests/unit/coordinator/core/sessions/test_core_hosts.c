/* Hosts: who is let in, what they are told and what is believed of them, how they leave and are lost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

#define ID_1 "01H000000000000000000000A1"
#define ID_2 "01H000000000000000000000A2"
#define MAKES_S1 ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in'}]"
#define TAKES_S1 ", 'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'inputs_through': 1, 'attempt': 1"

static void a_job_goes_to_a_host_and_ends(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(", 'shared_data': {'s': 1}");
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "job_id"), job);
    assert_int_equal(number_at(assign, "epoch"), 1);
    assert_string_equal(at(assign, "inputs[0].data"), "{'n':1.0}");
    assert_string_equal(at(assign, "flow.routines[0].id"), "r");
    assert_string_equal(at(assign, "state.shared_data"), "{'s':1.0}");
    assert_int_equal(number_at(assign, "now"), RIG_WALL_MS);
    assert_string_equal(at(assign, "emit_deferred"), "");
    assert_string_equal(at(job_of(job), "host"), "a");
    assert_string_equal(at(job_of(job), "last_host"), "a");
    assert_int_equal(number_at(job_of(job), "epoch"), 1);
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(COMPLETE));
    json_t *ack = told_of(a, "step_acks");
    assert_string_equal(
        at(ack, ""),
        "{'acks':[{'epoch':1,'job_id':'01HF7YAT00AW6HRSHWYKBKRK04','number':1,'released':true}]}");
    assert_string_equal(status_of(job), "COMPLETED");
    assert_string_equal(at(job_of(job), "host"), "");
    assert_int_equal(number_at(job_of(job), "step_count"), 1);
}

static void an_assignment_waits_for_the_disk(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    rig.hold = true;
    (void)begin("Jobs/SubmitJob", "'flow': 'f', 'entry': {'routine': 'r', 'slot': 'in'}");
    rig_settle();
    assert_true(told_nothing(a));
    rig.hold = false;
    rig_settle();
    (void)told_of(a, "assign");
}

static void a_step_is_acknowledged_when_it_is_on_disk(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    rig.hold = true;
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) MAKES_S1);
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) MAKES_S1); /* sent again: no sooner */
    assert_true(told_nothing(a));
    rig.hold = false;
    rig_settle();
    json_t *acks = told_of(a, "step_acks");
    assert_int_equal(number_at(acks, "acks[0].number"), 1);
    assert_string_equal(at(acks, "acks[0].released"), "");
    while (told(a) != NULL) {
    }
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) MAKES_S1); /* long on disk */
    assert_int_equal(number_at(told_of(a, "step_acks"), "acks[0].number"), 1);
}

static void steps_that_could_not_be_stored_are_asked_for_again(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", ",'incarnation': '" ID_1 "'");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    rig.fail_units = 1;
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) MAKES_S1);
    assert_true(told_nothing(a));
    assert_null(closed(a));
    rig_pass(1000);
    assert_string_equal(closed(a),
                        "UNAVAILABLE: steps could not be stored: attach again and send them again");
    uint64_t b =
        host_opens("'hello': {'host_id': 'a', 'protocol_version': 1, 'capacity': 10, 'incarnation': '" ID_1
                   "', 'held_jobs': [{'job_id': '%s', 'epoch': 1, 'last_step': 1}]}",
                   job);
    json_t *welcome = told_of(b, "welcome");
    assert_string_equal(at(welcome, "held_jobs"),
                        "[{'epoch':1,'job_id':'01HF7YAT00AW6HRSHWYKBKRK04','keep':true}]");
    host_steps(b, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) MAKES_S1);
    assert_int_equal(number_at(told_of(b, "step_acks"), "acks[0].number"), 1);
}

/* ---- Hello ---- */

static void welcome_says_what_holds(void **state)
{
    (void)state;
    uint64_t a = host_opens(
        "'hello': {'host_id': 'a', 'protocol_version': 1, 'capacity': 1, 'incarnation': '" ID_1 "'}");
    assert_string_equal(at(told(a), ""), "{'ack':1,'seq':1,'welcome':{'heartbeat_ms':1000,'lease_ms':10000,"
                                         "'max_step_bytes':8388608,'takes_drop':true}}");
}

static const char *hello_refused(const char *members)
{
    return closed(host_opens("'hello': {%s}", members));
}

static void a_hello_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *members, *why;
    } wrong[] = {
        {"'protocol_version': 2, 'host_id': 'a', 'incarnation': 'x', 'capacity': 1",
         "FAILED_PRECONDITION hello.protocol_version: the host speaks protocol version 2"                                               },
        {"'protocol_version': 1, 'host_id': 'no name', 'incarnation': 'x', 'capacity': 1",
         "INVALID_ARGUMENT hello.host_id: "                                                                                             },
        {"'protocol_version': 1, 'host_id': 'a', 'incarnation': '', 'capacity': 1",
         "INVALID_ARGUMENT hello.incarnation: "                                                                                         },
        {"'protocol_version': 1, 'host_id': 'a', 'incarnation': 'x'",
         "INVALID_ARGUMENT hello.capacity: capacity is 0; 1 to 100000 are allowed"                                                      },
        {"'protocol_version': 1, 'host_id': 'a', 'incarnation': 'x', 'capacity': 100001",
         "INVALID_ARGUMENT hello.capacity: capacity is 100001"                                                                          },
        {"'protocol_version': 1, 'host_id': 'a', 'incarnation': 'x', 'capacity': 1, 'routine_types': "
         "[{'name': 'no name'}]",                                                 "INVALID_ARGUMENT hello.routine_types.name: "},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *why = hello_refused(wrong[i].members);
        assert_non_null(why);
        if (strncmp(why, wrong[i].why, strlen(wrong[i].why)) != 0)
            fail_msg("%s\n    instead of: %s", why, wrong[i].why);
    }
    assert_null(
        hello_refused("'protocol_version': 1, 'host_id': 'a', 'incarnation': 'x', 'capacity': 100000"));
    char many[50000] = "{'name': 't'}";
    for (size_t i = 0; i < 999; i++)
        strcat(many, ",{'name': 't'}");
    assert_null(closed(
        host_opens("'hello': {'protocol_version': 1, 'host_id': 'b', 'incarnation': 'x', 'capacity': 1, "
                   "'routine_types': [%s]}",
                   many)));
    strcat(many, ",{'name': 't'}");
    assert_string_equal(
        closed(host_opens("'hello': {'protocol_version': 1, 'host_id': 'c', 'incarnation': 'x', "
                          "'capacity': 1, 'routine_types': [%s]}",
                          many)),
        "INVALID_ARGUMENT hello.routine_types: 1001 routine types; the limit is 1000");
}

static void a_host_has_at_most_64_labels(void **state)
{
    (void)state;
    char labels[2000] = "'x': 'y'";
    for (size_t i = 1; i < 65; i++) {
        char one[32];
        snprintf(one, sizeof(one), ",'k%zu': 'v'", i);
        strcat(labels, one);
        if (i == 63)
            (void)host_joins("a", ", 'labels': {%s}", labels);
    }
    assert_string_equal(
        closed(host_opens("'hello': {'protocol_version': 1, 'host_id': 'c', 'incarnation': 'x', "
                          "'capacity': 1, 'labels': {%s}}",
                          labels)),
        "INVALID_ARGUMENT hello.labels: 65 labels; the limit is 64");
}

static void what_a_hello_says_has_a_limit_of_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *member, *why;
        size_t most;
    } texts[] = {
        {"'labels': {'zone': '%s'}",          "INVALID_ARGUMENT hello.labels: label \"zone\": key and value",            256},
        {"'labels': {'%s': ''}",              "INVALID_ARGUMENT hello.labels: label \"xxx",                              256},
        {"'version': '%s'",                   "INVALID_ARGUMENT hello.version: version has 257 bytes; the limit is 256", 256},
        {"'routine_types': [{'name': '%s'}]", "INVALID_ARGUMENT hello.routine_types.name: ",                             128},
    };
    char text[300], member[400];
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        for (size_t n = texts[i].most; n <= texts[i].most + 1; n++) {
            memset(text, 'x', n);
            text[n] = '\0';
            const char *at_text = strstr(texts[i].member, "%s");
            snprintf(member, sizeof(member), "%.*s%s%s", (int)(at_text - texts[i].member), texts[i].member,
                     text, at_text + 2);
            uint64_t conn = host_opens("'hello': {'protocol_version': 1, 'host_id': 'h%zu', 'incarnation': "
                                       "'x', 'capacity': 1, %s}",
                                       i, member);
            if (n == texts[i].most)
                assert_null(closed(conn));
            else
                assert_int_equal(strncmp(closed(conn), texts[i].why, strlen(texts[i].why)), 0);
            host_breaks(conn);
        }
}

static void a_job_that_a_host_names_twice_is_sent_its_inputs_once(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", ",'incarnation': '" ID_1 "'");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_breaks(a);
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'more'}", job);
    a = host_opens("'hello': {'host_id': 'a', 'protocol_version': 1, 'capacity': 10, 'incarnation': '" ID_1
                   "', 'held_jobs': [{'job_id': '%s', 'epoch': 1}, {'job_id': '%s', 'epoch': 1}]}",
                   job, job);
    assert_string_equal(at(told_of(a, "deliver"), "inputs[1].slot"), "more");
    assert_true(told_nothing(a));
}

static void messages_come_in_order_and_hello_comes_first_and_once(void **state)
{
    (void)state;
    assert_string_equal(closed(host_opens("'heartbeat': {}")),
                        "INVALID_ARGUMENT hello: the first message on the stream must be Hello");
    uint64_t a = host_joins("a", " ");
    host_says(a, "'heartbeat': {}, 'seq': 3");
    assert_string_equal(closed(a), "INVALID_ARGUMENT seq: message 3 follows message 1");
    a = host_joins("a", " ");
    host_says(a,
              "'hello': {'host_id': 'a', 'protocol_version': 1, 'capacity': 1, 'incarnation': '" ID_1 "'}");
    assert_string_equal(closed(a), "INVALID_ARGUMENT hello: Hello came twice on one stream");
    uint64_t b = host_joins("a", " ");
    host_says(b, "'heartbeat': {}, 'seq': 0"); /* one that does not number */
    host_says(b, "'seq': 3");                  /* of a kind that nobody knows */
    assert_null(closed(b));
}

static void a_stream_without_hello_ends_after_10_s(void **state)
{
    (void)state;
    core_host_opened(rig.core, 100, "peer", NULL);
    rig_pass(1);
    assert_int_equal(core_next_deadline(rig.core), RIG_MONO_MS + 10000);
    core_host_closed(rig.core, 100);
}

static void a_host_with_a_certificate_is_itself_only(void **state)
{
    (void)state;
    static const struct caller a =
                                   {
                                       {FM_HOST, "a"},
                                       RIGHT(ROLE_HOST)
    },
                               b = {{FM_HOST, "b"}, RIGHT(ROLE_HOST)};
    static const char as_a[] =
        "'protocol_version': 1, 'host_id': 'a', 'incarnation': '" ID_1 "', 'capacity': 1";
    rig.caller = &b;
    assert_string_equal(hello_refused(as_a),
                        "PERMISSION_DENIED hello.host_id: the certificate is of host b; it "
                        "cannot attach as a");
    rig.caller = &a;
    uint64_t first = host_joins("a", ",'incarnation': '" ID_1 "'");
    rig.caller = NULL; /* who knows the incarnation, but is somebody else */
    assert_non_null(strstr(hello_refused(as_a), "ALREADY_EXISTS"));
    assert_null(closed(first));
    rig.caller = &b;
    assert_string_equal(error_of(begin("Hosts/CertifyDeath", "'host_id': 'a', 'incarnation': '" ID_1 "'")),
                        "PERMISSION_DENIED host_id: the certificate is of host b, not of a");
    rig.caller = &a;
    (void)host_joins("a", ",'incarnation': '" ID_1 "'"); /* its own stream hangs */
    assert_non_null(strstr(closed(first), "ABORTED"));
    rig.caller = NULL;
}

static void two_hosts_with_one_id_are_kept_apart(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", ",'incarnation': '" ID_1 "'");
    static const char other[] =
        "'protocol_version': 1, 'host_id': 'a', 'incarnation': '" ID_2 "', 'capacity': 1";
    assert_string_equal(hello_refused(other),
                        "ALREADY_EXISTS hello.host_id: a host with the id a is attached from "
                        "peer; give this one another --id, or wait until the other is gone");
    uint64_t again = host_joins("a", ",'incarnation': '" ID_1 "'"); /* the same one, whose old stream hangs */
    assert_string_equal(closed(a), "ABORTED: the host opened a new stream");
    host_breaks(again);
    rig_pass(4000);
    assert_string_equal(hello_refused(other),
                        "ALREADY_EXISTS hello.host_id: another host with the id a was attached, "
                        "and its lease runs for another 6000 ms");
    rig_pass(6001);
    assert_null(hello_refused(other));
}

static void a_host_is_shown_as_it_said_hello(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", ",'labels': {'zone': 'z'}, 'version': '9', 'incarnation': '" ID_1 "'");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    json_t *host = json_object_get(call("Hosts/GetHost", "'host_id': 'a'"), "host");
    assert_string_equal(at(host, "status"), "HOST_STATUS_ATTACHED");
    assert_string_equal(at(host, "incarnation"), "");
    assert_string_equal(at(host, "labels"), "{'zone':'z'}");
    assert_int_equal(number_at(host, "capacity"), 10);
    assert_int_equal(number_at(host, "job_count"), 1);
    assert_string_equal(at(host, "peer"), "peer");
    assert_string_equal(at(host, "version"), "9");
    assert_int_equal(number_at(host, "attached_at"), RIG_WALL_MS);
    assert_string_equal(at(host, "routine_types[0].slots"), "['in','more']");
    assert_string_equal(at(host, "cordoned"), "");
    assert_string_equal(at(host, "draining"), "");
    assert_string_equal(at(call("Hosts/GetHost", "'host_id': 'a'"), "job_ids[0]"), job);
    rig_pass(1999);
    assert_string_equal(at(call("Hosts/ListHosts", "{}"), "hosts[0].status"), "HOST_STATUS_ATTACHED");
    rig_pass(1);
    assert_string_equal(at(call("Hosts/ListHosts", "{}"), "hosts[0].status"), "HOST_STATUS_SILENT");
    host_says(a, "'heartbeat': {}");
    assert_string_equal(at(call("Hosts/ListHosts", "{}"), "hosts[0].status"), "HOST_STATUS_ATTACHED");
    host_breaks(a);
    assert_string_equal(at(call("Hosts/ListHosts", "{}"), "hosts[0].status"), "HOST_STATUS_SILENT");
    refuses("NOT_FOUND host_id: no host b is attached", "Hosts/GetHost", "'host_id': 'b'");
    refuses("INVALID_ARGUMENT host_id: ", "Hosts/GetHost", "'host_id': 'no name'");
}

static void hosts_are_listed_by_id(void **state)
{
    (void)state;
    (void)host_joins("c", " ");
    (void)host_joins("a", " ");
    uint64_t b = host_joins("b", " ");
    (void)call("Hosts/CordonHost", "'host_id': 'b'");
    host_says(b, "'goodbye': {}");
    assert_string_equal(closed(b), "OK");
    json_t *list = call("Hosts/ListHosts", "{}");
    assert_string_equal(at(list, "hosts[0].host_id"), "a");
    assert_string_equal(at(list, "hosts[1].host_id"), "b");
    assert_string_equal(at(list, "hosts[1].status"), "HOST_STATUS_AWAY");
    assert_string_equal(at(list, "hosts[1].cordoned"), "true");
    assert_string_equal(at(list, "hosts[2].host_id"), "c");
    assert_string_equal(at(list, "hosts[3]"), "");
    assert_string_equal(at(call("Hosts/GetHost", "'host_id': 'b'"), "host.cordoned"), "true");
    (void)call("Hosts/CordonHost",
               "'host_id': 'b', 'uncordon': true"); /* nothing is left to remember of it */
    assert_string_equal(at(call("Hosts/ListHosts", "{}"), "hosts[2]"), "");
    refuses("NOT_FOUND host_id: no host b is attached", "Hosts/GetHost", "'host_id': 'b'");
}

static void hosts_are_listed_in_pages(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        char id[] = {(char)('e' - i), '\0'};
        (void)host_joins(id, " ");
    }
    json_t *list = call("Hosts/ListHosts", "'page_size': 2");
    assert_string_equal(at(list, "hosts[0].host_id"), "a");
    assert_string_equal(at(list, "hosts[2]"), "");
    assert_string_equal(at(list, "next_page_token"), "b");
    list = call("Hosts/ListHosts", "'page_size': 2, 'page_token': 'b'");
    assert_string_equal(at(list, "hosts[1].host_id"), "d");
    list = call("Hosts/ListHosts", "'page_size': 2, 'page_token': 'd'");
    assert_string_equal(at(list, "hosts[0].host_id"), "e");
    assert_string_equal(at(list, "next_page_token"), "");
    list = call("Hosts/ListHosts", "'page_size': 5");
    assert_string_equal(at(list, "next_page_token"), "");
    refuses("INVALID_ARGUMENT page_size: page_size is 1001", "Hosts/ListHosts", "'page_size': 1001");
    refuses("INVALID_ARGUMENT page_token: ", "Hosts/ListHosts", "'page_token': 'no name'");
}

/* Hosts that say as much of types as they may: a page has what fits, at least one. */
static void a_page_of_hosts_has_a_limit_of_bytes(void **state)
{
    (void)state;
    enum { TYPES = 31, NAMES = 256, HOSTS = 5 };
    static char types[2 << 20];
    char name[129];
    size_t n = 0;
    memset(name, 'n', 128);
    name[128] = '\0';
    for (size_t i = 0; i < TYPES; i++) {
        n += (size_t)snprintf(types + n, sizeof(types) - n, "%s{'name': 't%zu', 'version': 1, 'slots': [",
                              i == 0 ? "" : ", ", i);
        for (size_t k = 0; k < NAMES; k++) {
            snprintf(name, 4, "%03zu", k);
            name[3] = 'n';
            n += (size_t)snprintf(types + n, sizeof(types) - n, "%s'%s'", k == 0 ? "" : ", ", name);
        }
        n += (size_t)snprintf(types + n, sizeof(types) - n, "]}");
    }
    for (size_t i = 0; i < HOSTS; i++)
        assert_null(closed(host_opens("'hello': {'protocol_version': 1, 'host_id': 'h%zu', 'incarnation': "
                                      "'x', 'capacity': 1, 'routine_types': [%s]}",
                                      i, types)));
    json_t *list = call("Hosts/ListHosts", "{}");
    assert_string_equal(at(list, "hosts[1].host_id"), "h1");
    assert_string_equal(at(list, "hosts[1].refused_types"), ""); /* nothing of it is too much */
    assert_string_equal(at(list, "next_page_token"), "h2");
    list = call("Hosts/ListHosts", "'page_token': 'h3'");
    assert_string_equal(at(list, "hosts[0].host_id"), "h4");
    assert_string_equal(at(list, "next_page_token"), "");
}

/* ---- where jobs go ---- */

static void a_job_goes_to_the_least_loaded_host(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", ",'capacity': 2"), b = host_joins("b", ",'capacity': 4");
    put_flow_f(" ");
    for (size_t i = 0; i < 6; i++)
        (void)submit_f(" ");
    size_t n[2] = {0};
    while (told(a) != NULL)
        n[0]++;
    while (told(b) != NULL)
        n[1]++;
    assert_int_equal(n[0], 2);
    assert_int_equal(n[1], 4);
    const char *job = submit_f(" ");
    assert_string_equal(status_of(job), "PENDING");
    uint64_t c = host_joins("c", ",'capacity': 1");
    assert_string_equal(at(told_of(c, "assign"), "job_id"), job);
}

static void a_job_that_is_resumed_goes_elsewhere_where_that_is_wished(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *jobs[4];
    for (size_t i = 0; i < 4; i++) {
        jobs[i] = submit_f(" ");
        (void)told_of(a, "assign");
        host_steps(a, jobs[i], 1, 1,
                   TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{'pause_id': 'p1.0', 'slot': 'in'}]");
    }
    static const char resume[] = "'job_id': '%s', 'answer': 1, 'placement': {'mode': '%s'}";
    (void)call("Jobs/ResumeJob", resume, jobs[0], "PLACEMENT_MODE_ANOTHER_HOST");
    assert_string_equal(at(job_of(jobs[0]), "host"), "a"); /* there is no other */
    (void)call("Jobs/ResumeJob", resume, jobs[1], "PLACEMENT_MODE_ANOTHER_HOST_ONLY");
    assert_string_equal(status_of(jobs[1]), "PENDING");
    assert_string_equal(
        at(job_of(jobs[1]), "waiting_reason"),
        "another host than a is required; host a: it is the last host, and another one is required");
    (void)host_joins("b", ",'capacity': 100");
    assert_string_equal(at(job_of(jobs[1]), "host"), "b");
    (void)call("Jobs/ResumeJob", resume, jobs[2], "PLACEMENT_MODE_SAME_HOST");
    assert_string_equal(at(job_of(jobs[2]), "host"), "a");
    (void)call("Jobs/ResumeJob", resume, jobs[3], "PLACEMENT_MODE_ANOTHER_HOST");
    assert_string_equal(at(job_of(jobs[3]), "host"), "b");
}

static void a_job_that_wants_its_last_host_waits_for_it(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(", 'placement': {'mode': 'PLACEMENT_MODE_SAME_HOST'}");
    (void)told_of(a, "assign");
    (void)host_joins("b", " ");
    host_says(a, "'goodbye': {}");
    assert_string_equal(at(job_of(job), "waiting_reason"), "host b: it is not the last host a");
}

static void of_waiting_jobs_the_highest_priority_goes_first_then_the_oldest(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *low = submit_f(", 'priority': -5"), *first = submit_f(" "), *second = submit_f(" "),
               *high = submit_f(", 'priority': 5");
    uint64_t a = host_joins("a", " ");
    const char *const order[] = {high, first, second, low};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(at(told_of(a, "assign"), "job_id"), order[i]);
}

static void a_host_that_refuses_a_job_is_asked_again_later(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_says(a,
              "'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_REFUSED', 'message': 'no'}",
              job);
    assert_string_equal(at(job_of(job), "waiting_reason"), "host a: it refused the job a moment ago");
    assert_true(told_nothing(a));
    host_says(a, "'heartbeat': {}");
    rig_pass(1000);
    assert_int_equal(number_at(told_of(a, "assign"), "epoch"), 2);
}

static void a_release_of_another_epoch_changes_nothing(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_says(a, "'release': {'job_id': '%s', 'epoch': 2, 'reason': 'RELEASE_REASON_IDLE'}", job);
    host_says(host_joins("b", " "),
              "'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_IDLE'}", job);
    assert_string_equal(at(job_of(job), "host"), "a");
    assert_int_equal(number_at(job_of(job), "epoch"), 1);
    host_steps(a, job, 2, 1, TAKES_I1 OUTCOME(COMPLETE));
    assert_string_equal(
        at(told_of(a, "step_reject"), ""),
        "{'epoch':2,'job_id':'01HF7YAT00AW6HRSHWYKBKRK04','number':1,'reason':'the host does not have "
        "this job under this epoch (or no longer)'}");
}

static void a_job_of_which_three_hosts_make_bad_steps_fails(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = submit_f(" ");
    char error[128];
    for (unsigned i = 1; i <= 3; i++) {
        char id[2] = {(char)('a' + i), '\0'};
        uint64_t host = host_joins(id, " ");
        (void)told_of(host, "assign");
        assert_string_equal(status_of(job), "RUNNING");
        host_steps(host, job, i, 1, TAKES_I1 ", 'outcome': 9");
        snprintf(error, sizeof(error),
                 "{'epoch':%u,'job_id':'%s','number':1,'reason':'outcome 9 is unknown'}", i, job);
        assert_string_equal(at(told_of(host, "step_reject"), ""), error);
        if (i < 3)
            host_says(host, "'goodbye': {}");
    }
    assert_string_equal(status_of(job), "FAILED");
    assert_string_equal(at(job_of(job), "error"),
                        "{'code':'INVALID_ARGUMENT','message':'outcome 9 is unknown',"
                        "'routine':'r','task_id':'i1'}");
}

/* ---- leases ---- */

static void jobs_stay_with_a_silent_host_for_its_lease(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", ",'incarnation': '" ID_1 "'");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    uint64_t b = host_joins("b", " ");
    host_says(a, "'heartbeat': {}");
    host_breaks(a);
    rig_pass(9000);
    host_says(b, "'heartbeat': {}");
    rig_pass(999);
    assert_string_equal(at(job_of(job), "host"), "a");
    rig_pass(1);
    assert_string_equal(at(job_of(job), "host"), "b");
    json_t *assign = told_of(b, "assign");
    assert_int_equal(number_at(assign, "epoch"), 2);
    a = host_opens("'hello': {'host_id': 'a', 'protocol_version': 1, 'capacity': 1, 'incarnation': '" ID_1
                   "', 'held_jobs': [{'job_id': '%s', 'epoch': 1}]}",
                   job);
    assert_string_equal(at(told_of(a, "welcome"), "held_jobs[0].keep"), ""); /* it drops it */
}

static void a_host_that_acknowledges_nothing_is_silent(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    (void)host_joins("b", " ");
    put_flow_f(" ");
    for (size_t i = 0; i < 12; i++) {
        rig_pass(900);
        if (closed(a) == NULL)
            host_says(a, "'heartbeat': {}, 'ack': 0"); /* it hears nothing of what it is told */
    }
    assert_string_equal(closed(a),
                        "DEADLINE_EXCEEDED: nothing was heard for too long: the lease of its host ended");
}

static void a_host_that_comes_back_in_time_goes_on(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", ",'incarnation': '" ID_1 "'");
    put_flow_f(" ");
    const char *kept = submit_f(" "), *gone = submit_f(" ");
    host_steps(a, kept, 1, 1, TAKES_I1 OUTCOME(CONTINUE) MAKES_S1);
    host_breaks(a);
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}", kept);
    uint64_t pause = begin("Jobs/PauseJob", "'job_id': '%s'", kept);
    rig_settle();
    rig_pass(9000);
    a = host_opens(
        "'hello': {'host_id': 'a', 'protocol_version': 1, 'capacity': 1, 'incarnation': '" ID_1
        "', 'routine_types': [{'name': 't', 'slots': ['in'], 'events': ['out']}], 'held_jobs': [{'job_id': "
        "'%s', 'epoch': 1, 'last_step': 2}, {'job_id': '%s', 'epoch': 3}, {'job_id': 'x'}]}",
        kept, gone);
    json_t *welcome = told_of(a, "welcome");
    assert_string_equal(at(welcome, "held_jobs[0].keep"), "true");
    assert_int_equal(number_at(welcome, "held_jobs[0].applied_step"), 1);
    assert_string_equal(at(welcome, "held_jobs[1].keep"), "");
    assert_string_equal(at(welcome, "held_jobs[2].job_id"), "x");
    assert_string_equal(at(told_of(a, "deliver"), "inputs[0].task_id"), "i2");
    assert_string_equal(at(told_of(a, "interrupt"), "kind"), "INTERRUPT_KIND_PAUSE");
    assert_null(answer_of(pause));
    assert_string_equal(at(job_of(kept), "host"), "a");
    assert_string_equal(at(job_of(gone), "host"), ""); /* it came back without it, and is full */
    rig_pass(9000);
    assert_string_equal(at(job_of(kept), "host"), "a"); /* a whole lease again */
}

static void when_most_hosts_fall_silent_at_once_they_get_a_second_lease(void **state)
{
    (void)state;
    uint64_t hosts[4];
    static const char *const ids[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4; i++)
        hosts[i] = host_joins(ids[i], " ");
    put_flow_f(" ");
    const char *job = submit_f(", 'placement': {'host': 'a'}");
    for (size_t i = 0; i < 3; i++)
        host_breaks(hosts[i]);
    for (size_t t = 0; t < 19; t++) {
        rig_pass(1000);
        host_says(hosts[3], "'heartbeat': {}");
    }
    assert_string_equal(at(job_of(job), "host"), "a");
    rig_pass(1001);
    assert_string_equal(at(job_of(job), "host"), "");
    assert_string_equal(at(call("Hosts/ListHosts", "{}"), "hosts[1]"), "");
}

static void two_hosts_of_five_may_be_lost_by_chance(void **state)
{
    (void)state;
    uint64_t hosts[5];
    static const char *const ids[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++)
        hosts[i] = host_joins(ids[i], " ");
    host_breaks(hosts[0]);
    host_breaks(hosts[1]);
    for (size_t t = 0; t < 10; t++) {
        rig_pass(1000);
        for (size_t i = 2; i < 5; i++)
            host_says(hosts[i], "'heartbeat': {}");
    }
    assert_string_equal(at(call("Hosts/ListHosts", "{}"), "hosts[0].host_id"), "c");
}

/* ---- leaving ---- */

static void a_cordoned_host_gets_no_new_work(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    json_t *r = call("Hosts/CordonHost", "'host_id': 'a'");
    assert_string_equal(at(r, "host.cordoned"), "true");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    assert_true(told_nothing(a));
    rig_restart();
    a = host_joins("a", " ");
    assert_true(told_nothing(a)); /* nor after a restart */
    r = call("Hosts/CordonHost", "'host_id': 'a', 'uncordon': true");
    assert_string_equal(at(r, "host.cordoned"), "");
    assert_string_equal(at(told_of(a, "assign"), "job_id"), job);
    refuses("NOT_FOUND host_id: no host b is attached", "Hosts/CordonHost", "'host_id': 'b'");
    refuses("INVALID_ARGUMENT host_id: ", "Hosts/CordonHost", "'host_id': 'no name'");
}

static void a_cordon_that_could_not_be_stored_holds_and_is_stored_later(void **state)
{
    (void)state;
    (void)host_joins("a", " ");
    rig.fail_units = 1;
    refuses("UNAVAILABLE: the store is out of order", "Hosts/CordonHost", "'host_id': 'a'");
    assert_string_equal(at(call("Hosts/GetHost", "'host_id': 'a'"), "host.cordoned"), "true");
    rig_pass(1000);
    rig_restart();
    assert_string_equal(at(call("Hosts/GetHost", "'host_id': 'a'"), "host.cordoned"), "true");
}

static void a_drained_host_gives_its_jobs_back(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    uint64_t drain = begin("Hosts/DrainHost", "'host_id': 'a', 'deadline_ms': 5000");
    rig_settle();
    assert_string_equal(at(told_of(a, "interrupt"), "kind"), "INTERRUPT_KIND_DRAIN");
    assert_null(answer_of(drain));
    host_says(a, "'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_DRAINING'}", job);
    assert_string_equal(at(answer_of(drain), "host.draining"), "true");
    assert_string_equal(at(answer_of(drain), "host.cordoned"), "true");
    assert_string_equal(at(answer_of(drain), "left_job_ids"), "");
    assert_string_equal(status_of(job), "PENDING");
}

static void a_drain_ends_at_its_deadline_and_says_what_is_left(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    json_t *r = call("Hosts/DrainHost", "'host_id': 'a'"); /* nobody waits */
    assert_string_equal(at(r, "left_job_ids[0]"), job);
    uint64_t drain = begin("Hosts/DrainHost", "'host_id': 'a', 'deadline_ms': 5000");
    rig_pass(4999);
    assert_null(answer_of(drain));
    rig_pass(1);
    assert_string_equal(at(answer_of(drain), "left_job_ids[0]"), job);
    refuses("INVALID_ARGUMENT deadline_ms: deadline_ms is 86400001; at most 86400000 are allowed",
            "Hosts/DrainHost", "'host_id': 'a', 'deadline_ms': 86400001");
    refuses("NOT_FOUND host_id: ", "Hosts/DrainHost", "'host_id': 'b', 'deadline_ms': 86400000");
    refuses("INVALID_ARGUMENT host_id: ", "Hosts/DrainHost", "'host_id': 'no name'");
}

static void a_host_that_says_goodbye_gives_everything_back(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    uint64_t b = host_joins("b", " ");
    host_says(a, "'goodbye': {'reason': 'enough'}");
    assert_string_equal(closed(a), "OK");
    assert_string_equal(at(told_of(b, "assign"), "job_id"), job);
    assert_string_equal(at(call("Hosts/ListHosts", "{}"), "hosts[0].host_id"), "b");
}

static void a_death_is_certified_for_an_incarnation_that_is_silent(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", ",'incarnation': '" ID_1 "'");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    static const char dead[] = "'host_id': '%s', 'incarnation': '%s', 'how': 'signal 9'";
    refuses("FAILED_PRECONDITION incarnation: host a talks: its incarnation " ID_1 " was heard of 0 ms ago",
            "Hosts/CertifyDeath", dead, "a", ID_1);
    rig_pass(1999);
    refuses("FAILED_PRECONDITION incarnation: host a talks", "Hosts/CertifyDeath", dead, "a", ID_1);
    refuses("NOT_FOUND incarnation: incarnation " ID_2 " of host a is not known", "Hosts/CertifyDeath", dead,
            "a", ID_2);
    refuses("NOT_FOUND incarnation: ", "Hosts/CertifyDeath", dead, "b", ID_1);
    refuses("INVALID_ARGUMENT host_id: ", "Hosts/CertifyDeath", dead, "no name", ID_1);
    refuses("INVALID_ARGUMENT incarnation: ", "Hosts/CertifyDeath", dead, "a", "no name");
    char how[258];
    memset(how, 'x', 257);
    how[257] = '\0';
    refuses("INVALID_ARGUMENT how: how has 257 bytes; the limit is 256", "Hosts/CertifyDeath",
            "'host_id': 'a', 'incarnation': '" ID_1 "', 'how': '%s'", how);
    host_breaks(a);
    json_t *r = call("Hosts/CertifyDeath", "'host_id': 'a', 'incarnation': '" ID_1 "', 'how': '%s'", how + 1);
    assert_string_equal(at(r, ""), "{'job_count':1}");
    assert_string_equal(status_of(job), "PENDING");
    uint64_t b = host_joins("a", ",'incarnation': '" ID_2 "'");
    assert_int_equal(number_at(told_of(b, "assign"), "epoch"), 2);
}

/* ---- the coordinator starts again ---- */

static void after_a_restart_hosts_have_a_lease_to_come_back_in(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", ",'incarnation': '" ID_1 "'");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) MAKES_S1);
    rig_restart();
    uint64_t b = host_joins("b", " ");
    rig_pass(5000);
    assert_true(told_nothing(b));
    assert_string_equal(at(job_of(job), "host"), "a");
    a = host_opens("'hello': {'host_id': 'a', 'protocol_version': 1, 'capacity': 1, 'incarnation': '" ID_1
                   "', 'held_jobs': [{'job_id': '%s', 'epoch': 1, 'last_step': 1}]}",
                   job);
    assert_int_equal(number_at(told_of(a, "welcome"), "held_jobs[0].applied_step"), 1);
    host_steps(a, job, 1, 2, TAKES_S1 OUTCOME(COMPLETE));
    assert_string_equal(status_of(job), "COMPLETED");
    refuses("NOT_FOUND incarnation: ", "Hosts/CertifyDeath", "'host_id': 'a', 'incarnation': '" ID_2 "'");
}

static void after_a_restart_a_death_can_be_certified(void **state)
{
    (void)state;
    (void)host_joins("a", ",'incarnation': '" ID_1 "'");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    rig_restart();
    assert_int_equal(
        number_at(call("Hosts/CertifyDeath", "'host_id': 'a', 'incarnation': '" ID_1 "'"), "job_count"), 1);
    assert_string_equal(status_of(job), "PENDING");
}

static void a_host_that_does_not_come_back_after_a_restart_loses_its_jobs(void **state)
{
    (void)state;
    (void)host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    rig_restart();
    rig_pass(RIG_LEASE_MS - 1);
    assert_string_equal(at(job_of(job), "host"), "a");
    rig_pass(1);
    assert_string_equal(status_of(job), "PENDING");
    assert_int_equal(number_at(job_of(job), "epoch"), 1);
}

#define T(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_job_goes_to_a_host_and_ends),
        T(an_assignment_waits_for_the_disk),
        T(a_step_is_acknowledged_when_it_is_on_disk),
        T(steps_that_could_not_be_stored_are_asked_for_again),
        T(welcome_says_what_holds),
        T(a_hello_is_checked),
        T(a_host_has_at_most_64_labels),
        T(what_a_hello_says_has_a_limit_of_bytes),
        T(a_job_that_a_host_names_twice_is_sent_its_inputs_once),
        T(messages_come_in_order_and_hello_comes_first_and_once),
        T(a_stream_without_hello_ends_after_10_s),
        T(two_hosts_with_one_id_are_kept_apart),
        T(a_host_with_a_certificate_is_itself_only),
        T(a_host_is_shown_as_it_said_hello),
        T(hosts_are_listed_by_id),
        T(hosts_are_listed_in_pages),
        T(a_page_of_hosts_has_a_limit_of_bytes),
        T(a_job_goes_to_the_least_loaded_host),
        T(a_job_that_is_resumed_goes_elsewhere_where_that_is_wished),
        T(a_job_that_wants_its_last_host_waits_for_it),
        T(of_waiting_jobs_the_highest_priority_goes_first_then_the_oldest),
        T(a_host_that_refuses_a_job_is_asked_again_later),
        T(a_release_of_another_epoch_changes_nothing),
        T(a_job_of_which_three_hosts_make_bad_steps_fails),
        T(jobs_stay_with_a_silent_host_for_its_lease),
        T(a_host_that_acknowledges_nothing_is_silent),
        T(a_host_that_comes_back_in_time_goes_on),
        T(when_most_hosts_fall_silent_at_once_they_get_a_second_lease),
        T(two_hosts_of_five_may_be_lost_by_chance),
        T(a_cordoned_host_gets_no_new_work),
        T(a_cordon_that_could_not_be_stored_holds_and_is_stored_later),
        T(a_drained_host_gives_its_jobs_back),
        T(a_drain_ends_at_its_deadline_and_says_what_is_left),
        T(a_host_that_says_goodbye_gives_everything_back),
        T(a_death_is_certified_for_an_incarnation_that_is_silent),
        T(after_a_restart_hosts_have_a_lease_to_come_back_in),
        T(after_a_restart_a_death_can_be_certified),
        T(a_host_that_does_not_come_back_after_a_restart_loses_its_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
