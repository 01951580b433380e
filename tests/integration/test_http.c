/* Routine type http with real daemons and a real server: what is sent, what comes of a response and of none,
 * retries, limits, secrets, and the end of a request with its step. */
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

#define SECRET "Bearer very-secret-4711"

static struct cluster c;
static struct proc server;
static char base[64];

static int start(void **state)
{
    (void)state;
    char script[512], secret[256];
    cluster_init(&c);
    snprintf(script, sizeof(script), "%s/tests/support/http_server.py", getenv("SOURCE_DIR"));
    const char *argv[] = {"/usr/bin/python3", script, NULL};
    proc_start(&server, cluster_file(&c, "server.err"), argv);
    snprintf(base, sizeof(base), "http://127.0.0.1:%d", atoi(server.line + strlen("listening on ")));
    snprintf(secret, sizeof(secret), "%s %s", base, SECRET);
    assert_int_equal(setenv("FERMATA_SECRET_crm", secret, 1), 0);
    assert_int_equal(setenv("OTHER_SECRET", SECRET, 1), 0);
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", NULL);
    return 0;
}

/* The secret is in no log and in no state. */
static int stop(void **state)
{
    (void)state;
    char command[700];
    proc_kill9(&server);
    snprintf(command, sizeof(command), "grep -rlF '%s' %s/*.log %s", SECRET, c.dir, c.data);
    const char *argv[] = {"sh", "-c", command, NULL};
    char *out = NULL, *err = NULL;
    (void)proc_run(argv, NULL, &out, &err);
    assert_string_equal(out, "");
    free(out);
    free(err);
    cluster_done(&c);
    return 0;
}

/* A job of one request; `config` and `policy` are more of both, `path` is of the URL. */
static const char *submit(const char *path, const char *config, const char *policy, const char *data)
{
    char *flow = NULL;
    assert_true(asprintf(&flow, "{'routines':[{'id':'a','type':'http','config':{'url':'%s%s'%s}%s}]}", base,
                         path, config, policy) > 0);
    json_t *r = rpc(c.address, "Jobs/SubmitJob",
                    "{'inline_flow':%s,'entry':{'routine':'a','slot':'input'},'data':%s}", flow, data);
    static char ids[4][32];
    static size_t i;
    char *id = ids[i++ % 4];
    snprintf(id, sizeof(ids[0]), "%s", at(r, "jobId"));
    json_decref(r);
    free(flow);
    return id;
}

static void fails_with(const char *job, const char *code, const char *text, const char *steps)
{
    json_t *j = wait_status(&c, job, "FAILED");
    assert_string_equal(at(j, "job.error.code"), code);
    if (strstr(at(j, "job.error.message"), text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", at(j, "job.error.message"), text);
    assert_string_equal(at(j, "job.stepCount"), steps);
    json_decref(j);
}

#define OUT(rest) "job.state.outputs[0].data." rest

static void a_request_is_made_of_the_task_and_the_response_goes_on(void **state)
{
    (void)state;
    const char *job = submit("/echo?q=1",
                             ",'headers':{'X-Kind':'test'},'headers_expr':'{\"X-Name\": .name}',"
                             "'body_expr':'{sum: (.a + .b)}','with':['name']",
                             "", "{'name':'ada','a':1,'b':2}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    char key[64];
    snprintf(key, sizeof(key), "%.40s/i1", job);
    assert_string_equal(at(done, OUT("status")), "200");
    assert_string_equal(at(done, OUT("name")), "ada");
    assert_string_equal(at(done, OUT("headers.x-seen")), "yes");
    assert_string_equal(at(done, OUT("body.method")), "POST");
    assert_string_equal(at(done, OUT("body.path")), "/echo?q=1");
    assert_string_equal(at(done, OUT("body.body")), "{\"sum\":3}");
    assert_string_equal(at(done, OUT("body.headers.x-kind")), "test");
    assert_string_equal(at(done, OUT("body.headers.x-name")), "ada");
    assert_string_equal(at(done, OUT("body.headers.content-type")), "application/json");
    assert_string_equal(at(done, OUT("body.headers.idempotency-key")), key);
    json_decref(done);
    done = wait_status(&c, submit("/text", "", "", "{}"), "COMPLETED");
    assert_string_equal(at(done, OUT("body")), "grün");
    json_decref(done);
    done = wait_status(&c, submit("/bytes", "", "", "{}"), "COMPLETED");
    assert_string_equal(at(done, OUT("body_base64")), "/wD+");
    json_decref(done);
}

static void a_busy_server_is_asked_again_when_it_wants_that_with_the_same_key(void **state)
{
    (void)state;
    const char *job = submit("/busy/one/2", ",'method':'PUT','body':{'x':1}",
                             ",'policy':{'retry':{'max_attempts':5,'initial_delay_ms':1}}", "{}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, OUT("body.attempts")), "3");
    assert_string_not_equal(at(done, OUT("body.keys[0]")), "");
    assert_string_equal(at(done, OUT("body.keys[0]")), at(done, OUT("body.keys[2]")));
    json_t *h = rpc(c.address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_int_equal(json_array_size(json_at(h, "steps")), 3);
    assert_true(atoll(at(h, "steps[0].retryDelayMs")) >=
                1000); /* Retry-After, not the policy's millisecond */
    assert_string_equal(at(h, "steps[0].error.code"), "RESOURCE_EXHAUSTED");
    assert_string_equal(at(h, "steps[2].attempt"), "3");
    json_decref(h);
    json_decref(done);
    /* three attempts where the flow says nothing */
    fails_with(submit("/status/503", "", ",'policy':{'retry':{'initial_delay_ms':1}}", "{}"), "UNAVAILABLE",
               "status 503", "3");
}

static void other_statuses_fail_for_good_or_are_responses_as_the_flow_says(void **state)
{
    (void)state;
    fails_with(submit("/status/404", "", "", "{}"), "FAILED_PRECONDITION", "status 404", "1");
    json_t *done = wait_status(&c, submit("/status/404", ",'fail_on':'5xx'", "", "{}"), "COMPLETED");
    assert_string_equal(at(done, OUT("status")), "404");
    json_decref(done);
    done = wait_status(&c, submit("/status/500", ",'fail_on':'never'", "", "{}"), "COMPLETED");
    assert_string_equal(at(done, OUT("status")), "500");
    assert_string_equal(at(done, OUT("body")), "so it is");
    json_decref(done);
}

static void what_never_comes_whole_fails_by_its_limit(void **state)
{
    (void)state;
    static const char once[] = ",'policy':{'retry':{'max_attempts':1}}";
    char hang[300], nobody[64];
    fails_with(submit("/large/2000", ",'max_response_bytes':1000", "", "{}"), "RESOURCE_EXHAUSTED",
               "too large", "1");
    fails_with(submit("/cut", "", once, "{}"), "UNAVAILABLE", base, "1");
    snprintf(hang, sizeof(hang), "/hang%s", cluster_file(&c, "late"));
    fails_with(submit(hang, ",'timeout_ms':200", once, "{}"), "DEADLINE_EXCEEDED", "hang", "1");
    snprintf(nobody, sizeof(nobody), "%s", base);
    snprintf(base, sizeof(base), "http://127.0.0.1:1");
    const char *job = submit("/", "", once, "{}");
    snprintf(base, sizeof(base), "%s", nobody);
    fails_with(job, "UNAVAILABLE", "127.0.0.1:1", "1");
}

static void a_secret_reaches_its_origin_and_nobody_else(void **state)
{
    (void)state;
    char name[64], mine[64];
    json_t *done =
        wait_status(&c, submit("/echo", ",'secret_headers':{'Authorization':'crm'}", "", "{}"), "COMPLETED");
    const char *echoed =
        at(done, OUT("body.headers.authorization")); /* the server got it, and says it back */
    assert_int_equal(strlen(echoed), strlen(SECRET));
    assert_int_equal(strspn(echoed, "*"), strlen(SECRET));
    json_decref(done);
    snprintf(mine, sizeof(mine), "%s", base);
    snprintf(name, sizeof(name), "http://localhost:%s", strrchr(base, ':') + 1);
    snprintf(base, sizeof(base), "%s", name);
    const char *job = submit("/echo", ",'secret_headers':{'Authorization':'crm'}", "", "{}");
    snprintf(base, sizeof(base), "%s", mine);
    fails_with(job, "FAILED_PRECONDITION", "for an origin other", "1");
    /* data that refer to a secret do not get it */
    fails_with(
        submit("/echo", ",'headers_expr':'{\"X-Name\": .name}'", "", "{'name':'${secret:OTHER_SECRET}'}"),
        "INVALID_ARGUMENT", "secret_headers", "1");
    fails_with(submit("/echo", ",'headers':{'X-Name':'${secret:crm}'}", "", "{}"), "INVALID_ARGUMENT",
               "secret_headers", "1");
}

static void a_request_ends_with_its_step(void **state)
{
    (void)state;
    char hang[300];
    snprintf(hang, sizeof(hang), "/hang%s", cluster_file(&c, "cancelled"));
    const char *job = submit(hang, "", "", "{}");
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(&c, "cancelled") < 1)
        test_pause(until, "the request is under way");
    json_t *r = rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_CANCELLED");
    json_decref(r);
    while (cluster_lines(&c, "cancelled") < 2)
        test_pause(until, "the server sees that the client is gone");
}

static void the_example_does_what_it_says(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof(path), "%s/examples/http.json", getenv("SOURCE_DIR"));
    char *text = file_text(path), *there = strstr(text, "http://127.0.0.1:8080"), *request = NULL;
    assert_non_null(there);
    assert_true(asprintf(&request, "%.*s%s%s", (int)(there - text), text, base,
                         there + strlen("http://127.0.0.1:8080")) > 0);
    json_t *r = rpc(c.address, "Jobs/SubmitJob", "%s", request);
    json_t *done = wait_status(&c, at(r, "jobId"), "COMPLETED");
    assert_string_equal(at(done, OUT("file")), "status.json");
    assert_string_equal(at(done, OUT("body.status")), "green");
    json_decref(done);
    json_decref(r);
    free(request);
    free(text);
}

static void data_cannot_say_where_a_request_ends(void **state)
{
    (void)state;
    static const char *const headers[] = {"'Content-Length':'5'", "'transfer-encoding':'chunked'",
                                          "'Host':'other'"},
                             *const names[] = {"Content-Length", "transfer-encoding", "Host"};
    for (size_t i = 0; i < 3; i++) {
        char data[200];
        snprintf(data, sizeof(data), "{'h':{%s},'b':'helloGET /smuggled HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'}",
                 headers[i]);
        fails_with(submit("/echo", ",'method':'POST','headers_expr':'.h','body_expr':'.b'", "", data),
                   "INVALID_ARGUMENT", names[i], "1");
    }
    json_t *done = wait_status(&c,
                               submit("/echo", ",'method':'POST','headers_expr':'.h','body_expr':'.b'", "",
                                      "{'h':{'X-A':''},'b':'hi'}"),
                               "COMPLETED");
    assert_string_equal(at(done, OUT("body.body")), "hi");
    assert_non_null(json_at(done, OUT("body.headers.x-a"))); /* an empty header is sent */
    json_decref(done);
}

static void a_path_goes_as_it_is_and_an_error_says_what_the_server_said(void **state)
{
    (void)state;
    json_t *done = wait_status(&c, submit("/echo/../admin", ",'fail_on':'never'", "", "{}"), "COMPLETED");
    assert_string_not_equal(at(done, OUT("body.path")), "/admin");
    json_decref(done);
    fails_with(submit("/say/422/the+field+foo+is+missing", "", "", "{}"), "FAILED_PRECONDITION",
               "status 422: the field foo is missing", "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_cannot_say_where_a_request_ends),
        cmocka_unit_test(a_path_goes_as_it_is_and_an_error_says_what_the_server_said),
        cmocka_unit_test(a_request_is_made_of_the_task_and_the_response_goes_on),
        cmocka_unit_test(a_busy_server_is_asked_again_when_it_wants_that_with_the_same_key),
        cmocka_unit_test(other_statuses_fail_for_good_or_are_responses_as_the_flow_says),
        cmocka_unit_test(what_never_comes_whole_fails_by_its_limit),
        cmocka_unit_test(a_secret_reaches_its_origin_and_nobody_else),
        cmocka_unit_test(a_request_ends_with_its_step),
        cmocka_unit_test(the_example_does_what_it_says),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
