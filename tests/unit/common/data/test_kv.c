/* Keys and encoded values: what is set, appended, removed, read and written again, byte for byte. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kv.h"

/* Encoded google.protobuf.Values. */
#define BYTES(s) ((struct fm_bytes){(const uint8_t *)(s), sizeof(s) - 1})
#define TRUE_VALUE BYTES("\x20\x01")
#define A_VALUE                                                                                              \
    BYTES("\x1a\x01"                                                                                         \
          "a")
#define B_VALUE                                                                                              \
    BYTES("\x1a\x01"                                                                                         \
          "b")
#define NO_ITEMS BYTES("\x32\x00")
#define TWO_ITEMS                                                                                            \
    BYTES("\x32\x0a\x0a\x03\x1a\x01"                                                                         \
          "a\x0a\x03\x1a\x01"                                                                                \
          "b")

static struct kv kv;

static int setup(void **state)
{
    (void)state;
    kv = (struct kv){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kv_done(&kv);
    assert_null(kv.entries);
    assert_int_equal(kv.bytes, 0);
    return 0;
}

static void set(const char *key, struct fm_bytes value)
{
    kv_set(&kv, key, strlen(key), value);
}

static void append(const char *key, struct fm_bytes value)
{
    kv_append(&kv, key, strlen(key), value);
}

static void is_bytes(struct fm_bytes is, struct fm_bytes want)
{
    assert_int_equal(is.n, want.n);
    if (want.n > 0)
        assert_memory_equal(is.p, want.p, want.n);
}

static void is_value(const char *key, struct fm_bytes want)
{
    struct kv_value v;
    struct fm_buf out = {0};
    assert_true(kv_get(&kv, key, strlen(key), &v));
    kv_put_value(v, &out);
    is_bytes((struct fm_bytes){out.p, out.n}, want);
    fm_buf_done(&out);
}

static void is_absent(const char *key)
{
    struct kv_value v;
    assert_false(kv_get(&kv, key, strlen(key), &v));
}

/* The whole, and its size as it was foretold. */
static struct fm_buf written(void)
{
    struct fm_buf out = {0};
    kv_put_struct(&kv, &out);
    assert_int_equal(out.n, kv_struct_size(&kv));
    return out;
}

static void is_written_as(struct fm_bytes want)
{
    struct fm_buf out = written();
    is_bytes((struct fm_bytes){out.p, out.n}, want);
    fm_buf_done(&out);
}

static void a_value_is_kept_until_it_is_set_anew_or_removed(void **state)
{
    (void)state;
    is_absent("k");
    set("k", TRUE_VALUE);
    is_value("k", TRUE_VALUE);
    is_absent("K");
    is_absent("kk");
    is_absent("");
    set("k", A_VALUE);
    is_value("k", A_VALUE);
    kv_remove(&kv, "other", 5);
    is_value("k", A_VALUE);
    kv_remove(&kv, "k", 1);
    is_absent("k");
    kv_remove(&kv, "k", 1);
}

static void a_key_may_have_any_bytes_and_be_empty(void **state)
{
    (void)state;
    set("", A_VALUE);
    kv_set(&kv, "a\0b", 3, B_VALUE);
    kv_set(&kv, "a\0c", 3, TRUE_VALUE);
    is_value("", A_VALUE);
    is_absent("a");
    struct kv_value v;
    assert_true(kv_get(&kv, "a\0b", 3, &v));
    is_bytes(v.body, B_VALUE);
}

static void a_list_is_what_was_appended_to_it_in_order(void **state)
{
    (void)state;
    append("l", A_VALUE); /* a missing key is an empty list */
    append("l", B_VALUE);
    is_value("l", TWO_ITEMS);
    struct kv_value v;
    assert_true(kv_get(&kv, "l", 1, &v));
    assert_true(v.is_list);
    is_bytes(v.body, (struct fm_bytes){TWO_ITEMS.p + 2, TWO_ITEMS.n - 2});
}

static void a_list_that_was_set_can_be_appended_to(void **state)
{
    (void)state;
    set("l", NO_ITEMS);
    is_value("l", NO_ITEMS);
    append("l", A_VALUE);
    append("l", B_VALUE);
    is_value("l", TWO_ITEMS);
    set("l", TWO_ITEMS);
    is_value("l", TWO_ITEMS);
    set("l", A_VALUE);
    struct kv_value v;
    assert_true(kv_get(&kv, "l", 1, &v));
    assert_false(v.is_list);
}

/* Two fields, of which the last would count, or the field of lists as something else: kept as it is. */
static void a_value_that_only_begins_like_a_list_is_no_list(void **state)
{
    (void)state;
    const struct fm_bytes odd[] = {BYTES("\x32\x00\x20\x01"), BYTES("\x30\x07"),
                                   BYTES("\x32\x05"
                                         "a"),
                                   BYTES("")};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct kv_value v;
        set("k", odd[i]);
        assert_true(kv_get(&kv, "k", 1, &v));
        assert_false(v.is_list);
        is_value("k", odd[i]);
    }
}

static void a_kept_value_goes_from_one_to_another(void **state)
{
    (void)state;
    struct kv other = {0};
    struct kv_value v;
    append("l", A_VALUE);
    append("l", B_VALUE);
    assert_true(kv_get(&kv, "l", 1, &v));
    kv_set_kept(&other, "m", 1, v);
    append("l", TRUE_VALUE); /* which is no matter of the other's */
    assert_true(kv_get(&other, "m", 1, &v));
    struct fm_buf out = {0};
    kv_put_value(v, &out);
    is_bytes((struct fm_bytes){out.p, out.n}, TWO_ITEMS);
    fm_buf_done(&out);
    kv_done(&other);
}

static void bytes_are_those_of_keys_and_bodies(void **state)
{
    (void)state;
    set("abc", TRUE_VALUE);
    assert_int_equal(kv.bytes, 3 + 2);
    set("abc", A_VALUE);
    assert_int_equal(kv.bytes, 3 + 3);
    append("l", A_VALUE);
    assert_int_equal(kv.bytes, 6 + 1 + 2 + 3);
    append("l", B_VALUE);
    assert_int_equal(kv.bytes, 6 + 1 + 2 * (2 + 3));
    set("l", TWO_ITEMS);
    assert_int_equal(kv.bytes, 6 + 1 + 2 * (2 + 3));
    kv_remove(&kv, "abc", 3);
    assert_int_equal(kv.bytes, 1 + 2 * (2 + 3));
    kv_remove(&kv, "l", 1);
    assert_int_equal(kv.bytes, 0);
}

static void a_struct_is_written_in_the_order_of_first_setting(void **state)
{
    (void)state;
    is_written_as(BYTES(""));
    set("b", TRUE_VALUE);
    append("a", A_VALUE);
    set("b", A_VALUE);
    append("a", B_VALUE);
    is_written_as(BYTES("\x0a\x08\x0a\x01"
                        "b\x12\x03\x1a\x01"
                        "a"
                        "\x0a\x11\x0a\x01"
                        "a\x12\x0c\x32\x0a\x0a\x03\x1a\x01"
                        "a\x0a\x03\x1a\x01"
                        "b"));
    kv_remove(&kv, "b", 1);
    set("b", TRUE_VALUE); /* now it comes last */
    is_written_as(BYTES("\x0a\x11\x0a\x01"
                        "a\x12\x0c\x32\x0a\x0a\x03\x1a\x01"
                        "a\x0a\x03\x1a\x01"
                        "b"
                        "\x0a\x07\x0a\x01"
                        "b\x12\x02\x20\x01"));
}

static void what_was_written_is_read_as_the_same(void **state)
{
    (void)state;
    char key[200];
    for (int i = 0; i < 300; i++) { /* lengths of one byte and of two */
        int n = snprintf(key, sizeof(key), "%0*d", 1 + i % 180, i);
        kv_set(&kv, key, (size_t)n, i % 3 == 0 ? TWO_ITEMS : A_VALUE);
    }
    for (int i = 0; i < 40; i++)
        append("long", TWO_ITEMS);
    struct fm_buf first = written();
    kv_done(&kv);
    kv.bytes = 0;
    set("before", TRUE_VALUE);
    kv_remove(&kv, "before", 6);
    assert_int_equal(kv_read_struct(&kv, (struct fm_bytes){first.p, first.n}), 0);
    is_written_as((struct fm_bytes){first.p, first.n});
    fm_buf_done(&first);
}

static void reading_adds_to_what_is_there_and_the_last_of_equal_keys_counts(void **state)
{
    (void)state;
    set("a", TRUE_VALUE);
    set("z", TRUE_VALUE);
    assert_int_equal(
        kv_read_struct(&kv, BYTES("\x0a\x08\x0a\x01"
                                  "a\x12\x03\x1a\x01"
                                  "a"
                                  "\x0a\x08\x0a\x01"
                                  "a\x12\x03\x1a\x01"
                                  "b"
                                  "\x12\x02hi\x18\x07")), /* fields that a Struct does not have */
        0);
    is_value("a", B_VALUE);
    is_value("z", TRUE_VALUE);
}

static void lists_count_their_elements_and_lose_the_first_ones(void **state)
{
    (void)state;
    struct kv_value v, rest;
    struct fm_bytes item;
    set("l", TWO_ITEMS);
    assert_true(kv_get(&kv, "l", 1, &v));
    assert_int_equal(v.n_items, 2);
    append("l", TRUE_VALUE);
    size_t all = kv.bytes;
    kv_drop(&kv, "l", 1, 1);
    assert_true(kv_get(&kv, "l", 1, &v));
    assert_int_equal(v.n_items, 2);
    assert_true(kv_first(v, &item, &rest));
    is_bytes(item, B_VALUE);
    assert_true(kv_first(rest, &item, &rest));
    is_bytes(item, TRUE_VALUE);
    assert_int_equal(rest.n_items, 0);
    assert_false(kv_first(rest, &item, &rest));
    assert_int_equal(kv.bytes, all - 5);
    struct fm_buf out = written();
    struct kv again = {0};
    assert_int_equal(kv_read_struct(&again, fm_buf_bytes(&out)), 0);
    assert_true(kv_get(&again, "l", 1, &v));
    assert_int_equal(v.n_items, 2);
    kv_done(&again);
    fm_buf_done(&out);
    append("l", A_VALUE);
    kv_drop(&kv, "l", 1, 2);
    is_value("l", BYTES("\x32\x05\x0a\x03\x1a\x01"
                        "a"));
    kv_drop(&kv, "l", 1, 1);
    is_absent("l");
    set("v", TRUE_VALUE);
    kv_drop(&kv, "v", 1, 1); /* no list */
    is_value("v", TRUE_VALUE);
    kv_drop(&kv, "none", 4, 1);
}

/* Whatever is dropped and appended, what is kept stays in proportion to what is there. */
static void a_list_that_moves_on_for_long_does_not_grow(void **state)
{
    (void)state;
    for (int i = 0; i < 100000; i++) {
        append("l", i % 2 == 0 ? A_VALUE : B_VALUE);
        if (i >= 10)
            kv_drop(&kv, "l", 1, 1);
    }
    struct kv_value v, rest;
    struct fm_bytes item;
    assert_true(kv_get(&kv, "l", 1, &v));
    assert_int_equal(v.n_items, 10);
    assert_int_equal(v.body.n, 50);
    assert_true(kv_first(v, &item, &rest));
    is_bytes(item, A_VALUE);
}

static void a_malformed_struct_is_refused(void **state)
{
    (void)state;
    const struct fm_bytes bad[] = {BYTES("\x0a"),
                                   BYTES("\x0a\x05\x0a\x01"
                                         "a"),
                                   BYTES("\x0a\x03\x0a\x05"
                                         "a"),
                                   BYTES("\xff")};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(kv_read_struct(&kv, bad[i]), -1);
}

static void a_pair_has_its_key_and_its_value_or_empty_ones(void **state)
{
    (void)state;
    struct fm_bytes key, value;
    assert_int_equal(kv_read_pair(BYTES("\x0a\x02"
                                        "ab\x12\x02\x20\x01"),
                                  &key, &value),
                     0);
    is_bytes(key, BYTES("ab"));
    is_bytes(value, TRUE_VALUE);
    assert_int_equal(kv_read_pair(BYTES("\x12\x02\x20\x01\x0a\x01"
                                        "b"),
                                  &key, &value),
                     0); /* in any order */
    is_bytes(key, BYTES("b"));
    is_bytes(value, TRUE_VALUE);
    assert_int_equal(kv_read_pair(BYTES(""), &key, &value), 0);
    is_bytes(key, BYTES(""));
    is_bytes(value, BYTES(""));
    assert_int_equal(kv_read_pair(BYTES("\x08\x07\x10\x07"), &key, &value), 0); /* of another kind */
    is_bytes(key, BYTES(""));
    assert_int_equal(kv_read_pair(BYTES("\x0a\x02"
                                        "a"),
                                  &key, &value),
                     -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_value_is_kept_until_it_is_set_anew_or_removed),
        TEST(a_key_may_have_any_bytes_and_be_empty),
        TEST(a_list_is_what_was_appended_to_it_in_order),
        TEST(a_list_that_was_set_can_be_appended_to),
        TEST(a_value_that_only_begins_like_a_list_is_no_list),
        TEST(a_kept_value_goes_from_one_to_another),
        TEST(bytes_are_those_of_keys_and_bodies),
        TEST(a_struct_is_written_in_the_order_of_first_setting),
        TEST(what_was_written_is_read_as_the_same),
        TEST(reading_adds_to_what_is_there_and_the_last_of_equal_keys_counts),
        TEST(lists_count_their_elements_and_lose_the_first_ones),
        TEST(a_list_that_moves_on_for_long_does_not_grow),
        TEST(a_malformed_struct_is_refused),
        TEST(a_pair_has_its_key_and_its_value_or_empty_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
