/* The arena. */
#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include "arena.h"

static void memory_is_aligned_and_does_not_overlap(void **state)
{
    (void)state;
    struct fm_arena a;
    fm_arena_init(&a, 1 << 20);
    unsigned char *p[500];
    for (size_t i = 0; i < 500; i++) {
        p[i] = fm_arena_alloc(&a, i + 1);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        memset(p[i], (int)(i % 251), i + 1);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t k = 0; k <= i; k++)
            assert_int_equal(p[i][k], i % 251);
    fm_arena_done(&a);
}

static void the_limit_ends_in_null_and_smaller_pieces_still_fit(void **state)
{
    (void)state;
    struct fm_arena a;
    fm_arena_init(&a, 1000);
    assert_null(fm_arena_alloc(&a, 1001));
    assert_non_null(fm_arena_alloc(&a, 900));
    assert_null(fm_arena_alloc(&a, 200));
    assert_non_null(fm_arena_alloc(&a, 80));
    assert_null(fm_arena_alloc(&a, 80));
    fm_arena_done(&a);
}

static void empty_pieces_are_memory_and_count(void **state)
{
    (void)state;
    struct fm_arena a;
    fm_arena_init(&a, 1600);
    int n = 0;
    while (fm_arena_alloc(&a, 0) != NULL && n < 1000)
        n++;
    assert_in_range(n, 90, 110);
    fm_arena_done(&a);
}

static void sizes_that_overflow_are_null_also_without_a_limit(void **state)
{
    (void)state;
    struct fm_arena a;
    fm_arena_init(&a, SIZE_MAX);
    assert_null(fm_arena_alloc(&a, SIZE_MAX));
    assert_null(fm_arena_alloc(&a, SIZE_MAX - 16));
    assert_null(fm_arena_zalloc(&a, SIZE_MAX / 2, 3));
    assert_null(fm_arena_strndup(&a, "", SIZE_MAX));
    assert_non_null(fm_arena_alloc(&a, 1));
    fm_arena_done(&a);
}

static void zeroed_memory_is_zero_also_when_it_was_used_before(void **state)
{
    (void)state;
    struct fm_arena a;
    fm_arena_init(&a, 1 << 20);
    memset(fm_arena_alloc(&a, 1000), 0xff, 1000);
    fm_arena_reset(&a);
    unsigned char *p = fm_arena_zalloc(&a, 100, 10);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(p[i], 0);
    fm_arena_done(&a);
}

static void a_string_copy_ends_with_nul(void **state)
{
    (void)state;
    struct fm_arena a;
    fm_arena_init(&a, 1 << 20);
    assert_string_equal(fm_arena_strndup(&a, "abcdef", 3), "abc");
    assert_string_equal(fm_arena_strndup(&a, NULL, 0), "");
    fm_arena_done(&a);
}

static void a_reset_gives_the_whole_limit_back(void **state)
{
    (void)state;
    struct fm_arena a;
    fm_arena_init(&a, 1 << 20);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 64; i++)
            assert_non_null(fm_arena_alloc(&a, 16384));
        assert_null(fm_arena_alloc(&a, 1));
        fm_arena_reset(&a);
    }
    fm_arena_done(&a);
    assert_non_null(fm_arena_alloc(&a, 1));
    fm_arena_done(&a);
}

static void a_reset_keeps_no_huge_chunk(void **state)
{
    (void)state;
    struct fm_arena a;
    fm_arena_init(&a, 64 << 20);
    assert_non_null(fm_arena_alloc(&a, 32 << 20));
    fm_arena_reset(&a);
    assert_null(a.chunks);
    fm_arena_done(&a);
}

static void the_protobuf_c_view_allocates_within_the_limit(void **state)
{
    (void)state;
    struct fm_arena a;
    fm_arena_init(&a, 100);
    void *p = fm_arena_pbc_alloc(&a, 64);
    assert_non_null(p);
    fm_arena_pbc_free(&a, p);
    assert_null(fm_arena_pbc_alloc(&a, 64));
    fm_arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_and_does_not_overlap),
        cmocka_unit_test(the_limit_ends_in_null_and_smaller_pieces_still_fit),
        cmocka_unit_test(empty_pieces_are_memory_and_count),
        cmocka_unit_test(sizes_that_overflow_are_null_also_without_a_limit),
        cmocka_unit_test(zeroed_memory_is_zero_also_when_it_was_used_before),
        cmocka_unit_test(a_string_copy_ends_with_nul),
        cmocka_unit_test(a_reset_gives_the_whole_limit_back),
        cmocka_unit_test(a_reset_keeps_no_huge_chunk),
        cmocka_unit_test(the_protobuf_c_view_allocates_within_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
