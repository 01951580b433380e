/* The routine type llm_agent with its mock provider. */
#include <string.h>

#include <cmocka.h>

#include "fake_ctx.h"
#include "types/llm_provider.h"

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
    return fake_step(ctx, "user_input", "p1-1", fake_data(ctx, "answer", text));
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

static void a_tools_result_is_a_message_and_leads_to_a_call(void **state)
{
    (void)state;
    configure("ask", fm_bool(ctx, false));
    assert_int_equal(fake_step(ctx, "tool_result", "", fake_data(ctx, "result", "42")), 0);
    assert_string_equal(fake_text(ctx->state, "messages[0].role"), "tool");
    assert_string_equal(fake_text(ctx->state, "messages[0].content"), "42");
    assert_int_equal(ctx->emitted.n, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_agent_asks_and_its_conversation_stays_in_the_state),
        TEST(the_answer_leads_to_an_output_that_knows_task_and_answer),
        TEST(each_model_call_is_logged_and_counted),
        TEST(an_agent_told_not_to_ask_completes_at_once),
        TEST(a_delay_is_waited_for_without_blocking),
        TEST(a_script_is_one_item_a_call),
        TEST(a_script_that_ends_with_a_question_completes_after_the_answer),
        TEST(a_failed_call_fails_the_step_with_its_reason),
        TEST(an_item_without_meaning_fails_the_step),
        TEST(an_unknown_provider_fails_the_step_and_is_named),
        TEST(a_system_text_stands_before_the_first_message_only),
        TEST(data_without_a_task_is_the_task),
        TEST(a_tools_result_is_a_message_and_leads_to_a_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
