/* Ids and random numbers, and the clock. */
#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include "clock.h"
#include "id.h"

static int cmp(const struct fm_id *a, const struct fm_id *b)
{
    return memcmp(a->b, b->b, sizeof(a->b));
}

static void ids_grow_within_a_millisecond_and_when_the_clock_goes_back(void **state)
{
    (void)state;
    struct fm_idgen g;
    struct fm_id last = {{0}}, id;
    fm_idgen_init(&g, 1);
    static const int64_t clock[] = {1000, 1000, 1001, 900, 1001, 1002, 5, 2000};
    for (int i = 0; i < 80000; i++) {
        fm_id_next(&g, clock[i / 10000], &id);
        assert_true(cmp(&id, &last) > 0);
        last = id;
    }
}

static void the_same_seed_gives_the_same_ids(void **state)
{
    (void)state;
    struct fm_idgen a, b, c;
    struct fm_id x, y, z;
    fm_idgen_init(&a, 42);
    fm_idgen_init(&b, 42);
    fm_idgen_init(&c, 43);
    for (int64_t t = 1; t < 100; t++) {
        fm_id_next(&a, t, &x);
        fm_id_next(&b, t, &y);
        fm_id_next(&c, t, &z);
        assert_true(fm_id_eq(&x, &y));
        assert_false(fm_id_eq(&x, &z));
    }
}

static void the_text_begins_with_the_time_as_in_the_ulid_spec(void **state)
{
    (void)state;
    struct fm_idgen g;
    struct fm_id id;
    char text[27];
    fm_idgen_init(&g, 7);
    fm_id_next(&g, 1469918176385, &id);
    fm_id_text(&id, text);
    assert_int_equal(strlen(text), 26);
    assert_memory_equal(text, "01ARYZ6S41", 10);
}

static void texts_order_as_ids_do_and_read_back(void **state)
{
    (void)state;
    struct fm_idgen g;
    struct fm_id id, back;
    char text[27], last[27] = "";
    fm_idgen_init(&g, 3);
    for (int64_t i = 0; i < 5000; i++) {
        fm_id_next(&g, 1700000000000 + i / 3, &id);
        fm_id_text(&id, text);
        assert_true(strcmp(text, last) > 0);
        assert_int_equal(fm_id_parse(text, &back), 0);
        assert_true(fm_id_eq(&id, &back));
        memcpy(last, text, sizeof(last));
    }
}

static void the_extremes_read_back(void **state)
{
    (void)state;
    struct fm_id id;
    char text[27];
    assert_int_equal(fm_id_parse("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", &id), 0);
    for (int i = 0; i < 16; i++)
        assert_int_equal(id.b[i], 0xff);
    fm_id_text(&id, text);
    assert_string_equal(text, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    assert_int_equal(fm_id_parse("00000000000000000000000000", &id), 0);
    assert_true(fm_id_is_zero(&id));
}

static void lower_case_is_the_same(void **state)
{
    (void)state;
    struct fm_id a, b;
    assert_int_equal(fm_id_parse("01ARYZ6S41TSV4RRFFQ69G5FAV", &a), 0);
    assert_int_equal(fm_id_parse("01aryz6s41tsv4rrffq69g5fav", &b), 0);
    assert_true(fm_id_eq(&a, &b));
}

static void what_is_no_id_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "01ARYZ6S41TSV4RRFFQ69G5FA",
                                      "01ARYZ6S41TSV4RRFFQ69G5FAVX",
                                      "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
                                      "01ARYZ6S41TSV4RRFFQ69G5FAI",
                                      "01ARYZ6S41TSV4RRFFQ69G5FAL",
                                      "01ARYZ6S41TSV4RRFFQ69G5FAO",
                                      "01ARYZ6S41TSV4RRFFQ69G5FAU",
                                      "01ARYZ6S41TSV4RRFFQ69G5FA ",
                                      "01ARYZ6S41TSV4RRFFQ69G5F\xc3\xa4"};
    struct fm_id id =
                     {
                         {1, 2, 3}
    },
                 before = id;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(fm_id_parse(bad[i], &id), -1);
    assert_true(fm_id_eq(&id, &before));
}

static void random_numbers_follow_splitmix64(void **state)
{
    (void)state;
    struct fm_rng r;
    fm_rng_init(&r, 1234567);
    assert_true(fm_rng_next(&r) == 6457827717110365317u);
    assert_true(fm_rng_next(&r) == 3203168211198807973u);
}

static void numbers_below_a_bound_reach_all_and_nothing_else(void **state)
{
    (void)state;
    struct fm_rng r;
    unsigned seen[6] = {0};
    fm_rng_init(&r, 9);
    for (int i = 0; i < 6000; i++)
        seen[fm_rng_below(&r, 6)]++;
    for (int i = 0; i < 6; i++)
        assert_in_range(seen[i], 800, 1200);
    assert_int_equal(fm_rng_below(&r, 0), 0);
    assert_int_equal(fm_rng_below(&r, 1), 0);
    assert_true(fm_random_seed() != fm_random_seed());
}

static void clocks_agree_with_each_other(void **state)
{
    (void)state;
    int64_t us = fm_now_mono_us(), ms = fm_now_mono_ms(), wall = fm_now_wall_ms();
    assert_true(ms >= us / 1000);
    assert_true(fm_now_mono_us() >= us);
    assert_true(wall > 1577836800000); /* after 2020 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_grow_within_a_millisecond_and_when_the_clock_goes_back),
        cmocka_unit_test(the_same_seed_gives_the_same_ids),
        cmocka_unit_test(the_text_begins_with_the_time_as_in_the_ulid_spec),
        cmocka_unit_test(texts_order_as_ids_do_and_read_back),
        cmocka_unit_test(the_extremes_read_back),
        cmocka_unit_test(lower_case_is_the_same),
        cmocka_unit_test(what_is_no_id_is_refused_and_changes_nothing),
        cmocka_unit_test(random_numbers_follow_splitmix64),
        cmocka_unit_test(numbers_below_a_bound_reach_all_and_nothing_else),
        cmocka_unit_test(clocks_agree_with_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
