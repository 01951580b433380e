/* The routine types that gather data over several tasks: aggregate, batch, debounce. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "builtin.h"
#include "fake_json.h"

static struct fm_ctx fake, *ctx = &fake;

static void begin(const struct fm_routine_type *type, const char *config)
{
    fake_init(ctx, type);
    ctx->config = fake_json(ctx, config);
}

/* Nothing is left of a group that has gone on. */
static void nothing_is_left(void)
{
    assert_int_equal(fm_value_size(ctx->state), 0);
    assert_int_equal(ctx->n_timers, 0);
    fake_done(ctx);
}

static int due(size_t timer)
{
    char slot[64];
    strcpy(slot, ctx->timers[timer].slot);
    const struct fm_value *data = fake_due(ctx, timer);
    return fake_step(ctx, slot, "", data);
}

/* ---- aggregate ---- */

static void a_set_of_n_is_complete_with_the_nth(void **state)
{
    (void)state;
    begin(&aggregate_type, "{'count':3}");
    for (int set = 0; set < 2; set++) {
        assert_int_equal(fake_run(ctx, "input", "{'x':1}"), 0);
        assert_int_equal(fake_run(ctx, "other", "{'x':2}"), 0);
        assert_int_equal(ctx->emitted.n, 0);
        assert_int_equal(fake_run(ctx, "input", "{'x':3}"), 0);
        fake_emitted(ctx, 0, "output", "{'items':[{'x':1},{'x':2},{'x':3}],'count':3}");
    }
    nothing_is_left();
}

static void sets_are_apart_by_key(void **state)
{
    (void)state;
    begin(&aggregate_type, "{'count':2,'key':'order.id'}");
    assert_int_equal(fake_run(ctx, "input", "{'order':{'id':'a.b'},'n':1}"), 0);
    assert_int_equal(fake_run(ctx, "input", "{'order':{'id':7},'n':2}"), 0);
    assert_int_equal(fake_run(ctx, "input", "{'order':{'id':true},'n':3}"), 0);
    assert_int_equal(ctx->emitted.n, 0);
    assert_int_equal(fake_run(ctx, "input", "{'order':{'id':'a.b'},'n':4}"), 0);
    fake_emitted(
        ctx, 0, "output",
        "{'items':[{'order':{'id':'a.b'},'n':1},{'order':{'id':'a.b'},'n':4}],'count':2,'key':'a.b'}");
    assert_int_equal(fake_run(ctx, "input", "{'order':{'id':7},'n':5}"), 0);
    assert_string_equal(fake_text(ctx->emitted.items[0].data, "key"), "7");
    assert_int_equal(fake_run(ctx, "input", "{'order':{'id':true},'n':6}"), 0);
    assert_string_equal(fake_text(ctx->emitted.items[0].data, "key"), "true");
    fake_fails(ctx, "input", "{'order':1}", FM_FAIL_INVALID_ARGUMENT, "no key at \"order.id\"");
    fake_fails(ctx, "input", "{'order':{'id':[]}}", FM_FAIL_INVALID_ARGUMENT, "must be a string");
    nothing_is_left();
}

static void a_number_and_its_text_have_sets_of_their_own(void **state)
{
    (void)state;
    begin(&aggregate_type, "{'count':2,'key':'k'}");
    static const char *const keys[] = {"1", "'1'", "'\"1\"'", "true", "'true'", "'01'", "0.1", "'0.1'"};
    static const char *const shown[] = {"1",  "1", "\"1\"", "true", "true", "01", "0.10000000000000001",
                                        "0.1"};
    size_t n = sizeof(keys) / sizeof(keys[0]);
    char text[64];
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof(text), "{'k':%s}", keys[i]);
        assert_int_equal(fake_run(ctx, "input", text), 0);
        assert_int_equal(ctx->emitted.n, 0);
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof(text), "{'k':%s}", keys[i]);
        assert_int_equal(fake_run(ctx, "input", text), 0);
        assert_int_equal(ctx->emitted.n, 1);
        assert_string_equal(fake_text(ctx->emitted.items[0].data, "key"), shown[i]);
    }
    nothing_is_left();
}

/* The records of 0.3.0 did not say of which kind a key was. */
static void a_set_that_an_older_version_has_begun_is_completed_by_both(void **state)
{
    (void)state;
    begin(&aggregate_type, "{'count':2,'key':'k'}");
    fm_map_set(ctx, ctx->state, "g:1", fake_json(ctx, "{'n':1,'round':1}"));
    fm_map_set(ctx, ctx->state, "i:1", fm_value_get(fake_json(ctx, "{'l':[{'data':{'k':'1'}}]}"), "l"));
    assert_int_equal(fake_run(ctx, "input", "{'k':'1'}"), 0);
    fake_emitted(ctx, 0, "output", "{'items':[{'k':'1'},{'k':'1'}],'count':2,'key':'1'}");
    nothing_is_left();
}

static void a_set_of_nothing_is_complete_when_that_is_said(void **state)
{
    (void)state;
    begin(&aggregate_type, "{'count_path':'total'}");
    assert_int_equal(fake_run(ctx, "input", "{'total':0}"), 0);
    fake_emitted(ctx, 0, "output", "{'items':[],'count':0}");
    assert_int_equal(fake_run(ctx, "input", "{'x':1}"), 0); /* a set has begun: it has one */
    assert_int_equal(fake_run(ctx, "input", "{'total':0}"), 0);
    assert_int_equal(ctx->emitted.n, 0);
    fake_done(ctx);
}

static void a_key_has_a_limit(void **state)
{
    (void)state;
    begin(&aggregate_type, "{'count':2,'key':'k'}");
    char text[256];
    snprintf(text, sizeof(text), "{'k':'%0201d'}", 0);
    fake_fails(ctx, "input", text, FM_FAIL_INVALID_ARGUMENT, "201 bytes; the limit is 200");
    snprintf(text, sizeof(text), "{'k':'%0200d'}", 0);
    assert_int_equal(fake_run(ctx, "input", text), 0);
    assert_int_equal(fake_run(ctx, "input", text), 0);
    assert_int_equal(ctx->emitted.n, 1);
    nothing_is_left();
}

static void the_first_datum_that_has_it_says_how_many_make_a_set(void **state)
{
    (void)state;
    begin(&aggregate_type, "{'count_path':'total'}");
    assert_int_equal(fake_run(ctx, "input", "{'x':1}"), 0);
    assert_int_equal(fake_run(ctx, "input", "{'x':2,'total':3}"), 0);
    assert_int_equal(ctx->emitted.n, 0);
    assert_int_equal(fake_run(ctx, "input", "{'x':3,'total':100}"), 0);
    fake_emitted(ctx, 0, "output", "{'items':[{'x':1},{'x':2,'total':3},{'x':3,'total':100}],'count':3}");
    assert_int_equal(fake_run(ctx, "input", "{'total':1}"), 0);
    assert_int_equal(ctx->emitted.n, 1);
    fake_fails(ctx, "input", "{'total':1.5}", FM_FAIL_INVALID_ARGUMENT, "is 1.5; expected a whole number");
    fake_fails(ctx, "input", "{'total':-1}", FM_FAIL_INVALID_ARGUMENT, "0 to 10000");
    fake_fails(ctx, "input", "{'total':10001}", FM_FAIL_INVALID_ARGUMENT, "10001");
    nothing_is_left();
}

static void a_set_has_one_of_each_source_and_of_several_the_last_counts(void **state)
{
    (void)state;
    begin(&aggregate_type, "{'sources':['price','stock']}");
    fake_fails(ctx, "colour", "{}", FM_FAIL_INVALID_ARGUMENT, "\"colour\" is not one of the sources");
    assert_int_equal(fake_run(ctx, "price", "{'v':1}"), 0);
    assert_int_equal(fake_run(ctx, "price", "{'v':2}"), 0);
    assert_int_equal(ctx->emitted.n, 0);
    assert_int_equal(fake_run(ctx, "stock", "{'v':3}"), 0);
    fake_emitted(ctx, 0, "output",
                 "{'items':[{'v':1},{'v':2},{'v':3}],'count':3,'sources':{'price':{'v':2},'stock':{'v':3}}}");
    nothing_is_left();
}

static void an_incomplete_set_times_out_with_what_there_is_and_says_what_is_missing(void **state)
{
    (void)state;
    begin(&aggregate_type, "{'sources':['price','stock'],'timeout_ms':500}");
    assert_int_equal(fake_run(ctx, "price", "{'v':1}"), 0);
    assert_int_equal(ctx->n_timers, 1);
    assert_int_equal(ctx->timers[0].ms, 500);
    assert_int_equal(due(0), 0);
    fake_emitted(ctx, 0, "timeout",
                 "{'items':[{'v':1}],'count':1,'sources':{'price':{'v':1}},'missing':['stock']}");
    nothing_is_left();
    begin(&aggregate_type, "{'count':3,'timeout_ms':500}");
    assert_int_equal(fake_run(ctx, "input", "{'v':1}"), 0);
    assert_int_equal(due(0), 0);
    fake_emitted(ctx, 0, "timeout", "{'items':[{'v':1}],'count':1,'missing':2}");
    nothing_is_left();
}

static void a_complete_set_takes_its_timer_along(void **state)
{
    (void)state;
    begin(&aggregate_type, "{'count':2,'timeout_ms':500}");
    assert_int_equal(fake_run(ctx, "input", "{}"), 0);
    assert_int_equal(fake_run(ctx, "input", "{}"), 0);
    assert_int_equal(ctx->emitted.n, 1);
    nothing_is_left();
}

/* The timer's task was due already when its set was completed: it waits behind. */
static void a_late_timer_of_an_earlier_set_does_nothing(void **state)
{
    (void)state;
    begin(&aggregate_type, "{'count':2,'timeout_ms':500}");
    assert_int_equal(fake_run(ctx, "input", "{}"), 0);
    const struct fm_value *late = fake_due(ctx, 0);
    assert_int_equal(fake_run(ctx, "input", "{}"), 0);
    assert_int_equal(fake_step(ctx, "_timeout", "", late), 0);
    assert_int_equal(ctx->emitted.n, 0);
    assert_int_equal(fake_run(ctx, "input", "{}"), 0); /* the next set */
    assert_int_equal(fake_step(ctx, "_timeout", "", late), 0);
    assert_int_equal(ctx->emitted.n, 0);
    assert_int_equal(due(0), 0);
    assert_int_equal(ctx->emitted.n, 1);
    nothing_is_left();
}

/* ---- batch ---- */

static void a_full_batch_goes_on_at_once_and_the_rest_when_its_time_is_over(void **state)
{
    (void)state;
    begin(&batch_type, "{'size':2}");
    assert_int_equal(fake_run(ctx, "input", "{'x':1}"), 0);
    assert_int_equal(ctx->timers[0].ms, 1000);
    assert_int_equal(fake_run(ctx, "input", "{'x':2}"), 0);
    fake_emitted(ctx, 0, "output", "{'items':[{'x':1},{'x':2}],'count':2}");
    assert_int_equal(ctx->n_timers, 0);
    assert_int_equal(fake_run(ctx, "input", "{'x':3}"), 0);
    assert_int_equal(due(0), 0);
    fake_emitted(ctx, 0, "output", "{'items':[{'x':3}],'count':1}");
    nothing_is_left();
}

static void a_flush_sends_on_what_there_is_of_a_key(void **state)
{
    (void)state;
    begin(&batch_type, "{'key':'k','max_wait_ms':5}");
    assert_int_equal(fake_run(ctx, "input", "{'k':'a'}"), 0);
    assert_int_equal(fake_run(ctx, "input", "{'k':'b'}"), 0);
    assert_int_equal(ctx->timers[1].ms, 5);
    assert_int_equal(fake_run(ctx, "flush", "{'k':'a'}"), 0);
    fake_emitted(ctx, 0, "output", "{'items':[{'k':'a'}],'count':1,'key':'a'}");
    assert_int_equal(fake_run(ctx, "flush", "{'k':'a'}"), 0);
    assert_int_equal(ctx->emitted.n, 0);
    assert_int_equal(due(0), 0);
    fake_emitted(ctx, 0, "output", "{'items':[{'k':'b'}],'count':1,'key':'b'}");
    nothing_is_left();
}

/* ---- debounce ---- */

static void only_the_last_of_a_burst_passes(void **state)
{
    (void)state;
    begin(&debounce_type, "{'wait_ms':50,'key':'who'}");
    assert_int_equal(fake_run(ctx, "input", "{'who':'ann','n':1}"), 0);
    assert_int_equal(fake_run(ctx, "input", "{'who':'bob','n':2}"), 0);
    assert_int_equal(fake_run(ctx, "input", "{'who':'ann','n':3}"), 0);
    assert_int_equal(ctx->n_timers, 2);
    assert_int_equal(ctx->timers[0].ms, 50);
    assert_int_equal(due(0), 0);
    fake_emitted(ctx, 0, "output", "{'who':'bob','n':2}");
    assert_int_equal(due(0), 0);
    fake_emitted(ctx, 0, "output", "{'who':'ann','n':3}");
    nothing_is_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_of_n_is_complete_with_the_nth),
        cmocka_unit_test(sets_are_apart_by_key),
        cmocka_unit_test(a_number_and_its_text_have_sets_of_their_own),
        cmocka_unit_test(a_set_that_an_older_version_has_begun_is_completed_by_both),
        cmocka_unit_test(a_set_of_nothing_is_complete_when_that_is_said),
        cmocka_unit_test(a_key_has_a_limit),
        cmocka_unit_test(the_first_datum_that_has_it_says_how_many_make_a_set),
        cmocka_unit_test(a_set_has_one_of_each_source_and_of_several_the_last_counts),
        cmocka_unit_test(an_incomplete_set_times_out_with_what_there_is_and_says_what_is_missing),
        cmocka_unit_test(a_complete_set_takes_its_timer_along),
        cmocka_unit_test(a_late_timer_of_an_earlier_set_does_nothing),
        cmocka_unit_test(a_full_batch_goes_on_at_once_and_the_rest_when_its_time_is_over),
        cmocka_unit_test(a_flush_sends_on_what_there_is_of_a_key),
        cmocka_unit_test(only_the_last_of_a_burst_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
