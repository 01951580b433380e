/* The routine type validate. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "builtin.h"
#include "fake_json.h"

static struct fm_ctx fake, *ctx = &fake;

static int setup(void **state)
{
    (void)state;
    fake_init(ctx, &validate_type);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_done(ctx);
    return 0;
}

static void valid_data_goes_on_and_the_rest_is_emitted_with_its_errors(void **state)
{
    (void)state;
    ctx->config = fake_json(ctx, "{'schema':{'properties':{'n':{'type':'number'}},'required':['m']}}");
    assert_int_equal(fake_run(ctx, "input", "{'n':1,'m':2}"), 0);
    fake_emitted(ctx, 0, "valid", "{'n':1,'m':2}");
    assert_int_equal(fake_run(ctx, "input", "{'n':'1'}"), 0);
    fake_emitted(ctx, 0, "invalid",
                 "{'data':{'n':'1'},'error_count':2,'errors':["
                 "{'path':'','message':'lacks the property \"m\"'},"
                 "{'path':'n','message':'is a string; it must be a number'}]}");
}

static void a_part_of_the_data_may_be_checked(void **state)
{
    (void)state;
    ctx->config = fake_json(ctx, "{'path':'a.b','schema':{'type':'string'}}");
    assert_int_equal(fake_run(ctx, "input", "{'a':{'b':'x'}}"), 0);
    fake_emitted(ctx, 0, "valid", "{'a':{'b':'x'}}");
    assert_int_equal(fake_run(ctx, "input", "{}"), 0);
    assert_string_equal(ctx->emitted.items[0].name, "invalid");
    ctx->config = fake_json(ctx, "{'schema':{'$ref':'x'}}");
    fake_fails(ctx, "input", "{}", FM_FAIL_INVALID_ARGUMENT, "schema.$ref");
}

static void at_most_a_hundred_errors_are_listed(void **state)
{
    (void)state;
    ctx->config = fake_json(ctx, "{'schema':{'properties':{'l':{'items':{'type':'string'}}}}}");
    struct fm_value *list = fm_list(ctx), *data = fm_map(ctx);
    for (int i = 0; i < 150; i++)
        fm_list_add(ctx, list, fm_number(ctx, i));
    fm_map_set(ctx, data, "l", list);
    assert_int_equal(fake_step(ctx, "input", "", data), 0);
    const struct fm_value *out = ctx->emitted.items[0].data;
    assert_int_equal(fm_value_size(fm_value_get(out, "errors")), 100);
    assert_true(fm_value_number(fm_value_get(out, "error_count"), 0) == 150);
    assert_string_equal(fake_text(out, "errors[99].path"), "l[99]");
}

/* On the engine's thread only what is quickly done. */
static void what_takes_long_goes_on_on_a_worker_thread(void **state)
{
    (void)state;
    ctx->config = fake_json(ctx, "{'schema':{'properties':{'n':{'type':'number'}}}}");
    assert_int_equal(fake_run(ctx, "input", "{'n':1}"), 0);
    assert_int_equal(ctx->moved, 0);
    ctx->config = fake_json(ctx, "{'schema':{'properties':{'y':{'pattern':'^\\\\d{4}$'}}}}");
    assert_int_equal(fake_run(ctx, "input", "{'y':'2025'}"), 0);
    assert_int_equal(ctx->moved, 1);
    fake_emitted(ctx, 0, "valid", "{'y':'2025'}");
    assert_int_equal(fake_run(ctx, "input", "{'y':'dddd'}"), 0);
    assert_string_equal(ctx->emitted.items[0].name, "invalid");
    ctx->config = fake_json(ctx, "{'schema':{'properties':{'l':{'uniqueItems':true}}}}");
    struct fm_value *list = fm_list(ctx), *data = fm_map(ctx);
    for (int i = 0; i < 2000; i++)
        fm_list_add(ctx, list, fm_number(ctx, i));
    fm_map_set(ctx, data, "l", list);
    ctx->moved = 0;
    assert_int_equal(fake_step(ctx, "input", "", data), 0);
    assert_int_equal(ctx->moved, 1);
    assert_string_equal(ctx->emitted.items[0].name, "valid");
    for (int i = 2000; i < 10000; i++)
        fm_list_add(ctx, list, fm_number(ctx, i));
    assert_int_equal(fake_step(ctx, "input", "", data), -1);
    assert_int_equal(ctx->fail_code, FM_FAIL_RESOURCE_EXHAUSTED);
    assert_true(ctx->permanent);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(valid_data_goes_on_and_the_rest_is_emitted_with_its_errors),
        TEST(a_part_of_the_data_may_be_checked),
        TEST(what_takes_long_goes_on_on_a_worker_thread),
        TEST(at_most_a_hundred_errors_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
