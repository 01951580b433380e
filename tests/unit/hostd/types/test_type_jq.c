/* The routine type jq. This program is its own worker. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "builtin.h"
#include "fake_json.h"
#include "jq_eval.h"

static struct fm_ctx fake, *ctx = &fake;

static int setup(void **state)
{
    (void)state;
    fake_init(ctx, &jq_type);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_done(ctx);
    return 0;
}

static void each_output_of_a_map_is_an_event(void **state)
{
    (void)state;
    ctx->config = fake_json(ctx, "{'program':'.items[] | {name, n: (.n + 1)}'}");
    assert_int_equal(fake_run(ctx, "input", "{'items':[{'name':'ä','n':1,'x':0},{'name':'b','n':2.5}]}"), 0);
    assert_int_equal(ctx->emitted.n, 2);
    fake_emitted(ctx, 0, "output", "{'name':'ä','n':2}");
    fake_emitted(ctx, 1, "output", "{'name':'b','n':3.5}");
    ctx->config = fake_json(ctx, "{'program':'.x, empty, [1]','mode':'map'}");
    assert_int_equal(fake_run(ctx, "input", "{}"), 0);
    fake_emitted(ctx, 0, "output", "{'value':null}");
    fake_emitted(ctx, 1, "output", "{'value':[1]}");
}

static void a_filter_lets_data_pass_or_rejects_it(void **state)
{
    (void)state;
    ctx->config = fake_json(ctx, "{'program':'.n > 3, false','mode':'filter'}");
    assert_int_equal(fake_run(ctx, "input", "{'n':4}"), 0);
    assert_int_equal(ctx->emitted.n, 1);
    fake_emitted(ctx, 0, "output", "{'n':4}");
    assert_int_equal(fake_run(ctx, "input", "{'n':3}"), 0);
    fake_emitted(ctx, 0, "rejected", "{'n':3}");
    ctx->config = fake_json(ctx, "{'program':'empty','mode':'filter'}");
    assert_int_equal(fake_run(ctx, "input", "{'n':4}"), 0);
    fake_emitted(ctx, 0, "rejected", "{'n':4}");
    ctx->config = fake_json(ctx, "{'program':'.n','mode':'filter'}");
    assert_int_equal(fake_run(ctx, "input", "{'n':0}"), 0);
    fake_emitted(ctx, 0, "output", "{'n':0}");
}

static void a_route_names_events(void **state)
{
    (void)state;
    ctx->config = fake_json(ctx, "{'program':'if .n > 3 then [\"big\",\"any\"] else \"small\" end, null,"
                                 " false','mode':'route'}");
    assert_int_equal(fake_run(ctx, "input", "{'n':4}"), 0);
    assert_int_equal(ctx->emitted.n, 2);
    fake_emitted(ctx, 0, "big", "{'n':4}");
    fake_emitted(ctx, 1, "any", "{'n':4}");
    assert_int_equal(fake_run(ctx, "input", "{'n':1}"), 0);
    assert_int_equal(ctx->emitted.n, 1);
    fake_emitted(ctx, 0, "small", "{'n':1}");
    ctx->config = fake_json(ctx, "{'program':'.to','mode':'route'}");
    fake_fails(ctx, "input", "{'to':'no name'}", FM_FAIL_INVALID_ARGUMENT, "\"no name\"");
    fake_fails(ctx, "input", "{'to':7}", FM_FAIL_INVALID_ARGUMENT, "not the name of an event");
    fake_fails(ctx, "input", "{'to':[['x']]}", FM_FAIL_INVALID_ARGUMENT, "not the name of an event");
}

static void faults_are_for_good(void **state)
{
    (void)state;
    ctx->config = fake_json(ctx, "{'program':'error(\"no \" + .what)'}");
    fake_fails(ctx, "input", "{'what':'city'}", FM_FAIL_INVALID_ARGUMENT, "no city");
    assert_true(ctx->permanent);
    ctx->config = fake_json(ctx, "{'program':'.a +'}");
    fake_fails(ctx, "input", "{}", FM_FAIL_INVALID_ARGUMENT, "syntax error");
    assert_true(ctx->permanent);
    ctx->config = fake_json(ctx, "{'program':'.[]','max_outputs':2}");
    fake_fails(ctx, "input", "{'a':1,'b':2,'c':3}", FM_FAIL_RESOURCE_EXHAUSTED, "more than 2 outputs");
    assert_true(ctx->permanent);
    ctx->config = fake_json(ctx, "{'program':'def f: f; f','timeout_ms':20}");
    fake_fails(ctx, "input", "{}", FM_FAIL_DEADLINE_EXCEEDED, "20 ms");
    assert_true(ctx->permanent);
    ctx->config = fake_json(ctx, "{'program':'\"a\\\\u0000b\"'}");
    fake_fails(ctx, "input", "{}", FM_FAIL_INVALID_ARGUMENT, "an output is nested too deeply, or has a NUL");
}

/* ---- what stands beside the data, for all types with programs ---- */

static void begin(const struct fm_routine_type *type, const char *config)
{
    fake_done(ctx);
    fake_init(ctx, type);
    ctx->shared = fake_json(ctx, "{'customer':{'name':'Ann'},'n':3}");
    ctx->state = fake_json(ctx, "{'seen':[1,2]}");
    ctx->config = fake_json(ctx, config);
}

static void programs_see_shared_data_and_their_own_state(void **state)
{
    (void)state;
    begin(&jq_type, "{'program':'def f: $shared.n; {a: .a, n: (f + .a), s: $state.seen} # $end'}");
    assert_int_equal(fake_run(ctx, "input", "{'a':1}"), 0);
    fake_emitted(ctx, 0, "output", "{'a':1,'n':4,'s':[1,2]}");
    begin(&jq_type, "{'program':'.a as $shared | {value: $shared}'}"); /* its own name */
    assert_int_equal(fake_run(ctx, "input", "{'a':1}"), 0);
    fake_emitted(ctx, 0, "output", "{'value':1}");
    begin(&jq_type, "{'program':'$state.seen | length','mode':'map'}");
    assert_int_equal(fake_run(ctx, "input", "{}"), 0);
    fake_emitted(ctx, 0, "output", "{'value':2}");
    begin(&jq_type, "{'program':'$stat'}");
    fake_fails(ctx, "input", "{}", FM_FAIL_INVALID_ARGUMENT, "$stat is not defined");
    begin(&jq_type, "{'program':'$shared.n | error(\"n is \\\\(.)\")'}");
    fake_fails(ctx, "input", "{}", FM_FAIL_INVALID_ARGUMENT, "n is 3");
    begin(&http_type,
          "{'url_expr':'\"http://x/\\\\(.id)/\\\\($shared.customer.name)\"','body_expr':'{a: .id}',"
          "'headers_expr':'{\"X-N\": ($state.seen | tostring)}'}");
    assert_int_equal(fake_run(ctx, "input", "{'id':7}"), 0);
    assert_string_equal(ctx->request.url, "http://x/7/Ann");
    assert_string_equal(ctx->request.headers[0], "X-N: [1,2]");
    assert_memory_equal(ctx->request.body, "{\"a\":7}", 7);
}

static void what_is_checked_and_what_is_logged_may_be_made_by_programs(void **state)
{
    (void)state;
    begin(&validate_type, "{'value_expr':'$shared.customer + .','schema':{'required':['name','id']}}");
    assert_int_equal(fake_run(ctx, "input", "{'id':1}"), 0);
    fake_emitted(ctx, 0, "valid", "{'id':1}");
    assert_int_equal(fake_run(ctx, "input", "{}"), 0);
    fake_emitted(ctx, 0, "invalid",
                 "{'data':{},'error_count':1,'errors':[{'path':'','message':'lacks the property \"id\"'}]}");
    begin(&validate_type, "{'value_expr':'empty','schema':{}}");
    fake_fails(ctx, "input", "{}", FM_FAIL_INVALID_ARGUMENT,
               "value_expr: the jq program has put out nothing");
    begin(&validate_type, "{'value_expr':'.a.b.c','schema':{}}");
    fake_fails(ctx, "input", "{'a':1}", FM_FAIL_INVALID_ARGUMENT, "value_expr: the jq program: Cannot index");
    assert_true(ctx->permanent);
    begin(&log_type, "{'message_expr':'\"\\\\(.id) of \\\\($shared.customer.name)\"','data_expr':'.id'}");
    assert_int_equal(fake_run(ctx, "input", "{'id':7,'x':1}"), 0);
    assert_string_equal(ctx->logged.items[0].name, "7 of Ann");
    fake_is(ctx, ctx->logged.items[0].data, "{'value':7}");
    fake_emitted(ctx, 0, "output", "{'id':7,'x':1}");
    begin(&log_type, "{'message_expr':'{n: $shared.n}'}");
    assert_int_equal(fake_run(ctx, "input", "{'x':1}"), 0);
    assert_string_equal(ctx->logged.items[0].name, "{\"n\":3}");
    fake_is(ctx, ctx->logged.items[0].data, "{'x':1}");
    begin(&log_type, "{'data_expr':'.a.b'}");
    fake_fails(ctx, "input", "{'a':1}", FM_FAIL_INVALID_ARGUMENT, "data_expr: the jq program: Cannot index");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], JQ_WORKER_ARG) == 0)
        return jq_worker_main();
    const struct CMUnitTest tests[] = {
        TEST(each_output_of_a_map_is_an_event),
        TEST(a_filter_lets_data_pass_or_rejects_it),
        TEST(a_route_names_events),
        TEST(faults_are_for_good),
        TEST(programs_see_shared_data_and_their_own_state),
        TEST(what_is_checked_and_what_is_logged_may_be_made_by_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
