/* The shell around the core, over a real connection: what becomes of good and bad calls, and of calls under
 * way at the stop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "server_fixture.h"

#include "fermata/v1/flows.pb-c.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fermata/v1/jobs.pb-c.h"

#define PUT_FLOW "/fermata.v1.Flows/PutFlow"
#define SUBMIT "/fermata.v1.Jobs/SubmitJob"
#define GET_JOB "/fermata.v1.Jobs/GetJob"
#define WATCH "/fermata.v1.Jobs/WatchJob"
#define RESUME "/fermata.v1.Jobs/ResumeJob"
#define ATTACH "/fermata.v1.HostAgent/Attach"
#define LIST_HOSTS "/fermata.v1.Hosts/ListHosts"

/* ---- messages ---- */

static void send_hello(struct client_call *c)
{
    static char id[] = "a", incarnation[] = "01JDXM0000000000000000000A", version[] = "test", type[] = "log";
    Fermata__V1__HostMessage m = FERMATA__V1__HOST_MESSAGE__INIT;
    Fermata__V1__Hello hello = FERMATA__V1__HELLO__INIT;
    Fermata__V1__RoutineType info = FERMATA__V1__ROUTINE_TYPE__INIT, *infos[] = {&info};
    info.name = type;
    hello.host_id = id;
    hello.incarnation = incarnation;
    hello.protocol_version = 1;
    hello.version = version;
    hello.capacity = 1;
    hello.routine_types = infos;
    hello.n_routine_types = 1;
    m.seq = 1;
    m.body_case = FERMATA__V1__HOST_MESSAGE__BODY_HELLO;
    m.hello = &hello;
    client_send(c, &m.base);
}

static Fermata__V1__CoordinatorMessage *host_message(struct client_call *c, size_t n)
{
    return client_message(c, n, &fermata__v1__coordinator_message__descriptor);
}

static struct client_call *attach(struct fixture *f)
{
    struct client_call *c = client_open(f, ATTACH);
    send_hello(c);
    Fermata__V1__CoordinatorMessage *m = host_message(c, 0);
    assert_int_equal(m->body_case, FERMATA__V1__COORDINATOR_MESSAGE__BODY_WELCOME);
    fermata__v1__coordinator_message__free_unpacked(m, NULL);
    return c;
}

/* A length-delimited field that no message of ours has, with n bytes. */
static struct fm_buf padding(size_t n)
{
    struct fm_buf b = {0};
    fm_buf_put_len_header(&b, 1000, n);
    fm_buf_reserve(&b, n);
    memset(b.p + b.n, 0, n);
    b.n += n;
    return b;
}

static struct client_call *put_flow(struct fixture *f)
{
    static char name[] = "notes", id[] = "note", type[] = "log";
    Fermata__V1__PutFlowRequest r = FERMATA__V1__PUT_FLOW_REQUEST__INIT;
    Fermata__V1__Flow flow = FERMATA__V1__FLOW__INIT;
    Fermata__V1__Routine routine = FERMATA__V1__ROUTINE__INIT, *routines[] = {&routine};
    routine.id = id;
    routine.type = type;
    flow.name = name;
    flow.routines = routines;
    flow.n_routines = 1;
    r.flow = &flow;
    return client_call(f, PUT_FLOW, &r.base);
}

/* The id of a new job, which no host takes. */
static char *submit(struct fixture *f)
{
    static char name[] = "notes", id[] = "note", slot[] = "input";
    struct client_call *c = put_flow(f);
    assert_int_equal(client_status(c), FM_OK);
    client_free(c);
    Fermata__V1__SubmitJobRequest r = FERMATA__V1__SUBMIT_JOB_REQUEST__INIT;
    Fermata__V1__SlotRef entry = FERMATA__V1__SLOT_REF__INIT;
    entry.routine = id;
    entry.slot = slot;
    r.flow = name;
    r.entry = &entry;
    c = client_call(f, SUBMIT, &r.base);
    if (client_status(c) != FM_OK)
        fail_msg("%s", c->status.msg);
    Fermata__V1__SubmitJobResponse *reply =
        client_message(c, 0, &fermata__v1__submit_job_response__descriptor);
    char *job = fm_xstrdup(reply->job_id);
    fermata__v1__submit_job_response__free_unpacked(reply, NULL);
    client_free(c);
    return job;
}

/* ---- requests ---- */

static void a_request_is_answered_by_the_core(void **state)
{
    struct client_call *c = put_flow(*state);
    assert_int_equal(client_status(c), FM_OK);
    Fermata__V1__PutFlowResponse *r = client_message(c, 0, &fermata__v1__put_flow_response__descriptor);
    assert_int_equal(r->version, 1);
    fermata__v1__put_flow_response__free_unpacked(r, NULL);
    assert_int_equal(c->n_messages, 1);
    client_free(c);
}

static void an_error_of_the_core_carries_its_details(void **state)
{
    char job[] = "nothing";
    Fermata__V1__GetJobRequest r = FERMATA__V1__GET_JOB_REQUEST__INIT;
    r.job_id = job;
    struct client_call *c = client_call(*state, GET_JOB, &r.base);
    assert_failed(c, FM_INVALID_ARGUMENT, "job_id");
    client_free(c);
}

static void a_malformed_request_names_its_field(void **state)
{
    static const uint8_t bytes[] = {0x0a, 0x7f, 'x'};
    struct client_call *c = client_call_bytes(*state, GET_JOB, (struct fm_bytes){bytes, sizeof(bytes)});
    assert_failed(c, FM_INVALID_ARGUMENT, "job_id");
    client_free(c);
}

static void a_request_above_4_mib_is_refused_with_both_sizes(void **state)
{
    struct fm_buf b = padding(4u * 1024 * 1024);
    struct client_call *c = client_call_bytes(*state, GET_JOB, (struct fm_bytes){b.p, b.n});
    assert_failed(c, FM_RESOURCE_EXHAUSTED, "");
    assert_non_null(strstr(c->status.msg, "4194310"));
    assert_non_null(strstr(c->status.msg, "4194304"));
    client_free(c);
    fm_buf_done(&b);
}

static void a_message_above_20_mib_is_refused_everywhere(void **state)
{
    static const char *const paths[] = {GET_JOB, WATCH, ATTACH};
    struct fm_buf b = padding(20u * 1024 * 1024);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct client_call *c = client_call_bytes(*state, paths[i], (struct fm_bytes){b.p, b.n});
        assert_int_equal(client_status(c), FM_RESOURCE_EXHAUSTED);
        client_free(c);
    }
    fm_buf_done(&b);
}

static void an_unknown_method_is_unimplemented(void **state)
{
    static const char *const paths[] = {"/fermata.v1.Jobs/Nothing", "/fermata.v1.Jobs/GetJobs",
                                        "/fermata.v1.Jobs/Get", "/x"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct client_call *c = client_call_bytes(*state, paths[i], (struct fm_bytes){0});
        assert_int_equal(client_status(c), FM_UNIMPLEMENTED);
        client_free(c);
    }
}

static void a_call_without_a_message_is_refused(void **state)
{
    struct client_call *c = client_open(*state, GET_JOB);
    rpc_stream_close_send(c->stream);
    assert_int_equal(client_status(c), FM_INVALID_ARGUMENT);
    client_free(c);
}

static void a_client_that_leaves_at_once_harms_nobody(void **state)
{
    for (int i = 0; i < 20; i++) {
        struct client_call *c = put_flow(*state);
        client_free(c);
    }
    struct client_call *c = put_flow(*state);
    assert_int_equal(client_status(c), FM_OK);
    client_free(c);
}

/* ---- watches ---- */

static void a_watch_is_told_of_the_job_and_of_the_stop(void **state)
{
    struct fixture *f = *state;
    char *job = submit(f);
    Fermata__V1__WatchJobRequest r = FERMATA__V1__WATCH_JOB_REQUEST__INIT;
    r.job_id = job;
    struct client_call *c = client_call(f, WATCH, &r.base);
    Fermata__V1__WatchJobResponse *first = client_message(c, 0, &fermata__v1__watch_job_response__descriptor);
    fermata__v1__watch_job_response__free_unpacked(first, NULL);
    fixture_stop(f);
    assert_failed(c, FM_UNAVAILABLE, "");
    client_free(c);
    free(job);
}

/* ---- hosts ---- */

static void a_host_says_hello_and_is_welcome(void **state)
{
    struct client_call *host = attach(*state);
    Fermata__V1__ListHostsRequest r = FERMATA__V1__LIST_HOSTS_REQUEST__INIT;
    struct client_call *c = client_call(*state, LIST_HOSTS, &r.base);
    assert_int_equal(client_status(c), FM_OK);
    Fermata__V1__ListHostsResponse *reply =
        client_message(c, 0, &fermata__v1__list_hosts_response__descriptor);
    assert_int_equal(reply->n_hosts, 1);
    assert_string_equal(reply->hosts[0]->host_id, "a");
    fermata__v1__list_hosts_response__free_unpacked(reply, NULL);
    client_free(c);
    client_free(host);
}

static void garbage_ends_the_stream_of_a_host_and_no_other(void **state)
{
    static const uint8_t bytes[] = {0x1a, 3, 0x0a, 1, 0xff}; /* hello { host_id: not UTF-8 } */
    struct client_call *host = attach(*state), *bad = client_open(*state, ATTACH);
    rpc_stream_send(bad->stream, (struct fm_bytes){bytes, sizeof(bytes)});
    assert_failed(bad, FM_INVALID_ARGUMENT, "hello.host_id");
    assert_false(client_is_over(host));
    client_free(bad);
    client_free(host);
}

static void garbage_after_hello_ends_the_stream(void **state)
{
    static const uint8_t bytes[] = {0x22, 0x7f, 0};
    struct client_call *host = attach(*state);
    rpc_stream_send(host->stream, (struct fm_bytes){bytes, sizeof(bytes)});
    assert_failed(host, FM_INVALID_ARGUMENT, "steps");
    client_free(host);
    host = attach(*state); /* it may come back at once */
    client_free(host);
}

static void a_message_of_a_host_may_have_more_than_4_mib(void **state)
{
    struct client_call *host = attach(*state);
    struct fm_buf b = padding(5u * 1024 * 1024);
    fm_buf_put_tag_varint(&b, 1, 2);      /* seq */
    fm_buf_put_len_delim(&b, 5, NULL, 0); /* heartbeat */
    rpc_stream_send(host->stream, (struct fm_bytes){b.p, b.n});
    Fermata__V1__CoordinatorMessage *m = host_message(host, 1);
    assert_int_equal(m->body_case, FERMATA__V1__COORDINATOR_MESSAGE__BODY_HEARTBEAT);
    fermata__v1__coordinator_message__free_unpacked(m, NULL);
    fm_buf_done(&b);
    client_free(host);
}

static void a_host_that_closes_its_side_gets_ok(void **state)
{
    struct client_call *host = attach(*state);
    rpc_stream_close_send(host->stream);
    assert_int_equal(client_status(host), FM_OK);
    client_free(host);
}

/* ---- the stop ---- */

static void the_stop_ends_the_streams_of_hosts(void **state)
{
    struct client_call *host = attach(*state);
    fixture_stop(*state);
    assert_failed(host, FM_UNAVAILABLE, "");
    client_free(host);
}

static void the_stop_forgets_all_calls(void **state)
{
    struct fixture *f = *state;
    struct client_call *host = attach(f),
                       *reflection =
                           client_open(f, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    fixture_stop(f);
    assert_null(f->coordinator.calls);
    client_free(reflection);
    client_free(host);
}

static void every_call_ends_when_the_server_stops(void **state)
{
    struct fixture *f = *state;
    struct client_call *calls[50];
    for (size_t i = 0; i < 50; i++)
        calls[i] = put_flow(f);
    fixture_stop(f);
    for (size_t i = 0; i < 50; i++) {
        int code = client_status(calls[i]);
        /* gRPC itself cancels a call that comes when its door has just been closed */
        if (code != FM_OK && code != FM_UNAVAILABLE && code != FM_CANCELLED)
            fail_msg("%s: %s", fm_code_name(code), calls[i]->status.msg);
        client_free(calls[i]);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_answered_by_the_core),
        TEST(an_error_of_the_core_carries_its_details),
        TEST(a_malformed_request_names_its_field),
        TEST(a_request_above_4_mib_is_refused_with_both_sizes),
        TEST(a_message_above_20_mib_is_refused_everywhere),
        TEST(an_unknown_method_is_unimplemented),
        TEST(a_call_without_a_message_is_refused),
        TEST(a_client_that_leaves_at_once_harms_nobody),
        TEST(a_watch_is_told_of_the_job_and_of_the_stop),
        TEST(a_host_says_hello_and_is_welcome),
        TEST(garbage_ends_the_stream_of_a_host_and_no_other),
        TEST(garbage_after_hello_ends_the_stream),
        TEST(a_message_of_a_host_may_have_more_than_4_mib),
        TEST(a_host_that_closes_its_side_gets_ok),
        TEST(the_stop_ends_the_streams_of_hosts),
        TEST(the_stop_forgets_all_calls),
        TEST(every_call_ends_when_the_server_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
