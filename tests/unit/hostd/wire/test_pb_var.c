/* The one callback of nanopb: what it decodes, what it encodes, and where it stops. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "arena.h"
#include "err.h"
#include "fermata/v1/host_agent.pb.h"
#include "fermata/v1/types.pb.h"
#include "mem.h"
#include "pb_var.h"
#include "wire_nano.h"

static struct fm_arena arena;

static int set_up(void **state)
{
    (void)state;
    fm_arena_init(&arena, 64u << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fm_arena_done(&arena);
    return 0;
}

static struct fm_bytes view(const struct fm_buf *b)
{
    return (struct fm_bytes){b->p, b->n};
}

static void encode(const pb_msgdesc_t *desc, const void *msg, struct fm_buf *out)
{
    struct fm_err err = {0};
    if (pb_var_encode(desc, msg, out, &err) < 0)
        fail_msg("%s", err.msg);
}

static void decode(const pb_msgdesc_t *desc, void *msg, const struct fm_buf *in)
{
    struct fm_err err = {0};
    if (pb_var_decode(desc, msg, view(in), &arena, &err) < 0)
        fail_msg("%s", err.msg);
}

static void texts_and_data_are_views_of_the_input(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    fm_buf_put_string(&b, 2, "agent");
    fm_buf_put_len_delim(&b, 4, "\x0a\x00", 2);
    fermata_v1_Task m;
    memset(&m, 0, sizeof(m));
    decode(fermata_v1_Task_fields, &m, &b);
    assert_true(pb_var_eq(m.routine, "agent"));
    assert_ptr_equal(m.routine.p, b.p + 2);
    assert_int_equal(m.data.n, 2);
    assert_false(m.slot.present);
    assert_string_equal(pb_var_dup(m.routine, &arena), "agent");
    assert_string_equal(pb_var_dup(m.slot, &arena), "");
    fm_buf_done(&b);
}

static void the_last_occurrence_of_a_text_wins(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    fm_buf_put_string(&b, 1, "first");
    fm_buf_put_string(&b, 1, "last");
    fermata_v1_HeldJob m;
    memset(&m, 0, sizeof(m));
    decode(fermata_v1_HeldJob_fields, &m, &b);
    assert_true(pb_var_eq(m.job_id, "last"));
    fm_buf_done(&b);
}

static void an_empty_submessage_is_not_an_absent_one(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    fermata_v1_Task m;
    memset(&m, 0, sizeof(m));
    encode(fermata_v1_Task_fields, &m, &b);
    assert_int_equal(b.n, 0);
    m.data = pb_var_bytes(NULL, 0);
    encode(fermata_v1_Task_fields, &m, &b);
    assert_int_equal(b.n, 2);
    memset(&m, 0, sizeof(m));
    decode(fermata_v1_Task_fields, &m, &b);
    assert_true(m.data.present);
    assert_int_equal(m.data.n, 0);
    fm_buf_done(&b);
}

static void an_empty_text_is_not_written(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    fermata_v1_HeldJob m;
    memset(&m, 0, sizeof(m));
    m.job_id = pb_var_bytes("", 0);
    encode(fermata_v1_HeldJob_fields, &m, &b);
    assert_int_equal(b.n, 0);
    fm_buf_done(&b);
}

static void lists_of_a_hundred_thousand_survive_in_order(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct fm_bytes *items = fm_xcalloc(N, sizeof(*items));
    char(*texts)[8] = fm_xcalloc(N, sizeof(*texts));
    for (size_t i = 0; i < N; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%zu", i);
        items[i] = (struct fm_bytes){(const uint8_t *)texts[i], strlen(texts[i])};
    }
    fermata_v1_Pause in, out;
    memset(&in, 0, sizeof(in));
    memset(&out, 0, sizeof(out));
    in.choices = pb_var_list(items, N);
    struct fm_buf b = {0};
    encode(fermata_v1_Pause_fields, &in, &b);
    decode(fermata_v1_Pause_fields, &out, &b);
    assert_int_equal(out.choices.n, N);
    for (size_t i = 0; i < N; i++)
        assert_true(fm_bytes_eq(out.choices.items[i], items[i]));
    fm_buf_done(&b);
    free(items);
    free(texts);
}

static void four_megabytes_survive_two_levels_down(void **state)
{
    (void)state;
    size_t n = 4u << 20;
    char *big = fm_xmalloc(n);
    memset(big, 'x', n);
    fermata_v1_HostMessage in, out;
    memset(&in, 0, sizeof(in));
    memset(&out, 0, sizeof(out));
    in.seq = UINT64_MAX;
    in.which_body = fermata_v1_HostMessage_release_tag;
    in.body.release.message = pb_var_bytes(big, n);
    struct fm_buf b = {0};
    encode(fermata_v1_HostMessage_fields, &in, &b);
    decode(fermata_v1_HostMessage_fields, &out, &b);
    assert_int_equal(out.which_body, fermata_v1_HostMessage_release_tag);
    assert_true(out.seq == UINT64_MAX);
    assert_int_equal(out.body.release.message.n, n);
    assert_memory_equal(out.body.release.message.p, big, n);
    fm_buf_done(&b);
    free(big);
}

static void nested_messages_say_whether_they_are_there(void **state)
{
    (void)state;
    fermata_v1_Step in, out;
    memset(&in, 0, sizeof(in));
    memset(&out, 0, sizeof(out));
    in.has_error = true;
    in.error.code = pb_var_str("INTERNAL");
    struct fm_buf b = {0};
    encode(fermata_v1_Step_fields, &in, &b);
    decode(fermata_v1_Step_fields, &out, &b);
    assert_true(out.has_error);
    assert_true(pb_var_eq(out.error.code, "INTERNAL"));
    assert_false(out.has_usage);
    fm_buf_done(&b);
}

static void more_elements_than_the_arena_has_room_for_are_an_error(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    struct fm_arena small;
    struct fm_err err = {0};
    fermata_v1_StepBatch m;
    memset(&m, 0, sizeof(m));
    for (int i = 0; i < 1000; i++)
        fm_buf_put_len_delim(&b, 1, "", 0);
    fm_arena_init(&small, 4096);
    assert_int_equal(pb_var_decode(fermata_v1_StepBatch_fields, &m, view(&b), &small, &err),
                     -FM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "4096"));
    fm_arena_done(&small);
    fm_buf_done(&b);
}

static void bytes_that_are_cut_short_are_an_error(void **state)
{
    (void)state;
    fermata_v1_Release in, out;
    memset(&in, 0, sizeof(in));
    in.job_id = pb_var_str("job");
    in.epoch = 300;
    in.message = pb_var_str("text");
    struct fm_buf b = {0};
    encode(fermata_v1_Release_fields, &in, &b);
    for (size_t n = 1; n < b.n; n++) {
        uint8_t *exact = fm_xmemdup(b.p, n); /* a reader that goes too far is seen by the sanitizer */
        struct fm_err err = {0};
        memset(&out, 0, sizeof(out));
        int rc = pb_var_decode(fermata_v1_Release_fields, &out, (struct fm_bytes){exact, n}, &arena, &err);
        assert_true(rc == 0 || rc == -FM_INVALID_ARGUMENT);
        assert_true(n == 5 || n == 8 || rc != 0); /* the ends of the first fields */
        free(exact);
    }
    fm_buf_done(&b);
}

static void the_library_and_this_code_agree_on_their_flags(void **state)
{
    (void)state;
    struct fm_err err = {0};
    if (nano_self_test(&err) < 0)
        fail_msg("%s", err.msg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(texts_and_data_are_views_of_the_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_occurrence_of_a_text_wins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_submessage_is_not_an_absent_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_text_is_not_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_of_a_hundred_thousand_survive_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(four_megabytes_survive_two_levels_down, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nested_messages_say_whether_they_are_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_elements_than_the_arena_has_room_for_are_an_error, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(bytes_that_are_cut_short_are_an_error, set_up, tear_down),
        cmocka_unit_test(the_library_and_this_code_agree_on_their_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
