/* The wire guard. */
#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "value.h"
#include "wire.h"

/* google.protobuf.Value and its friends, and a message with a field of each kind. */
extern const struct wire_msg value_msg;
static const struct wire_field entry_fields[] = {
    {1, WIRE_STRING,  false, "key",   NULL      },
    {2, WIRE_MESSAGE, false, "value", &value_msg}
};
static const struct wire_msg entry_msg = {"Struct.FieldsEntry", entry_fields, 2, NULL};
static const struct wire_field struct_fields[] = {
    {1, WIRE_MESSAGE, true, "fields", &entry_msg}
};
static const struct wire_msg struct_msg = {"Struct", struct_fields, 1, NULL};
static const struct wire_field list_fields[] = {
    {1, WIRE_MESSAGE, true, "values", &value_msg}
};
static const struct wire_msg list_msg = {"ListValue", list_fields, 1, NULL};
static const struct wire_field value_fields[] = {
    {1, WIRE_VARINT,  false, "null_value",   NULL       },
    {2, WIRE_DOUBLE,  false, "number_value", NULL       },
    {3, WIRE_STRING,  false, "string_value", NULL       },
    {4, WIRE_VARINT,  false, "bool_value",   NULL       },
    {5, WIRE_MESSAGE, false, "struct_value", &struct_msg},
    {6, WIRE_MESSAGE, false, "list_value",   &list_msg  }
};
const struct wire_msg value_msg = {"Value", value_fields, 6, value_strange_field};
static const struct wire_field all_fields[] = {
    {1,    WIRE_VARINT,  false, "varint",  NULL       },
    {2,    WIRE_FIXED32, false, "fixed32", NULL       },
    {3,    WIRE_FIXED64, false, "fixed64", NULL       },
    {4,    WIRE_FLOAT,   false, "real",    NULL       },
    {5,    WIRE_DOUBLE,  false, "number",  NULL       },
    {6,    WIRE_STRING,  false, "text",    NULL       },
    {7,    WIRE_BYTES,   false, "blob",    NULL       },
    {8,    WIRE_MESSAGE, false, "data",    &struct_msg},
    {100,  WIRE_VARINT,  true,  "counts",  NULL       },
    {200,  WIRE_DOUBLE,  true,  "numbers", NULL       },
    {300,  WIRE_STRING,  true,  "names",   NULL       },
    {1000, WIRE_MESSAGE, true,  "values",  &value_msg }
};
static const struct wire_msg all_msg = {"All", all_fields, 12, NULL};

static struct fm_err err;

static int check_with(const struct wire_msg *msg, const void *p, size_t n, const struct wire_limits *limits)
{
    fm_err_done(&err);
    /* an exact heap copy, so that a sanitizer sees a read beyond its end */
    uint8_t *copy = malloc(n > 0 ? n : 1);
    assert_non_null(copy);
    if (n > 0)
        memcpy(copy, p, n);
    int rc = wire_check(msg, (struct fm_bytes){copy, n}, limits, &err);
    free(copy);
    assert_int_equal(rc, -(int)err.code);
    return rc;
}

static int check(const struct wire_msg *msg, const void *p, size_t n)
{
    struct wire_limits limits = wire_limits_for(4 << 20);
    return check_with(msg, p, n, &limits);
}

static int check_buf(const struct wire_msg *msg, struct fm_buf *b)
{
    int rc = check(msg, b->p, b->n);
    fm_buf_done(b);
    return rc;
}

#define CHECK(msg, lit) check(&(msg), lit, sizeof(lit) - 1)

static void an_empty_message_is_fine(void **state)
{
    (void)state;
    assert_int_equal(check(&all_msg, NULL, 0), 0);
}

static void a_message_with_a_field_of_each_kind_is_fine(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    fm_buf_put_tag_varint(&b, 1, UINT64_MAX);
    fm_buf_append(&b,
                  "\x15"
                  "1234",
                  5);
    fm_buf_append(&b,
                  "\x19"
                  "12345678",
                  9);
    fm_buf_append(&b, "\x25\0\0\x80\x3f", 5);
    fm_buf_put_double(&b, 5, -1e300);
    fm_buf_put_string(&b, 6, "gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x98\x80, said the quite long text");
    fm_buf_put_len_delim(&b, 7, "\xff\0\xfe", 3);
    fm_buf_put_len_delim(&b, 8, "", 0);
    fm_buf_put_tag_varint(&b, 100, 1);
    fm_buf_put_len_delim(&b, 100, "\x01\x96\x01", 3);
    fm_buf_put_double(&b, 200, 1);
    fm_buf_put_len_delim(&b, 200, "\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\xf0\x3f", 16);
    fm_buf_put_string(&b, 300, "a");
    fm_buf_put_string(&b, 300, "");
    fm_buf_put_len_delim(&b, 1000, "\x1a\x01x", 3);
    fm_buf_put_len_delim(&b, 1000, "\x08\x00", 2);
    assert_int_equal(check_buf(&all_msg, &b), 0);
}

static void unknown_fields_are_skipped(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    fm_buf_put_tag_varint(&b, 9, 1);
    fm_buf_put_len_delim(&b, 101, "\xff\xff", 2);
    fm_buf_put_double(&b, 536870911, NAN);
    assert_int_equal(check_buf(&all_msg, &b), 0);
}

static void scalars_may_occur_twice(void **state)
{
    (void)state;
    assert_int_equal(CHECK(all_msg, "\x08\x01\x08\x02\x32\x01"
                                    "a\x32\x01"
                                    "b"),
                     0);
}

static void every_prefix_of_a_message_that_cuts_a_field_is_refused(void **state)
{
    (void)state;
    static const char msg[] = "\x42\x0f\x0a\x0d\x0a\x03key\x12\x06\x32\x04\x0a\x02\x20\x01";
    for (size_t n = 1; n < sizeof(msg) - 1; n++)
        assert_int_equal(check(&all_msg, msg, n), -FM_INVALID_ARGUMENT);
    assert_int_equal(check(&all_msg, msg, sizeof(msg) - 1), 0);
}

static void malformed_bytes_are_refused(void **state)
{
    (void)state;
    assert_int_equal(CHECK(all_msg, "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
                     -FM_INVALID_ARGUMENT); /* 11 bytes */
    assert_int_equal(CHECK(all_msg, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
                     -FM_INVALID_ARGUMENT); /* over 64 bits */
    assert_int_equal(CHECK(all_msg, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 0);
    assert_int_equal(CHECK(all_msg, "\x80\x80\x80\x80\x10\x00"),
                     -FM_INVALID_ARGUMENT);                             /* field number 2^29 */
    assert_int_equal(CHECK(all_msg, "\x00\x01"), -FM_INVALID_ARGUMENT); /* field number 0 */
    assert_int_equal(CHECK(all_msg, "\x0b\x0c"), -FM_INVALID_ARGUMENT); /* a group */
    assert_int_equal(CHECK(all_msg, "\x0e\x00"), -FM_INVALID_ARGUMENT); /* wire type 6 */
    assert_int_equal(CHECK(all_msg, "\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
                     -FM_INVALID_ARGUMENT); /* length 2^64-1 */
}

static void a_field_with_the_wrong_wire_type_is_refused_by_name(void **state)
{
    (void)state;
    assert_int_equal(CHECK(all_msg, "\x30\x01"), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "text");
    assert_int_equal(CHECK(all_msg, "\x0a\x01\x01"), -FM_INVALID_ARGUMENT); /* packed, but not repeated */
    assert_string_equal(err.field, "varint");
    assert_int_equal(CHECK(all_msg, "\xa1\x06"
                                    "12345678"),
                     -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "counts[0]");
}

static void malformed_packed_numbers_are_refused(void **state)
{
    (void)state;
    assert_int_equal(CHECK(all_msg, "\xa2\x06\x02\x01\x80"), -FM_INVALID_ARGUMENT);
    assert_int_equal(CHECK(all_msg, "\xc2\x0c\x07"
                                    "1234567"),
                     -FM_INVALID_ARGUMENT);
}

static void text_must_be_utf8_without_nul(void **state)
{
    (void)state;
    assert_int_equal(CHECK(all_msg, "\x32\x03"
                                    "a\0b"),
                     -FM_INVALID_ARGUMENT);
    assert_int_equal(CHECK(all_msg, "\x32\x02\xc0\x80"), -FM_INVALID_ARGUMENT);
    assert_int_equal(CHECK(all_msg, "\x32\x03\xed\xa0\x80"), -FM_INVALID_ARGUMENT);
    assert_int_equal(CHECK(all_msg, "\x32\x04\xf4\x90\x80\x80"), -FM_INVALID_ARGUMENT);
    assert_int_equal(CHECK(all_msg, "\x32\x02\xe2\x82"), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "text");
}

static void a_bad_byte_is_found_at_every_place_of_a_text(void **state)
{
    (void)state;
    char text[41];
    for (size_t n = 1; n <= 40; n++)
        for (size_t at = 0; at < n; at++) {
            memset(text, 'x', n);
            assert_true(wire_text_ok((const uint8_t *)text, n));
            text[at] = '\0';
            assert_false(wire_text_ok((const uint8_t *)text, n));
            text[at] = (char)0x80;
            assert_false(wire_text_ok((const uint8_t *)text, n));
            text[at] = 0x01;
            assert_true(wire_text_ok((const uint8_t *)text, n));
            text[at] = 0x7f;
            assert_true(wire_text_ok((const uint8_t *)text, n));
        }
    assert_true(wire_text_ok(NULL, 0));
}

static void a_submessage_that_occurs_twice_is_refused(void **state)
{
    (void)state;
    assert_int_equal(CHECK(all_msg, "\x42\x00\x42\x00"), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "data");
    assert_int_equal(CHECK(value_msg, "\x32\x00\x32\x00"), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "list_value");
    assert_int_equal(CHECK(value_msg, "\x32\x00\x08\x00"), 0);
}

static void numbers_must_be_finite(void **state)
{
    (void)state;
    struct fm_buf b = {0};
    fm_buf_put_double(&b, 5, NAN);
    assert_int_equal(check_buf(&all_msg, &b), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "number");
    fm_buf_put_double(&b, 2, -INFINITY);
    assert_int_equal(check_buf(&value_msg, &b), -FM_INVALID_ARGUMENT);
    assert_int_equal(CHECK(all_msg, "\x25\0\0\x80\x7f"), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "real");
    assert_int_equal(CHECK(all_msg, "\xc2\x0c\x08\0\0\0\0\0\0\xf0\x7f"), -FM_INVALID_ARGUMENT);
    assert_int_equal(CHECK(all_msg, "\x19\0\0\0\0\0\0\xf0\x7f"), 0); /* the same bits are a fine integer */
}

static void the_path_names_the_element_by_its_index(void **state)
{
    (void)state;
    struct fm_buf b = {0}, s = {0};
    for (int i = 0; i < 12; i++) {
        fm_buf_put_len_delim(&s, 1, "\x0a\x01k", 3);
        fm_buf_put_tag_varint(&s, 77, 1); /* what lies between does not count */
    }
    fm_buf_put_len_delim(&s, 1, "\x0a\x01k\x12\x03\x1a\x01\xff", 8);
    fm_buf_put_len_delim(&b, 8, s.p, s.n);
    fm_buf_done(&s);
    assert_int_equal(check_buf(&all_msg, &b), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "data.fields[12].value.string_value");
    assert_non_null(strstr(err.msg, err.field));
}

static void a_cut_field_is_named_when_its_tag_is_there(void **state)
{
    (void)state;
    assert_int_equal(CHECK(all_msg, "\x42\x06\x0a\x04\x0a\x09"
                                    "ab"),
                     -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "data.fields[0].key");
    assert_int_equal(CHECK(all_msg, "\x42\x03\x0a\x01\x80"), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "data.fields[0]");
}

/* A Value inside lists, from the inside out: each level adds two tags and lengths. */
static struct fm_buf nested(size_t levels)
{
    size_t cap = levels * 16 + 16, at = cap;
    struct fm_buf b = {0};
    uint8_t *p = malloc(cap);
    assert_non_null(p);
    for (size_t i = 0; i < levels; i++) {
        static const uint8_t tags[] = {0x0a, 0x32}; /* ListValue.values in Value.list_value */
        for (int k = 0; k < 2; k++) {
            struct fm_buf head = {0};
            fm_buf_put_varint(&head, cap - at);
            at -= head.n;
            memcpy(p + at, head.p, head.n);
            fm_buf_done(&head);
            p[--at] = tags[k];
        }
    }
    fm_buf_append(&b, p + at, cap - at);
    free(p);
    return b;
}

static void nesting_up_to_the_limit_is_fine_and_beyond_is_refused(void **state)
{
    (void)state;
    struct wire_limits limits = {.max_bytes = 1 << 20, .max_depth = 65, .max_elements = 100000};
    struct fm_buf b = nested(32); /* 1 + 2 * 32 messages */
    assert_int_equal(check_with(&value_msg, b.p, b.n, &limits), 0);
    fm_buf_done(&b);
    b = nested(33);
    assert_int_equal(check_with(&value_msg, b.p, b.n, &limits), -FM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "nested too deeply"));
    fm_buf_done(&b);
}

static void eight_hundred_thousand_levels_are_refused_whatever_the_limits_say(void **state)
{
    (void)state;
    struct wire_limits limits = {.max_bytes = 64 << 20, .max_depth = UINT32_MAX, .max_elements = SIZE_MAX};
    struct fm_buf b = nested(400000);
    assert_int_equal(check_with(&value_msg, b.p, b.n, &limits), -FM_INVALID_ARGUMENT);
    fm_buf_done(&b);
}

static void two_mebibytes_of_empty_elements_are_too_many(void **state)
{
    (void)state;
    struct fm_buf b = {0}, v = {0};
    for (size_t i = 0; i < 1 << 20; i++)
        fm_buf_append(&b, "\x0a\x00", 2);
    struct wire_limits limits = {.max_bytes = 4 << 20, .max_depth = 100, .max_elements = 500000};
    assert_int_equal(check_with(&list_msg, b.p, b.n, &limits), -FM_RESOURCE_EXHAUSTED);
    assert_string_equal(err.field, "values[500000]");
    /* packed ones and unknown ones count as well */
    fm_buf_put_len_delim(&v, 100, b.p, b.n);
    assert_int_equal(check_with(&all_msg, v.p, v.n, &limits), -FM_RESOURCE_EXHAUSTED);
    fm_buf_reset(&v);
    for (size_t i = 0; i < 600000; i++)
        fm_buf_append(&v, "\x50\x00", 2);
    assert_int_equal(check_with(&all_msg, v.p, v.n, &limits), -FM_RESOURCE_EXHAUSTED);
    assert_string_equal(err.field, "");
    fm_buf_done(&b);
    fm_buf_done(&v);
}

static void a_message_over_the_byte_limit_is_refused_with_both_numbers(void **state)
{
    (void)state;
    struct wire_limits limits = wire_limits_for(4);
    assert_int_equal(check_with(&all_msg,
                                "\x32\x03"
                                "abc",
                                5, &limits),
                     -FM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "5 bytes"));
    assert_non_null(strstr(err.msg, "limit is 4"));
}

static void random_bytes_never_read_beyond_the_end(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    uint8_t bytes[64];
    for (int round = 0; round < 200000; round++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            bytes[i] =
                (uint8_t)(i % 2 == 0 ? (x & 7) << 3 | 2 : x % 24); /* mostly plausible tags and lengths */
        }
        (void)check(&value_msg, bytes, x % (sizeof(bytes) + 1));
    }
}

static void the_reader_walks_one_level(void **state)
{
    (void)state;
    static const uint8_t msg[] = "\x08\x96\x01\x12\x02hi\x1d\x01\x02\x03\x04";
    struct wire_reader r = {msg, msg + sizeof(msg) - 1};
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    assert_int_equal(wire_next(&r, &field, &type, &val, &len), 1);
    assert_true(field == 1 && type == WIRE_TYPE_VARINT && val == 150);
    assert_int_equal(wire_next(&r, &field, &type, &val, &len), 1);
    assert_true(field == 2 && type == WIRE_TYPE_LEN && fm_bytes_eq_str(len, "hi"));
    assert_int_equal(wire_next(&r, &field, &type, &val, &len), 1);
    assert_true(field == 3 && type == WIRE_TYPE_FIXED32 && val == 0x04030201);
    assert_int_equal(wire_next(&r, &field, &type, &val, &len), 0);
}

static int release(void **state)
{
    (void)state;
    fm_err_done(&err);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_message_is_fine),
        cmocka_unit_test(a_message_with_a_field_of_each_kind_is_fine),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(scalars_may_occur_twice),
        cmocka_unit_test(every_prefix_of_a_message_that_cuts_a_field_is_refused),
        cmocka_unit_test(malformed_bytes_are_refused),
        cmocka_unit_test(a_field_with_the_wrong_wire_type_is_refused_by_name),
        cmocka_unit_test(malformed_packed_numbers_are_refused),
        cmocka_unit_test(text_must_be_utf8_without_nul),
        cmocka_unit_test(a_bad_byte_is_found_at_every_place_of_a_text),
        cmocka_unit_test(a_submessage_that_occurs_twice_is_refused),
        cmocka_unit_test(numbers_must_be_finite),
        cmocka_unit_test(the_path_names_the_element_by_its_index),
        cmocka_unit_test(a_cut_field_is_named_when_its_tag_is_there),
        cmocka_unit_test(nesting_up_to_the_limit_is_fine_and_beyond_is_refused),
        cmocka_unit_test(eight_hundred_thousand_levels_are_refused_whatever_the_limits_say),
        cmocka_unit_test(two_mebibytes_of_empty_elements_are_too_many),
        cmocka_unit_test(a_message_over_the_byte_limit_is_refused_with_both_numbers),
        cmocka_unit_test(random_bytes_never_read_beyond_the_end),
        cmocka_unit_test(the_reader_walks_one_level),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
