/* Which name was meant. */
#include <string.h>

#include <cmocka.h>

#include "nearest.h"

static const char *meant(const char *word)
{
    static const char *const names[] = {"prompt", "model", "max_tokens", "max_turns", "url", "headers"};
    struct nearest n = nearest_to(word);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        nearest_try(&n, names[i]);
    return n.found != NULL ? n.found : "-";
}

static void letters_may_be_missing_wrong_too_many_or_exchanged(void **state)
{
    (void)state;
    assert_string_equal(meant("promt"), "prompt");
    assert_string_equal(meant("prompts"), "prompt");
    assert_string_equal(meant("promtp"), "prompt");
    assert_string_equal(meant("modal"), "model");
    assert_string_equal(meant("maxTokens"), "max_tokens");
    assert_string_equal(meant("Headers"), "headers");
}

static void the_nearest_of_several_is_meant_and_nothing_that_is_far(void **state)
{
    (void)state;
    assert_string_equal(meant("max_token"), "max_tokens");
    assert_string_equal(meant("max_turn"), "max_turns");
    assert_string_equal(meant("uri"), "url");
    assert_string_equal(meant("key"), "-");
    assert_string_equal(meant("x"), "-");
    assert_string_equal(meant(""), "-");
    assert_string_equal(meant("an_option_that_has_a_name_of_more_than_sixty_four_letters_in_the_end"), "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_may_be_missing_wrong_too_many_or_exchanged),
        cmocka_unit_test(the_nearest_of_several_is_meant_and_nothing_that_is_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
