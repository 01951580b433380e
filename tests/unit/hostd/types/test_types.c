/* The registry against the catalog, values, parameter mapping. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "builtin.h"
#include "catalog.h"
#include "hflow.h"
#include "mem.h"
#include "registry.h"
#include "value.h"

static struct fm_arena arena;

static int setup(void **state)
{
    (void)state;
    fm_arena_init(&arena, 16u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fm_arena_done(&arena);
    return 0;
}

static void the_built_in_types_are_as_the_catalog_says(void **state)
{
    (void)state;
    struct fm_err err = {0};
    struct registry *r = registry_new();
    assert_int_equal(registry_add_builtin(r, &err), 0);
    size_t n;
    const struct type_spec *specs = type_catalog(&n);
    assert_int_equal(registry_count(r), n);
    for (size_t i = 0; i < n; i++) {
        const struct fm_routine_type *t = registry_at(r, i);
        assert_string_equal(t->name, specs[i].name);
        assert_int_equal(t->version, specs[i].version);
        assert_string_equal(t->config_schema, specs[i].config_text);
        assert_int_equal((t->flags & FM_EFFECTS) != 0, specs[i].effects);
        for (size_t k = 0; k < specs[i].n_slots; k++)
            assert_non_null(registry_handler(t, specs[i].slots[k].name));
        assert_int_equal(t->n_events, specs[i].n_events);
        for (size_t k = 0; k < t->n_events; k++) {
            const struct type_event *e = &specs[i].events[k];
            assert_string_equal(t->events[k], e->name);
            assert_int_equal(registry_event_flags(t, e->name),
                             (e->notice ? FM_EVENT_NOTICE : 0) | (e->call ? FM_EVENT_CALL : 0));
        }
    }
    registry_free(r);
}

static int nothing(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)ctx;
    (void)data;
    return 0;
}

static void a_type_that_is_not_sound_is_refused(void **state)
{
    (void)state;
    static const struct fm_slot slot =
                                    {
                                        "in", nothing
    },
                                no_handler = {"in", NULL}, twice[] = {{"in", nothing}, {"in", nothing}};
    struct fm_routine_type good = {.abi = FM_ROUTINE_ABI,
                                   .name = "t",
                                   .version = 1,
                                   .slots = &slot,
                                   .n_slots = 1},
                           t = good;
    struct fm_err err = {0};
    struct registry *r = registry_new();
    t.abi = 99;
    assert_int_equal(registry_add(r, &t, &err), -FM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "99"));
    t = good;
    t.name = "a b";
    assert_int_equal(registry_add(r, &t, &err), -FM_INVALID_ARGUMENT);
    t = good;
    t.slots = &no_handler;
    assert_int_equal(registry_add(r, &t, &err), -FM_INVALID_ARGUMENT);
    t = good;
    t.slots = twice;
    t.n_slots = 2;
    assert_int_equal(registry_add(r, &t, &err), -FM_INVALID_ARGUMENT);
    assert_int_equal(registry_add(r, &good, &err), 0);
    assert_int_equal(registry_add(r, &good, &err), -FM_ALREADY_EXISTS);
    registry_free(r);
}

/* ---- values ---- */

static struct fm_value *sample(void)
{
    struct fm_value *map = value_map(&arena), *list = value_list(&arena), *inner = value_map(&arena);
    assert_int_equal(value_map_set(&arena, inner, "city", value_string(&arena, "Kyoto", 5)), 0);
    assert_int_equal(value_list_add(&arena, list, value_number(&arena, 1.5)), 0);
    assert_int_equal(value_list_add(&arena, list, inner), 0);
    assert_int_equal(value_list_add(&arena, list, value_null(&arena)), 0);
    assert_int_equal(value_map_set(&arena, map, "list", list), 0);
    assert_int_equal(value_map_set(&arena, map, "yes", value_bool(&arena, true)), 0);
    return map;
}

static void a_value_is_the_same_after_encoding_and_decoding(void **state)
{
    (void)state;
    struct fm_buf one = {0}, two = {0};
    struct fm_err err = {0};
    assert_int_equal(value_encode_struct(sample(), &one, &err), 0);
    const struct fm_value *back = value_decode_struct((struct fm_bytes){one.p, one.n}, &arena, &err);
    assert_non_null(back);
    assert_string_equal(fm_value_string(fm_value_get(back, "list[1].city"), ""), "Kyoto");
    assert_true(fm_value_number(fm_value_get(back, "list[0]"), 0) == 1.5);
    assert_int_equal(fm_value_kind(fm_value_get(back, "list[2]")), FM_NULL);
    assert_true(fm_value_bool(fm_value_get(back, "yes"), false));
    assert_null(fm_value_get(back, "list[9]"));
    assert_null(fm_value_get(back, "no.such.path"));
    assert_int_equal(value_encode_struct(back, &two, &err), 0);
    assert_int_equal(one.n, two.n);
    assert_memory_equal(one.p, two.p, one.n);
    fm_buf_done(&one);
    fm_buf_done(&two);
}

static void what_is_nested_too_deeply_is_neither_written_nor_read(void **state)
{
    (void)state;
    struct fm_err err = {0};
    struct fm_buf b = {0};
    struct fm_value *v = value_list(&arena);
    for (int i = 0; i < 200; i++) {
        struct fm_value *outer = value_list(&arena);
        assert_int_equal(value_list_add(&arena, outer, v), 0);
        v = outer;
    }
    assert_int_equal(value_encode(v, 1, &b, &err), -FM_INVALID_ARGUMENT);
    fm_buf_done(&b);
    struct fm_buf in = {0};
    for (int i = 0; i < 200; i++) {
        struct fm_buf list = {0}, value = {0};
        fm_buf_put_len_delim(&list, 1, in.p, in.n);
        fm_buf_put_len_delim(&value, 6, list.p, list.n);
        fm_buf_done(&in);
        fm_buf_done(&list);
        in = value;
    }
    assert_null(value_decode((struct fm_bytes){in.p, in.n}, &arena, &err));
    assert_int_equal(err.code, FM_INVALID_ARGUMENT);
    fm_buf_done(&in);
}

static void text_that_is_no_utf8_and_numbers_that_are_not_finite_do_not_get_out(void **state)
{
    (void)state;
    assert_string_equal(fm_value_string(value_string(&arena, "a\xff", 2), ""), "a?");
    assert_int_equal(fm_value_kind(value_number(&arena, 1.0 / 0.0)), FM_NULL);
}

static void an_arena_that_is_full_ends_in_an_error(void **state)
{
    (void)state;
    struct fm_arena small;
    struct fm_buf b = {0};
    struct fm_err err = {0};
    fm_arena_init(&small, 200);
    assert_int_equal(value_encode_struct(sample(), &b, &err), 0);
    assert_null(value_decode_struct((struct fm_bytes){b.p, b.n}, &small, &err));
    assert_int_equal(err.code, FM_RESOURCE_EXHAUSTED);
    fm_arena_done(&small);
    fm_buf_done(&b);
}

/* ---- mapping ---- */

static int applied(const struct connection *c, struct fm_bytes in, struct fm_buf *out)
{
    struct data_fields fields;
    data_fields_read(&fields, in);
    int rc = mapping_apply(c, &fields, out);
    data_fields_done(&fields);
    return rc;
}

static void a_mapping_renames_and_leaves_the_rest(void **state)
{
    (void)state;
    struct mapping m[] = {
        {"text", "answer"}
    };
    struct connection c = {.mapping = m, .n_mapping = 1};
    struct fm_value *data = value_map(&arena);
    assert_int_equal(value_map_set(&arena, data, "text", value_string(&arena, "new", 3)), 0);
    assert_int_equal(value_map_set(&arena, data, "answer", value_string(&arena, "old", 3)), 0);
    assert_int_equal(value_map_set(&arena, data, "kept", value_bool(&arena, true)), 0);
    struct fm_buf in = {0}, out = {0};
    struct fm_err err = {0};
    assert_int_equal(value_encode_struct(data, &in, &err), 0);
    assert_int_equal(applied(&c, fm_buf_bytes(&in), &out), 0);
    const struct fm_value *got = value_decode_struct((struct fm_bytes){out.p, out.n}, &arena, &err);
    assert_int_equal(fm_value_size(got), 2);
    assert_string_equal(fm_value_string(fm_value_get(got, "answer"), ""), "new");
    assert_true(fm_value_bool(fm_value_get(got, "kept"), false));
    fm_buf_done(&in);
    fm_buf_done(&out);
}

/* Clients can send a key again and again; the time must not grow with the square of that. The bound
 * is of work, not of time: done quadratically this test would run for many minutes. */
static void a_mapping_of_data_with_a_key_that_is_repeated_costs_one_pass(void **state)
{
    (void)state;
    struct mapping m[] = {
        {"text", "answer"}
    };
    struct connection c = {.mapping = m, .n_mapping = 1};
    struct fm_buf in = {0}, out = {0}, pair = {0};
    fm_buf_put_string(&pair, 1, "answer");
    fm_buf_put_len_delim(&pair, 2, "", 0);
    for (int i = 0; i < 200000; i++)
        fm_buf_put_len_delim(&in, 1, pair.p, pair.n);
    assert_int_equal(applied(&c, fm_buf_bytes(&in), &out), 0);
    assert_int_equal(out.n, in.n / 200000); /* of equal keys the last one counts */
    fm_buf_done(&in);
    fm_buf_done(&out);
    fm_buf_done(&pair);
}

/* Whatever the connections of an event say: 256 names each, and the event's data have 50,000. Looked at anew
 * by each name, this would take minutes. */
static void many_connections_look_at_many_fields(void **state)
{
    (void)state;
    static struct mapping m[256];
    static char names[256][16];
    struct fm_buf in = {0}, filter = {0}, pair = {0};
    for (int i = 0; i < 50000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i * 7919 % 50000);
        pair.n = 0;
        fm_buf_put_string(&pair, 1, name);
        fm_buf_put_len_delim(&pair, 2, "", 0);
        fm_buf_put_len_delim(&in, 1, pair.p, pair.n);
        if (i % 200 == 0)
            fm_buf_put_len_delim(&filter, 1, pair.p, pair.n);
    }
    for (int i = 0; i < 256; i++) {
        snprintf(names[i], sizeof(names[i]), "k%d", i * 190);
        m[i] = (struct mapping){names[i], i % 2 == 0 ? "x" : names[255 - i]};
    }
    const struct connection c = {.event = "out",
                                 .mapping = m,
                                 .n_mapping = 256,
                                 .drop_unmapped = true,
                                 .filter = fm_buf_bytes(&filter)};
    struct data_fields fields;
    data_fields_read(&fields, fm_buf_bytes(&in));
    assert_int_equal(fields.n, 50000);
    for (int i = 0; i < 1000; i++) {
        fm_auto(fm_buf) out = {0};
        assert_true(connection_takes(&c, &fields));
        assert_int_equal(mapping_apply(&c, &fields, &out), 0);
        assert_true(out.n > 256 * 4);
    }
    data_fields_done(&fields);
    fm_buf_done(&in);
    fm_buf_done(&filter);
    fm_buf_done(&pair);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_built_in_types_are_as_the_catalog_says),
        TEST(a_type_that_is_not_sound_is_refused),
        TEST(a_value_is_the_same_after_encoding_and_decoding),
        TEST(what_is_nested_too_deeply_is_neither_written_nor_read),
        TEST(text_that_is_no_utf8_and_numbers_that_are_not_finite_do_not_get_out),
        TEST(an_arena_that_is_full_ends_in_an_error),
        TEST(a_mapping_renames_and_leaves_the_rest),
        TEST(many_connections_look_at_many_fields),
        TEST(a_mapping_of_data_with_a_key_that_is_repeated_costs_one_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
