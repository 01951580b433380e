/* The routine types human, race and log. */
#include <stdio.h>

#include <string.h>

#include <cmocka.h>

#include "ask.h"
#include "builtin.h"
#include "fake_ctx.h"
#include "fake_json.h"

static struct fm_ctx fake, *ctx = &fake;

static int setup_human(void **state)
{
    (void)state;
    fake_init(ctx, &human_type);
    return 0;
}

static int setup_log(void **state)
{
    (void)state;
    fake_init(ctx, &log_type);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_done(ctx);
    return 0;
}

static int input(const struct fm_value *data)
{
    return fake_step(ctx, "input", "", data);
}

/* ---- human ---- */

static void the_question_comes_from_the_input_else_from_the_configuration(void **state)
{
    (void)state;
    assert_int_equal(input(fm_map(ctx)), 0);
    assert_string_equal(ctx->pauses[0].question, "Go on?");
    ctx->config = fake_data(ctx, "question", "All right?");
    assert_int_equal(input(fm_map(ctx)), 0);
    assert_string_equal(ctx->pauses[0].question, "All right?");
    assert_int_equal(input(fake_data(ctx, "question", "Which?")), 0);
    assert_string_equal(ctx->pauses[0].question, "Which?");
    assert_string_equal(ctx->pauses[0].slot, "answer");
}

static void the_input_and_the_choices_are_shown_with_the_question(void **state)
{
    (void)state;
    struct fm_value *choices = fm_list(ctx), *config = fm_map(ctx);
    fm_list_add(ctx, choices, fm_string(ctx, "yes"));
    fm_map_set(ctx, config, "choices", choices);
    ctx->config = config;
    assert_int_equal(input(fake_data(ctx, "draft", "d")), 0);
    assert_string_equal(fake_text(ctx->pauses[0].data, "draft"), "d");
    assert_string_equal(fake_text(ctx->pauses[0].choices, "[0]"), "yes");
    assert_int_equal(input(fm_map(ctx)), 0);
    assert_null(ctx->pauses[0].data);
}

static void the_answer_goes_on_with_the_fields_of_the_input(void **state)
{
    (void)state;
    struct fm_value *data = fake_data(ctx, "draft", "d");
    fm_map_set(ctx, data, "answer", fm_string(ctx, "an old one"));
    assert_int_equal(input(data), 0);
    char pause_id[16];
    snprintf(pause_id, sizeof(pause_id), "%.15s", ctx->pauses[0].id);
    assert_int_equal(fm_value_size(ctx->state), 1);
    assert_int_equal(fake_step(ctx, "answer", pause_id, fake_data(ctx, "answer", "fine")), 0);
    assert_int_equal(ctx->emitted.n, 1);
    const struct fm_value *out = ctx->emitted.items[0].data;
    assert_string_equal(fake_text(out, "draft"), "d");
    assert_string_equal(fake_text(out, "question"), "Go on?");
    assert_string_equal(fake_text(out, "answer"), "fine");
    assert_int_equal(fm_value_size(out), 3);
    assert_int_equal(fm_value_size(ctx->state), 0);
    assert_string_equal(fake_text(data, "answer"), "an old one"); /* what came in is not changed */
}

static void two_open_questions_each_get_their_own_answer(void **state)
{
    (void)state;
    char first[16], second[16];
    assert_int_equal(input(fake_data(ctx, "n", "one")), 0);
    snprintf(first, sizeof(first), "%.15s", ctx->pauses[0].id);
    assert_int_equal(input(fake_data(ctx, "n", "two")), 0);
    snprintf(second, sizeof(second), "%.15s", ctx->pauses[0].id);
    assert_int_equal(fake_step(ctx, "answer", second, fake_data(ctx, "answer", "b")), 0);
    assert_string_equal(fake_text(ctx->emitted.items[0].data, "n"), "two");
    assert_int_equal(fake_step(ctx, "answer", first, fake_data(ctx, "answer", "a")), 0);
    assert_string_equal(fake_text(ctx->emitted.items[0].data, "n"), "one");
    assert_string_equal(fake_text(ctx->emitted.items[0].data, "answer"), "a");
}

static void an_answer_that_nobody_asked_for_is_passed_on(void **state)
{
    (void)state;
    assert_int_equal(fake_step(ctx, "answer", "", fake_data(ctx, "answer", "by the way")), 0);
    assert_int_equal(fm_value_size(ctx->emitted.items[0].data), 1);
    assert_string_equal(fake_text(ctx->emitted.items[0].data, "answer"), "by the way");
}

static void a_question_has_the_settings_of_its_configuration(void **state)
{
    (void)state;
    ctx->config = fake_json(ctx, "{'timeout_ms':5000,'default_answer':'no','choices':['yes','no'],"
                                 "'assignee_path':'owner.name','key':'k'}");
    assert_int_equal(input(fake_json(ctx, "{'owner':{'name':'ann'}}")), 0);
    const struct fm_question *q = &ctx->pauses[0].asked;
    assert_int_equal(q->timeout_ms, 5000);
    assert_string_equal(q->assignee, "ann");
    assert_string_equal(q->key, "k");
    assert_string_equal(fm_value_string(q->default_answer, ""), "no");
    assert_int_equal(input(fake_json(ctx, "{'owner':'ann'}")), -1);
    assert_non_null(strstr(ctx->failure, "at \"owner.name\" (assignee_path)"));
    assert_true(ctx->permanent);
    assert_int_equal(input(fake_json(ctx, "{'owner':{'name':''}}")), -1);
    assert_non_null(strstr(ctx->failure, "assignee must be"));
}

static void a_default_answer_is_marked_and_an_event_leaves_nothing_behind(void **state)
{
    (void)state;
    char id[16];
    assert_int_equal(input(fake_data(ctx, "draft", "d")), 0);
    snprintf(id, sizeof(id), "%.15s", ctx->pauses[0].id);
    assert_int_equal(fake_step(ctx, "answer", id, fake_json(ctx, "{'answer':'no','expired':true}")), 0);
    assert_true(fm_value_bool(fm_value_get(ctx->emitted.items[0].data, "expired"), false));
    assert_int_equal(input(fake_data(ctx, "draft", "d")), 0);
    snprintf(id, sizeof(id), "%.15s", ctx->pauses[0].id);
    ctx->timed_out = FM_TIMEOUT_EVENT;
    assert_int_equal(fake_step(ctx, "answer", id, fake_json(ctx, "{'answer':null,'expired':true}")), 0);
    ctx->timed_out = FM_TIMEOUT_NONE;
    assert_int_equal(ctx->emitted.n, 0);
    assert_int_equal(fm_value_size(ctx->state), 0);
}

/* ---- race ---- */

static int setup_race(void **state)
{
    (void)state;
    fake_init(ctx, &race_type);
    return 0;
}

static void the_first_wins_until_the_race_begins_anew(void **state)
{
    (void)state;
    ctx->config = fake_json(ctx, "{'sources':['a','b']}");
    assert_int_equal(fake_step(ctx, "b", "", fake_json(ctx, "{'x':1}")), 0);
    fake_emitted(ctx, 0, "output", "{'x':1,'winner':'b'}");
    assert_non_null(strstr(ctx->race, "b||race \""));
    ctx->race[0] = '\0';
    assert_int_equal(fake_step(ctx, "a", "", fake_json(ctx, "{'x':2}")), 0);
    fake_emitted(ctx, 0, "late", "{'slot':'a','winner':'b','data':{'x':2}}");
    assert_string_equal(ctx->race, "");
    assert_int_equal(fake_step(ctx, "reset", "", fm_map(ctx)), 0);
    assert_int_equal(fm_value_size(ctx->state), 0);
    assert_int_equal(fake_step(ctx, "a", "", fm_map(ctx)), 0);
    fake_emitted(ctx, 0, "output", "{'winner':'a'}");
    fake_fails(ctx, "c", "{}", FM_FAIL_INVALID_ARGUMENT, "slot \"c\" is none of config.sources");
}

static void each_key_has_its_own_race(void **state)
{
    (void)state;
    ctx->config = fake_json(ctx, "{'sources':['a','b'],'key_path':'id'}");
    assert_int_equal(fake_step(ctx, "a", "", fake_json(ctx, "{'id':7}")), 0);
    assert_int_equal(fake_step(ctx, "b", "", fake_json(ctx, "{'id':'x'}")), 0);
    fake_emitted(ctx, 0, "output", "{'id':'x','winner':'b'}");
    assert_int_equal(fake_step(ctx, "b", "", fake_json(ctx, "{'id':7}")), 0);
    assert_string_equal(ctx->emitted.items[0].name, "late");
    fake_fails(ctx, "a", "{}", FM_FAIL_INVALID_ARGUMENT, "at \"id\" (key_path) in the data there is no text");
}

/* ---- log ---- */

static void an_entry_is_logged_and_the_data_is_passed_on(void **state)
{
    (void)state;
    const struct fm_value *data = fake_data(ctx, "text", "t");
    assert_int_equal(input(data), 0);
    assert_int_equal(ctx->logged.n, 1);
    assert_string_equal(ctx->logged.items[0].name, "log");
    assert_ptr_equal(ctx->logged.items[0].data, data);
    assert_string_equal(ctx->emitted.items[0].name, "output");
    assert_ptr_equal(ctx->emitted.items[0].data, data);
}

static void the_text_of_an_entry_is_configured(void **state)
{
    (void)state;
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    for (size_t i = 0; i < 4; i++) {
        struct fm_value *config = fake_data(ctx, "message", "seen");
        fm_map_set(ctx, config, "level", fm_string(ctx, levels[i]));
        ctx->config = config;
        assert_int_equal(input(fm_map(ctx)), 0);
        assert_string_equal(ctx->logged.items[0].name, "seen");
    }
}

int main(void)
{
#define HUMAN(name) cmocka_unit_test_setup_teardown(name, setup_human, teardown)
#define LOG(name) cmocka_unit_test_setup_teardown(name, setup_log, teardown)
    const struct CMUnitTest tests[] = {
        HUMAN(the_question_comes_from_the_input_else_from_the_configuration),
        HUMAN(the_input_and_the_choices_are_shown_with_the_question),
        HUMAN(the_answer_goes_on_with_the_fields_of_the_input),
        HUMAN(two_open_questions_each_get_their_own_answer),
        HUMAN(an_answer_that_nobody_asked_for_is_passed_on),
        HUMAN(a_question_has_the_settings_of_its_configuration),
        HUMAN(a_default_answer_is_marked_and_an_event_leaves_nothing_behind),
        cmocka_unit_test_setup_teardown(the_first_wins_until_the_race_begins_anew, setup_race, teardown),
        cmocka_unit_test_setup_teardown(each_key_has_its_own_race, setup_race, teardown),
        LOG(an_entry_is_logged_and_the_data_is_passed_on),
        LOG(the_text_of_an_entry_is_configured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
