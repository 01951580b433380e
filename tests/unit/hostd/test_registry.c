/* The registry: what is found in a sound table, what is refused in others. */
#include <string.h>

#include <cmocka.h>

#include "agent.h"
#include "builtin.h"
#include "registry.h"

static struct registry *registry;
static struct fm_err err;

static int setup(void **state)
{
    (void)state;
    registry = registry_new();
    err = (struct fm_err){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    registry_free(registry);
    fm_err_done(&err);
    return 0;
}

static int one(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)ctx;
    (void)data;
    return 0;
}

static int any(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)ctx;
    (void)data;
    return 1;
}

static const struct fm_slot slots[] = {
    {"*",   any},
    {"one", one}
};
static const char *const events[] = {"done"};

static struct fm_routine_type sound(void)
{
    return (struct fm_routine_type){.abi = FM_ROUTINE_ABI,
                                    .name = "acme.box",
                                    .version = 3,
                                    .slots = slots,
                                    .n_slots = 2,
                                    .events = events,
                                    .n_events = 1};
}

static void a_type_is_found_by_its_name(void **state)
{
    (void)state;
    struct fm_routine_type t = sound();
    assert_int_equal(registry_add(registry, &t, &err), 0);
    assert_ptr_equal(registry_find(registry, "acme.box"), &t);
    assert_null(registry_find(registry, "acme"));
    assert_int_equal(registry_count(registry), 1);
    assert_ptr_equal(registry_at(registry, 0), &t);
    assert_null(registry_at(registry, 1));
}

static void a_star_takes_slots_and_events_that_are_not_named(void **state)
{
    (void)state;
    static const char *const all[] = {"*"};
    struct fm_routine_type t = sound();
    assert_ptr_equal(registry_handler(&t, "one"), one);
    assert_ptr_equal(registry_handler(&t, "other"), any);
    assert_true(registry_has_event(&t, "done"));
    assert_false(registry_has_event(&t, "other"));
    t.events = all;
    assert_true(registry_has_event(&t, "other"));
    t.slots = &slots[1];
    t.n_slots = 1;
    assert_null(registry_handler(&t, "other"));
}

static void is_refused(const struct fm_routine_type *t, const char *field, const char *text)
{
    fm_err_done(&err);
    assert_int_equal(registry_add(registry, t, &err), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, field);
    if (strstr(err.msg, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
    assert_int_equal(registry_count(registry), 0);
}

static void a_table_of_slots_that_is_not_sound_is_refused(void **state)
{
    (void)state;
    static const struct fm_slot nameless[] =
        {
            {NULL, one}
    },
                                spaced[] = {{"a b", one}};
    struct fm_routine_type t = sound();
    t.n_slots = 0;
    is_refused(&t, "slots", "no slots");
    t = sound();
    t.slots = NULL;
    is_refused(&t, "slots", "no slots");
    t = sound();
    t.n_slots = 1;
    t.slots = nameless;
    is_refused(&t, "slots", "slot 0");
    t.slots = spaced;
    is_refused(&t, "slots", "slot 0");
}

static void a_table_of_events_that_is_not_sound_is_refused(void **state)
{
    (void)state;
    static const char *const nameless[] = {NULL}, *const spaced[] = {"a b"}, *const twice[] = {"a", "a"};
    struct fm_routine_type t = sound();
    t.events = NULL;
    is_refused(&t, "events", "no table");
    t.events = nameless;
    is_refused(&t, "events", "event 0");
    t.events = spaced;
    is_refused(&t, "events", "event 0");
    t.events = twice;
    t.n_events = 2;
    is_refused(&t, "events", "two events \"a\"");
}

static void a_type_without_a_name_is_refused(void **state)
{
    (void)state;
    struct fm_routine_type t = sound();
    t.name = NULL;
    is_refused(&t, "name", "1 to 128");
    t.name = "";
    is_refused(&t, "name", "1 to 128");
}

static void the_built_in_types_are_added_once(void **state)
{
    (void)state;
    assert_int_equal(registry_add_builtin(registry, &err), 0);
    assert_ptr_equal(registry_find(registry, "llm_agent"), &llm_agent_type);
    assert_ptr_equal(registry_find(registry, "human"), &human_type);
    assert_ptr_equal(registry_find(registry, "log"), &log_type);
    assert_int_equal(registry_add_builtin(registry, &err), -FM_ALREADY_EXISTS);
    assert_non_null(strstr(err.msg, "llm_agent"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_type_is_found_by_its_name),
        TEST(a_star_takes_slots_and_events_that_are_not_named),
        TEST(a_table_of_slots_that_is_not_sound_is_refused),
        TEST(a_table_of_events_that_is_not_sound_is_refused),
        TEST(a_type_without_a_name_is_refused),
        TEST(the_built_in_types_are_added_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
