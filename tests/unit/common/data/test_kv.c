/* Keys and encoded values: setting, appending, removing, and the Struct that comes out. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arena.h"
#include "json.h"
#include "kv.h"
#include "mem.h"
#include "value.h"

static struct fm_arena arena;
static struct kv kv;

static int setup(void **state)
{
    (void)state;
    fm_arena_init(&arena, 8u << 20);
    kv = (struct kv){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kv_done(&kv);
    assert_int_equal(kv.bytes, 0);
    fm_arena_done(&arena);
    return 0;
}

static const struct fm_value *from(const char *json)
{
    const struct fm_value *v = json_value_read(json, strlen(json), &arena, NULL);
    assert_non_null(v);
    return v;
}

static void set(const char *key, const char *json)
{
    fm_auto(fm_buf) b = {0};
    assert_int_equal(value_encode(from(json), 1, &b, NULL), 0);
    kv_set(&kv, key, strlen(key), fm_buf_bytes(&b));
}

static void append(const char *key, const char *json)
{
    fm_auto(fm_buf) b = {0};
    assert_int_equal(value_encode(from(json), 1, &b, NULL), 0);
    kv_append(&kv, key, strlen(key), fm_buf_bytes(&b));
}

/* The encoded Struct, its announced size, and the JSON that it means. */
static void is(const char *json)
{
    fm_auto(fm_buf) b = {0}, text = {0};
    kv_put_struct(&kv, &b);
    assert_int_equal(kv_struct_size(&kv), b.n);
    const struct fm_value *v = value_decode_struct(fm_buf_bytes(&b), &arena, NULL);
    assert_non_null(v);
    json_value_write(v, &text);
    fm_buf_append(&text, "", 1);
    assert_string_equal((const char *)text.p, json);
}

static void keys_stay_in_the_order_of_their_first_setting(void **state)
{
    (void)state;
    is("{}");
    set("b", "1");
    set("a", "{\"x\":[true,null]}");
    set("b", "\"two\"");
    is("{\"b\":\"two\",\"a\":{\"x\":[true,null]}}");
    kv_remove(&kv, "b", 1);
    kv_remove(&kv, "nosuch", 6);
    set("b", "3");
    is("{\"a\":{\"x\":[true,null]},\"b\":3}");
}

static void appending_makes_a_list_or_lengthens_it(void **state)
{
    (void)state;
    append("new", "1");
    append("new", "{\"a\":2}");
    set("old", "[\"x\"]");
    append("old", "[3]");
    is("{\"new\":[1,{\"a\":2}],\"old\":[\"x\",[3]]}");
    kv_remove(&kv, "new", 3);
    set("new", "[]");
    append("new", "9");
    is("{\"old\":[\"x\",[3]],\"new\":[9]}");
}

static void a_value_is_handed_on_as_it_is_kept(void **state)
{
    (void)state;
    struct kv_value kept;
    set("list", "[1,2]");
    set("text", "\"t\"");
    assert_false(kv_get(&kv, "lis", 3, &kept));
    assert_true(kv_get(&kv, "list", 4, &kept));
    assert_true(kept.is_list);
    fm_auto(fm_buf) b = {0}, body = {0};
    kv_put_value(kept, &b);
    fm_buf_append(&body, kept.body.p, kept.body.n);
    kept.body = fm_buf_bytes(&body);
    kv_set_kept(&kv, "copy", 4, kept);
    append("copy", "3");
    is("{\"list\":[1,2],\"text\":\"t\",\"copy\":[1,2,3]}");
    const struct fm_value *v = value_decode(fm_buf_bytes(&b), &arena, NULL);
    assert_int_equal(fm_value_size(v), 2);
    assert_true(kv_get(&kv, "text", 4, &kept));
    assert_false(kept.is_list);
}

static void what_is_kept_is_counted(void **state)
{
    (void)state;
    set("k", "\"four\"");
    size_t one = kv.bytes;
    assert_int_equal(one, 1 + 2 + 4);
    append("long", "true");
    assert_true(kv.bytes > one + 4);
    kv_remove(&kv, "long", 4);
    assert_int_equal(kv.bytes, one);
    set("k", "\"\"");
    assert_int_equal(kv.bytes, 1 + 2);
}

static void a_struct_that_was_written_is_read_again(void **state)
{
    (void)state;
    fm_auto(fm_buf) b = {0};
    char key[32];
    for (int i = 0; i < 500; i++) { /* bodies of more than 127 bytes, too */
        snprintf(key, sizeof(key), "key %d", i);
        set(key, i % 2 == 0
                     ? "[1,[2],{\"k\":\"a long text, so that lengths need more than a byte of their own: "
                       "it has to have more than a hundred and twenty-seven characters\"}]"
                     : "-0.5");
    }
    kv_put_struct(&kv, &b);
    kv_done(&kv);
    assert_int_equal(kv_read_struct(&kv, fm_buf_bytes(&b)), 0);
    fm_auto(fm_buf) again = {0};
    kv_put_struct(&kv, &again);
    assert_true(fm_bytes_eq(fm_buf_bytes(&b), fm_buf_bytes(&again)));
}

static void malformed_bytes_are_refused(void **state)
{
    (void)state;
    struct fm_bytes key, value;
    static const struct fm_bytes short_pair = {(const uint8_t *)"\x0a\x05xy", 4};
    static const struct fm_bytes short_entry = {(const uint8_t *)"\x0a\x04\x0a\x05xy", 6};
    static const struct fm_bytes pair = {(const uint8_t *)"\x12\x02\x20\x01\x0a\x02xy", 8};
    assert_int_equal(kv_read_pair(short_pair, &key, &value), -1);
    assert_int_equal(kv_read_struct(&kv, short_pair), -1);
    assert_int_equal(kv_read_struct(&kv, short_entry), -1);
    assert_int_equal(kv_read_pair(pair, &key, &value), 0);
    assert_true(fm_bytes_eq_str(key, "xy"));
    assert_int_equal(value.n, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_stay_in_the_order_of_their_first_setting),
        TEST(appending_makes_a_list_or_lengthens_it),
        TEST(a_value_is_handed_on_as_it_is_kept),
        TEST(what_is_kept_is_counted),
        TEST(a_struct_that_was_written_is_read_again),
        TEST(malformed_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
