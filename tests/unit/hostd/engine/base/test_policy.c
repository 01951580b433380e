/* When a failed attempt is tried again. */
#include <stdint.h>

#include <cmocka.h>

#include "policy.h"

static uint64_t delay(const struct policy *p, uint32_t attempts, uint64_t retry_after_ms, double random)
{
    const struct failure busy = {.code = FM_UNAVAILABLE, .retry_after_ms = retry_after_ms};
    uint64_t ms = 0;
    assert_true(policy_retry(p, &busy, attempts, 0, random, &ms));
    return ms;
}

static void delays_grow_and_are_shortened_by_up_to_the_jitter(void **state)
{
    (void)state;
    struct policy p;
    policy_init(&p);
    p.max_attempts = 10;
    assert_int_equal(delay(&p, 1, 0, 0.5), 1000); /* no jitter unless it is set */
    p.jitter = 0.2;
    assert_int_equal(delay(&p, 1, 0, 0), 1000);
    assert_int_equal(delay(&p, 1, 0, 0.5), 900);
    assert_int_equal(delay(&p, 3, 0, 0), 4000);
    assert_int_equal(delay(&p, 3, 0, 0.5), 3600);
}

static void a_server_s_retry_after_is_kept_and_spread(void **state)
{
    (void)state;
    struct policy p;
    policy_init(&p);
    p.max_attempts = 10;
    p.jitter = 0.2;
    assert_int_equal(delay(&p, 1, 30000, 0), 30000);
    assert_int_equal(delay(&p, 1, 30000, 0.5), 33000);
    assert_int_equal(delay(&p, 1, 500, 0.5), 900); /* the policy's own delay is longer */
    p.jitter = 0;
    assert_int_equal(delay(&p, 1, 30000, 0.5), 30000);
}

static void an_attempt_is_not_tried_again_when_it_may_not_be(void **state)
{
    (void)state;
    const struct failure busy = {.code = FM_UNAVAILABLE},
                         hopeless = {.code = FM_UNAVAILABLE, .permanent = true},
                         wrong = {.code = FM_INVALID_ARGUMENT};
    struct policy p;
    uint64_t ms;
    policy_init(&p);
    p.max_attempts = 2;
    assert_true(policy_retry(&p, &busy, 1, 0, 0, &ms));
    assert_false(policy_retry(&p, &busy, 2, 0, 0, &ms));
    assert_false(policy_retry(&p, &hopeless, 1, 0, 0, &ms));
    assert_false(policy_retry(&p, &wrong, 1, 0, 0, &ms));
    p.timeout_ms = 1500;
    assert_false(policy_retry(&p, &busy, 1, 600, 0, &ms));
    assert_false(policy_retry(&p, &busy, 1, 500, 0, &ms)); /* the next attempt would have no time */
    assert_true(policy_retry(&p, &busy, 1, 499, 0, &ms));
}

static void only_codes_that_are_some_are_tried_again(void **state)
{
    (void)state;
    struct policy p;
    uint64_t ms;
    policy_init(&p);
    p.max_attempts = 2;
    p.retryable = UINT32_MAX;
    static const struct {
        int code;
        bool again;
    } codes[] = {
        {-1,                     false},
        {FM_OK,                  false},
        {FM_CANCELLED,           true },
        {FM_UNAUTHENTICATED,     true },
        {FM_UNAUTHENTICATED + 1, false},
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        const struct failure f = {.code = codes[i].code};
        assert_int_equal(policy_retry(&p, &f, 1, 0, 0, &ms), codes[i].again);
    }
}

static void delays_have_a_longest(void **state)
{
    (void)state;
    struct policy p;
    policy_init(&p);
    p.max_attempts = UINT32_MAX;
    assert_int_equal(delay(&p, 6, 0, 0), 32000);
    assert_int_equal(delay(&p, 7, 0, 0), 60000);
    assert_int_equal(delay(&p, 4000000000u, 0, 0), 60000);
    p.initial_delay_ms = 90000;
    assert_int_equal(delay(&p, 1, 0, 0), 60000);
}

/* The policy after this one was read into one that tries again 0.4 less. */
static void reads(const char *bytes, size_t n, struct policy *ret)
{
    struct fm_arena arena;
    struct fm_err err = {0};
    fm_arena_init(&arena, 1 << 20);
    policy_init(ret);
    ret->jitter = 0.4;
    assert_int_equal(policy_read(ret, (struct fm_bytes){(const uint8_t *)bytes, n}, &arena, &err), 0);
    fm_arena_done(&arena);
}

static void what_a_policy_does_not_say_stays(void **state)
{
    (void)state;
    struct policy p;
    reads("", 0, &p);
    assert_int_equal(p.max_attempts, 0);
    assert_int_equal(p.initial_delay_ms, 1000);
    assert_int_equal(p.max_delay_ms, 60000);
    assert_true(p.factor == 2 && p.jitter == 0.4);
    assert_int_equal(p.on_error, ON_ERROR_STOP);
    assert_int_equal(p.on_lost, ON_LOST_RETRY);
    /* retry: {max_attempts: 5, initial_delay_ms: 6, factor: 1, max_delay_ms: 7, jitter: 1} */
    reads("\x0a\x18\x08\x05\x10\x06\x19\x00\x00\x00\x00\x00\x00\xf0\x3f\x20\x07\x29\x00\x00\x00\x00\x00\x00"
          "\xf0\x3f",
          26, &p);
    assert_int_equal(p.max_attempts, 5);
    assert_int_equal(p.initial_delay_ms, 6);
    assert_int_equal(p.max_delay_ms, 7);
    assert_true(p.factor == 1 && p.jitter == 1);
    /* retry: {factor: 0.5, jitter: 2}: neither makes sense */
    reads("\x0a\x12\x19\x00\x00\x00\x00\x00\x00\xe0\x3f\x29\x00\x00\x00\x00\x00\x00\x00\x40", 20, &p);
    assert_true(p.factor == 2 && p.jitter == 0.4);
    /* attempt_timeout_ms: 8, timeout_ms: 9, on_error: CONTINUE, on_lost: FAIL */
    reads("\x10\x08\x18\x09\x20\x02\x28\x03", 8, &p);
    assert_int_equal(p.attempt_timeout_ms, 8);
    assert_int_equal(p.timeout_ms, 9);
    assert_int_equal(p.on_error, ON_ERROR_CONTINUE);
    assert_true(policy_announces(&p));
}

static void a_code_that_is_none_is_refused(void **state)
{
    (void)state;
    struct fm_arena arena;
    struct fm_err err = {0};
    struct policy p;
    fm_arena_init(&arena, 1 << 20);
    policy_init(&p);
    struct fm_bytes none = {(const uint8_t *)"\x0a\x06\x32\x04NONE", 8},
                    last = {(const uint8_t *)"\x0a\x11\x32\x0fUNAUTHENTICATED", 19};
    assert_int_equal(policy_read(&p, none, &arena, &err), -FM_INVALID_ARGUMENT);
    fm_err_done(&err);
    err = (struct fm_err){0};
    assert_int_equal(policy_read(&p, last, &arena, &err), 0);
    assert_int_equal(p.retryable, 1u << FM_UNAUTHENTICATED);
    struct fm_bytes malformed = {(const uint8_t *)"\x0a\x06\x32", 3};
    assert_true(policy_read(&p, malformed, &arena, &err) < 0);
    fm_err_done(&err);
    fm_arena_done(&arena);
}

static void attempts_that_nobody_has_counted_are_settled(void **state)
{
    (void)state;
    static const struct {
        uint32_t max_attempts, of_type;
        enum error_policy on_error;
        uint32_t want;
    } cases[] = {
        {0, 0, ON_ERROR_STOP,  1},
        {0, 4, ON_ERROR_STOP,  4},
        {2, 4, ON_ERROR_STOP,  2},
        {0, 0, ON_ERROR_RETRY, 3},
        {1, 0, ON_ERROR_RETRY, 3},
        {2, 0, ON_ERROR_RETRY, 2},
        {0, 5, ON_ERROR_RETRY, 5},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct policy p;
        policy_init(&p);
        p.max_attempts = cases[i].max_attempts;
        p.on_error = cases[i].on_error;
        policy_settle(&p, cases[i].of_type);
        assert_int_equal(p.max_attempts, cases[i].want);
    }
}

static void an_attempt_has_the_shorter_of_its_time_and_what_is_left(void **state)
{
    (void)state;
    struct policy p;
    policy_init(&p);
    assert_int_equal(policy_attempt_ms(&p, 5), 0);
    p.attempt_timeout_ms = 300;
    assert_int_equal(policy_attempt_ms(&p, 5), 300);
    p.timeout_ms = 1000;
    assert_int_equal(policy_attempt_ms(&p, 0), 300);
    assert_int_equal(policy_attempt_ms(&p, 700), 300);
    assert_int_equal(policy_attempt_ms(&p, 701), 299);
    assert_int_equal(policy_attempt_ms(&p, 1000), 1); /* it is over: it fails at once */
    assert_int_equal(policy_attempt_ms(&p, 1001), 1);
    p.attempt_timeout_ms = 0;
    assert_int_equal(policy_attempt_ms(&p, 100), 900);
}

static void a_policy_that_may_drop_a_failure_says_so(void **state)
{
    (void)state;
    static const enum error_policy drops[] = {ON_ERROR_CONTINUE, ON_ERROR_SKIP, ON_ERROR_ROUTE};
    struct policy p;
    policy_init(&p);
    assert_false(policy_may_drop(&p));
    assert_false(policy_announces(&p));
    for (size_t i = 0; i < 3; i++) {
        p.on_error = drops[i];
        assert_true(policy_may_drop(&p));
    }
    policy_init(&p);
    p.on_lost = ON_LOST_FAIL;
    assert_true(policy_may_drop(&p));
    assert_true(policy_announces(&p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delays_grow_and_are_shortened_by_up_to_the_jitter),
        cmocka_unit_test(a_server_s_retry_after_is_kept_and_spread),
        cmocka_unit_test(an_attempt_is_not_tried_again_when_it_may_not_be),
        cmocka_unit_test(only_codes_that_are_some_are_tried_again),
        cmocka_unit_test(delays_have_a_longest),
        cmocka_unit_test(what_a_policy_does_not_say_stays),
        cmocka_unit_test(a_code_that_is_none_is_refused),
        cmocka_unit_test(attempts_that_nobody_has_counted_are_settled),
        cmocka_unit_test(an_attempt_has_the_shorter_of_its_time_and_what_is_left),
        cmocka_unit_test(a_policy_that_may_drop_a_failure_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
