/* The routine type http, without a network: what it sends, and what it makes of what comes back.
 * This program is its own worker for jq. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "builtin.h"
#include "fake_json.h"
#include "jq_eval.h"

static struct fm_ctx fake, *ctx = &fake;

static int setup(void **state)
{
    (void)state;
    fake_init(ctx, &http_type);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_done(ctx);
    return 0;
}

static void sends(const char *config, const char *data)
{
    ctx->config = fake_json(ctx, config);
    if (fake_run(ctx, "input", data) != 0)
        fail_msg("%s", ctx->failure);
    assert_non_null(ctx->on_response);
}

static void has_header(const char *line)
{
    for (size_t i = 0; i < ctx->request.n_headers; i++)
        if (strcmp(ctx->request.headers[i], line) == 0)
            return;
    fail_msg("the request has no header %s", line);
}

static void has_body(const char *text)
{
    assert_int_equal(ctx->request.body_bytes, strlen(text));
    assert_memory_equal(ctx->request.body, text, strlen(text));
}

static int respond(int status, const char *headers, const char *body)
{
    const struct fm_http_response r = {.status = status,
                                       .error = "",
                                       .headers = headers,
                                       .body = body,
                                       .body_bytes = strlen(body),
                                       .duration_ms = 5};
    ctx->permanent = false;
    ctx->retry_after_ms = 0;
    return fake_respond(ctx, &r);
}

static void is_refused(const char *config, const char *text)
{
    ctx->config = fake_json(ctx, config);
    fake_fails(ctx, "input", "{'id':7}", FM_FAIL_INVALID_ARGUMENT, text);
    assert_true(ctx->permanent);
    assert_null(ctx->on_response);
}

/* ---- requests ---- */

static void a_request_is_made_of_constants(void **state)
{
    (void)state;
    sends("{'url':'http://x/a?b=1'}", "{}");
    assert_string_equal(ctx->request.method, "GET");
    assert_string_equal(ctx->request.url, "http://x/a?b=1");
    assert_int_equal(ctx->request.n_headers, 0);
    assert_null(ctx->request.body);
    assert_int_equal(ctx->request.timeout_ms, 30000);
    assert_int_equal(ctx->request.max_response_bytes, 1048576);
    sends("{'url':'https://x','method':'PUT','headers':{'X-A':'1'},'body':'text','timeout_ms':9,"
          "'max_response_bytes':10}",
          "{}");
    assert_string_equal(ctx->request.method, "PUT");
    has_header("X-A: 1");
    has_header("Content-Type: text/plain; charset=utf-8");
    has_header("Idempotency-Key: job/i1");
    has_body("text");
    assert_int_equal(ctx->request.timeout_ms, 9);
    assert_int_equal(ctx->request.max_response_bytes, 10);
}

static void a_request_is_made_of_the_data_by_jq(void **state)
{
    (void)state;
    sends("{'url_expr':'\"http://x/items/\\\\(.id)\"','headers':{'A':'b'},'headers_expr':'{\"X-Id\":"
          "(.id|tostring)}','body_expr':'{id, twice: (.id * 2)}'}",
          "{'id':7}");
    assert_string_equal(ctx->request.method, "POST");
    assert_string_equal(ctx->request.url, "http://x/items/7");
    has_header("A: b");
    has_header("X-Id: 7");
    has_header("Content-Type: application/json");
    has_body("{\"id\":7,\"twice\":14}");
    sends("{'url':'http://x','body_expr':'empty','headers':{'content-type':'a/b','idempotency-key':'k'},"
          "'method':'DELETE'}",
          "{}");
    assert_null(ctx->request.body);
    assert_int_equal(ctx->request.n_headers, 2);
}

static void what_is_no_request_is_refused(void **state)
{
    (void)state;
    is_refused("{'url':'ftp://x'}", "begins with http");
    is_refused("{'url':'http://x/a b'}", "spaces");
    is_refused("{'url':'http://x/\\r\\nHost: y'}", "control characters");
    is_refused("{'url_expr':'.id'}", "must be a string");
    is_refused("{'url_expr':'.id +'}", "url_expr: the jq program");
    is_refused("{'url':'http://x','headers':{'A':'x\\r\\nB: y'}}", "headers");
    is_refused("{'url':'http://x','headers':{'A b':'x'}}", "not a valid header name");
    is_refused("{'url':'http://x','headers':{'A':1}}", "text");
    is_refused("{'url':'http://x','headers_expr':'{\"content-length\": \"5\"}'}",
               "content-length cannot be set");
    is_refused("{'url':'http://x','headers_expr':'{\"Transfer-Encoding\": \"chunked\"}'}",
               "Transfer-Encoding cannot");
    is_refused("{'url':'http://x','headers':{'Host':'y'}}", "Host cannot be set");
    is_refused("{'url':'http://x','headers':{'A':'1'},'headers_expr':'{a: \"2\"}'}", "set twice");
    is_refused("{'url':'http://x','headers_expr':'[1]'}", "object of strings");
    is_refused("{'url':'http://x','body_expr':'error(\"no\")'}", "body_expr: the jq program: no");
}

/* So many bytes between these two pieces of a configuration. */
static const char *with_long(const char *before, size_t n, const char *after)
{
    static char out[20000];
    snprintf(out, sizeof(out), "%s%*s%s", before, (int)n, "", after);
    memset(out + strlen(before), 'x', n);
    return out;
}

static void limits_of_a_request_are_included(void **state)
{
    (void)state;
    is_refused("{'url':'http://x/\x7f'}", "control characters");
    is_refused(with_long("{'url':'http://x/", 8184, "'}"), "8192 bytes");
    sends(with_long("{'url':'http://x/", 8183, "'}"), "{}");
    is_refused(with_long("{'url':'http://x','headers':{'A':'", 8193, "'}}"), "8192 bytes");
    sends(with_long("{'url':'http://x','headers':{'A':'", 8192, "'}}"), "{}");
    is_refused(with_long("{'url':'http://x','headers':{'", 129, "':'a'}}"), "not a valid header name");
    sends(with_long("{'url':'http://x','headers':{'", 128, "':'a'}}"), "{}");
    is_refused("{'url':'http://x','headers':{'':'a'}}", "not a valid header name");
    is_refused(with_long("{'url':'http://x','secret_headers':{'A':'", 129, "'}}"), "a secret's name");
    is_refused("{'url':'http://x','secret_headers':{'A':''}}", "a secret's name");
    sends("{'url':'http://x','headers':{'A':'1','AB':'2'}}", "{}"); /* one name begins with the other */
    has_header("AB: 2");
    char many[2000] = "'h0':'v'";
    for (int i = 1; i < 65; i++) {
        char one[32], config[2100];
        snprintf(one, sizeof(one), ",'h%d':'v'", i);
        strcat(many, one);
        snprintf(config, sizeof(config), "{'url':'http://x','headers':{%s}}", many);
        if (i < 64)
            sends(config, "{}");
        else
            is_refused(config, "more than 64");
    }
}

static void only_methods_that_change_something_get_a_key(void **state)
{
    (void)state;
    static const char *const safe[] = {"GET", "HEAD", "OPTIONS"};
    for (size_t i = 0; i < 3; i++) {
        char config[64];
        snprintf(config, sizeof(config), "{'url':'http://x','method':'%s'}", safe[i]);
        sends(config, "{}");
        assert_int_equal(ctx->request.n_headers, 0);
    }
    sends("{'url':'http://x','method':'POST'}", "{}");
    assert_int_equal(ctx->request.n_headers, 1);
}

static void a_secret_is_a_reference_until_the_request_leaves(void **state)
{
    (void)state;
    sends("{'url':'https://crm.example/v1?x=1','secret_headers':{'Authorization':'crm'}}", "{}");
    has_header("Authorization: ${secret:crm}");
    is_refused("{'url':'https://x','secret_headers':{'A':'a/b'}}", "a secret's name");
    is_refused("{'url':'https://x','secret_headers':{'A':'a}b'}}", "a secret's name");
    is_refused("{'url':'https://x','headers':{'A':'${secret:KEY}'}}", "secret_headers");
}

/* ---- responses ---- */

static void a_response_is_emitted_with_its_body_parsed(void **state)
{
    (void)state;
    sends("{'url':'http://x','with':['id','none']}", "{'id':7,'x':1}");
    assert_int_equal(
        respond(200, "content-type: application/json; charset=utf-8\nx-a: 1\nX-A:  2\n", "{\"a\":[1,2]}"), 0);
    fake_emitted(
        ctx, 0, "response",
        "{'id':7,'status':200,'headers':{'content-type':'application/json; charset=utf-8','x-a':'1, 2'},"
        "'body':{'a':[1,2]},'duration_ms':5}");
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(respond(201, "content-type: application/problem+json\n", "[]"), 0);
    fake_is(ctx, fm_value_get(ctx->emitted.items[0].data, "body"), "[]");
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(respond(204, "", ""), 0);
    fake_emitted(ctx, 0, "response", "{'status':204,'headers':{},'body':'','duration_ms':5}");
}

static void a_body_that_is_no_json_is_text_or_bytes(void **state)
{
    (void)state;
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(respond(200, "content-type: text/html\n", "<p>ä"), 0);
    assert_string_equal(fake_text(ctx->emitted.items[0].data, "body"), "<p>ä");
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(respond(200, "content-type: application/json\n", "{"), 0);
    assert_string_equal(fake_text(ctx->emitted.items[0].data, "body"), "{");
    assert_non_null(strstr(fake_text(ctx->emitted.items[0].data, "body_error"), "not JSON"));
    static const char *const bytes[] = {"\xff", "\xff\xfe", "\xff\xfe\xfd", "\xff\xfe\xfd\xfc"};
    static const char *const want[] = {"/w==", "//4=", "//79", "//79/A=="};
    for (size_t i = 0; i < 4; i++) {
        sends("{'url':'http://x'}", "{}");
        assert_int_equal(respond(200, "", bytes[i]), 0);
        assert_string_equal(fake_text(ctx->emitted.items[0].data, "body_base64"), want[i]);
        assert_null(fm_value_get(ctx->emitted.items[0].data, "body"));
    }
}

static void headers_that_are_none_are_left_out(void **state)
{
    (void)state;
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(respond(200, ": none\nno colon\nx-a:\nx-b: 1\ncontent-type: json\n", ""), 0);
    fake_is(ctx, fm_value_get(ctx->emitted.items[0].data, "headers"),
            "{'x-a':'','x-b':'1','content-type':'json'}");
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(respond(200, "content-type: application/jso\n", "{}"), 0);
    assert_string_equal(fake_text(ctx->emitted.items[0].data, "body"), "{}");
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(respond(200, "content-type: application/yaml\n", "{}"), 0); /* as long as …/json */
    assert_string_equal(fake_text(ctx->emitted.items[0].data, "body"), "{}");
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(respond(200, "content-type: Application/JSON\n", "{}"), 0);
    assert_int_equal(fm_value_kind(fm_value_get(ctx->emitted.items[0].data, "body")), FM_MAP);
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(respond(200, "content-type: +json\n", "{}"), 0);
    assert_string_equal(fake_text(ctx->emitted.items[0].data, "body"), "{}");
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(respond(200, "content-type: application/json\n", ""), 0);
    assert_null(fm_value_get(ctx->emitted.items[0].data, "body_error"));
}

static void fails_with(int status, const char *headers, int code, bool permanent, uint64_t after_ms)
{
    sends("{'url':'https://ann:pw@x.example/a?key=abc'}", "{}");
    assert_int_equal(respond(status, headers, "No room."), -1);
    assert_int_equal(ctx->fail_code, code);
    assert_int_equal(ctx->permanent, permanent);
    assert_int_equal(ctx->retry_after_ms, after_ms);
    assert_non_null(strstr(ctx->failure, "GET https://x.example/a: the server answered with status"));
    assert_null(strstr(ctx->failure, "abc"));
    assert_non_null(strstr(ctx->failure, ": No room."));
    assert_null(strstr(ctx->failure, "pw"));
}

static void what_may_be_better_later_is_tried_again_when_the_server_says(void **state)
{
    (void)state;
    fails_with(429, "retry-after: 7\n", FM_FAIL_RESOURCE_EXHAUSTED, false, 7000);
    fails_with(503, "Retry-After: 0.5\n", FM_FAIL_UNAVAILABLE, false, 500);
    fails_with(503, "retry-after: \t2 \n", FM_FAIL_UNAVAILABLE, false, 2000);
    fails_with(500, "", FM_FAIL_UNAVAILABLE, false, 0);
    fails_with(408, "", FM_FAIL_DEADLINE_EXCEEDED, false, 0);
    fails_with(425, "", FM_FAIL_UNAVAILABLE, false, 0);
    fails_with(400, "", FM_FAIL_FAILED_PRECONDITION, true, 0);
    fails_with(503, "retry-after: 99999999\n", FM_FAIL_UNAVAILABLE, false, 86400000);
    fails_with(503, "retry-after: soon\n", FM_FAIL_UNAVAILABLE, false, 0);
    fails_with(503, "retry-after: Thu, 01 Jan 1970 00:00:10 GMT\n", FM_FAIL_UNAVAILABLE, false, 0);
    fails_with(503, "retry-after: Fri, 31 Dec 2100 00:00:00 GMT\n", FM_FAIL_UNAVAILABLE, false, 86400000);
    fails_with(404, "retry-after: 7\n", FM_FAIL_FAILED_PRECONDITION, true, 0);
    fails_with(401, "", FM_FAIL_FAILED_PRECONDITION, true, 0);
}

static void an_error_does_not_show_a_query_that_the_server_repeats(void **state)
{
    (void)state;
    sends("{'url':'https://x.example/a?key=abc#top'}", "{}");
    assert_int_equal(respond(404, "", "nothing at /a?key=abc"), -1);
    assert_null(strstr(ctx->failure, "abc"));
    sends("{'url':'https://x.example/a'}", "{}");
    assert_int_equal(respond(404, "", "\xff\xfe"), -1); /* no text */
    assert_non_null(strstr(ctx->failure, "status 404"));
}

static void the_flow_says_which_statuses_fail(void **state)
{
    (void)state;
    sends("{'url':'http://x','fail_on':'5xx'}", "{}");
    assert_int_equal(respond(404, "", "no"), 0);
    fake_emitted(ctx, 0, "response", "{'status':404,'headers':{},'body':'no','duration_ms':5}");
    sends("{'url':'http://x','fail_on':'5xx'}", "{}");
    assert_int_equal(respond(500, "", "no"), -1);
    sends("{'url':'http://x','fail_on':'never'}", "{}");
    assert_int_equal(respond(500, "", "no"), 0);
    assert_int_equal(ctx->emitted.n, 1);
}

static void no_response_is_a_failure_of_its_kind(void **state)
{
    (void)state;
    struct fm_http_response r = {.error = "Could not resolve host", .headers = "", .body = ""};
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(fake_respond(ctx, &r), -1);
    assert_int_equal(ctx->fail_code, FM_FAIL_UNAVAILABLE);
    assert_non_null(strstr(ctx->failure, "GET http://x: Could not resolve host"));
    assert_false(ctx->permanent);
    r.timed_out = true;
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(fake_respond(ctx, &r), -1);
    assert_int_equal(ctx->fail_code, FM_FAIL_DEADLINE_EXCEEDED);
    r.timed_out = false;
    r.too_large = true;
    sends("{'url':'http://x'}", "{}");
    assert_int_equal(fake_respond(ctx, &r), -1);
    assert_int_equal(ctx->fail_code, FM_FAIL_RESOURCE_EXHAUSTED);
    assert_true(ctx->permanent);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], JQ_WORKER_ARG) == 0)
        return jq_worker_main();
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_made_of_constants),
        TEST(a_request_is_made_of_the_data_by_jq),
        TEST(what_is_no_request_is_refused),
        TEST(limits_of_a_request_are_included),
        TEST(only_methods_that_change_something_get_a_key),
        TEST(headers_that_are_none_are_left_out),
        TEST(a_secret_is_a_reference_until_the_request_leaves),
        TEST(a_response_is_emitted_with_its_body_parsed),
        TEST(a_body_that_is_no_json_is_text_or_bytes),
        TEST(what_may_be_better_later_is_tried_again_when_the_server_says),
        TEST(an_error_does_not_show_a_query_that_the_server_repeats),
        TEST(the_flow_says_which_statuses_fail),
        TEST(no_response_is_a_failure_of_its_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
