/* Bytes and memory. */
#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "mem.h"

static void views_compare_by_content(void **state)
{
    (void)state;
    struct fm_bytes a = {(const uint8_t *)"abc", 3}, empty = {NULL, 0};
    assert_true(fm_bytes_eq(a, (struct fm_bytes){(const uint8_t *)"abcd", 3}));
    assert_false(fm_bytes_eq(a, (struct fm_bytes){(const uint8_t *)"abd", 3}));
    assert_false(fm_bytes_eq(a, empty));
    assert_true(fm_bytes_eq(empty, empty));
    assert_true(fm_bytes_eq_str(a, "abc"));
    assert_false(fm_bytes_eq_str(a, "abcd"));
    assert_true(fm_bytes_eq_str(empty, ""));
}

static void a_buffer_grows_and_keeps_what_is_in_it(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t byte = (uint8_t)(i * 7);
        fm_buf_append(&b, &byte, 1);
    }
    assert_int_equal(b.n, 100000);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(b.p[i], (uint8_t)(i * 7));
    uint8_t *p = b.p;
    fm_buf_reset(&b);
    fm_buf_append(&b, "x", 1);
    assert_ptr_equal(b.p, p);
    assert_int_equal(b.n, 1);
    fm_buf_done(&b);
    assert_null(b.p);
}

static void appending_nothing_from_nowhere_is_fine(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    fm_buf_append(&b, NULL, 0);
    assert_int_equal(b.n, 0);
    fm_buf_reserve(&b, 0);
    assert_non_null(b.p);
    fm_buf_done(&b);
}

static void varints_have_their_least_size(void **state)
{
    (void)state;
    const struct {
        uint64_t v;
        size_t size;
    } cases[] = {
        {0,                 1 },
        {127,               1 },
        {128,               2 },
        {16383,             2 },
        {16384,             3 },
        {UINT32_MAX,        5 },
        {(uint64_t)1 << 63, 10},
        {UINT64_MAX,        10}
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fm_buf b = {0};
        fm_buf_put_varint(&b, cases[i].v);
        assert_int_equal(b.n, cases[i].size);
        assert_int_equal(fm_varint_size(cases[i].v), cases[i].size);
        fm_buf_done(&b);
    }
}

static void fields_are_written_as_the_encoding_guide_shows(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    fm_buf_put_tag_varint(&b, 1, 150);
    fm_buf_put_string(&b, 2, "testing");
    fm_buf_put_double(&b, 3, 1.0);
    fm_buf_put_len_header(&b, 16, 300);
    static const uint8_t want[] = "\x08\x96\x01\x12\x07testing\x19\0\0\0\0\0\0\xf0\x3f\x82\x01\xac\x02";
    assert_int_equal(b.n, sizeof(want) - 1);
    assert_memory_equal(b.p, want, b.n);
    fm_buf_done(&b);
}

static void utf8_sequences_follow_rfc_3629(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        size_t len;
    } cases[] = {
        {"a",                1},
        {"\xc3\xa4",         2},
        {"\xe2\x82\xac",     3},
        {"\xf0\x9f\x98\x80", 4},
        {"\xef\xbf\xbf",     3},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\xc0\x80",         0},
        {"\xc1\xbf",         0},
        {"\xe0\x9f\xbf",     0},
        {"\xed\xa0\x80",     0},
        {"\xed\x9f\xbf",     3},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\x80",             0},
        {"\xff",             0},
        {"\xe2\x82",         0},
        {"\xe2\x82\x41",     0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(fm_utf8_sequence((const uint8_t *)cases[i].s, strlen(cases[i].s)), cases[i].len);
}

static void a_text_is_cut_between_characters(void **state)
{
    (void)state;
    static const char text[] = "a\xf0\x9f\x98\x80"
                               "b";
    static const size_t lengths[] = {0, 1, 1, 1, 1, 5, 6, 6};
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(fm_utf8_cut(text, i), lengths[i]);
}

static void memory_of_zero_bytes_is_memory(void **state)
{
    (void)state;
    fm_autofree void *a = fm_xmalloc(0), *b = fm_xcalloc(0, 8), *c = fm_xmemdup(NULL, 0),
                     *d = fm_xrealloc(NULL, 0);
    fm_autofree char *s = fm_xstrdup("text");
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_non_null(d);
    assert_string_equal(s, "text");
}

static void a_descriptor_closes_at_the_end_of_its_scope(void **state)
{
    (void)state;
    int seen;
    {
        fm_autoclose int none = -1;
        fm_autoclose int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        seen = fd;
        (void)none;
    }
    assert_int_equal(fcntl(seen, F_GETFD), -1);
}

static void what_a_buffer_holds_can_be_seen_and_taken(void **state)
{
    (void)state;
    fm_auto(fm_buf) b = {0};
    fm_buf_append(&b, "abc", 3);
    assert_true(fm_bytes_eq(fm_buf_bytes(&b), fm_bytes_of("abc")));
    fm_auto(fm_buf) taken = fm_buf_take(&b);
    assert_null(b.p);
    assert_int_equal(b.n, 0);
    assert_true(fm_bytes_eq_str(fm_buf_bytes(&taken), "abc"));
    assert_true(fm_bytes_eq(fm_bytes_of(NULL), FM_NO_BYTES));
}

static void bytes_are_written_as_hexadecimal_digits(void **state)
{
    (void)state;
    char text[9];
    fm_hex("\x00\x7f\xa5\xff", 4, text);
    assert_string_equal(text, "007fa5ff");
    fm_hex(NULL, 0, text);
    assert_string_equal(text, "");
}

static char *taken_out(void)
{
    fm_autofree char *s = fm_xstrdup("kept");
    return fm_take(s);
}

static void what_is_taken_out_outlives_its_scope(void **state)
{
    (void)state;
    fm_autofree char *s = taken_out();
    assert_string_equal(s, "kept");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_compare_by_content),
        cmocka_unit_test(a_buffer_grows_and_keeps_what_is_in_it),
        cmocka_unit_test(appending_nothing_from_nowhere_is_fine),
        cmocka_unit_test(varints_have_their_least_size),
        cmocka_unit_test(fields_are_written_as_the_encoding_guide_shows),
        cmocka_unit_test(utf8_sequences_follow_rfc_3629),
        cmocka_unit_test(a_text_is_cut_between_characters),
        cmocka_unit_test(memory_of_zero_bytes_is_memory),
        cmocka_unit_test(what_a_buffer_holds_can_be_seen_and_taken),
        cmocka_unit_test(bytes_are_written_as_hexadecimal_digits),
        cmocka_unit_test(what_is_taken_out_outlives_its_scope),
        cmocka_unit_test(a_descriptor_closes_at_the_end_of_its_scope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
