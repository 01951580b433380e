/* jq programs for the engine: what is told of them, and their budget. This program is its own jq worker. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "arena.h"
#include "evals.h"
#include "jq_eval.h"
#include "json.h"
#include "value.h"

static struct fm_buf data;

static int setup(void **state)
{
    struct fm_arena arena;
    struct fm_err err = {0};
    static const char json[] = "{\"x\": 1}";
    (void)state;
    fm_arena_init(&arena, 1u << 20);
    const struct fm_value *v = json_value_read(json, strlen(json), &arena, &err);
    data = (struct fm_buf){0};
    assert_int_equal(value_encode_struct(v, &data, &err), 0);
    fm_arena_done(&arena);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fm_buf_done(&data);
    return 0;
}

static struct eval_request request(const char *const *programs, size_t n)
{
    return (struct eval_request){.programs = programs,
                                 .n = n,
                                 .data = fm_buf_bytes(&data),
                                 .cpu_ms = 30000,
                                 .all_cpu_ms = 60000,
                                 .max_outputs = 10,
                                 .max_bytes = 1000};
}

static struct eval *run(const struct eval_request *r)
{
    struct eval *v = eval_new(1, r);
    eval_run(v);
    return v;
}

static void the_first_output_of_each_program_is_told(void **state)
{
    (void)state;
    static const char *const programs[] = {".x, 2", "empty", "null", "\"a\""};
    const struct eval_request r = request(programs, 4);
    struct eval *v = run(&r);
    struct eval_result result = eval_result(v);
    assert_int_equal(result.code, FM_OK);
    assert_int_equal(result.n, 4);
    assert_string_equal(result.outputs[0], "1");
    assert_null(result.outputs[1]);
    assert_string_equal(result.outputs[2], "null");
    assert_string_equal(result.outputs[3], "\"a\"");
    eval_free(v);
}

static void the_first_that_is_true_may_be_the_last(void **state)
{
    (void)state;
    static const char *const programs[] = {"null", "false", "empty", "0", "error(\"not run\")"};
    struct eval_request r = request(programs, 5);
    r.until_true = true;
    struct eval *v = run(&r);
    assert_int_equal(eval_result(v).code, FM_OK);
    assert_int_equal(eval_result(v).n, 4);
    eval_free(v);
}

static void a_program_that_fails_is_the_last(void **state)
{
    (void)state;
    static const char *const programs[] = {".x", "error(\"no\")", ".x"};
    const struct eval_request r = request(programs, 3);
    struct eval *v = run(&r);
    assert_int_equal(eval_result(v).code, FM_INVALID_ARGUMENT);
    assert_int_equal(eval_result(v).n, 1);
    assert_non_null(strstr(eval_result(v).error, "no"));
    eval_free(v);
}

static void all_programs_share_a_budget(void **state)
{
    (void)state;
    const char *programs[500];
    for (size_t i = 0; i < 500; i++)
        programs[i] = "[range(20000)] | add < 0";
    struct eval_request r = request(programs, 500);
    r.all_cpu_ms = 100;
    struct eval *v = run(&r);
    assert_int_equal(eval_result(v).code, FM_DEADLINE_EXCEEDED);
    assert_true(eval_result(v).n < 500);
    eval_free(v);
    static const char *const endless[] = {"def f: f; f"};
    r = request(endless, 1);
    r.cpu_ms = 50;
    v = run(&r);
    assert_int_equal(eval_result(v).code, FM_DEADLINE_EXCEEDED);
    assert_non_null(strstr(eval_result(v).error, "50 ms"));
    eval_free(v);
}

/* ---- on a loop ---- */

static struct {
    uv_loop_t loop;
    struct evals *evals;
    uint64_t done[8];
    size_t n;
} all;

static void on_done(void *arg, uint64_t id, const void *result)
{
    const struct eval_result *r = result;
    (void)arg;
    assert_int_equal(r->n, 1);
    assert_true(all.n < 8);
    all.done[all.n++] = id;
    if (all.n == 2)
        uv_stop(&all.loop);
}

static const struct outside_events events = {NULL, NULL, on_done};

static void what_is_cancelled_is_not_told_of(void **state)
{
    (void)state;
    static const char *const programs[] = {".x"};
    const struct eval_request r = request(programs, 1);
    assert_int_equal(uv_loop_init(&all.loop), 0);
    all.evals = evals_new(&all.loop, &events);
    for (uint64_t id = 1; id <= 4; id++)
        evals_start(all.evals, id, &r);
    evals_cancel(all.evals, 1);
    evals_cancel(all.evals, 3);
    evals_cancel(all.evals, 9);
    (void)uv_run(&all.loop, UV_RUN_DEFAULT);
    assert_int_equal(all.n, 2);
    assert_int_equal(all.done[0] + all.done[1], 6);
    evals_start(all.evals, 5, &r); /* under way at the end */
    evals_stop(all.evals);
    (void)uv_run(&all.loop, UV_RUN_DEFAULT);
    evals_free(all.evals);
    assert_int_equal(uv_loop_close(&all.loop), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], JQ_WORKER_ARG) == 0)
        return jq_worker_main();
    const struct CMUnitTest tests[] = {
        T(the_first_output_of_each_program_is_told),
        T(the_first_that_is_true_may_be_the_last),
        T(a_program_that_fails_is_the_last),
        T(all_programs_share_a_budget),
        T(what_is_cancelled_is_not_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
