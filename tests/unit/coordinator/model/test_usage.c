/* What model calls used: limits and sums. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agreed.h"
#include "buf.h"
#include "err.h"
#include "job_state.h"
#include "mem.h"
#include "pbc.h"
#include "usage.h"

static Fermata__V1__Usage used(uint64_t tokens, double cost, uint32_t calls)
{
    Fermata__V1__Usage u = FERMATA__V1__USAGE__INIT;
    u.input_tokens = u.output_tokens = u.cached_tokens = tokens;
    u.cost = cost;
    u.calls = calls;
    return u;
}

static const char *refused(Fermata__V1__Usage u)
{
    static struct fm_err err;
    memset(&err, 0, sizeof(err));
    return usage_check(&u, &err) == 0 ? "" : err.field;
}

static void a_step_may_have_used_so_much(void **state)
{
    (void)state;
    assert_string_equal(refused(used(0, 0, 0)), "");
    assert_string_equal(refused(used(FM_MAX_STEP_TOKENS, FM_MAX_STEP_COST, FM_MAX_STEP_CALLS)), "");
    assert_string_equal(refused(used(FM_MAX_STEP_TOKENS + 1, 0, 0)), "step.usage.input_tokens");
    assert_string_equal(refused(used(UINT64_MAX, 0, 0)), "step.usage.input_tokens");
    assert_string_equal(refused(used(0, 0, FM_MAX_STEP_CALLS + 1)), "step.usage.calls");
    const double costs[] = {1e308, -1e-9, -1e308, INFINITY, -INFINITY, NAN, FM_MAX_STEP_COST * 1.001};
    for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++)
        assert_string_equal(refused(used(0, costs[i], 0)), "step.usage.cost");
    Fermata__V1__Usage u = used(0, 0, 0);
    u.output_tokens = FM_MAX_STEP_TOKENS + 1;
    assert_string_equal(refused(u), "step.usage.output_tokens");
    u = used(0, 0, 0);
    u.cached_tokens = FM_MAX_STEP_TOKENS + 1;
    assert_string_equal(refused(u), "step.usage.cached_tokens");
}

static void sums_stay_at_their_limits(void **state)
{
    (void)state;
    Fermata__V1__Usage sum = used(FM_MAX_SUM_TOKENS - 2, FM_MAX_SUM_COST - 1, UINT32_MAX - 2),
                       one = used(1, 0.5, 1);
    usage_add(&sum, &one);
    assert_true(sum.input_tokens == FM_MAX_SUM_TOKENS - 1 && sum.cost == FM_MAX_SUM_COST - 0.5 &&
                sum.calls == UINT32_MAX - 1);
    assert_false(usage_is_full(&sum));
    for (int i = 0; i < 3; i++)
        usage_add(&sum, &one);
    assert_true(sum.input_tokens == FM_MAX_SUM_TOKENS && sum.output_tokens == FM_MAX_SUM_TOKENS &&
                sum.cached_tokens == FM_MAX_SUM_TOKENS && sum.cost == FM_MAX_SUM_COST &&
                sum.calls == UINT32_MAX);
    assert_true(usage_is_full(&sum));
}

/* Of steps that an earlier version has stored. */
static void what_is_stored_already_has_an_end(void **state)
{
    (void)state;
    const double costs[] = {1e308, -1e308, INFINITY, NAN};
    Fermata__V1__Usage sum = used(1, 1, 1);
    for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
        const Fermata__V1__Usage u = used(UINT64_MAX, costs[i], UINT32_MAX);
        usage_add(&sum, &u);
        assert_true(isfinite(sum.cost) && sum.cost >= 0 && sum.cost <= FM_MAX_SUM_COST);
        assert_true(sum.input_tokens == FM_MAX_SUM_TOKENS);
    }
}

static void a_state_that_was_stored_without_end_is_mended(void **state)
{
    (void)state;
    fm_auto(fm_buf) stored = {0}, again = {0};
    fm_auto(fm_err) err = {0};
    Fermata__V1__JobState m = FERMATA__V1__JOB_STATE__INIT;
    Fermata__V1__Usage u = used(UINT64_MAX, INFINITY, 7);
    struct job_state *s = NULL;
    m.usage = &u;
    pb_pack(&m, &stored);
    assert_int_equal(job_state_decode(fm_buf_bytes(&stored), &s, &err), 0);
    job_state_encode(s, NULL, &again);
    job_state_free(s);
    Fermata__V1__JobState *got = fermata__v1__job_state__unpack(NULL, again.n, again.p);
    assert_true(got->usage->cost == FM_MAX_SUM_COST);
    assert_true(got->usage->input_tokens == FM_MAX_SUM_TOKENS);
    assert_int_equal(got->usage->calls, 7);
    fermata__v1__job_state__free_unpacked(got, NULL);
}

/* A due time near 2^63 milliseconds or seconds, as a store may hold it. */
static void a_stored_time_without_end_is_one_at_the_end_of_the_calendar(void **state)
{
    (void)state;
    const int64_t far[] = {INT64_MAX, INT64_MAX / 1000, INT64_MIN};
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        Google__Protobuf__Timestamp at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        Fermata__V1__Task task = FERMATA__V1__TASK__INIT;
        fm_auto(fm_buf) b = {0};
        fm_auto(fm_err) err = {0};
        at.seconds = far[i];
        at.nanos = INT32_MAX;
        task.due_at = &at;
        pb_pack(&task, &b);
        struct task_item *t = task_item_parse(fm_buf_bytes(&b), &err), *made = task_item_new(&task);
        assert_non_null(t);
        assert_true(t->due_ms == (far[i] > 0 ? 253402300799999 : -62135596800000));
        assert_true(made->due_ms == t->due_ms);
        free(t);
        free(made);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_may_have_used_so_much),
        cmocka_unit_test(sums_stay_at_their_limits),
        cmocka_unit_test(what_is_stored_already_has_an_end),
        cmocka_unit_test(a_state_that_was_stored_without_end_is_mended),
        cmocka_unit_test(a_stored_time_without_end_is_one_at_the_end_of_the_calendar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
