/* What becomes of replies that are odd: calls that cannot be run, ends that are none, errors in the
 * middle. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "llm_rig.h"

#define REPLY(message, reason)                                                                               \
    "{'choices':[{'index':0,'message':" message ",'finish_reason':" reason "}],"                             \
    "'usage':{'prompt_tokens':5,'completion_tokens':2}}"
#define CALL(id, args) "{'id':'" id "','type':'function','function':{'name':'look','arguments':" args "}}"
#define CALLS(list) "{'content':null,'tool_calls':[" list "]}"
#define EVENT(delta, reason) "data: {'choices':[{'delta':" delta ",'finish_reason':" reason "}]}\n\n"
#define DONE "data: [DONE]\n\n"

/* ---- arguments ---- */

static void arguments_may_come_as_an_object(void **state)
{
    (void)state;
    configure("openai", "");
    ask();
    answers(REPLY(CALLS(CALL("a", "{'x':'rm'}")), "'tool_calls'"));
    fake_emitted(ctx, 0, "tool_call", "{'call_id':'a','name':'look','arguments':{'x':'rm'}}");
    assert_int_equal(fake_run(ctx, "tool_result", "{'call_id':'a','result':'gone'}"), 0);
    fake_is(ctx, sent("messages[1].tool_calls[0].function.arguments"), "'{\"x\":\"rm\"}'");
    ctx->state = fm_map(ctx);
    configure("openai", ",'stream':true");
    ask();
    answers(EVENT("{'tool_calls':[{'index':0,'id':'a','function':{'name':'look','arguments':{'x':'rm'}}}]}",
                  "'tool_calls'") DONE);
    fake_emitted(ctx, 0, "tool_call", "{'call_id':'a','name':'look','arguments':{'x':'rm'}}");
}

static void arguments_that_were_written_twice_as_text_are_read(void **state)
{
    (void)state;
    configure("openai", "");
    ask();
    answers(REPLY(CALLS(CALL("a", "'\"{\\\\\"x\\\\\":1}\"'")), "'tool_calls'"));
    fake_emitted(ctx, 0, "tool_call", "{'call_id':'a','name':'look','arguments':{'x':1}}");
}

static void no_arguments_are_an_empty_object_and_others_are_refused(void **state)
{
    (void)state;
    static const char *const none[] = {"null", "''", "' '", "{}"};
    for (size_t i = 0; i < 4; i++) {
        char reply[400];
        (void)snprintf(reply, sizeof(reply), REPLY(CALLS(CALL("a", "%s")), "'tool_calls'"), none[i]);
        ctx->state = fm_map(ctx);
        configure("openai", "");
        ask();
        answers(reply);
        fake_emitted(ctx, 0, "tool_call", "{'call_id':'a','name':'look','arguments':{}}");
    }
    ctx->state = fm_map(ctx);
    configure("openai", "");
    ask();
    answers(REPLY(CALLS(CALL("a", "[1]")), "'tool_calls'"));
    assert_int_equal(ctx->emitted.n, 0);
    assert_string_equal(fake_text(ctx->state, "messages[2].content"),
                        "error: the arguments must be an object");
}

static void the_model_is_told_of_arguments_that_are_not_json(void **state)
{
    (void)state;
    configure("openai", "");
    ask();
    answers(REPLY(CALLS(CALL("a", "'{no'") "," CALL("b", "'{}'")), "'tool_calls'"));
    fake_emitted(ctx, 0, "tool_call", "{'call_id':'b','name':'look','arguments':{}}");
    assert_int_equal(ctx->emitted.n, 1);
    assert_int_equal(fake_run(ctx, "tool_result", "{'call_id':'b','result':1}"), 0);
    fake_is(ctx, sent("messages[1].tool_calls[0].function.arguments"), "'{}'");
    const char *told = fm_value_string(sent("messages[2].content"), "");
    if (strstr(told, "the arguments are not JSON, so the tool was not called") == NULL)
        fail_msg("the model is told: %s", told);
}

/* ---- replies that were cut off ---- */

static void was_not_run(const char *id)
{
    assert_int_equal(ctx->emitted.n, 0);
    assert_string_equal(fake_text(ctx->state, "messages[2].call_id"), id);
    if (strstr(fake_text(ctx->state, "messages[2].content"), "cut off") == NULL)
        fail_msg("the model is told: %s", fake_text(ctx->state, "messages[2].content"));
    assert_int_equal(ctx->enqueued.n, 1); /* the model is called again */
}

static void a_call_that_was_cut_off_is_not_run_and_the_model_is_told(void **state)
{
    (void)state;
    static const char *const reasons[] = {"'length'", "'LENGTH'", "'content_filter'"};
    for (size_t i = 0; i < 3; i++) {
        char reply[400];
        (void)snprintf(reply, sizeof(reply), REPLY(CALLS(CALL("a", "'{\"path\":\"/\"}'")), "%s"), reasons[i]);
        ctx->state = fm_map(ctx);
        configure("openai", "");
        ask();
        answers(reply);
        was_not_run("a");
    }
    static const char *const cut[] = {"max_tokens", "model_context_window_exceeded", "refusal"};
    for (size_t i = 0; i < 3; i++) {
        char reply[400];
        (void)snprintf(reply, sizeof(reply),
                       "{'content':[{'type':'tool_use','id':'t','name':'look','input':{'path':'/'}}],"
                       "'stop_reason':'%s','usage':{'input_tokens':1,'output_tokens':1}}",
                       cut[i]);
        ctx->state = fm_map(ctx);
        configure("anthropic", "");
        ask();
        answers(reply);
        was_not_run("t");
    }
    ctx->state = fm_map(ctx);
    configure("anthropic", ",'stream':true");
    ask();
    answers(
        "data: {'type':'content_block_start','index':0,'content_block':{'type':'tool_use','id':'t',"
        "'name':'look','input':{}}}\n\n"
        "data: {'type':'message_delta','delta':{'stop_reason':'max_tokens'},'usage':{'output_tokens':9}}\n\n"
        "data: {'type':'message_stop'}\n\n");
    was_not_run("t");
}

static void calls_that_were_complete_before_the_cut_are_run(void **state)
{
    (void)state;
    configure("openai", "");
    ask();
    answers(REPLY(CALLS(CALL("a", "'{}'") "," CALL("b", "'{}'")), "'length'"));
    assert_int_equal(ctx->emitted.n, 1);
    fake_emitted(ctx, 0, "tool_call", "{'call_id':'a','name':'look','arguments':{}}");
    ctx->state = fm_map(ctx);
    configure("anthropic", "");
    ask();
    answers(
        "{'content':[{'type':'tool_use','id':'t','name':'look','input':{}},{'type':'text','text':'And n'}],"
        "'stop_reason':'max_tokens','usage':{'input_tokens':1,'output_tokens':1}}");
    fake_emitted(ctx, 1, "tool_call", "{'call_id':'t','name':'look','arguments':{}}");
}

static void three_replies_in_a_row_whose_calls_cannot_be_run_end_the_agent(void **state)
{
    (void)state;
    configure("openai", "");
    ask();
    for (int i = 0; i < 2; i++) {
        answers(REPLY(CALLS(CALL("a", "'{\"x\":'")), "'length'"));
        assert_int_equal(fake_run(ctx, "continue", "{}"), 0);
    }
    fails_with(respond(REPLY(CALLS(CALL("a", "'{\"x\":'")), "'length'")), "config.max_tokens");
    assert_true(ctx->permanent);
    ctx->state = fm_map(ctx); /* one that can be run in between begins the count anew */
    ask();
    for (int i = 0; i < 4; i++) {
        answers(REPLY(CALLS(CALL("a", "'{\"x\":'")), "'length'"));
        assert_int_equal(fake_run(ctx, "continue", "{}"), 0);
        answers(REPLY(CALLS(CALL("b", "'{}'")), "'tool_calls'"));
        assert_int_equal(fake_run(ctx, "tool_result", "{'result':1}"), 0);
    }
}

/* ---- ends ---- */

static void ends_with(const char *stop_reason, const char *warning)
{
    size_t last = ctx->emitted.n - 1;
    assert_string_equal(ctx->emitted.items[last].name, "completed");
    const char *said = fm_value_string(fm_value_get(ctx->emitted.items[last].data, "stop_reason"), "");
    assert_string_equal(said, stop_reason);
    bool warned = false;
    for (size_t i = 0; i < ctx->logged.n; i++)
        warned = warned || strcmp(ctx->logged.items[i].name, warning) == 0;
    assert_int_equal(warned, warning[0] != '\0');
}

static void an_end_without_a_reason_or_with_an_unknown_one_is_told(void **state)
{
    (void)state;
    static const char none[] = "warning: the model's reply does not say why it ended: it may be cut off",
                      unknown[] = "warning: the model's reply ended for a reason that is not known here";
    static const struct {
        const char *given, *told, *warning;
    } ends[] = {
        {"'stop'",    "",        ""                                                        },
        {"'STOP'",    "",        ""                                                        },
        {"null",      "none",    none                                                      },
        {"''",        "none",    none                                                      },
        {"'strange'", "strange", unknown                                                   },
        {"'length'",  "length",  "warning: the model's reply was cut off"                  },
        {"'safety'",  "safety",  "warning: the provider withheld part of the model's reply"},
    };
    for (size_t i = 0; i < 2 * sizeof(ends) / sizeof(ends[0]); i++) {
        char reply[500];
        bool streams = i % 2 == 1;
        (void)snprintf(reply, sizeof(reply),
                       streams ? EVENT("{'content':'Half a'}", "%s") DONE
                               : REPLY("{'content':'Half a'}", "%s"),
                       ends[i / 2].given);
        ctx->state = fm_map(ctx);
        configure("openai", streams ? ",'stream':true" : "");
        ask();
        answers(reply);
        ends_with(ends[i / 2].told, ends[i / 2].warning);
    }
    ctx->state = fm_map(ctx);
    configure("anthropic", "");
    ask();
    answers("{'content':[{'type':'text','text':'Half a'}],'stop_reason':null}");
    ends_with("none", none);
}

static void a_call_without_arguments_in_a_stream_without_an_end_is_not_run(void **state)
{
    (void)state;
    configure("openai", ",'stream':true");
    ask();
    answers(EVENT("{'tool_calls':[{'index':0,'id':'a','function':{'name':'look','arguments':'{}'}}]}", "null")
                EVENT("{'tool_calls':[{'index':1,'id':'b','function':{'name':'look','arguments':''}}]}",
                      "null") DONE);
    assert_int_equal(ctx->emitted.n, 1);
    fake_emitted(ctx, 0, "tool_call", "{'call_id':'a','name':'look','arguments':{}}");
    assert_string_equal(fake_text(ctx->state, "messages[2].content"),
                        "error: your reply broke off before the arguments, so the tool was not called");
}

static void a_reply_that_failed_on_its_way_is_tried_again(void **state)
{
    (void)state;
    static const char *const reasons[] = {"'error'", "'abort'", "'insufficient_system_resource'"};
    for (size_t i = 0; i < 3; i++) {
        char reply[400];
        (void)snprintf(reply, sizeof(reply), REPLY("{'content':'Half a'}", "%s"), reasons[i]);
        configure("openai", "");
        ask();
        fails_with(respond(reply), "ended with the reason");
        assert_int_equal(ctx->fail_code, FM_FAIL_UNAVAILABLE);
        assert_false(ctx->permanent);
    }
    configure("openai", "");
    ask();
    fails_with(respond(REPLY("{'content':'I will look.'}", "'tool_calls'")), "has no call");
    ask();
    fails_with(respond(REPLY("{'content':null}", "null")), "it is empty");
    configure("anthropic", "");
    ask();
    fails_with(respond("{'content':[],'stop_reason':'tool_use'}"), "has no call");
}

static void an_empty_reply_is_told(void **state)
{
    (void)state;
    configure("openai", "");
    ask();
    answers(REPLY("{'content':''}", "'stop'"));
    ends_with("", "warning: the model said nothing");
}

/* ---- errors in the middle ---- */

static void an_error_in_a_stream_is_no_success_however_it_is_written(void **state)
{
    (void)state;
    static const struct {
        const char *event, *says;
    } errors[] = {
        {"data: {'error':{'message':'no room'}}\n\n",                          "no room"},
        {"data: {'error':'no room'}\n\n",                                      "no room"},
        {"data: {'error':{'code':500}}\n\n",                                   "500"    },
        {"data: {'object':'error','message':'no room'}\n\n",                   "no room"},
        {"data: {'type':'error','message':'no room'}\n\n",                     "no room"},
        {"data: {'choices':[{'delta':{},'error':{'message':'no room'}}]}\n\n", "no room"},
        {"event: error\ndata: {'message':'no room'}\n\n",                      "no room"},
        {"event: error\ndata: no room\n\n",                                    "no room"},
        {"event: error\ndata: {}\n\n",                                         "{}"     },
    };
    static const char *const providers[] = {"openai", "anthropic"};
    for (size_t i = 0; i < 2 * sizeof(errors) / sizeof(errors[0]); i++) {
        char reply[600];
        (void)snprintf(reply, sizeof(reply), "%s%s" DONE,
                       i % 2 == 0 ? EVENT("{'content':'Half a'}", "null") : "", errors[i / 2].event);
        configure(providers[i % 2], ",'stream':true");
        ask();
        fails_with(respond(reply), errors[i / 2].says);
        assert_int_equal(ctx->fail_code, FM_FAIL_UNAVAILABLE);
        assert_false(ctx->permanent);
    }
    configure("openai", "");
    ask();
    fails_with(respond("{'error':'no such model'}"), "no such model");
    ask();
    answers("{'error':null,'choices':[{'message':{'content':'a'},'finish_reason':'stop'}]}");
}

static void an_error_that_no_other_attempt_can_mend_is_final(void **state)
{
    (void)state;
    static const char *const errors[] = {"'type':'invalid_request_error'",
                                         "'code':'context_length_exceeded'",
                                         "'code':400",
                                         "'type':'insufficient_quota'",
                                         "'status':'INVALID_ARGUMENT'",
                                         "'type':'authentication_error'"};
    static const char *const others[] = {"'type':'overloaded_error'", "'code':429", "'code':503",
                                         "'code':'x'"};
    for (size_t i = 0; i < 10; i++) {
        char reply[300];
        (void)snprintf(reply, sizeof(reply), "data: {'type':'error','error':{%s,'message':'no'}}\n\n",
                       i < 6 ? errors[i] : others[i - 6]);
        configure("anthropic", ",'stream':true");
        ask();
        fails_with(respond(reply), "no");
        assert_int_equal(ctx->permanent, i < 6);
    }
}

static void statuses_say_whether_another_attempt_can_help(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *headers, *body;
        bool permanent;
    } all[] = {
        {409, "",                        "{}",                                            false},
        {429, "",                        "{}",                                            false},
        {429, "",                        "{\"error\":{\"code\":\"insufficient_quota\"}}", true },
        {500, "",                        "{}",                                            false},
        {500, "x-should-retry: false\n", "{}",                                            true },
        {400, "x-should-retry: true\n",  "{}",                                            false},
        {400, "",                        "{}",                                            true },
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        configure("openai", "");
        ask();
        const struct fm_http_response r = {.status = all[i].status,
                                           .error = "",
                                           .headers = all[i].headers,
                                           .body = all[i].body,
                                           .body_bytes = strlen(all[i].body)};
        assert_int_equal(fake_respond(ctx, &r), -1);
        assert_int_equal(ctx->permanent, all[i].permanent);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_init, rig_done)
    const struct CMUnitTest tests[] = {
        TEST(arguments_may_come_as_an_object),
        TEST(arguments_that_were_written_twice_as_text_are_read),
        TEST(no_arguments_are_an_empty_object_and_others_are_refused),
        TEST(the_model_is_told_of_arguments_that_are_not_json),
        TEST(a_call_that_was_cut_off_is_not_run_and_the_model_is_told),
        TEST(calls_that_were_complete_before_the_cut_are_run),
        TEST(three_replies_in_a_row_whose_calls_cannot_be_run_end_the_agent),
        TEST(an_end_without_a_reason_or_with_an_unknown_one_is_told),
        TEST(a_call_without_arguments_in_a_stream_without_an_end_is_not_run),
        TEST(a_reply_that_failed_on_its_way_is_tried_again),
        TEST(an_empty_reply_is_told),
        TEST(an_error_in_a_stream_is_no_success_however_it_is_written),
        TEST(an_error_that_no_other_attempt_can_mend_is_final),
        TEST(statuses_say_whether_another_attempt_can_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
