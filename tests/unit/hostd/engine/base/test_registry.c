/* The registry: what is found in a sound table, what is refused in others. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ask.h"
#include "builtin.h"
#include "catalog.h"
#include "json_text.h"
#include "mem.h"
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
    assert_string_equal(registry_find(registry, "acme.box")->name, "acme.box");
    assert_null(registry_find(registry, "acme"));
    assert_int_equal(registry_count(registry), 1);
    assert_ptr_equal(registry_at(registry, 0), registry_find(registry, "acme.box"));
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

static void flags_are_of_the_events_they_stand_beside(void **state)
{
    (void)state;
    static const char *const names[] = {"done", "asked", "*"};
    static const uint32_t flags[] = {0, FM_EVENT_NOTICE, FM_EVENT_CALL};
    struct fm_routine_type t = sound();
    assert_int_equal(registry_event_flags(&t, "done"), 0);
    t.events = names;
    t.n_events = 3;
    t.event_flags = flags;
    assert_int_equal(registry_event_flags(&t, "done"), 0);
    assert_int_equal(registry_event_flags(&t, "asked"), FM_EVENT_NOTICE);
    assert_int_equal(registry_event_flags(&t, "other"), 0);
}

static void a_schema_that_the_coordinator_would_refuse_is_refused(void **state)
{
    (void)state;
    struct fm_routine_type t = sound();
    fm_autofree char *large = fm_xcalloc(TYPE_SCHEMA_BYTES + 2, 1);
    fm_autofree char *unknown = json_text("{'properties':{'a':{'typ':'string'}}}");
    fm_autofree char *pattern = json_text("{'properties':{'a':{'pattern':'x'}}}");
    fm_autofree char *sound_one = json_text("{'additionalProperties':false}");
    t.config_schema = "{";
    is_refused(&t, "", "routine type acme.box");
    t.config_schema = unknown;
    is_refused(&t, "config_schema.properties.a.typ", "not supported");
    t.config_schema = pattern;
    is_refused(&t, "config_schema.properties.a.pattern", "no patterns");
    memset(large, ' ', TYPE_SCHEMA_BYTES + 1);
    memcpy(large, "{}", 2);
    t.config_schema = large;
    is_refused(&t, "config_schema", "65536");
    fm_err_done(&err);
    t.config_schema = sound_one;
    assert_int_equal(registry_add(registry, &t, &err), 0);
}

static void the_schemas_of_all_types_have_a_limit_together(void **state)
{
    (void)state;
    fm_autofree char *large = fm_xcalloc(TYPE_SCHEMA_BYTES + 1, 1);
    struct fm_routine_type t = sound();
    char names[20][16];
    memset(large, ' ', TYPE_SCHEMA_BYTES);
    memcpy(large, "{}", 2);
    t.config_schema = large;
    for (size_t i = 0; i < TYPE_SCHEMAS_BYTES / TYPE_SCHEMA_BYTES; i++) {
        snprintf(names[i], sizeof(names[i]), "t%zu", i);
        t.name = names[i];
        assert_int_equal(registry_add(registry, &t, &err), 0);
    }
    t.name = "one.more";
    assert_int_equal(registry_add(registry, &t, &err), -FM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "one.more"));
    fm_err_done(&err);
    t.config_schema = NULL;
    assert_int_equal(registry_add(registry, &t, &err), 0);
}

static void a_table_of_version_1_is_read_up_to_where_it_ends(void **state)
{
    (void)state;
    static const char *const names[] = {"done", "tool_call"};
    struct {
        _Alignas(struct fm_routine_type) unsigned char table[offsetof(struct fm_routine_type, event_flags)];
        unsigned char behind[64];
    } old;
    struct fm_routine_type t = sound();
    t.abi = 1;
    t.events = names;
    t.n_events = 2;
    memset(&old, 0x5a, sizeof(old));
    memcpy(old.table, &t, sizeof(old.table));
    void *table = &old;
    assert_int_equal(registry_add(registry, table, &err), 0);
    const struct fm_routine_type *got = registry_find(registry, "acme.box");
    assert_null(got->config_schema);
    assert_null(got->event_flags);
    assert_int_equal(registry_event_flags(got, "tool_call"), FM_EVENT_CALL);
    assert_int_equal(registry_event_flags(got, "done"), 0);
}

static void the_built_in_types_are_added_once(void **state)
{
    (void)state;
    assert_int_equal(registry_add_builtin(registry, &err), 0);
    assert_int_equal(registry_count(registry), 15);
    assert_ptr_equal(registry_find(registry, "human")->slots, human_type.slots);
    assert_int_equal(registry_find(registry, "jq")->flags, FM_BLOCKING | FM_BESIDE);
    assert_int_equal(registry_find(registry, "human")->flags, FM_SEES_TIMEOUTS);
    assert_int_equal(registry_find(registry, "http")->flags, FM_EFFECTS);
    assert_int_equal(registry_find(registry, "http")->default_attempts, 3);
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
        TEST(flags_are_of_the_events_they_stand_beside),
        TEST(a_schema_that_the_coordinator_would_refuse_is_refused),
        TEST(the_schemas_of_all_types_have_a_limit_together),
        TEST(a_table_of_version_1_is_read_up_to_where_it_ends),
        TEST(the_built_in_types_are_added_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
