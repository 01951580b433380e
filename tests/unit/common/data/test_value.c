/* Values: accessors, builders, decoding of what came from outside, trees from a seed there and back. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "value.h"

static struct fm_arena arena;
static struct fm_err err;

static int setup(void **state)
{
    (void)state;
    fm_arena_init(&arena, 64u << 20);
    err = (struct fm_err){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fm_err_done(&err);
    fm_arena_done(&arena);
    return 0;
}

static struct fm_value *text(const char *s)
{
    return value_string(&arena, s, strlen(s));
}

/* ---- accessors ---- */

static void what_is_of_another_kind_is_the_fallback(void **state)
{
    (void)state;
    const struct fm_value *s = text("x"), *n = value_number(&arena, 2), *b = value_bool(&arena, true);
    assert_string_equal(fm_value_string(n, "no"), "no");
    assert_true(fm_value_number(s, 7) == 7);
    assert_false(fm_value_bool(s, false));
    assert_true(fm_value_bool(b, false));
    assert_true(fm_value_number(NULL, 7) == 7);
    assert_int_equal(fm_value_kind(NULL), FM_NULL);
    assert_int_equal(fm_value_size(NULL), 0);
    assert_int_equal(fm_value_size(n), 0);
    assert_null(fm_value_at(s, 0));
    assert_null(fm_value_key(s, 0));
    assert_null(fm_value_get(s, "a"));
}

static void paths_that_lead_nowhere_are_null(void **state)
{
    (void)state;
    static const char *const paths[] = {"b",
                                        "a.",
                                        "a[",
                                        "a[]",
                                        "a[0",
                                        "a[2]",
                                        "a[x]",
                                        "a[-1]",
                                        "a[0].c",
                                        "[0]",
                                        "a.b.c",
                                        "a[1].k.x",
                                        "a[99999999999999999999]"};
    struct fm_value *map = value_map(&arena), *list = value_list(&arena), *inner = value_map(&arena);
    assert_int_equal(value_map_set(&arena, inner, "k", text("v")), 0);
    assert_int_equal(value_list_add(&arena, list, value_number(&arena, 1)), 0);
    assert_int_equal(value_list_add(&arena, list, inner), 0);
    assert_int_equal(value_map_set(&arena, map, "a", list), 0);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const struct fm_value *v = fm_value_get(map, paths[i]);
        if (v != NULL && v != list)
            fail_msg("%s leads somewhere", paths[i]);
    }
    assert_string_equal(fm_value_string(fm_value_get(map, "a[1].k"), ""), "v");
    assert_ptr_equal(fm_value_get(map, ""), map);
    assert_string_equal(fm_value_string(fm_value_get(list, "[1].k"), ""), "v");
}

/* ---- builders ---- */

static void a_map_keeps_the_order_in_which_keys_were_first_set(void **state)
{
    (void)state;
    struct fm_value *map = value_map(&arena);
    char key[8];
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "k%d", (i * 7) % 20);
        assert_int_equal(value_map_set(&arena, map, key, value_number(&arena, i)), 0);
    }
    assert_int_equal(value_map_set(&arena, map, "k7", text("again")), 0);
    assert_int_equal(fm_value_size(map), 20);
    assert_string_equal(fm_value_key(map, 0), "k0");
    assert_string_equal(fm_value_key(map, 1), "k7");
    assert_string_equal(fm_value_string(fm_value_at(map, 1), ""), "again");
    assert_null(fm_value_key(map, 20));
}

static void a_copy_of_a_map_changes_without_the_original(void **state)
{
    (void)state;
    struct fm_value *map = value_map(&arena);
    assert_int_equal(value_map_set(&arena, map, "a", text("1")), 0);
    struct fm_value *copy = value_map_copy(&arena, map);
    assert_int_equal(value_map_set(&arena, copy, "a", text("2")), 0);
    assert_int_equal(value_map_set(&arena, copy, "b", text("3")), 0);
    assert_int_equal(fm_value_size(map), 1);
    assert_string_equal(fm_value_string(fm_value_get(map, "a"), ""), "1");
    assert_int_equal(fm_value_size(copy), 2);
    assert_string_equal(fm_value_string(fm_value_get(copy, "a"), ""), "2");
    assert_int_equal(fm_value_kind(value_map_copy(&arena, NULL)), FM_MAP);
    assert_int_equal(fm_value_size(value_map_copy(&arena, text("no map"))), 0);
}

static void containers_of_another_kind_take_nothing(void **state)
{
    (void)state;
    assert_int_equal(value_list_add(&arena, value_map(&arena), text("x")), -1);
    assert_int_equal(value_map_set(&arena, value_list(&arena), "k", text("x")), -1);
    assert_int_equal(value_map_set(&arena, NULL, "k", text("x")), -1);
}

/* ---- from outside ---- */

static const struct fm_value *decode(const void *bytes, size_t n)
{
    fm_err_done(&err);
    return value_decode((struct fm_bytes){bytes, n}, &arena, &err);
}

#define DECODE(literal) decode(literal, sizeof(literal) - 1)

static void a_value_without_a_kind_is_null(void **state)
{
    (void)state;
    assert_int_equal(fm_value_kind(DECODE("")), FM_NULL);
    assert_int_equal(err.code, FM_OK);
    assert_int_equal(fm_value_kind(DECODE("\x78\x01")), FM_NULL); /* a field that nobody knows */
}

static void of_a_oneof_and_of_a_key_the_last_one_counts(void **state)
{
    (void)state;
    assert_string_equal(fm_value_string(DECODE("\x20\x01\x1a\x01x"), ""), "x");
    const struct fm_value *map =
        DECODE("\x2a\x12\x0a\x07\x0a\x01k\x12\x02\x20\x00\x0a\x07\x0a\x01k\x12\x02\x20\x01");
    assert_true(fm_value_bool(fm_value_get(map, "k"), false));
}

static void is_malformed(const void *bytes, size_t n)
{
    assert_null(decode(bytes, n));
    assert_int_equal(err.code, FM_INVALID_ARGUMENT);
}

#define MALFORMED(literal) is_malformed(literal, sizeof(literal) - 1)

/* Protobuf's strings are UTF-8, and a reader in C would see half of one with a NUL. */
static void a_text_that_is_none_has_question_marks(void **state)
{
    (void)state;
    const struct fm_value *v = value_string(&arena, "a\0b\xff", 4);
    assert_string_equal(fm_value_string(v, ""), "a?b?");
    v = value_string(&arena, "\xc3\xa4", 2);
    assert_string_equal(fm_value_string(v, ""), "\xc3\xa4");
}

static void what_is_malformed_is_refused(void **state)
{
    (void)state;
    MALFORMED("\x1a\x05xy");                               /* cut short */
    MALFORMED("\x1a\x01\xff");                             /* no UTF-8 */
    MALFORMED("\x1a\x01\x00");                             /* NUL in a text */
    MALFORMED("\x18\x01");                                 /* a string as varint */
    MALFORMED("\x11\x00\x00\x00\x00\x00\x00\xf0\x7f");     /* infinite */
    MALFORMED("\x11\x00\x00\x00\x00\x00\x00\xf8\x7f");     /* not a number */
    MALFORMED("\x10\x01");                                 /* a number as varint */
    MALFORMED("\x2a\x05\x0a\x03\x0a\x01\xff");             /* a key that is no UTF-8 */
    MALFORMED("\x32\x02\x0a\x05");                         /* an element cut short */
    MALFORMED("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"); /* no tag */
    MALFORMED("\x0b");                                     /* a group */
}

static void depth_is_the_same_for_reading_and_writing(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    unsigned accepted = 0;
    struct fm_value *v = value_null(&arena);
    for (unsigned levels = 0; levels < 60; levels++) {
        fm_buf_reset(&b);
        int rc = value_encode(v, 1, &b, &err);
        if (rc == 0) {
            assert_int_equal(accepted, levels);
            accepted++;
            assert_non_null(decode(b.p, b.n));
        } else {
            assert_int_equal(rc, -FM_INVALID_ARGUMENT);
            assert_int_equal(b.n, 0);
        }
        struct fm_value *outer = value_list(&arena);
        assert_int_equal(value_list_add(&arena, outer, v), 0);
        v = outer;
    }
    assert_int_equal(accepted, (VALUE_MAX_DEPTH + 1) / 2);
    fm_buf_done(&b);
}

static void only_a_map_or_nothing_is_a_struct(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    assert_int_equal(value_encode_struct(NULL, &b, &err), 0);
    assert_int_equal(b.n, 0);
    assert_int_equal(value_encode_struct(text("x"), &b, &err), -FM_INVALID_ARGUMENT);
    fm_buf_done(&b);
}

/* ---- from a seed ---- */

static uint64_t seed;

static uint32_t roll(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static struct fm_value *random_value(unsigned depth);

static struct fm_value *random_text(void)
{
    static const char *const parts[] = {"a",     "Kyoto ", "\xc3\xa9", "\xe4\xba\xac", "\xf0\x9f\x8e\xb5",
                                        "\"\\\n"};
    char s[2048] = "";
    for (uint32_t i = 0, n = roll(8) == 0 ? 200 : roll(6); i < n; i++)
        strcat(s, parts[roll(6)]);
    return text(s);
}

static struct fm_value *random_map(unsigned depth)
{
    struct fm_value *map = value_map(&arena);
    char key[16];
    for (uint32_t i = 0, n = roll(6); i < n; i++) {
        snprintf(key, sizeof(key), "%u", roll(1000));
        assert_int_equal(value_map_set(&arena, map, key, random_value(depth + 1)), 0);
    }
    return map;
}

static struct fm_value *random_value(unsigned depth)
{
    static const double numbers[] = {0, -0.0, 1, -1.5, 1e308, 5e-324, 9007199254740993.0};
    switch (roll(depth > 8 ? 4 : 6)) {
    case 0:
        return value_null(&arena);
    case 1:
        return value_bool(&arena, roll(2));
    case 2:
        return value_number(&arena, numbers[roll(7)]);
    case 3:
        return random_text();
    case 4:
        return random_map(depth);
    default:;
        struct fm_value *list = value_list(&arena);
        for (uint32_t i = 0, n = roll(6); i < n; i++)
            assert_int_equal(value_list_add(&arena, list, random_value(depth + 1)), 0);
        return list;
    }
}

static bool equal(const struct fm_value *a, const struct fm_value *b)
{
    if (fm_value_kind(a) != fm_value_kind(b) || fm_value_size(a) != fm_value_size(b))
        return false;
    double x = fm_value_number(a, 0), y = fm_value_number(b, 0);
    if (memcmp(&x, &y, sizeof(x)) != 0 || fm_value_bool(a, false) != fm_value_bool(b, false) ||
        strcmp(fm_value_string(a, ""), fm_value_string(b, "")) != 0)
        return false;
    bool map = fm_value_kind(a) == FM_MAP;
    for (size_t i = 0; (map || fm_value_kind(a) == FM_LIST) && i < fm_value_size(a); i++)
        if ((map && strcmp(fm_value_key(a, i), fm_value_key(b, i)) != 0) ||
            !equal(fm_value_at(a, i), fm_value_at(b, i)))
            return false;
    return true;
}

static void random_trees_are_the_same_there_and_back(void **state)
{
    (void)state;
    for (seed = 1; seed < 2000; seed++) {
        uint64_t before = seed;
        struct fm_buf b = {0};
        const struct fm_value *v = random_map(0);
        assert_int_equal(value_encode_struct(v, &b, &err), 0);
        const struct fm_value *back = value_decode_struct((struct fm_bytes){b.p, b.n}, &arena, &err);
        if (!equal(v, back))
            fail_msg("seed %llu", (unsigned long long)before);
        fm_buf_done(&b);
        fm_arena_reset(&arena);
        seed = before;
    }
}

static void damaged_bytes_are_refused_or_read_but_never_more(void **state)
{
    (void)state;
    for (seed = 1; seed < 2000; seed++) {
        uint64_t before = seed;
        struct fm_buf b = {0}, again = {0};
        assert_int_equal(value_encode_struct(random_map(0), &b, &err), 0);
        for (uint32_t i = 0, n = roll(4) + 1; i < n && b.n > 0; i++)
            b.p[roll((uint32_t)b.n)] = (uint8_t)roll(256);
        if (b.n > 0)
            b.n -= roll(2) * roll((uint32_t)b.n);
        fm_err_done(&err);
        fm_autofree uint8_t *exact = fm_xmemdup(b.p, b.n); /* so that a sanitizer notices reading beyond */
        const struct fm_value *v = value_decode_struct((struct fm_bytes){exact, b.n}, &arena, &err);
        if (v == NULL)
            assert_int_equal(err.code, FM_INVALID_ARGUMENT);
        else
            assert_int_equal(value_encode_struct(v, &again, &err), 0);
        fm_buf_done(&b);
        fm_buf_done(&again);
        fm_arena_reset(&arena);
        seed = before;
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_of_another_kind_is_the_fallback),
        TEST(paths_that_lead_nowhere_are_null),
        TEST(a_map_keeps_the_order_in_which_keys_were_first_set),
        TEST(a_copy_of_a_map_changes_without_the_original),
        TEST(containers_of_another_kind_take_nothing),
        TEST(a_value_without_a_kind_is_null),
        TEST(of_a_oneof_and_of_a_key_the_last_one_counts),
        TEST(a_text_that_is_none_has_question_marks),
        TEST(what_is_malformed_is_refused),
        TEST(depth_is_the_same_for_reading_and_writing),
        TEST(only_a_map_or_nothing_is_a_struct),
        TEST(random_trees_are_the_same_there_and_back),
        TEST(damaged_bytes_are_refused_or_read_but_never_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
