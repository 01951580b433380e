/* Messages as JSON: what the mapping says, and what is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "linear.h"
#include "mem.h"
#include "pb_json.h"
#include "zoo.h"

static struct pb_pool *pool;
static const struct pb_message *animal;

static int setup(void **state)
{
    (void)state;
    pool = pb_pool_new((struct fm_bytes){zoo_descriptor_set, zoo_descriptor_set_size});
    animal = pb_pool_message(pool, "zoo.Animal");
    return animal == NULL;
}

static int teardown(void **state)
{
    (void)state;
    pb_pool_free(pool);
    return 0;
}

/* What it says is read and written again. */
static void becomes(const char *json, const char *want)
{
    fm_auto(fm_buf) wire = {0};
    fm_auto(fm_buf) out = {0};
    fm_auto(fm_err) err = {0};
    if (pb_json_read(pool, animal, json, strlen(json), false, &wire, &err) < 0)
        fail_msg("%s: %s: %s", json, err.field, err.msg);
    assert_int_equal(pb_json_write(pool, animal, fm_buf_bytes(&wire), &out, &err), 0);
    fm_buf_append(&out, "", 1);
    assert_string_equal((const char *)out.p, want);
}

static void refused(const char *json, const char *field, const char *why)
{
    fm_auto(fm_buf) wire = {0};
    fm_auto(fm_err) err = {0};
    if (pb_json_read(pool, animal, json, strlen(json), false, &wire, &err) == 0)
        fail_msg("%s was taken", json);
    assert_int_equal(err.code, FM_INVALID_ARGUMENT);
    assert_int_equal(wire.n, 0);
    assert_string_equal(err.field, field);
    if (strstr(err.msg, why) == NULL)
        fail_msg("%s: '%s' does not say '%s'", json, err.msg, why);
}

static void names_and_numbers(void **state)
{
    (void)state;
    becomes("{\"a_string\":\"x\",\"anInt32\":5}", "{\"aString\":\"x\",\"anInt32\":5}");
    becomes("{\"@other\":\"x\"}", "{\"@other\":\"x\"}");
    becomes("{\"other_name\":\"x\"}", "{\"@other\":\"x\"}");
    becomes("{\"anInt32\":0,\"aString\":\"\",\"aBool\":false,\"child\":null,\"int32s\":null}", "{}");
    becomes("{\"maybe\":0}", "{\"maybe\":0}"); /* it has presence */
    becomes("{\"number\":0}", "{\"number\":0}");
    becomes("{\"nothing\":null}", "{\"nothing\":null}");
    becomes("{\"child\":{}}", "{\"child\":{}}");
    becomes("{\"anInt32\":1e3,\"aUint32\":\"7\",\"anInt64\":-9007199254740993}",
            "{\"anInt32\":1000,\"anInt64\":\"-9007199254740993\",\"aUint32\":7}");
    becomes("{\"aUint64\":\"18446744073709551615\",\"aSint64\":\"-9223372036854775808\"}",
            "{\"aUint64\":\"18446744073709551615\",\"aSint64\":\"-9223372036854775808\"}");
    becomes("{\"aDouble\":\"NaN\",\"aFloat\":\"-Infinity\"}",
            "{\"aDouble\":\"NaN\",\"aFloat\":\"-Infinity\"}");
    becomes("{\"aFloat\":0.1,\"aDouble\":0.1}", "{\"aDouble\":0.1,\"aFloat\":0.1}");
    becomes("{\"color\":1,\"colors\":[\"GREEN\",77,\"BELOW\"]}",
            "{\"color\":\"RED\",\"colors\":[\"GREEN\",77,\"BELOW\"]}");
    becomes("{\"someBytes\":\"-_8\"}", "{\"someBytes\":\"+/8=\"}");
    becomes("{\"byInt32\":{\"-1\":{},\"10\":{}},\"byBool\":{\"true\":\"1\"}}",
            "{\"byInt32\":{\"-1\":{},\"10\":{}},\"byBool\":{\"true\":\"1\"}}");
    becomes("{\"value\":null,\"manyValues\":[null,1]}", "{\"value\":null,\"manyValues\":[null,1]}");
    becomes("{\"wrappedInt64\":\"0\",\"wrappedString\":\"\",\"wrappedBool\":false}",
            "{\"wrappedInt64\":\"0\",\"wrappedBool\":false,\"wrappedString\":\"\"}");
    becomes("{\"any\":{\"@type\":\"type.googleapis.com/zoo.Animal\",\"aString\":\"x\"}}",
            "{\"any\":{\"@type\":\"type.googleapis.com/zoo.Animal\",\"aString\":\"x\"}}");
    becomes("{\"any\":{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"1s\"}}",
            "{\"any\":{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"1s\"}}");
    becomes("{\"mask\":\"aB,c.dE\"}", "{\"mask\":\"aB,c.dE\"}");
}

static void what_is_not_understood_is_refused_by_name(void **state)
{
    (void)state;
    refused("", "", "not JSON");
    refused("[]", "", "must be an object, not a list");
    refused("{\"aString\":\"x\",\"aString\":\"y\"}", "", "duplicate");
    refused("{\"aString\":\"x\",\"a_string\":\"y\"}", "aString", "given twice");
    refused("{\"aStrong\":\"x\"}", "aStrong", "did you mean 'aString'?");
    refused("{\"child\":{\"children\":[{},{\"colour\":1}]}}", "child.children[1].colour",
            "did you mean 'color'?");
    refused("{\"name\":\"x\",\"number\":1}", "number", "together with 'name'");
    refused("{\"anInt32\":2147483648}", "anInt32", "32 bits with sign");
    refused("{\"anInt32\":1.5}", "anInt32", "32 bits with sign");
    refused("{\"anInt32\":\"\"}", "anInt32", "32 bits");
    refused("{\"anInt32\":\" 1\"}", "anInt32", "32 bits");
    refused("{\"anInt32\":\"0x1\"}", "anInt32", "32 bits");
    refused("{\"anInt32\":true}", "anInt32", "not true or false");
    refused("{\"aUint64\":\"18446744073709551616\"}", "aUint64", "64 bits");
    refused("{\"aUint32\":-1}", "aUint32", "not negative");
    refused("{\"anInt64\":1e19}", "anInt64", "64 bits");
    refused("{\"aFloat\":1e39}", "aFloat", "float");
    refused("{\"aDouble\":\"nan\"}", "aDouble", "NaN");
    refused("{\"aBool\":\"true\"}", "aBool", "true or false, not a string");
    refused("{\"aString\":1}", "aString", "a string, not a number");
    refused("{\"color\":\"REDD\"}", "color", "did you mean 'RED'?");
    refused("{\"someBytes\":\"a\"}", "someBytes", "base64");
    refused("{\"someBytes\":\"a=b=\"}", "someBytes", "base64");
    refused("{\"int32s\":[1,null]}", "int32s[1]", "null");
    refused("{\"int32s\":{}}", "int32s", "a list, not an object");
    refused("{\"byBool\":{\"yes\":1}}", "byBool.yes", "true or false");
    refused("{\"byInt32\":{\"1\":null}}", "byInt32.1", "null");
    refused("{\"at\":\"1970-01-01\"}", "at", "a time such as");
    refused("{\"span\":\"1\"}", "span", "a time span");
    refused("{\"mask\":\"a_b\"}", "mask", "camelCase");
    refused("{\"value\":{\"a\":[9007199254740993]}}", "value.a[0]", "as a string");
    refused("{\"any\":{\"@type\":\"x/zoo.Nobody\"}}", "any.@type", "known here");
    refused("{\"any\":{\"@type\":\"x/google.protobuf.Duration\"}}", "any.value", "missing");
    refused("{\"aString\":\"\xff\"}", "", "not JSON");
}

static void unknown_names_may_be_left_out(void **state)
{
    (void)state;
    fm_auto(fm_buf) wire = {0};
    fm_auto(fm_buf) out = {0};
    fm_auto(fm_err) err = {0};
    const char *json = "{\"nobody\":{\"x\":[1]},\"color\":\"PINK\",\"anInt32\":1}";
    assert_int_equal(pb_json_read(pool, animal, json, strlen(json), true, &wire, &err), 0);
    assert_int_equal(pb_json_write(pool, animal, fm_buf_bytes(&wire), &out, &err), 0);
    assert_int_equal(out.n, strlen("{\"anInt32\":1}"));
}

static void bytes_that_are_no_message_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *field;
    } all[] = {
        {"\x4a\x05",         2, ""       }, /* cut off */
        {"\x4a\x01\xff",     3, "aString"}, /* not UTF-8 */
        {"\x48\x01",         2, "aString"}, /* the wrong wire type */
        {"\xfa\x01\x01\x80", 4, "int32s" }, /* packed, cut off */
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        fm_auto(fm_buf) out = {0};
        fm_auto(fm_err) err = {0};
        struct fm_bytes b = {(const uint8_t *)all[i].bytes, all[i].n};
        assert_int_equal(pb_json_write(pool, animal, b, &out, &err), -FM_INVALID_ARGUMENT);
        assert_int_equal(out.n, 0);
        if (strcmp(err.field, all[i].field) != 0 && strcmp(err.field, "a_string") != 0 &&
            strcmp(err.field, "int32s") != 0)
            fail_msg("%zu: field '%s'", i, err.field);
    }
}

static void pieces_come_together(void **state)
{
    (void)state;
    fm_auto(fm_buf) wire = {0};
    fm_auto(fm_buf) out = {0};
    fm_auto(fm_err) err = {0};
    static const uint8_t pieces[] = {
        0x8a, 0x01, 0x02, 0x18, 0x05,      /* child {an_int32: 5} */
        0xf8, 0x01, 0x01,                  /* int32s: 1, not packed */
        0x8a, 0x01, 0x03, 0x4a, 0x01, 'x', /* child {a_string: "x"} */
        0xfa, 0x01, 0x02, 0x02, 0x03,      /* int32s: 2, 3, packed */
        0x9a, 0x01, 0x01, 'n',             /* name: "n" */
        0xa0, 0x01, 0x07,                  /* number: 7, which ends name */
        0xf8, 0x3f, 0x01                   /* a field that is not known */
    };
    fm_buf_append(&wire, pieces, sizeof(pieces));
    assert_int_equal(pb_json_write(pool, animal, fm_buf_bytes(&wire), &out, &err), 0);
    fm_buf_append(&out, "", 1);
    assert_string_equal((const char *)out.p,
                        "{\"child\":{\"aString\":\"x\",\"anInt32\":5},\"number\":7,\"int32s\":[1,2,3]}");
}

static void depth_has_a_limit(void **state)
{
    (void)state;
    for (int levels = 90; levels <= 4000; levels = levels == 90 ? 101 : levels * 6) {
        fm_auto(fm_buf) json = {0};
        fm_auto(fm_buf) wire = {0};
        fm_auto(fm_err) err = {0};
        for (int i = 0; i < levels; i++)
            fm_buf_append(&json, "{\"child\":", 9);
        fm_buf_append(&json, "{}", 2);
        for (int i = 0; i < levels; i++)
            fm_buf_append(&json, "}", 1);
        assert_int_equal(pb_json_read(pool, animal, (const char *)json.p, json.n, false, &wire, &err),
                         levels < 100 ? 0 : -FM_INVALID_ARGUMENT);
    }
    fm_auto(fm_buf) wire = {0};
    for (int i = 0; i < 20000; i++) { /* from the inside */
        fm_auto(fm_buf) outer = {0};
        if (i > 110 && i % 1000 != 0)
            continue;
        fm_buf_put_len_delim(&outer, 17, wire.p, wire.n);
        fm_buf_done(&wire);
        wire = fm_buf_take(&outer);
    }
    fm_auto(fm_buf) out = {0};
    fm_auto(fm_err) err = {0};
    assert_int_equal(pb_json_write(pool, animal, fm_buf_bytes(&wire), &out, &err), -FM_INVALID_ARGUMENT);
}

static void layout(void **state)
{
    (void)state;
    fm_auto(fm_buf) out = {0};
    const char *json = "{\"a\":[],\"b\":{},\"c\":[1,{\"d\":\"x,\\\"{\"}],\"e\":null}";
    pb_json_indent(json, strlen(json), &out);
    fm_buf_append(&out, "", 1);
    assert_string_equal((const char *)out.p,
                        "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    {\n      \"d\": "
                        "\"x,\\\"{\"\n    }\n  ],\n  \"e\": null\n}");
}

static void methods(void **state)
{
    (void)state;
    size_t n;
    const struct pb_method *all = pb_pool_methods(pool, &n);
    assert_int_equal(n, 2);
    assert_string_equal(all[1].service, "zoo.Keeper");
    assert_ptr_equal(pb_pool_method(pool, "zoo.Keeper", "Look"), &all[1]);
    assert_true(all[1].server_streaming && !all[1].client_streaming && !all[0].server_streaming);
    assert_string_equal(all[0].output->name, "google.protobuf.Empty");
    assert_null(pb_pool_method(pool, "zoo.Keeper", "Sleep"));
    assert_null(pb_pool_message(pool, "zoo.Keeper"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_numbers),
        cmocka_unit_test(what_is_not_understood_is_refused_by_name),
        cmocka_unit_test(unknown_names_may_be_left_out),
        cmocka_unit_test(bytes_that_are_no_message_are_refused),
        cmocka_unit_test(pieces_come_together),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(layout),
        cmocka_unit_test(methods),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
