/* Bad input from clients and from hosts: the right status, a message that names the field, details; and no
 * harm to others. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cluster.h"

static struct cluster c;

static int setup(void **state)
{
    (void)state;
    cluster_start(&c, 1);
    put_trip(&c, "");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_done(&c);
    return 0;
}

/* The error must have these two texts in it; the field as a violation. */
static void expect(char *err, const char *field, const char *text)
{
    char violation[160];
    snprintf(violation, sizeof(violation), "\"field\": \"%s\"", field);
    if ((field[0] != '\0' && strstr(err, violation) == NULL) || strstr(err, text) == NULL)
        fail_msg("field %s and text \"%s\" wanted, but: %s", field, text, err);
    free(err);
}

#define SUBMIT(code, field, text, ...)                                                                       \
    expect(rpc_fails(c.address, "Jobs/SubmitJob", code, __VA_ARGS__), field, text)

static void an_unknown_flow_entry_or_slot_is_named(void **state)
{
    (void)state;
    SUBMIT("NotFound", "flow", "no flow", "{'flow':'nope','entry':{'routine':'agent','slot':'trigger'}}");
    SUBMIT("InvalidArgument", "entry.routine", "it has: agent",
           "{'flow':'trip','entry':{'routine':'x','slot':'trigger'}}");
    SUBMIT("InvalidArgument", "entry.slot", "user_input",
           "{'flow':'trip','entry':{'routine':'agent','slot':'x'}}");
    SUBMIT("InvalidArgument", "entry", "missing", "{'flow':'trip'}");
    SUBMIT("InvalidArgument", "flow", "inline_flow", "{'entry':{'routine':'agent','slot':'trigger'}}");
    SUBMIT("InvalidArgument", "data.task", "a string",
           "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},'data':{'task':5}}");
}

static void a_flow_with_faults_has_all_of_them_listed(void **state)
{
    (void)state;
    char *err = rpc_fails(c.address, "Flows/PutFlow", "InvalidArgument",
                          "{'flow':{'name':'b ad','routines':[{'id':'a','type':'llm_agent',"
                          "'config':{'provider':'mock','delay_ms':'x'}},"
                          "{'id':'a','type':'log','config':{'colour':1}}],"
                          "'connections':[{'from':{'routine':'a','event':'nope'},"
                          "'to':{'routine':'z','slot':'input'}}]}}");
    static const char *const fields[] = {
        "flow.name",           "flow.routines[0].config.delay_ms", "flow.routines[1].config",
        "flow.routines[1].id", "flow.connections[0].from.event",   "flow.connections[0].to.routine"};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        char violation[160];
        snprintf(violation, sizeof(violation), "\"field\": \"%s\"", fields[i]);
        if (strstr(err, violation) == NULL)
            fail_msg("no violation of %s in: %s", fields[i], err);
    }
    free(err);
}

static void a_pasted_key_is_refused_and_not_repeated(void **state)
{
    (void)state;
    char *err = rpc_fails(c.address, "Flows/PutFlow", "InvalidArgument",
                          "{'flow':{'name':'k','routines':[{'id':'a','type':'llm_agent',"
                          "'config':{'provider':'openai','model':'m','api_key':'sk-live-0123'}}]}}");
    assert_null(strstr(err, "sk-live"));
    expect(err, "flow.routines[0].config.api_key", "never the key itself");
}

static void an_unknown_job_and_a_malformed_id_differ(void **state)
{
    (void)state;
    expect(rpc_fails(c.address, "Jobs/GetJob", "NotFound", "{'job_id':'01M88XJZ0MWFZ5AA601T6G1Y5N'}"),
           "job_id", "no job");
    expect(rpc_fails(c.address, "Jobs/ResumeJob", "NotFound",
                     "{'job_id':'01M88XJZ0MWFZ5AA601T6G1Y5N','answer':1}"),
           "job_id", "no job");
    expect(rpc_fails(c.address, "Jobs/WatchJob", "NotFound", "{'job_id':'01M88XJZ0MWFZ5AA601T6G1Y5N'}"),
           "job_id", "no job");
    expect(rpc_fails(c.address, "Jobs/GetJob", "InvalidArgument", "{'job_id':'x'}"), "job_id",
           "26 characters");
    expect(rpc_fails(c.address, "Jobs/GetHistory", "InvalidArgument",
                     "{'job_id':'01M88XJZ0MWFZ5AA601T6G1Y5N','page_size':5000}"),
           "page_size", "1000");
}

static void a_late_or_wrong_answer_is_refused(void **state)
{
    (void)state;
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "PAUSED"));
    expect(rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition",
                     "{'job_id':'%s','pause_id':'p9.9','answer':1}", job),
           "pause_id", "p1.0");
    expect(rpc_fails(c.address, "Jobs/ResumeJob", "InvalidArgument", "{'job_id':'%s'}", job), "answer",
           "needs an answer");
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':1}", job));
    json_decref(wait_status(&c, job, "COMPLETED"));
    expect(rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition", "{'job_id':'%s','answer':1}", job),
           "job_id", "COMPLETED");
    expect(rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition",
                     "{'job_id':'%s','pause_id':'p1.0','answer':1}", job),
           "pause_id", "COMPLETED");
}

static void a_repeated_request_gets_the_first_reply_or_is_refused(void **state)
{
    (void)state;
    static const char submit[] = "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},"
                                 "'data':{'task':'%s','a':1,'b':2,'c':3},'request_id':'r1'}";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    json_t *first = rpc(c.address, "Jobs/SubmitJob", submit, "t"),
           *second = rpc(c.address, "Jobs/SubmitJob", submit, "t");
    assert_string_equal(at(first, "jobId"), at(second, "jobId"));
    expect(rpc_fails(c.address, "Jobs/SubmitJob", "AlreadyExists", submit, "other"), "request_id",
           "used before");
#pragma GCC diagnostic pop
    char job[32];
    strcpy(job, at(first, "jobId"));
    json_decref(wait_status(&c, job, "PAUSED"));
    for (int i = 0; i < 3; i++) {
        json_t *r = rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'x','request_id':'q'}", job);
        assert_string_equal(at(r, "pauseId"), "p1.0");
        json_decref(r);
    }
    expect(rpc_fails(c.address, "Jobs/ResumeJob", "AlreadyExists",
                     "{'job_id':'%s','answer':'y','request_id':'q'}", job),
           "request_id", "used before");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.stepCount"), "2");
    json_decref(done);
    json_decref(first);
    json_decref(second);
}

static void too_large_data_is_refused_with_size_and_limit(void **state)
{
    (void)state;
    size_t n = 1100000;
    char *big = malloc(n + 1);
    memset(big, 'x', n);
    big[n] = '\0';
    expect(rpc_fails(c.address, "Jobs/SubmitJob", "InvalidArgument",
                     "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},'data':{'task':'%s'}}",
                     big),
           "data", "1048576");
    free(big);
}

/* A list nested n times, as JSON. */
static char *nested(size_t n)
{
    char *s = calloc(1, 2 * n + 1);
    memset(s, '[', n);
    memset(s + n, ']', n);
    return s;
}

static void data_that_is_accepted_can_be_handled_and_deeper_data_is_refused_at_the_door(void **state)
{
    (void)state;
    char *deepest = nested(30), *too_deep = nested(31);
    json_t *j = rpc(c.address, "Jobs/SubmitJob",
                    "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},'data':{'d':%s}}", deepest);
    json_decref(wait_status(&c, at(j, "jobId"), "PAUSED"));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':%s}", at(j, "jobId"), deepest));
    json_decref(wait_status(&c, at(j, "jobId"), "COMPLETED"));
    SUBMIT("InvalidArgument", "", "nested too deeply",
           "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},'data':{'d':%s}}", too_deep);
    json_decref(j);
    free(deepest);
    free(too_deep);
}

static void a_long_list_goes_through_and_one_of_too_many_elements_is_refused_at_the_door(void **state)
{
    (void)state;
    size_t n = 350000;
    char *list = malloc(2 * n + 2);
    for (size_t i = 0; i < n; i++)
        memcpy(list + 2 * i, "1,", 2);
    list[2 * 70000 - 1] = '\0';
    json_t *j = rpc(c.address, "Jobs/SubmitJob",
                    "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},'data':{'d':[%s]}}", list);
    json_t *paused = wait_status(&c, at(j, "jobId"), "PAUSED");
    assert_int_equal(json_array_size(json_at(paused, "job.state.routineStates.agent.task.d")), 70000);
    list[2 * 70000 - 1] = ',';
    list[2 * 160000 - 1] = '\0';
    SUBMIT("ResourceExhausted", "", "too many elements",
           "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},'data':{'d':[%s]}}", list);
    json_decref(paused);
    json_decref(j);
    free(list);
}

static void an_unknown_routine_type_waits_and_says_why(void **state)
{
    (void)state;
    json_t *warned = rpc(c.address, "Flows/PutFlow",
                         "{'flow':{'name':'exotic','routines':[{'id':'r','type':'quantum'}]}}");
    assert_non_null(strstr(at(warned, "warnings[0]"), "quantum"));
    json_decref(warned);
    json_t *j = rpc(c.address, "Jobs/SubmitJob", "{'flow':'exotic','entry':{'routine':'r','slot':'in'}}");
    json_t *waits = wait_status(&c, at(j, "jobId"), "PENDING");
    assert_non_null(
        strstr(at(waits, "job.waitingReason"), "no connected host offers routine type \"quantum\""));
    json_t *gone = rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", at(j, "jobId"));
    assert_string_equal(at(gone, "status"), "JOB_STATUS_CANCELLED");
    json_decref(gone);
    json_decref(rpc(c.address, "Jobs/DeleteJob", "{'job_id':'%s'}", at(j, "jobId")));
    free(rpc_fails(c.address, "Jobs/GetJob", "NotFound", "{'job_id':'%s'}", at(j, "jobId")));
    json_decref(waits);
    json_decref(j);
}

static void a_failing_model_call_fails_the_job_with_its_error(void **state)
{
    (void)state;
    json_t *j = rpc(c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'m','type':'llm_agent',"
                    "'config':{'provider':'mock','script':[{'fail':'overloaded'}]}}]},"
                    "'entry':{'routine':'m','slot':'trigger'}}");
    json_t *failed = wait_status(&c, at(j, "jobId"), "FAILED");
    assert_string_equal(at(failed, "job.error.code"), "UNAVAILABLE");
    assert_string_equal(at(failed, "job.error.routine"), "m");
    assert_non_null(strstr(at(failed, "job.error.message"), "overloaded"));
    assert_null(json_at(failed, "job.state.routineStates"));
    json_decref(failed);
    json_decref(j);
}

static void a_host_with_a_wrong_version_a_taken_id_or_no_hello_is_refused(void **state)
{
    (void)state;
    expect(rpc_fails(c.address, "HostAgent/Attach", "FailedPrecondition",
                     "{'hello':{'host_id':'x','incarnation':'i','protocol_version':9,'capacity':1}}"),
           "hello.protocol_version", "version 9");
    expect(rpc_fails(c.address, "HostAgent/Attach", "AlreadyExists",
                     "{'hello':{'host_id':'a','incarnation':'i','protocol_version':1,'capacity':1}}"),
           "hello.host_id", "is attached");
    expect(rpc_fails(c.address, "HostAgent/Attach", "InvalidArgument", "{'heartbeat':{}}"), "hello", "Hello");
    expect(rpc_fails(c.address, "HostAgent/Attach", "InvalidArgument",
                     "{'hello':{'host_id':'x','incarnation':'i','protocol_version':1,'capacity':0}}"),
           "hello.capacity", "100000");
}

static void garbage_on_the_port_harms_nobody(void **state)
{
    (void)state;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(strrchr(c.address, ':') + 1))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 8; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
        char junk[4096];
        for (size_t k = 0; k < sizeof(junk); k++)
            junk[k] = (char)((k * 31 + (size_t)i * 7) & 0xff);
        (void)send(fd, i % 2 == 0 ? junk : "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff",
                   i % 2 == 0 ? sizeof(junk) : 30, MSG_NOSIGNAL);
        close(fd);
    }
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "PAUSED"));
}

static void reflection_and_health_serve_clients_that_nobody_here_wrote(void **state)
{
    (void)state;
    static const char *const symbols[] = {
        "fermata.v1.Jobs",      "fermata.v1.Flows",      "fermata.v1.Hosts",  "fermata.v1.HostAgent",
        "fermata.v1.Job",       "google.rpc.BadRequest", "google.rpc.Status", "google.rpc.ErrorInfo",
        "google.rpc.RetryInfo", "grpc.health.v1.Health"};
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        const char *args[] = {"-plaintext", c.address, "describe", symbols[i], NULL};
        char *out = grpcurl(args);
        assert_non_null(strstr(out, symbols[i]));
        free(out);
    }
    /* Details of errors are shown in words, not as bytes. */
    char *err = rpc_fails(c.address, "Jobs/GetJob", "InvalidArgument", "{'job_id':'x'}");
    assert_non_null(strstr(err, "google.rpc.ErrorInfo"));
    assert_non_null(strstr(err, "\"reason\": \"INVALID_ARGUMENT\""));
    assert_non_null(strstr(err, "google.rpc.BadRequest"));
    assert_non_null(strstr(err, "\"fieldViolations\""));
    free(err);
    json_t *h = rpc(c.address, "grpc.health.v1.Health/Check", "{'service':'fermata.v1.Jobs'}");
    assert_string_equal(at(h, "status"), "SERVING");
    json_decref(h);
    free(rpc_fails(c.address, "grpc.health.v1.Health/Check", "NotFound", "{'service':'nope'}"));
}

static void bad_options_are_refused_by_name(void **state)
{
    (void)state;
    char path[512], log[256];
    static const char *const cases[][3] = {
        {"--lease",     "soon",    "--lease soon"             },
        {"--listen",    "nowhere", "--listen nowhere"         },
        {"--colour",    "red",     "--colour"                 },
        {"--heartbeat", "9s",      "more than half of --lease"}
    };
    snprintf(path, sizeof(path), "%s/coordinator/coordinator", getenv("BUILD_DIR"));
    for (size_t i = 0; i < 4; i++) {
        const char *argv[] = {path, cases[i][0], cases[i][1], NULL};
        snprintf(log, sizeof(log), "%s/options%zu.log", c.dir, i);
        char *err = proc_fails(log, 2, argv);
        assert_non_null(strstr(err, cases[i][2]));
        free(err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_flow_entry_or_slot_is_named),
        cmocka_unit_test(a_flow_with_faults_has_all_of_them_listed),
        cmocka_unit_test(a_pasted_key_is_refused_and_not_repeated),
        cmocka_unit_test(an_unknown_job_and_a_malformed_id_differ),
        cmocka_unit_test(a_late_or_wrong_answer_is_refused),
        cmocka_unit_test(a_repeated_request_gets_the_first_reply_or_is_refused),
        cmocka_unit_test(too_large_data_is_refused_with_size_and_limit),
        cmocka_unit_test(data_that_is_accepted_can_be_handled_and_deeper_data_is_refused_at_the_door),
        cmocka_unit_test(a_long_list_goes_through_and_one_of_too_many_elements_is_refused_at_the_door),
        cmocka_unit_test(an_unknown_routine_type_waits_and_says_why),
        cmocka_unit_test(a_failing_model_call_fails_the_job_with_its_error),
        cmocka_unit_test(a_host_with_a_wrong_version_a_taken_id_or_no_hello_is_refused),
        cmocka_unit_test(garbage_on_the_port_harms_nobody),
        cmocka_unit_test(reflection_and_health_serve_clients_that_nobody_here_wrote),
        cmocka_unit_test(bad_options_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
