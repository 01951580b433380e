/* Limits of tokens and money hold: what a reply may have is said, requests are estimated whole, and what a
 * server does not count is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "llm_rig.h"
#include "mem.h"
#include "prices.h"

static double cap(const char *key)
{
    return fm_value_number(sent(key), 0);
}

static void starts(const char *provider, const char *more)
{
    ctx->state = fm_map(ctx);
    configure(provider, more);
    ask();
}

/* ---- the cap ---- */

static void a_limit_of_tokens_bounds_the_reply(void **state)
{
    (void)state;
#define LOCAL ",'base_url':'http://x/v1'"
    starts("openai", LOCAL ",'limits':{'max_tokens':3000}");
    assert_true(cap("max_tokens") > 2000 && cap("max_tokens") < 3000); /* what the request leaves */
    assert_null(sent("max_completion_tokens"));
    starts("openai", LOCAL ",'limits':{'max_tokens':1000000}");
    assert_int_equal(cap("max_tokens"), 4096);
    starts("openai", ",'limits':{'max_tokens':1000000}"); /* OpenAI's own server */
    assert_int_equal(cap("max_completion_tokens"), 4096);
    assert_null(sent("max_tokens"));
    starts("openai", LOCAL ",'limits':{'max_tokens':1000000},'model':'gpt-5-mini'");
    assert_int_equal(cap("max_completion_tokens"), 32768);
    starts("openai", LOCAL ",'limits':{'max_turns':3}");
    assert_null(sent("max_tokens"));
    starts("openai", LOCAL);
    assert_null(sent("max_tokens"));
    starts("anthropic", ",'limits':{'max_tokens':1000000}");
    assert_int_equal(cap("max_tokens"), 1024);
}

static void a_limit_of_cost_bounds_the_reply(void **state)
{
    (void)state;
    char file[] = "/tmp/test_llm_budgets.XXXXXX";
    static const char prices[] = "{\"openai/m\": {\"input\": 0, \"output\": 1000}}";
    fm_auto(fm_err) err = {0};
    int fd = mkstemp(file);
    assert_int_equal(write(fd, prices, strlen(prices)), (ssize_t)strlen(prices));
    (void)close(fd);
    assert_int_equal(prices_read(file, &err), 0);
    (void)unlink(file);
    starts("openai", LOCAL ",'limits':{'max_cost':2}"); /* a token is 0.001 */
    assert_int_equal(cap("max_tokens"), 2000);
    starts("openai", LOCAL ",'limits':{'max_cost':2000}");
    assert_int_equal(cap("max_tokens"), 4096);
    prices_free();
}

static void a_cap_of_the_configuration_is_kept_and_counts(void **state)
{
    (void)state;
    static const char *const caps[] = {"'max_tokens':100000", "'max_completion_tokens':100000",
                                       "'params':{'max_tokens':100000}",
                                       "'params':{'max_completion_tokens':100000}"};
    for (size_t i = 0; i < 4; i++) {
        char more[200];
        (void)snprintf(more, sizeof(more), ",%s,'limits':{'max_tokens':2000}", caps[i]);
        ctx->state = fm_map(ctx);
        configure("openai", more);
        ctx->n_pauses = 0;
        ctx->request.url = NULL;
        assert_int_equal(fake_run(ctx, "trigger", "{'task':'Go.'}"), 0);
        assert_null(ctx->request.url);
        assert_int_equal(ctx->n_pauses, 1);
        (void)snprintf(more, sizeof(more), ",%s,'limits':{'max_tokens':200000}", caps[i]);
        starts("openai", more);
        assert_int_equal(cap("max_tokens") + cap("max_completion_tokens"), 100000);
    }
}

/* ---- the request ---- */

static void tools_and_all_else_of_a_request_are_estimated(void **state)
{
    (void)state;
    char description[9000];
    memset(description, 'D', sizeof(description));
    description[8000] = '\0'; /* about 2,000 tokens */
    static const char *const where[][2] = {
        {"'response_format':{'type':'json_schema','x':'", "'}" },
        {"'params':{'x':'",                               "'}" },
        {"'tools':[{'name':'t','description':'",          "'}]"},
    };
    for (size_t i = 0; i < 3; i++) {
        for (int enough = 0; enough < 2; enough++) {
            char config[12000];
            (void)snprintf(
                config, sizeof(config),
                "{'provider':'openai','model':'m','max_tokens':10,%s%s%s,'limits':{'max_tokens':%d}}",
                where[i][0], description, where[i][1], enough ? 3000 : 1500);
            ctx->config = fake_json(ctx, config);
            ctx->state = fm_map(ctx);
            ctx->n_pauses = 0;
            assert_int_equal(fake_run(ctx, "trigger", "{'task':'Go.'}"), 0);
            assert_int_equal(ctx->n_pauses, enough ? 0 : 1);
        }
    }
}

/* ---- what is not counted ---- */

static double counted(void)
{
    return fm_value_number(fm_value_get(ctx->state, "tokens"), 0);
}

static bool is_marked(void)
{
    for (size_t i = 0; i < ctx->logged.n; i++)
        if (strcmp(ctx->logged.items[i].name, "model call") == 0)
            return fm_value_bool(fm_value_get(ctx->logged.items[i].data, "estimated"), false);
    return false;
}

#define LONG "A reply of forty bytes, give or take one"
#define LIMITED ",'limits':{'max_tokens':100000}"

static void a_reply_without_usage_is_estimated_and_marked(void **state)
{
    (void)state;
    static const char *const usages[] = {"", ",'usage':null", ",'usage':{}",
                                         ",'usage':{'prompt_tokens':0,'completion_tokens':0}"};
    for (size_t i = 0; i < 4; i++) {
        char reply[300];
        (void)snprintf(reply, sizeof(reply),
                       "{'choices':[{'message':{'content':'" LONG "'},'finish_reason':'stop'}]%s}",
                       usages[i]);
        starts("openai", LIMITED);
        double request = (double)ctx->request.body_bytes / 4;
        answers(reply);
        assert_true(counted() >= request + 9 && counted() <= request + 20);
        assert_true(is_marked());
    }
    starts("openai", LIMITED ",'stream':true");
    double request = (double)ctx->request.body_bytes / 4;
    answers("data: {'choices':[{'delta':{'content':'" LONG
            "'},'finish_reason':'stop'}]}\n\ndata: [DONE]\n\n");
    assert_true(counted() >= request + 9 && counted() <= request + 20);
    starts("openai", LIMITED);
    answers("{'choices':[{'message':{'content':'" LONG "'},'finish_reason':'stop'}],"
            "'usage':{'prompt_tokens':7,'completion_tokens':3}}");
    assert_int_equal(counted(), 10);
    assert_false(is_marked());
}

static void calls_without_usage_use_the_limit_up(void **state)
{
    (void)state;
    starts("openai", ",'max_tokens':50,'limits':{'max_tokens':3000}");
    int calls = 0;
    ctx->n_pauses = 0;
    while (ctx->n_pauses == 0 && calls < 60) {
        calls++;
        answers(
            "{'choices':[{'message':{'tool_calls':[{'id':'','function':{'name':'look','arguments':'{}'}}]},"
            "'finish_reason':'tool_calls'}]}");
        assert_int_equal(fake_run(ctx, "tool_result", "{'result':1}"), 0);
    }
    assert_in_range(calls, 3, 30);
}

static void a_reply_that_cannot_be_read_is_counted(void **state)
{
    (void)state;
    static const char *const bad[] = {"{'choices':[{'message':{'content':'" LONG, "<html>" LONG "</html>",
                                      "{'choices':[]}"};
    for (size_t i = 0; i < 3; i++) {
        starts("openai", LIMITED);
        double request = (double)ctx->request.body_bytes / 4;
        assert_int_equal(respond_as("content-type: application/json\n", bad[i]), -1);
        assert_true(counted() >= request);
    }
    starts("openai", LIMITED ",'stream':true"); /* it breaks off */
    double request = (double)ctx->request.body_bytes / 4;
    assert_int_equal(respond("data: {'choices':[{'delta':{'content':'" LONG "'}}]}\n\n"), -1);
    assert_true(counted() >= request + 9);
    const struct fm_http_response busy = {
        .status = 503, .error = "", .headers = "", .body = "{}", .body_bytes = 2};
    starts("openai", LIMITED);
    assert_int_equal(fake_respond(ctx, &busy), -1);
    assert_int_equal(counted(), 0); /* that is no reply */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_init, rig_done)
    const struct CMUnitTest tests[] = {
        TEST(a_limit_of_tokens_bounds_the_reply),
        TEST(a_limit_of_cost_bounds_the_reply),
        TEST(a_cap_of_the_configuration_is_kept_and_counts),
        TEST(tools_and_all_else_of_a_request_are_estimated),
        TEST(a_reply_without_usage_is_estimated_and_marked),
        TEST(calls_without_usage_use_the_limit_up),
        TEST(a_reply_that_cannot_be_read_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
