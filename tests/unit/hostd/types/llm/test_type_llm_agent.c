/* The routine type llm_agent with its mock provider. */
#include <string.h>

#include <cmocka.h>

#include "agent.h"
#include "fake_json.h"
#include "json_text.h"
#include "mem.h"
#include "provider.h"

static struct fm_ctx fake, *ctx = &fake;

static int setup(void **state)
{
    (void)state;
    fake_init(ctx, &llm_agent_type);
    ctx->config = fake_data(ctx, "provider", "mock");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_done(ctx);
    return 0;
}

static void configure(const char *key, const struct fm_value *v)
{
    struct fm_value *config = fm_map_copy(ctx, ctx->config);
    fm_map_set(ctx, config, key, v);
    ctx->config = config;
}

/* Appends an item to the script. */
static struct fm_value *script(const char *key, const char *text)
{
    const struct fm_value *old = fm_value_get(ctx->config, "script");
    struct fm_value *list = fm_list(ctx), *item = fake_data(ctx, key, text);
    for (size_t i = 0; i < fm_value_size(old); i++)
        fm_list_add(ctx, list, fm_value_at(old, i));
    fm_list_add(ctx, list, item);
    configure("script", list);
    return item;
}

static int trigger(void)
{
    return fake_step(ctx, "trigger", "", fake_data(ctx, "task", "Plan a trip"));
}

static int answer(const char *text)
{
    return fake_step(ctx, "user_input", ctx->pauses[0].id, fake_data(ctx, "answer", text));
}

static void the_agent_asks_and_its_conversation_stays_in_the_state(void **state)
{
    (void)state;
    assert_int_equal(trigger(), 0);
    assert_int_equal(ctx->n_pauses, 1);
    const struct fake_pause *p = &ctx->pauses[0];
    assert_non_null(strstr(p->question, "Plan a trip"));
    assert_string_equal(p->slot, "user_input");
    assert_string_equal(fake_text(p->data, "task"), "Plan a trip");
    assert_int_equal(ctx->emitted.n, 0);
    assert_int_equal(ctx->deferred.n, 1);
    assert_string_equal(ctx->deferred.items[0].name, "question");
    assert_string_equal(fake_text(ctx->deferred.items[0].data, "question"), p->question);
    assert_int_equal(fm_value_size(fm_value_get(ctx->state, "messages")), 2);
    assert_string_equal(fake_text(ctx->state, "messages[0].role"), "user");
    assert_string_equal(fake_text(ctx->state, "messages[0].content"), "Plan a trip");
    assert_string_equal(fake_text(ctx->state, "messages[1].role"), "assistant");
    assert_string_equal(fake_text(ctx->state, "messages[1].content"), p->question);
    assert_string_equal(fake_text(ctx->shared, "me.status"), "asked");
    assert_string_equal(fake_text(ctx->shared, "me.task"), "Plan a trip");
}

static void the_answer_leads_to_an_output_that_knows_task_and_answer(void **state)
{
    (void)state;
    assert_int_equal(trigger(), 0);
    assert_int_equal(answer("Kyoto, five days"), 0);
    assert_int_equal(ctx->n_pauses, 0);
    assert_int_equal(ctx->emitted.n, 2);
    assert_string_equal(ctx->emitted.items[0].name, "output");
    const char *text = fake_text(ctx->emitted.items[0].data, "text");
    assert_non_null(strstr(text, "Plan a trip"));
    assert_non_null(strstr(text, "Kyoto, five days"));
    assert_string_equal(ctx->emitted.items[1].name, "completed");
    assert_string_equal(fake_text(ctx->emitted.items[1].data, "text"), text);
    assert_true(fm_value_number(fm_value_get(ctx->emitted.items[1].data, "calls"), 0) == 2);
    assert_int_equal(fm_value_size(fm_value_get(ctx->state, "messages")), 4);
    assert_string_equal(fake_text(ctx->state, "messages[2].content"), "Kyoto, five days");
    assert_string_equal(fake_text(ctx->shared, "me.status"), "completed");
    assert_string_equal(fake_text(ctx->shared, "me.text"), text);
}

static void each_model_call_is_logged_and_counted(void **state)
{
    (void)state;
    assert_int_equal(trigger(), 0);
    assert_int_equal(ctx->logged.n, 1);
    assert_string_equal(ctx->logged.items[0].name, "model call");
    assert_string_equal(fake_text(ctx->logged.items[0].data, "provider"), "mock");
    assert_int_equal(ctx->calls, 1);
    assert_int_equal(ctx->input_tokens, 3); /* "Plan a trip" */
    assert_int_equal(ctx->output_tokens, (strlen(ctx->pauses[0].question) + 3) / 4);
    assert_int_equal(answer("x"), 0);
    assert_int_equal(ctx->logged.n, 1);
    assert_int_equal(ctx->calls, 2);
}

static void an_agent_told_not_to_ask_completes_at_once(void **state)
{
    (void)state;
    configure("ask", fm_bool(ctx, false));
    assert_int_equal(trigger(), 0);
    assert_int_equal(ctx->n_pauses, 0);
    assert_int_equal(ctx->deferred.n, 0);
    assert_int_equal(ctx->emitted.n, 2);
    assert_string_equal(ctx->emitted.items[1].name, "completed");
}

static void a_delay_is_waited_for_without_blocking(void **state)
{
    (void)state;
    configure("delay_ms", fm_number(ctx, 50));
    assert_int_equal(llm_agent_type.slots[0].handler(ctx, fake_data(ctx, "task", "t")), 0);
    assert_int_equal(ctx->delay_ms, 50);
    assert_int_equal(ctx->n_pauses, 0);
    assert_int_equal(ctx->later(ctx, ctx->later_arg), 0);
    assert_int_equal(ctx->n_pauses, 1);
}

static void a_delay_has_a_longest(void **state)
{
    (void)state;
    configure("delay_ms", fm_number(ctx, 1e15));
    assert_int_equal(llm_agent_type.slots[0].handler(ctx, fake_data(ctx, "task", "t")), 0);
    assert_int_equal(ctx->delay_ms, 3600000);
}

static void a_script_is_one_item_a_call(void **state)
{
    (void)state;
    struct fm_value *choices = fm_list(ctx);
    fm_list_add(ctx, choices, fm_string(ctx, "yes"));
    (void)script("say", "Looking.");
    fm_map_set(ctx, script("ask", "Shall I?"), "choices", choices);
    (void)script("say", "There.");
    assert_int_equal(trigger(), 0);
    assert_int_equal(ctx->emitted.n, 1);
    assert_string_equal(fake_text(ctx->emitted.items[0].data, "text"), "Looking.");
    assert_int_equal(ctx->enqueued.n, 1);
    assert_string_equal(ctx->enqueued.items[0].name, "continue");
    assert_string_equal(fake_text(ctx->shared, "me.status"), "working");
    assert_int_equal(fake_step(ctx, "continue", "", fm_map(ctx)), 0);
    assert_int_equal(ctx->n_pauses, 1);
    assert_string_equal(ctx->pauses[0].question, "Shall I?");
    assert_int_equal(fm_value_size(ctx->pauses[0].choices), 1);
    assert_int_equal(answer("yes"), 0);
    assert_int_equal(ctx->enqueued.n, 0);
    assert_int_equal(ctx->emitted.n, 2);
    assert_string_equal(fake_text(ctx->emitted.items[1].data, "text"), "There.");
}

static void a_script_that_ends_with_a_question_completes_after_the_answer(void **state)
{
    (void)state;
    (void)script("ask", "Where to?");
    assert_int_equal(trigger(), 0);
    assert_string_equal(ctx->pauses[0].question, "Where to?");
    assert_int_equal(answer("Nara"), 0);
    assert_int_equal(ctx->emitted.n, 2);
    assert_non_null(strstr(fake_text(ctx->emitted.items[0].data, "text"), "Nara"));
}

static void a_failed_call_fails_the_step_with_its_reason(void **state)
{
    (void)state;
    (void)script("fail", "overloaded");
    assert_int_equal(trigger(), -1);
    assert_int_equal(ctx->fail_code, FM_FAIL_UNAVAILABLE);
    assert_non_null(strstr(ctx->failure, "overloaded"));
}

static void an_item_without_meaning_fails_the_step(void **state)
{
    (void)state;
    (void)script("sing", "la");
    assert_int_equal(trigger(), -1);
    assert_non_null(strstr(ctx->failure, "say, ask, fail"));
}

static void an_unknown_provider_fails_the_step_and_is_named(void **state)
{
    (void)state;
    configure("provider", fm_string(ctx, "oracle"));
    assert_int_equal(trigger(), -1);
    assert_int_equal(ctx->fail_code, FM_FAIL_INVALID_ARGUMENT);
    assert_non_null(strstr(ctx->failure, "oracle"));
}

static void a_system_text_stands_before_the_first_message_only(void **state)
{
    (void)state;
    configure("system", fm_string(ctx, "Be brief."));
    configure("ask", fm_bool(ctx, false));
    assert_int_equal(trigger(), 0);
    assert_int_equal(trigger(), 0);
    assert_int_equal(fm_value_size(fm_value_get(ctx->state, "messages")), 5);
    assert_string_equal(fake_text(ctx->state, "messages[0].role"), "system");
    assert_string_equal(fake_text(ctx->state, "messages[3].role"), "user");
}

static void data_without_a_task_is_the_task(void **state)
{
    (void)state;
    assert_int_equal(fake_step(ctx, "trigger", "", fake_data(ctx, "city", "Kyoto")), 0);
    assert_string_equal(fake_text(ctx->state, "task.city"), "Kyoto");
    assert_string_equal(fake_text(ctx->state, "messages[0].content.city"), "Kyoto");
    assert_int_equal(ctx->n_pauses, 1);
}

/* An item of the script that calls a tool, twice with `many`. */
static void script_calls(const char *name, bool many)
{
    struct fm_value *item = script("x", ""), *call = fake_data(ctx, "name", name), *list = fm_list(ctx);
    fm_list_add(ctx, list, call);
    if (many)
        fm_list_add(ctx, list, call);
    fm_map_set(ctx, item, "tools", list);
}

static void configure_tool(const char *name, const char *approval)
{
    struct fm_value *tools = fm_list(ctx), *tool = fake_data(ctx, "name", name);
    fm_map_set(ctx, tool, "approval", fm_string(ctx, approval));
    fm_list_add(ctx, tools, tool);
    configure("tools", tools);
}

static const char *role(size_t i)
{
    return fake_text(fm_value_at(fm_value_get(ctx->state, "messages"), i), "role");
}

static const char *content(size_t i)
{
    return fake_text(fm_value_at(fm_value_get(ctx->state, "messages"), i), "content");
}

static int result(const char *call_id, const char *text)
{
    struct fm_value *data = fake_data(ctx, "result", text);
    if (call_id != NULL)
        fm_map_set(ctx, data, "call_id", fm_string(ctx, call_id));
    return fake_step(ctx, "tool_result", "", data);
}

static void a_result_without_an_id_is_that_of_the_only_call_that_waits(void **state)
{
    (void)state;
    configure_tool("look", "");
    script_calls("look", false);
    (void)script("say", "Found.");
    assert_int_equal(trigger(), 0);
    assert_int_equal(result(NULL, "42"), 0);
    assert_string_equal(role(2), "tool");
    assert_string_equal(content(2), "42");
    assert_string_equal(fake_text(ctx->emitted.items[1].data, "text"), "Found.");
}

static void a_result_of_no_call_leaves_the_conversation_as_it_is(void **state)
{
    (void)state;
    configure_tool("look", "");
    script_calls("look", true);
    assert_int_equal(trigger(), 0);
    assert_int_equal(result(NULL, "of which?"), 0);
    assert_int_equal(result("nobody", "x"), 0);
    assert_int_equal(ctx->logged.n, 1);
    assert_int_equal(fm_value_size(fm_value_get(ctx->state, "messages")), 2);
    assert_int_equal(fm_value_size(fm_value_get(ctx->state, "waiting")), 2);
    assert_int_equal(result("call_1_0", "a"), 0);
    assert_int_equal(result("call_1_1", "b"), 0);
    assert_int_equal(result("call_1_1", "again"), 0);
    assert_int_equal(ctx->logged.n, 1);
    assert_int_equal(fm_value_size(fm_value_get(ctx->state, "waiting")), 0);
}

static void input_while_tools_are_at_work_comes_after_their_results(void **state)
{
    (void)state;
    configure_tool("look", "");
    script_calls("look", true);
    (void)script("say", "Done.");
    assert_int_equal(trigger(), 0);
    assert_int_equal(fake_step(ctx, "user_input", "", fake_data(ctx, "answer", "hurry")), 0);
    assert_int_equal(result("call_1_1", "second"), 0);
    assert_int_equal(fake_step(ctx, "trigger", "", fake_data(ctx, "task", "Another task")), 0);
    assert_int_equal(ctx->calls, 1); /* the model was not called for them */
    assert_string_equal(fake_text(ctx->state, "task"), "Plan a trip");
    assert_int_equal(result("call_1_0", "first"), 0);
    assert_int_equal(ctx->calls, 2);
    static const char *const roles[] = {"user", "assistant", "tool", "tool", "user", "user", "assistant"};
    assert_int_equal(fm_value_size(fm_value_get(ctx->state, "messages")), 7);
    for (size_t i = 0; i < 7; i++)
        assert_string_equal(role(i), roles[i]);
    assert_string_equal(content(4), "hurry");
    assert_string_equal(content(5), "Another task");
    assert_string_equal(fake_text(ctx->state, "task"), "Another task");
    assert_null(fm_value_get(ctx->state, "held"));
}

static void input_while_an_approval_is_open_comes_after_the_result(void **state)
{
    (void)state;
    static const char *const answers[] = {"approve", "deny"};
    configure_tool("look", "required");
    script_calls("look", false);
    (void)script("say", "Done.");
    const struct fm_value *script_of_both = ctx->config;
    for (size_t i = 0; i < 2; i++) {
        ctx->config = script_of_both;
        ctx->state = fm_map(ctx);
        assert_int_equal(trigger(), 0);
        const char *pause = fm_value_string(fm_string(ctx, ctx->pauses[0].id), "");
        assert_int_equal(fake_step(ctx, "user_input", "", fake_data(ctx, "answer", "hurry")), 0);
        assert_int_equal(fake_step(ctx, "user_input", pause, fake_data(ctx, "answer", answers[i])), 0);
        if (i == 0)
            assert_int_equal(result("call_1_0", "found"), 0);
        assert_string_equal(role(2), "tool");
        assert_string_equal(content(3), "hurry");
        assert_int_equal(fm_value_size(fm_value_get(ctx->state, "messages")), 5);
    }
}

static void text_at_user_input_is_what_the_user_says(void **state)
{
    (void)state;
    configure("ask", fm_bool(ctx, false));
    assert_int_equal(fake_step(ctx, "user_input", "", fake_data(ctx, "text", "Hello.")), 0);
    assert_string_equal(role(0), "user");
    assert_string_equal(content(0), "Hello.");
}

static void a_result_of_a_call_that_waits_for_a_person_is_ignored_and_logged(void **state)
{
    (void)state;
    configure_tool("look", "required");
    script_calls("look", false);
    (void)script("say", "Done.");
    assert_int_equal(trigger(), 0);
    assert_string_equal(fake_text(ctx->pauses[0].data, "call_id"), "call_1_0");
    const char *pause = fm_value_string(fm_string(ctx, ctx->pauses[0].id), "");
    assert_int_equal(result("call_1_0", "forged"), 0);
    assert_int_equal(ctx->calls, 1);
    assert_int_equal(ctx->logged.n, 1);
    assert_string_equal(fake_text(ctx->logged.items[0].data, "call_id"), "call_1_0");
    assert_int_equal(fm_value_size(fm_value_get(ctx->state, "messages")), 2);
    assert_int_equal(fake_step(ctx, "user_input", pause, fake_data(ctx, "answer", "deny")), 0);
    assert_string_equal(content(2), "error: a person denied this call");
    assert_int_equal(result("call_1_0", "forged"), 0);
    assert_int_equal(fm_value_size(fm_value_get(ctx->state, "messages")), 4);
}

static void input_while_a_budget_is_asked_for_asks_no_second_time(void **state)
{
    (void)state;
    struct fm_value *limits = fm_map(ctx), *raise = fm_map(ctx), *more = fm_map(ctx);
    configure("ask", fm_bool(ctx, false));
    fm_map_set(ctx, limits, "max_tokens", fm_number(ctx, 1));
    configure("limits", limits);
    assert_int_equal(trigger(), 0);
    assert_int_equal(ctx->n_pauses, 1);
    const char *pause = fm_value_string(fm_string(ctx, ctx->pauses[0].id), "");
    assert_int_equal(fake_step(ctx, "user_input", "", fake_data(ctx, "answer", "one")), 0);
    assert_int_equal(ctx->n_pauses, 0);
    assert_int_equal(fake_step(ctx, "user_input", "", fake_data(ctx, "answer", "two")), 0);
    assert_int_equal(ctx->n_pauses, 0);
    assert_int_equal(ctx->calls, 0);
    fm_map_set(ctx, more, "max_tokens", fm_number(ctx, 10000));
    fm_map_set(ctx, raise, "answer", more);
    assert_int_equal(fake_step(ctx, "user_input", pause, raise), 0);
    assert_int_equal(ctx->calls, 1);
    assert_string_equal(content(1), "one");
    assert_string_equal(content(2), "two");
    assert_string_equal(role(3), "assistant");
}

static void input_before_the_agent_goes_on_makes_one_call_not_two(void **state)
{
    (void)state;
    script_calls("nothing", false); /* answered at once: there is no such tool */
    (void)script("say", "Done.");
    assert_int_equal(trigger(), 0);
    const struct fm_value *data = ctx->enqueued.items[0].data;
    assert_int_equal(fake_step(ctx, "user_input", "", fake_data(ctx, "answer", "hurry")), 0);
    assert_int_equal(ctx->calls, 2);
    assert_int_equal(fake_step(ctx, "continue", "", data), 0);
    assert_int_equal(ctx->calls, 2);
}

static void a_model_without_a_price_is_held_to_the_other_limits_or_not_called(void **state)
{
    (void)state;
    struct fm_value *limits = fm_map(ctx), *both = fm_map(ctx);
    configure("ask", fm_bool(ctx, false));
    fm_map_set(ctx, limits, "max_cost", fm_number(ctx, 1));
    configure("limits", limits);
    assert_int_equal(trigger(), -1);
    assert_int_equal(ctx->fail_code, FM_FAIL_FAILED_PRECONDITION);
    assert_true(ctx->permanent);
    assert_non_null(strstr(ctx->failure, "max_turns"));
    fm_map_set(ctx, both, "max_cost", fm_number(ctx, 1));
    fm_map_set(ctx, both, "max_turns", fm_number(ctx, 2));
    configure("limits", both);
    ctx->state = fm_map(ctx);
    assert_int_equal(trigger(), 0);
    assert_int_equal(ctx->calls, 1);
    assert_int_equal(ctx->logged.n, 2);
    assert_non_null(strstr(ctx->logged.items[0].name, "limits.max_cost is not checked"));
    assert_int_equal(trigger(), 0);
    assert_int_equal(ctx->logged.n, 1); /* said once */
    assert_int_equal(trigger(), 0);
    assert_int_equal(ctx->calls, 2);
}

static void a_provider_that_is_none_fails_for_good(void **state)
{
    (void)state;
    configure("provider", fm_string(ctx, "oracle"));
    assert_int_equal(trigger(), -1);
    assert_int_equal(ctx->fail_code, FM_FAIL_INVALID_ARGUMENT);
    assert_non_null(
        strstr(ctx->failure, "config.provider is \"oracle\"; this host has: mock, openai, anthropic"));
    assert_true(ctx->permanent);
}

/* The provider fails so often with this error, and then answers. */
static void fails_so_often(double status, double times, double after_ms)
{
    struct fm_value *error = fm_map(ctx), *item = fm_map(ctx), *list = fm_list(ctx);
    fm_map_set(ctx, error, "code", fm_number(ctx, status));
    fm_map_set(ctx, error, "times", fm_number(ctx, times));
    fm_map_set(ctx, error, "retry_after_ms", fm_number(ctx, after_ms));
    fm_map_set(ctx, item, "error", error);
    fm_map_set(ctx, item, "text", fm_string(ctx, "There."));
    fm_list_add(ctx, list, item);
    configure("script", list);
    ctx->permanent = false;
    ctx->retry_after_ms = 0;
    assert_int_equal(trigger(), -1);
}

static void the_mock_provider_fails_as_its_script_says(void **state)
{
    (void)state;
    fails_so_often(503, 1, 0);
    assert_int_equal(ctx->fail_code, FM_FAIL_UNAVAILABLE);
    assert_false(ctx->permanent);
    assert_int_equal(ctx->retry_after_ms, 0);
    fails_so_often(429, 1, 700);
    assert_int_equal(ctx->fail_code, FM_FAIL_RESOURCE_EXHAUSTED);
    assert_false(ctx->permanent);
    assert_int_equal(ctx->retry_after_ms, 700);
    fails_so_often(400, 1, 0);
    assert_int_equal(ctx->fail_code, FM_FAIL_UNAVAILABLE);
    assert_true(ctx->permanent);
}

/* ---- histories ---- */

static void a_history_that_cannot_go_on_is_refused_by_its_message(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        const char *messages, *fault;
    } bad[] = {
        {"[]",                                                                          "must be a list of messages, and not empty"       },
        {"'x'",                                                                         "must be a list of messages, and not empty"       },
        {"[7]",                                                                         "messages[0] must be an object"                   },
        {"[{'role':'robot','content':'x'}]",                                            "messages[0].role must be"                        },
        {"[{'role':'user','content':'x','txt':1}]",                                     "messages[0] has the unknown key \"txt\""         },
        {"[{'role':'user'}]",                                                           "messages[0].content must be a string"            },
        {"[{'role':'user','content':'x'},{'role':'tool','call_id':'c','content':1}]",
         "messages[1].call_id names no call"                                                                                              },
        {"[{'role':'assistant','tool_calls':[{'id':'c','name':'n','arguments':{}}]}]",
         "messages[0] is the last one, but"                                                                                               },
        {"[{'role':'assistant','tool_calls':[{'id':'c','name':'n','arguments':'{'}]}]",
         "messages[0].tool_calls must be"                                                                                                 },
        {"[{'role':'assistant','tool_calls':[{'id':'c','name':'n','arguments':{}},{'id':'c','name':'n',"
         "'arguments':{}}]}]",                                                 "messages[0].tool_calls has two calls with one id"},
        {"[{'role':'assistant','tool_calls':[{'id':'c','name':'n','arguments':{}}]},{'role':'user','"
         "content':'x'}]",                                                     "messages[1] stands before the results"           },
        {"[{'role':'user','content':'x'},{'role':'assistant','content':'y'}]",
         "messages end with the role assistant"                                                                                           },
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fm_autofree char *data = json_format("{'messages':%s}", bad[i].messages);
        ctx->state = fm_map(ctx);
        ctx->fail_code = 0;
        fake_fails(ctx, "trigger", data, FM_FAIL_INVALID_ARGUMENT, bad[i].fault);
        assert_true(ctx->permanent);
    }
}

static void a_history_is_read_as_chat_completions_write_it(void **state)
{
    (void)state;
    configure("system", fm_string(ctx, "Mine."));
    (void)script("say", "Done.");
    assert_int_equal(
        fake_run(
            ctx, "trigger",
            "{'messages':[{'role':'developer','content':'Theirs.'},{'role':'user','content':'x'},"
            "{'role':'assistant','content':null,'refusal':null,'tool_calls':[{'id':'c','type':'function',"
            "'function':{'name':'n','arguments':'{\"a\": 1}'}}]},"
            "{'role':'tool','tool_call_id':'c','content':'r'}]}"),
        0);
    const struct fm_value *m = fm_value_get(ctx->state, "messages");
    fake_is(ctx, m,
            "[{'role':'system','content':'Theirs.'},{'role':'user','content':'x'},"
            "{'role':'assistant','content':'','tool_calls':[{'id':'c','name':'n','arguments':{'a':1}}]},"
            "{'role':'tool','content':'r','call_id':'c','name':'n'},{'role':'assistant','content':'Done.'}]");
    assert_string_equal(fm_value_string(fm_value_get(ctx->state, "task"), ""), "x");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_history_that_cannot_go_on_is_refused_by_its_message, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_history_is_read_as_chat_completions_write_it, setup, teardown),
        TEST(a_provider_that_is_none_fails_for_good),
        TEST(the_mock_provider_fails_as_its_script_says),
        TEST(the_agent_asks_and_its_conversation_stays_in_the_state),
        TEST(the_answer_leads_to_an_output_that_knows_task_and_answer),
        TEST(each_model_call_is_logged_and_counted),
        TEST(an_agent_told_not_to_ask_completes_at_once),
        TEST(a_delay_is_waited_for_without_blocking),
        TEST(a_delay_has_a_longest),
        TEST(a_script_is_one_item_a_call),
        TEST(a_script_that_ends_with_a_question_completes_after_the_answer),
        TEST(a_failed_call_fails_the_step_with_its_reason),
        TEST(an_item_without_meaning_fails_the_step),
        TEST(an_unknown_provider_fails_the_step_and_is_named),
        TEST(a_system_text_stands_before_the_first_message_only),
        TEST(data_without_a_task_is_the_task),
        TEST(a_result_without_an_id_is_that_of_the_only_call_that_waits),
        TEST(a_result_of_no_call_leaves_the_conversation_as_it_is),
        TEST(input_while_tools_are_at_work_comes_after_their_results),
        TEST(input_while_an_approval_is_open_comes_after_the_result),
        TEST(text_at_user_input_is_what_the_user_says),
        TEST(a_result_of_a_call_that_waits_for_a_person_is_ignored_and_logged),
        TEST(input_while_a_budget_is_asked_for_asks_no_second_time),
        TEST(input_before_the_agent_goes_on_makes_one_call_not_two),
        TEST(a_model_without_a_price_is_held_to_the_other_limits_or_not_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
