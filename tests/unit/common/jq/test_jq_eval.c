/* jq programs in workers: results, faults, and programs that would take a host down. This program is its own
 * worker. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jq_eval.h"
#include "json_text.h"
#include "mem.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static enum jq_big_integers mode;
static const struct jq_limits usual = {.max_outputs = 100, .max_bytes = 100000, .cpu_ms = 30000};

static int eval(const char *program, const char *data, struct jq_outputs *out, struct fm_err *err)
{
    struct jq_limits limits = usual;
    limits.big_integers = mode;
    *out = (struct jq_outputs){0};
    char *json = json_text(data);
    int rc = jq_eval(program, (struct fm_bytes){(const uint8_t *)json, strlen(json)}, &limits, out, err);
    free(json);
    return rc;
}

/* The program's outputs, one behind the other with spaces between, are these. */
static void yields(const char *program, const char *data, const char *want)
{
    struct jq_outputs out;
    struct fm_err err = {0};
    if (eval(program, data, &out, &err) < 0)
        fail_msg("%s: %s", program, err.msg);
    size_t n = 0;
    for (size_t i = 0; i < out.text.n; i++) {
        if (out.text.p[i] != '\0')
            continue;
        n++;
        out.text.p[i] = i + 1 < out.text.n ? ' ' : '\0';
    }
    assert_int_equal(n, out.n);
    char *json = json_text(want);
    assert_string_equal(out.n == 0 ? "" : (const char *)out.text.p, json);
    free(json);
    jq_outputs_done(&out);
}

static void fails(const char *program, const char *data, int code, const char *text)
{
    struct jq_outputs out;
    struct fm_err err = {0};
    int rc = eval(program, data, &out, &err);
    if (rc != -code || strstr(err.msg, text) == NULL)
        fail_msg("%s: %d %s", program, rc, err.msg);
    assert_int_equal(out.n, 0);
}

static void a_program_puts_out_what_it_says(void **state)
{
    (void)state;
    yields(".a + 1", "{'a':41}", "42");
    yields(".[]", "[1,'zwei',null,{'x':[]}]", "1 'zwei' null {'x':[]}");
    yields("empty", "{}", "");
    yields("{n: (.items | map(.price) | add)}", "{'items':[{'price':1.5},{'price':2}]}", "{'n':3.5}");
    yields("# a comment\n.include | ascii_upcase", "{'include':'ä import'}", "'ä IMPORT'");
    yields("def f: reduce .[] as $x (0; . + $x); f", "[1,2,3]", "6");
}

static void the_same_worker_serves_many_programs(void **state)
{
    (void)state;
    char program[32], want[32];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 40; i++) { /* more than are kept compiled */
            snprintf(program, sizeof(program), ". + %d", i);
            snprintf(want, sizeof(want), "%d", i + 1);
            yields(program, "1", want);
        }
    }
}

static void a_faulty_program_says_why(void **state)
{
    (void)state;
    fails(".a +", "{}", FM_INVALID_ARGUMENT, "syntax error");
    fails("nonesuch", "{}", FM_INVALID_ARGUMENT, "nonesuch/0 is not defined");
    fails(".a.b", "{'a':1}", FM_INVALID_ARGUMENT, "Cannot index number");
    fails("error(\"no city\")", "{}", FM_INVALID_ARGUMENT, "the jq program: no city");
    fails("error({code: 7})", "{}", FM_INVALID_ARGUMENT, "{\"code\":7}");
    fails("1, 2, error(\"late\")", "{}", FM_INVALID_ARGUMENT, "late");
    yields("try error(\"x\") catch .", "{}", "'x'");
}

static void a_program_sees_nothing_of_the_host(void **state)
{
    (void)state;
    yields("env, $ENV", "{}", "{} {}");
    fails("input", "{}", FM_INVALID_ARGUMENT, "no input but the data");
    fails("import \"a\" as a; 1", "{}", FM_INVALID_ARGUMENT, "cannot use modules");
    fails(" # x\n\tinclude \"a\" {search:\"/\"}; 1", "{}", FM_INVALID_ARGUMENT, "cannot use modules");
    fails("import \"passwd\" as $p {search:\"/etc\"}; $p", "{}", FM_INVALID_ARGUMENT, "cannot use modules");
    fails("module {}; 1", "{}", FM_INVALID_ARGUMENT, "cannot use modules");
    fails("\"/tmp/x\" | modulemeta", "{}", FM_INVALID_ARGUMENT, "module not found");
    yields("1, halt, 2", "{}", "1");
    yields("1, halt, 2", "{}", "1"); /* also what is kept compiled */
}

static void debug_lets_its_value_pass(void **state)
{
    (void)state;
    yields(".a | debug | . + 1", "{'a':41}", "42");
    yields("[.[] | debug] | length", "[1,2,3]", "3");
    yields("stderr | .a", "{'a':1}", "1");
}

static void halt_error_is_an_error(void **state)
{
    (void)state;
    fails("\"no such customer: ä\" | halt_error", "{}", FM_INVALID_ARGUMENT,
          "the jq program: no such customer: ä");
    fails("1, ({code: 7} | halt_error(3)), 2", "{}", FM_INVALID_ARGUMENT, "{\"code\":7}");
    fails("null | halt_error", "{}", FM_INVALID_ARGUMENT, "halt_error");
    fails("\"x\" | halt_error(0)", "{}", FM_INVALID_ARGUMENT, "the jq program: x");
    yields("1, halt, 2", "{}", "1");
    yields(".", "1", "1");
}

static void numbers_that_come_out_are_those_that_jq_has(void **state)
{
    (void)state;
    yields("pow(2; 60), pow(2; 63), 1e15, 1e17, 0.1, 1e300, infinite, nan, -0", "{}",
           "1152921504606846976 9223372036854775808 1000000000000000 100000000000000000 0.1 1e+300 "
           "1.7976931348623157e+308 null 0");
}

#define BIG "9007199254740993"

static void large_integers_pass_through_a_program(void **state)
{
    (void)state;
    yields(".", "{'id':" BIG ",'n':-9223372036854775808,'x':[18446744073709551615]}",
           "{'id':" BIG ",'n':-9223372036854775808,'x':[18446744073709551615]}");
    yields("{user: .a.id, more: [.b[]]}", "{'a':{'id':" BIG "},'b':[1,123456789123456789]}",
           "{'user':" BIG ",'more':[1,123456789123456789]}");
    yields(".n + 1", "{'id':" BIG ",'n':1}", "2");
    yields("map(select(.ok)) | length", "[{'id':" BIG ",'ok':true},{'id':1,'ok':false}]", "1");
    yields(
        "sort_by(.id) | map(.name)",
        "[{'id':1234567890123456789,'name':'b'},{'id':1134567890123456789,'name':'a'},{'id':5,'name':'c'}]",
        "['c','a','b']");
    yields("unique", "[1234567890123456789,1234567890123456789,1134567890123456789]",
           "[1134567890123456789,1234567890123456789]");
    yields("\"/users/\\(.id)/\\(.n)\", (.id | tostring), ([.id] | tojson | fromjson | length)",
           "{'id':" BIG ",'n':-" BIG "}", "'/users/" BIG "/-" BIG "' '" BIG "' 1");
    yields("{(.id | tostring): 1}", "{'id':1234567890123456789}", "{'1234567890123456789':1}");
    yields(".id > 100, .id == 5, (.id | not), (.id // 1)", "{'id':" BIG "}", "true false false " BIG);
    fails("error(\"no user \\(.id)\")", "{'id':" BIG "}", FM_INVALID_ARGUMENT, "no user " BIG);
}

static void a_program_that_would_change_a_large_integer_fails(void **state)
{
    static const char *const programs[] = {".a.id + 1",
                                           ".a.id % 2",
                                           "[.a.id, 1] | add",
                                           ".a.id | floor",
                                           ".a.id == 9007199254740993",
                                           ".a.id == .a.other",
                                           "[.a.id, .a.other] | unique | length",
                                           ".a.id | type",
                                           "(.a.id | length)",
                                           "(.a.id | tostring | length)",
                                           "(.a.id + 1)? // .a.id",
                                           "try (.a.id * 3) catch .a.id",
                                           ".a.id as $x | [1] | .[$x]"};
    (void)state;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
        fails(programs[i], "{'x':123456789123456789,'a':{'id':" BIG ",'other':9007199254740992.0}}",
              FM_INVALID_ARGUMENT, "integer " BIG " at .a.id");
    fails(".b[1].n - 1", "{'a':123456789123456789,'b':[0,{'n':987654321987654321}]}", FM_INVALID_ARGUMENT,
          "the integer 987654321987654321 at .b[1].n");
}

static void large_integers_can_be_text_or_rounded(void **state)
{
    (void)state;
    mode = JQ_BIG_TEXT;
    yields(".id, (.id | type), .n", "{'id':" BIG ",'n':5}", "'" BIG "' 'string' 5");
    mode = JQ_BIG_ROUND;
    yields(".id, .id / 2", "{'id':" BIG "}", "9007199254740992 4503599627370496");
    mode = JQ_BIG_EXACT;
}

static void programs_and_outputs_have_limits(void **state)
{
    (void)state;
    fm_autofree char *program = fm_xcalloc(1, JQ_MAX_PROGRAM_BYTES + 2);
    memset(program, ' ', JQ_MAX_PROGRAM_BYTES + 1);
    fails(program, "{}", FM_INVALID_ARGUMENT, "16385 bytes; the limit is 16384");
    program[0] = '.';
    program[JQ_MAX_PROGRAM_BYTES] = '\0';
    yields(program, "1", "1");
    fails("range(101)", "{}", FM_RESOURCE_EXHAUSTED, "more than 100 outputs");
    fails("range(infinite)", "{}", FM_RESOURCE_EXHAUSTED, "more than 100 outputs");
    fails("\"x\" * 100000", "{}", FM_RESOURCE_EXHAUSTED, "more than 100000 bytes");
    yields("[range(1000)] | length", "{}", "1000");
}

static void a_program_that_never_ends_is_ended(void **state)
{
    (void)state;
    static const struct jq_limits brief = {.max_outputs = 1, .max_bytes = 100, .cpu_ms = 50};
    static const char *const endless[] = {"def f: f; f", "last(repeat(1))", "until(false; .)",
                                          "first(range(infinite) | select(. < 0))"};
    for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
        struct jq_outputs out = {0};
        struct fm_err err = {0};
        assert_int_equal(jq_eval(endless[i], (struct fm_bytes){(const uint8_t *)"1", 1}, &brief, &out, &err),
                         -FM_DEADLINE_EXCEEDED);
        assert_non_null(strstr(err.msg, "50 ms"));
    }
    yields(". + 1", "1", "2");
}

static void a_program_that_needs_all_memory_is_ended(void **state)
{
    (void)state;
    if (SANITIZED)
        skip(); /* a sanitizer's address space has no bound to set */
    fails("reduce range(60) as $i (\"xxxxxxxx\"; . + .) | length", "{}", FM_RESOURCE_EXHAUSTED, "512 MiB");
    fails("[range(1e9) | tostring + (\"x\" * 100000)] | length", "{}", FM_RESOURCE_EXHAUSTED, "512 MiB");
    fails("reduce range(1000000) as $i (null; [.])", "{}", FM_RESOURCE_EXHAUSTED, "recurses");
    yields(". + 1", "1", "2");
}

static void *evaluate_often(void *arg)
{
    int *good = arg;
    for (int i = 0; i < 50; i++) {
        struct jq_outputs out;
        struct fm_err err = {0};
        if (eval(". * 2", "21", &out, &err) == 0 && out.n == 1 && strcmp((const char *)out.text.p, "42") == 0)
            ++*good;
        jq_outputs_done(&out);
    }
    return NULL;
}

static void many_threads_may_evaluate_at_once(void **state)
{
    (void)state;
    pthread_t threads[12]; /* more than workers are kept */
    int good[12] = {0};
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, evaluate_often, &good[i]), 0);
    for (size_t i = 0; i < 12; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(good[i], 50);
    }
}

static void large_data_goes_through(void **state)
{
    (void)state;
    size_t n = 3u << 20;
    fm_autofree char *json = fm_xcalloc(1, n + 1);
    memset(json, 'x', n);
    json[0] = json[n - 1] = '"';
    yields("length", json, "3145726");
    fails(".", json, FM_RESOURCE_EXHAUSTED, "bytes");
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], JQ_WORKER_ARG) == 0)
        return jq_worker_main();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_puts_out_what_it_says),
        cmocka_unit_test(the_same_worker_serves_many_programs),
        cmocka_unit_test(a_faulty_program_says_why),
        cmocka_unit_test(a_program_sees_nothing_of_the_host),
        cmocka_unit_test(debug_lets_its_value_pass),
        cmocka_unit_test(halt_error_is_an_error),
        cmocka_unit_test(numbers_that_come_out_are_those_that_jq_has),
        cmocka_unit_test(large_integers_pass_through_a_program),
        cmocka_unit_test(a_program_that_would_change_a_large_integer_fails),
        cmocka_unit_test(large_integers_can_be_text_or_rounded),
        cmocka_unit_test(programs_and_outputs_have_limits),
        cmocka_unit_test(a_program_that_never_ends_is_ended),
        cmocka_unit_test(a_program_that_needs_all_memory_is_ended),
        cmocka_unit_test(many_threads_may_evaluate_at_once),
        cmocka_unit_test(large_data_goes_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
