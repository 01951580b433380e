/* JSON Schema. In schemas and values single quotes stand for double ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "buf.h"
#include "json.h"
#include "json_schema.h"
#include "json_text.h"
#include "mem.h"
#include "slow.h"
#include "value.h"

static struct fm_arena arena;
static char faults[2048];

static int setup(void **state)
{
    (void)state;
    fm_arena_init(&arena, 64u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fm_arena_done(&arena);
    return 0;
}

static struct fm_value *from(const char *quoted)
{
    fm_autofree char *json = json_text(quoted);
    struct fm_err err = {0};
    struct fm_value *v = json_value_read(json, strlen(json), &arena, &err);
    if (v == NULL)
        fail_msg("%s: %s", json, err.msg);
    return v;
}

static struct fm_value *text_value(const char *text)
{
    return value_string(&arena, text, strlen(text));
}

static void note(void *arg, const struct json_schema_fault *f)
{
    size_t n = strlen(faults);
    (void)arg;
    snprintf(faults + n, sizeof(faults) - n, "%s%s: %s", n > 0 ? "; " : "", f->path, f->message);
}

static int check(const char *schema, const char *value)
{
    struct fm_err err = {0};
    faults[0] = '\0';
    int n = json_schema_check(from(schema), from(value), note, NULL, &err);
    if (n < 0)
        fail_msg("%s: %s", schema, err.msg);
    return n;
}

static void meets(const char *schema, const char *value)
{
    if (check(schema, value) != 0)
        fail_msg("%s with %s: %s", schema, value, faults);
}

/* Exactly these faults. */
static void misses(const char *schema, const char *value, const char *want)
{
    assert_true(check(schema, value) > 0);
    assert_string_equal(faults, want);
}

static void bad_schema(const char *schema, int code, const char *text)
{
    struct fm_err err = {0};
    assert_int_equal(json_schema_check(from(schema), NULL, NULL, NULL, &err), -code);
    if (strstr(err.msg, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
}

static void types_are_told_apart(void **state)
{
    (void)state;
    static const char *const values[] = {"null", "true", "1.5", "'s'", "[]", "{}"};
    static const char *const names[] = {"null", "boolean", "number", "string", "array", "object"};
    for (size_t i = 0; i < 6; i++) {
        for (size_t k = 0; k < 6; k++) {
            char schema[64];
            snprintf(schema, sizeof(schema), "{'type':'%s'}", names[k]);
            assert_int_equal(check(schema, values[i]), i != k);
        }
    }
    meets("{'type':'integer'}", "-3");
    meets("{'type':'integer'}", "1e3");
    misses("{'type':'integer'}", "1.5", ": is 1.5; it must be an integer");
    meets("{'type':['string','null']}", "null");
    misses("{'type':['string','null']}", "[]", ": is an array; it must be a string or null");
}

static void enum_and_const_compare_whole_values(void **state)
{
    (void)state;
    meets("{'enum':[1,'a',{'x':[1,2],'y':null}]}", "{'y':null,'x':[1,2]}");
    misses("{'enum':[1,'a']}", "'b'", ": is \"b\"; it must be one of: 1, \"a\"");
    misses("{'enum':[{'x':1}]}", "{'x':1,'y':2}", ": is an object; it must be one of: an object");
    meets("{'const':null}", "null");
    misses("{'const':null}", "0", ": is not the value that is wanted");
    misses("{'const':'1'}", "1", ": is not the value that is wanted");
    misses("{'const':[1,2]}", "[2,1]", ": is not the value that is wanted");
}

static void objects_have_properties(void **state)
{
    (void)state;
    const char *schema = "{'properties':{'a':{'type':'number'},'b':{'properties':{'c':{'type':'string'}}}},"
                         "'required':['a']}";
    meets(schema, "{'a':1,'b':{'c':'x'},'other':1}");
    meets(schema, "'no object'");
    misses(schema, "{'b':{'c':2}}", ": lacks the property \"a\"; b.c: is a number; it must be a string");
    misses("{'properties':{'a':true},'additionalProperties':false}", "{'a':1,'b':2}", "b: unknown key \"b\"");
    meets("{'properties':{'a':{}},'additionalProperties':{'type':'string'}}", "{'a':1,'b':'x'}");
    misses("{'additionalProperties':{'type':'string'}}", "{'b':1}", "b: is a number; it must be a string");
    misses("{'minProperties':1}", "{}", ": has 0 properties; it must have 1 or more");
    misses("{'maxProperties':1}", "{'a':1,'b':1}", ": has 2 properties; it must have 1 or fewer");
}

static void a_key_that_is_not_allowed_suggests_one_that_is(void **state)
{
    (void)state;
    const char *closed =
        "{'properties':{'prompt':{},'in':{'properties':{'max':{}},'additionalProperties':false}},"
        "'additionalProperties':false}";
    misses(closed, "{'promt':1}", "promt: unknown key \"promt\"; did you mean \"prompt\"?");
    misses(closed, "{'in':{'maxx':1,'other':2}}",
           "in.maxx: unknown key \"maxx\"; did you mean \"max\"?; in.other: unknown key \"other\"");
}

static void exactly_one_of_some_properties_is_said_so(void **state)
{
    (void)state;
    const char *one = "{'oneOf':[{'required':['ms']},{'required':['path']}]}";
    meets(one, "{'ms':1}");
    misses(one, "{}", ": must have exactly one of ms, path");
    misses(one, "{'ms':1,'path':2}", ": must have exactly one of ms, path; it has ms, path");
    misses(one, "1", ": meets 2 of the 2 schemas of oneOf");
}

static bool same(const char *a, const char *b)
{
    return json_schema_same(from(a), from(b)) && json_schema_same(from(b), from(a));
}

static void schemas_that_demand_the_same_are_the_same(void **state)
{
    (void)state;
    assert_true(same("{'type':'object','title':'a','properties':{'x':{'description':'d'},'y':{'minimum':1}}}",
                     "{'properties':{'y':{'minimum':1},'x':{'examples':[1]}},'type':'object'}"));
    assert_true(same("{'items':true}", "{'items':true,'$comment':'c'}"));
    assert_false(same("{'items':true}", "{'items':false}"));
    assert_false(same("{}", "{'type':'object'}"));
    assert_false(same("{'properties':{'title':{'type':'string'}}}", "{'properties':{'title':{}}}"));
    assert_false(same("{'properties':{'x':{}}}", "{'properties':{'y':{}}}"));
    assert_false(same("{'anyOf':[{'type':'string'},{}]}", "{'anyOf':[{},{'type':'string'}]}"));
    assert_false(same("{'format':'jq'}", "{}"));
    assert_false(same("{'const':null}", "{}"));
}

/* Processor time. */
static double cpu_ms(void)
{
    return (double)clock() * 1000 / CLOCKS_PER_SEC;
}

/* `n` times the part, with its number for %d, between the two ends. */
static const struct fm_value *many(const char *begin, int n, const char *fmt, const char *end)
{
    fm_auto(fm_buf) b = {0};
    char part[200];
    fm_buf_append(&b, begin, strlen(begin));
    for (int i = 0; i < n; i++) {
        const char *at = strstr(fmt, "%d");
        int before = at != NULL ? (int)(at - fmt) : (int)strlen(fmt);
        snprintf(part, sizeof(part), "%s%.*s", i > 0 ? "," : "", before, fmt);
        fm_buf_append(&b, part, strlen(part));
        snprintf(part, sizeof(part), "%d%s", i, at != NULL ? at + 2 : "");
        fm_buf_append(&b, part, at != NULL ? strlen(part) : 0);
    }
    fm_buf_append(&b, end, strlen(end) + 1);
    return from((const char *)b.p);
}

/* Each level was compared twice, and so the deepest one more often than can be counted. */
static void two_schemas_are_compared_in_time_that_grows_with_their_texts(void **state)
{
    (void)state;
    char deep[2000] = "";
    for (int i = 0; i < 70; i++)
        strcat(deep, "{'items':");
    strcat(deep, "{'type':'object'}");
    for (int i = 0; i < 70; i++)
        strcat(deep, "}");
    const char *begin = "{'properties':{", *fmt = "'p%d':{}", *end = "}}";
    double start = cpu_ms();
    assert_true(json_schema_same(from(deep), from(deep)));
    assert_true(json_schema_same(many(begin, 6000, fmt, end), many(begin, 6000, fmt, end)));
    assert_false(json_schema_same(many(begin, 6000, fmt, end), many(begin, 5999, fmt, end)));
    assert_true(cpu_ms() - start < 1000);
}

static size_t n_noted;

static void count(void *arg, const struct json_schema_fault *f)
{
    (void)arg;
    n_noted += strstr(f->message, "must be one of") == NULL && strstr(f->message, "meets") == NULL;
}

static void stops(const struct fm_value *schema, const struct fm_value *v)
{
    struct fm_err err = {0};
    struct json_schema_work work = {0};
    double start = cpu_ms();
    n_noted = 0;
    assert_int_equal(json_schema_check_plain(schema, v, &work, count, NULL, &err), -FM_RESOURCE_EXHAUSTED);
    assert_true(work.done < JSON_SCHEMA_WORK + 10000);
    assert_true(n_noted < 100000);
    assert_true(cpu_ms() - start < 10000);
}

static void each_element_that_is_compared_is_work(void **state)
{
    (void)state;
    const struct fm_value *objects = many("[", 20000, "{}", "]"), *texts = many("[", 20000, "'x'", "]");
    stops(many("{'items':{'required':[", 6000, "'p%d'", "]}}"), objects);
    stops(many("{'items':{'enum':[", 6000, "%d", "]}}"), texts);
    stops(many("{'items':{'type':[", 6000, "'null'", "]}}"), texts);
    stops(many("{'items':{'anyOf':[", 2000, "{'type':'null'}", "]}}"), texts);
    stops(many("{'items':{'oneOf':[", 2000, "{'required':['a%d']}", "]}}"), objects);
    stops(many("{'items':{'allOf':[", 2000, "{'required':['a%d']}", "]}}"), objects);
}

static void suggestions_are_few_in_all_checks_that_share_a_bound(void **state)
{
    (void)state;
    struct fm_err err = {0};
    struct json_schema_work work = {0};
    const struct fm_value *schema = from("{'additionalProperties':false,'properties':{'prompt':{}}}");
    const struct fm_value *v = from("{'promt':1}");
    int n = 0;
    for (int i = 0; i < 100; i++) {
        faults[0] = '\0';
        assert_int_equal(json_schema_check_plain(schema, v, &work, note, NULL, &err), 1);
        n += strstr(faults, "did you mean") != NULL;
        faults[0] = '\0';
        json_schema_report_unknown(fm_value_get(schema, "properties"), v, &work, note, NULL);
        assert_non_null(strstr(faults, "unknown key"));
        n += strstr(faults, "did you mean") != NULL;
    }
    assert_int_equal(n, 16);
    assert_true(work.done < 200 * 1000);
    work.done = JSON_SCHEMA_WORK + 1;
    faults[0] = '\0';
    json_schema_report_unknown(fm_value_get(schema, "properties"), v, &work, note, NULL);
    assert_string_equal(faults, "");
}

static void several_checks_share_a_bound_of_their_work(void **state)
{
    (void)state;
    struct fm_err err = {0};
    struct json_schema_work work = {.done = JSON_SCHEMA_WORK - 100};
    size_t n = 0;
    const struct fm_value *schema = from("{'type':'object'}"), *v = from("{}");
    assert_int_equal(json_schema_verify(schema, "s", JSON_SCHEMA_PLAIN, &err), 0);
    while (json_schema_check_plain(schema, v, &work, note, NULL, &err) == 0)
        n++;
    assert_true(n > 1 && n < 100);
    assert_int_equal(err.code, FM_RESOURCE_EXHAUSTED);
}

static void lists_have_elements(void **state)
{
    (void)state;
    misses("{'items':{'items':{'type':'number'}}}", "[[1],[2,'x']]",
           "[1][1]: is a string; it must be a number");
    misses("{'properties':{'l':{'items':{'required':['k']}}}}", "{'l':[{'k':1},{}]}",
           "l[1]: lacks the property \"k\"");
    misses("{'minItems':2}", "[1]", ": has 1 elements; it must have 2 or more");
    misses("{'maxItems':0}", "[1]", ": has 1 elements; it must have 0 or fewer");
    meets("{'uniqueItems':true}", "[1,'1',{'a':1},{'a':2},[]]");
    misses("{'uniqueItems':true}", "[1,{'a':1,'b':2},{'b':2,'a':1}]", ": has the same element at 1 and at 2");
    meets("{'uniqueItems':false}", "[1,1]");
}

static void numbers_have_bounds(void **state)
{
    (void)state;
    const char *schema = "{'minimum':1,'maximum':2}";
    meets(schema, "1");
    meets(schema, "2");
    misses(schema, "0.5", ": is 0.5; it must be 1 or more");
    misses(schema, "3", ": is 3; it must be 2 or less");
    misses("{'exclusiveMinimum':1}", "1", ": is 1; it must be more than 1");
    misses("{'exclusiveMaximum':1}", "1", ": is 1; it must be less than 1");
    meets("{'multipleOf':0.1}", "0.3");
    meets("{'multipleOf':3}", "-9");
    misses("{'multipleOf':3}", "10", ": is 10; it must be a multiple of 3");
}

static void strings_have_lengths_in_characters_and_patterns(void **state)
{
    (void)state;
    meets("{'minLength':3,'maxLength':3}", "'äöü'");
    misses("{'minLength':3}", "'äö'", ": has 2 characters; it must have 3 or more");
    misses("{'maxLength':1}", "'äö'", ": has 2 characters; it must have 1 or fewer");
    meets("{'pattern':'b+c'}", "'abbbcd'");
    misses("{'pattern':'^[A-Z]{2}[0-9]+$'}", "'AB'", ": does not match ^[A-Z]{2}[0-9]+$");
}

static void properties_are_told_by_patterns_and_by_each_other(void **state)
{
    (void)state;
    const char *schema =
        "{'properties':{'foo':{'type':'array','maxItems':3},'bar':{'type':'array'}},"
        "'patternProperties':{'f.o':{'minItems':2}},'additionalProperties':{'type':'integer'}}";
    meets(schema, "{'foo':[1,2]}");
    misses(schema, "{'foo':[1,2,3,4]}", "foo: has 4 elements; it must have 3 or fewer");
    misses(schema, "{'foo':[]}", "foo: has 0 elements; it must have 2 or more");
    meets(schema, "{'fxo':[1,2],'quux':3}");
    misses(schema, "{'fxo':[]}", "fxo: has 0 elements; it must have 2 or more");
    misses(schema, "{'quux':'foo'}", "quux: is a string; it must be an integer");
    misses("{'patternProperties':{'a*':{'type':'integer'},'aaa*':{'maximum':20}}}", "{'aaaa':31}",
           "aaaa: is 31; it must be 20 or less");
    meets("{'additionalProperties':false,'patternProperties':{'^x-':{}}}", "{'x-1':1}");
    misses("{'additionalProperties':false,'patternProperties':{'^x-':{}}}", "{'y-1':1}",
           "y-1: unknown key \"y-1\"");
    meets("{'propertyNames':{'maxLength':3}}", "{'f':1,'foo':1}");
    misses("{'propertyNames':{'maxLength':3}}", "{'foobar':1}",
           ": has the key \"foobar\", which does not meet the schema of propertyNames");
    misses("{'propertyNames':{'pattern':'^a+$'}}", "{'aaA':1}",
           ": has the key \"aaA\", which does not meet the schema of propertyNames");
    meets("{'propertyNames':false}", "{}");
    const char *card = "{'dependentRequired':{'card':['address','zip']}}";
    meets(card, "{'zip':1}");
    meets(card, "{'card':1,'address':1,'zip':1}");
    misses(card, "{'card':1,'zip':1}", ": lacks the property \"address\", which it needs beside \"card\"");
    bad_schema("{'patternProperties':{'(':{}}}", FM_INVALID_ARGUMENT,
               "schema.patternProperties.(: the pattern (");
    bad_schema("{'patternProperties':[]}", FM_INVALID_ARGUMENT, "an object of schemas");
    bad_schema("{'dependentRequired':{'a':'b'}}", FM_INVALID_ARGUMENT,
               "schema.dependentRequired.a: must be a list");
    bad_schema("{'dependentRequired':[]}", FM_INVALID_ARGUMENT, "an object of lists");
}

static void lists_have_prefixes_and_contain(void **state)
{
    (void)state;
    const char *tuple = "{'prefixItems':[{'type':'integer'},{'type':'string'}],'items':false}";
    meets(tuple, "[1,'a']");
    meets(tuple, "[1]");
    meets(tuple, "[]");
    misses(tuple, "['a',1]",
           "[0]: is a string; it must be an integer; [1]: is a number; it must be a string");
    misses(tuple, "[1,'a',2]", "[2]: is not allowed");
    meets("{'prefixItems':[{'type':'integer'}]}", "[1,'a',null]");
    meets("{'contains':{'minimum':5}}", "[3,4,5]");
    misses("{'contains':{'minimum':5}}", "[2,3]",
           ": has 0 elements that meet the schema of contains; it must have 1 or more");
    misses("{'contains':false}", "['x']",
           ": has 0 elements that meet the schema of contains; it must have 1 or more");
    meets("{'contains':false}", "'no list'");
    meets("{'contains':{'const':1},'minContains':0}", "[]");
    misses("{'contains':{'const':1},'minContains':2,'maxContains':3}", "[1]",
           ": has 1 elements that meet the schema of contains; it must have 2 or more");
    misses("{'contains':{'const':1},'maxContains':3}", "[1,1,1,1]",
           ": has 4 elements that meet the schema of contains; it must have 3 or fewer");
    bad_schema("{'prefixItems':[]}", FM_INVALID_ARGUMENT, "a list of schemas");
}

static void a_schema_may_depend_on_another(void **state)
{
    (void)state;
    const char *both = "{'if':{'exclusiveMaximum':0},'then':{'minimum':-10},'else':{'multipleOf':2}}";
    meets(both, "-1");
    misses(both, "-100", ": is -100; it must be -10 or more");
    meets(both, "4");
    misses(both, "3", ": is 3; it must be a multiple of 2");
    meets("{'if':{'const':0}}", "0");
    meets("{'then':{'const':0}}", "'x'");
    meets("{'else':{'const':0}}", "'x'");
    misses("{'if':true,'then':false}", "1", ": is not allowed");
    bad_schema("{'if':3}", FM_INVALID_ARGUMENT, "schema.if: must be a schema");
}

static void schemas_are_combined(void **state)
{
    (void)state;
    const char *any = "{'anyOf':[{'type':'string'},{'minimum':5,'type':'number'}]}";
    meets(any, "'x'");
    meets(any, "6");
    misses(any, "4", ": meets none of the 2 schemas of anyOf");
    const char *one = "{'oneOf':[{'multipleOf':2},{'multipleOf':3}]}";
    meets(one, "4");
    misses(one, "6", ": meets 2 of the 2 schemas of oneOf");
    misses(one, "7", ": meets 0 of the 2 schemas of oneOf");
    misses("{'allOf':[{'minimum':3},{'maximum':1}]}", "2",
           ": is 2; it must be 3 or more; : is 2; it must be 1 or less");
    misses("{'not':{'type':'string'}}", "'x'", ": meets the schema of not");
    meets("{'not':{'type':'string'}}", "1");
    misses("{'properties':{'a':false}}", "{'a':1}", "a: is not allowed");
}

static void what_a_schema_demands_is_never_silently_left_out(void **state)
{
    (void)state;
    bad_schema("{'properties':{'a':{'$dynamicRef':'#/x'}}}", FM_INVALID_ARGUMENT,
               "schema.properties.a.$dynamicRef: this keyword of JSON Schema is not supported");
    bad_schema("{'unevaluatedItems':{}}", FM_INVALID_ARGUMENT, "schema.unevaluatedItems");
    bad_schema("{'dependencies':{}}", FM_INVALID_ARGUMENT, "schema.dependencies");
    bad_schema("{'items':[{}]}", FM_INVALID_ARGUMENT, "schema.items");
    meets("{'title':'t','description':'d','default':1,'examples':[],'$schema':'s','$id':'i','$comment':'c',"
          "'format':'email','deprecated':false,'readOnly':true,'writeOnly':false}",
          "1");
}

static void references_lead_to_schemas_within(void **state)
{
    (void)state;
    const char *tree =
        "{'$ref':'#/$defs/node','$defs':{'node':{'type':'object','required':['v'],'properties':{"
        "'v':{'type':'integer'},'next':{'$ref':'#/$defs/node'},'all':{'items':{'$ref':'#'}}}}}}";
    meets(tree, "{'v':1,'next':{'v':2,'next':{'v':3}},'all':[{'v':4},{'v':5,'all':[]}]}");
    misses(tree, "{'v':1,'next':{'v':2,'next':{'v':'x'}}}",
           "next.next.v: is a string; it must be an integer");
    misses(tree, "{'v':1,'all':[{'v':4},{}]}", "all[1]: lacks the property \"v\"");
    meets("{'properties':{'a':{'$ref':'#/definitions/p%25~1q~0','minimum':3}},'definitions':{'p%/"
          "q~':{'maximum':5}}}",
          "{'a':4}");
    misses("{'$ref':'#/$defs/a','minimum':3,'$defs':{'a':{'maximum':5}}}", "2",
           ": is 2; it must be 3 or more");
    meets("{'items':{'$ref':'#/anyOf/1'},'anyOf':[false,{}]}", "[1]");
    bad_schema("{'$ref':'#/$defs/x','$defs':{}}", FM_INVALID_ARGUMENT,
               "schema.$ref: #/$defs/x leads to no schema");
    bad_schema("{'$ref':'#/enum/0','enum':[{}]}", FM_INVALID_ARGUMENT, "leads to no schema");
    bad_schema("{'$ref':'#/$defs','$defs':{}}", FM_INVALID_ARGUMENT, "leads to no schema");
    bad_schema("{'$ref':'#/anyOf/01','anyOf':[{},{}]}", FM_INVALID_ARGUMENT, "leads to no schema");
    bad_schema("{'$ref':'http://example.com/x'}", FM_INVALID_ARGUMENT, "leads to no schema within this one");
    bad_schema("{'$ref':7}", FM_INVALID_ARGUMENT, "must be a string");
    bad_schema("{'$ref':'#/$defs/a','$defs':{'a':{'$id':'x'}}}", FM_INVALID_ARGUMENT, "$id");
    bad_schema("{'$defs':{'a':{'$id':'x'},'b':{'$ref':'#'}}}", FM_INVALID_ARGUMENT, "$id within");
}

static void references_end(void **state)
{
    struct fm_err err = {0};
    char text[4000] = "{'$ref':'#/$defs/d0','$defs':{'d40':{}";
    (void)state;
    bad_schema("{'$ref':'#'}", FM_INVALID_ARGUMENT, "leads round in a circle");
    bad_schema("{'$ref':'#/$defs/a','$defs':{'a':{'$ref':'#/$defs/b'},'b':{'$ref':'#/$defs/a'}}}",
               FM_INVALID_ARGUMENT, "circle");
    assert_int_equal(json_schema_check(from("{'allOf':[{'$ref':'#'}]}"), from("1"), NULL, NULL, &err),
                     -FM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "lead round without an end"));
    fm_err_done(&err);
    for (int i = 0; i < 40; i++) /* each twice the one before: 2^40 looks */
        snprintf(text + strlen(text), sizeof(text) - strlen(text),
                 ",'d%d':{'allOf':[{'$ref':'#/$defs/d%d'},{'$ref':'#/$defs/d%d'}]}", i, i + 1, i + 1);
    strcat(text, "}}");
    assert_int_equal(json_schema_check(from(text), from("1"), NULL, NULL, &err), -FM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "too large to be checked"));
    fm_err_done(&err);
}

static void dependent_schemas_hold_beside_their_property(void **state)
{
    (void)state;
    meets("{'dependentSchemas':{'a':{'required':['b']}}}", "{'c':1}");
    misses("{'dependentSchemas':{'a':{'required':['b']}}}", "{'a':1}", ": lacks the property \"b\"");
}

static void large_numbers_are_compared_exactly(void **state)
{
    (void)state;
    meets("{'minimum':9007199254740993,'maximum':9007199254740993}", "9007199254740993");
    misses("{'minimum':9007199254740993}", "9007199254740992",
           ": is 9007199254740992; it must be 9007199254740993 or more");
    misses("{'exclusiveMaximum':18446744073709551615}", "18446744073709551615",
           ": is 18446744073709551615; it must be less than 18446744073709551615");
    misses("{'const':9007199254740993}", "9007199254740992", ": is not the value that is wanted");
    meets("{'uniqueItems':true}", "[9007199254740992,9007199254740993]");
    meets("{'multipleOf':0.01}", "4.35");
    meets("{'multipleOf':3}", "9007199254740993");
    misses("{'multipleOf':3}", "9007199254740994", ": is 9007199254740994; it must be a multiple of 3");
    misses("{'multipleOf':0.123456789}", "1e308", ": is 1e+308; it must be a multiple of 0.123456789");
    meets("{'type':'integer'}", "18446744073709551615");
}

static void a_faulty_schema_is_named(void **state)
{
    (void)state;
    bad_schema("7", FM_INVALID_ARGUMENT, "schema: must be a schema");
    bad_schema("{'type':'text'}", FM_INVALID_ARGUMENT, "schema.type: must be null, boolean");
    bad_schema("{'type':[]}", FM_INVALID_ARGUMENT, "schema.type");
    bad_schema("{'minimum':'1'}", FM_INVALID_ARGUMENT, "schema.minimum: must be a number");
    bad_schema("{'minItems':1.5}", FM_INVALID_ARGUMENT, "schema.minItems: must be a whole number");
    bad_schema("{'multipleOf':0}", FM_INVALID_ARGUMENT, "greater than 0");
    bad_schema("{'uniqueItems':1}", FM_INVALID_ARGUMENT, "true or false");
    bad_schema("{'required':[1]}", FM_INVALID_ARGUMENT, "a list of strings");
    bad_schema("{'required':'a'}", FM_INVALID_ARGUMENT, "a list of strings");
    bad_schema("{'enum':1}", FM_INVALID_ARGUMENT, "a list");
    bad_schema("{'properties':[]}", FM_INVALID_ARGUMENT, "an object of schemas");
    bad_schema("{'anyOf':[]}", FM_INVALID_ARGUMENT, "a list of schemas");
    bad_schema("{'oneOf':[{},{'items':3}]}", FM_INVALID_ARGUMENT, "schema.oneOf[1].items: must be a schema");
    bad_schema("{'pattern':1}", FM_INVALID_ARGUMENT, "a string");
    bad_schema("{'pattern':'('}", FM_INVALID_ARGUMENT,
               "schema.pattern: the pattern ( is not valid: missing closing parenthesis");
}

static void patterns_are_those_of_ecma_262(void **state)
{
    (void)state;
    meets("{'pattern':'^\\\\d{4}$'}", "'2025'");
    misses("{'pattern':'^\\\\d{4}$'}", "'dddd'", ": does not match ^\\d{4}$");
    meets("{'pattern':'^[[:alpha:]]+@[a-z]+[.](com|org)$'}", "'a@b.org'");
}

/* Neither met nor missed: an error that names the pattern. */
static void gives_up(const char *schema, const struct fm_value *v, const char *text)
{
    struct fm_err err = {0};
    faults[0] = '\0';
    assert_int_equal(json_schema_check(from(schema), v, note, NULL, &err), -FM_RESOURCE_EXHAUSTED);
    if (strstr(err.msg, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
    assert_null(strstr(faults, "[999]"));
    fm_err_done(&err);
}

static void a_pattern_that_meets_a_limit_is_named(void **state)
{
    (void)state;
    bad_schema("{'pattern':'(a*)*\\\\1'}", FM_INVALID_ARGUMENT, "back references");
    bad_schema(
        "{'properties':{'p':{'pattern':'((a{100}){100}){100}'}}}", FM_INVALID_ARGUMENT,
        "schema.properties.p.pattern: the pattern ((a{100}){100}){100} is not valid: regular expression is "
        "too large");
    char schema[1200], *text = malloc(120001);
    snprintf(schema, sizeof(schema), "{'pattern':'%01001d'}", 0);
    bad_schema(schema, FM_INVALID_ARGUMENT, "the limit is 1000");
    for (int i = 0; i < 120000; i++)
        text[i] = "xy"[i * 7 % 5 % 2];
    text[120000] = '\0';
    const struct fm_value *v = text_value(text);
    struct fm_value *list = value_list(&arena);
    assert_int_equal(value_list_add(&arena, list, v), 0);
    gives_up("{'pattern':'^(x|y)*x(x|y){500}z$'}", v,
             "the pattern ^(x|y)*x(x|y){500}z$ takes too much memory to be matched");
    gives_up("{'not':{'pattern':'^(x|y)*x(x|y){500}z$'}}", v, "too much memory");
    gives_up("{'anyOf':[{'items':{'pattern':'x*y*x*y*x*[zq]'}},{}]}", list, "too much work");
    free(text);
}

static void many_patterns_share_the_bound_of_work(void **state)
{
    (void)state;
    char text[2001];
    struct fm_value *list = value_list(&arena);
    memset(text, 'a', 2000);
    text[2000] = '\0';
    for (int i = 0; i < 1000; i++)
        assert_int_equal(value_list_add(&arena, list, text_value(text)), 0);
    gives_up("{'items':{'pattern':'a*[bc]'}}", list, "the pattern a*[bc] takes too much work");
    char schema[9000] = "{'allOf':[";
    for (int i = 0; i < 64; i++)
        snprintf(schema + strlen(schema), sizeof(schema) - strlen(schema),
                 "%s{'pattern':'(((ab?){30}){20})'}", i > 0 ? "," : "");
    strcat(schema, "]}");
    struct json_schema_work little = {.most = 100000};
    struct fm_err err = {0};
    assert_int_equal(json_schema_check_within(from(schema), list, &little, NULL, NULL, &err),
                     -FM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "too much work to be compiled"));
    fm_err_done(&err);
    struct json_schema_work none = {.no_patterns = true};
    assert_int_equal(json_schema_check_within(from("{'pattern':'a'}"), list, &none, NULL, NULL, &err),
                     -FM_RESOURCE_EXHAUSTED);
}

static void is_brief(const struct fm_value *schema, const struct fm_value *v)
{
    double best = 1e9;
    for (int k = 0; k < 3; k++) {
        struct json_schema_work work = {.most = JSON_SCHEMA_BRIEF_WORK};
        struct fm_err err = {0};
        double start = cpu_ms();
        faults[0] = '\0';
        int rc = json_schema_check_within(schema, v, &work, note, NULL, &err);
        double took = cpu_ms() - start;
        assert_true(rc >= 0 || rc == -FM_RESOURCE_EXHAUSTED);
        best = took < best ? took : best;
        fm_err_done(&err);
    }
    if (best > 20 * (TEST_SANITIZED ? 20 : 1))
        fail_msg("it took %.1f ms", best);
}

/* Whatever is checked within the work of a thread that others wait for takes less than 20 ms of a usual
 * machine. */
static void a_brief_check_is_brief(void **state)
{
    (void)state;
    char *text = malloc(400001);
    memset(text, 'a', 400000);
    text[400000] = '\0';
    struct fm_value *texts = value_list(&arena), *lists = value_list(&arena);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(value_list_add(&arena, texts, text_value(text + 400000 - 1000 - i)), 0);
        assert_int_equal(value_list_add(&arena, lists, texts), 0);
    }
    const struct fm_value *objects = many("[", 20000, "{}", "]"), *map = many("{", 6000, "'p%d':1", "}");
    is_brief(from("{'uniqueItems':true}"), texts);
    is_brief(from("{'uniqueItems':true}"), lists);
    is_brief(from("{'uniqueItems':true}"), objects);
    is_brief(from("{'items':{'pattern':'a*[bc]'}}"), texts);
    is_brief(from("{'items':{'pattern':'^(a|aa)+$'}}"), texts);
    is_brief(from("{'pattern':'a*a*[bc]'}"), text_value(text));
    is_brief(from("{'minLength':3}"), text_value(text));
    is_brief(from("{'items':{'maxLength':3}}"), texts);
    is_brief(many("{'items':{'anyOf':[", 2000, "{'type':'null'}", "]}}"), texts);
    is_brief(many("{'items':{'required':[", 6000, "'p%d'", "]}}"), objects);
    is_brief(many("{'items':{'enum':[", 6000, "%d", "]}}"), texts);
    is_brief(many("{'properties':{", 6000, "'p%d':{'type':'string'}", "}}"), map);
    is_brief(many("{'additionalProperties':false,'properties':{", 6000, "'pp%d':{}", "}}"), map);
    is_brief(many("{'allOf':[", 64, "{'pattern':'(((ab?){30}){20})'}", "]}"), text_value(text));
    free(text);
}

static void work_is_bounded(void **state)
{
    (void)state;
    struct fm_err err = {0};
    struct fm_value *list = value_list(&arena), *schema = from("{'uniqueItems':true}");
    for (int i = 0; i < 10000; i++)
        assert_int_equal(value_list_add(&arena, list, value_number(&arena, i)), 0);
    assert_int_equal(json_schema_check(schema, list, NULL, NULL, &err), -FM_RESOURCE_EXHAUSTED);
    assert_int_equal(
        json_schema_check(from("{'items':{'type':'number','maximum':10000}}"), list, NULL, NULL, &err), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(types_are_told_apart),
        TEST(enum_and_const_compare_whole_values),
        TEST(objects_have_properties),
        TEST(lists_have_elements),
        TEST(numbers_have_bounds),
        TEST(strings_have_lengths_in_characters_and_patterns),
        TEST(schemas_are_combined),
        TEST(properties_are_told_by_patterns_and_by_each_other),
        TEST(lists_have_prefixes_and_contain),
        TEST(a_schema_may_depend_on_another),
        TEST(what_a_schema_demands_is_never_silently_left_out),
        TEST(references_lead_to_schemas_within),
        TEST(references_end),
        TEST(dependent_schemas_hold_beside_their_property),
        TEST(large_numbers_are_compared_exactly),
        TEST(a_faulty_schema_is_named),
        TEST(patterns_are_those_of_ecma_262),
        TEST(a_pattern_that_meets_a_limit_is_named),
        TEST(many_patterns_share_the_bound_of_work),
        TEST(a_brief_check_is_brief),
        TEST(work_is_bounded),
        TEST(a_key_that_is_not_allowed_suggests_one_that_is),
        TEST(exactly_one_of_some_properties_is_said_so),
        TEST(schemas_that_demand_the_same_are_the_same),
        TEST(several_checks_share_a_bound_of_their_work),
        TEST(two_schemas_are_compared_in_time_that_grows_with_their_texts),
        TEST(each_element_that_is_compared_is_work),
        TEST(suggestions_are_few_in_all_checks_that_share_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
