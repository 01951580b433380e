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
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delays_grow_and_are_shortened_by_up_to_the_jitter),
        cmocka_unit_test(a_server_s_retry_after_is_kept_and_spread),
        cmocka_unit_test(an_attempt_is_not_tried_again_when_it_may_not_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
