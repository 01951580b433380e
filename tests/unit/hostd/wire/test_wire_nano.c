/* The guard as hostd uses it: what a hostile coordinator may send is refused before nanopb sees
 * it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "arena.h"
#include "fermata/v1/host_agent.pb.h"
#include "fermata/v1/types.pb.h"
#include "mem.h"
#include "wire_nano.h"

#define LIMIT (1u << 20)

static int decode_task(const struct fm_buf *b, size_t limit, struct fm_err *err)
{
    struct fm_arena arena;
    fermata_v1_Task m;
    memset(&m, 0, sizeof(m));
    fm_arena_init(&arena, LIMIT);
    int rc =
        nano_decode(fermata_v1_Task_fields, "Task", &m, (struct fm_bytes){b->p, b->n}, limit, &arena, err);
    fm_arena_done(&arena);
    return rc;
}

/* Task.data.fields["k"] = value, where value nests lists `levels` deep. */
static struct fm_buf nested(int levels)
{
    struct fm_buf value = {0}, b = {0};
    for (int i = 0; i < levels; i++) {
        struct fm_buf list = {0}, outer = {0};
        fm_buf_put_len_delim(&list, 1, value.p, value.n);
        fm_buf_put_len_delim(&outer, 6, list.p, list.n);
        fm_buf_done(&list);
        fm_buf_done(&value);
        value = outer;
    }
    struct fm_buf entry = {0}, data = {0};
    fm_buf_put_string(&entry, 1, "k");
    fm_buf_put_len_delim(&entry, 2, value.p, value.n);
    fm_buf_put_len_delim(&data, 1, entry.p, entry.n);
    fm_buf_put_len_delim(&b, 4, data.p, data.n);
    fm_buf_done(&value);
    fm_buf_done(&entry);
    fm_buf_done(&data);
    return b;
}

static void deep_user_data_is_walked_although_nanopb_leaves_it_encoded(void **state)
{
    (void)state;
    struct fm_err err = {0};
    struct fm_buf fine = nested(20), deep = nested(2000);
    assert_int_equal(decode_task(&fine, LIMIT, &err), 0);
    assert_int_equal(decode_task(&deep, LIMIT, &err), -FM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "nested too deeply"));
    fm_buf_done(&fine);
    fm_buf_done(&deep);
}

static void text_that_is_not_utf8_is_refused_and_the_field_named_by_its_number(void **state)
{
    (void)state;
    struct fm_err err = {0};
    struct fm_buf b = {0};
    fm_buf_put_len_delim(&b, 2, "\xc3(", 2);
    assert_int_equal(decode_task(&b, LIMIT, &err), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "#2");
    fm_buf_done(&b);
}

static void text_inside_of_user_data_is_checked(void **state)
{
    (void)state;
    struct fm_err err = {0};
    struct fm_buf entry = {0}, data = {0}, b = {0};
    fm_buf_put_len_delim(&entry, 1, "a\0b", 3);
    fm_buf_put_len_delim(&data, 1, entry.p, entry.n);
    fm_buf_put_len_delim(&b, 4, data.p, data.n);
    assert_int_equal(decode_task(&b, LIMIT, &err), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "#4.#1[0].#1");
    fm_buf_done(&entry);
    fm_buf_done(&data);
    fm_buf_done(&b);
}

static void a_submessage_that_occurs_twice_is_refused(void **state)
{
    (void)state;
    struct fm_err err = {0};
    struct fm_buf b = {0};
    fm_buf_put_len_delim(&b, 4, "", 0);
    fm_buf_put_len_delim(&b, 4, "", 0);
    assert_int_equal(decode_task(&b, LIMIT, &err), -FM_INVALID_ARGUMENT);
    fm_buf_done(&b);
}

static void a_message_above_the_limit_is_refused(void **state)
{
    (void)state;
    struct fm_err err = {0};
    struct fm_buf b = {0};
    fm_buf_put_string(&b, 2, "0123456789");
    assert_int_equal(decode_task(&b, 11, &err), -FM_RESOURCE_EXHAUSTED);
    assert_int_equal(decode_task(&b, 12, &err), 0);
    fm_buf_done(&b);
}

static void numbers_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    static const uint8_t nan[] = {0x21, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f};
    struct fm_err err = {0};
    struct fm_buf step = {0};
    struct fm_arena arena;
    fermata_v1_Step m;
    memset(&m, 0, sizeof(m));
    fm_buf_put_len_delim(&step, 18, nan, sizeof(nan));
    fm_arena_init(&arena, LIMIT);
    assert_int_equal(nano_decode(fermata_v1_Step_fields, "Step", &m, (struct fm_bytes){step.p, step.n}, LIMIT,
                                 &arena, &err),
                     -FM_INVALID_ARGUMENT);
    fm_arena_done(&arena);
    fm_buf_done(&step);
}

static void fields_of_a_later_version_are_skipped(void **state)
{
    (void)state;
    struct fm_err err = {0};
    struct fm_buf b = {0};
    fm_buf_put_tag_varint(&b, 1000, 7);
    fm_buf_put_string(&b, 1001, "text");
    fm_buf_put_string(&b, 2, "r");
    assert_int_equal(decode_task(&b, LIMIT, &err), 0);
    fm_buf_done(&b);
}

static void a_descriptor_is_made_once(void **state)
{
    (void)state;
    const struct wire_msg *m = wire_msg_of_nano(fermata_v1_HostMessage_fields, "HostMessage");
    assert_ptr_equal(m, wire_msg_of_nano(fermata_v1_HostMessage_fields, "HostMessage"));
    for (size_t i = 0; i < m->n_fields; i++) {
        assert_true(i == 0 || m->fields[i - 1].number < m->fields[i].number);
        assert_true(m->fields[i].kind != WIRE_MESSAGE || m->fields[i].sub != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deep_user_data_is_walked_although_nanopb_leaves_it_encoded),
        cmocka_unit_test(text_that_is_not_utf8_is_refused_and_the_field_named_by_its_number),
        cmocka_unit_test(text_inside_of_user_data_is_checked),
        cmocka_unit_test(a_submessage_that_occurs_twice_is_refused),
        cmocka_unit_test(a_message_above_the_limit_is_refused),
        cmocka_unit_test(numbers_that_are_not_finite_are_refused),
        cmocka_unit_test(fields_of_a_later_version_are_skipped),
        cmocka_unit_test(a_descriptor_is_made_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
