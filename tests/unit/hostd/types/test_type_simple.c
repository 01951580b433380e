/* The routine types split, sleep and job. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "builtin.h"
#include "clock.h"
#include "fake_json.h"

static struct fm_ctx fake, *ctx = &fake;

static void begin(const struct fm_routine_type *type, const char *config)
{
    fake_init(ctx, type);
    ctx->config = fake_json(ctx, config);
}

static int end(void **state)
{
    (void)state;
    fake_done(ctx);
    return 0;
}

/* ---- split ---- */

static void each_element_becomes_an_event_and_then_all_are_done(void **state)
{
    (void)state;
    begin(&split_type, "{}");
    assert_int_equal(fake_run(ctx, "input", "{'items':['a',{'b':1},null]}"), 0);
    assert_int_equal(ctx->emitted.n, 4);
    fake_emitted(ctx, 0, "item", "{'item':'a','index':0,'total':3}");
    fake_emitted(ctx, 1, "item", "{'item':{'b':1},'index':1,'total':3}");
    fake_emitted(ctx, 2, "item", "{'item':null,'index':2,'total':3}");
    fake_emitted(ctx, 3, "done", "{'total':3}");
    assert_int_equal(fake_run(ctx, "input", "{'items':[]}"), 0);
    assert_int_equal(ctx->emitted.n, 1);
    fake_emitted(ctx, 0, "done", "{'total':0}");
}

static void a_list_is_found_by_path_and_fields_go_along(void **state)
{
    (void)state;
    begin(&split_type, "{'path':'order.lines','with':['id','none']}");
    assert_int_equal(fake_run(ctx, "input", "{'id':7,'order':{'lines':[1]},'big':'x'}"), 0);
    fake_emitted(ctx, 0, "item", "{'id':7,'item':1,'index':0,'total':1}");
    fake_emitted(ctx, 1, "done", "{'id':7,'total':1}");
}

static void a_map_is_split_with_its_keys(void **state)
{
    (void)state;
    begin(&split_type, "{'path':'m'}");
    assert_int_equal(fake_run(ctx, "input", "{'m':{'x':1,'y':2}}"), 0);
    fake_emitted(ctx, 1, "item", "{'item':2,'key':'y','index':1,'total':2}");
}

static void what_is_no_list_cannot_be_split(void **state)
{
    (void)state;
    begin(&split_type, "{'path':'a.b'}");
    fake_fails(ctx, "input", "{'a':{'b':'text'}}", FM_FAIL_INVALID_ARGUMENT, "no list at \"a.b\"");
    fake_fails(ctx, "input", "{}", FM_FAIL_INVALID_ARGUMENT, "no list at \"a.b\"");
}

/* ---- sleep ---- */

static void data_goes_on_after_a_fixed_time(void **state)
{
    (void)state;
    begin(&sleep_type, "{'ms':1500}");
    assert_int_equal(fake_run(ctx, "input", "{'x':1}"), 0);
    assert_int_equal(ctx->emitted.n, 0);
    assert_string_equal(ctx->timers[0].slot, "_due");
    assert_int_equal(ctx->timers[0].ms, 1500);
    const struct fm_value *data = fake_due(ctx, 0);
    assert_int_equal(fake_step(ctx, "_due", "", data), 0);
    fake_emitted(ctx, 0, "output", "{'x':1}");
}

static void the_time_may_be_in_the_data(void **state)
{
    (void)state;
    begin(&sleep_type, "{'ms_path':'wait.ms'}");
    assert_int_equal(fake_run(ctx, "input", "{'wait':{'ms':20.5}}"), 0);
    assert_int_equal(ctx->timers[0].ms, 21);
    assert_int_equal(fake_run(ctx, "input", "{'wait':{'ms':0}}"), 0);
    fake_emitted(ctx, 0, "output", "{'wait':{'ms':0}}");
    assert_int_equal(fake_run(ctx, "input", "{'wait':{'ms':-5}}"), 0);
    assert_int_equal(ctx->emitted.n, 1);
    fake_fails(ctx, "input", "{'wait':{'ms':'5'}}", FM_FAIL_INVALID_ARGUMENT, "no number");
    fake_fails(ctx, "input", "{'wait':{'ms':31622400001}}", FM_FAIL_INVALID_ARGUMENT, "the limit is");
    assert_int_equal(fake_run(ctx, "input", "{'wait':{'ms':31622400000}}"), 0);
    assert_int_equal(ctx->timers[ctx->n_timers - 1].ms, 31622400000);
}

/* The text in the data makes it sleep until this time, in milliseconds since 1970. */
static void sleeps_until(const char *time, double at)
{
    char text[128];
    snprintf(text, sizeof(text), "{'at':%s}", time);
    ctx->n_timers = 0;
    double before = (double)fm_now_wall_ms();
    assert_int_equal(fake_run(ctx, "input", text), 0);
    double after = (double)fm_now_wall_ms();
    assert_int_equal(ctx->n_timers, 1);
    double was = at - (double)ctx->timers[0].ms; /* the time when it began, rounded down */
    assert_true(was > before - 1 && was <= after);
}

static void it_sleeps_until_a_time_in_the_data(void **state)
{
    (void)state;
    begin(&sleep_type, "{'until_path':'at'}");
    time_t later = (time_t)(fm_now_wall_ms() / 1000) + 3600 * 24 * 90;
    double at = (double)later * 1000;
    char text[64];
    struct tm tm;
    snprintf(text, sizeof(text), "%.3f", at / 1000 + 0.125);
    sleeps_until(text, at + 125);
    assert_non_null(gmtime_r(&later, &tm));
    assert_true(strftime(text, sizeof(text), "'%Y-%m-%dT%H:%M:%SZ'", &tm) > 0);
    sleeps_until(text, at);
    assert_true(strftime(text, sizeof(text), "'%Y-%m-%dT%H:%M:%S.250+00:30'", &tm) > 0);
    sleeps_until(text, at - 1800000 + 250);
    assert_true(strftime(text, sizeof(text), "'%Y-%m-%d %H:%M:%S-01:00'", &tm) > 0);
    sleeps_until(text, at + 3600000);
}

static void a_time_that_is_over_is_no_sleep(void **state)
{
    (void)state;
    static const char *const over[] = {"{'at':'2000-02-29T23:59:60Z'}", "{'at':12345}",
                                       "{'at':'1969-01-01 00:00:00Z'}", "{'at':'0001-01-01t00:00:00z'}",
                                       "{'at':'2004-02-29T00:00:00-23:59'}"};
    begin(&sleep_type, "{'until_path':'at'}");
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(fake_run(ctx, "input", over[i]), 0);
        fake_emitted(ctx, 0, "output", over[i]);
        assert_int_equal(ctx->n_timers, 0);
    }
}

static void what_is_no_time_fails(void **state)
{
    (void)state;
    begin(&sleep_type, "{'until_path':'at'}");
    static const char *const bad[] = {
        "'tomorrow'",
        "'2030-01-31'",
        "'2030-01-31T08:00:00'",
        "'2030-02-29T08:00:00Z'",
        "'2030-13-01T08:00:00Z'",
        "'2030-01-31T24:00:00Z'",
        "'2030-01-31T08:00:00+1:00'",
        "'2030-01-31T08:00:00+25:00'",
        "'2030-01-31T08:00:00+23:60'",
        "'2030-01-31T08:00:00+01:00Z'",
        "'2030-01-31T08:00:00+01-00'",
        "'2030-01-31T08:00:00'",
        "'2030-01-31T08:60:00Z'",
        "'2030-01-31T08:00:61Z'",
        "'2030-01-32T08:00:00Z'",
        "'2030-01-00T08:00:00Z'",
        "'2030-00-01T08:00:00Z'",
        "'0000-01-01T08:00:00Z'",
        "'2030-04-31T08:00:00Z'",
        "'2100-02-29T08:00:00Z'",
        "'2030-01-31T08:00:00.:Z'",
        "'2030-01-31T08:00:00Zulu'",
        "'2030-1-31T08:00:00Z'",
        "true",
        "null",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[128];
        snprintf(text, sizeof(text), "{'at':%s}", bad[i]);
        fake_fails(ctx, "input", text, FM_FAIL_INVALID_ARGUMENT, "no time");
    }
    fake_fails(ctx, "input", "{'at':'9999-01-01T00:00:00Z'}", FM_FAIL_INVALID_ARGUMENT, "too long");
}

/* ---- job ---- */

static void a_child_gets_the_data_and_the_shared_data_that_were_named(void **state)
{
    (void)state;
    begin(&job_type, "{'flow':'sub','version':3,'routine':'r','slot':'s','shared':['user','none']}");
    ctx->shared = fake_json(ctx, "{'user':'ann','secret':1}");
    assert_int_equal(fake_run(ctx, "start", "{'x':1}"), 0);
    assert_int_equal(ctx->n_children, 1);
    assert_string_equal(ctx->child.flow, "sub");
    assert_int_equal(ctx->child.flow_version, 3);
    assert_string_equal(ctx->child.routine, "r");
    assert_string_equal(ctx->child.slot, "s");
    assert_string_equal(ctx->child.result_slot, "_result");
    fake_is(ctx, ctx->child.data, "{'x':1}");
    fake_is(ctx, ctx->child.shared_data, "{'user':'ann'}");
}

#define FAILED "{'status':'FAILED','job_id':'J','outputs':[],'error':{'code':'%s','message':'no such city'}}"
#define JOB "'flow':'sub','routine':'r','slot':'s'"

static void a_childs_end_goes_on_as_an_event(void **state)
{
    (void)state;
    begin(&job_type, "{" JOB "}");
    assert_int_equal(fake_run(ctx, "_result", "{'status':'COMPLETED','outputs':[{'data':{'a':1}}]}"), 0);
    fake_emitted(ctx, 0, "completed", "{'status':'COMPLETED','outputs':[{'data':{'a':1}}]}");
}

static void a_childs_failure_is_the_tasks_failure_and_is_not_retried(void **state)
{
    (void)state;
    begin(&job_type, "{" JOB ",'on_failure':'fail'}");
    char text[256];
    snprintf(text, sizeof(text), FAILED, "UNAVAILABLE");
    fake_fails(ctx, "_result", text, FM_FAIL_UNAVAILABLE, "FAILED: no such city");
    assert_true(ctx->permanent);
    snprintf(text, sizeof(text), FAILED, "NOT_FOUND");
    fake_fails(ctx, "_result", text, FM_FAIL_UNKNOWN, "job J is FAILED");
    fake_fails(ctx, "_result", "{'status':'CANCELLED','job_id':'J'}", FM_FAIL_UNKNOWN,
               "job J is CANCELLED: no error was given");
}

static void a_childs_failure_is_an_event_where_that_is_wanted(void **state)
{
    (void)state;
    begin(&job_type, "{" JOB ",'on_failure':'event'}");
    assert_int_equal(fake_run(ctx, "_result", "{'status':'CANCELLED','job_id':'J'}"), 0);
    fake_emitted(ctx, 0, "failed", "{'status':'CANCELLED','job_id':'J'}");
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_element_becomes_an_event_and_then_all_are_done),
        TEST(a_list_is_found_by_path_and_fields_go_along),
        TEST(a_map_is_split_with_its_keys),
        TEST(what_is_no_list_cannot_be_split),
        TEST(data_goes_on_after_a_fixed_time),
        TEST(the_time_may_be_in_the_data),
        TEST(it_sleeps_until_a_time_in_the_data),
        TEST(a_time_that_is_over_is_no_sleep),
        TEST(what_is_no_time_fails),
        TEST(a_child_gets_the_data_and_the_shared_data_that_were_named),
        TEST(a_childs_end_goes_on_as_an_event),
        TEST(a_childs_failure_is_the_tasks_failure_and_is_not_retried),
        TEST(a_childs_failure_is_an_event_where_that_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
